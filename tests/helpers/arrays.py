"""Random arrays, and comparisons of arrays."""

from collections.abc import Mapping

import numpy as np


def generator(seed=0):
    """Return a generator whose numbers are the same with every NumPy."""
    return np.random.Generator(np.random.Philox(seed))


def draw(*shape, dtype="float32", seed=0):
    """Return normally distributed numbers."""
    return generator(seed).standard_normal(shape).astype(dtype)


def radius(matrix):
    """Return the spectral radius of a matrix."""
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def error(got, want, floor=1e-300):
    """Return the largest difference, relative to the largest expected magnitude."""
    assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
    return float(np.abs(got - want).max() / max(np.abs(want).max(), floor))


def largest_error(got, want, floor=1e-300):
    """Return the largest error of all tensors, which must have the same names."""
    assert got.keys() == want.keys()
    return max(error(got[name], want[name], floor) for name in want)


def assert_same(got, want, where=""):
    """Assert the same shape, type and bits of arrays, through tuples, mappings and None."""
    if isinstance(want, Mapping):
        assert got.keys() == want.keys(), where
        for name in want:
            assert_same(got[name], want[name], f"{where} {name}")
    elif isinstance(want, tuple):
        assert len(got) == len(want), where
        for a, b in zip(got, want, strict=True):
            assert_same(a, b, where)
    elif want is None:
        assert got is None, where
    else:
        got, want = np.asarray(got), np.asarray(want)
        np.testing.assert_array_equal(got, want, err_msg=where, strict=True)
        assert got.tobytes() == want.tobytes(), where
