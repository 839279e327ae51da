"""Streams with narrow weights: products and steps against NumPy, errors, states, arguments."""

import re

import numpy as np
import pytest

import bptt_native as bn
from helpers.cells import GATES, arrays_of
from helpers.narrow import KINDS, product, rounded, rounded_state
from helpers.streams import INPUTS, OPTIONS, O, make, sequence

pytestmark = pytest.mark.parametrize("weights", KINDS)


def tolerance(weights, options):
    """Rounding to float32 or, with int8, of rows to 16 bits; normalisation of few units adds up."""
    if weights == "bfloat16":
        return 1e-5
    return 5e-3 if options.get("layer_norm") else 1e-4


def numbers(rng, *shape):
    """Numbers of several magnitudes."""
    return (rng.standard_normal(shape) * 2.0 ** rng.integers(-6, 3, shape)).astype(np.float32)


def linear(matrix):
    """Return a model whose first step computes W x."""
    units, inputs = matrix.shape
    model = bn.Model("rnn", input_size=inputs, hidden_size=units, output_size=1, bias=False,
                     nonlinearity="identity", loss="mse")  # fmt: skip
    model.load_state_dict(model.state_dict() | {"rnn.weight_ih_l0": matrix})
    return model


def first_state(model, weights, x):
    stream = model.stream(weights)
    stream.step(x)
    return np.float64(stream.state[0, 0])


DEPTHS = (1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 64, 511, 512, 513, 1030)
UNITS = (1, 4, 7, 8, 9, 16, 17, 31, 33, 64, 65, 100, 130)


@pytest.mark.parametrize("depth", DEPTHS)
def test_products_are_those_of_numpy(weights, depth, isa):
    rng = np.random.default_rng(depth)
    for units in UNITS:
        matrix, x = numbers(rng, units, depth), numbers(rng, depth)
        want = product(weights, matrix, x)
        size = np.abs(rounded(weights, matrix)) @ np.abs(np.float64(x))
        error = np.abs(first_state(linear(matrix), weights, x) - want) / size
        assert error.max() < 1e-6, units
        assert depth < 16 or np.abs(matrix @ np.float64(x) - want).max() > 1e-5 * size.max()


def test_numbers_are_rounded_to_the_nearest_even(weights, isa):
    if weights == "bfloat16":
        given = [1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 1 + 2**-9, -1 - 2**-8]
        want = [1, 1 + 2**-6, 1 + 2**-7, 1, -1]
    else:
        given, want = [127, 0.5, 1.5, 2.5, -0.5, -1.5, -126.5], [127, 0, 2, 2, 0, -2, -126]
    rows = np.zeros((1, len(given)), np.float32)
    rows[0] = given
    model = linear(rows)
    got = [first_state(model, weights, row)[0] for row in np.eye(len(given), dtype=np.float32)]
    np.testing.assert_array_equal(got, want)


def test_rows_of_any_size(weights, isa):
    """Zeros, the smallest and the largest numbers, NaN and infinity in one of the rows."""
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((40, 9)).astype(np.float32)
    matrix[3] = 0
    matrix[4] *= 1e-36
    matrix[5] *= 1e36
    matrix[6] = 1e-45
    x = rng.standard_normal(9).astype(np.float32)
    want = product(weights, matrix, x)
    matrix[8, 2], matrix[33, 8], matrix[39, 0] = np.nan, np.inf, -np.inf
    with pytest.warns(RuntimeWarning, match="NaN or infinite"):
        model = linear(matrix)
    got = first_state(model, weights, x)
    finite = np.isfinite(matrix).all(axis=1)
    np.testing.assert_array_equal(np.isfinite(got), finite)
    finite[6] = False  # a subnormal scale
    np.testing.assert_allclose(got[finite], want[finite], rtol=1e-5, atol=1e-44)
    assert abs(got[6]) < 1e-42


def test_steps_of_any_size(weights, isa):
    rng = np.random.default_rng(2)
    matrix = rng.standard_normal((20, 21)).astype(np.float32)
    model, x = linear(matrix), rng.standard_normal(21).astype(np.float32)
    for factor in (1e-30, 1e30, 2e37):
        row = x * np.float32(factor)
        np.testing.assert_allclose(
            first_state(model, weights, row), product(weights, matrix, row), rtol=1e-4
        )
    assert not first_state(model, weights, 0 * x).any()
    assert np.abs(first_state(model, weights, x * np.float32(1e-40))).max() < 1e-37
    for bad in (np.nan, np.inf):
        x[20] = bad
        assert not np.isfinite(first_state(model, weights, x)).any()


PLAIN = [(cell, {}) for cell in GATES]


@pytest.mark.parametrize(("cell", "options"), PLAIN + OPTIONS, ids=str)
@pytest.mark.parametrize("inputs", INPUTS)
def test_a_stream_is_the_model_with_rounded_weights(weights, cell, options, inputs, isa):
    m, x = make(cell, inputs, **options), sequence(inputs)
    exact = bn.Model(**(m.config | {"dtype": "float64"}))
    exact.load_state_dict(rounded_state(m, weights))
    want, state = exact(np.float64(x) if inputs == "values" else x)
    stream, close = m.stream(weights=weights), tolerance(weights, options)
    for _ in range(2):
        got = np.array([stream.step(step) for step in x])
        assert got.dtype == np.float32
        assert np.abs(got - want).max() < close
        assert np.abs(got - m(x)[0]).max() > 3 * np.abs(got - want).max()
        for a, b in zip(arrays_of(stream.state), arrays_of(state), strict=True):
            assert np.abs(a[:, 0] - b).max() < close
        stream.reset()


@pytest.mark.parametrize("cell", GATES)
def test_a_thousand_steps_stay_near_those_of_float64(weights, cell, errors):
    rng = np.random.default_rng(3)
    m = bn.Model(cell, input_size=8, hidden_size=128, output_size=4, loss="mse", seed=2)
    exact = bn.Model(**(m.config | {"dtype": "float64"}))
    exact.load_state_dict({name: np.float64(value) for name, value in m.state_dict().items()})
    x = rng.standard_normal((1000, 8)).astype(np.float32)
    want = exact(np.float64(x))[0]
    stream = m.stream(weights)
    got = np.array([stream.step(row) for row in x])
    error = np.abs(got - want).max() / np.abs(want).max()
    errors.add(bn.isa(), "float32", f"stream of {weights} weights", error)
    assert 1e-5 < error < {"bfloat16": 5e-3, "int8": 2e-2}[weights]


def test_weights_are_made_again_after_a_change(weights):
    m, x = make("gru", loss="mse"), sequence("values")
    before = m.stream(weights)
    first = before.step(x[0])
    m.train_step(x, np.zeros((len(x), O), "f4"))
    after, again = m.stream(weights).step(x[0]), m.stream(weights).step(x[0])
    np.testing.assert_array_equal(after, again)
    assert (after != first).any()
    np.testing.assert_allclose(after, m(x)[0][0], atol=0.02)
    before.reset()
    np.testing.assert_array_equal(before.step(x[0]), first)


@pytest.mark.parametrize("cell", GATES)
def test_states_pass_between_streams_of_other_weights(weights, cell):
    m, x = make(cell), sequence("values")
    exact, narrow = m.stream(), m.stream(weights)
    for step in x:
        exact.step(step)
    narrow.state = exact.state
    for a, b in zip(arrays_of(narrow.state), arrays_of(exact.state), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(narrow.step(x[0]), exact.step(x[0]), atol=0.02)
    exact.state = narrow.state


def test_bits_are_the_same_for_any_number_of_threads(weights, threads_afterwards):
    m = bn.Model("lstm", input_size=300, hidden_size=300, output_size=7, loss="mse")
    x = np.random.default_rng(4).standard_normal((5, 300)).astype(np.float32)
    outputs = []
    for threads in (1, 2, 3):
        bn.set_num_threads(threads)
        m.load_state_dict(m.state_dict())  # the weights are packed again
        stream = m.stream(weights)
        outputs.append([stream.step(row) for row in x])
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])


def test_they_take_the_place_of_compute(weights):
    """The other factors are no longer rounded to bfloat16."""
    plain, x = make("lstm"), sequence("values")
    half = bn.Model(**(plain.config | {"compute": "bfloat16"}))
    half.load_state_dict(plain.state_dict())
    one, other = plain.stream(weights), half.stream(weights)
    for step in x:
        np.testing.assert_array_equal(one.step(step), other.step(step))


def test_arguments(weights):
    choices = "Model.stream: argument 'weights': expected one of 'model', 'bfloat16', 'int8', got "
    with pytest.raises(ValueError, match=re.escape(
        "Model.stream: argument 'weights': expected 'model', because the model is float64, "
        f"got '{weights}'"
    )):  # fmt: skip
        make(dtype="float64").stream(weights)
    with pytest.raises(ValueError, match=re.escape(f"{choices}'{weights[1:]}'")):
        make().stream(weights[1:])
    with pytest.raises(TypeError, match=re.escape(choices)):
        make().stream(8)
    with pytest.raises(RuntimeError, match="bidirectional"):
        make(bidirectional=True).stream(weights)
