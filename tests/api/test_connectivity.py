"""Gradients of single outputs: against one backward pass each, and the complex step."""

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import reference
from bptt_native.diagnostics import Connectivity, backward_seeds, connectivity
from helpers.arrays import error
from helpers.cells import LAYERS
from helpers.complex_step import STEP, complex_step

OPTIONS = [
    ("rnn", {}),
    ("rnn", {"alpha": 0.3, "nonlinearity": "relu"}),
    ("rnn", {"dale": 0.8}),
    ("lstm", {}),
    ("lstm", {"peephole": True, "coupled": True}),
    ("lstm", {"proj_size": 5}),
    ("lstm", {"layer_norm": True}),
    ("lstm", {"zoneout": 0.2, "zoneout_c": 0.3}),
    ("lstm", {"recurrent_dropout": 0.3, "dropout": 0.2}),
    ("gru", {}),
    ("gru", {"reset_after": False}),
    ("gru", {"layer_norm": True}),
    ("gru", {"recurrent_dropout": 0.3, "dropout": 0.2, "variational": True}),
]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("cell", "options"), OPTIONS, ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_seeds_are_so_many_backward_passes(cell, options, bidirectional, batch, isa):
    rng = np.random.default_rng(5)
    T, S, H = 11, 9, 9
    net = LAYERS[cell](
        4, H, num_layers=2, bidirectional=bidirectional, dtype="float64", seed=3, **options
    )
    x = rng.standard_normal((T, batch, 4))
    lengths = np.array([7, 11, 5])[:batch]
    resets = np.zeros((T, batch), bool)
    resets[3, -1] = True
    y, _, tape = net.forward(x, lengths=lengths, resets=resets)
    samples = rng.integers(0, batch, S)
    times = np.array([rng.integers(0, lengths[n]) for n in samples])
    dy = rng.standard_normal((S, y.shape[-1]))
    got = backward_seeds(net, tape, times, dy=dy, samples=samples, flow=True)
    near = backward_seeds(net, tape, times, dy=dy, samples=samples, horizon=3)
    for s in range(S):
        at = np.zeros_like(y)
        at[times[s], samples[s]] = dy[s]
        alone = net.backward(tape, at)
        assert error(got.x[s], np.linalg.norm(alone.x[:, samples[s]], axis=-1)) <= 1e-12
        assert error(got.h[:, s], alone.flow) <= 1e-12
        if cell == "lstm":
            assert error(got.c[:, s], alone.flow_c) <= 1e-12
        inside = np.abs(np.arange(T) - times[s]) < 3
        np.testing.assert_array_equal(near.x[s], np.where(inside, got.x[s], 0))


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("source", ["dense", "one-hot", "embedding"])
def test_connectivity_is_that_of_the_complex_step(cell, source, isa):
    rng = np.random.default_rng(1)
    T, N, V, O = 6, 2, 4, 3  # noqa: E741
    sizes = {
        "dense": {"input_size": V},
        "one-hot": {"vocab_size": V},
        "embedding": {"vocab_size": 5, "embedding_size": V},
    }[source]
    model = bn.Model(cell, hidden_size=7, output_size=O, num_layers=2, dtype="float64", **sizes)
    params = model.state_dict()
    tokens = rng.integers(0, V, (T, N))
    x = tokens if source != "dense" else rng.standard_normal((T, N, V))
    # The vectors that the first layer reads.
    vectors = {
        "dense": x,
        "one-hot": np.eye(V)[tokens],
        "embedding": params["embedding.weight"][tokens] if source == "embedding" else None,
    }[source]
    rest = {name: p for name, p in params.items() if name != "embedding.weight"}
    cfg = reference.ModelConfig(cell)
    chosen = rng.integers(0, O, T)
    expected = np.zeros((T, T))
    for t, k in enumerate(chosen):

        def logit(tensors, t=t, k=k):
            return reference.model_forward(cfg, rest, tensors["x"])[0][t, 1, k]

        gradient = complex_step(logit, {"x": vectors})["x"]
        expected[t] = np.linalg.norm(gradient[:, 1], axis=-1)
    got = connectivity(model, x, chosen, sample=1)
    assert error(got.matrix, expected) <= 1e-12
    assert (got.matrix[np.triu_indices(T, 1)] == 0).all()
    np.testing.assert_array_equal(got.outputs, chosen)
    out = model(x)[0]
    np.testing.assert_array_equal(connectivity(model, x, sample=1).outputs, out[:, 1].argmax(-1))
    assert STEP < 1e-50


def test_shares_and_reach():
    model = bn.Model("gru", input_size=2, hidden_size=5, output_size=3)
    x = np.random.default_rng(0).standard_normal((9, 1, 2), dtype=np.float32)
    found = connectivity(model, x)
    np.testing.assert_allclose(found.shares().sum(axis=1), 1)
    reach = found.reach(0.5)
    for t in range(9):
        back = found.matrix[t, t::-1]
        assert back[: reach[t]].sum() >= 0.5 * back.sum() * (1 - 1e-9)
        assert back[: reach[t] - 1].sum() < 0.5 * back.sum()


def test_last_step_models_have_one_row():
    model = bn.Model("lstm", input_size=2, hidden_size=5, output_size=3, targets="last")
    x = np.random.default_rng(0).standard_normal((9, 2, 2), dtype=np.float32)
    found = connectivity(model, x, lengths=[4, 9])
    assert found.matrix.shape == (1, 9)
    np.testing.assert_array_equal(found.times, [3])
    assert (found.matrix[0, 4:] == 0).all()
    assert (found.matrix[0, :4] > 0).all()


@pytest.mark.usefixtures("threads_afterwards")
def test_the_same_bits_for_any_number_of_threads(dtype):
    model = bn.Model("lstm", input_size=8, hidden_size=48, output_size=8, dtype=dtype)
    x = np.random.default_rng(0).standard_normal((300, 1, 8)).astype(dtype)
    found = []
    for threads in (1, 2, 3):
        bn.set_num_threads(threads)
        found.append(connectivity(model, x).matrix)
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"times": [4]}, IndexError, "times"),
        ({"times": [-1]}, IndexError, "times"),
        ({"times": []}, ValueError, "times"),
        ({"times": [[1]]}, ValueError, "times"),
        ({"times": [0.5]}, TypeError, "times"),
        ({"samples": [2]}, IndexError, "samples"),
        ({"samples": [0, 1]}, ValueError, "samples"),
        ({"outputs": [7]}, IndexError, "outputs"),
        ({"outputs": None}, ValueError, "outputs"),
        ({"dy": np.zeros((1, 7), np.float32)}, ValueError, "outputs"),
        ({"outputs": None, "dy": np.zeros((1, 6), np.float32)}, ValueError, "dy"),
        ({"outputs": None, "dy": np.zeros((1, 7), np.float64)}, TypeError, "dy"),
        ({"horizon": 0}, ValueError, "horizon"),
        ({"flow": 2}, TypeError, "flow"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, kind, said):
    net = bn.GRU(3, 7)
    _, _, tape = net.forward(np.zeros((4, 2, 3), np.float32))
    with pytest.raises(kind, match=f"backward_seeds: argument '{said}': expected"):
        backward_seeds(net, tape, **{"times": [3], "outputs": [0], **arguments})


def test_a_tape_of_another_net_is_refused():
    net, other = bn.GRU(3, 7), bn.GRU(3, 7)
    _, _, tape = net.forward(np.zeros((4, 2, 3), np.float32))
    with pytest.raises(RuntimeError, match="backward_seeds: argument 'tape'"):
        backward_seeds(other, tape, [3], outputs=[0])


def test_the_largest_horizon_is_none():
    net = bn.RNN(2, 5, dtype="float64", seed=1)
    tape = net.forward(np.random.default_rng(0).standard_normal((6, 3, 2)))[2]
    args = {"outputs": [0, 1, 2], "samples": [0, 1, 2]}
    far = backward_seeds(net, tape, [5, 0, 5], horizon=2**63 - 1, **args)
    np.testing.assert_array_equal(far.x, backward_seeds(net, tape, [5, 0, 5], **args).x)


def test_shares_and_reach_of_what_is_not_finite():
    rows = np.array([[1.0, 0, 0], [np.nan, 1, 0], [1, 1, 2], [0, 0, 0]])
    seen = Connectivity(rows, np.array([0, 1, 2, 2]), np.zeros(4, np.int64))
    assert np.isnan(seen.shares()[1]).all()
    np.testing.assert_allclose(seen.shares()[[0, 2, 3]].sum(axis=1), [1, 1, 0])
    assert seen.reach().tolist() == [1, -1, 1, 0]
    assert seen.reach(0.75).tolist() == [1, -1, 2, 0]
    ends = np.array([[1e308, 1e308, 1], [5e-324, 0, 0]])
    far = Connectivity(ends, np.array([2, 2]), np.zeros(2, np.int64))
    assert far.reach(0.4).tolist() == [2, 3]
    np.testing.assert_allclose(far.shares(), [[0.5, 0.5, 0], [1, 0, 0]], atol=1e-300)
    for share in (0, -1, 1.5, float("nan")):
        with pytest.raises(
            ValueError, match="reach: argument 'share': expected above 0, at most 1"
        ):
            seen.reach(share)


def test_refusals_of_outputs():
    net = bn.GRU(2, 3)
    x = np.zeros((4, 1, 2), np.float32)
    for bad in ([0.5] * 4, [0, 1], "none"):
        with pytest.raises((TypeError, ValueError), match="connectivity: argument 'outputs'"):
            connectivity(net, x, bad)
    with pytest.raises(TypeError, match="backward_seeds: argument 'tape': expected a Tape"):
        backward_seeds(net, None, [0], outputs=[0])
