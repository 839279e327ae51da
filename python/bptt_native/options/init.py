"""The class that describes the initialisation."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from ..arguments.names import guided
from ..arguments.values import choice
from .table import OPTIONS


@guided
class Init(NamedTuple):
    """The initialisation of the parameters; the same seed gives the same bits on every platform.

    Attributes
    ----------
    weights : str
        The name of the initialisation:

        - "default": every tensor U(-1/sqrt(H), 1/sqrt(H)), as in PyTorch.
        - "orthogonal": W_hh of each gate is an orthogonal matrix times `gain` (Saxe et al. 2014);
          the rest as "default".
        - "identity": W_hh of each gate is `gain` times the identity, biases are 0, and
          W_ih ~ N(0, 0.001) (IRNN: Le et al. 2015).
        - "xavier": W_ih and W_hh of each gate are uniform, biases are 0 (Glorot & Bengio 2010).
        - "normal": W_hh of each gate is N(0, 1), rescaled to `spectral_radius`; the rest as
          "default" (Pascanu et al. 2013).
        - "sparse": the same with 15 nonzero entries in each row of W_hh (Martens 2010; Sutskever
          et al. 2013).
        - "chrono": biases of the gates for memories of 2 to `time_scale` steps, the rest as
          "default". For LSTM, GRU and MinGRU (Tallec & Ollivier 2018, arXiv:1804.11188).
        - "keras": the defaults of Keras. W_ih is uniform (Glorot) over all gates, W_hh has
          orthonormal columns over all gates, biases are 0, the forget bias is 1.

        With Dale's law (`dale`) this holds for the matrix W_eff that acts in the place of W_hh. The
        inhibitory part of each row is rescaled so that the row sums to 0, then the whole matrix so
        that its spectral radius is `spectral_radius` with "normal", ``abs(gain)`` with
        "orthogonal", 1 with "xavier" and "keras", and 1/sqrt(3) with "default". These are the radii
        without Dale's law. "identity" and "sparse" are refused, because elements of W_hh that are 0
        would never learn.
    gain : float
        Factor of "orthogonal" and "identity". It is 0, or its size is from 1e-30 to 1e30 (float64:
        1e-300 to 1e300).
    forget_bias : float, optional
        Initial value of the forget gates' b_ih, for LSTM only; their b_hh is then 0 (Gers et al.
        2000). Finite in the dtype.
    spectral_radius : float
        Spectral radius of W_hh of each gate with "normal" and "sparse", from 1e-30 to 1e30
        (float64: 1e-300 to 1e300).
    time_scale : float, optional
        The longest dependency in time steps, >= 2 and finite in the dtype. "chrono" needs it.

    Examples
    --------
    >>> layer = bn.LSTM(3, 8, init=bn.Init("chrono", time_scale=100.0))
    >>> layer.init
    Init('chrono', time_scale=100.0)
    >>> layer = bn.RNN(3, 8, init=bn.Init("orthogonal", gain=0.5), dtype="float64")
    >>> W = layer.parameters["weight_hh_l0"].value
    >>> np.allclose(W @ W.T, 0.25 * np.eye(8))
    True
    """

    weights: str = "default"
    gain: float = 1.0
    forget_bias: float | None = None
    spectral_radius: float = 0.95
    time_scale: float | None = None

    def __repr__(self) -> str:
        """Return the call that makes it, without arguments that have their defaults."""
        defaults: dict[str, Any] = self._field_defaults
        rest = list(self._asdict().items())[1:]
        given = (f"{name}={value!r}" for name, value in rest if value != defaults[name])
        return f"Init({', '.join([repr(self.weights), *given])})"


def _checked(make: Callable[..., Init]) -> Callable[..., Init]:
    """Return the constructor with a check of the name of the initialisation."""

    @wraps(make)
    def new(cls: type[Init], weights: Any = "default", *args: Any, **kwargs: Any) -> Init:
        choice(weights, OPTIONS["init"].choices, "Init", "weights")
        return make(cls, weights, *args, **kwargs)

    return new


Init.__new__ = _checked(Init.__new__)  # type: ignore[method-assign, assignment]
