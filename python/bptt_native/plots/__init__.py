"""Figures of training runs and gradients (they need matplotlib: extra "plot").

Functions ``plot_*`` draw into axes, by default those of a new figure, and return the axes.
Functions ``*_figure`` return figures. None opens a window.
"""

from ..arguments.names import guide as _guide
from .base import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ONE_COLUMN,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    STYLES,
    TWO_COLUMNS,
    VERMILION,
    new_figure,
    save_figure,
)
from .clipping import (
    clipping_figure,
    plot_clipping_angle,
    plot_gradient_norm,
    plot_norm_quantiles,
)
from .connectivity import connectivity_figure, plot_connectivity
from .fixed_points import fixed_points_figure, plot_fixed_points
from .flow import flow_figure, plot_flow_map, plot_gradient_flow
from .gates import activity, gates_figure, plot_gate_units, plot_gates
from .lr_finder import plot_lr_finder
from .spectrum import plot_eigenvalues, plot_lyapunov, spectrum_figure
from .training import plot_learning, training_figure

__all__ = [
    "BLUE", "GREEN", "GREY", "INK", "ONE_COLUMN", "ORANGE", "PALE", "PURPLE", "SKY", "STYLES",
    "TWO_COLUMNS", "VERMILION", "activity", "clipping_figure", "connectivity_figure",
    "fixed_points_figure", "flow_figure", "gates_figure", "new_figure", "plot_clipping_angle",
    "plot_connectivity", "plot_eigenvalues", "plot_fixed_points", "plot_flow_map",
    "plot_gate_units", "plot_gates", "plot_gradient_flow", "plot_gradient_norm",
    "plot_learning", "plot_lr_finder", "plot_lyapunov", "plot_norm_quantiles", "save_figure",
    "spectrum_figure", "training_figure",
]  # fmt: skip

_guide(globals(), [name for name in __all__ if not name.isupper()])
