"""Random arrays, and comparisons of arrays."""

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


def equal_bits(got, want, names=None):
    """Assert that tensors with the same names have the same bits; `names` selects some."""
    assert got.keys() == want.keys()
    for name in names or got:
        assert got[name].tobytes() == want[name].tobytes(), name
