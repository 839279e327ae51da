"""What recurrent nets do to their gradients: measurements on layers and models, as plain arrays."""

from .connectivity import Connectivity, connectivity
from .flow import Array, GradientFlow, Norms, decay_per_step, gradient_flow, half_life
from .jacobians import (
    GainBounds,
    Spectrum,
    gain_bounds,
    jacobian,
    jacobian_product,
    lyapunov,
    recurrent_matrices,
    spectral_radius,
)
from .seeds import SeedNorms, backward_seeds

__all__ = [
    "Array",
    "Connectivity",
    "GainBounds",
    "GradientFlow",
    "Norms",
    "SeedNorms",
    "Spectrum",
    "backward_seeds",
    "connectivity",
    "decay_per_step",
    "gain_bounds",
    "gradient_flow",
    "half_life",
    "jacobian",
    "jacobian_product",
    "lyapunov",
    "recurrent_matrices",
    "spectral_radius",
]
