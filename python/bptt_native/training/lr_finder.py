"""The range test of learning rates: training with a rate that grows until the loss diverges."""

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments.display import Shown, Table, View, counted, number_text, plot
from ..arguments.names import guided
from ..arguments.values import integer, message, number, refuse_type
from ..nn.network import Network
from .batches import source_of
from .data import read_data
from .trainer import Trainer

Numbers = npt.NDArray[np.float64]
WINDOW = 5  # least number of updates of a slope


@dataclass(frozen=True, repr=False)
class RangeTest(Shown):
    """The result of `find_lr`.

    Attributes
    ----------
    lr : float64 [n]
        The learning rate of each update.
    loss : float64 [n]
        The loss of each update's batch, before the update.
    smoothed : float64 [n]
        An exponential moving average of these losses, without the bias of its beginning.
    suggestion : float or None
        The rate at which the loss falls fastest. None if it never falls.
    diverged : bool
        Whether the test ended because the loss diverged.

    Examples
    --------
    >>> lr = np.geomspace(1e-4, 1, 5)
    >>> loss = np.array([1.0, 0.9, 0.5, 0.4, 3.0])
    >>> bn.RangeTest(lr, loss, loss, 1e-2, True).suggestion
    0.01
    """

    lr: Numbers
    loss: Numbers
    smoothed: Numbers
    suggestion: float | None
    diverged: bool

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses by the learning rate; see ``plots.plot_lr_finder``.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            By default, those of a new figure.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> lr = np.geomspace(1e-4, 1, 5)
        >>> loss = np.array([1.0, 0.9, 0.5, 0.4, 3.0])
        >>> bn.RangeTest(lr, loss, loss, 1e-2, True).plot().get_xlabel()
        'learning rate, logarithmic'
        """
        return plot(self, ax)

    def _view(self) -> View:
        ends = "the loss diverged" if self.diverged else "the loss did not diverge"
        told = "none: the loss never falls" if self.suggestion is None else f"{self.suggestion:.3g}"
        lowest = int(np.argmin(self.smoothed))
        rows = [
            (name, number_text(self.lr[k]), number_text(self.smoothed[k]))
            for name, k in (("first", 0), ("lowest loss", lowest), ("last", len(self.lr) - 1))
        ]
        head = f"RangeTest: suggestion {told}; {counted(len(self.lr), 'update')}, {ends}"
        return View(head, (Table(("", "learning rate", "smoothed loss"), rows),))


@guided
def find_lr(
    model: Network, x: Any, targets: Any, *, weights: Any = None, batch_size: int | None = None,
    window: int | None = None, min_lr: float = 1e-6, max_lr: float = 10.0, steps: int = 100,
    smoothing: float = 0.9, divergence: float = 4.0, seed: int = 0,
) -> RangeTest:  # fmt: skip
    """Find a learning rate by a range test: train a copy of a model with a growing rate.

    The rate grows exponentially from update to update, until the smoothed loss exceeds
    `divergence` times its lowest value or is not finite. The suggestion is the rate in the middle
    of those neighbouring updates, an eighth of all, over which the loss falls fastest: whose
    regression line of the loss on log(lr) has the steepest descent, among those before the lowest
    smoothed loss. It is a good highest rate of a schedule that decays; a constant rate is
    better somewhat lower.

    Parameters
    ----------
    model : Model
        The model, which does not change. Its optimiser, clipping and other options are used.
    x, targets, weights, batch_size, window, seed : optional
        As in `Model.fit`.
    min_lr, max_lr : float
        The first and the last learning rate, 0 < min_lr < max_lr.
    steps : int
        Number of updates between them, at least 10. Several passes over the data are made if
        there are fewer batches.
    smoothing : float
        Share of the moving average that is kept in an update, in [0, 1).
    divergence : float
        The factor above 1 by which the smoothed loss exceeds its lowest value where the test ends.

    Returns
    -------
    RangeTest
        Rates, losses and the suggestion.

    Raises
    ------
    TypeError, ValueError, IndexError
        As in `Model.fit`; or if no update had a finite loss.

    References
    ----------
    Smith 2017, arXiv:1506.01186, section 3.3.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((6, 64, 2), np.float32)
    >>> y = (x.mean(axis=(0, 2)) > 0).astype(int)
    >>> model = bn.Model("gru", input_size=2, hidden_size=8, output_size=2, targets="last")
    >>> found = bn.find_lr(model, x, y, steps=40)
    >>> 1e-3 < found.suggestion < 1
    True
    >>> model.lr = found.suggestion
    """
    where = "find_lr"
    if not isinstance(model, Network):
        refuse_type(model, where, "model", "a Model")
    low = _above(min_lr, 0, where, "min_lr")
    high = _above(max_lr, low, where, "max_lr")
    count = integer(steps, where, "steps", 10)
    keep = number(smoothing, where, "smoothing", "a number in [0, 1)")
    if not 0 <= keep < 1:
        raise ValueError(message(where, "smoothing", "a number in [0, 1)", str(smoothing)))
    factor = _above(divergence, 1, where, "divergence")
    seed = integer(seed, where, "seed", 0, 2**64 - 1)
    data = read_data(model, x, targets, where, finite=True, weights=weights)
    source = source_of(data, batch_size, window, seed)
    tried = copy.copy(model)
    tried.lr = low
    trainer = Trainer(
        tried, source, steps=count,
        schedule=lambda step, losses: (high / low) ** (step / (count - 1)),
    )  # fmt: skip
    rates, losses, smoothed = list[float](), list[float](), list[float]()
    average, least, diverged = 0.0, math.inf, False
    for _ in range(count):
        try:
            row = trainer.train_step()
        except FloatingPointError:  # of a model with nonfinite="raise"
            diverged = True
            break
        if math.isnan(row.loss) and not row.skipped:
            continue  # a batch without targets
        diverged = row.skipped or not math.isfinite(row.loss)
        if diverged:
            break
        average = keep * average + (1 - keep) * row.loss
        rates.append(row.lr)
        losses.append(row.loss)
        smoothed.append(average / (1 - keep ** len(losses)))
        least = min(least, smoothed[-1])
        diverged = smoothed[-1] > factor * least
        if diverged:
            break
    if not losses:
        raise ValueError(message(where, "min_lr", "a rate with a finite loss", str(min_lr)))
    lr, loss, line = (np.array(values) for values in (rates, losses, smoothed))
    steepest = _steepest(lr, loss, line, max(WINDOW, count // 8))
    return RangeTest(lr, loss, line, steepest, diverged)


def _above(value: object, low: float, where: str, name: str) -> float:
    expected = f"a finite number above {low:g}"
    real = number(value, where, name, expected)
    if real <= low:
        raise ValueError(message(where, name, expected, str(real)))
    return real


def _steepest(lr: Numbers, loss: Numbers, smoothed: Numbers, width: int) -> float | None:
    """Return the middle of the window whose regression line falls fastest, or None."""
    last = int(np.argmin(smoothed)) + 1  # of the updates that count
    if last < width:
        return None
    from_middle = np.arange(width) - (width - 1) / 2
    slopes = np.correlate(loss[:last], from_middle, "valid")  # times one positive number
    at = int(np.argmin(slopes))
    if slopes[at] >= 0:
        return None
    return float(np.exp(np.log(lr[at : at + width]).mean()))
