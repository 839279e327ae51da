"""The engine's spectral radius, for matrices that no initialiser draws."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from helpers.arrays import radius
from helpers.paths import CPP, INCLUDE

PROGRAM = Path(__file__).with_name("spectral_radius.cpp")
SOURCES = ["model/spectral_radius.cpp", "base/random.cpp", "base/random_bits.cpp",
           "base/pool.cpp", "base/buffer.cpp", "base/fork.cpp"]  # fmt: skip


@pytest.fixture(scope="module")
def radii(tmp_path_factory):
    """A function from matrices to their radii, by the engine."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if not compiler:
        pytest.skip("there is no C++ compiler")
    folder = tmp_path_factory.mktemp("radius")
    program, data = folder / "radius", folder / "matrices"
    sources = [str(CPP / name) for name in SOURCES]
    subprocess.run(
        [compiler, "-std=c++20", "-O2", "-ffp-contract=off", f"-I{CPP}", f"-I{INCLUDE}",
         str(PROGRAM), *sources, "-o", str(program), "-lpthread"],
        check=True, timeout=300,
    )  # fmt: skip

    def run(matrices):
        with data.open("wb") as file:
            for matrix in matrices:
                file.write(np.int64(len(matrix)).tobytes() + np.asarray(matrix, float).tobytes())
        done = subprocess.run([str(program), str(data)], capture_output=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return [float(line) for line in done.stdout.split()]

    return run


def test_random_matrices(radii) -> None:
    rng = np.random.default_rng(0)
    sizes = [*range(1, 20), 33, 64, 65, 100, 200, 300]
    matrices = [rng.standard_normal((n, n)) for n in sizes for _ in range(3)]
    found = radii(matrices)
    np.testing.assert_allclose(found, [radius(m) for m in matrices], rtol=1e-11)


def test_a_pattern_of_zeros_that_makes_nilpotent_gives_zero(radii) -> None:
    rng = np.random.default_rng(1)
    order = rng.permutation(60)
    strict = np.triu(rng.standard_normal((60, 60)), 1)
    matrices = [np.zeros((1, 1)), np.zeros((7, 7)), np.eye(9, k=1), strict[order][:, order]]
    assert radii(matrices) == [0, 0, 0, 0]


def test_zero_columns_and_triangles_leave_what_is_exact(radii) -> None:
    rng = np.random.default_rng(2)
    triangle = np.triu(rng.standard_normal((300, 300)))
    few = np.zeros((300, 300))
    few[:, :20] = rng.standard_normal((300, 20))
    one, two = radii([triangle, few])
    assert one == np.abs(np.diag(triangle)).max()
    np.testing.assert_allclose(two, radius(few[:20, :20]), rtol=1e-11)


def sparse(rng, n: int, entries: int):
    matrix = np.zeros((n, n))
    for row in matrix:
        row[rng.choice(n, entries, replace=False)] = rng.standard_normal(entries)
    return matrix


def test_eigenvalues_on_one_circle_symmetric_sparse_and_scaled(radii) -> None:
    rng = np.random.default_rng(3)
    Q = np.linalg.qr(rng.standard_normal((300, 300)))[0]
    G = rng.standard_normal((150, 150))
    clustered = Q @ np.diag(np.r_[np.ones(150), np.full(150, 0.999)]) @ Q.T
    ones = [Q, np.eye(300)[rng.permutation(300)], np.kron(np.eye(100), [[0.6, -0.8], [0.8, 0.6]])]
    np.testing.assert_allclose(radii([*ones, np.eye(50), clustered]), 1, rtol=1e-11)
    Z = np.zeros_like(G)
    others = [np.block([[Z, G], [G, Z]]), G + G.T, G - G.T, np.abs(G), np.outer(G[0], G[1]),
              sparse(rng, 300, 15), sparse(rng, 300, 2), 1e-300 * G, 1e300 * G]  # fmt: skip
    found = radii(others)
    np.testing.assert_allclose(found[:-2], [radius(m) for m in others[:-2]], rtol=1e-11)
    np.testing.assert_allclose(np.array(found[-2:]) * [1e300, 1e-300], radius(G), rtol=1e-11)
