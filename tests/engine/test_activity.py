"""Regularisers of the activity: l1 mean |h| + l2 mean h^2 over all units and steps."""

import numpy as np
import pytest

import bptt_native as bn
from helpers.arrays import draw, error, generator
from helpers.cells import LAYERS
from helpers.nets import TOLERANCE

T, N, I, H, L = 9, 5, 3, 6, 2  # noqa: E741
L1, L2 = 0.7, 0.4
LENGTHS = np.array([4, 9, 1, 7, 9])


def penalty_of(tape):
    """Return the value by its definition, from all states of a tape."""
    states = tape.states()
    h = states[0] if isinstance(states, tuple) else states
    elements = sum(tape.lengths) * len(h) * h.shape[-1]  # h is zero in the padding
    return (L1 * np.abs(h).sum() + L2 * (h.astype(np.float64) ** 2).sum()) / elements


@pytest.mark.parametrize("both", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("cell", LAYERS)
def test_gradients_are_finite_differences(cell, both):
    layer = LAYERS[cell](
        I, H, num_layers=L, bidirectional=both, dtype="float64", learn_initial_state=True
    )
    x = draw(T, N, I, dtype="float64")
    passage = {"lengths": LENGTHS, "resets": generator(1).random((T, N)) < 0.2}
    tape = layer.forward(x, **passage)[2]
    gradients = layer.backward(tape, None, activity_l1=L1, activity_l2=L2)
    assert gradients.activity_penalty == pytest.approx(penalty_of(tape), rel=1e-13)
    params, rng, step = layer.state_dict(), generator(2), 1e-6
    for name, p in params.items():
        direction = rng.standard_normal(p.shape)
        values = []
        for sign in (1, -1):
            layer.load_state_dict({**params, name: p + sign * step * direction})
            values.append(penalty_of(layer.forward(x, **passage)[2]))
        slope = (values[0] - values[1]) / (2 * step)
        assert abs(slope - np.sum(direction * gradients[name])) <= 1e-8


def test_one_weight_at_a_time(dtype, isa):
    layer = bn.RNN(I, H, dtype=dtype)
    y, _, tape = layer.forward(draw(T, N, I, dtype=dtype))
    for weights, dy in [({"activity_l1": L1}, L1 * np.sign(y)), ({"activity_l2": L2}, 2 * L2 * y)]:
        got = layer.backward(tape, None, **weights)
        want = layer.backward(tape, (dy / y.size).astype(dtype))
        assert error(got.flat, want.flat) <= TOLERANCE[dtype]
        assert error(got.flow, want.flow) <= TOLERANCE[dtype]
    assert layer.backward(tape, y).activity_penalty == 0


def model_of(cell="rnn", **options):
    sizes = {"input_size": I, "hidden_size": H, "output_size": 2, "num_layers": L}
    return bn.Model(cell, loss="mse", **sizes, **options)


@pytest.mark.parametrize("targets", ["every", "last"])
@pytest.mark.parametrize("cell", LAYERS)
def test_training_steps_report_it_apart_from_the_loss(cell, targets, dtype):
    options = {"dtype": dtype, "targets": targets, "activity_l1": L1, "activity_l2": L2}
    model, plain = model_of(cell, **options), model_of(cell, dtype=dtype, targets=targets)
    x = draw(T, N, I, dtype=dtype)
    y = draw(*([T] if targets == "every" else []), N, 2, dtype=dtype, seed=1)
    out, _, tape = model.forward(x, lengths=LENGTHS)
    step, gradients = model.gradients(x, y, lengths=LENGTHS)
    other, without = plain.gradients(x, y, lengths=LENGTHS)
    assert step.loss == other.loss == model.eval_step(x, y, lengths=LENGTHS)[0]
    assert step.activity_penalty == pytest.approx(penalty_of(tape), rel=TOLERANCE[dtype])
    assert gradients.activity_penalty == step.activity_penalty
    assert other.activity_penalty == 0
    dout = model.output_gradient(out, y, lengths=LENGTHS)
    added = model.backward(tape, dout, activity_l1=L1, activity_l2=L2)
    assert error(gradients.flat, added.flat) <= TOLERANCE[dtype]
    assert error(gradients.flat, without.flat) > 1e-3
    trained = model.train_step(x, y, lengths=LENGTHS)
    assert (trained.loss, trained.activity_penalty) == (step.loss, step.activity_penalty)


@pytest.mark.usefixtures("threads_afterwards")
@pytest.mark.parametrize("batch", [1, 3, 16, 70])
def test_any_number_of_threads(batch):
    layer, x = bn.LSTM(I, 96, num_layers=2), draw(60, batch, I)
    lengths, results = generator(3).integers(1, 61, batch), []
    for threads in (1, 2, 3, 8):
        bn.set_num_threads(threads)
        y, _, tape = layer.forward(x, lengths=lengths)
        gradients = layer.backward(tape, y, activity_l1=L1, activity_l2=L2)
        results.append((gradients.flat.tobytes(), gradients.activity_penalty))
    assert len({*results}) == 1


def test_windows_count_each_step_once():
    layer = bn.GRU(I, H, num_layers=2, dtype="float64")
    tape = layer.forward(draw(T, N, I, dtype="float64"), lengths=LENGTHS)[2]
    weights = {"activity_l1": L1, "activity_l2": L2}
    whole = layer.backward(tape, None, **weights)
    windows = layer.backward(tape, None, truncation=(2, T + 1), flow=False, **weights)
    assert windows.activity_penalty == pytest.approx(whole.activity_penalty, rel=1e-13)
    assert error(windows.flat, whole.flat) <= 1e-12


def test_training_lowers_the_rates():
    x, y = draw(T, N, I), draw(T, N, 2, seed=1)
    rates = []
    for weight in (0.0, 5.0):
        model = model_of(nonlinearity="softplus", activity_l2=weight, lr=0.01)
        for _ in range(200):
            model.train_step(x, y)
        rates.append((model.forward(x)[2].states() ** 2).mean())
    assert rates[1] < 0.5 * rates[0]


def test_files_hold_the_weights(tmp_path):
    model = model_of(activity_l1=L1, activity_l2=L2)
    model.save(tmp_path / "model.safetensors")
    loaded = bn.load(tmp_path / "model.safetensors")
    assert (loaded.activity_l1, loaded.activity_l2) == (L1, L2)
    assert b"activity" not in bytes(model_of()._native.serialize())


@pytest.mark.parametrize("name", ["activity_l1", "activity_l2"])
def test_bad_weights_are_refused(name):
    layer = bn.LSTM(I, H)
    y, _, tape = layer.forward(draw(T, N, I))
    for value in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"argument '{name}': expected a finite number"):
            layer.backward(tape, y, **{name: value})
        with pytest.raises(ValueError, match=f"Model: argument '{name}': expected a finite number"):
            model_of(**{name: value})
    for bad in (lambda: layer.backward(tape, y, **{name: 1e39}), lambda: model_of(**{name: 1e39})):
        with pytest.raises(ValueError, match=f"'{name}': expected a number >= 0 that is finite in"):
            bad()
    assert model_of(**{name: 1e39}, dtype="float64").config[name] == 1e39
    for nothing in ("much", "", None, False, [], np.zeros(2)):
        with pytest.raises(TypeError, match=f"LSTM.backward: argument '{name}'"):
            layer.backward(tape, y, **{name: nothing})
