"""Initial parameters: the distributions, and the same bits for the same seed on every platform."""

import hashlib

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import reference


def fnv1a(name: str) -> int:
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def uniforms(seed: int, name: str, count: int) -> np.ndarray:
    """The first numbers in [0, 1) of the stream of a seed and a name, by the reference's Philox."""
    stream, words = fnv1a(name), []
    for block in range((count + 1) // 2):
        counter = (block % 2**32, block >> 32, stream % 2**32, stream >> 32)
        a, b, c, d = reference.philox4x32_10(counter, (seed % 2**32, seed >> 32))
        words += [a | b << 32, c | d << 32]
    return np.array([(w >> 11) * 2.0**-53 for w in words[:count]])


@pytest.mark.parametrize("seed", [0, 1, 2**40 + 5])
def test_uniform_is_philox_to_the_bit(seed: int, dtype: str) -> None:
    layer = bn.GRU(3, 5, dtype=dtype, seed=seed)
    for name, values in layer.state_dict().items():
        bound = 1 / np.sqrt(5.0)
        want = -bound + 2 * bound * uniforms(seed, name, values.size)
        np.testing.assert_array_equal(values.ravel(), want.astype(dtype))


def digest(layer) -> str:
    sha = hashlib.sha256()
    for name, values in layer.state_dict().items():
        sha.update(name.encode())
        sha.update(np.ascontiguousarray(values).tobytes())
    return sha.hexdigest()[:16]


GOLDEN = {
    ("RNN", "default"): "a250c070edeec147",
    ("RNN", "orthogonal"): "150130a2899c1ee3",
    ("RNN", "identity"): "0336768467113e0b",
    ("LSTM", "default"): "782d72e709f64774",
    ("LSTM", "orthogonal"): "c3f7bc6858f9b7bf",
    ("LSTM", "identity"): "d8653af4e7fc3f5c",
    ("GRU", "default"): "08266fcfd3186dea",
    ("GRU", "orthogonal"): "29720c9b5e1da308",
    ("GRU", "identity"): "3843e05913198614",
}


@pytest.mark.parametrize("init", ["default", "orthogonal", "identity"])
@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_golden_hashes(cell: str, init: str) -> None:
    layer = getattr(bn, cell)(7, 33, num_layers=2, dtype="float64", seed=42, init=init)
    assert digest(layer) == GOLDEN[cell, init]


def test_hashes_do_not_depend_on_threads_or_instruction_set(isa: str) -> None:
    before = bn.get_num_threads()
    try:
        digests = set()
        for threads in [1, 2, 3]:
            bn.set_num_threads(threads)
            digests.add(digest(bn.LSTM(5, 150, seed=9, init="orthogonal")))
        assert len(digests) == 1
        bn._core.use_isa("sse2" if "sse2" in bn.available_isas() else isa)
        assert digest(bn.LSTM(5, 150, seed=9, init="orthogonal")) in digests
    finally:
        bn.set_num_threads(before)


@pytest.mark.parametrize("H", [1, 2, 5, 64, 131])
def test_orthogonal_per_gate(H: int) -> None:
    layer = bn.LSTM(3, H, init="orthogonal", dtype="float64", seed=3)
    weight = layer.state_dict()["weight_hh_l0"].reshape(4, H, H)
    for gate in weight:
        np.testing.assert_allclose(gate @ gate.T, np.eye(H), atol=1e-13)
    if H > 1:
        assert not np.allclose(weight[0], weight[1])


def test_orthogonal_is_uniform_over_the_group() -> None:
    """The mean of Q is zero and its trace has variance 1 (Haar measure)."""
    traces = [
        np.trace(bn.RNN(1, 8, init="orthogonal", seed=s).state_dict()["weight_hh_l0"])
        for s in range(400)
    ]
    assert abs(np.mean(traces)) < 0.2
    assert 0.8 < np.var(traces) < 1.25


def test_identity_and_forget_bias() -> None:
    params = bn.RNN(
        4, 6, nonlinearity="relu", init=bn.Init("identity", gain=0.5), dtype="float64"
    ).state_dict()
    np.testing.assert_array_equal(params["weight_hh_l0"], 0.5 * np.eye(6))
    assert not params["bias_ih_l0"].any()
    assert not params["bias_hh_l0"].any()
    wide = bn.RNN(300, 300, init="identity", dtype="float64").state_dict()["weight_ih_l0"]
    assert 0.00097 < wide.std() < 0.00103
    params = bn.LSTM(3, 4, init=bn.Init(forget_bias=2.5)).state_dict()
    np.testing.assert_array_equal(params["bias_ih_l0"][4:8], 2.5)
    np.testing.assert_array_equal(params["bias_hh_l0"][4:8], 0)
    assert params["bias_ih_l0"][:4].any()


def test_normal_moments_of_the_embedding() -> None:
    m = bn.Model(
        cell="rnn",
        vocab_size=500,
        embedding_size=200,
        hidden_size=4,
        output_size=2,
        dtype="float64",
    )
    table = m.state_dict()["embedding.weight"]
    assert abs(table.mean()) < 0.01
    assert abs(table.std() - 1) < 0.01
    assert abs((table**4).mean() - 3) < 0.1
    assert abs(np.corrcoef(table[:-1].ravel(), table[1:].ravel())[0, 1]) < 0.01


def test_a_tensor_does_not_depend_on_its_neighbours() -> None:
    one, two = bn.GRU(3, 8, seed=4).state_dict(), bn.GRU(3, 8, num_layers=3, seed=4).state_dict()
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name])
