"""Benchmark of the search for fixed points against code for torch (`--fixed-points`).

A GRU with 64 units learns the 3-bit flip-flop. All candidates search from the same 1024 starts, in
one process with one thread, and take turns. A candidate has found a point when a start has led it
within 1e-3 of it; all have to find the same points. Adam is stopped at three times: when it has
found all of them, which it cannot know; when it has also fulfilled FixedPointFinder's tolerance at
all of them, which it cannot know either; and when it ends by itself. Times are processor times.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from peers import restart_with_kept_memory
from results import order_statistics

import bptt_native as bn
from bptt_native import diagnostics, tasks

UNITS, UPDATES, STARTS = 64, 1500, 1024
NEAR = 1e-3  # points within this distance are the same
TOLERANCE = 1e-24  # of q, for the candidates that compute in float64
ADAM_TOLERANCE, ADAM_ITERATIONS = 1e-12, 5000
Search = Callable[[], np.ndarray]


def trained() -> bn.Model:
    """Return a model that solves the flip-flop."""
    model = bn.Model("gru", input_size=3, hidden_size=UNITS, output_size=3, loss="mse", lr=5e-3,
                     clip_norm=1.0, seed=0)  # fmt: skip
    rng = np.random.default_rng(0)
    for _ in range(UPDATES):
        model.train_step(*tasks.flip_flop(64, 64, rng))
    x, y = tasks.flip_flop(200, 256, rng)
    right = float((model(x)[0] * y > 0).mean())
    print(f"flip-flop: GRU, {UNITS} units, {UPDATES} updates: {right:.4%} of the signs are right")
    return model


def starts_of(model: bn.Model) -> np.ndarray:
    """Return states of trajectories, and places between two of them, float64 [STARTS, H]."""
    rng = np.random.default_rng(1)
    tape = model.forward(tasks.flip_flop(64, 64, rng)[0])[2]
    pool = np.asarray(tape.states(), np.float64).reshape(-1, UNITS)
    one, other = pool[rng.integers(0, len(pool), (2, STARTS))]
    part = rng.random((STARTS, 1)) * (np.arange(STARTS) % 2)[:, None]
    return (1 - part) * one + part * other


def distances(states: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the distance of each point to the nearest state."""
    return np.array([np.nanmin(np.linalg.norm(states - point, axis=1)) for point in points])


class Torch:
    """The two searches with torch, of the GRU of a model with input 0."""

    def __init__(self, model: bn.Model, starts: np.ndarray) -> None:
        import torch

        self.torch, self.starts = torch, torch.from_numpy(starts)
        params = {
            name.removeprefix("rnn.").removesuffix("_l0"): torch.from_numpy(np.array(value))
            for name, value in model.state_dict().items() if name.startswith("rnn.")
        }  # fmt: skip
        self.cell = torch.nn.GRUCell(3, UNITS).requires_grad_(False)
        self.cell.load_state_dict(params)
        self.params = {name: value.double() for name, value in params.items()}

    def adam(self, iterations: int, watch: Callable[[int, Any, Any], None] | None = None) -> Any:
        """Minimise the mean of q by Adam, with the settings of FixedPointFinder (2023, float32)."""
        torch = self.torch
        h = self.starts.float().clone().requires_grad_()
        x = torch.zeros(len(h), 3)
        optimizer = torch.optim.Adam([h], lr=0.05)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=500, gamma=0.7)
        last = torch.full((len(h),), float("nan"))
        for k in range(iterations):
            optimizer.zero_grad()
            q = 0.5 * (h - self.cell(x, h)).square().sum(1)
            now = q.detach()
            if watch is not None:
                watch(k, h.detach().numpy().astype(np.float64), now.numpy())
            q.mean().backward()
            optimizer.step()
            schedule.step()
            if bool((((now - last).abs() < 1e-20) | (now < ADAM_TOLERANCE)).all()):
                break
            last = now
        return h.detach().numpy().astype(np.float64)

    def step(self, h: Any) -> Any:
        """Return F(h) of one state, in float64."""
        p = self.params
        i_r, i_z, i_n = p["bias_ih"].split(UNITS)
        h_r, h_z, h_n = (p["weight_hh"] @ h + p["bias_hh"]).split(UNITS)
        z = (i_z + h_z).sigmoid()
        return (1 - z) * (i_n + (i_r + h_r).sigmoid() * h_n).tanh() + z * h

    def newton(self, iterations: int = 60) -> Any:
        """Search by Newton's method with steps of at most 0.5, halved until q falls, in float64."""
        torch = self.torch
        residual = torch.func.vmap(lambda h: self.step(h) - h)
        jacobian = torch.func.vmap(torch.func.jacrev(lambda h: self.step(h) - h))
        h, active = self.starts.clone(), torch.arange(len(self.starts))
        for _ in range(iterations):
            own = h[active]
            r = residual(own)
            q = 0.5 * r.square().sum(1)
            shift = -torch.linalg.solve_ex(jacobian(own), r)[0]
            shift *= (0.5 / shift.norm(dim=1)).clamp(max=1.0)[:, None]
            better, left = own.clone(), torch.arange(len(own))
            for halvings in range(8):
                tried = own[left] + shift[left] / 2**halvings
                fell = 0.5 * residual(tried).square().sum(1) < q[left]
                better[left[fell]] = tried[fell]
                left = left[~fell]
                if not len(left):
                    break
            h[active] = better
            moved = torch.ones(len(own), dtype=torch.bool)
            moved[left] = False  # those that are stuck end
            active = active[moved & (q > TOLERANCE)]
            if not len(active):
                break
        return h.numpy()


def others(states: np.ndarray, points: np.ndarray) -> int:
    """Return the number of different ends of a search that are no such points; NaN is one each."""
    left = states[[not (np.linalg.norm(points - h, axis=1) < NEAR).any() for h in states]]
    count = 0
    while len(left):
        apart = ~(np.linalg.norm(left - left[0], axis=1) < NEAR)
        apart[0] = False
        left, count = left[apart], count + 1
    return count


def ends_of(search: Torch, points: np.ndarray) -> dict[str, int]:
    """Return the iterations after which Adam has come to each of its ends."""
    ends = {"until all are found": 0, "until q < 1e-12": 0, "until it ends": 0}

    def watch(iteration: int, h: np.ndarray, q: np.ndarray) -> None:
        ends["until it ends"] = iteration + 1
        for end, chosen in zip(ends, (h, h[q < ADAM_TOLERANCE]), strict=False):
            if not ends[end] and len(chosen) and (distances(chosen, points) < NEAR).all():
                ends[end] = iteration

    search.adam(ADAM_ITERATIONS, watch)
    return ends


def seconds(search: Search) -> float:
    start = time.process_time()
    search()
    return time.process_time() - start


def run(options: argparse.Namespace) -> int:
    """Train, search and print the times."""
    restart_with_kept_memory(options)
    bn.set_num_threads(1)
    print(f"bptt_native {bn.__version__} ({bn.isa()}), one thread: medians (quartiles)")
    model = trained()
    starts = starts_of(model)
    points = diagnostics.fixed_points(model, starts=starts)
    print(points.explain())

    def ours() -> np.ndarray:
        found = diagnostics.fixed_points(model, starts=starts)
        return np.where(found.labels[:, None] < 0, np.nan, found.states[found.labels])

    searches: dict[str, Search] = {"bptt_native: Levenberg-Marquardt, float64": ours}
    if "torch" in options.peers and importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)
        print(f"torch {torch.__version__}")
        peer = Torch(model, starts)
        searches["torch: Newton, vmap(jacrev), float64"] = peer.newton
        for end, count in ends_of(peer, points.states).items():
            print(f"Adam {end}: {count or 'not within 5000'} iterations")
            if count:
                searches[f"torch: Adam {end}, float32"] = functools.partial(peer.adam, count)
    else:
        print("no comparison with torch, which is not installed or not among --peers")
    for name, search in searches.items():
        states = search()
        found = int((distances(states, points.states) < NEAR).sum())
        print(f"  {name:42} finds {found} of {len(points)} points, and its starts end at "
              f"{others(states, points.states)} other places", flush=True)  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in searches}
    names = list(searches)
    for _ in range(min(options.rounds, 3)):
        for name in names:
            times[name].append(seconds(searches[name]))
        names.append(names.pop(0))
    ours = times[next(iter(searches))]
    for name, own in times.items():
        ratios = order_statistics([a / b for a, b in zip(own, ours, strict=True)])
        median, low, high = order_statistics(own)[:3]
        print(f"  {name:42} {median:.3g} s ({low:.3g} to {high:.3g})  x{ratios[0]:.3g}", flush=True)
    return 0
