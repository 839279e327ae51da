"""Connectivity: norms of the gradient of each output with respect to each input."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments.display import Shown, View, fields_view
from ..arguments.values import integer, message, number
from .nets import check_net, gives_every_step, setting
from .norms import Norms
from .seeds import Indices, backward_seeds, indices


@dataclass(frozen=True, repr=False)
class Connectivity(Shown):
    """Dependence of each output of a sequence on each input.

    Attributes
    ----------
    matrix : float64 [S, T]
        ||d logit_k(t~) / d x_t||_2 for S outputs; with one direction, 0 for t > t~.
    times : int64 [S]
        The step t~ of each output.
    outputs : int64 [S]
        The index k of each output's element.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((20, 4, 2))
    >>> classes = rng.integers(0, 3, (20, 4))
    >>> model = bn.Model("gru", input_size=2, hidden_size=8, output_size=3, dtype="float64")
    >>> found = bn.diagnostics.connectivity(model, x, sample=1)
    >>> found.matrix.shape, bool((found.matrix == np.tril(found.matrix)).all())
    ((20, 20), True)
    >>> np.allclose(found.shares().sum(axis=1), 1)
    True
    """

    matrix: Norms
    times: Indices
    outputs: Indices

    def _view(self) -> View:
        return fields_view(self)

    def shares(self) -> Norms:
        """Return each row divided by its sum. Rows of zeros stay; rows with NaN or inf are NaN."""
        largest = self.matrix.max(axis=1, keepdims=True)
        known = np.isfinite(self.matrix).all(axis=1, keepdims=True)
        scaled = np.where(known, self.matrix / np.where(known & (largest > 0), largest, 1), np.nan)
        total = scaled.sum(axis=1, keepdims=True)
        shares: Norms = scaled / np.where(total > 0, total, 1)
        return shares

    def reach(self, share: float = 0.5) -> Indices:
        """Return the number of latest steps that contribute a share of each row's sum.

        Parameters
        ----------
        share : float
            Share above 0, at most 1, of the sum over a row up to the output's step. (With two
            directions, later steps do not count.)

        Returns
        -------
        int64 [S]
            1 if the output's own step suffices; 0 if the whole row is zero; -1 if a norm is not
            finite.

        Raises
        ------
        TypeError, ValueError
            The share is invalid.

        Examples
        --------
        >>> matrix = np.array([[4.0, 0.0], [1.0, 4.0]])
        >>> found = bn.diagnostics.Connectivity(matrix, np.arange(2), np.zeros(2, int))
        >>> found.reach(0.8), found.reach(0.9)
        (array([1, 1]), array([1, 2]))
        """
        share = number(share, "reach", "share", "above 0, at most 1")
        if not 0 < share <= 1:
            raise ValueError(message("reach", "share", "above 0, at most 1", f"{share:g}"))
        reach = np.zeros(len(self.times), np.int64)
        for s, t in enumerate(self.times):
            row = self.matrix[s, t::-1]
            largest = float(row.max())
            if not np.isfinite(row).all():
                reach[s] = -1
            elif largest > 0:
                back = np.cumsum(row / largest)
                reach[s] = np.argmax(back >= share * back[-1] * (1 - 1e-12)) + 1
        return reach


def connectivity(
    net: Any, x: npt.ArrayLike, outputs: npt.ArrayLike | None = None, *, sample: int = 0,
    horizon: int | None = None, state: Any = None, lengths: npt.ArrayLike | None = None,
) -> Connectivity:  # fmt: skip
    """Compute ||d logit_k(t~) / d x_t|| for all pairs of steps of one sequence, exactly.

    Parameters
    ----------
    net : RNN, LSTM, GRU, MinGRU or Model
    x : floating point [T, N, I] or tokens [T, N]
        The input of the net.
    outputs : integers [T] (or [1] for a model with one output per sequence), optional
        The index k at each step, for a classifier the desired class. The default is the index of
        the largest output.
    sample : int
        Index of the sequence in the batch.
    horizon : int, optional
        Only inputs fewer than ``horizon`` steps back are examined; the others count as 0. For a
        bidirectional model with ``targets="last"``, the steps count from both ends of the sequence.
    state, lengths : optional
        Further inputs of the net.

    Returns
    -------
    Connectivity

    Raises
    ------
    TypeError, ValueError, IndexError
        An argument does not fit.

    References
    ----------
    Madsen 2019, "Visualizing memorization in RNNs", Distill, doi:10.23915/distill.00016.

    Examples
    --------
    >>> model = bn.Model("gru", vocab_size=5, hidden_size=8, output_size=5, targets="last")
    >>> tokens = np.array([[0, 1, 2, 3, 4, 0, 1]]).T
    >>> bn.diagnostics.connectivity(model, tokens, horizon=3).matrix.astype(bool).astype(int)
    array([[0, 0, 0, 0, 1, 1, 1]])
    """
    where = "connectivity"
    check_net(net, "connectivity")
    out, _, tape = net.forward(x, state, lengths=lengths)
    sample = integer(sample, where, "sample", 0, tape.batch - 1)
    length = tape.lengths[sample]
    every = gives_every_step(net)
    times = np.arange(length) if every else np.array([length - 1])
    if every:
        own = (
            out if out.ndim == 2 else out[sample] if setting(net, "batch_first") else out[:, sample]
        )
        own = own[:length]
    else:
        own = out.reshape(-1, out.shape[-1])[sample : sample + 1]
    held: list[object] = []
    if outputs is None:
        chosen = own.argmax(axis=-1)
    else:
        chosen = indices(outputs, where, "outputs", held, len(times))
    samples = np.full(len(times), sample)
    norms = backward_seeds(net, tape, times, outputs=chosen, samples=samples, horizon=horizon)
    return Connectivity(norms.x, times, np.asarray(chosen, np.int64))
