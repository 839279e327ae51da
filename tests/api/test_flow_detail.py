"""The flow of dL/da_t, of samples and units, and the shares of steps in the weights' gradients."""

import numpy as np
import pytest

import bptt_native as bn
from helpers.arrays import error
from helpers.cells import GATES, LAYERS, RECURRENT

OPTIONS = [
    ("rnn", {}),
    ("rnn", {"alpha": 0.5}),
    ("lstm", {}),
    ("lstm", {"peephole": True}),
    ("lstm", {"proj_size": 5}),
    ("lstm", {"coupled": True}),
    ("lstm", {"layer_norm": True}),
    ("gru", {}),
    ("gru", {"reset_after": False}),
    ("gru", {"layer_norm": True}),
    ("gru", {"recurrent_dropout": 0.3, "dropout": 0.2}),
    ("lstm", {"zoneout": 0.2}),
]


def identity_net(cell, batch, steps=6, hidden=9, **options):
    """A net of which dL/dx_t is dL/da_t, because W_ih is the identity."""
    rng = np.random.default_rng(2)
    wide = GATES[cell] * hidden
    net = LAYERS[cell](wide, hidden, dtype="float64", seed=1, **options)
    net.load_state_dict({**net.state_dict(), "weight_ih_l0": np.eye(wide)})
    x = rng.standard_normal((steps, batch, wide))
    y, _, tape = net.forward(x)
    return net, x, tape, rng.standard_normal(y.shape)


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("batch", [1, 4, 17])
def test_the_flow_of_pre_activations_and_states(cell, batch, isa):
    net, x, tape, dy = identity_net(cell, batch)
    grads = net.backward(tape, dy, flow="all")
    flow = grads.flow_detail
    da = grads.x
    assert error(flow.units_a[0], np.linalg.norm(da, axis=1)) <= 1e-12
    assert error(flow.samples_a[0], np.linalg.norm(da, axis=2)) <= 1e-12
    assert error(grads.flow_a[0], np.linalg.norm(da, axis=(1, 2))) <= 1e-12
    # dL/dh_t in all: dL/dy_t, and dL/dh_0 of the rest, which starts from the state after t.
    states = tape.states()
    states = states if isinstance(states, tuple) else (states,)
    dh = dy.copy()
    dc = np.zeros_like(dy)
    for t in range(len(dy) - 1):
        after = tuple(s[:, t] for s in states)
        _, _, rest = net.forward(x[t + 1 :], after if cell == "lstm" else after[0])
        state = net.backward(rest, dy[t + 1 :]).state
        dh[t] += (state[0] if cell == "lstm" else state)[0]
        if cell == "lstm":
            dc[t] = state[1][0]
    assert error(flow.samples_h[0], np.linalg.norm(dh, axis=2)) <= 1e-12
    assert error(flow.units_h[0], np.linalg.norm(dh, axis=1)) <= 1e-12
    assert error(grads.flow[0], np.linalg.norm(dh, axis=(1, 2))) <= 1e-12
    if cell == "lstm":
        o, c = tape.gates()["o"][0], states[1][0]
        dc += dh * o * (1 - np.tanh(c) ** 2)  # also through h_t
        assert error(flow.samples_c[0], np.linalg.norm(dc, axis=2)) <= 1e-12
        assert error(flow.units_c[0], np.linalg.norm(dc, axis=1)) <= 1e-12


@pytest.mark.parametrize("cell", LAYERS)
def test_shares_of_steps_in_the_gradients_of_the_weights(cell):
    net, x, tape, dy = identity_net(cell, 5)
    grads = net.backward(tape, dy, flow="all")
    flow, da = grads.flow_detail, grads.x
    states = tape.states()
    h = (states[0] if isinstance(states, tuple) else states)[0]
    before = np.concatenate([np.zeros_like(h[:1]), h[:-1]])
    of_hh = da.copy()
    if cell == "gru":
        of_hh[..., 18:] *= tape.gates()["r"][0]  # the gradient of W_hn h + b_hn
    shares = {"ih": (da, x)}
    if cell in RECURRENT:
        shares["hh"] = of_hh, before
    else:
        assert flow.share_hh is None
        assert flow.weight_hh is None
    for name, (a, v) in shares.items():
        each = np.linalg.norm(a, axis=2) * np.linalg.norm(v, axis=2)
        assert error(getattr(flow, f"share_{name}")[0], each) <= 1e-12
        steps = np.einsum("tnk,tni->tki", a, v)
        assert error(steps.sum(axis=0), grads[f"weight_{name}_l0"]) <= 1e-12
        together = np.linalg.norm(steps, axis=(1, 2))
        assert error(getattr(flow, f"weight_{name}")[0], together) <= 1e-9


@pytest.mark.parametrize("lengths", [None, [5, 7, 2, 7]])
def test_shares_of_the_second_direction_stand_in_the_callers_time(lengths):
    rng = np.random.default_rng(1)
    net = bn.LSTM(3, 9, num_layers=2, bidirectional=True, dtype="float64", seed=2)
    y, _, tape = net.forward(rng.standard_normal((7, 4, 3)), lengths=lengths)
    dy = rng.standard_normal(y.shape)
    dy[:, :2] = 0  # of two samples
    flow = net.backward(tape, dy, flow="all").flow_detail
    dy[:, 2] = 0  # of one
    alone = net.backward(tape, dy, flow="all").flow_detail
    for name in ("ih", "hh"):
        shares, whole = getattr(flow, f"share_{name}"), getattr(flow, f"weight_{name}")
        difference = np.abs(shares[..., 2] - shares[..., 3])
        assert (whole <= shares.sum(axis=-1) * (1 + 1e-12)).all()
        assert (whole >= difference * (1 - 1e-12)).all()
        own = getattr(alone, f"weight_{name}")
        assert error(own, getattr(alone, f"share_{name}")[..., 3]) <= 1e-12


def test_a_share_of_nan_is_not_zero():
    net = bn.RNN(2, 3, seed=1)
    y, _, tape = net.forward(np.ones((4, 2, 2), np.float32))
    flow = net.backward(tape, np.full_like(y, np.nan), flow="weights").flow_detail
    assert np.isnan(flow.weight_ih).all()
    assert np.isnan(flow.weight_hh[:, 1:]).all()


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("cell", "options"), OPTIONS, ids=str)
def test_details_add_up_and_change_nothing(cell, options, bidirectional, ragged, tokens):
    rng = np.random.default_rng(0)
    T, N, L = 7, 4, 2
    net = LAYERS[cell](
        3, 9, num_layers=L, bidirectional=bidirectional, dtype="float64", seed=3, **options
    )
    x = rng.integers(0, 3, (T, N)) if tokens else rng.standard_normal((T, N, 3))
    resets = np.zeros((T, N), bool)
    resets[3, 1] = ragged
    lengths = [5, 7, 2, 6] if ragged else None
    y, _, tape = net.forward(x, lengths=lengths, resets=resets)
    dy = rng.standard_normal(y.shape)
    plain, grads = net.backward(tape, dy), net.backward(tape, dy, flow="all")
    np.testing.assert_array_equal(plain.flat, grads.flat)
    flow = grads.flow_detail
    for part in "hac" if cell == "lstm" else "ha":
        whole = grads.flow if part == "h" else getattr(grads, f"flow_{part}")
        assert error(getattr(plain, "flow" if part == "h" else f"flow_{part}"), whole) <= 1e-12
        for by in ("samples", "units"):
            parts = getattr(flow, f"{by}_{part}")
            assert error(np.sqrt((parts**2).sum(axis=-1)), whole) <= 1e-12
    if ragged:
        assert (flow.samples_h[:, 5:, 0] == 0).all()
        assert (flow.share_ih[:, 5:, 0] == 0).all()
    # Of one step, the share is the whole gradient.
    y, _, tape = net.forward(x[:1])
    grads = net.backward(tape, rng.standard_normal(y.shape), flow="weights")
    for i, name in enumerate(n for n in grads if n.startswith("weight_ih")):
        whole = np.linalg.norm(grads[name])
        assert grads.flow_detail.weight_ih[i, 0] == pytest.approx(whole, rel=1e-9)
    if options.get("reset_after", True):
        assert (grads.flow_detail.weight_hh == 0).all()  # h_0 is zero
    else:
        assert grads.flow_detail.weight_hh is None


@pytest.mark.usefixtures("threads_afterwards")
def test_details_have_the_same_bits_for_any_number_of_threads(dtype):
    net = bn.LSTM(8, 48, num_layers=2, dtype=dtype)
    rng = np.random.default_rng(0)
    y, _, tape = net.forward(rng.standard_normal((40, 20, 8)).astype(dtype))
    dy = rng.standard_normal(y.shape).astype(dtype)
    found = []
    for threads in (1, 3):
        bn.set_num_threads(threads)
        found.append(net.backward(tape, dy, flow="all"))
    for one, other in zip(found[0].flow_detail, found[1].flow_detail, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(found[0].flow_a, found[1].flow_a)


def test_a_training_step_records_what_backward_does():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, 4, 3))
    targets = rng.integers(0, 2, (9, 4))
    model = bn.Model("gru", input_size=3, hidden_size=7, output_size=2, dtype="float64")
    result, grads = model.gradients(x, targets, flow="all")
    step = model.train_step(x, targets, flow="all")
    for one, other in zip(result.flow_detail, step.flow_detail, strict=True):
        if one is not None:
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(grads.flow_a, step.flow_a)
    assert step.flow_detail.units_a.shape == (1, 9, 21)
    assert "samples_h" in repr(step.flow_detail)
    assert model.train_step(x, targets, flow=False).flow_a is None
    for wrong, kind in (("some", ValueError), (2, TypeError)):
        with pytest.raises(kind, match="argument 'flow': expected"):
            model.train_step(x, targets, flow=wrong)


# ----------------------------------------------------------------------------- clipping, judged


def training(**options):
    rng = np.random.default_rng(0)
    model = bn.Model(
        "rnn", input_size=3, hidden_size=7, output_size=2, dtype="float64", optimizer="sgd",
        lr=1.0, seed=1, **options,
    )  # fmt: skip
    return model, rng.standard_normal((9, 4, 3)), rng.integers(0, 2, (9, 4))


@pytest.mark.parametrize(
    ("options", "turns"),
    [
        ({}, False),
        ({"clip_norm": 0.05}, False),
        ({"clip_value": 0.01}, True),
        ({"clip_tensor_norm": 0.02}, True),
        ({"clip_value": 0.01, "clip_norm": 0.05}, True),
    ],
)
def test_the_norm_and_angle_after_clipping_are_those_of_the_update(options, turns):
    model, x, targets = training(**options)
    _, grads = model.gradients(x, targets)
    before = np.concatenate([p.ravel() for p in model.state_dict().values()])
    step = model.train_step(x, targets)
    after = np.concatenate([p.ravel() for p in model.state_dict().values()])
    used, g = before - after, grads.flat  # lr 1
    assert step.clipped_norm == pytest.approx(np.linalg.norm(used), rel=1e-9)
    cosine = used @ g / np.linalg.norm(used) / np.linalg.norm(g)
    assert np.cos(step.clip_angle) == pytest.approx(cosine, rel=1e-9)
    assert (step.clip_angle > 1e-3) == turns
    if not turns:
        assert step.clip_angle == 0
    model, *_ = training(**options)
    result = model.apply(grads)
    assert (result.clipped_norm, result.clip_angle) == (step.clipped_norm, step.clip_angle)


def test_policies_for_gradients_that_are_not_finite():
    bad = np.zeros((9, 4, 3))
    bad[2, 1, 0] = np.inf
    for policy in ("skip", "zero", "raise"):
        model, x, targets = training(nonfinite=policy, nonlinearity="relu")
        assert model.config["nonfinite"] == policy
        _, grads = model.gradients(x, targets)
        grads.flat[3] = np.nan
        before = model.state_dict()
        if policy == "raise":
            with pytest.raises(
                FloatingPointError, match=r"Model\.apply: the gradient contains (NaN|infinity)"
            ):
                model.apply(grads)
            with pytest.raises(FloatingPointError, match=r"Model\.train_step"):
                model.train_step(bad, targets)
        else:
            result = model.apply(grads)
            assert result.skipped == (policy == "skip")
        after = model.state_dict()
        changed = any((after[name] != before[name]).any() for name in before)
        assert changed == (policy == "zero")
        assert model.step_count == (policy == "zero")
        assert model.skipped_count == (policy == "skip")
        if policy == "zero":
            assert result.clipped
            assert np.isnan(result.clip_angle)
            zeros = np.where(np.isfinite(grads.flat), grads.flat, 0)
            assert result.clipped_norm == pytest.approx(np.linalg.norm(zeros))
            flat = np.concatenate([(before[n] - after[n]).ravel() for n in before])
            np.testing.assert_allclose(flat, zeros, atol=1e-15)


def test_a_bound_below_float32_is_one_still():
    model = bn.Model("rnn", input_size=3, hidden_size=5, output_size=4, clip_value=1e-50, seed=0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 4, 3)).astype(np.float32), rng.integers(0, 4, (9, 4))
    step = model.train_step(x, y)
    assert step.clipped_norm > 0
    assert step.clip_angle > 0.1
    _, grads = model.gradients(x, y)
    bn.clip_grad_value_(grads, 0.0)
    assert not grads.flat.any()


@pytest.mark.parametrize("policy", ["skip", "zero", "raise"])
def test_finite_gradients_whose_norm_is_beyond_float64(policy):
    model, x, targets = training(nonfinite=policy)
    _, grads = model.gradients(x, targets)
    grads.flat[:] = 1e308
    result = model.apply(grads)
    assert (result.grad_norm, result.skipped, result.clipped) == (np.inf, False, False)
    assert all((values == -1e308).all() for values in model.state_dict().values())
    if policy == "raise":
        with pytest.raises(FloatingPointError, match="the update would overflow"):
            model.apply(grads)
    else:
        assert model.apply(grads).skipped
        assert model.skipped_count == 1
    assert all((values == -1e308).all() for values in model.state_dict().values())


def test_the_policy_is_kept_in_files(tmp_path):
    model = training(nonfinite="zero")[0]
    model.save(tmp_path / "m.safetensors")
    assert bn.load(tmp_path / "m.safetensors").config["nonfinite"] == "zero"
    with pytest.raises(ValueError, match="argument 'nonfinite': expected"):
        training(nonfinite="ignore")
