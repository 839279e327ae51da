"""Clipping at the limits of the dtype, also with norms that exceed float64."""

import math

import numpy as np
import pytest

import bptt_native as bn
from helpers.updates import TOKENS


def gradients(values, dtype="float64"):
    layer = bn.RNN(1, 1, dtype=dtype)
    y, _, tape = layer.forward(np.zeros((1, 1, 1), dtype))
    grads = layer.backward(tape, y)
    grads.flat[:] = values
    return grads


# Elements, threshold: the norm exceeds float64, or the factor is below its normal numbers, or both.
EXTREMES = [
    ([1e308, 1e308, -1e308, 1e308], 1.0),
    ([1.7e308, -1.7e308, 1.7e308, 1.7e308], 1e-300),
    ([1.7e308, -1.7e308, 1.7e308, 1.7e308], 1e308),
    ([1e308, 1e308, 1e300, 1e10], 1e305),
    ([1e300, -1e300, 1e290, 1e280], 1e-30),
    ([1.7e308, 1.7e308, 1.7e308, 0.0], 1e-307),
    ([3e-320, -4e-320, 0.0, 0.0], 5e-321),
    ([3e-300, 4e-300, 0.0, 0.0], 1e-310),
]


@pytest.mark.parametrize(("values", "most"), EXTREMES)
def test_the_direction_is_kept_and_the_norm_is_the_threshold(values, most, isa):
    exact = np.array(values, np.longdouble)
    norm = np.sqrt((exact**2).sum())
    want = exact * (most / norm)
    grads = gradients(values)
    reported = bn.clip_grad_norm_(grads, most)
    assert reported == (pytest.approx(float(norm), rel=1e-4) if norm < 1.79e308 else math.inf)
    bound = 1e-14 * np.abs(want) + np.longdouble(5e-324)
    assert (np.abs(grads.flat - want) <= bound).all(), (grads.flat, want)
    tensors = gradients(values)
    bn.clip_grad_tensor_norm_(tensors, most)
    limit = np.minimum(np.abs(exact), most)
    assert (np.abs(np.abs(tensors.flat) - limit) <= 1e-14 * limit + np.longdouble(5e-324)).all()
    assert (np.sign(tensors.flat) == np.sign(exact)).all()


def test_eps_counts_beyond_float64_too():
    """Half the norm, where the norm and eps are of one size."""
    grads = gradients([1e308] * 4)
    assert bn.clip_grad_norm_(grads, 1.0, eps=1.5e308) == math.inf
    np.testing.assert_allclose(grads.flat, 1 / 3.5, rtol=1e-14)


def test_a_norm_that_only_is_measured():
    grads = gradients([1e308] * 4)
    assert bn.clip_grad_norm_(grads, math.inf) == math.inf
    assert grads.norm() == math.inf
    assert (grads.flat == 1e308).all()
    grads.flat[1] = np.inf
    before = grads.flat.copy()
    assert bn.clip_grad_norm_(grads, 1.0) == math.inf
    np.testing.assert_array_equal(grads.flat, before)


@pytest.mark.parametrize("nonfinite", ["skip", "zero", "raise"])
@pytest.mark.parametrize(
    "clips",
    [
        {"clip_norm": 1e-3},
        {"clip_norm": 1e-200},
        {"clip_tensor_norm": 1e-3},
        {"clip_value": 1e-3, "clip_norm": 1e-3},
        {"clip_tensor_norm": 1e-3, "clip_norm": 1e-4},
    ],
)
def test_a_model_clips_them(clips, nonfinite, isa):
    """The step is that of the same gradient 2^-900 times as large."""
    options = {"vocab_size": 3, "hidden_size": 4, "output_size": 3, "optimizer": "sgd", "lr": 1.0,
               "dtype": "float64"}  # fmt: skip
    m = bn.Model(**options, **clips, nonfinite=nonfinite)
    twin = bn.Model(**options, **clips)
    _, grads = m.gradients(TOKENS[:-1], TOKENS[1:])
    grads.flat[:] = 1e308 * np.random.default_rng(0).choice([-1, 1], grads.flat.size)
    small = grads.copy()
    small.flat[:] = np.ldexp(grads.flat, -900)
    got, want = m.apply(grads), twin.apply(small)
    assert (got.skipped, got.clipped, got.grad_norm) == (False, True, math.inf)
    assert got.clipped_norm == pytest.approx(want.clipped_norm, rel=1e-12)
    assert got.clip_angle == pytest.approx(want.clip_angle, abs=1e-12)
    assert m.skipped_count == 0
    for name, values in m.state_dict().items():
        np.testing.assert_allclose(values, twin.state_dict()[name], rtol=1e-13)


def test_the_angle_of_a_gradient_beyond_float64():
    """Clamped to one size, (1, 1/2, ...) is turned towards the diagonal."""
    m = bn.Model(vocab_size=3, hidden_size=4, output_size=3, dtype="float64", clip_value=1.0)
    _, grads = m.gradients(TOKENS[:-1], TOKENS[1:])
    half = np.arange(grads.flat.size) % 2 == 0
    grads.flat[:] = np.where(half, 1.6e308, 0.8e308)
    a = np.where(half, 2.0, 1.0)
    cosine = a.sum() / np.sqrt((a * a).sum() * a.size)
    assert m.apply(grads).clip_angle == pytest.approx(np.arccos(cosine), rel=1e-9)


@pytest.mark.parametrize(("value", "most"), [(1e308, 1.0), (1e300, 1e-30), (1e308, 1e307)])
@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_clipping_inside_bptt(cell, value, most, isa):
    """dL/dh_0 is as with a gradient that is no further above the threshold than float64 reaches."""
    options = {"forget_bias": 1.0} if cell == "LSTM" else {}
    layer = getattr(bn, cell)(2, 8, dtype="float64", seed=1, **options)
    x = np.random.default_rng(0).standard_normal((3, 2, 2))
    sign = np.random.default_rng(1).choice([-1.0, 1.0], (3, 2, 8))
    _, _, tape = layer.forward(x)
    last = np.arange(3)[:, None, None] == 2
    huge = layer.backward(tape, sign * value * last, clip_step_norm=most)
    plain = layer.backward(tape, sign * 1e100 * last, clip_step_norm=1.0)
    first = [g.state if cell != "LSTM" else g.state[0] for g in (huge, plain)]
    assert np.abs(first[1]).max() > 0
    np.testing.assert_allclose(first[0] / most, first[1], rtol=1e-10)


def test_gradients_of_several_batches_overflow_no_sooner_than_their_mean():
    """Two sequences of 200 steps count 400 targets: a gradient of 1e36 times that is too much."""
    from bptt_native import fit

    m = bn.Model(input_size=1, hidden_size=3, output_size=1, loss="mse", clip_norm=1.0)
    x = np.ones((200, 8, 1), "f4")
    fit(m, x, np.full((200, 8, 1), 1e36, "f4"), epochs=1, batch_size=2, accumulate=4)
    assert (m.step_count, m.skipped_count) == (1, 0)


@pytest.mark.parametrize("scale", [1.0, 1e200, 1e-200])
def test_every_part_of_a_long_vector_is_clipped(scale, isa):
    """Vectors are walked in chunks of 16,384 elements, and those far from 1 in pieces of 512."""
    layer = bn.RNN(1, 250, dtype="float64")
    y, _, tape = layer.forward(np.zeros((1, 1, 1)))
    rng = np.random.Generator(np.random.Philox(2))
    values = rng.standard_normal(layer.num_parameters) * scale
    norm = np.linalg.norm(values / scale) * scale
    by_norm, by_value = (layer.backward(tape, y) for _ in range(2))
    by_norm.flat[:] = by_value.flat[:] = values
    assert bn.clip_grad_norm_(by_norm, norm / 4) == pytest.approx(norm, rel=1e-13)
    np.testing.assert_allclose(by_norm.flat, values / 4, rtol=1e-13)
    bn.clip_grad_value_(by_value, scale / 2)
    assert np.array_equal(by_value.flat, np.clip(values, -scale / 2, scale / 2))


def test_the_angle_to_a_gradient_that_clipping_makes_zero_is_zero():
    model = bn.Model("rnn", vocab_size=3, hidden_size=2, output_size=3, clip_tensor_norm=1e-60)
    result = model.train_step(TOKENS[:-1], TOKENS[1:])
    assert result.clipped
    assert (result.clipped_norm, result.clip_angle) == (0.0, 0.0)
