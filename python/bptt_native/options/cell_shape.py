"""The cells as the engine describes them: their gates, and what their states and tapes hold."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from .. import _core


class Gate(NamedTuple):
    """A gate of a cell, a block of H rows of its weights.

    Attributes
    ----------
    letter, name : str
        "i", "input gate i".
    flat : str
        Where its function is flat: "unit" (at both ends of (0, 1)), "symmetric" (of (-1, 1)), or
        "never"; of an RNN its nonlinearity says that.
    """

    letter: str
    name: str
    flat: str


class CellShape(NamedTuple):
    """A cell.

    Attributes
    ----------
    name : str
        "lstm".
    gates : tuple of Gate
        In the order of the weights.
    tape_gates : bool
        Whether a tape has the gates (an RNN's are its states).
    has_c : bool
        Whether the state is (h, c).
    products : int
        With W_hh at each step: 0 where the cell has no W_hh, 2 with the reset before the product.
    """

    name: str
    gates: tuple[Gate, ...]
    tape_gates: bool
    has_c: bool
    products: int

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters of the gates."""
        return tuple(gate.letter for gate in self.gates)

    @property
    def candidate(self) -> Gate:
        """The gate that proposes a new state: the one that is no number from 0 to 1."""
        return next(gate for gate in self.gates if gate.flat != "unit")

    def gate(self, letter: str) -> Gate:
        """Return the gate of that letter."""
        return next(gate for gate in self.gates if gate.letter == letter)


def described(parts: dict[str, Any]) -> CellShape:
    """Return the shape from the parts that `_core` gives."""
    return CellShape(**parts | {"gates": tuple(Gate(*gate) for gate in parts["gates"])})


@cache
def cell_shape(number: int, coupled: bool = False, reset_before: bool = False) -> CellShape:
    """Return the shape of the cell that has this number in the engine.

    Parameters
    ----------
    number : int
        The engine's number of the cell.
    coupled, reset_before : bool
        Its options that change its gates.

    Returns
    -------
    CellShape
    """
    return described(_core.describe_cell(number, coupled, reset_before))


@cache
def flatness(nonlinearity: int) -> str:
    """Return where a nonlinearity is flat: "negative", "slope" or what a `Gate` may have."""
    return _core.describe_nonlinearity(nonlinearity)[1]


@cache
def told_by_value(nonlinearity: int) -> bool:
    """Return whether the engine computes f'(a) from f(a), not from a."""
    return not _core.describe_nonlinearity(nonlinearity)[2]
