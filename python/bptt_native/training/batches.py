"""Batches of sequences: padding, a seeded order, and windows that carry the state over.

The order of an epoch is a function of the seed and the epoch's number, computed by a counter-based
generator (Philox, Salmon et al. 2011). Any batch of any epoch can therefore be requested, and a
run that is resumed from a checkpoint reads the same batches.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..arguments.values import Array, integer, message
from .data import Data

Integers = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """A window of several sequences.

    Attributes
    ----------
    x : ndarray [T, n, I] or integers [T, n]
        [n, T, ...] for a model with ``batch_first``.
    targets : ndarray
        Targets in the layout of the model.
    lengths : int64 [n], or None
        Number of steps of each sequence in this window; None if all have T.
    members : int64 [n]
        Indices of the sequences.
    start : int
        First step of the window. At 0 the initial states are the model's, else those after the
        previous window.
    mass : float
        Sum of the weights of all targets, the divisor of a mean loss. If it is 0, there is no loss
        and the window only updates the states.
    weights : ndarray, or None
        Weights of the targets, [T, n] or [n] in the layout of the model; None: 1 for each.
    """

    x: Array
    targets: Array
    lengths: Integers | None
    members: Integers
    start: int
    mass: float
    weights: Array | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments for a pass of the model, in addition to x and state."""
        return {} if self.lengths is None else {"lengths": self.lengths}

    @property
    def number(self) -> int:
        """Number of targets; with class weights the sum of those."""
        return int(self.mass if self.weights is None else np.count_nonzero(self.weights))

    @property
    def target_options(self) -> dict[str, Any]:
        """Keyword arguments for a pass that has targets, in addition to `options`."""
        return {} if self.weights is None else {"weights": self.weights}

    def carried(self, state: Any) -> Any:
        """Return the initial states: those of the sequences that continue, or None."""
        if self.start == 0 or state is None:
            return None
        n = len(self.members)
        return tuple(s[:, :n] for s in state) if isinstance(state, tuple) else state[:, :n]


class Source(Protocol):
    """A source of a trainer's batches."""

    @property
    def batches(self) -> int:
        """Number of batches per epoch."""

    def batch(self, epoch: int, index: int) -> Batch:
        """Return a batch of an epoch, both counted from 0."""


def random_words(seed: int, epoch: int, n: int = 1) -> npt.NDArray[np.uint64]:
    """Return n random words of an epoch, which depend only on the seed and the epoch."""
    return np.random.Philox(key=np.array([seed % 2**64, epoch], np.uint64)).random_raw(n)


class Sequences:
    """Batches of separate sequences.

    Without a window each epoch is a permutation of the sequences. With a window, a batch holds
    sequences of similar length and reads them window by window; sequences that end drop out.

    Parameters
    ----------
    data : Data
        The sequences with their targets.
    batch_size : int
        Number of sequences in a batch; the last batch may have fewer.
    window : int, optional
        Number of steps of truncated BPTT.
    seed : int, optional
        Seed of the order. None keeps the given order (with a window: by descending length).
    """

    def __init__(
        self, data: Data, batch_size: int, window: int | None = None, seed: int | None = None
    ) -> None:
        self._data, self._size, self._window, self._seed = data, batch_size, window, seed
        self._lengths = np.array([len(s) for s in data.x], np.int64)
        longest = np.sort(self._lengths)[::-1][::batch_size]
        pieces = [1] * len(longest) if window is None else [-(-int(t) // window) for t in longest]
        self._pieces = pieces
        self.batches: int = sum(pieces)
        self._epoch, self._order, self._plan = -1, np.arange(0), list[tuple[int, int]]()

    def _prepare(self, epoch: int) -> None:
        n, groups = len(self._lengths), range(len(self._pieces))
        order, turns = np.arange(n), np.arange(len(self._pieces))
        if self._seed is not None:
            words = random_words(self._seed, epoch, n + len(groups))
            order, turns = np.argsort(words[:n], kind="stable"), np.argsort(words[n:])
        if self._window is None:
            turns = np.arange(len(groups))
        else:
            order = order[np.argsort(-self._lengths[order], kind="stable")]
        self._plan = [(int(g), piece) for g in turns for piece in range(self._pieces[g])]
        self._epoch, self._order = epoch, order

    def batch(self, epoch: int, index: int) -> Batch:
        """Return a batch of an epoch."""
        if epoch != self._epoch:
            self._prepare(epoch)
        group, piece = self._plan[index]
        members = self._order[group * self._size : (group + 1) * self._size]
        start = 0 if self._window is None else piece * self._window
        members = members[self._lengths[members] > start]
        lengths = self._lengths[members] - start
        if self._window is not None:
            lengths = np.minimum(lengths, self._window)
        form, whole = self._data.form, bool((lengths == lengths.max()).all())
        spans = [(i, slice(start, start + t)) for i, t in zip(members, lengths, strict=True)]
        x = _padded([self._data.x[i][span] for i, span in spans])
        y, mass, targets, w = np.empty(0), 0.0, self._data.targets, self._data.weights
        weights = None
        if targets is not None:
            chosen = [targets[i][span] if form.every else targets[i] for i, span in spans]
            y = form.laid_out(_padded(chosen)) if form.every else np.stack(chosen)
            own = w and [w[i][span] if form.every else w[i] for i, span in spans]
            if own:
                weights = form.laid_out(_padded(own)) if form.every else np.stack(own)
            mass = form.count(chosen, own)
        shape = None if whole else lengths
        return Batch(form.laid_out(x), y, shape, members, start, mass, weights)


def _padded(arrays: list[Array]) -> Array:
    """Return sequences [t_i, ...] as one array [T, n, ...], padded with zeros."""
    longest = max(map(len, arrays))
    out = np.zeros((longest, len(arrays), *arrays[0].shape[1:]), arrays[0].dtype)
    for n, array in enumerate(arrays):
        out[: len(array), n] = array
    return out


def side_by_side(array: Array, streams: int, length: int, offset: int = 0) -> Array:
    """Return an array [n, ...] cut into contiguous streams, as a view [length, streams, ...]."""
    part = array[offset : offset + streams * length]
    return part.reshape(streams, length, *array.shape[1:]).swapaxes(0, 1)


class Streams:
    """Windows of one long sequence, cut into contiguous streams that are read in parallel.

    Parameters
    ----------
    data : Data
        One sequence with targets at every step.
    streams : int
        Number of streams N, an attribute too.
    window : int
        Number of steps T of truncated BPTT.
    seed : int, optional
        Seed of the step at which each epoch begins. Steps that do not fill a window are left out,
        and so they differ between epochs. With None all epochs begin at step 0, and the last
        window may be shorter.
    """

    streams: int

    def __init__(self, data: Data, streams: int, window: int, seed: int | None = None) -> None:
        self._data, self.streams, self._window, self._seed = data, streams, window, seed
        length = len(data.x[0]) // streams
        self.batches: int = length // window if seed is not None else -(-length // window)
        if self.batches == 0:
            least = f"at least {streams} x {window} steps, one window of all streams"
            raise ValueError(message(data.form.where, "x", least, str(len(data.x[0]))))
        self._epoch, self._cut = -1, list[Array]()

    def batch(self, epoch: int, index: int) -> Batch:
        """Return a window of an epoch."""
        data, N, T = self._data, self.streams, self._window
        assert data.targets is not None
        if epoch != self._epoch:
            n, offset = len(data.x[0]), 0
            if self._seed is not None:
                offset = int(random_words(self._seed, epoch)[0]) % (n - self.batches * N * T + 1)
            length = (n - offset) // N
            whole = [data.x[0], data.targets[0], *(data.weights or [])]
            self._cut = [side_by_side(a, N, length, offset) for a in whole]
            self._epoch = epoch
        start = index * T
        end = min(start + T, len(self._cut[0]))
        x, y, *w = (a[start:end] for a in self._cut)
        laid_out = data.form.laid_out
        weights = laid_out(w[0]) if w else None
        mass = data.form.count([y], w or None)
        return Batch(laid_out(x), laid_out(y), None, np.arange(N), start, mass, weights)


def source_of(
    data: Data, batch_size: object = None, window: object = None, seed: int | None = None
) -> Sequences | Streams:
    """Return the batches of sequences; see ``fit`` for the arguments.

    Raises
    ------
    TypeError, ValueError
        A size is invalid, or a window does not fit the model.
    """
    form = data.form
    usual = 1 if data.single else 32
    size = usual if batch_size is None else integer(batch_size, form.where, "batch_size", 1)
    if window is not None:
        window = integer(window, form.where, "window", 1)
        if not form.every:
            expected = 'None with targets="last": a window before the last has no target'
            raise ValueError(message(form.where, "window", expected, str(window)))
    if not data.single or not form.every:
        return Sequences(data, min(size, len(data.x)), window, seed)
    if window is None:
        window = max(1, len(data.x[0]) // size)
    return Streams(data, size, window, seed)
