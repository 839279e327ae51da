"""Forward and backward passes of stacked layers over a sequence, step by step."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import cells
from .basics import Array, Limit, Params, Rounding, check, choose, norm
from .cells import Options, Step
from .random import Draw

State = Array | tuple[Array, Array] | None  # h [L*D, N, R]; lstm (h, c [L*D, N, H]); None: zeros
PLAIN = Options()


@dataclass(frozen=True)
class Record:
    """The values of one step of one walk that the backward pass reads."""

    t: int
    now: Array  # bool [N]: this step is within the sequence
    cut: Array  # bool [N]: the state is zero before this step
    prev: cells.State  # the state before the step
    state: cells.State  # the state after the step
    gates: dict[str, Array]  # [N, H] each
    saved: Any  # values that the cell saves
    step: Step


@dataclass(frozen=True)
class Tape:
    """The values of a forward pass that ``backward`` reads, with all states and gates."""

    cell: str
    options: Options
    lengths: Array  # [N]
    T: int
    given: bool  # the caller gave the initial states
    walks: list[list[Record]] = field(default_factory=list)  # [l*D + d], in order of the walk
    keeps: list[Array | float] = field(default_factory=list)  # [l]: dropout's factor of the input

    def _gather(self, parts: Sequence[list[Array]]) -> Array:  # [l*D + d][walk] to [L*D, T, N, -1]
        out = []
        for walk, values in zip(self.walks, parts, strict=True):
            by_time = sorted(zip(walk, values, strict=True), key=lambda pair: pair[0].t)
            out.append(np.stack([np.where(r.now[:, None], value, 0) for r, value in by_time]))
        return np.stack(out)

    def states(self) -> tuple[Array, ...]:
        """Return all h_t [L*D, T, N, R] and, for lstm, c_t [L*D, T, N, H]; zero in the padding."""
        count = len(self.walks[0][0].state)
        return tuple(
            self._gather([[r.state[k] for r in walk] for walk in self.walks]) for k in range(count)
        )

    def gates(self) -> dict[str, Array]:
        """Return all gates [L*D, T, N, H] by name; zero in the padding."""
        names = self.walks[0][0].gates
        return {g: self._gather([[r.gates[g] for r in walk] for walk in self.walks]) for g in names}


@dataclass(frozen=True)
class Gradients:
    """The results of ``backward``: dL/d(each input of ``forward``), and norms over time."""

    params: Params
    x: Array | None  # [T, N, I]; None for tokens
    state: State  # gradient of the initial state
    flow: Array | None  # [L*D, T]: norm over (N, R) of the total dL/dh_t; None if windows overlap
    flow_c: Array | None  # [L*D, T]: the same for the fresh c_t, including the path through h_t
    omega: Any = 0.0  # value of the regulariser without its weight; 0 if omega is 0
    activity_penalty: Any = 0.0  # the value of the function of that name


def _walks(params: Params) -> list[list[Params]]:  # [l][d]: parameters in float64 by plain name
    layers: list[list[Params]] = []
    for name, p in params.items():
        match = re.fullmatch(r"(\w+)_l(\d+)(_reverse)?", name)
        if match is None:
            raise ValueError(f"forward: argument 'params': expected name_l0 ..., got {name!r}")
        l, d = int(match[2]), 1 if match[3] else 0  # noqa: E741
        layers += [[] for _ in range(len(layers), l + 1)]
        layers[l] += [{} for _ in range(len(layers[l]), d + 1)]
        layers[l][d][match[1]] = np.asarray(p, np.result_type(p, np.float64))
    return layers


def _name(short: str, l: int, d: int) -> str:  # noqa: E741
    return f"{short}_l{l}{'_reverse' * d}"


def _sizes(p: Params) -> list[int]:  # elements of h, and units
    if "weight_hh" not in p:  # mingru: z n
        return [len(p["weight_ih"]) // 2] * 2
    R = p["weight_hh"].shape[1]
    return [R, p["weight_hr"].shape[1] if "weight_hr" in p else R]


def _initial(layers: list[list[Params]]) -> list[list[Array | float]]:  # [h or c][l*D + d]
    walks = [p for directions in layers for p in directions]
    return [[p.get(name, np.float64(0)) for p in walks] for name in ("h0", "c0")]


def _states(where: str, state: State, cell: str, walks: int, N: int, sizes: list[int]) -> Any:
    count = 2 if cell == "lstm" else 1
    shapes = [(walks, N, size) for size in sizes[:count]]
    given: Any = [np.zeros(s) for s in shapes] if state is None else state
    given = [given] if count == 1 and state is not None else given
    return [check(where, s, shape) for s, shape in zip(given, shapes, strict=True)]


def dale_signs(W: Array, dale: float | None) -> Array | float:
    """Return the factor of W that makes each unit's outgoing weights +|W| or -|W|.

    The first floor(dale H + 1/2) units are excitatory (+), the others inhibitory (Song et al.
    2016). The factor of a zero weight is 0.
    """
    if dale is None:
        return 1.0
    H = W.shape[1]
    return np.asarray(np.sign(W.real) * np.where(np.arange(H) < np.floor(dale * H + 0.5), 1, -1))


def _steps(o: Options, draw: Draw | None, noisy: Draw | None, place: int, T: int, N: int,
           sizes: list[int], sections: Any) -> list[Step]:  # fmt: skip
    """Return the masks and noise of one walk; outside training, their expectations."""
    R, H = sizes
    shape, same = (T, N, H), (1, N, R)
    keep: Any = [1.0] * T
    zone, zone_c, noise = [o.zoneout] * T, [o.zoneout_c] * T, [0.0] * T
    if draw is not None and o.recurrent_dropout:
        keep = [draw.kept(o.recurrent_dropout, "recurrent_dropout", place, *same)[0]] * T
    if draw is not None and o.zoneout:
        zone = [*draw.zoned(o.zoneout, "zoneout", place, *shape)]
    if draw is not None and o.zoneout_c:
        zone_c = [*draw.zoned(o.zoneout_c, "zoneout_c", place, *shape)]
    if noisy is not None and o.noise:
        xi = noisy.normal("noise", place, *shape)
        noise = [*(np.sqrt(2 / o.alpha) * o.noise * xi)]
    return [
        Step(*each, None if sections is None else sections[place][t])
        for t, each in enumerate(zip(keep, zone, zone_c, noise, strict=True))
    ]


def _refuse(where: str, clashes: dict[tuple[str, str], Any]) -> None:
    for (a, b), clash in clashes.items():
        if clash:
            raise ValueError(f"{where}: expected {a} without {b}, got both")


def forward(cell: str, params: Params, x: Array, state: State = None, *, options: Options = PLAIN,
            lengths: Array | None = None, resets: Array | None = None, training: bool = False,
            noise: bool = False, seed: int = 0, draw: int = 0,
            sections: Sequence[Array] | None = None,
            ) -> tuple[Array, State, Tape]:  # fmt: skip
    """Run stacked layers over x: numbers [T, N, I], or tokens [T, N], each a one-hot of I.

    Return y [T, N, D*R] of the top layer, the last state, and the tape for ``backward``.

    ``state`` is that before the first step; None: the parameters h0 and c0 or, without them, zeros.
    ``lengths`` [N] are the lengths of the sequences. ``resets`` [T, N] mark steps before which the
    state is set to these initial ones (in the reverse direction, the boundary to the previous step
    in time). With
    ``training``, masks and noise are those of ``seed`` and ``draw``; otherwise their expectations
    are used, except that ``noise`` draws the noise alone. ``sections``, for each walk l*D + d
    integers or bool [T, N, H], determine the side of its kinks on which f is evaluated, instead of
    the pre-activations.
    """
    choose("forward: argument 'cell'", cells.FORWARD, cell)
    layers, y = _walks(params), np.asarray(x)
    W = layers[0][0]["weight_ih"]
    features, kinds = ((), "iu") if y.dtype.kind in "iu" else (W.shape[1:], "fc")
    y = check("forward: argument 'x'", y, y.shape[:2] + features, kinds)
    (T, N), D, sizes = y.shape[:2], len(layers[0]), _sizes(layers[0][0])
    normed, projected = "weight_ln_ih" in layers[0][0], "weight_hr" in layers[0][0]
    _refuse("forward", {
        ("layer_norm", "reset_after=False"): normed and not options.reset_after,
        ("proj_size", "zoneout"): projected and options.zoneout,
        ("proj_size", "zoneout_c"): projected and options.zoneout_c,
        ("mingru", "layer_norm"): cell == "mingru" and normed,
        ("mingru", "recurrent_dropout"): cell == "mingru" and options.recurrent_dropout,
    })  # fmt: skip
    ends = check("forward: argument 'lengths'", [T] * N if lengths is None else lengths, (N,), "iu")
    if ends.min() < 1 or ends.max() > T:
        raise ValueError(f"forward: argument 'lengths': expected 1 ... {T}, got {ends.tolist()}")
    zeroed = np.zeros((T, N), bool) if resets is None else resets
    zeroed = check("forward: argument 'resets'", zeroed, (T, N), "b")
    states = _states("forward: argument 'state'", state, cell, len(layers) * D, N, sizes)
    first = _initial(layers)
    if state is None:
        states = [
            np.stack([s + f for s, f in zip(zeros, learnt, strict=True)])
            for zeros, learnt in zip(states, first, strict=False)
        ]
    inside = np.arange(T)[:, None] < ends
    y = np.where(inside if y.ndim == 2 else inside[..., None], y, 0)  # padding is never read
    tape, chance = (
        Tape(cell, options, ends, T, state is not None),
        Draw(seed, draw) if training else None,
    )
    noisy = Draw(seed, draw) if training or noise else None
    last = []
    for l, directions in enumerate(layers):  # noqa: E741
        tape.keeps.append(_keep(options, chance if l else None, l * D, T, N, y.shape[-1]))
        y, outputs = y if l == 0 else y * tape.keeps[l], []
        for d, p in enumerate(directions):
            place = l * D + d
            steps = _steps(options, chance, noisy, place, T, N, sizes, sections)
            begin, start = [s[place] for s in states], [s[place] for s in first]
            walk = _walk(tape, p, d, y, begin, start, zeroed, steps)
            tape.walks.append(walk)
            last.append(walk[-1].state)
            by_time = walk[:: -1 if d else 1]
            outputs.append(np.stack([np.where(r.now[:, None], r.state[0], 0) for r in by_time]))
        y = np.concatenate(outputs, axis=-1)
    h, *c = (np.stack(s) for s in zip(*last, strict=True))
    return y, (h, c[0]) if c else h, tape


def _walk(tape: Tape, p: Params, d: int, x: Array, state: list[Array],
          start: list[Array | float], resets: Array, steps: list[Step],
          ) -> list[Record]:  # fmt: skip
    """Run one walk from ``state``; after a reset it goes on from ``start``.

    A sequence keeps its state at steps that are not within it.
    """
    p, _ = _acting(p, tape.options)
    walk, now = list[Record](), tuple(state)
    for t in range(tape.T)[:: -1 if d else 1]:
        inside, cut = t < tape.lengths, _cut(resets, tape.lengths, t, d)
        prev = tuple(np.where(inside[:, None], s, 0) for s in now)
        prev = tuple(np.where(cut[:, None], s, old) for s, old in zip(start, prev, strict=False))
        fresh, gates, saved = cells.FORWARD[tape.cell](p, x[t], prev, tape.options, steps[t])
        now = tuple(np.where(inside[:, None], s, old) for s, old in zip(fresh, now, strict=True))
        walk.append(Record(t, inside, cut, prev, now, gates, saved, steps[t]))
    return walk


def _acting(p: Params, o: Options) -> tuple[Params, Array | float]:
    """Return the parameters with W_hh as it acts, and the factor from W_hh to it."""
    if "weight_hh" not in p:
        return p, 1.0
    signs = dale_signs(p["weight_hh"], o.dale)
    return p | {"weight_hh": p["weight_hh"] * signs}, signs


def _cut(resets: Array, lengths: Array, t: int, d: int) -> Array:
    """Return whether the state is zero before step t [N], because a reset precedes it."""
    boundary = t + d  # the boundary between the steps boundary - 1 and boundary
    if boundary >= len(resets):
        return np.zeros(len(lengths), bool)
    return np.asarray(resets[boundary] & (boundary < lengths))


def _keep(o: Options, draw: Draw | None, place: int, T: int, N: int, features: int) -> Any:
    if draw is None or not o.dropout:
        return 1.0
    return draw.kept(o.dropout, "dropout", place, 1 if o.variational else T, N, features)


def backward(cell: str, params: Params, tape: Tape, dy: Array, dstate: State = None, *,
             clip_step: Limit = None, clip_step_norm: Limit = None,
             truncation: tuple[int, int] | None = None, omega: float = 0.0,
             activity: tuple[float, float] = (0.0, 0.0),
             ) -> Gradients:  # fmt: skip
    """Compute all gradients (Werbos 1990) from dL/dy [T, N, D*R] and dL/d(last state).

    ``clip_step`` clamps each element of each dL/da_t (Graves, arXiv 1308.0850). ``clip_step_norm``
    limits the norm of the gradient that a sample carries to step t-1, dL/dh and dL/dc together.
    With ``truncation`` (k1, k2), the losses of steps (j-1) k1 ... j k1 - 1 are propagated back to
    step j k1 - k2 (Williams & Peng 1990), even if T ends before j k1; gradients are sums over these
    windows. ``omega`` times the immediate gradient of the regulariser (``_regulariser``) is added
    to the gradient of weight_hh. The gradients are those of the loss plus `activity_penalty` with
    the weights ``activity``, whose share of a step counts as a loss of that step.
    """
    layers, T, (N, R) = _walks(params), tape.T, tape.walks[0][0].state[0].shape
    D, sizes = len(layers[0]), _sizes(layers[0][0])
    dy = check("backward: argument 'dy'", dy, (T, N, D * R))
    states = _states("backward: argument 'dstate'", dstate, cell, len(tape.walks), N, sizes)
    o, normed = tape.options, "weight_ln_ih" in layers[0][0]
    _refuse("backward", {("truncation", "bidirectional"): truncation is not None and D > 1} | {
        ("omega", name): omega and clash
        for name, clash in {
            "layer_norm": normed, "alpha": np.ndim(o.alpha) > 0 or o.alpha != 1,
            "zoneout": o.zoneout, "noise": o.noise,
            "recurrent_dropout": o.recurrent_dropout, "dale": o.dale is not None,
            "clip_step": clip_step, "clip_step_norm": clip_step_norm, "truncation": truncation,
            "another cell than rnn": cell != "rnn",
        }.items()
    })  # fmt: skip
    k1, k2 = (T, T) if truncation is None else truncation
    penalty, pull = activity_penalty(tape, *activity)
    total: list[Any] = []
    for begin in range(0, T, k1):  # the window of the losses at steps begin ... end-1
        end = min(begin + k1, T)
        here = (np.arange(T) >= begin) & (np.arange(T) < end)
        own = (begin < tape.lengths) & (tape.lengths <= end)
        found = _window(
            layers, tape, np.where(here[:, None, None], dy, 0), pull * here[:, None, None],
            [np.where(own[:, None], s, 0) for s in states], range(max(0, begin + k1 - k2), end),
            (clip_step, clip_step_norm), omega,
        )  # fmt: skip
        found[-2] = found[-2] * here  # the flow of a step is that of the window with its loss
        total = [_add(a, b) for a, b in zip(total, found, strict=True)] if total else found
    grads, dx, (dh0, *dc0), flow, value = total
    flow_h, flow_c = (None, None) if k2 > k1 else (flow[0], flow[1] if dc0 else None)
    grads = {name: grads[name] for name in params}
    return Gradients(grads, dx, (dh0, dc0[0]) if dc0 else dh0, flow_h, flow_c, value, penalty)


def activity_penalty(tape: Tape, l1: float, l2: float) -> tuple[Any, Array]:
    """Return l1 mean |h| + l2 mean h^2 and its gradients by h [L*D, T, N, R].

    The means are over all elements of h within the sequences (Song et al. 2016; Yang et al. 2019).
    """
    h = tape.states()[0]
    signs, elements = np.sign(h.real), tape.lengths.sum() * len(h) * h.shape[-1]
    value = np.sum(l1 * signs * h + l2 * h * h) / elements
    return value, (l1 * signs + 2 * l2 * h) / elements


def _add(a: Any, b: Any) -> Any:
    if isinstance(a, dict):
        return {name: a[name] + b[name] for name in a}
    if isinstance(a, list):
        return [x + y for x, y in zip(a, b, strict=True)]
    return None if a is None else a + b


def _window(layers: list[list[Params]], tape: Tape, dy: Array, pull: Array, dstates: list[Array],
            span: range, clips: tuple[Limit, Limit], omega: float) -> list[Any]:  # fmt: skip
    """Return the gradients of parameters, x and initial state, flow [h or c, L*D, T], and omega.

    ``pull`` [L*D, T, N, R] joins dL/dh_t.
    """
    D, R = len(layers[0]), _sizes(layers[0][0])[0]
    grads, value = Params(), np.zeros(())
    dx: Any = dy
    starts: list[Any] = [None] * len(tape.walks)
    flows = np.zeros((len(dstates), len(tape.walks), tape.T))
    for l, d in reversed([(l, d) for l in range(len(layers)) for d in range(D)]):  # noqa: E741
        if d == D - 1:  # the directions of a layer read the same input; their dx are added
            dy, dx = dx, None
        place = l * D + d
        sums, dx_d, starts[place], flows[:, place], more = _walk_back(
            layers[l][d], tape, place, dy[..., d * R : (d + 1) * R] + pull[place],
            [s[place] for s in dstates], span, clips, omega,
        )  # fmt: skip
        grads |= {_name(short, l, d): g for short, g in sums.items()}
        dx, value = dx_d if dx is None else dx + dx_d, value + more
        if d == 0 and dx is not None:
            dx = dx * tape.keeps[l]
    return [grads, dx, [np.stack(s) for s in zip(*starts, strict=True)], flows, value]


def _walk_back(p: Params, tape: Tape, place: int, dy: Array, dstate: list[Array], span: range,
               clips: tuple[Limit, Limit], omega: float) -> Any:  # fmt: skip
    """Run one walk backward, from its last step to its first one, within the span of steps."""
    walk, (p, signs) = tape.walks[place], _acting(p, tape.options)
    carry, sums = tuple(dstate), Params()
    dx: list[Any] = [None] * tape.T
    starts: list[Any] = [np.zeros(s.shape[1:]) for s in dstate]  # gradients of h0 and c0
    flow, ratios = np.zeros((len(dstate), tape.T)), list[tuple[Array, Array]]()
    for k, r in reversed([*enumerate(walk)]):
        if r.t not in span:
            continue
        now = r.now[:, None]
        dnow = tuple(np.where(now, s, 0) for s in (dy[r.t] + carry[0], *carry[1:]))
        back = cells.BACKWARD[tape.cell](p, dnow, r.prev, r.saved, tape.options, r.step, clips[0])
        sums = {name: g + sums.get(name, 0.0) for name, g in back.params.items()}
        if omega and k > 0:
            counts = r.now & walk[k - 1].now & ~r.cut
            slope = cells.rnn_slope(tape.options, walk[k - 1].saved)
            rounded = tape.options.rounded
            ratios.append(_ratios(back.da[counts], p["weight_hh"], slope[counts], rounded))
        free = _limit(back.prev, clips[1])
        starts = [s + g[r.cut].sum(axis=0) for s, g in zip(starts, free, strict=True)]
        free = tuple(np.where(r.cut[:, None], 0, s) for s in free)
        carry = tuple(np.where(now, s, old) for s, old in zip(free, carry, strict=True))
        flow[:, r.t], dx[r.t] = [norm(s).real for s in back.flow], back.x
    if not tape.given and span.start == 0:
        starts = [s + g.sum(axis=0) for s, g in zip(starts, carry, strict=True)]
    if "h0" in p:
        sums |= dict(zip(["h0", "c0"], starts, strict=False))
    if "weight_hh" in sums:
        sums["weight_hh"] = sums["weight_hh"] * signs
    value: Any = 0.0
    if omega:
        value, dW = _regulariser(ratios, sums["weight_hh"])
        sums["weight_hh"] = sums["weight_hh"] + omega * dW
    found = dx[span.start]
    dx_all = found if found is None else np.stack([0 * found if s is None else s for s in dx])
    start = carry if span.start == 0 else tuple(np.zeros_like(s) for s in carry)
    return sums, dx_all, start, flow, value


def _limit(carry: cells.State, max_norm: Limit) -> cells.State:
    """Limit the norm of the gradient that each sample carries, h and c together."""
    if max_norm is None:
        return carry
    size = np.sqrt(sum(np.sum(d * d, axis=-1, keepdims=True) for d in carry))
    scale = max_norm / np.where(size.real > max_norm, size, max_norm)
    return tuple(d * scale for d in carry)


# --- the regulariser of the gradient's norm (Pascanu et al. 2013, arXiv 1211.5063, eq. 9-10) ------
def _ratios(delta: Array, W: Array, slope: Array, rounded: Rounding) -> tuple[Array, Array]:
    """Return (|u d| / |delta| - 1)^2 of each sample, and the sum of the gradients by W.

    Here u = W^T delta; delta = dL/da_{k+1} and d = f'(a_k) [samples, H] are held constant. Samples
    with |delta|^2 below 1e-20 are omitted.
    """
    kept = np.sum(delta * delta, axis=-1).real >= 1e-20
    delta, slope = delta[kept], slope[kept]
    v = (rounded(delta) @ rounded(W)) * slope
    below, above = norm(delta, -1), norm(v, -1)
    excess = above / below - 1
    factor = np.where(above.real > 0, 2 * excess / (below * np.where(above.real > 0, above, 1)), 0)
    return excess * excess, rounded(delta).T @ rounded(factor[:, None] * (v * slope))


def _regulariser(ratios: list[tuple[Array, Array]], like: Array) -> tuple[Any, Array]:
    """Return Omega, the mean over all samples and steps, and its immediate gradient by W_hh."""
    count = sum(len(terms) for terms, _ in ratios)
    if count == 0:
        return 0.0, np.zeros_like(like)
    value = sum(terms.sum() for terms, _ in ratios) / count
    return value, np.asarray(sum(dW for _, dW in ratios)) / count
