"""Comparison of the gradient of truncated BPTT with the full gradient: angle and length."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments.display import Shown, Table, View
from ..arguments.values import integer, refuse_type
from ..nn.network import Network
from .norms import Norms, direction_of


@dataclass(frozen=True, repr=False)
class TruncationBias(Shown):
    """Comparison of truncated gradients with the full one.

    Attributes
    ----------
    window : int64 [W]
        k2, the largest number of steps that a gradient goes back.
    cosine : float64 [W]
        Cosine of the angle between truncated and full gradient; NaN if one of them is 0.
    norm_ratio : float64 [W]
        ||truncated|| / ||full||; NaN if the full one is 0.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((20, 4, 2))
    >>> classes = rng.integers(0, 3, (20, 4))
    >>> model = bn.Model("gru", input_size=2, hidden_size=8, output_size=3, dtype="float64")
    >>> found = bn.diagnostics.truncation_bias(model, x, classes, [5, 20])
    >>> found.window, float(found.cosine[1].round(6)), float(found.norm_ratio[1].round(6))
    (array([ 5, 20]), 1.0, 1.0)
    """

    window: npt.NDArray[np.int64]
    cosine: Norms
    norm_ratio: Norms

    def explain(self) -> str:
        """Return the comparison as a sentence."""
        parts = [
            f"{w} steps: cosine {c:.3g}, norm {r:.3g} of the full one"
            for w, c, r in zip(self.window, self.cosine, self.norm_ratio, strict=True)
        ]
        return f"Truncated to {'; '.join(parts)}."

    def _view(self) -> View:
        numbers = zip(self.window, self.cosine, self.norm_ratio, strict=True)
        rows = [(str(w), f"{c:.4g}", f"{r:.4g}") for w, c, r in numbers]
        head = "TruncationBias: truncated gradients and the full one"
        return View(head, (Table(("window", "cosine", "norm ratio"), rows),))


def truncation_bias(
    model: Network, x: npt.ArrayLike, target: npt.ArrayLike, windows: Iterable[int], *,
    k1: int | None = None, state: Any = None, lengths: npt.ArrayLike | None = None,
) -> TruncationBias:  # fmt: skip
    """Compare the gradient of truncated BPTT with the full one, on one batch.

    Parameters
    ----------
    model : Model
        The model, which is not changed. Its own ``truncation`` is ignored. Dropout, zoneout, noise
        and omega are switched off.
    x, target, state, lengths
        As in `Model.train_step`.
    windows : integers >= 1
        k2 of each comparison.
    k1 : int, optional
        Steps between windows (Sutskever 2013). The gradient of each loss goes back at least k2 - k1
        and at most k2 - 1 steps. By default k1 = k2, which cuts the sequence into chunks. A window
        smaller than k1 is refused.

    Returns
    -------
    TruncationBias

    Raises
    ------
    TypeError, ValueError, IndexError
        An argument does not fit.

    References
    ----------
    Williams & Peng 1990, Neural Computation 2(4); Sutskever 2013, "Training recurrent neural
    networks", section 2.8.6; Tallec & Ollivier 2017, arXiv:1705.08209, on the bias.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((20, 4, 2))
    >>> classes = rng.integers(0, 3, (20, 4))
    >>> model = bn.Model("gru", input_size=2, hidden_size=8, output_size=3, dtype="float64")
    >>> found = bn.diagnostics.truncation_bias(model, x, classes, [1, 4, 20])
    >>> bool((np.diff(found.cosine) > 0).all())
    True
    """
    where = "truncation_bias"
    if not isinstance(model, Network):
        refuse_type(model, where, "model", "a Model")
    step = None if k1 is None else integer(k1, where, "k1", 1)
    spans = [integer(w, where, "windows", step or 1) for w in windows]

    def gradient(truncation: tuple[int, int] | None) -> Norms:
        off = {"dropout": 0.0, "recurrent_dropout": 0.0, "zoneout": 0.0, "zoneout_c": 0.0}
        twin = model.with_options(**off, noise=0.0, omega=0.0, truncation=truncation)
        twin.load_state_dict(model.state_dict())
        grads = twin.gradients(x, target, state, lengths=lengths, flow=False)[1]
        return grads.flat.astype(np.float64)

    full = direction_of(gradient(None))
    cosine, ratio = [], []
    for span in spans:
        own = direction_of(gradient((step or span, span)))
        same = own.norm / full.norm if full.norm else np.nan
        ratio.append(same * (own.scale / full.scale))
        cosine.append(float(own.unit @ full.unit) if own.norm and full.norm else np.nan)
    return TruncationBias(np.array(spans, np.int64), np.array(cosine), np.array(ratio))
