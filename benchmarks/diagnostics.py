"""Benchmarks of the diagnostics against equivalent code for torch (`--diagnostics`).

All candidates run in one process with one thread and take turns. Results are medians (quartiles) of
processor time, which does not include the time of other processes. Ratios are those of consecutive
runs.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from items import Item
from peers import restart_with_kept_memory
from results import order_statistics

import bptt_native as bn
from bptt_native import diagnostics

Run = Callable[[], Any]
AGREE = 1e-4


def interleaved(runs: dict[str, Run], options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the seconds of each candidate, in at least five rounds.

    Each round begins with another candidate.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)

    def seconds(name: str, count: int) -> float:
        start = time.process_time()
        for _ in range(count):
            runs[name]()
        return (time.process_time() - start) / count

    for name in names:
        seconds(name, 1)  # warm up
    counts = {name: 1 + int(0.005 / seconds(name, 1)) for name in names}
    end, most = time.monotonic() + options.budget * len(runs), 20 * options.rounds
    while len(times[names[0]]) < 5 or (time.monotonic() < end and len(times[names[0]]) < most):
        for name in names:
            times[name].append(seconds(name, counts[name]))
        names.append(names.pop(0))
    return times


def spread(values: list[float], factor: float = 1.0) -> str:
    median, q1, q3 = (factor * v for v in order_statistics(values)[:3])
    return f"{median:.4g} ({q1:.4g} to {q3:.4g})"


def table(title: str, runs: dict[str, Run], options: argparse.Namespace) -> None:
    """Print the times of each candidate, and their ratios to those of the first one."""
    times = interleaved(runs, options)
    ours = times[next(iter(runs))]
    print(f"{title}, {len(ours)} rounds")
    for name, own in times.items():
        ratios = [a / b for a, b in zip(own, ours, strict=True)]
        print(f"  {name:42} {spread(own, 1e3)} ms  x{spread(ratios)}", flush=True)


def agree(runs: dict[str, Run], count: int | None = None) -> None:
    """Stop unless all candidates return the same first `count` elements."""
    (_, ours), *theirs = ((name, run()[:count]) for name, run in runs.items())
    for name, other in theirs:
        error = np.abs(ours - other).max() / np.abs(ours).max()
        if not error <= AGREE:
            raise SystemExit(f"benchmarks: {name} differs from ours by {error:.1e}")
        print(f"  {name}: {len(ours)} rows differ by {error:.1e} of the largest element")


def connectivity(T: int, H: int, width: int, options: argparse.Namespace) -> None:
    """Compare the connectivity of all pairs of steps of a model with I = O = width."""
    import torch

    net = bn.Model("lstm", input_size=width, hidden_size=H, output_size=width, dtype="float32")
    x = np.random.default_rng(0).standard_normal((T, 1, width)).astype(np.float32)
    lstm = torch.nn.LSTM(width, H).requires_grad_(False)  # only the inputs need gradients
    readout = torch.nn.Linear(H, width).requires_grad_(False)
    both = torch.nn.ModuleDict({"rnn": lstm, "readout": readout})
    both.load_state_dict({n: torch.from_numpy(np.array(v)) for n, v in net.state_dict().items()})

    def ours() -> np.ndarray:
        return diagnostics.connectivity(net, x).matrix

    def naive() -> np.ndarray:
        own = torch.from_numpy(x).requires_grad_()
        best = readout(lstm(own)[0])[:, 0].max(dim=1).values
        rows = [torch.autograd.grad(y, own, retain_graph=True)[0][:, 0] for y in best]
        return torch.stack([row.norm(dim=1) for row in rows]).numpy()

    def batched() -> np.ndarray:
        own = torch.from_numpy(x).repeat(1, T, 1).requires_grad_()
        states = lstm(own)[0].diagonal().T  # step t of copy t
        readout(states).max(dim=1).values.sum().backward()
        return own.grad.norm(dim=2).T.numpy()

    runs = {"bptt_native": ours, "torch, a backward pass per output": naive,
            "torch, T copies as a batch": batched}  # fmt: skip
    agree(runs)
    table(f"connectivity: LSTM, T = {T}, H = {H}, I = O = {width}, float32", runs, options)


def spectra(T: int, H: int, interval: int, dtype: str) -> dict[str, Run]:
    """Return candidates that compute all exponents of an LSTM, from the same initial rows."""
    import torch

    net = bn.LSTM(H, H, dtype=dtype)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((T, 1, H)).astype(dtype)
    start = np.linalg.qr(rng.standard_normal((2 * H, 2 * H)))[0].astype(dtype)
    W = {n: torch.from_numpy(np.array(v)) for n, v in net.state_dict().items()}
    own_x, rows = torch.from_numpy(x[:, 0]), torch.from_numpy(start)

    def step(state: Any, product: Any) -> Any:
        h, c = state[:H], state[H:]
        i, f, g, o = (W["weight_hh_l0"] @ h + product).split(H)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return torch.cat([o.sigmoid() * c.tanh(), c])

    def trajectory() -> tuple[Any, Any]:
        products = own_x @ W["weight_ih_l0"].T + W["bias_ih_l0"] + W["bias_hh_l0"]
        states = [torch.zeros_like(rows[0])]
        with torch.no_grad():
            for product in products[:-1]:
                states.append(step(states[-1], product))
        return torch.stack(states), products

    def exponents(jacobians: Any) -> np.ndarray:
        V, logs, walked = rows.T, torch.zeros_like(rows[0]), 0
        for J in reversed(jacobians):
            V, walked = J.T @ V, walked + 1
            if walked % interval == 0 or walked == T:
                V, R = torch.linalg.qr(V)
                logs += R.diagonal().abs().log()
        return np.sort(logs.numpy() / T)[::-1]

    def ours() -> np.ndarray:
        tape = net.forward(x)[2]
        return diagnostics.lyapunov(net, tape, interval=interval, start=start).exponents

    def functional() -> np.ndarray:
        jacobian, pairs = torch.autograd.functional.jacobian, zip(*trajectory(), strict=True)
        return exponents([jacobian(lambda s, p=p: step(s, p), s) for s, p in pairs])

    def jacrev() -> np.ndarray:
        return exponents(list(torch.func.vmap(torch.func.jacrev(step))(*trajectory())))

    return {"bptt_native": ours, "torch.autograd.functional.jacobian + qr": functional,
            "vmap(torch.func.jacrev) + qr": jacrev}  # fmt: skip


def lyapunov(T: int, H: int, interval: int, options: argparse.Namespace) -> None:
    """Compare the exponents that rounding does not affect in float64, then time float32."""
    double = spectra(T, H, interval, "float64")
    exponents = double["bptt_native"]()
    agree(double, int((exponents > exponents[0] - 12 / interval).sum()))
    table(f"Lyapunov spectrum: LSTM, H = {H}, T = {T}, QR every {interval}, float32",
          spectra(T, H, interval, "float32"), options)  # fmt: skip


def beside_torch(options: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(1)
    print(f"torch {torch.__version__}")
    for width in (64, 256):
        connectivity(200, 256, width, options)
    for interval in (1, 10):
        lyapunov(50, 128, interval, options)


def flow(item: Item, options: argparse.Namespace) -> None:
    """Compare a training step of a layer with and without the norms of dL/dh_t and dL/dc_t."""
    net = {"rnn": bn.RNN, "lstm": bn.LSTM, "gru": bn.GRU}[item.cell](item.I, item.H)

    def train(with_flow: bool) -> None:
        net.backward(net.forward(item.inputs["x"])[2], item.inputs["dy"], flow=with_flow)

    times = interleaved({"without": lambda: train(False), "with": lambda: train(True)}, options)
    ratios = [b / a for a, b in zip(times["without"], times["with"], strict=True)]
    print(f"  {item.shape:8}{item.cell:6}{spread(times['without'], 1e3)} ms without  "
          f"x{spread(ratios)} with, {len(ratios)} pairs", flush=True)  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Run all benchmarks of the diagnostics."""
    restart_with_kept_memory(options)
    bn.set_num_threads(1)
    print(f"bptt_native {bn.__version__} ({bn.isa()}), one thread: medians (quartiles)")
    if "torch" in options.peers and importlib.util.find_spec("torch"):
        beside_torch(options)
    else:
        print("no comparison with torch, which is not installed or not among --peers")
    print("flow=True against flow=False, forward and backward, float32")
    for shape in options.shapes or ("tiny", "small", "neuro", "charlm"):
        for cell in options.cells:
            flow(Item.named("train", cell, shape), options)
    return 0
