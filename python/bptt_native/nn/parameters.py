"""The base class of layers and models: named parameters over one flat vector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..arguments.arrays import convert, read
from ..arguments.caller import warn
from ..arguments.display import Shown, View, constructor_text, plain
from ..arguments.foreign import Guided
from ..arguments.names import guided, with_guess
from ..arguments.values import (
    Array,
    describe,
    flag,
    integer,
    message,
    number,
    positive,
    refuse_type,
)
from ..options.attribute import OptionOf
from ..options.config import Config
from ..options.init import Init
from ..options.to_engine import truncation_of
from ..options.words import Compute, InitName
from .gradients import Gradients, Layout, like
from .parameter import Parameter, Parameters, parameter_parts, rows_of

if TYPE_CHECKING:
    from .summary import Summary


def draw_of(draw: object, where: str, random: bool = True) -> int:
    """Return the number of the random masks and noise of a pass after checking it.

    Parameters
    ----------
    draw : int
        The value of the argument `draw`.
    where : str
        The function, for messages.
    random : bool
        Whether the pass draws masks or noise.

    Returns
    -------
    int
        `draw`.

    Raises
    ------
    TypeError, ValueError
        If it is no integer from 0 to 2**64 - 1, or the pass is not random.
    """
    if not random:
        expected = "None without training=True or noise=True"
        raise ValueError(message(where, "draw", expected, describe(draw)))
    return integer(draw, where, "draw", 0, 2**64 - 1)


@guided
class Parameterised(Guided, Shown):
    """Base class of layers and models, which hands out copies of their parameters by name."""

    __slots__ = ("__weakref__", "_dtype", "_layout", "_params")

    seed: OptionOf[int] = OptionOf()
    bias: OptionOf[bool] = OptionOf()
    hidden_size: OptionOf[int] = OptionOf()
    num_layers: OptionOf[int] = OptionOf()
    batch_first: OptionOf[bool] = OptionOf()
    compute: OptionOf[Compute | None] = OptionOf()
    init: OptionOf[InitName | Init] = OptionOf()
    bidirectional: OptionOf[bool] = OptionOf()
    dropout: OptionOf[float] = OptionOf()
    variational: OptionOf[bool] = OptionOf()
    zoneout: OptionOf[float] = OptionOf()
    learn_initial_state: OptionOf[bool] = OptionOf()

    _config: dict[str, Any]
    _params: _core.Params
    _layout: Layout
    _dtype: np.dtype[Any]

    def _adopt(self, params: _core.Params, dtype: object) -> None:
        self._params = params
        self._dtype = np.dtype(dtype)  # type: ignore[call-overload]
        self._layout = {
            name: (offset, offset + count, shape)
            for name, shape, offset, count, *_ in params.table()
        }

    @property
    def config(self) -> Config:
        """The arguments of the constructor by name, with which another one like it can be made."""
        return Config(self._config)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters and results: float32 or float64."""
        return self._dtype

    @property
    def num_parameters(self) -> int:
        """The number of elements of all parameters."""
        return max(stop for _, stop, _ in self._layout.values())

    @property
    def parameters(self) -> Parameters:
        """The parameters by name, see `Parameters`; as in PyTorch, it can also be called."""
        return Parameters(self)

    def summary(self, steps: int | None = None, batch: int = 1) -> Summary:
        """Return the layers with their output shapes and parameters, and the memory, as a table.

        Parameters
        ----------
        steps : int, optional
            The number of time steps T of an input. If it is given, shapes are numbers, and the
            memory of a tape is measured by a forward pass over zeros.
        batch : int
            The number of sequences N of this input.

        Returns
        -------
        Summary
            The table, which is what it is shown as, and its numbers.

        Raises
        ------
        TypeError, ValueError
            If an argument is not an integer of at least 1.

        Examples
        --------
        >>> bn.LSTM(3, 8).summary()
        LSTM(3, 8)
          layer           output shape  parameters  frozen
          layer 0 (lstm)  [T, N, 8]            416       0
          Parameters: 416, of which 416 are trained.
          Memory: parameters 1.62 KiB.
          Arrays are [T, N, ...]: time comes first (batch_first=True: [N, T, ...]).
        """
        from .summary import summarise

        where = f"{type(self).__name__}.summary"
        if steps is not None:
            steps = integer(steps, where, "steps", 1)
        return summarise(self, steps, integer(batch, where, "batch", 1))

    def _constructor(self) -> str:
        """Return the call that makes another one like it, without options that are defaults."""
        raise NotImplementedError

    def _facts(self) -> tuple[str, ...]:
        """Return lines for the description below the table of parameters."""
        return ()

    def _view(self) -> View:
        return View(self._constructor(), (*parameter_parts(self), *self._facts()))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Return an iterator over the names and parameters, in the order of the flat vector."""
        return iter(self.parameters.items())

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the parameters by name.

        Returns
        -------
        dict of str to ndarray
            The parameters, with PyTorch's names and shapes.
        """
        flat = self._params.get()
        return {
            name: flat[start:stop].reshape(shape).copy()
            for name, (start, stop, shape) in self._layout.items()
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Set all parameters by name. If any of them does not fit, nothing changes.

        Parameters
        ----------
        state_dict : mapping of str to array_like
            An array for each name of `state_dict`, with its shape, and no other names. The
            ``state_dict()`` of a PyTorch module can be passed as it is. Masked elements become 0,
            and so do negative ones of non-negative parameters.

        Raises
        ------
        TypeError
            If it is no mapping, or a dtype cannot be converted without loss.
        ValueError
            If a name is unknown or missing, or a shape differs.

        Warns
        -----
        RuntimeWarning
            If a value is NaN or infinite.

        Examples
        --------
        >>> one, other = bn.GRU(3, 8, seed=1), bn.GRU(3, 8, seed=2)
        >>> other.load_state_dict(one.state_dict())
        >>> x = np.ones((5, 2, 3), np.float32)
        >>> bool((one(x)[0] == other(x)[0]).all())
        True
        """
        where = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state_dict, Mapping):
            refuse_type(state_dict, where, "state_dict", "a mapping of names to arrays")
        missing = [name for name in self._layout if name not in state_dict]
        others = [str(name) for name in state_dict if name not in self._layout]
        unknown = [with_guess(name, missing) for name in others]
        if missing or unknown:
            got = [f"no {', '.join(missing)}"] * bool(missing)
            got += [f"the unknown {', '.join(unknown)}"] * bool(unknown)
            names = f"exactly the names {', '.join(self._layout)}"
            raise ValueError(message(where, "state_dict", names, " and ".join(got)))
        flat = np.empty(self.num_parameters, self._dtype)
        held: list[object] = []
        for name, (start, stop, shape) in self._layout.items():
            expected = f"a {self._dtype} array of shape {list(shape)}"
            forms = {str(self._dtype): [shape]}
            value = convert(state_dict[name], forms, where, name, expected, held=held)
            flat[start:stop] = value.reshape(-1)
        self._warn_of_nonfinite(where, flat)
        self._params.set(flat)

    def _warn_of_nonfinite(self, where: str, flat: Array) -> None:
        """Warn of the tensors among the parameters `flat` that have NaN or infinite elements."""
        good = np.isfinite(flat)
        if good.all():
            return
        names = [n for n, (start, stop, _) in self._layout.items() if not good[start:stop].all()]
        text = f"{where}: parameters that are NaN or infinite: {', '.join(names)}"
        warn(text, RuntimeWarning)

    def freeze(self, *names: str) -> None:
        """Keep parameters constant: their gradients are zero and optimisers do not change them.

        Parameters
        ----------
        *names : str
            Names of parameters; all of them must exist.

        Raises
        ------
        TypeError, ValueError
            If there are no names, or a name is no string or unknown; then none is frozen.

        Examples
        --------
        >>> layer = bn.GRU(3, 8)
        >>> layer.freeze("weight_hh_l0")
        >>> [name for name, parameter in layer.named_parameters() if parameter.frozen]
        ['weight_hh_l0']
        """
        self._set_frozen("freeze", names, True)

    def unfreeze(self, *names: str) -> None:
        """Let frozen parameters be trained again.

        Parameters
        ----------
        *names : str
            Names of parameters; all of them must exist.

        Raises
        ------
        TypeError, ValueError
            If there are no names, or a name is no string or unknown; then nothing changes.

        Examples
        --------
        >>> layer = bn.GRU(3, 8)
        >>> layer.freeze(*layer.parameters)
        >>> layer.unfreeze("bias_ih_l0", "bias_hh_l0")
        >>> layer.parameters["bias_ih_l0"].frozen, layer.parameters["weight_ih_l0"].frozen
        (False, True)
        """
        self._set_frozen("unfreeze", names, False)

    def _set_frozen(self, method: str, names: tuple[str, ...], frozen: bool) -> None:
        self._check_names(method, "names", names)
        for name in names:
            self._params.freeze(name, frozen)

    def _check_names(self, method: str, argument: str, names: Sequence[object]) -> None:
        """Refuse names that are not those of parameters, and a call without any."""
        where, expected = f"{type(self).__name__}.{method}", f"one of {', '.join(self._layout)}"
        if not names:
            some = f"names of parameters, such as {next(iter(self._layout))!r}"
            all_of = f"none ({method}(*model.parameters) is for all of them)"
            raise TypeError(message(where, argument, some, all_of))
        for name in names:
            if isinstance(name, list | tuple | Parameters):
                got = f"{describe(name)} ({method}(*names) passes the names in it)"
                raise TypeError(message(where, argument, expected, got))
            if not isinstance(name, str):
                refuse_type(name, where, argument, expected)
            if name not in self._layout:
                raise ValueError(message(where, argument, expected, with_guess(name, self._layout)))

    def _frozen_names(self) -> list[str]:
        return [row.name for row in rows_of(self._params) if row.frozen]

    def set_mask(self, name: str, mask: npt.ArrayLike | None) -> None:
        """Fix some elements of a parameter at zero, so that these connections do not exist.

        Where the mask is False, the element becomes 0 and stays 0: in every update by any
        optimiser, with momentum and weight decay, and in `load_state_dict`. Its gradient is 0, so
        norms and clipping do not count it. Masks are saved in model files and pickles.

        Parameters
        ----------
        name : str
            The name of the parameter.
        mask : array_like of bool, or None
            True where a connection may exist. Its shape is that of the parameter, or broadcasts to
            it. For a parameter of the recurrent layers with the rows of several gates,
            [G*H, columns] or [G*H], it may be that of one gate, [H, columns] or [H], and then holds
            for each gate. Numbers 0 and 1 are taken too. None: remove the mask; the elements stay 0
            until they are trained or set.

        Raises
        ------
        TypeError
            If the name is no string, or the mask is not array-like or of another dtype.
        ValueError
            If the name is unknown, the shape does not fit, or there are other numbers than 0 and 1.

        See Also
        --------
        masks : The masks by name.

        Examples
        --------
        A leaky RNN whose units have 20 % of all connections, and none to themselves:

        >>> net = bn.RNN(3, 50, alpha=0.1)
        >>> exists = np.random.default_rng(0).random((50, 50)) < 0.2
        >>> net.set_mask("weight_hh_l0", exists & ~np.eye(50, dtype=bool))
        >>> W = net.parameters["weight_hh_l0"].value
        >>> bool((W[~net.masks["weight_hh_l0"]] == 0).all())
        True
        """
        self._check_names("set_mask", "name", [name])
        self._set_mask("set_mask", name, mask)

    def _set_mask(self, method: str, name: str, mask: npt.ArrayLike | None) -> None:
        flat = None if mask is None else self._mask_of(method, name, mask)
        self._params.set_mask(name, flat)

    def _mask_of(self, method: str, name: str, mask: npt.ArrayLike) -> Array:
        """Return a mask as a flat bool array after checking it."""
        where, shape = f"{type(self).__name__}.{method}", self._layout[name][2]
        shapes, H = [shape], int(self._config["hidden_size"])
        if "_l" in name and shape[0] > H and shape[0] % H == 0:
            shapes.append((H, *shape[1:]))
        wanted = " or ".join(str(list(s)) for s in shapes)
        expected = f"a bool array of shape {wanted}, or one that broadcasts to it"
        array = read(mask, where, "mask", expected)
        if array.dtype.kind not in "biuf":
            refuse_type(mask, where, "mask", expected)
        for one in shapes:
            try:
                block = np.broadcast_to(array, one)
            except ValueError:
                continue
            wrong = array[(array != 0) & (array != 1)]
            if wrong.size:
                numbers = f"{expected} (or of 0 and 1)"
                raise ValueError(message(where, "mask", numbers, str(wrong[0])))
            return np.tile(block.reshape(-1) != 0, shape[0] // one[0])
        raise ValueError(message(where, "mask", expected, describe(mask)))

    @property
    def masks(self) -> Mapping[str, Array]:
        """The masks of `set_mask` by parameter, bool arrays of its shape; read-only copies."""
        found = {name: parameter.mask for name, parameter in self.parameters.items()}
        return MappingProxyType({name: mask for name, mask in found.items() if mask is not None})

    def set_nonnegative(self, *names: str, on: bool = True) -> None:
        """Keep parameters at zero or above: every element w is max(w, 0) from now on.

        The parameters are projected now, after every update by any optimiser and in
        `load_state_dict`. Their gradients do not change. A NaN stays NaN. The setting is saved in
        model files and pickles; `Parameter.nonnegative` shows it.

        Parameters
        ----------
        *names : str
            Names of parameters; all of them must exist.
        on : bool
            False: allow negative elements again.

        Raises
        ------
        TypeError, ValueError
            If a name is no string or unknown, or `on` is no bool; then nothing changes.

        Examples
        --------
        >>> net = bn.RNN(3, 5, nonlinearity="relu")
        >>> net.set_nonnegative("weight_ih_l0", "weight_hh_l0")
        >>> bool(net.parameters["weight_hh_l0"].value.min() >= 0)
        True
        """
        where = f"{type(self).__name__}.set_nonnegative"
        last: object = names[-1] if names else None
        if isinstance(last, bool):
            expected = f"names of parameters (on={last} is an argument by name)"
            refuse_type(last, where, "names", expected)
        self._check_names("set_nonnegative", "names", names)
        nonnegative = flag(on, where, "on")
        for name in names:
            self._params.set_nonnegative(name, nonnegative)

    def _nonnegative_names(self) -> list[str]:
        return [row.name for row in rows_of(self._params) if row.nonnegative]

    def _call_with(self, given: dict[str, Any], *first: str) -> str:
        options = [f"{name}={plain(repr(value), 400)}" for name, value in given.items()]
        return constructor_text(type(self).__name__, [*first, *options])

    def _flat_of(self, accumulate: Gradients | None, method: str) -> Array | None:
        """Return the vector of the gradients to add to."""
        if accumulate is None:
            return None
        where = f"{type(self).__name__}.{method}"
        return like(accumulate, self._layout, self._dtype, where, "accumulate")

    def _backward_settings(
        self,
        clip_step: float | None,
        clip_step_norm: float | None,
        truncation: tuple[int, int] | None,
        omega: float,
        activity: tuple[float, float],
    ) -> dict[str, Any] | None:
        """Return settings of a backward call by their names in bptt.h; None if all are defaults."""
        l1, l2 = activity
        if (
            clip_step is None
            and clip_step_norm is None
            and truncation is None
            and type(omega) is type(l1) is type(l2) is float
            and omega == l1 == l2 == 0
        ):
            return None
        where = f"{type(self).__name__}.backward"
        k1 = k2 = 0
        each = positive(clip_step, where, "clip_step")
        norm = positive(clip_step_norm, where, "clip_step_norm")
        if truncation is not None:
            k1, k2 = truncation_of(truncation, where, self._config["bidirectional"])
        return {
            "clip_step": each,
            "clip_step_norm": norm,
            "truncation_k1": k1,
            "truncation_k2": k2,
            "omega": number(omega, where, "omega"),
            "activity_l1": number(l1, where, "activity_l1"),
            "activity_l2": number(l2, where, "activity_l2"),
        }
