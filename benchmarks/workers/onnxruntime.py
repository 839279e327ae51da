"""Worker for onnxruntime's RNN, LSTM and GRU operators, for inference only."""

from __future__ import annotations

import os

import numpy as np
import onnx
import onnxruntime
from items import Arrays, Item, Skip, Task
from onnx import TensorProto, helper, numpy_helper

OPERATORS = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
GATE_ORDER = {"rnn": (0,), "lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}  # ONNX: i o f g, z r n


def version() -> str:
    return onnxruntime.__version__


def gates_first(cell: str, weight: np.ndarray) -> np.ndarray:
    parts = np.split(weight, len(GATE_ORDER[cell]))
    return np.concatenate([parts[k] for k in GATE_ORDER[cell]])


def session(item: Item, T: int, W: Arrays) -> onnxruntime.InferenceSession:
    """Return a graph of L operators from x and the initial states to y and the last states."""
    kinds = ("h", "c") if item.cell == "lstm" else ("h",)
    extra = {"linear_before_reset": 1} if item.cell == "gru" else {}
    element = TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("x0", element, [T, item.N, item.I])]
    outputs, nodes = [], []
    constants = [numpy_helper.from_array(np.array([1], np.int64), "axis")]
    for k in range(item.L):
        biases = [gates_first(item.cell, W[f"bias_{kind}_l{k}"]) for kind in ("ih", "hh")]
        arrays = {
            f"W{k}": gates_first(item.cell, W[f"weight_ih_l{k}"]),
            f"R{k}": gates_first(item.cell, W[f"weight_hh_l{k}"]), f"B{k}": np.concatenate(biases),
        }  # fmt: skip
        constants += [numpy_helper.from_array(a[None], name) for name, a in arrays.items()]
        shape = [1, item.N, item.H]
        before = [f"{kind}{k}" for kind in kinds]
        after = [f"{kind}n{k}" for kind in kinds]
        inputs += [helper.make_tensor_value_info(name, element, shape) for name in before]
        outputs += [helper.make_tensor_value_info(name, element, shape) for name in after]
        operands = [f"x{k}", *arrays, "", *before]
        nodes += [
            helper.make_node(OPERATORS[item.cell], operands, [f"y{k}", *after],
                             hidden_size=item.H, **extra),
            helper.make_node("Squeeze", [f"y{k}", "axis"], [f"x{k + 1}"]),
        ]  # fmt: skip
    top = helper.make_tensor_value_info(f"x{item.L}", element, [T, item.N, item.H])
    graph = helper.make_graph(nodes, "stack", inputs, [top, *outputs], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    options.inter_op_num_threads = 1
    spin = "1" if options.intra_op_num_threads > 1 else "0"
    options.add_session_config_entry("session.intra_op.allow_spinning", spin)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def make(item: Item, variants: list[str]) -> Task:
    if item.job not in ("infer", "step"):
        raise Skip("inference only")
    if item.dtype != "float32":
        raise Skip("its recurrent operators are float32 only")
    kinds = ("h", "c") if item.cell == "lstm" else ("h",)
    W, data = item.weights(), item.inputs
    states = {f"{n}{k}": data[f"{n}0"][k][None] for k in range(item.L) for n in kinds}
    if item.job == "infer":
        whole = session(item, item.T, W)
        feed = {"x0": data["x"], **states}
        return Task(lambda: whole.run(None, feed), lambda: [whole.run(None, feed)[0]])
    one = session(item, 1, W)
    rows = [row[None] for row in data["x"]]
    names = [f"{n}n0" for n in kinds]

    def run() -> np.ndarray:
        feed = dict(states)
        for row in rows:
            feed["x0"] = row
            for name, value in zip(kinds, one.run(names, feed), strict=True):
                feed[f"{name}0"] = value
        return feed["h0"]

    return Task(run, lambda: [run()])
