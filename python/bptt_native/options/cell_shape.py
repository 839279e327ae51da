"""The engine's descriptions of the cells: gates, states and contents of a tape."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from .. import _core


class Gate(NamedTuple):
    """A gate of a cell, which is a block of H rows of its weights.

    Attributes
    ----------
    letter, name : str
        For example "i" and "input gate i".
    flat : str
        Where the function of the gate is flat: "unit" (at both ends of (0, 1)), "symmetric" (at
        both ends of (-1, 1)) or "never". For an RNN this depends on its nonlinearity.
    """

    letter: str
    name: str
    flat: str


class CellShape(NamedTuple):
    """The description of a cell.

    Attributes
    ----------
    name : str
        For example "lstm".
    gates : tuple of Gate
        The gates in the order of the weights.
    tape_gates : bool
        Whether a tape holds values of the gates. For an RNN they are the states.
    has_c : bool
        Whether the state is (h, c).
    products : int
        Number of products with W_hh in a step: 0 for a cell without W_hh, 2 for a GRU whose reset
        acts before the product, else 1.
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
        """The gate that holds the candidate state, whose values are not limited to (0, 1)."""
        return next(gate for gate in self.gates if gate.flat != "unit")

    def gate(self, letter: str) -> Gate:
        """Return the gate with a given letter."""
        return next(gate for gate in self.gates if gate.letter == letter)


def described(parts: dict[str, Any]) -> CellShape:
    """Return the description made of the parts that `_core` returns."""
    return CellShape(**parts | {"gates": tuple(Gate(*gate) for gate in parts["gates"])})


@cache
def cell_shape(number: int, coupled: bool = False, reset_before: bool = False) -> CellShape:
    """Return the description of a cell.

    Parameters
    ----------
    number : int
        The number of the cell in the engine.
    coupled, reset_before : bool
        The options that change the gates: coupled gates (LSTM), reset before the product (GRU).

    Returns
    -------
    CellShape
        The description.
    """
    return described(_core.describe_cell(number, coupled, reset_before))


@cache
def flatness(nonlinearity: int) -> str:
    """Return where a nonlinearity is flat: "negative", "slope" or a value of `Gate.flat`."""
    return _core.describe_nonlinearity(nonlinearity)[1]


@cache
def told_by_value(nonlinearity: int) -> bool:
    """Return whether the engine computes f'(a) from f(a), not from a."""
    return not _core.describe_nonlinearity(nonlinearity)[2]
