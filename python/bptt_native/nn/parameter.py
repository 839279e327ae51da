"""Parameters of layers and models by name: the tensors themselves, and the mapping to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from .. import _core
from ..arguments.arrays import convert
from ..arguments.display import Names, Shown, Table, View, bytes_text, range_text, shape_text
from ..arguments.foreign import Guided
from ..arguments.names import missing_key
from ..arguments.values import Array, Contents, flag, outline
from .gradients import Layout


class Row(NamedTuple):
    """The engine's description of a parameter tensor."""

    name: str
    shape: tuple[int, ...]
    offset: int
    size: int
    frozen: bool
    masked: bool
    nonnegative: bool


def rows_of(params: _core.Params) -> list[Row]:
    """Return the descriptions of all tensors, in the order of the flat vector."""
    return [Row(*row) for row in params.table()]


class Owner(Protocol):
    """A layer or model as its parameters know it."""

    _params: _core.Params
    _layout: Layout
    _dtype: np.dtype[Any]

    def _set_frozen(self, method: str, names: tuple[str, ...], frozen: bool) -> None: ...
    def _set_mask(self, method: str, name: str, mask: npt.ArrayLike | None) -> None: ...
    def _warn_of_nonfinite(self, where: str, flat: Array) -> None: ...


def _words(row: Row) -> list[str]:
    return [word for word in ("frozen", "masked", "nonnegative") if getattr(row, word)]


def parameter_parts(owner: Owner) -> tuple[Table, str]:
    """Return the table of the parameters of a layer or model, and their number and memory."""
    found = rows_of(owner._params)
    rows = [
        (row.name, shape_text(row.shape), f"{row.size:,}", ", ".join(_words(row))) for row in found
    ]
    count, dtype = sum(row.size for row in found), owner._dtype
    total = f"{count:,} parameters, {dtype}, {bytes_text(count * dtype.itemsize)}"
    columns = 4 if any(row[3] for row in rows) else 3
    header = ("parameter", "shape", "elements", "settings")[:columns]
    return Table(header, [row[:columns] for row in rows]), total


class Parameter(Guided, Shown, NDArrayOperatorsMixin):  # type: ignore[metaclass]
    """A parameter tensor of a layer or model.

    It can be used like an array in NumPy's functions and in arithmetic. Reading copies the current
    values; ``p[...] = values`` sets them. Made by ``layer.parameters[name]``.

    Examples
    --------
    >>> layer = bn.GRU(2, 3)
    >>> weight = layer.parameters["weight_hh_l0"]
    >>> weight.shape, weight.frozen
    ((9, 3), False)
    >>> weight[...] = 0.5 * weight
    >>> bool(np.all(np.abs(weight) < 0.5))
    True
    """

    __slots__ = ("_owner", "name")
    __hash__ = None  # type: ignore[assignment]

    name: str
    """The name, as in PyTorch: "weight_hh_l0"."""

    def __init__(self, owner: Owner, name: str) -> None:
        self._owner, self.name = owner, name

    @property
    def _where(self) -> str:
        return f"{type(self._owner).__name__}.parameters"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return self._owner._layout[self.name][2]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype: float32 or float64."""
        return self._owner._dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        start, stop, _ = self._owner._layout[self.name]
        return stop - start

    @property
    def frozen(self) -> bool:
        """Whether its gradient is kept at zero, so that optimisers do not change it."""
        return self._row.frozen

    @frozen.setter
    def frozen(self, value: bool) -> None:
        frozen = flag(value, self._where, "frozen")
        self._owner._set_frozen("parameters", (self.name,), frozen)

    @property
    def _row(self) -> Row:
        return next(row for row in rows_of(self._owner._params) if row.name == self.name)

    @property
    def mask(self) -> Array | None:
        """The elements that are not fixed at 0, a read-only bool array, or None; see `set_mask`."""
        if not self._row.masked:
            return None
        mask = self._owner._params.get_mask(self.name).reshape(self.shape)
        mask.flags.writeable = False
        return mask

    @mask.setter
    def mask(self, value: npt.ArrayLike | None) -> None:
        self._owner._set_mask("parameters", self.name, value)

    @property
    def nonnegative(self) -> bool:
        """Whether its elements are kept at 0 or above, as by `set_nonnegative`."""
        return self._row.nonnegative

    @nonnegative.setter
    def nonnegative(self, value: bool) -> None:
        on = flag(value, self._where, "nonnegative")
        self._owner._params.set_nonnegative(self.name, on)

    def _copy(self) -> Array:
        start, stop, shape = self._owner._layout[self.name]
        return self._owner._params.get()[start:stop].reshape(shape).copy()

    @property
    def value(self) -> Array:
        """A read-only copy of the current values. Assign an array to set them."""
        values = self._copy()
        values.flags.writeable = False  # an element of a copy that is set would change nothing
        return values

    @value.setter
    def value(self, values: npt.ArrayLike) -> None:
        where, held = self._where, list[object]()
        expected = f"a {self.dtype} array of shape {list(self.shape)}"
        forms = {str(self.dtype): [self.shape]}
        given = convert(values, forms, where, self.name, expected, held=held)
        start, stop, _ = self._owner._layout[self.name]
        flat = self._owner._params.get()
        flat[start:stop] = given.reshape(-1)
        self._owner._warn_of_nonfinite(where, flat)
        self._owner._params.set(flat)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("Parameter.__array__: values cannot be read without a copy")
        return np.asarray(self._copy(), dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", (None,))
        plain = [np.asarray(x) if isinstance(x, Parameter) else x for x in inputs]
        if not any(isinstance(target, Parameter) for target in out):
            given = {} if out == (None,) else {"out": out}
            return getattr(ufunc, method)(*plain, **given, **kwargs)
        if len(out) != 1:
            return NotImplemented
        out[0][...] = getattr(ufunc, method)(*plain, **kwargs)
        return out[0]

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value)

    def __getitem__(self, key: Any) -> Any:
        return self.value[key]

    def __setitem__(self, key: Any, values: npt.ArrayLike) -> None:
        nested = isinstance(values, list | tuple)
        shape = outline(values, Contents()) if nested else np.shape(values)  # type: ignore[arg-type]
        forms, held = {str(self.dtype): [shape or ()]}, list[object]()
        expected = f"{self.dtype} numbers"
        given = convert(values, forms, self._where, self.name, expected, held=held)
        changed = self._copy()
        changed[key] = given
        self.value = changed

    def _view(self) -> View:
        words = _words(self._row)
        text = ", ".join([f"shape={list(self.shape)}", str(self.dtype), *words])
        return View(f"Parameter({self.name!r}, {text})", (range_text(self.value),))


class Parameters(Mapping[str, Parameter], Shown):
    """The parameters of a layer or model by name, in the order of the flat vector.

    ``net.parameters["weight_hh_l0"] = values`` sets one of them. Calling it returns an iterator
    over the parameters, as ``parameters()`` does in PyTorch.

    Examples
    --------
    >>> layer = bn.RNN(2, 3)
    >>> list(layer.parameters)
    ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0']
    >>> layer.parameters["bias_hh_l0"] = np.zeros(3)
    >>> sum(p.size for p in layer.parameters())
    21
    """

    __slots__ = ("_owner",)

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def __getitem__(self, name: str) -> Parameter:
        if name not in self._owner._layout:
            raise missing_key(name, self)
        return Parameter(self._owner, name)

    def __setitem__(self, name: str, values: npt.ArrayLike) -> None:
        self[name].value = values

    def __call__(self) -> Iterator[Parameter]:
        """Return an iterator over the parameters."""
        return iter(self.values())

    def __iter__(self) -> Iterator[str]:
        return iter(self._owner._layout)

    def __len__(self) -> int:
        return len(self._owner._layout)

    def keys(self) -> Names:
        """Return a view of the names."""
        return Names(self)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def _view(self) -> View:
        return View(f"Parameters of {type(self._owner).__name__}:", parameter_parts(self._owner))
