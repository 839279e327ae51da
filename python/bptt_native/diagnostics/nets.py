"""Properties of layers and models that the diagnostics need."""

from typing import Any

from .._core import Tape
from ..arguments.values import integer, refuse_type
from ..nn.parameters import Parameterised
from ..options.cell_shape import CellShape, cell_shape
from ..options.table import OPTIONS


def setting(net: Any, name: str) -> Any:
    """Return an option of the net by the constructor's name, or None if it has no such option."""
    if name == "cell":
        return getattr(net, "_cell", None) or net._config["cell"]
    return net._config.get(name)


def directions(net: Any) -> int:
    """Return the number of directions D."""
    return 2 if setting(net, "bidirectional") else 1


def reads_ends(net: Any) -> bool:
    """Return whether the output is computed from the final states of both directions."""
    return directions(net) == 2 and setting(net, "targets") == "last"


def output_width(net: Any) -> int:
    """Return the number of elements of an output: O of a model, D*R of a layer."""
    own = setting(net, "output_size")
    if own is not None:
        return int(own)
    return directions(net) * int(setting(net, "proj_size") or setting(net, "hidden_size"))


def gives_every_step(net: Any) -> bool:
    """Return whether a net has an output at every step, not only at the last one."""
    return setting(net, "targets") in (None, "every")  # a layer has no targets


def check_net(net: Any, where: str) -> None:
    """Check that a value is a layer or model."""
    if not isinstance(net, Parameterised):
        refuse_type(net, where, "net", "a layer or Model")


def check_tape(tape: Any, where: str) -> None:
    """Check that a value is a tape."""
    if not isinstance(tape, Tape):
        refuse_type(tape, where, "tape", "a Tape")


def walk_index(net: Any, layer: int, direction: int, where: str) -> int:
    """Return the walk l*D + d of a layer (-1 is the top one) and direction."""
    check_net(net, where)
    layers, D = int(setting(net, "num_layers")), directions(net)
    layer = integer(layer, where, "layer", -layers, layers - 1)
    return (layer % layers) * D + integer(direction, where, "direction", 0, D - 1)


def shape_of(net: Any) -> CellShape:
    """Return the shape of the net's cell."""
    number = OPTIONS["cell"].choices[str(setting(net, "cell")).lower()]
    return cell_shape(number, bool(setting(net, "coupled")), setting(net, "reset_after") is False)


def state_size(net: Any) -> int:
    """Return S, the number of elements of a layer's state: h, for an LSTM h and c."""
    hidden = int(setting(net, "hidden_size"))
    own = int(setting(net, "proj_size") or hidden)
    return own + hidden if shape_of(net).has_c else own
