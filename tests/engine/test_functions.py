"""The functions of the cells and their derivatives on all instruction sets, to high precision."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import bptt_native as bn
from bptt_native import reference as ref
from bptt_native.options.cell_shape import told_by_value
from bptt_native.options.table import OPTIONS
from helpers.complex_step import STEP

ULP = {"tanh": 2.0, "sigmoid": 2.0, "exp": 2.0, "silu": 3.0}
FUNCTIONS = [*ULP]


def native(name: str, x: np.ndarray) -> np.ndarray:
    return bn._core.map_function(name, x)


def in_long_double(name: str, x: np.ndarray) -> np.ndarray:
    """The function in 64 bits of mantissa, for float32 arguments."""
    with np.errstate(all="ignore"):  # signalling NaN among the inputs
        x = x.astype(np.longdouble)
        if name == "tanh":
            return np.tanh(x)
        if name == "sigmoid":
            return 1 / (1 + np.exp(-x))
        if name == "silu":
            return np.where(np.isneginf(x), 0, x / (1 + np.exp(-x)))
        return np.exp(x)


def in_fifty_digits(name: str) -> Callable[[float], mpmath.mpf]:
    if name == "sigmoid":
        return lambda x: 1 / (1 + mpmath.exp(-x))
    if name == "silu":
        return lambda x: x / (1 + mpmath.exp(-x))
    return {"tanh": mpmath.tanh, "exp": mpmath.exp}[name]


def ulp_errors(got: np.ndarray, want: np.ndarray, smallest_normal: float) -> np.ndarray:
    """Units in the last place where the result is normal; below, units of the smallest normal."""
    dtype = got.dtype
    with np.errstate(all="ignore"):
        unit = np.spacing(np.abs(want).astype(dtype)).astype(np.longdouble)
        unit = np.where(np.abs(want) < smallest_normal, np.longdouble(smallest_normal), unit)
        error = np.abs(got.astype(np.longdouble) - want) / unit
        same = (got == want.astype(dtype)) | (np.isnan(got) & np.isnan(want))
    return np.where(same, 0, error).astype(float)


def all_float32(stride: int, start: int) -> np.ndarray:
    return np.arange(start, 2**32, stride, dtype=np.uint64).astype(np.uint32).view(np.float32)


def check_float32(name: str, isa: str, x: np.ndarray, errors) -> None:
    tiny = float(np.finfo(np.float32).tiny)
    worst = 0.0
    for part in np.array_split(x, max(1, x.size // 2**22)):
        got, want = native(name, part), in_long_double(name, part)
        error = ulp_errors(got, want, tiny)
        at = int(np.argmax(error))
        assert error[at] <= ULP[name], (
            f"{name}({part[at]!r}) = {got[at]!r}, expected {want[at]!r}: {error[at]:.2f} ulp"
        )
        worst = max(worst, float(error[at]))
        check_bounds(name, got)
    errors.add(isa, "float32", f"{name} (ulp)", worst)


def check_bounds(name: str, y: np.ndarray) -> None:
    y = y[~np.isnan(y)]
    if name == "tanh":
        assert np.all(np.abs(y) <= 1)
    elif name == "sigmoid":
        assert np.all((y >= 0) & (y <= 1))
    elif name == "silu":
        assert np.all(y >= -0.2785)  # at a = -1.2785
    else:
        assert np.all(y >= 0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_on_a_sample_of_all_inputs(name: str, isa: str, errors) -> None:
    check_float32(name, isa, all_float32(1021, 7), errors)  # 2^22 of them


@pytest.mark.long
@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_on_every_sixteenth_input(name: str, isa: str, errors) -> None:
    for start in range(0, 16, 4):
        check_float32(name, isa, all_float32(64, start), errors)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_against_fifty_digits(name: str, isa: str, errors) -> None:
    rng = np.random.Generator(np.random.Philox(5))
    x = np.concatenate(
        [
            rng.uniform(-1, 1, 1500),
            rng.uniform(-45, 45, 1500),
            rng.uniform(-760, 720, 1000),
            np.ldexp(rng.uniform(-1, 1, 500), rng.integers(-1070, 0, 500)),
        ]
    )
    exact = in_fifty_digits(name)
    got = native(name, x)
    check_bounds(name, got)
    worst = 0.0
    with mpmath.workdps(50):
        for xi, yi in zip(x.tolist(), got.tolist(), strict=True):
            want = exact(mpmath.mpf(xi))
            nearest = float(want)
            if yi == nearest:
                continue
            unit = max(float(np.spacing(abs(nearest))), 0.0)
            if abs(want) < np.finfo(float).tiny:
                unit = float(np.finfo(float).tiny)
            error = float(abs(mpmath.mpf(yi) - want) / unit)
            assert error <= ULP[name], (
                f"{name}({xi!r}) = {yi!r}, expected {nearest!r}: {error:.2f} ulp"
            )
            worst = max(worst, error)
    errors.add(isa, "float64", f"{name} (ulp)", worst)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(name: str, isa: str, dtype: str) -> None:
    inf = np.inf
    x = np.array([np.nan, inf, -inf, 0.0, -0.0], dtype)
    with np.errstate(all="ignore"):
        y = native(name, x)
    assert np.isnan(y[0])
    expected = {
        "tanh": [1, -1, 0, -0.0], "sigmoid": [1, 0, 0.5, 0.5], "exp": [inf, 0, 1, 1],
        "silu": [inf, 0, 0, -0.0],
    }[name]  # fmt: skip
    np.testing.assert_array_equal(y[1:], np.array(expected, dtype))
    if name in ("tanh", "silu"):
        assert np.signbit(y[4])
        assert not np.signbit(y[3])


def test_tanh_is_odd_and_keeps_subnormals(isa: str, dtype: str) -> None:
    info = np.finfo(dtype)
    rng = np.random.Generator(np.random.Philox(6))
    x = np.ldexp(rng.uniform(0, 1, 4096), rng.integers(-140, 6, 4096)).astype(dtype)
    np.testing.assert_array_equal(native("tanh", x), -native("tanh", -x))
    small = (np.arange(1, 200) * info.smallest_subnormal).astype(dtype)
    assert np.max(np.abs(native("tanh", small) - small) / info.smallest_subnormal) <= 1


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "exp"])
def test_monotone_up_to_one_ulp(name: str, isa: str, dtype: str) -> None:
    x = np.sort(np.random.Generator(np.random.Philox(7)).uniform(-20, 20, 200_000)).astype(dtype)
    y = native(name, x)
    unit = np.spacing(np.maximum(np.abs(y[1:]), np.abs(y[:-1])))
    assert np.all(y[1:] >= y[:-1] - unit)


def test_the_length_of_the_array_does_not_matter(isa: str, dtype: str) -> None:
    x = np.linspace(-3, 3, 67).astype(dtype)
    whole = {name: native(name, x) for name in FUNCTIONS}
    for n in range(x.size):
        for name in FUNCTIONS:
            np.testing.assert_array_equal(native(name, x[:n]), whole[name][:n])


def test_subnormal_gradients_are_numbers_or_zeros() -> None:
    rng = np.random.Generator(np.random.Philox(3))
    single, double = bn.LSTM(5, 9, seed=1), bn.LSTM(5, 9, seed=1, dtype="float64")
    double.load_state_dict({k: v.astype(float) for k, v in single.state_dict().items()})
    x, dy = rng.standard_normal((2, 12, 3, 9))[..., :5], rng.standard_normal((12, 3, 9)) * 1e-39
    x, dy = x.astype(np.float32), dy.astype(np.float32)

    def gradient(layer: Any) -> Any:
        given = x[0].astype(layer.dtype)
        return layer.backward(layer.forward(given)[2], dy.astype(layer.dtype))

    assert bn.get_flush_subnormals() is False
    kept, exact = gradient(single), gradient(double)
    assert np.abs(kept.flat - exact.flat).max() < 1e-42  # sums in steps of 1.4e-45
    assert 0 < np.abs(kept.flat).max() < np.finfo(np.float32).tiny
    try:
        bn.set_flush_subnormals(True)
        assert bn.get_flush_subnormals() is True
        flushed = gradient(single)
        assert not flushed.flat.any()
        assert not flushed.x.any()
        with pytest.raises(ValueError, match="x"):
            single.forward(x[0][..., :4])
        assert (np.full(40, 1e-39, np.float32) * np.float32(0.5)).all()  # NumPy's are not flushed
    finally:
        bn.set_flush_subnormals(False)
    assert gradient(single).flat.tobytes() == kept.flat.tobytes()
    with pytest.raises(TypeError, match="set_flush_subnormals: argument 'flush'"):
        bn.set_flush_subnormals(1)  # type: ignore[arg-type]


# A derivative computed from f(a) may lose its digits where f(a) is near a limit, as those of tanh
# and sigmoid do. Those of elu and softsign are saved instead. That of softplus loses no digits.
SLOPES = ["elu", "softsign", "softplus"]
SLOPE_ULP = 4.0
SILU_SLOPE_ULP = 5.0


def slope_by_complex_step(name: str, a: np.ndarray) -> np.ndarray:
    section, f, _ = ref.NONLINEARITIES[name]
    return f(a + 1j * STEP, section(a)).imag / STEP


def points(dtype: str) -> np.ndarray:
    """[-100, 5], and next to 0 on both sides."""
    near = np.geomspace(1e-9, 1, 60)
    return np.concatenate([np.linspace(-100, 5, 2101), -near, near]).astype(dtype)


@pytest.mark.parametrize("name", SLOPES)
@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_derivatives_keep_their_digits_far_from_zero(name, alpha, isa, dtype, errors):
    a = points(dtype)
    net = bn.RNN(1, 1, nonlinearity=name, bias=False, alpha=alpha, dtype=dtype)
    net.load_state_dict(
        {"weight_ih_l0": np.ones((1, 1), dtype), "weight_hh_l0": np.zeros((1, 1), dtype)}
    )
    y, _, tape = net.forward(a[None, :, None])
    slope = net.backward(tape, np.ones_like(y)).x.ravel() / np.dtype(dtype).type(alpha)
    if name == "softsign":  # its quotient cancels in the complex step, too
        want = 1 / (1 + np.abs(a.astype(np.longdouble))) ** 2
    else:
        want = slope_by_complex_step(name, a.astype(np.float64)).astype(np.longdouble)
    error = ulp_errors(slope, want, float(np.finfo(dtype).tiny))
    at = int(np.argmax(error))
    assert error[at] <= SLOPE_ULP, (
        f"{name}'({a[at]!r}) = {slope[at]!r}, expected {want[at]!r}: {error[at]:.2f} ulp"
    )
    assert np.all(slope[want > float(np.finfo(dtype).tiny)] > 0)
    errors.add(isa, dtype, f"{name}' (ulp)", float(error[at]))


def test_the_derivative_of_silu_keeps_its_digits(isa, dtype, errors):
    """Errors are measured by the larger of its two terms, whose sum is 0 at a = -1.2785."""
    a = np.concatenate([points(dtype), np.linspace(5, 100, 1901).astype(dtype)])
    wide = a.astype(np.longdouble)
    s = 1 / (1 + np.exp(-wide))
    term = wide * s / (1 + np.exp(wide))
    unit = np.spacing(np.maximum(s, np.abs(term)).astype(dtype)).astype(np.longdouble)
    unit = np.maximum(unit, np.finfo(dtype).smallest_normal * np.finfo(dtype).eps)
    error = np.abs(native("silu'", a).astype(np.longdouble) - (s + term)) / unit
    at = int(np.argmax(error))
    assert error[at] <= SILU_SLOPE_ULP, f"silu'({a[at]!r}): {error[at]:.2f} ulp"
    errors.add(isa, dtype, "silu' (ulp)", float(error[at]))
    ends = native("silu'", np.array([np.inf, -np.inf, np.nan, 0.0], dtype))
    np.testing.assert_array_equal(ends, np.array([1, 0, np.nan, 0.5], dtype))


@pytest.mark.parametrize("name", ref.NONLINEARITIES)
def test_functions_by_name_are_those_of_the_cells(name, isa, dtype):
    a = points(dtype)
    net = bn.RNN(1, 1, nonlinearity=name, bias=False, dtype=dtype)
    net.load_state_dict(
        {"weight_ih_l0": np.ones((1, 1), dtype), "weight_hh_l0": np.zeros((1, 1), dtype)}
    )
    y, _, tape = net.forward(a[None, :, None])
    np.testing.assert_array_equal(native(name, a), y.ravel())
    told = y.ravel() if told_by_value(OPTIONS["nonlinearity"].choices[name]) else a
    slope = net.backward(tape, np.ones_like(y)).x.ravel()
    np.testing.assert_array_equal(native(f"{name}'", told), slope)


@pytest.mark.parametrize("name", ref.NONLINEARITIES)
def test_derivatives_of_the_reference_agree_with_the_complex_step(name):
    a = points("float64")
    section, f, slope = ref.NONLINEARITIES[name]
    got = slope(a, f(a, section(a)), section(a))
    want = slope_by_complex_step(name, a)
    # tanh' and sigmoid' are computed from h, which has no more digits there. The complex step of
    # softsign cancels. silu' is a sum that is 0 at a = -1.2785.
    absolute = 1e-15 if name in ("tanh", "sigmoid", "silu") else 0
    np.testing.assert_allclose(got, want, rtol=4e-14, atol=absolute)
