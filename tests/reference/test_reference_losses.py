"""The specification: losses, clipping of whole gradients, optimisers, random bits."""

import math
from dataclasses import replace

import numpy as np
import pytest

from bptt_native import reference as ref
from helpers.complex_step import assert_equal_gradients, complex_step, small_net


# --- losses --------------------------------------------------------------------------------------
def test_cross_entropy_of_known_logits():
    logits = np.log(np.array([[[0.5, 0.25, 0.25]], [[0.1, 0.2, 0.7]]]))
    loss, d = ref.softmax_cross_entropy(logits, np.array([[0], [2]]))
    assert loss == pytest.approx(-(math.log(0.5) + math.log(0.7)) / 2, rel=1e-15)
    np.testing.assert_allclose(d, [[[-0.25, 0.125, 0.125]], [[0.05, 0.1, -0.15]]], rtol=1e-14)
    total, d_total = ref.softmax_cross_entropy(logits, np.array([[0], [2]]), "sum")
    assert total == pytest.approx(2 * loss, rel=1e-15)
    np.testing.assert_array_equal(d_total, 2 * d)


def test_cross_entropy_of_huge_float32_and_infinite_logits():
    loss, d = ref.softmax_cross_entropy(np.array([[1e4, 0.0, -1e4]]), np.array([1]))
    assert loss == 1e4
    np.testing.assert_array_equal(d, [[1.0, -1.0, 0.0]])
    loss, d = ref.softmax_cross_entropy(np.array([[0.0, -np.inf]]), np.array([0]))
    assert loss == 0
    assert not d.any()
    loss, d = ref.softmax_cross_entropy(np.zeros((1, 3), "f4"), np.array([1]))
    assert loss == pytest.approx(math.log(3), rel=1e-15)
    assert d.dtype == np.float64


def test_mean_squared_error_of_known_values():
    out, targets = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[1.0, 0.0], [0.0, 6.0]])
    loss, d = ref.mean_squared_error(out, targets)
    assert loss == (0 + 4 + 9 + 1) / 4
    np.testing.assert_array_equal(d, [[0, 1], [1.5, -0.5]])
    assert ref.mean_squared_error(out, targets, "sum")[0] == 14


def test_huber_of_known_values():
    out, targets = np.array([[0.5, 3.0], [-4.0, -1.0]]), np.zeros((2, 2))
    loss, d = ref.huber(out, targets)
    assert loss == (0.125 + 2.5 + 3.5 + 0.5) / 4
    np.testing.assert_array_equal(d, [[0.125, 0.25], [-0.25, -0.25]])
    loss, d = ref.huber(out, targets, "sum", delta=2.0)
    assert loss == 0.125 + 4 + 6 + 0.5
    np.testing.assert_array_equal(d, [[0.5, 2.0], [-2.0, -1.0]])
    square, d_square = ref.mean_squared_error(out, targets)
    loss, d = ref.huber(out, targets, delta=1e300)
    assert (2 * loss, (2 * d).tolist()) == (square, d_square.tolist())


LOSSES = [
    ("softmax_cross_entropy", {}),
    ("softmax_cross_entropy", {"label_smoothing": 0.2}),
    ("softmax_cross_entropy", {"ignore_index": 1}),
    ("softmax_cross_entropy", {"label_smoothing": 0.1, "ignore_index": 2}),
    ("mean_squared_error", {}),
    ("binary_cross_entropy", {}),
    ("huber", {}),
    ("huber", {"delta": 2.5}),
]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize(("name", "options"), LOSSES)
def test_gradients_of_losses(name, options, classes, weighted, reduction):
    rng = np.random.default_rng(1)
    out = 3 * rng.standard_normal((4, 3, 5))
    targets = rng.random((4, 3, 5)) if name[0] != "s" else rng.integers(0, 5, (4, 3))
    weights = rng.integers(0, 3, (4, 3)) * 0.75 if weighted else None
    how = options | {"weights": weights}
    how["class_weights"] = rng.random(5) if classes else None
    compute = getattr(ref, name)
    _, d = compute(out, targets, reduction, **how)
    want = complex_step(lambda z: compute(z["out"], targets, reduction, **how)[0], {"out": out})
    assert_equal_gradients({"out": d}, want, 1e-12)
    if weighted:  # rows of weight 0 are not read
        assert not d[weights == 0].any()
        out[weights == 0] = np.nan
        targets[weights == 0] = 99
        np.testing.assert_array_equal(compute(out, targets, reduction, **how)[1], d)


def test_weights_count_repeated_rows():
    rng = np.random.default_rng(2)
    out, targets, weights = rng.standard_normal((3, 4)), np.array([0, 2, 3]), np.array([2, 0, 1])
    loss, _ = ref.softmax_cross_entropy(out, targets, weights=weights, label_smoothing=0.1)
    rows = np.repeat(np.arange(3), weights)
    same, _ = ref.softmax_cross_entropy(out[rows], targets[rows], label_smoothing=0.1)
    assert loss == pytest.approx(same, rel=1e-14)


@pytest.mark.parametrize("targets", ["every", "last"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "binary_cross_entropy", "huber"])
def test_a_model_with_lengths_is_its_sequences_one_by_one(loss, targets):
    """The weighted mean over all targets is the sum of the sequences' sums, divided."""
    rng = np.random.default_rng(3)
    net = small_net(0, ("gru", "tanh"), 2, True, "embedding")
    T, lengths = 6, np.array([4, 1, 6])
    x = rng.integers(0, 5, (T, 3))
    shape, outputs = ((T, 3) if targets == "every" else (3,)), len(net.params["readout.bias"])
    weights = rng.integers(0, 3, shape) * 1.0
    weights[..., 0] = 1.5
    wanted = rng.integers(0, outputs, shape)
    if loss != "cross_entropy":
        wanted = rng.random((*shape, outputs))
    own = {"cross_entropy": {"label_smoothing": 0.1}, "huber": {"huber_delta": 0.4}}
    cfg = ref.ModelConfig("gru", loss, targets, **own.get(loss, {}))
    got = ref.model_loss_and_gradients(
        cfg, net.params, x, wanted, lengths=lengths, weights=weights, training=True
    )
    total, divisor, sums = 0.0, 0.0, {}
    for n, end in enumerate(lengths):
        steps = slice(end) if targets == "every" else ...
        one = ref.model_loss_and_gradients(
            replace(cfg, reduction="sum"), net.params, x[:end, n : n + 1],
            wanted[steps, n : n + 1] if targets == "every" else wanted[n : n + 1],
            weights=weights[steps, n : n + 1] if targets == "every" else weights[n : n + 1],
        )  # fmt: skip
        total = total + one.loss
        divisor += weights[steps, n].sum() if targets == "every" else weights[n]
        sums = {name: sums.get(name, 0) + d for name, d in one.gradients.items()}
    divisor *= 1 if loss == "cross_entropy" else outputs
    assert got.loss == pytest.approx(total / divisor, rel=1e-13)
    assert_equal_gradients(got.gradients, {n: d / divisor for n, d in sums.items()}, 1e-12)


def test_losses_refuse():
    with pytest.raises(ValueError, match="expected a target at least, got none"):
        ref.softmax_cross_entropy(np.zeros((2, 3)), np.array([-100, -100]))
    with pytest.raises(ValueError, match="expected a target at least, got none"):
        ref.mean_squared_error(np.zeros((2, 3)), np.zeros((2, 3)), weights=np.zeros(2))
    with pytest.raises(ValueError, match=r"'targets': expected 0 \.\.\. 1, got 0\.0 \.\.\. 2\.0"):
        ref.binary_cross_entropy(np.zeros((1, 2)), np.array([[0.0, 2.0]]))
    for delta in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"'delta': expected a finite number > 0, got"):
            ref.huber(np.zeros((1, 2)), np.zeros((1, 2)), delta=delta)
    with pytest.raises(ValueError, match="'weights': expected numbers >= 0, got -1"):
        ref.mean_squared_error(np.zeros((1, 2)), np.zeros((1, 2)), weights=np.array([-1.0]))


# --- clipping whole gradients --------------------------------------------------------------------
def some_gradients(scale=1.0):
    """Two tensors of norm 5 scale together."""
    return {"a": scale * np.array([[3.0, 0.0]]), "b": scale * np.array([-4.0])}


def test_clip_grad_value():
    clipped = ref.clip_grad_value({"a": np.array([-3.0, -0.5, np.nan, 0.5, np.inf])}, 1.0)
    np.testing.assert_array_equal(clipped["a"], [-1, -0.5, np.nan, 0.5, 1])


def test_clip_grad_tensor_norm():
    clipped = ref.clip_grad_tensor_norm(some_gradients(), 3.5)
    np.testing.assert_array_equal(clipped["a"], [[3.0, 0.0]])
    np.testing.assert_array_equal(clipped["b"], [-3.5])


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e5, 1e30])
def test_clip_grad_norm(scale):
    grads = some_gradients(scale)
    clipped, norm = ref.clip_grad_norm(grads, 2.5 * scale)
    assert norm == pytest.approx(5 * scale, rel=1e-15)
    assert_equal_gradients(clipped, {n: 0.5 * g for n, g in grads.items()}, 1e-15)
    for untouched in (norm, 2 * norm):
        assert_equal_gradients(ref.clip_grad_norm(grads, untouched)[0], grads, 0.0)
    np.testing.assert_array_equal(grads["b"], [-4 * scale])


def test_clip_grad_norm_to_the_ends_of_float64():
    for scale, limit in [(4e307, 1.0), (1e308, 1e300), (1e300, 1e-30), (1e-310, 1e-320)]:
        clipped, norm = ref.clip_grad_norm(some_gradients(1.0 * scale / 4), limit)
        want = 1.25 * scale
        assert norm == (pytest.approx(want, rel=1e-6) if math.isfinite(want) else math.inf)
        got = [clipped["a"][0, 0], clipped["b"][0]]
        assert got == pytest.approx([0.6 * limit, -0.8 * limit], rel=1e-2, abs=0)
    clipped, norm = ref.clip_grad_norm({"a": np.full(9, 1e308), "b": np.full(7, -1e308)}, 2.0)
    assert norm == math.inf
    assert clipped["a"] == pytest.approx(0.5, rel=1e-14)


def test_clip_grad_norm_with_eps_float32_and_nan():
    assert ref.clip_grad_norm(some_gradients(), 2.0, eps=3.0)[0]["b"] == [-1.0]
    assert ref.clip_grad_norm(some_gradients(), 5.0, eps=3.0)[0]["b"] == [-4.0]  # no need to clip
    huge = {n: g.astype("f4") for n, g in some_gradients(1e30).items()}
    assert ref.clip_grad_norm(huge, 1.0)[1] == pytest.approx(5e30, rel=1e-6)
    clipped, norm = ref.clip_grad_norm({"a": np.array([1.0, np.nan])}, 1.0)
    assert math.isnan(norm)
    assert np.isnan(clipped["a"]).all()


# --- optimisers ----------------------------------------------------------------------------------
def run_optimizer(optimizer):
    """Start from p = 1, step with the gradients 0.5 and -0.25; return both values of p."""
    p, other = np.array([1.0]), np.array([7.0])
    params, seen = {"p": p, "other": other}, []
    for g in (0.5, -0.25):
        optimizer.step(params, {"p": np.array([g])})
        seen.append(p.item())
    assert params["p"] is p
    assert other == 7.0
    return seen


def test_sgd_by_hand():
    first = 1 - 0.1 * 0.5
    assert run_optimizer(ref.SGD(0.1)) == pytest.approx([first, first + 0.1 * 0.25], rel=1e-15)
    got = run_optimizer(ref.SGD(0.1, momentum=0.9, weight_decay=0.01, decay_biases=True))
    v1 = 0.5 + 0.01 * 1
    p1 = 1 - 0.1 * v1
    v2 = 0.9 * v1 + (-0.25 + 0.01 * p1)
    assert got == pytest.approx([p1, p1 - 0.1 * v2], rel=1e-15)


def test_adagrad_by_hand():
    got = run_optimizer(ref.Adagrad(0.1, eps=0.01, weight_decay=0.02, decay_biases=True))
    g1 = 0.5 + 0.02
    p1 = 1 - 0.1 * g1 / (g1 + 0.01)
    g2 = -0.25 + 0.02 * p1
    assert got == pytest.approx([p1, p1 - 0.1 * g2 / (math.hypot(g1, g2) + 0.01)], rel=1e-15)


def test_adam_by_hand():
    got = run_optimizer(
        ref.Adam(0.1, betas=(0.8, 0.9), eps=0.01, weight_decay=0.5, decay_biases=True)
    )
    p1 = 1 * (1 - 0.1 * 0.5) - 0.1 * 0.5 / (0.5 + 0.01)  # corrected: the moments are g and g^2
    m2 = (0.8 * 0.2 * 0.5 + 0.2 * -0.25) / (1 - 0.64)
    v2 = (0.9 * 0.1 * 0.25 + 0.1 * 0.0625) / (1 - 0.81)
    p2 = p1 * (1 - 0.1 * 0.5) - 0.1 * m2 / (math.sqrt(v2) + 0.01)
    assert got == pytest.approx([p1, p2], rel=1e-14)


def test_rmsprop_by_hand():
    got = run_optimizer(ref.RMSprop(0.1, 0.9, 0.01, momentum=0.5, centered=True))
    n1, m1 = 0.1 * 0.25, 0.1 * 0.5
    d1 = 0.5 / (math.sqrt(n1 - m1**2) + 0.01)
    n2, m2 = 0.9 * n1 + 0.1 * 0.0625, 0.9 * m1 - 0.1 * 0.25
    d2 = 0.5 * d1 - 0.25 / (math.sqrt(n2 - m2**2) + 0.01)
    assert got == pytest.approx([1 - 0.1 * d1, 1 - 0.1 * d1 - 0.1 * d2], rel=1e-14)
    graves = run_optimizer(ref.RMSprop(0.1, 0.9, 0.01, momentum=0.5, form="graves"))
    d1 = -0.1 * 0.5 / math.sqrt(n1 - m1**2 + 0.01)
    d2 = 0.5 * d1 + 0.1 * 0.25 / math.sqrt(n2 - m2**2 + 0.01)
    assert graves == pytest.approx([1 + d1, 1 + d1 + d2], rel=1e-14)


@pytest.mark.parametrize("make", [ref.SGD, ref.Adagrad, ref.Adam, ref.RMSprop])
def test_rates_and_decay_of_each_tensor(make):
    """A scale multiplies the rate; tensors of rank 1 do not decay unless they are told to."""
    grads = {name: np.ones(shape) for name, shape in {"W": (2, 2), "V": (2, 2), "b": (2,)}.items()}
    start = {name: g * 2.0 for name, g in grads.items()}

    def after(optimizer, **rates):
        params = {name: p.copy() for name, p in start.items()}
        optimizer.lr_scale |= rates
        for _ in range(2):
            optimizer.step(params, grads)
        return params

    plain, scaled, other = after(make(0.1)), after(make(0.1), V=0.25), after(make(0.025))
    np.testing.assert_array_equal(scaled["W"], plain["W"])
    np.testing.assert_allclose(scaled["V"], other["V"], rtol=1e-15)
    decayed = after(make(0.1, weight_decay=0.5))
    np.testing.assert_array_equal(decayed["b"], plain["b"])
    assert (decayed["W"] != plain["W"]).all()
    assert (after(make(0.1, weight_decay=0.5, decay_biases=True))["b"] != plain["b"]).all()
    optimizer = make(0.1, weight_decay=0.5)
    optimizer.decays["V"] = 0.0
    np.testing.assert_array_equal(after(optimizer)["V"], plain["V"])


def test_the_defaults_of_the_optimizers_are_those_of_pytorch():
    assert run_optimizer(ref.Adagrad(0.1))[0] == pytest.approx(1 - 0.05 / (0.5 + 1e-10), rel=1e-15)
    m2 = (0.9 * 0.1 * 0.5 + 0.1 * -0.25) / (1 - 0.81)
    v2 = (0.999 * 0.001 * 0.25 + 0.001 * 0.0625) / (1 - 0.999**2)
    p1 = 1 - 0.1 * 0.5 / (0.5 + 1e-8)
    p2 = p1 - 0.1 * m2 / (math.sqrt(v2) + 1e-8)
    assert run_optimizer(ref.Adam(0.1)) == pytest.approx([p1, p2], rel=1e-12)


@pytest.mark.parametrize("optimizer", [ref.SGD(0.5, 0.9), ref.Adagrad(0.5), ref.Adam(0.05)])
def test_optimizers_learn_a_tiny_task(optimizer):
    net = small_net(0, ("gru", "tanh"), 1, True, "dense")
    params = {name: p.copy() for name, p in net.params.items()}
    losses = []
    for _ in range(60):
        result = ref.model_loss_and_gradients(net.cfg, params, net.x, net.targets)
        optimizer.step(params, result.gradients)
        losses.append(result.loss)
    assert losses[-1] < 0.3 * losses[0]


# --- random bits ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_philox_known_answers(counter, key, expected):
    words = ([int(word, 16) for word in text.split()] for text in (counter, key, expected))
    counter_words, key_words, answer = words
    assert list(ref.philox4x32_10(counter_words, key_words)) == answer
