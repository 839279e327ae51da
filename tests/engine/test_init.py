"""Initial parameters: their distributions, and the same bits for a seed on every platform."""

import hashlib

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import reference
from bptt_native.diagnostics import recurrent_matrices
from helpers.arrays import radius
from helpers.cells import LAYERS
from helpers.displays import constructor_of


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
    ("RNN", "xavier"): "00f3f3a5b8314c1e",
    ("RNN", "normal"): "4181ae3d709aee0d",
    ("RNN", "sparse"): "a7991d91884284a9",
    ("RNN", "keras"): "4c56b96549463eb9",
    ("LSTM", "xavier"): "faf3d6da6fc09c41",
    ("LSTM", "normal"): "3fe54505dd001484",
    ("LSTM", "sparse"): "b70c42a92e91292f",
    ("LSTM", "chrono"): "ad8fb8bf0f67739a",
    ("LSTM", "keras"): "d338ca5cb609edd6",
    ("GRU", "xavier"): "52276693f76da299",
    ("GRU", "normal"): "1c1b3a9ddb56ac04",
    ("GRU", "sparse"): "c76559fa9e845d12",
    ("GRU", "chrono"): "cd16835f3522d990",
    ("GRU", "keras"): "44f1fc95d40d3a1e",
    ("MinGRU", "default"): "3d6532fe957fcc84",
    ("MinGRU", "xavier"): "28f5267c67f02ef5",
    ("MinGRU", "chrono"): "90210044dad90624",
    ("MinGRU", "keras"): "bc1b7b3df3f5528f",
}


def start(name: str) -> bn.Init:
    return bn.Init(name, time_scale=50.0 if name == "chrono" else None)


@pytest.mark.parametrize(("cell", "init"), GOLDEN)
def test_golden_hashes(cell: str, init: str) -> None:
    layer = getattr(bn, cell)(7, 33, num_layers=2, dtype="float64", seed=42, init=start(init))
    assert digest(layer) == GOLDEN[cell, init]


@pytest.mark.usefixtures("threads_afterwards")
@pytest.mark.parametrize("init", ["orthogonal", "normal", "sparse", "chrono", "keras", "xavier"])
def test_hashes_do_not_depend_on_threads_or_instruction_set(init: str, isa: str) -> None:
    digests = set()
    for threads in [1, 2, 3]:
        bn.set_num_threads(threads)
        digests.add(digest(bn.LSTM(5, 150, seed=9, init=start(init))))
    assert len(digests) == 1
    bn._core.use_isa("sse2" if "sse2" in bn.available_isas() else isa)
    assert digest(bn.LSTM(5, 150, seed=9, init=start(init))) in digests


@pytest.mark.parametrize("H", [1, 2, 5, 64, 131])
def test_orthogonal_per_gate(H: int) -> None:
    layer = bn.LSTM(3, H, init="orthogonal", dtype="float64", seed=3)
    weight = layer.state_dict()["weight_hh_l0"].reshape(4, H, H)
    for gate in weight:
        np.testing.assert_allclose(gate @ gate.T, np.eye(H), atol=1e-13)
    if H > 1:
        assert not np.allclose(weight[0], weight[1])


def test_orthogonal_is_uniform_over_the_group() -> None:
    """The trace of Q has mean 0 and variance 1 (Haar measure)."""
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


def gates_of(layer, name: str = "weight_hh_l0") -> np.ndarray:
    """The blocks [H, columns] of a matrix, gate by gate."""
    weight = layer.state_dict()[name]
    return weight.reshape(-1, layer.hidden_size, weight.shape[1])


@pytest.mark.parametrize("cell", LAYERS.values())
def test_xavier(cell) -> None:
    """U(-b, b) with b^2 = 6 / (fan in + fan out) of a gate's block; no bias."""
    layer = cell(80, 120, num_layers=2, init="xavier", dtype="float64", seed=1)
    matrices = {name: v for name, v in layer.state_dict().items() if name.startswith("weight")}
    for name, weight in matrices.items():
        columns = weight.shape[1]
        bound = np.sqrt(6 / (columns + 120))
        for block in gates_of(layer, name):
            assert 0.99 * bound < np.abs(block).max() <= bound
            assert abs(block.std() / (bound / np.sqrt(3)) - 1) < 0.02
            assert abs(block.mean()) < 0.02 * bound
    assert not any(v.any() for k, v in layer.state_dict().items() if k.startswith("bias"))


@pytest.mark.parametrize("H", [1, 2, 3, 15, 16, 17, 40, 128])
@pytest.mark.parametrize("init", ["normal", "sparse"])
@pytest.mark.parametrize("cell", [bn.RNN, bn.LSTM, bn.GRU])
def test_spectral_radius_is_that_of_numpy(cell, init: str, H: int) -> None:
    for seed, wanted in ((0, 0.95), (1, 1.2), (2, 0.5)):
        layer = cell(3, H, init=bn.Init(init, spectral_radius=wanted), dtype="float64", seed=seed)
        blocks = gates_of(layer)
        for block in blocks:
            assert abs(radius(block) - wanted) <= 1e-8 * wanted
        plain = cell(3, H, dtype="float64", seed=seed).state_dict()
        for name, values in layer.state_dict().items():
            if not name.startswith("weight_hh"):
                np.testing.assert_array_equal(values, plain[name])
    assert bn.Init().spectral_radius == 0.95
    kept = gates_of(cell(3, H, init=init, seed=3))
    assert all(abs(radius(block) - 0.95) < 1e-5 for block in kept)


def test_spectral_radius_with_real_and_with_complex_dominant_eigenvalues() -> None:
    """Both kinds occur among random matrices, and both are found."""
    kinds = {True: 0, False: 0}
    for seed in range(60):
        (block,) = gates_of(bn.RNN(1, 6, init="normal", dtype="float64", seed=seed))
        values = np.linalg.eigvals(block)
        dominant = values[np.abs(values).argmax()]
        assert abs(abs(dominant) - 0.95) <= 1e-8
        kinds[bool(abs(dominant.imag) > 1e-9)] += 1
    assert min(kinds.values()) >= 10, kinds


@pytest.mark.parametrize("H", [40, 200])
def test_sparse_rows_and_normal_entries(H: int) -> None:
    layer = bn.LSTM(3, H, init="sparse", dtype="float64", seed=6)
    blocks = gates_of(layer)
    used = np.zeros(H, int)
    for block in blocks:
        np.testing.assert_array_equal((block != 0).sum(1), 15)
        used += (block != 0).sum(0)
        entries = block[block != 0]
        entries = entries / entries.std()
        assert abs((entries**4).mean() - 3) < 0.8
    assert abs(used.std() / np.sqrt(4 * 15 * (1 - 15 / H)) - 1) < 0.35, "columns are not even"
    assert used.mean() == 60
    assert not np.array_equal(blocks[0] != 0, blocks[1] != 0)
    dense = gates_of(bn.LSTM(3, H, init="normal", dtype="float64", seed=6))
    assert (dense != 0).all()
    for block in dense:  # the circular law: entries of deviation s have the radius s sqrt(H)
        assert abs(block.std() * np.sqrt(H) / 0.95 - 1) < 2 / np.sqrt(H)


@pytest.mark.parametrize("scale", [2, 3.5, 100, 1e6])
def test_chrono(scale: float, dtype: str) -> None:
    H = 400
    init = bn.Init("chrono", time_scale=scale)
    layer, plain = (bn.LSTM(3, H, init=i, dtype=dtype, seed=8) for i in (init, "default"))
    params, before = layer.state_dict(), plain.state_dict()
    b = params["bias_ih_l0"].reshape(4, H).astype("f8")
    np.testing.assert_array_equal(b[0], -b[1])
    np.testing.assert_array_equal(params["bias_hh_l0"].reshape(4, H)[:2], 0)
    np.testing.assert_array_equal(params["bias_hh_l0"][2 * H :], before["bias_hh_l0"][2 * H :])
    np.testing.assert_array_equal(params["bias_ih_l0"][2 * H :], before["bias_ih_l0"][2 * H :])
    np.testing.assert_array_equal(params["weight_hh_l0"], before["weight_hh_l0"])
    times = np.exp(b[1])
    assert times.min() >= 1 - 1e-6
    assert times.max() <= (scale - 1) * (1 + 1e-5)
    assert abs(times.mean() - scale / 2) < 0.1 * scale
    if scale > 2:
        assert abs(times.std() / ((scale - 2) / np.sqrt(12)) - 1) < 0.1
    gru = bn.GRU(3, H, init=init, dtype=dtype, seed=8).state_dict()
    before = bn.GRU(3, H, dtype=dtype, seed=8).state_dict()
    z = gru["bias_ih_l0"].reshape(3, H)[1].astype("f8")
    assert abs(np.exp(z).mean() - scale / 2) < 0.1 * scale
    assert not gru["bias_hh_l0"].reshape(3, H)[1].any()
    for gate in (0, 2):
        rows = slice(gate * H, (gate + 1) * H)
        np.testing.assert_array_equal(gru["bias_ih_l0"][rows], before["bias_ih_l0"][rows])
    own, before = (bn.MinGRU(3, H, init=i, dtype=dtype, seed=8) for i in (init, "default"))
    z, n = own.state_dict()["bias_ih_l0"].reshape(2, H)
    assert abs(np.exp(-z.astype("f8")).mean() - scale / 2) < 0.1 * scale
    np.testing.assert_array_equal(n, before.state_dict()["bias_ih_l0"][H:])


@pytest.mark.parametrize("cell", [bn.GRU, bn.MinGRU])
def test_a_chrono_gate_remembers(cell) -> None:
    """The GRU's z keeps the state, MinGRU's lets go of it: it decays by z or 1 - z a step."""
    H, kept = 50, {}
    for name in ("default", "chrono"):
        layer = cell(1, H, init=start(name), dtype="float64", seed=1)
        only_bias = {k: v * (k == "bias_ih_l0") for k, v in layer.state_dict().items()}
        layer.load_state_dict(only_bias)
        _, h = layer(np.zeros((10, 1, 1)), np.ones((1, 1, H)))
        _, g = layer(np.zeros((10, 1, 1)), np.zeros((1, 1, H)))
        kept[name] = (h - g).mean()  # z^10, of MinGRU (1 - z)^10
    assert kept["default"] < 0.01
    assert kept["chrono"] > 0.3


@pytest.mark.parametrize("cell", LAYERS.values())
@pytest.mark.parametrize("I", [5, 40])
def test_keras(cell, I: int) -> None:  # noqa: E741
    H = 40
    layer = cell(I, H, num_layers=2, init="keras", dtype="float64", seed=2)
    params, G = layer.state_dict(), len(gates_of(layer, "weight_ih_l0"))
    for name, columns in (("weight_ih_l0", I), ("weight_ih_l1", H)):
        bound = np.sqrt(6 / (columns + G * H))
        assert 0.95 * bound < np.abs(params[name]).max() <= bound
        assert abs(params[name].std() / (bound / np.sqrt(3)) - 1) < 0.1
    for name in {"weight_hh_l0", "weight_hh_l1"} & params.keys():
        assert params[name].shape == (G * H, H)
        np.testing.assert_allclose(params[name].T @ params[name], np.eye(H), atol=1e-13)
    want = np.zeros((G, H))
    if cell is bn.LSTM:
        want[1] = 1
    np.testing.assert_array_equal(params["bias_ih_l1"].reshape(G, H), want)
    assert (cell is bn.MinGRU) == ("weight_hh_l0" not in params)
    assert cell is bn.MinGRU or not params["bias_hh_l0"].any()
    if cell is bn.LSTM:
        other = bn.LSTM(I, H, init=bn.Init("keras", forget_bias=2.0)).state_dict()["bias_ih_l0"]
        np.testing.assert_array_equal(other.reshape(4, H)[1], 2)


@pytest.mark.parametrize("init", ["xavier", "normal", "sparse", "keras", "chrono"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_models_and_their_files_keep_the_start(init: str, cell: str, tmp_path) -> None:
    given = bn.Init(init, spectral_radius=0.75, time_scale=start(init).time_scale)
    m = bn.Model(cell, input_size=2, hidden_size=3, output_size=1, loss="mse", init=given, seed=5)
    assert m.config["init"] == given
    m.save(tmp_path / "m")
    twin = bn.load(tmp_path / "m")
    assert twin.config == m.config
    for name, values in bn.Model(**twin.config).state_dict().items():
        np.testing.assert_array_equal(values, m.state_dict()[name])
    layer = getattr(bn, cell.upper())(2, 3, init=given)
    assert eval(constructor_of(layer), vars(bn)).state_dict().keys() == layer.state_dict().keys()
    if init != "chrono":
        m = bn.Model(cell, input_size=2, hidden_size=3, output_size=1, loss="mse", init=init)
        assert m.config["init"] == init


DALE_STARTS = {"default": 3**-0.5, "orthogonal": 1.5, "xavier": 1.0, "normal": 0.8, "keras": 1.0}


def of_dale(init: str, H: int, dale: float, **options):
    start = bn.Init(init, gain=-1.5, spectral_radius=0.8)
    return bn.RNN(3, H, num_layers=2, init=start, dale=dale, **options)


@pytest.mark.parametrize("H", [3, 10, 50, 128])
@pytest.mark.parametrize("dale", [0.0, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("init", DALE_STARTS)
def test_dales_law_has_the_radius_of_the_start(init: str, dale: float, H: int, dtype: str) -> None:
    """Of W_hh as it acts, without the outlier of one-signed columns."""
    layer = of_dale(init, H, dale, dtype=dtype, seed=3)
    plain = bn.RNN(3, H, num_layers=2, init=init, dtype=dtype, seed=3).state_dict()
    excite, digits = int(dale * H + 0.5), 1e-8 if dtype == "float64" else 1e-4
    for number in range(2):
        acting = recurrent_matrices(layer, layer=number)["h"].astype("f8")
        assert (acting[:, :excite] > 0).all()
        assert (acting[:, excite:] < 0).all()
        assert abs(radius(acting) - DALE_STARTS[init]) <= digits * DALE_STARTS[init]
        if 0 < excite < H:
            size = np.abs(acting).sum(1)
            assert (np.abs(acting.sum(1)) <= 1e-6 * size).all()
    for name, values in layer.state_dict().items():
        if name.startswith("weight_hh"):  # the draw's signs, which a gradient can turn
            np.testing.assert_array_equal(np.sign(values), np.sign(plain[name]))
        else:
            np.testing.assert_array_equal(values, plain[name])


@pytest.mark.parametrize("H", [50, 200, 1024])
def test_relu_nets_of_dales_law_stay_finite(H: int) -> None:
    x = np.random.default_rng(1).standard_normal((300, 1, 3)).astype("f4")
    for init in DALE_STARTS if H < 1024 else ("default", "normal"):
        layer = bn.RNN(3, H, init=init, dale=0.8, nonlinearity="relu", seed=1)
        y, _ = layer(x)
        assert np.abs(y).max() < 100, init


def test_no_element_is_lost_to_dales_law() -> None:
    for init in DALE_STARTS:
        layer = of_dale(init, 12, 0.75, dtype="float64", nonlinearity="softplus")
        y, _, tape = layer.forward(np.ones((4, 1, 3)), np.ones((2, 1, 12)))
        grads = layer.backward(tape, np.ones_like(y))
        assert (grads["weight_hh_l0"] != 0).all(), init


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda **o: bn.LSTM(2, 3, forget_bias=1e308, **o), "forget_bias"),
        (lambda **o: bn.LSTM(2, 3, init=bn.Init("orthogonal", gain=1e39), **o), "init.gain"),
        (lambda **o: bn.GRU(2, 3, init=bn.Init("identity", gain=-1e-60), **o), "init.gain"),
        *[
            (
                lambda r=r, i=i, **o: bn.RNN(2, 3, init=bn.Init(i, spectral_radius=r), **o),
                "init.spectral_radius",
            )
            for r in (1e39, 1e-60)
            for i in ("normal", "sparse")
        ],
        (lambda **o: bn.GRU(2, 3, init=bn.Init("chrono", time_scale=1e39), **o), "init.time_scale"),
        (lambda **o: bn.RNN(2, 3, alpha=1e-60, **o), "alpha"),
        (lambda **o: bn.RNN(2, 3, noise=1e39, **o), "noise"),
        (lambda **o: bn.RNN(2, 3, noise=1e38, alpha=1e-4, **o), "noise"),
        (lambda **o: bn.GRU(2, 3, zoneout=1 - 1e-12, **o), "zoneout"),
        (lambda **o: bn.LSTM(2, 3, zoneout_c=1 - 1e-12, **o), "zoneout_c"),
    ],
)
def test_numbers_outside_the_range_of_float32_are_refused(make, argument: str) -> None:
    """Rounded to float32 they become infinite, 0 or 1, which the option does not allow."""
    said = rf"^\w+: argument '{argument}': expected .+float32.*, got"
    with pytest.raises(ValueError, match=said):
        make(dtype="float32")
    for values in make(dtype="float64").state_dict().values():
        assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: bn.LSTM(2, 3, init="chrono"), "init.time_scale"),
        (lambda: bn.RNN(2, 3, init=bn.Init("chrono", time_scale=9)), "init"),
        (lambda: bn.LSTM(2, 3, bias=False, init=bn.Init("chrono", time_scale=9)), "init"),
        (lambda: bn.LSTM(2, 3, init=bn.Init("normal", time_scale=9)), "init.time_scale"),
        (
            lambda: bn.LSTM(2, 3, init=bn.Init("chrono", time_scale=9), forget_bias=1.0),
            "forget_bias",
        ),
        (lambda: bn.GRU(2, 3, init="sparce"), "init"),
        (lambda: bn.RNN(2, 3, init="identity", dale=0.5), "init"),
        (lambda: bn.RNN(2, 3, init="sparse", dale=1.0), "init"),
        (lambda: bn.RNN(2, 3, init=bn.Init("orthogonal", gain=0.0), dale=0.5), "init.gain"),
        (
            lambda: bn.RNN(2, 3, init=bn.Init("normal", spectral_radius=1e305), dtype="float64"),
            "init.spectral_radius",
        ),
        *[
            (lambda b=bad: bn.GRU(2, 3, init=bn.Init("chrono", time_scale=b)), "init.time_scale")
            for bad in (1.5, 0, -3, np.nan, np.inf, "9", True)
        ],
        *[
            (
                lambda b=bad: bn.GRU(2, 3, init=bn.Init("sparse", spectral_radius=b)),
                "init.spectral_radius",
            )
            for bad in (0, -1.0, np.nan, np.inf, "1", None, True)
        ],
    ],
)
def test_bad_starts_are_refused(make, argument: str) -> None:
    with pytest.raises(
        (TypeError, ValueError), match=rf"^\w+: argument '{argument}': expected .+, got .+"
    ):
        make()
