"""What diagnostics need to know of a layer or model."""

from typing import Any

from .._core import Tape
from ..arguments.values import integer, refuse_type


def setting(net: Any, name: str) -> Any:
    """Give an option of the net by the constructor's name; None if it has none of that name."""
    if name == "cell":
        return getattr(net, "_cell", None) or net._config["cell"]
    return net._config.get(name)


def directions(net: Any) -> int:
    """Give the number of directions D."""
    return 2 if setting(net, "bidirectional") else 1


def reads_ends(net: Any) -> bool:
    """Return whether the output is of the final states of both directions, at both ends of time."""
    return directions(net) == 2 and setting(net, "targets") == "last"


def output_width(net: Any) -> int:
    """Give how many elements an output has: O, of a layer D*R."""
    own = setting(net, "output_size")
    if own is not None:
        return int(own)
    return directions(net) * int(setting(net, "proj_size") or setting(net, "hidden_size"))


def gives_every_step(net: Any) -> bool:
    """Return whether a net gives an output at every step, not the last one only."""
    return bool(setting(net, "targets") != "last")


def check_tape(tape: Any, where: str) -> None:
    """Refuse what is no tape."""
    if not isinstance(tape, Tape):
        refuse_type(tape, where, "tape", "a Tape")


def walk_index(net: Any, layer: int, direction: int, where: str) -> int:
    """Give l*D + d of a layer (-1: the top one) and direction."""
    layers, D = int(setting(net, "num_layers")), directions(net)
    layer = integer(layer, where, "layer", -layers, layers - 1)
    return (layer % layers) * D + integer(direction, where, "direction", 0, D - 1)


def state_size(net: Any) -> int:
    """Give S, the number of elements of a layer's state: of h, of an LSTM of h and c."""
    hidden = int(setting(net, "hidden_size"))
    own = int(setting(net, "proj_size") or hidden)
    return own + hidden if str(setting(net, "cell")).lower() == "lstm" else own
