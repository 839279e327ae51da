"""Monitoring of the gradient during training: looks at its flow, and warnings.

A *look* is an additional forward and backward pass over the batch of the next update, with a loss
at the last step only. (With a loss at every step the norms hardly change over time.) It does not
influence training.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..arguments.caller import warn
from ..arguments.display import Shown, View, counted
from ..arguments.names import guided
from ..arguments.values import Array, integer
from ..diagnostics import GradientFlow, recurrent_matrices, spectral_radius
from ..diagnostics.activity import gate_flatness, gate_values, saturated
from ..diagnostics.flow import VANISHED
from ..diagnostics.nets import reads_ends, shape_of
from ..diagnostics.norms import safe_norm
from ..nn.network import Network
from .advice import against_exploding, against_vanishing, exploding_text, vanishing_text
from .batches import Batch
from .data import Form
from .gradient_record import GradientRecord, LayerRecord, Records
from .history import HistoryRow

SPIKE = 20.0  # a norm this many times the median explodes


class GradientWarning(UserWarning):
    """The gradient vanishes or explodes."""


def _warn(text: str) -> None:
    warn(text, GradientWarning)


@guided
class Watch(Shown):
    """Looks at the gradient's flow at regular steps of training, and warnings.

    Parameters
    ----------
    every : int
        Updates between looks. The first look is before the first update, the last one after the
        last update.
    say : callable, optional
        Takes the text of a warning. The default issues a `GradientWarning` by ``warnings.warn``.
        Each kind of warning, vanishing and exploding, is issued at most once.

    Attributes
    ----------
    records : list of GradientRecord
        The results of the looks.

    Raises
    ------
    TypeError, ValueError
        ``every`` is not an integer of at least 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((10, 16, 2), np.float32)
    >>> labels = (x[-1, :, 0] > 0).astype(int)
    >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=2, targets="last")
    >>> warnings = []
    >>> watch = bn.Watch(every=2, say=warnings.append)
    >>> result = model.fit(x, labels, steps=4, watch=watch)
    >>> [record.step for record in watch.records]
    [0, 2, 4]
    >>> watch.records is result.gradients
    True
    """

    def __init__(self, every: int = 50, *, say: Callable[[str], object] = _warn) -> None:
        self.every: int = integer(every, "Watch", "every", 1)
        self.say: Callable[[str], object] = say
        self.records: list[GradientRecord] = Records()
        self._said: set[str] = set()
        self._norms: list[float] = []

    def _view(self) -> View:
        head = f"Watch(every={self.every}): {counted(len(self.records), 'record')}"
        return View(head, (repr(self.records[-1]) if self.records else "",))

    def due(self, step: int) -> bool:
        """Return whether a look is due after ``step`` updates.

        Examples
        --------
        >>> bn.Watch(every=50).due(100)
        True
        """
        return step % self.every == 0

    def has(self, step: int) -> bool:
        """Return whether the last look was made after ``step`` updates.

        Examples
        --------
        >>> bn.Watch(every=50).has(100)
        False
        """
        return bool(self.records) and self.records[-1].step == step

    def keep(
        self, records: Sequence[GradientRecord], step: int, goes_on: bool
    ) -> list[GradientRecord]:
        """Take over the records of a run up to a step, and return them.

        Parameters
        ----------
        records : sequence of GradientRecord
        step : int
            Records of later steps are dropped.
        goes_on : bool
            Whether updates follow. If so, a record at ``step`` is dropped unless a look was due
            there: it was made only because the run ended.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> x = rng.standard_normal((10, 16, 2), np.float32)
        >>> labels = (x[-1, :, 0] > 0).astype(int)
        >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=2, targets="last")
        >>> warnings = []
        >>> watch = bn.Watch(every=2, say=warnings.append)
        >>> result = model.fit(x, labels, steps=3, watch=watch)
        >>> len(watch.records), len(watch.keep(watch.records, 2, goes_on=True))
        (3, 2)
        """
        kept = [record for record in records if record.step <= step]
        if goes_on and kept and kept[-1].step == step and not self.due(step):
            kept.pop()
        self.records[:] = kept
        return kept

    def look(self, model: Network, batch: Batch, state: Any, step: int) -> GradientRecord:
        """Look at the flow of a loss at the last step of a batch.

        Parameters
        ----------
        model : Model
            The model, which is not changed.
        batch : Batch
            The batch with its targets. If the lengths differ, the longer half of the sequences is
            used.
        state : ndarray, (h, c) or None
            The states before the batch's first step.
        step : int
            Number of updates made.

        Returns
        -------
        GradientRecord
            The record, which is also added to `records`.

        Examples
        --------
        >>> from bptt_native.training.batches import source_of
        >>> from bptt_native.training.data import Form, read_data
        >>> rng = np.random.default_rng(0)
        >>> x = rng.standard_normal((10, 16, 2), np.float32)
        >>> labels = (x[-1, :, 0] > 0).astype(int)
        >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=2, targets="last")
        >>> batch = source_of(read_data(model, x, labels, "look"), 16, None).batch(0, 0)
        >>> record = bn.Watch(say=[].append).look(model, batch, None, step=0)
        >>> record.steps, record.sequences, len(record.layers)
        (10, 16, 1)
        """
        with np.errstate(over="ignore", invalid="ignore"):  # the verdict reports it
            record = look(model, batch, state, step)
        before = self.records[-1] if self.records else None
        self.records.append(record)
        top = record.layers[-1]
        if top.verdict == "exploding":
            self._exploding(model, f"step {step}: {exploding_text(top)}")
        if top.verdict == "vanishing" and before and before.layers[-1].verdict == "vanishing":
            finding = f"step {step}: {vanishing_text(top, record.steps)}"
            self._once("vanishing", f"{finding}. {against_vanishing(model)}")
        return record

    def saw(self, model: Network, row: HistoryRow) -> None:
        """Note the gradient's norm of an update, and warn if it is far larger than usual.

        Parameters
        ----------
        model : Model
        row : HistoryRow

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> x = rng.standard_normal((10, 16, 2), np.float32)
        >>> labels = (x[-1, :, 0] > 0).astype(int)
        >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=2, targets="last")
        >>> warnings = []
        >>> watch = bn.Watch(every=2, say=warnings.append)
        >>> result = model.fit(x, labels, steps=3, watch=watch)
        >>> for row in result.rows:
        ...     watch.saw(model, row)
        """
        usual = float(np.median(self._norms[-200:])) if len(self._norms) >= 20 else math.nan
        if row.skipped:
            self._exploding(model, f"step {row.step}: the gradient is not finite")
        elif row.grad_norm > SPIKE * usual:
            times = f"{row.grad_norm / usual:.0f} times the usual {usual:.3g}"
            self._exploding(model, f"step {row.step}: the gradient's norm is {row.grad_norm:.3g}, "
                                   f"{times}")  # fmt: skip
        if row.grad_norm > 0 and math.isfinite(row.grad_norm):
            self._norms.append(row.grad_norm)

    def _exploding(self, model: Network, finding: str) -> None:
        mean = float(np.mean(self._norms)) if self._norms else math.nan
        self._once("exploding", f"{finding}. {against_exploding(model, mean)}")

    def _once(self, kind: str, text: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            self.say(text)


def look(model: Network, batch: Batch, state: Any, step: int) -> GradientRecord:
    """Look at the flow of a loss at the last step of a batch; see `Watch.look`."""
    config, time = model.config, 1 if model.config["batch_first"] else 0
    ends = _ends_together(model, batch, state)
    out, _, tape = model.forward(ends.x, ends.state, resets=ends.resets, lengths=ends.lengths)
    at: tuple[Any, ...] = (...,)
    if config["targets"] == "every":
        at = (slice(None), -1) if time else (-1,)
    dout = np.zeros_like(out)
    dout[at] = _loss_gradient(model, out[at], ends.targets)
    alike = ends.lengths is None
    grads = model.backward(tape, dout, flow=alike or "samples", input_gradient=False)
    values = {name: ends.last_steps(value) for name, value in gate_values(model, tape).items()}
    h, c = grads.flow, grads.flow_c
    if grads.flow_detail is not None:
        detail = grads.flow_detail
        h, c = (_of_samples(ends, each) for each in (detail.samples_h, detail.samples_c))
    assert h is not None
    h, c = h[:, -ends.steps :], None if c is None else c[:, -ends.steps :]
    floor = float(np.finfo(out.dtype).tiny) * 2.0**24 * math.sqrt(out[at].size)
    directions = 1 + config["bidirectional"]
    layers = [
        _layer(model, layer, directions, h, c, values, floor)
        for layer in range(config["num_layers"])
    ]
    return GradientRecord(step, ends.steps, ends.x.shape[1 - time], layers)


class _Ends(NamedTuple):
    """Inputs of a look. All sequences end at the last step, unless `lengths` is set."""

    x: Array
    targets: Array  # of each sequence's last step
    state: Any
    resets: Array | None
    steps: int  # number of last steps that all sequences have
    lengths: npt.NDArray[np.int64] | None = None

    def last_steps(self, values: Array) -> Array:
        """Return the last `steps` steps of each sequence, from values [L*D, T, N, ...]."""
        if self.lengths is None:
            return values[:, -self.steps :]
        times = self.lengths - self.steps + np.arange(self.steps)[:, None]
        return values[:, times, np.arange(len(self.lengths))]


def _ends_together(model: Network, batch: Batch, state: Any) -> _Ends:
    """Return a batch's sequences shifted so that all of them end at the last step.

    If the lengths differ, the longer half of the sequences is used; if the sequences continue from
    an earlier window, only the longest ones. The state is reset where a shifted sequence begins,
    so that the padding before it has no effect. For a model that reads the states at both ends of
    a sequence, the sequences are not shifted.
    """
    time = 1 if model.config["batch_first"] else 0
    every, x, targets = model.config["targets"] == "every", batch.x, batch.targets
    if batch.lengths is None:
        last = (targets[:, -1] if time else targets[-1]) if every else targets
        return _Ends(x, last, state, None, x.shape[time])
    lengths = np.asarray(batch.lengths)
    least = int(np.sort(lengths)[(len(lengths) - 1) // 2 if state is None else -1])
    chosen = np.flatnonzero(lengths >= least)
    own, T = lengths[chosen], int(lengths.max())
    if state is not None:
        state = tuple(s[:, chosen] for s in state) if isinstance(state, tuple) else state[:, chosen]
    rows, begins = x.swapaxes(0, time), T - own
    if reads_ends(model):
        kept = rows[:T, chosen].swapaxes(0, time)
        return _Ends(kept, targets[chosen], state, None, least, own)
    moved = np.zeros((T, len(chosen), *rows.shape[2:]), x.dtype)
    resets = np.zeros((T, len(chosen)), np.bool_)
    for k, (i, begin) in enumerate(zip(chosen, begins, strict=True)):
        moved[begin:, k] = rows[: T - begin, i]
        resets[begin, k] = begin > 0
    last = targets.swapaxes(0, time)[own - 1, chosen] if every else targets[chosen]
    return _Ends(moved.swapaxes(0, time), last, state, resets.swapaxes(0, time), least)


def _of_samples(ends: _Ends, norms: Array | None) -> npt.NDArray[np.float64] | None:
    """Return norms over all samples [L*D, steps] from those of each [L*D, T, N]."""
    return None if norms is None else safe_norm(ends.last_steps(norms), axis=2)


def _loss_gradient(model: Network, out: Array, targets: Array) -> Array:
    """Return dL/d(last output) [N, O] of the model's loss, as a mean over the last targets."""
    config, form = model.config, Form(model, "Watch.look")
    goal = targets if form.classes else np.asarray(targets).reshape(out.shape)
    mass = form.count([goal])
    if mass == 0:
        return np.zeros_like(out)  # a mean over nothing
    if config["targets"] == "every":
        time = 1 if config["batch_first"] else 0
        out, goal = np.expand_dims(out, time), np.expand_dims(goal, time)
    dout = model.output_gradient(out, goal).reshape(-1, form.outputs)
    if config["reduction"] == "sum":
        dout /= form.loss.divisor(mass, form.outputs)
    return dout


def _layer(
    model: Network, layer: int, directions: int, flow: npt.NDArray[np.float64],
    flow_c: npt.NDArray[np.float64] | None, values: dict[str, Array], floor: float,
) -> LayerRecord:  # fmt: skip
    walk = layer * directions  # the layer's forward direction
    h = flow[walk, ::-1]
    c = None if flow_c is None else flow_c[walk, ::-1]
    seen = GradientFlow(np.arange(len(h)), h, c, floor)
    flat, f = gate_flatness(model), str(model.config["nonlinearity"])
    saturation = {
        name: float(np.mean(saturated(flat[name], f, value[walk])))
        for name, value in values.items()
    }
    means = {name: float(np.mean(value[walk], dtype=np.float64)) for name, value in values.items()}
    return LayerRecord(
        layer, h.tolist(), None if c is None else c.tolist(), seen.decay,
        (seen.horizon(), seen.horizon(VANISHED)), seen.verdict, saturation, means,
        radius(model, layer),
    )  # fmt: skip


def recurrent_blocks(model: Network, layer: int) -> dict[str, Array]:
    """Return the square blocks of W_hh by the names of their gates (RNN: "h"; MinGRU: none).

    Parameters
    ----------
    model : Model
    layer : int

    Returns
    -------
    dict of str to ndarray [R, R]
        With a projection, W_hr times the block, since h passes both.
    """
    blocks = recurrent_matrices(model, layer=layer)
    projection = model.state_dict().get(f"rnn.weight_hr_l{layer}")
    if projection is not None:
        blocks = {name: projection @ block for name, block in blocks.items()}
    return blocks


def radius(model: Network, layer: int) -> float:
    """Return the spectral radius of a layer's W_hh (LSTM, GRU: of the candidate state's block).

    It is NaN if a weight is not finite or the cell has no W_hh.
    """
    block = recurrent_blocks(model, layer).get(shape_of(model).candidate.letter)
    return math.nan if block is None or not np.isfinite(block).all() else spectral_radius(block)
