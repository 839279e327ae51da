"""Sequences and their targets: checks of the data, their weights, and a split of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import numpy as np

from ..arguments.arrays import convert
from ..arguments.readings import Reading
from ..arguments.values import Array, describe, message, refuse_type
from ..nn.network import Network
from ..options.losses import Loss, loss_of


class Form:
    """Shapes and dtypes of a model's inputs and targets, and checks of them.

    Parameters
    ----------
    model : Model
    where : str
        The function, for messages.
    """

    def __init__(self, model: Network, where: str) -> None:
        config = model.config
        self.where = where
        self.dtype: str = str(config["dtype"])
        self.features: Any = config["input_size"]  # None for tokens
        self.vocabulary: Any = config["vocab_size"]
        self.outputs: int = int(config["output_size"])
        self.every: bool = config["targets"] == "every"
        self.loss: Loss = loss_of(config)
        self.classes: bool = self.loss.classes
        self.batch_first: bool = bool(config.get("batch_first", False))
        self.ignored: int = int(config.get("ignore_index", -100))
        weights = config.get("class_weights")
        self.class_weights: Array | None = (
            None if weights is None else np.asarray(weights, np.float64)
        )
        self.held: list[object] = []  # keeps other threads from resizing arrays of the data

    def laid_out(self, array: Array) -> Array:
        """Return a time-major array in the layout of the model."""
        return array.swapaxes(0, 1) if self.batch_first else array

    def input(self, value: object, name: str, batch: bool = False) -> Array:
        """Check a sequence [T, I] or [T]; with ``batch``, the array may also hold several."""
        tokens = self.features is None
        tail = "]" if tokens else f", {self.features}]"
        lead = "N, T" if self.batch_first else "T, N"
        kind = "integers" if tokens else self.dtype
        one = f"[T{tail}" + (", [T]" if self.features == 1 else "")
        expected = f"{kind} {one}"
        if batch:
            expected = f"{kind} [{lead}{tail}, {one} or a list of sequences {one}"
        features = () if tokens else (self.features,)
        shapes = [(None, *features), (None, None, *features)][: 1 + batch]
        if self.features == 1:
            shapes.append((None,))  # the last axis may be missing
        forms = {"int64" if tokens else self.dtype: shapes}
        whole = batch and self.features == 1
        if whole and isinstance(value, np.ndarray) and value.ndim == 2 and value.shape[1] != 1:
            got = f"{describe(value)} ({name}[..., None] has the axis of the one feature)"
            raise ValueError(message(self.where, name, expected, got))
        of_objects = isinstance(value, np.ndarray) and value.dtype.kind == "O"
        if batch and (of_objects or isinstance(value, Iterator)):
            got = f"{describe(value)} (list({name}) is a list)"
            raise TypeError(message(self.where, name, expected, got))
        array = convert(value, forms, self.where, name, expected, held=self.held)
        if self.features == 1 and array.ndim == 1:
            array = array[:, None]
        if tokens and (array.min() < 0 or array.max() >= self.vocabulary):
            text = f"0 ... {self.vocabulary - 1}"
            got = f"{array.min()} ... {array.max()}"
            raise IndexError(message(self.where, name, f"tokens {text}", got))
        return array

    def target(
        self,
        value: object,
        name: str,
        shape: tuple[int, ...],
        steps: int = 0,
        sequences: int | None = 0,
    ) -> Array:
        """Check targets whose leading axes have these sizes: classes, or values [..., O].

        For messages, `steps` and `sequences` are those of an array x; None is one sequence.
        """
        full = shape if self.classes else (*shape, self.outputs)
        kind = "int64" if self.classes else self.dtype
        expected = f"{'classes (integers)' if self.classes else kind} {list(full)}"
        single = not self.classes and self.outputs == 1  # the last axis may be missing
        forms = {kind: [full, shape] if single else [full]}
        read = Reading(full, self.classes, steps, sequences, self.features, self.batch_first)
        array = convert(value, forms, self.where, name, expected, reading=read, held=self.held)
        if array.shape != full:
            array = array[..., None]
        if self.classes:
            real = array[array != self.ignored]
            if real.size and (real.min() < 0 or real.max() >= self.outputs):
                got = f"{real.min()} ... {real.max()}"
                text = f"classes 0 ... {self.outputs - 1}"
                if self.outputs == 1:
                    got += " (output_size is the number of classes; one output for the classes 0 "
                    got += "and 1 has Model(loss='binary_cross_entropy'))"
                elif real.min() == -1 and real.max() < self.outputs:
                    got += " (Model(ignore_index=-1) leaves out targets of -1)"
                elif len(np.unique(real)) <= self.outputs:
                    got += f" (np.unique({name}, return_inverse=True)[1] counts them from 0)"
                raise IndexError(message(self.where, name, text, got))
        return array

    def weight(self, value: object, name: str, *shapes: tuple[int, ...]) -> Array:
        """Check weights of targets, whose axes have the sizes of one of these shapes."""
        expected = f"{self.dtype} {' or '.join(str(list(shape)) for shape in shapes)}"
        if self.classes and isinstance(value, Mapping):
            got = f"{describe(value)} (Model(class_weights=[...]) has weights of classes)"
            raise TypeError(message(self.where, name, expected, got))
        forms = {self.dtype: shapes, "bool": shapes}
        array = convert(value, forms, self.where, name, expected, held=self.held)
        good = np.isfinite(array) & (array >= 0)
        if not good.all():
            got = str(array[~good].flat[0])
            raise ValueError(message(self.where, name, f"{expected}, finite and >= 0", got))
        return array

    def count(self, targets: Iterable[Array], weights: Iterable[Array] | None = None) -> float:
        """Return the divisor of the mean loss over some targets."""
        total = 0.0
        for y, w in zip(targets, repeat(None) if weights is None else weights, strict=False):
            if not self.classes:
                total += y.size // self.outputs if w is None else w.sum(dtype=np.float64)
            elif w is None and self.class_weights is None:
                total += np.count_nonzero(y != self.ignored)
            else:
                real = y != self.ignored
                factors = np.float64(1) if w is None else w[real].astype(np.float64)
                if self.class_weights is not None:
                    factors = factors * self.class_weights[y[real]]
                total += factors.sum()
        return float(total)


@dataclass(frozen=True)
class Data:
    """Checked sequences with their targets.

    Attributes
    ----------
    form : Form
    x : list of ndarray [T_i, I] or int64 [T_i]
    targets : list of ndarray, or None
        For each sequence [T_i] or [T_i, O]; with ``targets="last"``, a scalar array or [O].
    single : bool
        Whether the caller gave one sequence rather than several.
    weights : list of ndarray, or None
        Weights of the targets, for each sequence [T_i] or a scalar array; None: 1 for each.
    """

    form: Form
    x: list[Array]
    targets: list[Array] | None
    single: bool
    weights: list[Array] | None = None

    def balanced(self, weights: str, name: str) -> "Data":
        """Return the data with the weights "balanced", see `read_data`.

        Parameters
        ----------
        weights : str
            The argument of the function; other texts are refused.
        name : str
            Its name, for messages.
        """
        own = _balanced(self.form, self.targets or [], weights, name)
        return replace(self, weights=own)

    def split(self, fraction: float, name: str) -> tuple["Data", "Data"]:
        """Return the data without their last part, and that part.

        Parameters
        ----------
        fraction : float
            Share of the sequences in the last part, rounded, at least one; or of the steps of a
            single sequence that has a target at every step.
        name : str
            The argument of the function that gave it, for messages.

        Raises
        ------
        ValueError
            One of the parts has no target that counts.
        """
        in_time = self.single and self.form.every
        total = len(self.x[0]) if in_time else len(self.x)
        first = total - max(1, round(total * fraction))
        found = []
        for part in (slice(first), slice(first, None)):
            lists = (self.x, self.targets, self.weights)
            x, y, w = (a and ([s[part] for s in a] if in_time else a[part]) for a in lists)
            if not x or not len(x[0]) or not y or self.form.count(y, w) == 0:
                unit = "step" if in_time else "sequence"
                expected = "a fraction that leaves targets in both parts"
                got = f"{fraction} of {total} {unit}{'s' * (total != 1)}"
                raise ValueError(message(self.form.where, name, expected, got))
            found.append(Data(self.form, x, y, self.single, w))
        return found[0], found[1]


def read_data(
    model: Network, x: object, targets: object, where: str,
    names: Sequence[str] = ("x", "targets", "weights"), finite: bool = False,
    weights: object = None, needed: bool = True,
) -> Data:  # fmt: skip
    """Check sequences and targets, and split them into single sequences.

    Parameters
    ----------
    model : Model
    x : array_like, or list of array_like
        Several sequences as a list of [T_i, I] (tokens: [T_i]) or as an array [T, N, I] (tokens:
        [T, N]; with ``batch_first``, N comes first); or one sequence as an array [T, I] (tokens:
        [T]). Single sequences of one feature may be [T].
    targets : array_like, or list of array_like, or None
        Targets of each step have the form of x, with O or nothing instead of I. Targets of each
        sequence (``targets="last"``) have the shape [N] or [N, O]. Values of one output may lack
        the last axis.
    where, names : str
        The function and its arguments, for messages.
    finite : bool
        Whether to refuse numbers that are not finite. Data for training and validation must be
        finite. Other data may hold NaN, which makes the outputs of its sequence NaN.
    weights : array_like, or list of array_like, or str, optional
        One weight per target, in the form of classes as targets; or one per sequence, [N]; or
        "balanced": for each class, the number of targets over (classes x targets of the class).
    needed : bool
        Whether to refuse None as targets.

    Raises
    ------
    TypeError, ValueError
        A dtype or shape does not fit, no target counts, the weights have no finite sum, a number is
        not finite, or a target of "binary_cross_entropy" that counts is outside [0, 1].
    IndexError
        A token or class is out of range.
    """
    form, (x_name, y_name, w_name) = Form(model, where), names
    if targets is None and needed:
        refuse_type(targets, where, y_name, f"the targets of {x_name}")
    time = 1 if form.batch_first else 0
    if isinstance(x, list | tuple):
        if not x:
            raise ValueError(message(where, x_name, "at least one sequence", "an empty list"))
        inputs = [form.input(s, f"{x_name}[{i}]") for i, s in enumerate(x)]
        single = False
    else:
        array = form.input(x, x_name, batch=True)
        single = array.ndim + (form.features is None) == 2
        inputs = [array] if single else list(np.moveaxis(array, 1 - time, 0))
    if finite:
        _check_finite(form, inputs, x_name, "feature", every=True, single=single)
    if targets is None:
        return Data(form, inputs, None, single)
    ys = _read_targets(form, x, inputs, single, targets, y_name)
    ws = None
    if weights is not None:
        ws = _read_weights(form, x, inputs, single, ys, weights, w_name)
    with np.errstate(over="ignore"):
        mass = form.count(ys, ws)
    if mass == 0:
        expected = "at least one that is not ignored and that has a weight"
        raise ValueError(message(where, y_name, expected, "none"))
    if not np.isfinite(mass):
        name = y_name if ws is None else w_name
        raise ValueError(message(where, name, "targets whose weights have a finite sum", str(mass)))
    if finite:
        _check_finite(form, ys, y_name, "output", every=form.every, single=single)
    if form.loss.unit_interval:
        inside = [(y >= 0) & (y <= 1) for y in ys]
        if ws is not None:  # a target of weight 0 does not count
            inside = [good | (w == 0)[..., None] for good, w in zip(inside, ws, strict=True)]
        _check_numbers(
            form, ys, inside, y_name, "numbers in [0, 1]", "output", form.every, single
        )  # fmt: skip
    return Data(form, inputs, ys, single, ws)


def _check_finite(
    form: Form, arrays: list[Array], name: str, column: str, every: bool, single: bool
) -> None:
    """Refuse a number that is not finite and name its place in [T_i, columns] or [columns]."""
    good = map(np.isfinite, arrays)
    _check_numbers(form, arrays, good, name, "finite numbers", column, every, single)


def _check_numbers(
    form: Form, arrays: list[Array], good: Iterable[Array], name: str, expected: str, column: str,
    every: bool, single: bool,
) -> None:  # fmt: skip
    """Refuse the first number that is not good and name its place, see `_check_finite`."""
    for i, (array, fits) in enumerate(zip(arrays, good, strict=True)):
        if fits.all():
            continue
        at = np.unravel_index(int(fits.argmin()), array.shape)
        axes = (["step"] if every else []) + [column]
        place = [] if single else [f"sequence {i} of {len(arrays)}"]
        place += [f"{axis} {int(k)}" for axis, k in zip(axes, at, strict=True)]
        got = f"{float(array[at])} at {', '.join(place)} (counted from 0)"
        raise ValueError(message(form.where, name, expected, got))


def _read_targets(
    form: Form, x: object, inputs: list[Array], single: bool, targets: object, y_name: str
) -> list[Array]:
    """Check the targets of these inputs and return those of each sequence."""
    n, where, time = len(inputs), form.where, 1 if form.batch_first else 0
    if not form.every:
        steps = 0 if isinstance(x, list | tuple) else len(inputs[0])
        read = (steps, None if single else n)
        y = form.target(targets, y_name, () if single else (n,), *read)
        return [y] if single else list(y)
    if single:
        return [form.target(targets, y_name, (len(inputs[0]),), len(inputs[0]), None)]
    if isinstance(x, list | tuple):
        if not isinstance(targets, list | tuple) or len(targets) != n:
            got = describe(targets)
            if isinstance(targets, list | tuple):
                got = f"a {type(targets).__name__} of {len(targets)}"
            elif isinstance(targets, np.ndarray) and targets.shape == (n,):
                got += " (one target per sequence: Model(targets='last'))"
            raise ValueError(message(where, y_name, f"a list of {n} arrays, as x", got))
        return [form.target(t, f"{y_name}[{i}]", (len(inputs[i]),)) for i, t in enumerate(targets)]
    shape = (n, len(inputs[0])) if form.batch_first else (len(inputs[0]), n)
    y = form.target(targets, y_name, shape, len(inputs[0]), n)
    return list(np.moveaxis(y, 1 - time, 0))


def _balanced(form: Form, ys: list[Array], weights: str, name: str) -> list[Array]:
    """Return weights with which each class of these targets has the same sum."""
    if weights != "balanced" or not form.classes:
        expected = "numbers, or 'balanced' with classes"
        raise ValueError(message(form.where, name, expected, f"{weights!r:.80}"))
    real = np.concatenate([y[y != form.ignored].ravel() for y in ys])
    counts = np.bincount(real, minlength=form.outputs)
    share = real.size / (np.count_nonzero(counts) * np.maximum(counts, 1))
    table = np.append(share, 0.0).astype(form.dtype)  # an ignored target has no weight
    return [table[np.where(y == form.ignored, -1, y)] for y in ys]


def _read_weights(
    form: Form, x: object, inputs: list[Array], single: bool, ys: list[Array], weights: object,
    name: str,
) -> list[Array]:  # fmt: skip
    """Check the weights of these targets and return those of each sequence."""
    if isinstance(weights, str):
        return _balanced(form, ys, weights, name)
    n, T = len(inputs), len(inputs[0])
    if not form.every:
        w = form.weight(weights, name, () if single else (n,))
        return [w] if single else list(w)
    if single:
        return [form.weight(weights, name, (T,))]
    listed = isinstance(x, list | tuple)
    if listed and isinstance(weights, list | tuple) and any(np.ndim(w) > 0 for w in weights):
        if len(weights) != n:
            got = f"a {type(weights).__name__} of {len(weights)}"
            raise ValueError(message(form.where, name, f"a list of {n} arrays, as x", got))
        lengths = [(len(s),) for s in inputs]
        return [form.weight(w, f"{name}[{i}]", lengths[i]) for i, w in enumerate(weights)]
    steps = (n, T) if form.batch_first else (T, n)
    w = form.weight(weights, name, *([(n,)] if listed else [steps, (n,)]))
    if w.ndim == 1:  # of sequences
        return [np.full(len(s), own, w.dtype) for s, own in zip(inputs, w, strict=True)]
    return list(w if form.batch_first else w.T)
