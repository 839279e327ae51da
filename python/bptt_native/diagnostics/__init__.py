"""Diagnostics of gradients in recurrent nets: measurements on layers and models."""

from ..arguments.names import guide as _guide
from .activity import OmegaRatios, Saturation, omega_ratios, saturation
from .clipping import ClippingStatistics, clipping, running_quantiles
from .connectivity import Connectivity, connectivity
from .fixed_points import FixedPoints, fixed_points
from .flow import GradientFlow, decay_per_step, gradient_flow, half_life
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
from .norms import Norms
from .seeds import SeedNorms, backward_seeds
from .truncation import TruncationBias, truncation_bias

__all__ = [
    "ClippingStatistics",
    "Connectivity",
    "FixedPoints",
    "GainBounds",
    "GradientFlow",
    "Norms",
    "OmegaRatios",
    "Saturation",
    "SeedNorms",
    "Spectrum",
    "TruncationBias",
    "backward_seeds",
    "clipping",
    "connectivity",
    "decay_per_step",
    "fixed_points",
    "gain_bounds",
    "gradient_flow",
    "half_life",
    "jacobian",
    "jacobian_product",
    "lyapunov",
    "omega_ratios",
    "recurrent_matrices",
    "running_quantiles",
    "saturation",
    "spectral_radius",
    "truncation_bias",
]

_guide(globals(), __all__)
