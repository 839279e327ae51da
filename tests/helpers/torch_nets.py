"""Nets in PyTorch: its modules where they exist, and its operations step by step.

The loop below takes each option of a `nets.Net`. PyTorch's autograd computes the gradients. Only
options that change gradients (clipping, truncation, the regulariser) are written out.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bptt_native.reference.random import Draw
from helpers import arrays
from helpers.cells import arrays_of
from helpers.nets import Net

torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)
F = torch.nn.functional
EPS = 1e-5  # the number added to the variance in layer norm

# In float64 too, F.hardsigmoid has the derivative 1/6 of float32; so it is defined here.
NONLINEARITIES = {
    "tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda a: a,
    "softplus": F.softplus, "elu": F.elu, "hard_sigmoid": lambda a: F.relu6(a + 3) / 6,
    "softsign": F.softsign, "leaky_relu": F.leaky_relu, "silu": F.silu,
}  # fmt: skip


def smoke(first: Any, *others: Any) -> list[Any]:
    """Return the values of a parameter: the first for every run, the others for the long tests.

    The reference holds the same against PyTorch, and the engine against the reference.
    """
    return [first, *(pytest.param(value, marks=pytest.mark.long) for value in others)]


def error(got: np.ndarray, want: Any) -> float:
    """Return the largest difference from a tensor, relative to the largest expected magnitude."""
    return arrays.error(got, want.detach().numpy(), 1e-30)


def leaf(array: np.ndarray) -> Any:
    """Return a tensor that gets a gradient."""
    return torch.from_numpy(array.copy()).requires_grad_()


class Rescaled(torch.autograd.Function):
    """Tensors [N, ...] as they are, whose gradients are scaled to a norm for each of N together."""

    @staticmethod
    def forward(ctx: Any, limit: float, *values: Any) -> Any:
        ctx.limit = limit
        return tuple(v.clone() for v in values)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        norm = torch.cat(grads, 1).norm(dim=1, keepdim=True)
        factor = torch.where(norm > ctx.limit, ctx.limit / norm, 1.0)
        return None, *(g * factor for g in grads)


class Loop:
    """One net: `leaves` by name (parameters, x, h0, c0) and a forward pass through them."""

    def __init__(self, net: Net) -> None:
        self.net, self.o = net, net.options
        self.draw = Draw(net.seed, net.draw or 0)
        self.leaves = {name: leaf(value) for name, value in net.params.items()}
        one_hot = F.one_hot(torch.from_numpy(net.x), net.I).double() if net.tokens else None
        self.x = leaf(net.x) if one_hot is None else one_hot
        sizes = [net.P, net.H] if net.cell == "lstm" else [net.P]
        given = arrays_of(net.state) if net.state is not None else None
        shapes = [(net.L * net.D, net.N, size) for size in sizes]
        self.start = [leaf(given[k] if given else np.zeros(s)) for k, s in enumerate(shapes)]
        self.lengths = torch.from_numpy(
            np.full(net.N, net.T) if net.lengths is None else np.asarray(net.lengths)
        )
        resets = np.zeros((net.T, net.N), bool) if net.resets is None else net.resets
        self.resets = torch.from_numpy(resets)

    # ----------------------------------------------------------------------------- random numbers
    def mask(self, kind: str, place: int, *shape: int) -> Any:
        """Return the factors of a dropout (kept or not) or of zoneout (old value or new)."""
        p = self.o[kind]
        draw = self.draw.kept if "dropout" in kind else self.draw.zoned
        return torch.from_numpy(draw(p, kind, place, *shape))

    def noise(self, place: int) -> Any:
        """Return the noise of the pre-activations [T, N, H], by PyTorch's normal distribution."""
        net, sigma = self.net, self.o.get("noise")
        if not sigma:
            return torch.zeros(net.T, 1, 1)
        words = self.draw.words("noise", place, net.T, net.N, net.H).astype(np.float64)
        xi = torch.special.ndtri(torch.from_numpy((words + 0.5) / 2**32))
        return (2 / self.alpha()).sqrt() * sigma * xi

    def used(self, name: str) -> Any:
        """Return a parameter times its mask, as ``torch.nn.utils.prune`` does."""
        mask = self.net.masks.get(name)
        return self.leaves[name] if mask is None else self.leaves[name] * torch.from_numpy(mask)

    def alpha(self) -> Any:
        """Return the leak of all units, or of each [H]."""
        return torch.as_tensor(self.o.get("alpha", 1.0), dtype=torch.float64)

    # -------------------------------------------------------------------------------------- cells
    def affine(self, p: dict[str, Any], kind: str, v: Any) -> Any:
        """Return W v + b, with layer norm if there is a gain."""
        a, b, gain = v @ p[f"weight_{kind}"].T, p.get(f"bias_{kind}"), p.get(f"weight_ln_{kind}")
        if gain is not None:
            return F.layer_norm(a, a.shape[1:], gain, b, EPS)
        return a if b is None else a + b

    def clipped(self, a: Any) -> Any:
        """Return the same tensor, whose gradient is clamped."""
        limit = self.net.clip_step
        if limit is not None and a.requires_grad:
            a.register_hook(lambda g: g.clamp(-limit, limit))
        return a

    def rnn(self, p: dict[str, Any], x: Any, prev: list[Any], keep: Any, noise: Any) -> list[Any]:
        alpha, dale = self.alpha(), self.o.get("dale")
        (h,) = prev
        if dale is not None:
            signs = torch.ones(self.net.H)
            signs[int(np.floor(dale * self.net.H + 0.5)) :] = -1
            p = p | {"weight_hh": p["weight_hh"].abs() * signs}
        a = self.affine(p, "ih", x) + self.affine(p, "hh", h * keep) + noise
        self.seen.append(self.clipped(a))
        return [(1 - alpha) * h + alpha * NONLINEARITIES[self.net.nonlinearity](a)]

    def lstm(self, p: dict[str, Any], x: Any, prev: list[Any], keep: Any, _: Any) -> list[Any]:
        h, c = prev
        coupled, peep = bool(self.o.get("coupled")), p.get("weight_peephole")
        a = self.affine(p, "ih", x) + self.affine(p, "hh", h * keep)
        a_i, *a_f, a_g, a_o = a.chunk(3 if coupled else 4, 1)
        p_i, *p_f, p_o = [0, 0, 0][coupled:] if peep is None else peep.chunk(3 - coupled)
        i = torch.sigmoid(self.clipped(a_i + p_i * c))
        f = 1 - i if coupled else torch.sigmoid(self.clipped(a_f[0] + p_f[0] * c))
        c = f * c + i * torch.tanh(self.clipped(a_g))
        o = torch.sigmoid(self.clipped(a_o + p_o * c))
        seen = c
        if "weight_ln_c" in p:
            seen = F.layer_norm(c, c.shape[1:], p["weight_ln_c"], p["bias_ln_c"], EPS)
        h = o * torch.tanh(seen)
        return [h @ p["weight_hr"].T if "weight_hr" in p else h, c]

    def gru(self, p: dict[str, Any], x: Any, prev: list[Any], keep: Any, _: Any) -> list[Any]:
        (h,), H = prev, self.net.H
        x_r, x_z, x_n = self.affine(p, "ih", x).chunk(3, 1)
        h_r, h_z, h_n = self.affine(p, "hh", h * keep).chunk(3, 1)
        r = torch.sigmoid(self.clipped(x_r + h_r))
        z = torch.sigmoid(self.clipped(x_z + h_z))
        if self.o.get("reset_after", True):
            a_n = x_n + r * h_n
        else:
            own = {name: v[2 * H :] for name, v in p.items() if name in ("weight_hh", "bias_hh")}
            a_n = x_n + self.affine(own, "hh", r * (h * keep))
        return [(1 - z) * torch.tanh(self.clipped(a_n)) + z * h]

    def mingru(self, p: dict[str, Any], x: Any, prev: list[Any], keep: Any, _: Any) -> list[Any]:
        (h,), (a_z, a_n) = prev, self.affine(p, "ih", x).chunk(2, 1)
        return [h.lerp(self.clipped(a_n), torch.sigmoid(self.clipped(a_z)))]

    # --------------------------------------------------------------------------------------- time
    def suffix(self, place: int) -> str:
        """Return the suffix of the parameters of layer l, direction d: place is l*D + d."""
        return f"_l{place // self.net.D}" + "_reverse" * (place % self.net.D)

    def walk(self, place: int, x: Any, cut_before: int) -> tuple[Any, list[Any]]:
        """Return the outputs [T, N, P] and final states of one direction of one layer."""
        net, d = self.net, place % self.net.D
        suffix = self.suffix(place)
        p = {n.removesuffix(suffix): self.used(n) for n in self.leaves if n.endswith(suffix)}
        cell = getattr(self, net.cell)
        keep, noise = torch.ones(()), self.noise(place)
        if self.o.get("recurrent_dropout"):
            keep = self.mask("recurrent_dropout", place, 1, net.N, net.P)[0]
        zones = [
            self.mask(kind, place, net.T, net.N, net.H) if self.o.get(kind) else None
            for kind in ("zoneout", "zoneout_c")
        ]
        learnt = [p.get(name, torch.zeros(())) for name in ("h0", "c0")][: len(self.start)]
        now, outputs = [s[place] for s in self.start], [None] * net.T
        if net.state is None:
            now = [s + first for s, first in zip(now, learnt, strict=True)]
        for t in range(net.T)[:: -1 if d else 1]:
            if t == cut_before and t > 0:
                now = [s.detach() for s in now]
            inside = (t < self.lengths)[:, None]
            boundary = t + d  # a reset here is between this step and the one walked before
            reset = torch.zeros(net.N, dtype=torch.bool)
            if boundary < net.T:
                reset = self.resets[boundary] & (boundary < self.lengths)
            prev = [
                torch.where(reset[:, None], first, s) for first, s in zip(learnt, now, strict=True)
            ]
            if net.clip_step_norm is not None:
                prev = list(Rescaled.apply(net.clip_step_norm, *prev))
            fresh = cell(p, x[t], prev, keep, noise[t])
            for k, zone in enumerate(zones[: len(fresh)]):
                if zone is not None:
                    fresh[k] = zone[t] * prev[k] + (1 - zone[t]) * fresh[k]
            if net.omega:
                self.steps[place].append((self.seen[-1], inside[:, 0], reset))
            now = [torch.where(inside, new, old) for new, old in zip(fresh, now, strict=True)]
            outputs[t] = torch.where(inside, now[0], 0.0)
        return torch.stack(outputs), now

    def forward(self, cut_before: int = 0) -> tuple[Any, list[Any]]:
        """Return outputs [T, N, D*P] and final states [L*D, N, ...]; no gradient passes the cut."""
        net = self.net
        self.seen: list[Any] = []  # pre-activations of an RNN
        self.steps: list[list[Any]] = [[] for _ in range(net.L * net.D)]
        self.outputs: list[Any] = []  # h_t of each walk [T, N, P]
        inside = (torch.arange(net.T)[:, None] < self.lengths)[..., None]
        y, last = torch.where(inside, self.x, 0.0), []
        for l in range(net.L):  # noqa: E741
            if l and self.o.get("dropout"):
                steps = 1 if self.o.get("variational") else net.T
                y = y * self.mask("dropout", l * net.D, steps, net.N, net.D * net.P)
            outputs = []
            for d in range(net.D):
                output, final = self.walk(l * net.D + d, y, cut_before)
                outputs.append(output)
                self.outputs.append(output)
                last.append(final)
            y = torch.cat(outputs, 2)
        return y, [torch.stack(s) for s in zip(*last, strict=True)]

    def windows(self) -> Iterator[tuple[int, int, int]]:
        """Yield the first step that gradients reach, and the first and the end of the losses."""
        k1, k2 = self.net.truncation or (self.net.T, self.net.T)
        for begin in range(0, self.net.T, k1):
            yield max(0, begin + k1 - k2), begin, min(begin + k1, self.net.T)

    def activity(self, begin: int, end: int) -> Any:
        """Return the share of some steps in the regularisers of the activity."""
        l1, l2 = self.net.activity
        h = torch.stack(self.outputs)[:, begin:end]
        elements = self.lengths.sum() * len(h) * self.net.P
        share = (l1 * h.abs().sum() + l2 * (h**2).sum()) / elements
        self.penalty = self.penalty + share.detach()
        return share

    def regularise(self) -> float:
        """Add eq. 9 and 10 of Pascanu et al. 2013, with all between two steps held constant."""
        total = torch.zeros(())
        for place, steps in enumerate(self.steps):
            W, terms = self.used("weight_hh" + self.suffix(place)), []
            for (a, inside, _), (later, inside_later, reset) in itertools.pairwise(steps):
                told = inside & inside_later & ~reset
                at = a.detach().requires_grad_()
                (slope,) = torch.autograd.grad(NONLINEARITIES[self.net.nonlinearity](at).sum(), at)
                delta = later.grad.detach()
                told &= (delta**2).sum(1) >= 1e-20
                ratio = ((delta @ W) * slope)[told].norm(dim=1) / delta[told].norm(dim=1)
                terms.append((ratio - 1) ** 2)
            if terms and torch.cat(terms).numel():
                total = total + torch.cat(terms).mean()
        if total.requires_grad:
            (self.net.omega * total).backward()
        return float(total.detach())

    def run(self) -> dict[str, Any]:
        """Return all results of a forward and a backward pass, named as by `nets.run_native`."""
        net = self.net
        dstate = (
            [torch.from_numpy(s) for s in arrays_of(net.dstate)] if net.dstate is not None else []
        )
        self.penalty = torch.zeros((), dtype=torch.float64)
        for reach, begin, end in self.windows():
            y, last = self.forward(reach)
            loss = (y * torch.from_numpy(net.dy))[begin:end].sum()
            own = ((begin < self.lengths) & (self.lengths <= end))[:, None]
            loss = loss + sum((s * d * own).sum() for s, d in zip(last, dstate, strict=False))
            if net.omega:
                for a in self.seen:
                    a.retain_grad()
            loss = loss + self.activity(begin, end)
            loss.backward()
        out = {"y": y} | dict(zip(["hn", "cn"], last, strict=False))
        if net.omega:
            out["omega"] = torch.tensor(self.regularise(), dtype=torch.float64)
        if any(net.activity):
            out["activity_penalty"] = self.penalty
        named = self.leaves | dict(zip(["h0", "c0"], self.start, strict=False))
        named |= {} if net.tokens else {"x": self.x}
        for name, tensor in named.items():
            out[f"d{name}"] = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        return out
