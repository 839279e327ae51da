"""Layers for tests/capi/layer_io.c: cases, results and their comparison with the reference."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np

import bptt_native as bn
from bptt_native import reference
from helpers.cells import LAYERS
from helpers.nets import TOLERANCE, Net, compare, kind_of, option_net, random_net, run_reference
from helpers.option_settings import CLIPPED, SETTINGS, combination, merged

# Fields and numbers of a case that are options of a layer, with their defaults, as in layer_io.c.
FLAGS = {"bidirectional": 0, "layer_norm": 0, "peephole": 0, "coupled": 0, "reset_before": 0}
FLAGS |= {"variational": 0, "proj_size": 0, "compute": 0, "learn_initial_state": 0}
FLAGS |= {"alphas": 0}
NUMBERS = {"alpha": 1.0, "dale": np.nan, "noise": 0.0, "dropout": 0.0, "recurrent_dropout": 0.0}
NUMBERS |= {"zoneout": 0.0, "zoneout_c": 0.0}


def write_case(net: Net, dtype: str, file) -> None:
    options = dict(net.options)
    options["reset_before"] = not options.pop("reset_after", True)
    options["compute"] = options.get("compute") == "bfloat16"
    alphas = options.pop("alpha") if np.ndim(options.get("alpha", 1.0)) else np.zeros(0)
    options["alphas"] = bool(len(alphas))
    assert options.keys() <= FLAGS.keys() | NUMBERS.keys()
    fields = [
        [*LAYERS].index(net.cell) + 1,
        [*reference.NONLINEARITIES].index(net.nonlinearity) + 1,
        ["float32", "float64"].index(dtype) + 1,
        net.I, net.H, net.L, net.bias, net.T, net.N,
        net.tokens, net.state is not None, net.dstate is not None,
        *(options.get(name, default) for name, default in FLAGS.items()),
        net.lengths is not None, net.resets is not None, net.masked, *(net.truncation or (0, 0)),
        net.seed, net.draw or 0,
    ]  # fmt: skip
    numbers = [options.get(name, default) for name, default in NUMBERS.items()]
    numbers += [net.clip_step or 0.0, net.clip_step_norm or 0.0, net.omega, *net.activity]
    file.write(np.array(fields, np.int64).tobytes() + np.array(numbers).tobytes())
    file.write(alphas.tobytes())

    def parts(state) -> list[np.ndarray]:
        return [] if state is None else list(state) if net.cell == "lstm" else [state]

    arrays = [*net.params.values(), net.x, *parts(net.state), net.dy, *parts(net.dstate)]
    for array in arrays:
        file.write(
            np.ascontiguousarray(array, np.int64 if array.dtype.kind == "i" else dtype).tobytes()
        )
    masks = [net.masks.get(name, np.ones(p.shape)).ravel() for name, p in net.params.items()]
    kept = np.concatenate(masks) if net.masked else None
    for array, kind in [(net.lengths, np.int64), (net.resets, np.uint8), (kept, np.uint8)]:
        file.write(b"" if array is None else np.ascontiguousarray(array, kind).tobytes())


def read_result(net: Net, dtype: str, file) -> dict[str, np.ndarray]:
    def take(*shape: int, kind: str = dtype) -> np.ndarray:
        return np.fromfile(file, kind, int(np.prod(shape))).reshape(shape)

    walks, lstm = net.L * net.D, net.cell == "lstm"
    sizes = {"h": net.P} | ({"c": net.H} if lstm else {})
    out = {"y": take(net.T, net.N, net.D * net.P)}
    out |= {f"{name}n": take(walks, net.N, size) for name, size in sizes.items()}
    out |= {f"d{name}": take(*value.shape) for name, value in net.params.items()}
    if not net.tokens:
        out["dx"] = take(net.T, net.N, net.I)
    out |= {f"d{name}0": take(walks, net.N, size) for name, size in sizes.items()}
    if net.truncation is None or net.truncation[0] == net.truncation[1]:
        flows = ["flow", "flow_c"][: len(sizes)]
        out |= {name: take(walks, net.T, kind="float64") for name in flows}
    omega, penalty = take(kind="float64"), take(kind="float64")
    out |= {"omega": omega} if net.omega else {}
    return out | ({"activity_penalty": penalty} if any(net.activity) else {})


def nets_to_run(count: int) -> list[Net]:
    """Return random nets: plain ones, one with each setting of a layer, and combinations."""
    rng, nets = np.random.Generator(np.random.Philox(77)), []
    while len(nets) < count:
        net = random_net(rng)
        if net.nonlinearity != "relu" and net.T * net.N * net.H < 20_000:
            nets.append(net)
    settings = [merged(name) for name in SETTINGS if name not in CLIPPED]
    settings += [merged(*combination(rng, CLIPPED)) for _ in range(count)]
    return nets + [replace(option_net(rng, setting), inside=False) for setting in settings]


def errors_of(
    command: list[str], isa: str, folder: Path, nets: list[Net], dtype: str, errors
) -> list[dict[str, float]]:
    """Return the error of every tensor of every net, against the reference."""
    with (folder / "cases").open("wb") as file:
        for net in nets:
            write_case(net, dtype, file)
    done = subprocess.run(
        [*command, str(folder / "cases"), str(folder / "results")],
        capture_output=True, text=True, timeout=300,
        env={**os.environ, "BPTT_NUM_THREADS": "2"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == isa
    initial = bn.LSTM(7, 33, dtype="float64", seed=42, init="orthogonal").state_dict()
    found = []
    with (folder / "results").open("rb") as file:
        for name, values in initial.items():  # the same bits on every platform
            assert file.read(values.nbytes) == values.tobytes(), name
        for net in nets:
            found.append(compare(read_result(net, dtype, file), run_reference(net)))
            kind = "bfloat16 " if "compute" in net.options else ""
            for name, error in found[-1].items():
                errors.add(isa, dtype, kind + kind_of(name), error)
        assert not file.read(1)
    return found


def check(command: list[str], isa: str, folder: Path, nets: list[Net], errors) -> int:
    for dtype in ["float32", "float64"]:
        found = errors_of(command, isa, folder, nets, dtype, errors)
        for net, each in zip(nets, found, strict=True):
            for name, error in each.items():
                assert error <= TOLERANCE[dtype], f"{name} of {net} in {dtype}: {error:.2e}"
    return len(nets)
