"""The description of initial parameters."""

from __future__ import annotations

from typing import NamedTuple


class Init(NamedTuple):
    """How parameters begin, the same bits on every platform for the same seed.

    Attributes
    ----------
    weights : str
        "default": every tensor U(-1/sqrt(H), 1/sqrt(H)), as PyTorch; "orthogonal": each gate's
        W_hh orthogonal times `gain` (Saxe et al. 2014), the rest as "default"; "identity": W_hh =
        gain * I per gate, biases 0, W_ih ~ N(0, 0.001) (IRNN, Le et al. 2015); "xavier": W_ih and
        W_hh of each gate uniform, biases 0 (Glorot & Bengio 2010); "normal": each gate's W_hh
        N(0, 1) rescaled to `spectral_radius`, the rest as "default" (Pascanu et al. 2013);
        "sparse": the same with 15 entries in each row of W_hh (Martens 2010; Sutskever et al.
        2013); "chrono": gate biases for memories of 2 to `time_scale` steps, the rest as
        "default" (LSTM, GRU; Tallec & Ollivier 2018, arXiv:1804.11188); "keras": Keras's
        defaults, W_ih uniform (Glorot) over all gates, W_hh with orthonormal columns over all
        gates, biases 0, forget bias 1.

        With Dale's law (`dale`) these hold for W_hh as it acts: the inhibitory part of each row is
        rescaled until the row sums to 0, then the whole until the spectral radius is
        `spectral_radius` with "normal", ``abs(gain)`` with "orthogonal", 1 with "xavier" and
        "keras", and 1/sqrt(3) with "default", which is what their matrices have without Dale's
        law. "identity" and "sparse" are refused, because zeros of W_hh would never learn.
    gain : float
        Of "orthogonal" and "identity": 0, or of a size from 1e-30 to 1e30 (float64: 1e-300 to
        1e300).
    forget_bias : float, optional
        LSTM: the forget gates' b_ih is set to this and their b_hh to 0 (Gers et al. 2000). Finite
        in the dtype.
    spectral_radius : float
        Of each gate's W_hh with "normal" and "sparse", from 1e-30 to 1e30 (float64: 1e-300 to
        1e300).
    time_scale : float, optional
        Of "chrono", which needs it: the longest dependency in time steps, >= 2 and finite in the
        dtype.
    """

    weights: str = "default"
    gain: float = 1.0
    forget_bias: float | None = None
    spectral_radius: float = 0.95
    time_scale: float | None = None
