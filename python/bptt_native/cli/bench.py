"""The command ``bptt-native bench``, which measures the time of a training step."""

import argparse
import statistics
import time
from typing import Any

import numpy as np

from ..arguments.values import integer
from ..models.model import Model
from ..nn.cells import LAYERS
from ..nn.gradients import clip_grad_norm_
from ..options.cell_shape import cell_shape
from ..options.table import OPTIONS
from ..runtime.profile import profile
from ..runtime.settings import get_num_threads, isa

SIZES = {"hidden": 128, "input": 64, "steps": 100, "batch": 32, "layers": 1}
MEANINGS = {
    "hidden": "units per layer", "input": "features of the input", "steps": "steps per sequence",
    "batch": "sequences per batch", "layers": "number of layers",
}  # fmt: skip
PYTHON = "python, rest"


def add_bench(commands: Any) -> None:
    """Add the command ``bench`` to a parser."""
    command = commands.add_parser(
        "bench", help="measure the time of a training step",
        description="Measure the time of a training step on random data. Defaults are in "
        "parentheses.",
    )  # fmt: skip
    command.set_defaults(run=run_bench, parser=command)
    command.add_argument("--cell", choices=list(LAYERS), default="lstm", help="kind of the layers"
                         " (%(default)s)")  # fmt: skip
    for name, default in SIZES.items():
        meaning = f"{MEANINGS[name]} (%(default)s)"
        command.add_argument(f"--{name}", type=int, default=default, metavar="N", help=meaning)
    command.add_argument(
        "--outputs", type=int, default=0, metavar="N",
        help="measure a model with a readout of N classes, loss and Adam (0: only the layers)",
    )  # fmt: skip
    command.add_argument(
        "--dtype", choices=["float32", "float64"], default="float32",
        help="type of the numbers (%(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--seconds", type=float, metavar="X", default=2.0, help="seconds to measure (%(default)s)"
    )
    command.add_argument("--threads", type=int, metavar="N", help="number of worker threads")
    command.add_argument(
        "--profile", action="store_true", help="show how much time each phase of the engine takes"
    )


def layer_step(args: argparse.Namespace) -> Any:
    """Return a training step of a layer: forward, backward and clipping."""
    layer = LAYERS[args.cell](args.input, args.hidden, num_layers=args.layers, dtype=args.dtype)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((args.steps, args.batch, args.input)).astype(args.dtype)
    dy = rng.standard_normal((args.steps, args.batch, args.hidden)).astype(args.dtype)

    def step() -> None:
        tape = layer.forward(x)[2]
        clip_grad_norm_(layer.backward(tape, dy, flow=False), 1.0)

    return step


def model_step(args: argparse.Namespace) -> Any:
    """Return a training step of a model, which includes its loss and update."""
    model = Model(
        args.cell,
        input_size=args.input,
        hidden_size=args.hidden,
        num_layers=args.layers,
        output_size=args.outputs,
        dtype=args.dtype,
    )
    rng = np.random.default_rng(0)
    x = rng.standard_normal((args.steps, args.batch, args.input)).astype(args.dtype)
    targets = rng.integers(0, args.outputs, (args.steps, args.batch))
    return lambda: model.train_step(x, targets)


def operations(args: argparse.Namespace) -> int:
    """Return the number of floating-point operations of a step's products."""
    shape, rows = cell_shape(OPTIONS["cell"].choices[args.cell]), args.steps * args.batch
    read = args.input + (args.layers - 1) * args.hidden
    if shape.products:
        read += args.layers * args.hidden
    layers: int = len(shape.gates) * args.hidden * read
    return int(3 * 2 * rows * (layers + args.hidden * args.outputs))


def run_bench(args: argparse.Namespace) -> int:
    """Measure training steps and print their time."""
    for name in SIZES:
        integer(getattr(args, name), "bench", name, 1)
    integer(args.outputs, "bench", "outputs", 0)
    if not 0 < args.seconds <= 3600:
        expected = "a number above 0 and at most 3600"
        raise ValueError(f"argument '--seconds': expected {expected}, got {args.seconds}")
    step = model_step(args) if args.outputs else layer_step(args)
    step()
    times = timed(step, args.seconds)
    best, middle = min(times), statistics.median(times)
    what = f"model, {args.outputs} outputs" if args.outputs else "layer"
    sizes = " ".join(f"{name}={getattr(args, name)}" for name in SIZES)
    print(f"{args.cell} {what}: {sizes} dtype={args.dtype}")
    print(f"instruction set {isa()}, threads {get_num_threads()}")
    print(f"step: median {middle * 1e3:.3f} ms, best {best * 1e3:.3f} ms, of {len(times)}")
    rate = operations(args) / middle / 1e9
    print(f"products: {rate:.1f} GFLOP/s, {args.steps * args.batch / middle:,.0f} inputs/s")
    if args.profile:
        print_profile(step, len(times))
    return 0


def timed(step: Any, seconds: float) -> list[float]:
    """Return the seconds of each step: as many as fit, but at least three."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return times


def print_profile(step: Any, count: int) -> None:
    """Run the steps again under the engine's profile, and print a line for each phase."""
    with profile() as counted:
        for _ in range(count):
            step()
    threads = get_num_threads()
    phases = dict(counted.seconds)
    if threads == 1:
        phases[PYTHON] = max(0.0, counted.elapsed - sum(phases.values()))
    total = sum(phases.values())
    print(
        f"\n{'phase':18} {'ms/step':>9} {'share':>7}" + ("  (all threads)" if threads > 1 else "")
    )
    for name, seconds in phases.items():
        if seconds > 0:
            label = name.replace("_", " ")
            print(f"{label:18} {seconds / count * 1e3:9.4f} {100 * seconds / total:6.1f}%")
    print(f"{'sum':18} {total / count * 1e3:9.4f}")
