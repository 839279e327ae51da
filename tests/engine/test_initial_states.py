"""Learnt initial states: parameters in place of zeros, before the first step and after resets."""

import copy
import pickle

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.diagnostics.seeds import backward_seeds
from helpers.arrays import assert_same, draw, error, generator
from helpers.cells import LAYERS, arrays_of

LENGTHS = np.array([5, 9, 1, 7])
T, N, I, H, L = 9, 4, 3, 6, 2  # noqa: E741


def layer_of(cell, dtype="float64", seed=1, **options):
    """Return a layer whose initial states are random."""
    made = LAYERS[cell](
        I, H, num_layers=L, dtype=dtype, seed=seed, learn_initial_state=True, **options
    )
    rng = generator(seed)
    made.load_state_dict(
        {
            name: rng.standard_normal(p.shape).astype(dtype) if name[1:3] == "0_" else p
            for name, p in made.state_dict().items()
        }
    )
    return made


def started(layer, batch=N):
    """Return the learnt states as a state that a caller gives."""
    params, D = layer.state_dict(), 1 + layer.bidirectional
    ends = [f"_l{k}{'_reverse' * d}" for k in range(L) for d in range(D)]
    kinds = ["h0", "c0"] if "c0_l0" in params else ["h0"]
    states = [np.stack([np.tile(params[kind + end], (batch, 1)) for end in ends]) for kind in kinds]
    return tuple(states) if len(states) == 2 else states[0]


def starts_of(gradients):
    """Return the gradients of the initial states, each [L*D, R] or [L*D, H]."""
    kinds = ["h0", "c0"] if "c0_l0" in gradients else ["h0"]
    return [np.stack([gradients[n] for n in gradients if n.startswith(kind)]) for kind in kinds]


@pytest.mark.parametrize("cell", LAYERS)
def test_the_parameters_are_zero_at_first(cell, isa):
    layer = LAYERS[cell](I, H, num_layers=L, bidirectional=True, learn_initial_state=True)
    plain = LAYERS[cell](I, H, num_layers=L, bidirectional=True)
    names = layer.state_dict().keys() - plain.state_dict().keys()
    kinds = ["h0", "c0"] if cell == "lstm" else ["h0"]
    assert names == {f"{k}_l{n}{r}" for k in kinds for n in range(L) for r in ("", "_reverse")}
    assert all(layer.state_dict()[name].shape == (H,) for name in names)
    x = draw(T, N, I)
    assert_same(layer(x, lengths=LENGTHS), plain(x, lengths=LENGTHS))


def test_a_projected_state_is_learnt_with_its_size():
    params = bn.LSTM(I, H, proj_size=2, learn_initial_state=True).state_dict()
    assert (params["h0_l0"].shape, params["c0_l0"].shape) == ((2,), (H,))


@pytest.mark.parametrize("both", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("cell", LAYERS)
def test_they_stand_for_a_given_state(cell, both, dtype, isa):
    """The passes have the same bits; the gradient is the sum over the sequences, or 0."""
    layer = layer_of(cell, dtype, bidirectional=both)
    x, dy = draw(T, N, I, dtype=dtype), draw(T, N, H * (1 + both), dtype=dtype, seed=2)
    y, last, tape = layer.forward(x, lengths=LENGTHS)
    given_y, given_last, other = layer.forward(x, started(layer), lengths=LENGTHS)
    assert_same((y, last), (given_y, given_last))
    assert_same(layer(x, lengths=LENGTHS), (y, last))
    got, want = layer.backward(tape, dy), layer.backward(other, dy)
    for a, b in zip(starts_of(got), arrays_of(want.state), strict=True):
        assert error(a, b.sum(axis=1)) <= {"float32": 1e-6, "float64": 1e-14}[dtype]
    assert not any(start.any() for start in starts_of(want))
    for name, gradient in want.items():
        assert name[1:3] == "0_" or gradient.tobytes() == got[name].tobytes()
    assert_same(got.state, want.state)


@pytest.mark.parametrize("cell", LAYERS)
def test_a_given_state_ends_at_a_reset(cell, isa):
    """After it a sequence begins again with the learnt state, and that has a gradient."""
    layer = layer_of(cell)
    x, dy = draw(T, N, I, dtype="float64"), draw(T, N, H, dtype="float64", seed=2)
    resets = np.zeros((T, N), bool)
    resets[4, :2] = True
    state = started(layer_of(cell, seed=9))
    y, last, tape = layer.forward(x, state, resets=resets)
    fresh, fresh_last, again = layer.forward(x[4:, :2])
    assert error(y[4:, :2], fresh) <= 1e-14
    for a, b in zip(arrays_of(last), arrays_of(fresh_last), strict=True):
        assert error(a[:, :2], b) <= 1e-14
    got, want = layer.backward(tape, dy), layer.backward(again, dy[4:, :2])
    for a, b in zip(starts_of(got), starts_of(want), strict=True):
        assert error(a, b) <= 1e-14


@pytest.mark.parametrize("cell", LAYERS)
def test_gradients_are_finite_differences(cell):
    layer = layer_of(cell)
    x, dy = draw(T, N, I, dtype="float64"), draw(T, N, H, dtype="float64", seed=2)
    resets = generator(3).random((T, N)) < 0.3
    gradients = layer.backward(layer.forward(x, resets=resets)[2], dy)
    params, step = layer.state_dict(), 1e-5
    for name in [n for n in params if n[1:3] == "0_"]:
        for unit in range(H):
            losses = []
            for sign in (1, -1):
                moved = params[name].copy()
                moved[unit] += sign * step
                layer.load_state_dict({**params, name: moved})
                losses.append(np.sum(dy * layer(x, resets=resets)[0]))
            slope = (losses[0] - losses[1]) / (2 * step)
            assert abs(slope - gradients[name][unit]) <= 1e-8 * max(1, abs(slope))


@pytest.mark.usefixtures("threads_afterwards")
@pytest.mark.parametrize("batch", [1, 3, 16, 70])
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_any_number_of_threads(cell, batch):
    layer = layer_of(cell, "float32")
    x, resets = draw(60, batch, I), generator(4).random((60, batch)) < 0.1
    lengths, results = generator(5).integers(1, 61, batch), []
    for threads in (1, 2, 3, 8):
        bn.set_num_threads(threads)
        y, _, tape = layer.forward(x, lengths=lengths, resets=resets)
        results.append(layer.backward(tape, y).flat.tobytes())
    assert len({*results}) == 1


@pytest.mark.parametrize("cell", LAYERS)
def test_a_tape_keeps_the_states_with_which_it_was_made(cell):
    layer = layer_of(cell)
    x, dy = draw(T, N, I, dtype="float64"), draw(T, N, H, dtype="float64", seed=2)
    resets = generator(3).random((T, N)) < 0.3
    tape = layer.forward(x, resets=resets)[2]
    want = layer.backward(tape, dy).flat.copy()
    layer.load_state_dict(layer_of(cell, seed=8).state_dict())
    assert layer.backward(tape, dy).flat.tobytes() == want.tobytes()


@pytest.mark.parametrize("cell", LAYERS)
def test_gradients_of_single_outputs_and_details_read_the_states_after_resets(cell):
    layer = layer_of(cell)
    x, resets = draw(T, 1, I, dtype="float64"), np.zeros((T, 1), bool)
    resets[3] = True
    y, _, tape = layer.forward(x, resets=resets)
    dy = draw(1, H, dtype="float64", seed=2)
    got = backward_seeds(layer, tape, [6], dy=dy, samples=[0], flow=True)
    at = np.zeros_like(y)
    at[6] = dy
    alone = layer.backward(tape, at, flow="all")
    assert error(got.x[0], np.linalg.norm(alone.x[:, 0], axis=-1)) <= 1e-14
    assert error(got.h[:, 0], alone.flow) <= 1e-14
    if cell != "mingru":  # the first step after the reset multiplies da by the learnt state
        at[:] = 0
        at[3] = dy
        alone = layer.backward(tape, at, flow="all")
        share = alone.flow_detail.share_hh[-1, 3, 0]
        assert share == pytest.approx(np.linalg.norm(alone["weight_hh_l1"]), rel=1e-12)


def test_frozen_states_do_not_move():
    layer = layer_of("lstm")
    layer.freeze("h0_l0", "c0_l1")
    y, _, tape = layer.forward(draw(T, N, I, dtype="float64"))
    gradients = layer.backward(tape, y)
    assert not gradients["h0_l0"].any()
    assert not gradients["c0_l1"].any()
    assert gradients["h0_l1"].any()
    assert gradients["c0_l0"].any()


def model_of(cell="gru", **options):
    return bn.Model(
        cell, input_size=1, hidden_size=8, output_size=1, loss="mse", lr=0.02,
        learn_initial_state=True, **options,
    )  # fmt: skip


@pytest.mark.parametrize("cell", LAYERS)
def test_models_learn_where_to_begin(cell):
    """The first output is known to all sequences and to no input."""
    x, targets = np.zeros((1, 4, 1), np.float32), np.full((1, 4, 1), 0.7, np.float32)
    model = model_of(cell)
    frozen = [n for n in model.state_dict() if not n.startswith(("rnn.h0", "rnn.c0"))]
    model.freeze(*frozen)
    before = model.train_step(x, targets).loss
    for _ in range(300):
        after = model.train_step(x, targets).loss
    assert after < before / 100
    assert model.state_dict()["rnn.h0_l0"].any()


def test_a_training_step_follows_the_state_of_its_call():
    """The tape that training steps reuse forgets whether the last caller gave a state."""
    model, other = model_of(), model_of()
    x, targets = draw(6, 4, 1), draw(6, 4, 1, seed=1)
    model.train_step(x, targets)
    state = np.full((1, 4, 8), 0.1, np.float32)
    _, with_state = other.gradients(x, targets, state)
    assert not with_state["rnn.h0_l0"].any()
    start = model.state_dict()["rnn.h0_l0"].copy()
    model.train_step(x, targets, start[None, None].repeat(4, axis=1))
    moved = model.state_dict()["rnn.h0_l0"]
    model.train_step(x, targets)
    assert start.any()
    assert not np.array_equal(model.state_dict()["rnn.h0_l0"], moved)


def test_windows_carry_the_state_and_the_first_one_learns():
    model = model_of()
    x, targets = draw(8, 4, 1), draw(8, 4, 1, seed=1)
    _, first = model.gradients(x[:4], targets[:4])
    step, _ = model.gradients(x[:4], targets[:4])
    _, second = model.gradients(x[4:], targets[4:], step.state)
    assert first["rnn.h0_l0"].any()
    assert not second["rnn.h0_l0"].any()


@pytest.mark.parametrize("cell", LAYERS)
def test_streams_begin_with_the_states_of_their_model(cell, dtype, isa):
    model = model_of(cell, num_layers=2, dtype=dtype)
    x = draw(12, 1, dtype=dtype)
    for _ in range(3):
        model.train_step(x[:, None], np.ones((12, 1, 1), dtype))
    stream, want = model.stream(), model(x)[0]
    first = arrays_of(stream.state)[0][0, 0]
    np.testing.assert_array_equal(first, model.state_dict()["rnn.h0_l0"])
    model.train_step(x[:, None], np.ones((12, 1, 1), dtype))
    for begin in (lambda: None, stream.reset, lambda: setattr(stream, "state", None)):
        begin()
        got = np.array([stream.step(step) for step in x])
        np.testing.assert_allclose(got, want, atol={"float32": 1e-5, "float64": 1e-12}[dtype])


def test_files_and_pickles_hold_them(tmp_path):
    model = model_of("lstm")
    x, targets = draw(6, 4, 1), draw(6, 4, 1, seed=1)
    model.train_step(x, targets)
    model.save(tmp_path / "model.safetensors")
    loaded = bn.load(tmp_path / "model.safetensors")
    assert loaded.config["learn_initial_state"]
    assert_same(loaded(x), model(x))
    assert loaded.train_step(x, targets).loss == model.train_step(x, targets).loss
    assert_same(loaded(x), model(x))
    layer = layer_of("lstm")
    for other in (pickle.loads(pickle.dumps(layer)), copy.copy(layer)):
        assert_same(other(draw(T, N, I, dtype="float64")), layer(draw(T, N, I, dtype="float64")))
    restore, (cls, config, *rest) = bn.GRU(I, H, num_layers=L).__reduce__()
    earlier = restore(cls, {n: v for n, v in config.items() if n != "learn_initial_state"}, *rest)
    assert not earlier.learn_initial_state
    assert earlier.config == config
    plain = bn.Model("lstm", input_size=1, hidden_size=8, output_size=1)
    assert b"learn_initial_state" not in bytes(plain._native.serialize())
