"""The specification: clipping inside the backward loop."""

import math

import numpy as np
import pytest

from bptt_native import reference as ref
from helpers.arrays import error
from helpers.cells import GATES, RECURRENT, arrays_of
from helpers.complex_step import (
    KINDS,
    STEP,
    act,
    assert_equal_gradients,
    random_params,
    random_state,
)


# --- clipping inside the backward loop -----------------------------------------------------------
def sloped(f, *arguments):
    """Partial derivatives of an elementwise function, each by one complex step."""
    wide = [np.asarray(a, complex) for a in arguments]
    moved = ([*wide[:k], w + 1j * STEP, *wide[k + 1 :]] for k, w in enumerate(wide))
    return [f(*m).imag / STEP for m in moved]


def naive_backward(cell, f, p, x, dy, dstate, limit, limit_norm):
    """Go back through one layer, sample by sample; each elementwise slope is a complex step."""

    def clamp(d):
        return d if limit is None else np.clip(d, -limit, limit)

    (T, N, _), rows = x.shape, len(p["weight_ih_l0"])
    H = rows // GATES[cell]
    section, function, _ = ref.NONLINEARITIES[f]

    def activate(a):
        return function(a, section(a))

    nothing = {"weight_hh_l0": np.zeros((rows, H)), "bias_hh_l0": np.zeros(rows)}
    given = nothing | p
    W_x, W_h, b_x, b_h = (
        given[f"{n}_l0"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    d = {n: np.zeros(q.shape) for n, q in p.items()} | {"x": np.zeros(x.shape)}
    starts = []
    for n in range(N):
        sample = x[:, n : n + 1]
        states = [(np.zeros(H), np.zeros(H))]
        for t in range(T):
            _, last, _ = ref.forward(cell, p, sample[: t + 1], options=act(f))
            states.append(tuple(s[0, 0] for s in (last if cell == "lstm" else (last, last))))
        dh, dc = (s[0, n] for s in dstate) if cell == "lstm" else (dstate[0, n], np.zeros(H))
        for t in reversed(range(T)):
            h, c = states[t]
            ax, ah = W_x @ x[t, n] + b_x, W_h @ h + b_h
            dh = dh + dy[t, n]
            if cell == "rnn":
                da_x = da_h = clamp(dh * sloped(activate, ax + ah)[0])
                dh_direct = np.zeros(H)
            elif cell == "lstm":

                def new_c(i, forget, g, c):
                    return ref.sigmoid(forget) * c + ref.sigmoid(i) * np.tanh(g)

                i, forget, g, o = (ax + ah).reshape(4, H)
                slope_o, slope_c = sloped(
                    lambda o, c: ref.sigmoid(o) * np.tanh(c), o, new_c(i, forget, g, c)
                )
                total = dc + dh * slope_c
                *inner, slope = sloped(new_c, i, forget, g, c)
                gates = [total * s for s in inner] + [dh * slope_o]
                da_x = da_h = clamp(np.concatenate(gates))
                dh_direct, dc = np.zeros(H), total * slope
            elif cell == "mingru":

                def mixed(z, candidate, h):
                    return (1 - ref.sigmoid(z)) * h + ref.sigmoid(z) * candidate

                *inner, slope = sloped(mixed, *ax.reshape(2, H), h)
                da_x, da_h = clamp(np.concatenate([dh * s for s in inner])), np.zeros(rows)
                dh_direct = dh * slope
            else:
                r, z, _ = (ax + ah).reshape(3, H)
                xn, hn = ax[2 * H :], ah[2 * H :]

                def candidate(r, hn, xn=xn):
                    return xn + ref.sigmoid(r) * hn

                def new_h(n, z, h):
                    return (1 - ref.sigmoid(z)) * np.tanh(n) + ref.sigmoid(z) * h

                s_n, s_z, s_h = sloped(new_h, candidate(r, hn), z, h)
                s_r, s_hn = sloped(candidate, r, hn)
                da_n = clamp(dh * s_n)
                da_r, da_z, dh_direct = clamp(da_n * s_r), clamp(dh * s_z), dh * s_h
                da_x = np.concatenate([da_r, da_z, da_n])
                da_h = np.concatenate([da_r, da_z, da_n * s_hn])
            d["weight_ih_l0"] += np.outer(da_x, x[t, n])
            d["bias_ih_l0"] += da_x
            if cell in RECURRENT:
                d["weight_hh_l0"] += np.outer(da_h, h)
                d["bias_hh_l0"] += da_h
            d["x"][t, n] = W_x.T @ da_x
            dh = W_h.T @ da_h + dh_direct
            norm = math.sqrt(sum(v * v for v in [*dh, *dc]))
            if limit_norm is not None and norm > limit_norm:
                dh, dc = dh / norm * limit_norm, dc / norm * limit_norm
        starts.append((dh, dc))
    d["h0"], d["c0"] = (np.stack(s)[None] for s in zip(*starts, strict=True))
    return d


@pytest.mark.parametrize("limits", [(None, None), (0.05, None), (None, 0.2), (0.1, 0.1)], ids=str)
@pytest.mark.parametrize(("cell", "f"), KINDS)
def test_step_clipping_against_a_naive_computation(cell, f, limits):
    rng = np.random.default_rng(10)
    params, x = random_params(rng, cell, 2, 4), rng.standard_normal((5, 3, 2))
    dy, dstate = rng.standard_normal((5, 3, 4)), random_state(rng, cell, (1, 3, 4))
    dy[:, 0] *= 1e-3  # a sample that no norm limit touches
    tape = ref.forward(cell, params, x, options=act(f))[2]
    g, free = (
        ref.backward(cell, params, tape, dy, dstate, clip_step=c, clip_step_norm=norm)
        for c, norm in (limits, (None, None))
    )
    states = dict(zip(("h0", "c0"), arrays_of(g.state), strict=False))
    expected = naive_backward(cell, f, params, x, dy, dstate, *limits)
    if cell != "lstm":
        assert not expected.pop("c0").any()
    assert_equal_gradients(g.params | {"x": g.x} | states, expected, 1e-12)
    clipped = limits != (None, None)
    assert (error(g.params["weight_ih_l0"], free.params["weight_ih_l0"]) > 1e-3) == clipped
    if limits[1] is not None:
        norms = np.sqrt(sum(np.sum(s**2, axis=-1) for s in arrays_of(g.state)))
        assert norms.max() <= limits[1] * (1 + 1e-15)


@pytest.mark.parametrize(("cell", "f"), KINDS)
def test_huge_step_limits_change_no_bit(cell, f):
    rng = np.random.default_rng(11)
    params, x = random_params(rng, cell, 2, 3, layers=2), rng.standard_normal((5, 2, 2))
    dy, tape = rng.standard_normal((5, 2, 3)), ref.forward(cell, params, x, options=act(f))[2]
    free = ref.backward(cell, params, tape, dy)
    wide = ref.backward(cell, params, tape, dy, clip_step=1e6, clip_step_norm=1e6)
    assert_equal_gradients(wide.params | {"x": wide.x}, free.params | {"x": free.x}, 0.0)
    np.testing.assert_array_equal(wide.flow, free.flow)


def test_step_clipping_by_hand():
    """h_t = x_t + 2 h_{t-1} and a gradient of 3 at the last step: 3, 6, 12 going back."""
    params = {"weight_ih_l0": np.ones((1, 1)), "weight_hh_l0": np.full((1, 1), 2.0)}
    x, dy = np.ones((3, 1, 1)), np.array([0.0, 0.0, 3.0]).reshape(3, 1, 1)
    y, _, tape = ref.forward("rnn", params, x, options=act("identity"))
    np.testing.assert_array_equal(y.ravel(), [1, 3, 7])

    def run(**limits):
        g = ref.backward("rnn", params, tape, dy, **limits)
        return [*g.flow[0], *g.x.ravel(), g.state.item(), g.params["weight_hh_l0"].item()]

    #                   flow of h    dx           dh0  dW_h = sum da_t h_{t-1}
    assert run() == [12, 6, 3, 12, 6, 3, 24, 6 * 1 + 3 * 3]
    assert run(clip_step=1.0) == [2, 2, 3, 1, 1, 1, 2, 1 * 1 + 1 * 3]
    assert run(clip_step=4.0) == [8, 6, 3, 4, 4, 3, 8, 4 * 1 + 3 * 3]
    assert run(clip_step_norm=5.0) == [5, 5, 3, 5, 5, 3, 5, 5 * 1 + 3 * 3]


def test_the_step_norm_is_of_h_and_c_together():
    """Forget gate 1/2, no path to h_{t-1}: what is carried is dc / 2."""
    params = {"weight_ih_l0": np.zeros((4, 1)), "weight_hh_l0": np.zeros((4, 1))}
    params["weight_hh_l0"][3] = 4.0  # the output gate alone looks back: a_o = 4 h_{t-1} = 0
    start = (np.zeros((1, 1, 1)), np.full((1, 1, 1), 2.0))
    _, _, tape = ref.forward("lstm", params, np.ones((1, 1, 1)), start)
    dh, dc = 1.0, 3.0
    total = dc + dh * 0.5 * (1 - math.tanh(1) ** 2)
    carried = np.array([4 * dh * math.tanh(1) * 0.25, 0.5 * total])
    dlast = (np.full((1, 1, 1), dh), np.full((1, 1, 1), dc))
    for limit in (0.5, 1.75, 100.0):
        zero = np.zeros((1, 1, 1))
        g = ref.backward("lstm", params, tape, zero, dlast, clip_step_norm=limit)
        scale = min(1.0, limit / math.hypot(*carried))
        np.testing.assert_allclose(np.ravel(g.state), carried * scale, rtol=1e-15)
