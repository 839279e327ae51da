"""The summary of a layer or model: its layers with shapes and parameters, and its memory."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from ..arguments.display import Shown, Table, View, bytes_text, shape_text

_LAYER = re.compile(r"_l(\d+)(_reverse)?$")  # the end of the names of a recurrent layer's tensors


class LayerSummary(NamedTuple):
    """One line of a summary.

    Attributes
    ----------
    name : str
        The name of the part, such as "layer 0 (lstm)" or "readout".
    output_shape : tuple of int or str
        The shape of its output; "T" and "N" for numbers of steps and sequences that are not given.
    parameters, frozen : int
        The number of its parameters, and of those among them that are frozen or masked.
    """

    name: str
    output_shape: tuple[int | str, ...]
    parameters: int
    frozen: int


class Summary(Shown):
    """The layers of a net with their shapes, its parameters and its memory; made by ``summary()``.

    It is shown as a table; its attributes hold the numbers.

    Attributes
    ----------
    layers : list of LayerSummary
        The parts of the net, from the input to the output.
    num_parameters, num_frozen : int
        The number of all parameters, and of those among them that are frozen or masked.
    memory : dict of str to int
        Bytes of the "parameters", of the moments of the "optimizer" (models only), and of the
        "tape" of a training pass (only if the number of steps is given).

    Examples
    --------
    >>> layer = bn.GRU(3, 8, num_layers=2)
    >>> found = layer.summary(steps=20, batch=4)
    >>> [(row.name, row.output_shape, row.parameters) for row in found.layers]
    [('layer 0 (gru)', (20, 4, 8), 312), ('layer 1 (gru)', (20, 4, 8), 432)]
    >>> found.num_parameters, found.memory["parameters"]
    (744, 2976)
    """

    __slots__ = ("_head", "_order", "layers", "memory", "num_frozen", "num_parameters")

    layers: list[LayerSummary]
    memory: dict[str, int]
    num_frozen: int
    num_parameters: int

    def __init__(
        self,
        head: str,
        layers: list[LayerSummary],
        num_frozen: int,
        memory: dict[str, int],
        batch_first: bool,
    ) -> None:
        self._head = head
        self._order = "[N, T, ...]: sequences come first"
        if not batch_first:
            self._order = "[T, N, ...]: time comes first (batch_first=True: [N, T, ...])"
        self.layers = layers
        self.num_parameters = sum(layer.parameters for layer in layers)
        self.num_frozen = num_frozen
        self.memory = memory

    def _view(self) -> View:
        rows = [
            (row.name, shape_text(row.output_shape), f"{row.parameters:,}", f"{row.frozen:,}")
            for row in self.layers
        ]
        trained = self.num_parameters - self.num_frozen
        memory = ", ".join(f"{name} {bytes_text(size)}" for name, size in self.memory.items())
        return View(
            self._head,
            (
                Table(("layer", "output shape", "parameters", "frozen"), rows),
                f"Parameters: {self.num_parameters:,}, of which {trained:,} are trained.",
                f"Memory: {memory}.",
                f"Arrays are {self._order}.",
            ),
        )


def summarise(net: Any, steps: int | None, batch: int) -> Summary:
    """Return the summary of a layer or model; see its method `summary`."""
    config, frozen, masks = net._config, set(net._frozen_names()), net.masks
    width = (2 if config["bidirectional"] else 1) * (
        config.get("proj_size") or config["hidden_size"]
    )
    cell = config.get("cell") or net._cell
    T: int | str = "T" if steps is None else steps
    N: int | str = "N" if steps is None else batch
    every: tuple[int | str, ...] = (N, T) if config["batch_first"] else (T, N)
    found: dict[str, LayerSummary] = {}
    for name, (start, stop, shape) in net._layout.items():
        layer = _LAYER.search(name)
        part = f"layer {layer[1]} ({cell})" if layer else name.partition(".")[0]
        size = stop - start
        output = (*every, width)
        if part == "embedding":
            output = (*every, shape[1])
        elif part == "readout":
            rows = every if config["targets"] == "every" else (N,)
            output = (*rows, config["output_size"])
        fixed = size if name in frozen else int(np.sum(~masks[name])) if name in masks else 0
        before = found.get(part, LayerSummary(part, output, 0, 0))
        found[part] = before._replace(
            parameters=before.parameters + size, frozen=before.frozen + fixed
        )
    item = net.dtype.itemsize
    memory = {"parameters": net.num_parameters * item}
    if hasattr(net, "optimizer"):
        moments = net.optimizer._native.moments()
        memory["optimizer"] = sum(value.nbytes for value in moments.values())
    if steps is not None:
        shape = (batch, steps) if config["batch_first"] else (steps, batch)
        if config["input_size"] is None:
            x = np.zeros(shape, np.int64)
        else:
            x = np.zeros((*shape, config["input_size"]), net.dtype)
        memory["tape"] = net.forward(x, draw=0)[2].nbytes
    layers = list(found.values())
    frozen_of_all = sum(row.frozen for row in layers)
    return Summary(net._constructor(), layers, frozen_of_all, memory, config["batch_first"])
