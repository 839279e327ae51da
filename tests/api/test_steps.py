"""The two halves of a training step: `Model.gradients` and `Model.apply`."""

import math
import threading

import numpy as np
import pytest

import bptt_native as bn
from helpers.arrays import assert_same

T, N, I, H, O = 6, 4, 3, 5, 4  # noqa: E741

CLIPS = [
    {},
    {"clip_norm": 0.05},
    {"clip_value": 0.01, "clip_tensor_norm": 0.02, "clip_norm": 0.03},
    {"clip_step": 0.01, "clip_step_norm": 0.02},
]


def make(**options):
    options = {"input_size": I, "dtype": "float64", "optimizer": "adam", "lr": 0.01, **options}
    return bn.Model("gru", hidden_size=H, output_size=O, num_layers=2, **options)


def data(seed=0, n=N):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((T, n, I)), rng.integers(0, O, (T, n))


@pytest.mark.parametrize("clips", CLIPS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_halves_are_the_whole(clips, dtype, isa):
    whole, halves = make(dtype=dtype, **clips), make(dtype=dtype, **clips)
    for seed in range(4):
        x, y = data(seed)
        x = x.astype(dtype)
        want = whole.train_step(x, y)
        result, gradients = halves.gradients(x, y)
        kept = gradients.flat.copy()
        update = halves.apply(gradients)
        assert (result.loss, result.grad_norm) == (want.loss, want.grad_norm)
        assert (result.clipped, result.skipped) == (False, False)
        after = (want.clipped_norm, want.clip_angle)
        assert update == (want.grad_norm, want.clipped, want.skipped, *after)
        assert want.clipped == any(not k.startswith("clip_step") for k in clips)
        assert gradients.flat.tobytes() == kept.tobytes()
        assert gradients.norm() == result.grad_norm
        assert result.flow.tobytes() == want.flow.tobytes() == gradients.flow.tobytes()
        np.testing.assert_array_equal(result.state, want.state)
        assert_same(whole.state_dict(), halves.state_dict())
    assert (halves.step_count, halves.skipped_count) == (4, 0)
    assert halves.optimizer.steps == whole.optimizer.steps == 4


@pytest.mark.parametrize("way", ["accumulate", "added"])
def test_gradients_of_parts_are_those_of_the_batch(way):
    options = {"reduction": "sum", "clip_norm": 0.5, "optimizer": "sgd", "momentum": 0.9, "lr": 0.1}
    whole, parts = make(**options), make(**options)
    for seed in range(3):
        x, y = data(seed, 8)
        want = whole.train_step(x, y)
        total, loss = None, 0.0
        for begin in range(0, 8, 2):
            part = x[:, begin : begin + 2], y[:, begin : begin + 2]
            if way == "accumulate":
                result, total = parts.gradients(*part, accumulate=total)
                assert result.grad_norm == total.norm()
            else:
                result, gradients = parts.gradients(*part)
                total = gradients if total is None else total
                if total is not gradients:
                    total += gradients
            loss += result.loss
        update = parts.apply(total)
        assert abs(loss - want.loss) <= 1e-13 * want.loss
        assert abs(update.grad_norm - want.grad_norm) <= 1e-13 * want.grad_norm
        assert update.clipped == want.clipped
        a, b = whole.state_dict(), parts.state_dict()
        assert max(np.abs(a[k] - b[k]).max() for k in a) <= 1e-14


def test_a_mean_over_parts_is_one_of_means():
    """Parts weighted by their share of the mean's weight give the same step."""
    whole, parts = make(optimizer="sgd", lr=0.1), make(optimizer="sgd", lr=0.1)
    x, y = data()
    weights = np.random.default_rng(1).uniform(0.5, 2, (T, N))
    want = whole.train_step(x, y, weights=weights)
    total = None
    for n in range(N):
        columns = slice(n, n + 1)
        _, gradients = parts.gradients(x[:, columns], y[:, columns], weights=weights[:, columns])
        gradients *= weights[:, n].sum() / weights.sum()
        if total is None:
            total = gradients
        else:
            total += gradients
    assert abs(parts.apply(total).grad_norm - want.grad_norm) <= 1e-13 * want.grad_norm
    a, b = whole.state_dict(), parts.state_dict()
    assert max(np.abs(a[k] - b[k]).max() for k in a) <= 1e-14


def test_gradients_change_nothing():
    m = make(clip_norm=0.1)
    x, y = data()
    before, tape = m.state_dict(), m.forward(x)[2]
    m.gradients(x, y)
    after = m.state_dict()
    assert all(before[k].tobytes() == after[k].tobytes() for k in before)
    assert (m.step_count, m.skipped_count, m.optimizer.steps) == (0, 0, 0)
    m.backward(tape, np.zeros((T, N, O)))  # the tape is still one of these parameters


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_gradients_that_are_not_finite_are_skipped(value):
    m, twin = make(), make()
    x, y = data()
    m.train_step(x, y)
    twin.train_step(x, y)
    _, gradients = m.gradients(x, y)
    gradients["readout.bias"][1] = value
    update = m.apply(gradients)
    assert update.skipped
    assert not math.isfinite(update.grad_norm)
    assert (m.step_count, m.skipped_count, m.optimizer.steps) == (1, 1, 1)
    assert_same(m.state_dict(), twin.state_dict())
    m.train_step(x, y)
    twin.train_step(x, y)
    assert_same(m.state_dict(), twin.state_dict())  # the moments too


def test_frozen_parameters_count_as_zero():
    m = make(clip_norm=0.1, optimizer="sgd", lr=1.0)
    m.freeze("rnn.weight_ih_l0")
    x, y = data()
    result, gradients = m.gradients(x, y)
    assert not gradients["rnn.weight_ih_l0"].any()
    gradients["rnn.weight_ih_l0"][:] = 1e6
    before = m.state_dict()
    update = m.apply(gradients)
    after = m.state_dict()
    assert update.grad_norm == result.grad_norm
    assert before["rnn.weight_ih_l0"].tobytes() == after["rnn.weight_ih_l0"].tobytes()
    assert before["readout.bias"].tobytes() != after["readout.bias"].tobytes()
    assert (gradients["rnn.weight_ih_l0"] == 1e6).all()


def test_gradients_of_several_threads():
    """They only read the parameters: any number at a time, with the bits of one alone."""
    m = make()
    batches = [data(seed) for seed in range(6)]
    want = [m.gradients(*batch)[1].flat.tobytes() for batch in batches]
    got = [None] * 6

    def work(i):
        for _ in range(20):
            got[i] = m.gradients(*batches[i])[1].flat.tobytes()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == want


def test_what_does_not_fit_is_refused():
    m, other, narrow = make(), make(input_size=I + 1), make(dtype="float32")
    x, y = data()
    _, gradients = m.gradients(x, y)
    _, foreign = other.gradients(np.ones((T, N, I + 1)), y)
    _, single = narrow.gradients(x.astype("f4"), y)
    before = gradients.flat.copy()
    for wrong, kind in [
        (foreign, ValueError),
        (single, TypeError),
        (gradients.flat, TypeError),
        (None, TypeError),
        ({}, TypeError),
    ]:
        with pytest.raises(kind, match=r"^Model\.apply: argument 'gradients': expected .+, got"):
            m.apply(wrong)
        if wrong is not None:
            pattern = r"^Model\.gradients: argument 'accumulate': expected .+, got"
            with pytest.raises(kind, match=pattern):
                m.gradients(x, y, accumulate=wrong)
    with pytest.raises(ValueError, match=r"^Model\.gradients: argument 'targets': expected"):
        m.gradients(x, y[:-1], accumulate=gradients)
    with pytest.raises(IndexError, match=r"^Model\.gradients: argument 'targets': expected"):
        m.gradients(x, y + O, accumulate=gradients)
    assert gradients.flat.tobytes() == before.tobytes()
    assert m.step_count == 0
