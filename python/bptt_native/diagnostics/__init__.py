"""What recurrent nets do to their gradients: measurements on layers and models, as plain arrays."""

from .flow import Array, GradientFlow, Norms, decay_per_step, gradient_flow, half_life

__all__ = ["Array", "GradientFlow", "Norms", "decay_per_step", "gradient_flow", "half_life"]
