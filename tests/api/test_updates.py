"""Updates: each one is made completely, or not at all."""

import math

import numpy as np
import pytest

import bptt_native as bn
from helpers import updates
from helpers.updates import RULES, TOKENS

LINEAR = ("SGD", "Lion")  # rules without squares of gradients
SQUARES = [rule for rule in RULES if rule[0] not in LINEAR]
MODELS = [
    {"optimizer": "sgd", "momentum": 0.9, "lr": 1e3},
    {"optimizer": "adagrad"},
    {"optimizer": "adam"},
    {"optimizer": "adam", "amsgrad": True},
    {"optimizer": "rmsprop", "centered": True},
    {"optimizer": "rmsprop", "rmsprop_form": "graves"},
]


def layer_and_gradients(dtype, **options):
    layer, grads = updates.layer_and_gradients(dtype, **options)
    grads.flat[:] = np.random.default_rng(1).standard_normal(grads.flat.size)
    return layer, grads


def everything(owner, optimizer):
    state = optimizer.state_dict()
    numbers = [v.tobytes() if isinstance(v, np.ndarray) else repr(v) for v in state.values()]
    return owner._params.get().tobytes(), numbers


def largest(dtype):
    return float(np.finfo(dtype).max)


@pytest.mark.parametrize(("rule", "options"), SQUARES)
@pytest.mark.parametrize("at", [0, 17, -1])
def test_a_square_that_overflows_changes_nothing(rule, options, at, isa, dtype):
    layer, grads = layer_and_gradients(dtype)
    optimizer = getattr(bn, rule)(layer, lr=1e-3, **options)
    assert optimizer.step(grads)
    before = everything(layer, optimizer)
    _, _, tape = layer.forward(np.zeros((1, 1, 3), dtype))
    huge = grads.copy()
    huge.flat[at] = math.sqrt(largest(dtype)) * 100
    assert not optimizer.step(huge)
    assert everything(layer, optimizer) == before
    layer.backward(tape, np.zeros((1, 1, 9), dtype))  # the tape is still of these parameters
    assert optimizer.step(grads)
    optimizer.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize(("rule", "options"), RULES)
def test_large_gradients_are_used_as_long_as_all_stays_finite(rule, options, isa, dtype):
    """Up to the last power of two; an update that was too much leaves no trace in later ones."""
    layer, grads = layer_and_gradients(dtype)
    twin, _ = layer_and_gradients(dtype)
    optimizer = getattr(bn, rule)(layer, lr=0.5, **options)
    other = getattr(bn, rule)(twin, lr=0.5, **options)
    made = []
    for power in range(0, np.finfo(dtype).maxexp, np.finfo(dtype).maxexp // 64):
        large = grads.copy()
        large.flat[3] = 2.0**power
        made.append(optimizer.step(large))
        if made[-1]:
            assert other.step(large)
        assert np.isfinite(layer._params.get()).all()
        assert all(np.isfinite(v).all() for v in optimizer._native.moments().values())
    assert everything(layer, optimizer) == everything(twin, other)
    assert made[0]
    assert made == sorted(made, reverse=True)
    assert all(made) == (rule in LINEAR)


def test_a_parameter_that_would_overflow_stays(isa, dtype):
    layer, grads = layer_and_gradients(dtype)
    layer._params.set(np.full(grads.flat.size, 0.9 * largest(dtype), dtype))
    optimizer = bn.SGD(layer, lr=1.0)
    grads.flat[:] = 0
    grads.flat[5] = -0.04 * largest(dtype)
    assert optimizer.step(grads)
    assert optimizer.step(grads)
    before = everything(layer, optimizer)
    assert not optimizer.step(grads)
    assert everything(layer, optimizer) == before
    grads.flat[5] *= -1
    assert optimizer.step(grads)
    assert optimizer.steps == 3


def test_momentum_that_would_overflow_stays(isa, dtype):
    layer, grads = layer_and_gradients(dtype)
    optimizer = bn.SGD(layer, lr=0.0, momentum=0.9)
    grads.flat[:] = 0
    grads.flat[2] = 0.4 * largest(dtype)
    assert [optimizer.step(grads) for _ in range(4)] == [True, True, False, False]
    assert np.isfinite(optimizer.state_dict()["momentum_buffer"]).all()
    assert optimizer.steps == 2


def test_weights_that_decay_away_from_zero_stop_before_they_overflow(dtype):
    layer, grads = layer_and_gradients(dtype)
    grads.flat[:] = 0
    optimizer = bn.SGD(layer, lr=1.0, weight_decay=1e3)
    made = [optimizer.step(grads) for _ in range(150)]
    assert made == sorted(made, reverse=True)
    assert made[5]
    assert not made[-1]
    assert np.isfinite(layer._params.get()).all()


def test_frozen_tensors_are_not_judged(dtype):
    layer, grads = layer_and_gradients(dtype)
    layer.freeze("weight_ih_l0")
    grads["weight_ih_l0"][:] = math.sqrt(largest(dtype)) * 100
    optimizer = bn.Adam(layer)
    assert optimizer.step(grads)
    layer.unfreeze("weight_ih_l0")
    assert not optimizer.step(grads)


def test_infinite_weights_that_are_meant_may_stay():
    """A class that is ruled out by its bias; the others go on learning."""
    m = bn.Model(vocab_size=3, hidden_size=2, output_size=3)
    state = m.state_dict()
    state["readout.bias"][2] = -np.inf
    with pytest.warns(RuntimeWarning, match=r"NaN or infinite: readout\.bias"):
        m.load_state_dict(state)
    assert not m.train_step([[0], [1]], [[1], [0]]).skipped
    assert m.state_dict()["readout.bias"][2] == -np.inf
    assert m.state_dict()["readout.bias"][1] != state["readout.bias"][1]


@pytest.mark.parametrize("options", MODELS)
def test_a_model_skips_it(options, isa, dtype):
    m = bn.Model(vocab_size=3, hidden_size=4, output_size=3, dtype=dtype, **options)
    twin = bn.Model(**m.config)
    m.train_step(TOKENS[:-1], TOKENS[1:])
    twin.train_step(TOKENS[:-1], TOKENS[1:])
    _, grads = m.gradients(TOKENS[:-1], TOKENS[1:])
    grads.flat[7] = largest(dtype) / 8
    before = everything(m, m.optimizer)
    update = m.apply(grads)
    assert update.skipped
    assert math.isfinite(update.grad_norm)
    assert everything(m, m.optimizer) == before
    assert (m.step_count, m.skipped_count, m.optimizer.steps) == (1, 1, 1)
    for net in (m, twin):
        assert not net.train_step(TOKENS[:-1], TOKENS[1:]).skipped
    assert everything(m, m.optimizer) == everything(twin, twin.optimizer)


@pytest.mark.parametrize(("nonfinite", "raises"), [("raise", True), ("zero", False)])
def test_what_the_options_say_of_it(nonfinite, raises, dtype):
    m = bn.Model(vocab_size=3, hidden_size=4, output_size=3, dtype=dtype, nonfinite=nonfinite)
    _, grads = m.gradients(TOKENS[:-1], TOKENS[1:])
    grads.flat[7] = largest(dtype) / 8
    before = everything(m, m.optimizer)
    if raises:
        with pytest.raises(FloatingPointError, match="the update would overflow"):
            m.apply(grads)
    else:
        assert m.apply(grads).skipped
    assert everything(m, m.optimizer) == before
    assert (m.step_count, m.skipped_count) == (0, int(not raises))


def test_clipping_comes_first():
    """A gradient that would overflow without clipping is applied."""
    m = bn.Model(vocab_size=3, hidden_size=4, output_size=3, clip_norm=1.0)
    _, grads = m.gradients(TOKENS[:-1], TOKENS[1:])
    grads.flat[7] = 1e38
    assert not m.apply(grads).skipped


# ----------------------------------------------------------------------------------- an eps of zero


@pytest.mark.parametrize(("rule", "options"), SQUARES)
@pytest.mark.parametrize("eps", [0.0, 5e-324])
def test_zero_over_zero_is_zero(rule, options, eps, isa, dtype):
    layer, grads = layer_and_gradients(dtype)
    grads["weight_ih_l0"][:] = 0
    before = layer.state_dict()
    optimizer = getattr(bn, rule)(layer, lr=0.01, eps=eps, **options)
    for _ in range(3):
        assert optimizer.step(grads)
    after = layer.state_dict()
    np.testing.assert_array_equal(after["weight_ih_l0"], before["weight_ih_l0"])
    assert np.isfinite(layer._params.get()).all()
    assert (after["weight_hh_l0"] != before["weight_hh_l0"]).all()


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e-17])
def test_an_eps_of_zero_changes_no_other_quotient(scale, isa, dtype):
    """Adam's first step is g / |g|, however small g is."""
    layer, grads = layer_and_gradients(dtype)
    grads.flat[:] = scale * np.sign(grads.flat)
    before = layer._params.get()
    assert bn.Adam(layer, lr=0.25, eps=0.0).step(grads)
    want = before - 0.25 * np.sign(grads.flat)
    np.testing.assert_allclose(layer._params.get(), want, rtol=1e-4, atol=1e-4)


def test_tiny_gradients_whose_squares_underflow_do_not_explode(isa):
    """float32 keeps squares down to 1e-45: Adam's first step stays about lr."""
    layer, grads = layer_and_gradients("float32")
    grads.flat[:] = np.logspace(-40, -19, grads.flat.size)
    before = layer._params.get()
    assert bn.Adam(layer, lr=0.25, eps=0.0).step(grads)
    assert np.abs(layer._params.get() - before).max() <= 0.5


# ------------------------------------------------------------------ factors that the dtype lacks


@pytest.mark.parametrize("name", ["lr", "weight_decay", "eps"])
def test_factors_beyond_float32_are_refused(name):
    layer = bn.GRU(2, 3)
    none = ", or None" if name == "eps" else ""
    held = f"a number >= 0 that is finite in float32{none}"
    pattern = rf"argument '{name}': expected {held}, got 1e\+39"
    with pytest.raises(ValueError, match="Adam: " + pattern):
        bn.Adam(layer, **{name: 1e39})
    with pytest.raises(ValueError, match="Model: " + pattern):
        bn.Model(vocab_size=3, hidden_size=4, output_size=3, **{name: 1e39})
    bn.Adam(bn.GRU(2, 3, dtype="float64"), **{name: 1e39})
    bn.Adam(layer, **{name: 3.4e38})


def test_rates_and_groups_beyond_float32_are_refused():
    optimizer = bn.Adam(bn.GRU(2, 3), lr=0.5)
    with pytest.raises(ValueError, match="argument 'lr': expected a number"):
        optimizer.lr = 1e39
    with pytest.raises(ValueError, match=r"argument 'lr_scale': expected a number"):
        optimizer.set_group("*", lr_scale=1e39)
    with pytest.raises(ValueError, match=r"argument 'weight_decay': expected a number"):
        optimizer.set_group("*", weight_decay=1e39)
    assert (optimizer.lr, optimizer.groups) == (0.5, {})
    optimizer.set_group("bias_*", lr_scale=1e30)
    with pytest.raises(ValueError, match="argument 'lr': expected a number"):
        optimizer.lr = 1e20
    state, before = optimizer.state_dict(), everything(optimizer._owner, optimizer)
    group = {"lr_scale": 1e39, "weight_decay": None}
    for change in ({"lr": 1e39}, {"lr": 1e20}, {"groups": {"bias_ih_l0": group}}):
        with pytest.raises(ValueError, match=r"Adam.load_state_dict: argument 'lr(_scale)?'"):
            optimizer.load_state_dict({**state, **change, "exp_avg": state["exp_avg"] + 1})
    assert everything(optimizer._owner, optimizer) == before
    optimizer.load_state_dict({**state, "lr": 1e20, "groups": {}})
    assert optimizer.lr == 1e20


@pytest.mark.parametrize(
    ("rule", "gradient", "moved"),
    [(bn.Adam, 1e-8, 0.5), (bn.Adagrad, 1e-10, 0.5), (bn.RMSprop, 1e-7, 5.0)],
)
def test_the_eps_of_a_rule_that_is_given_none(rule, gradient, moved):
    """As large as the root that it is added to, it halves the update."""
    net = bn.RNN(1, 1, dtype="float64", seed=0)
    before = net.state_dict()["weight_hh_l0"].copy()
    y, _, tape = net.forward(np.zeros((1, 1, 1)))
    grads = net.backward(tape, y)
    grads.flat[:] = gradient
    assert rule(net, lr=0.1).step(grads)
    difference = before - net.state_dict()["weight_hh_l0"]
    np.testing.assert_allclose(difference, 0.1 * moved, rtol=1e-6)


@pytest.mark.parametrize("rule", [bn.SGD, bn.Adam, bn.Adagrad, bn.RMSprop])
def test_weight_decay_that_would_overflow_changes_nothing(rule):
    net = bn.RNN(1, 1, seed=0)
    net.load_state_dict({name: np.full_like(v, 1e35) for name, v in net.state_dict().items()})
    y, _, tape = net.forward(np.zeros((1, 1, 1), "f4"))
    grads = net.backward(tape, y)
    grads.flat[:] = 0
    optimizer = rule(net, lr=1e3, weight_decay=1e3)
    assert not optimizer.step(grads)
    assert optimizer.steps == 0
    assert all((values == np.float32(1e35)).all() for values in net.state_dict().values())


def test_a_decay_factor_that_overflows_changes_nothing():
    """1 - lr * weight_decay exceeds float32; its product with a weight would not."""
    net = bn.RNN(2, 64, seed=1)
    before = net.state_dict()
    y, _, tape = net.forward(np.zeros((1, 1, 2), "f4"))
    grads = net.backward(tape, y)
    grads.flat[:] = 0
    optimizer = bn.Adam(net, lr=1e20, weight_decay=5e18)
    assert not optimizer.step(grads)
    assert all(np.array_equal(v, before[name]) for name, v in net.state_dict().items())


def test_weights_that_another_hand_changed_are_judged_anew():
    net = bn.RNN(1, 1, seed=0)
    y, _, tape = net.forward(np.zeros((1, 1, 1), "f4"))
    grads = net.backward(tape, y)
    optimizer = bn.SGD(net, lr=0.1)
    grads.flat[:] = 0
    assert optimizer.step(grads)
    net.load_state_dict({k: np.full_like(v, 3.4e38) for k, v in net.state_dict().items()})
    grads.flat[:] = -5e37
    assert not optimizer.step(grads)
    assert all((values == np.float32(3.4e38)).all() for values in net.state_dict().values())


def stepped(rule, value, gradient, steps, **options):
    """Make steps with a gradient of one element, from weights of one value."""
    net = bn.RNN(1, 1, seed=0)
    net.load_state_dict({name: np.full_like(v, value) for name, v in net.state_dict().items()})
    y, _, tape = net.forward(np.zeros((1, 1, 1), "f4"))
    grads = net.backward(tape, y)
    grads.flat[:] = 0
    grads.flat[0] = gradient
    optimizer = rule(net, **options)
    return net, optimizer, [optimizer.step(grads) for _ in range(steps)]


def test_a_sum_of_squares_stops_before_it_overflows():
    """Each square is a quarter of float32's largest number, so four of them are taken."""
    _, optimizer, done = stepped(bn.Adagrad, 0.0, 9e18, steps=8, lr=0.1)
    assert done == [True] * 4 + [False] * 4
    assert np.isfinite(optimizer.state_dict()["sum"]).all()


def test_weights_that_grow_by_the_rate_stop_before_they_overflow():
    net, _, done = stepped(bn.Adam, 5e37, -0.01, steps=15, lr=3e37)
    assert done == [True] * 9 + [False] * 6
    assert all(np.isfinite(values).all() for values in net.state_dict().values())
