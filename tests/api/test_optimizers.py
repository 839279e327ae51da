"""Optimisers: each rule against PyTorch or NumPy, groups of parameters, state, model files."""

import copy
import itertools
import pickle
import re

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import reference
from helpers.arrays import draw, largest_error
from helpers.displays import constructor_of
from helpers.small_nets import H, I, N, T
from helpers.updates import RULES, layer_and_gradients

STEPS = 300


def random_gradients(grads, steps=STEPS):
    """Gradients of very different sizes, some of them exactly 0."""
    rng = np.random.Generator(np.random.Philox(3))
    scale = 10.0 ** rng.uniform(-4, 1, grads.flat.size)
    for _ in range(steps):
        given = copy.copy(grads)
        g = scale * rng.standard_normal(grads.flat.size)
        given.flat[:] = np.where(rng.random(g.size) < 0.1, 0, g)
        yield given


# Ours, PyTorch's; weight decay of theirs is for every tensor.
EVERYWHERE = {"weight_decay": 0.01, "decay_biases": True}
AGAINST_TORCH = {
    "sgd": ("SGD", {"lr": 0.1}, "SGD", {}),
    "sgd decay": ("SGD", {"lr": 0.1, **EVERYWHERE}, "SGD", {}),
    "momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, **EVERYWHERE}, "SGD", {}),
    "nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}, "SGD", {}),
    "nesterov decay": (
        "SGD",
        {"lr": 0.1, "momentum": 0.5, "nesterov": True, **EVERYWHERE},
        "SGD",
        {},
    ),
    "adagrad": ("Adagrad", {"lr": 0.1, **EVERYWHERE}, "Adagrad", {}),
    "adam": ("Adam", {"lr": 0.01}, "AdamW", {"weight_decay": 0.0}),
    "adamw": ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), **EVERYWHERE}, "AdamW", {}),
    "adamw, its decay": ("AdamW", {"decay_biases": True}, "AdamW", {}),
    "amsgrad": ("Adam", {"lr": 0.01, "amsgrad": True, "betas": (0.9, 0.8)}, "Adam", {}),
    "amsgrad decay": ("Adam", {"lr": 0.01, "amsgrad": True, **EVERYWHERE}, "AdamW", {}),
    "rmsprop": ("RMSprop", {}, "RMSprop", {}),
    "rmsprop decay": (
        "RMSprop",
        {"lr": 0.01, "alpha": 0.9, "eps": 1e-6, **EVERYWHERE},
        "RMSprop",
        {},
    ),
    "rmsprop momentum": ("RMSprop", {"lr": 0.01, "momentum": 0.9}, "RMSprop", {}),
    "rmsprop centred": ("RMSprop", {"lr": 0.01, "centered": True, **EVERYWHERE}, "RMSprop", {}),
    "rmsprop all": (
        "RMSprop",
        {"lr": 0.01, "alpha": 0.8, "momentum": 0.7, "centered": True, **EVERYWHERE},
        "RMSprop",
        {},
    ),
}


@pytest.mark.parametrize("name", AGAINST_TORCH)
def test_equals_pytorch(name, isa, comparisons):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)
    rule, options, their_rule, more = AGAINST_TORCH[name]
    layer, grads = layer_and_gradients()
    theirs = {k: torch.from_numpy(v.copy()) for k, v in layer.state_dict().items()}
    optimizer = getattr(bn, rule)(layer, **options)
    theirs_options = {k: v for k, v in options.items() if k != "decay_biases"} | more
    other = getattr(torch.optim, their_rule)(list(theirs.values()), **theirs_options)
    for given in random_gradients(grads):
        assert optimizer.step(given)
        for key, tensor in theirs.items():
            tensor.grad = torch.from_numpy(given[key].copy())
        other.step()
    assert largest_error(layer.state_dict(), {k: v.numpy() for k, v in theirs.items()}) <= 1e-10
    state = optimizer.state_dict()
    for moment in optimizer._native.moments():
        parts = [other.state[t].get(moment) for t in theirs.values()]
        want = np.concatenate([part.numpy().ravel() for part in parts])
        np.testing.assert_allclose(state[moment], want, rtol=1e-9, atol=1e-12, err_msg=moment)
    comparisons.add("PyTorch", STEPS * len(theirs))


def test_groups_equal_those_of_pytorch(isa, comparisons):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)
    layer, grads = layer_and_gradients()
    theirs = {k: torch.from_numpy(v.copy()) for k, v in layer.state_dict().items()}
    for rule, their_rule in (("Adam", "AdamW"), ("RMSprop", "RMSprop"), ("SGD", "SGD")):
        optimizer = getattr(bn, rule)(layer, lr=0.01, weight_decay=0.1)
        optimizer.set_group("weight_hh_*", lr_scale=0.5, weight_decay=0.02)
        optimizer.set_group(["bias_hh_l0"], weight_decay=0.3)
        groups = [
            {"params": theirs["weight_ih_l0"]},
            {"params": theirs["weight_hh_l0"], "lr": 0.005, "weight_decay": 0.02},
            {"params": theirs["bias_ih_l0"], "weight_decay": 0.0},
            {"params": theirs["bias_hh_l0"], "weight_decay": 0.3},
        ]
        other = getattr(torch.optim, their_rule)(groups, lr=0.01, weight_decay=0.1)
        for given in random_gradients(grads, 50):
            optimizer.step(given)
            for key, tensor in theirs.items():
                tensor.grad = torch.from_numpy(given[key].copy())
            other.step()
        want = {k: v.numpy() for k, v in theirs.items()}
        assert largest_error(layer.state_dict(), want) <= 1e-10, rule
        comparisons.add("PyTorch", 50 * len(theirs))


def graves(values, gradients, lr=1e-4, alpha=0.95, eps=1e-4, momentum=0.9):
    """Equations 38 to 41 of arXiv:1308.0850."""
    n = m = d = np.zeros_like(values)
    for g in gradients:
        n = alpha * n + (1 - alpha) * g * g
        m = alpha * m + (1 - alpha) * g
        d = momentum * d - lr * g / np.sqrt(n - m * m + eps)
        values = values + d
    return values, {"square_avg": n, "grad_avg": m, "momentum_buffer": d}


def lion(values, gradients, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
    """Algorithm 2 of arXiv:2302.06675."""
    b1, b2 = betas
    m = np.zeros_like(values)
    for g in gradients:
        c = b1 * m + (1 - b1) * g
        values = values - lr * (np.sign(c) + weight_decay * values)
        m = b2 * m + (1 - b2) * g
    return values, m


@pytest.mark.parametrize(
    "options", [{}, {"lr": 0.01, "betas": (0.5, 0.75)}, {"lr": 0.01, "weight_decay": 0.25}]
)
def test_lion(options, isa, dtype, comparisons):
    layer, grads = layer_and_gradients(dtype)
    before = layer._params.get().astype("f8")
    optimizer = bn.Lion(layer, decay_biases=True, **options)
    theirs = reference.Lion(**({"lr": 1e-4} | options), decay_biases=True)
    params = {k: v.astype("f8") for k, v in layer.state_dict().items()}
    taken = []
    for given in random_gradients(grads, 30):
        taken.append(given.flat.astype("f8"))
        theirs.step(params, {k: given[k].astype("f8") for k in given})
        assert optimizer.step(given)
    values, m = lion(before, taken, **options)
    bound = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(layer._params.get(), values, rtol=bound, atol=bound)
    np.testing.assert_allclose(optimizer.state_dict()["exp_avg"], m, rtol=bound, atol=bound)
    assert largest_error(layer.state_dict(), params) <= bound
    comparisons.add("NumPy, Lion", 30)


def test_lion_stands_still_where_the_gradient_is_zero(isa, dtype):
    layer, grads = layer_and_gradients(dtype)
    before = layer._params.get()
    grads.flat[:] = 0
    grads.flat[0] = -1e-20
    assert bn.Lion(layer, lr=0.25).step(grads)
    moved = layer._params.get() - before
    assert moved[0] == pytest.approx(0.25)
    assert not moved[1:].any()


@pytest.mark.parametrize(
    "options", [{}, {"lr": 0.01, "alpha": 0.8, "eps": 1e-2, "momentum": 0.5}, {"momentum": 0.0}]
)
def test_graves_form(options, isa, dtype, comparisons):
    layer, grads = layer_and_gradients(dtype)
    before = layer._params.get().astype("f8")
    optimizer = bn.RMSprop(layer, form="graves", **options)
    flats = []
    for given in random_gradients(grads):
        optimizer.step(given)
        flats.append(given.flat.astype("f8"))
    want, moments = graves(before, flats, **options)
    limit = 1e-11 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(layer._params.get(), want, rtol=limit, atol=limit)
    assert list(optimizer._native.moments()) == list(moments)
    for name, values in moments.items():
        scale = np.abs(values).max()
        np.testing.assert_allclose(optimizer.state_dict()[name], values, atol=limit * scale)
    assert np.abs(want - before).max() > 1e-3
    comparisons.add("NumPy, Graves' form", STEPS)


def test_a_variance_that_rounding_makes_negative_is_zero(isa, dtype):
    """A gradient that never changes: n - m^2 goes to 0, and its root stays a number."""
    for options in ({"centered": True}, {"form": "graves", "eps": 1e-12}):
        layer, grads = layer_and_gradients(dtype)
        grads.flat[:] = np.linspace(0.1, 3, grads.flat.size)
        optimizer = bn.RMSprop(layer, lr=1e-6, alpha=0.5, **options)
        for _ in range(200):
            optimizer.step(grads)
        assert np.isfinite(layer._params.get()).all(), options


@pytest.mark.parametrize(("rule", "options"), RULES)
def test_weight_decay_is_for_matrices_unless_asked_for(rule, options):
    """With gradients of 0 whatever moves is moved by weight decay."""

    def moved(**more):
        layer, grads = layer_and_gradients()
        grads.flat[:] = 0
        before = layer.state_dict()
        getattr(bn, rule)(layer, lr=0.1, weight_decay=0.5, **options, **more).step(grads)
        return {k for k, v in layer.state_dict().items() if (v != before[k]).any()}

    assert moved() == {"weight_ih_l0", "weight_hh_l0"}
    assert moved(decay_biases=True) == {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}
    m = bn.Model(vocab_size=4, embedding_size=2, hidden_size=3, output_size=4, weight_decay=0.5)
    _, _, tape = m.forward([[0]])
    before = m.state_dict()
    m.optimizer.step(m.backward(tape, None))
    still = [k for k, v in m.state_dict().items() if (v == before[k]).all()]
    assert still == ["rnn.bias_ih_l0", "rnn.bias_hh_l0", "readout.bias"]


@pytest.mark.parametrize(("rule", "options"), RULES)
def test_state_goes_on_to_the_same_bits(rule, options, dtype):
    layer, grads = layer_and_gradients(dtype)
    optimizer = getattr(bn, rule)(layer, lr=0.1, weight_decay=0.01, **options)
    optimizer.set_group("bias_*", lr_scale=2, weight_decay=0.125)
    given = list(random_gradients(grads, 6))
    for g in given[:3]:
        optimizer.step(g)
    twin = copy.deepcopy(layer)
    again = getattr(bn, rule)(twin, weight_decay=0.01, **options)
    again.set_group("weight_ih_l0", lr_scale=3)
    again.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    assert again.groups == optimizer.groups
    for g in given[3:]:
        optimizer.step(g)
        again.step(g)
    np.testing.assert_array_equal(twin._params.get(), layer._params.get())
    assert again.state_dict().keys() == optimizer.state_dict().keys()
    for name, value in again.state_dict().items():
        np.testing.assert_array_equal(value, optimizer.state_dict()[name])


@pytest.mark.usefixtures("threads_afterwards")
@pytest.mark.parametrize(("rule", "options"), RULES)
def test_threads_change_no_bit(rule, options):
    results = set()
    for threads in (1, 3):
        bn.set_num_threads(threads)
        layer = bn.RNN(300, 500, seed=2)
        y, _, tape = layer.forward(np.ones((2, 1, 300), "f4"))
        grads = layer.backward(tape, y)
        optimizer = getattr(bn, rule)(layer, lr=0.01, weight_decay=0.1, **options)
        for _ in range(3):
            optimizer.step(grads)
        results.add(layer._params.get().tobytes())
    assert len(results) == 1


# ------------------------------------------------------------------------------------------- groups


def test_groups_by_name_and_pattern():
    m = bn.Model(vocab_size=3, hidden_size=2, output_size=3)
    assert m.optimizer.groups == {}
    m.optimizer.set_group("rnn.bias_*", lr_scale=2)
    m.optimizer.set_group(("readout.weight", "readout.b*"), weight_decay=0)
    assert m.optimizer.groups == {
        "rnn.bias_ih_l0": {"lr_scale": 2.0, "weight_decay": None},
        "rnn.bias_hh_l0": {"lr_scale": 2.0, "weight_decay": None},
        "readout.weight": {"lr_scale": 1.0, "weight_decay": 0.0},
        "readout.bias": {"lr_scale": 1.0, "weight_decay": 0.0},
    }
    m.optimizer.set_group("*")
    assert m.optimizer.groups == {}


def test_a_rate_of_zero_is_a_standstill():
    m = bn.Model(vocab_size=3, hidden_size=2, output_size=3, weight_decay=0.1)
    m.optimizer.set_group("readout.*", lr_scale=0)
    before = m.state_dict()
    m.train_step([[0], [1]], [[1], [2]])
    still = [k for k, v in m.state_dict().items() if (v == before[k]).all()]
    assert still == ["readout.weight", "readout.bias"]


@pytest.mark.parametrize(
    ("names", "options", "argument"),
    [
        ("nothing", {}, "names"),
        ("Weight_*", {}, "names"),
        (["weight_ih_l0", "bias_x"], {"lr_scale": 2}, "names"),
        (3, {}, "names"),
        (None, {}, "names"),
        ([3], {}, "names"),
        (b"*", {}, "names"),
        *[("*", {"lr_scale": bad}, "lr_scale") for bad in (-1, np.nan, np.inf, "1", None, True)],
        *[("*", {"weight_decay": bad}, "weight_decay") for bad in (-1, np.nan, np.inf, "1", True)],
    ],
)
def test_bad_groups_change_nothing(names, options, argument):
    optimizer = bn.Adam(bn.GRU(2, 3))
    optimizer.set_group("bias_*", lr_scale=0.5, weight_decay=0.25)
    before = optimizer.groups
    pattern = rf"Adam.set_group: argument '{argument}': expected .*, got"
    with pytest.raises((TypeError, ValueError), match=pattern):
        optimizer.set_group(names, **options)
    assert optimizer.groups == before


@pytest.mark.parametrize(
    "groups",
    [
        3,
        {"nothing": {"lr_scale": 1, "weight_decay": None}},
        {"bias_ih_l0": 2},
        {"bias_ih_l0": {"lr_scale": 1}},
        {"bias_ih_l0": {"lr_scale": -1, "weight_decay": None}},
        {"bias_ih_l0": {"lr_scale": 1, "weight_decay": np.nan}},
    ],
)
def test_bad_groups_in_a_state_change_nothing(groups):
    optimizer = bn.SGD(bn.GRU(2, 3), lr=0.5)
    optimizer.set_group("bias_*", lr_scale=0.5)
    state, before = optimizer.state_dict(), optimizer.groups
    pattern = r"SGD.load_state_dict: argument '\w+': expected .*, got"
    with pytest.raises((TypeError, ValueError), match=pattern):
        optimizer.load_state_dict({**state, "groups": groups, "lr": 7.0})
    assert (optimizer.groups, optimizer.lr) == (before, 0.5)
    del state["groups"]  # as before there were groups
    optimizer.load_state_dict(state)
    assert optimizer.groups == {}


# ------------------------------------------------------------------------------------------- models

MODELS = [
    {"optimizer": "sgd", "momentum": 0.5, "nesterov": True, "decay_biases": True},
    {"optimizer": "adam", "amsgrad": True},
    {"optimizer": "rmsprop"},
    {"optimizer": "rmsprop", "centered": True, "momentum": 0.5, "rmsprop_alpha": 0.75},
    {"optimizer": "rmsprop", "rmsprop_form": "graves", "momentum": 0.9, "lr": 1e-3},
    {"optimizer": "lion"},
    {"optimizer": "lion", "betas": (0.5, 0.75), "decay_biases": True},
]


@pytest.mark.parametrize("options", MODELS)
def test_model_files_keep_options_groups_and_moments(options, tmp_path, dtype):
    m = bn.Model(
        vocab_size=3, hidden_size=4, output_size=3, weight_decay=0.1, dtype=dtype, **options
    )
    m.optimizer.set_group("rnn.bias_*", lr_scale=0.5, weight_decay=0.25)
    m.optimizer.set_group("readout.bias", lr_scale=0)
    tokens = np.random.Generator(np.random.Philox(1)).integers(0, 3, (6, 2))
    for _ in range(3):
        m.train_step(tokens[:-1], tokens[1:])
    m.save(tmp_path / "m")
    twin = bn.load(tmp_path / "m")
    assert repr(twin) == repr(m)
    assert all(twin.config[name] == value for name, value in options.items())
    assert bn.Model(**m.config).config == m.config
    assert repr(twin.optimizer) == repr(m.optimizer)
    assert twin.optimizer.groups == m.optimizer.groups
    assert len(twin.optimizer.groups) == 3
    for _ in range(3):
        m.train_step(tokens[:-1], tokens[1:])
        twin.train_step(tokens[:-1], tokens[1:])
    for name, value in m.state_dict().items():
        np.testing.assert_array_equal(value, twin.state_dict()[name])
    twin.save(tmp_path / "again")
    m.save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == (tmp_path / "again").read_bytes()


@pytest.mark.parametrize("options", MODELS)
def test_a_model_steps_as_its_optimiser_does(options):
    m = bn.Model(vocab_size=3, hidden_size=4, output_size=3, weight_decay=0.1, **options)
    parts = bn.Model(**m.config)
    tokens = np.random.Generator(np.random.Philox(1)).integers(0, 3, (6, 2))
    m.optimizer.set_group("rnn.*", lr_scale=0.5)
    parts.optimizer.set_group("rnn.*", lr_scale=0.5)
    for _ in range(4):
        m.train_step(tokens[:-1], tokens[1:])
        out, _, tape = parts.forward(tokens[:-1])
        p = np.exp(out.astype("f8") - out.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        p[(*np.indices(tokens[1:].shape), tokens[1:])] -= 1
        parts.optimizer.step(parts.backward(tape, (p / tokens[1:].size).astype("f4")))
    for name, value in m.state_dict().items():
        np.testing.assert_allclose(parts.state_dict()[name], value, atol=2e-4)


def test_reprs_and_defaults():
    layer = bn.RNN(1, 1)
    assert constructor_of(bn.RMSprop(layer)) == (
        "RMSprop(RNN, lr=0.01, alpha=0.99, eps=1e-08, momentum=0.0, centered=False, form='torch', "
        "weight_decay=0.0, decay_biases=False)"
    )
    assert constructor_of(bn.RMSprop(layer, form="graves")) == (
        "RMSprop(RNN, lr=0.0001, alpha=0.95, eps=0.0001, momentum=0.9, centered=False, "
        "form='graves', weight_decay=0.0, decay_biases=False)"
    )
    for form, eps, alpha in (("torch", 1e-8, 0.99), ("graves", 1e-4, 0.95)):
        m = bn.Model(
            input_size=1, hidden_size=1, output_size=1, optimizer="rmsprop", rmsprop_form=form
        )
        assert (m.config["eps"], m.config["rmsprop_alpha"]) == (eps, alpha)
        assert "eps" not in constructor_of(m)
        assert "alpha" not in constructor_of(m)


def bad_options():
    for rule, bad in itertools.product(("SGD", "Adagrad", "Adam", "RMSprop"), (1, None, "yes")):
        yield rule, {"decay_biases": bad}, "decay_biases"
    for bad in (1, None):
        yield "SGD", {"nesterov": bad, "momentum": 0.5}, "nesterov"
        yield "Adam", {"amsgrad": bad}, "amsgrad"
        yield "RMSprop", {"centered": bad}, "centered"
    yield "SGD", {"nesterov": True}, "nesterov"
    yield "RMSprop", {"centered": True, "form": "graves"}, "centered"
    for bad in ("Torch", "tf", 1, None, b"torch"):
        yield "RMSprop", {"form": bad}, "form"
    for bad in (-0.1, 1.0, np.nan, np.inf, "1", True):
        yield "RMSprop", {"alpha": bad}, "alpha"
        yield "RMSprop", {"momentum": bad}, "momentum"
        if bad != 1.0 or bad is True:
            yield "RMSprop", {"eps": bad}, "eps"
            yield "RMSprop", {"lr": bad}, "lr"


@pytest.mark.parametrize(("rule", "options", "argument"), list(bad_options()))
def test_bad_options(rule, options, argument):
    with pytest.raises(
        (TypeError, ValueError), match=rf"^{rule}: argument '{argument}': expected .+, got .+"
    ):
        getattr(bn, rule)(bn.GRU(2, 3), **options)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"optimizer": "adam", "nesterov": True}, "nesterov"),
        ({"optimizer": "sgd", "amsgrad": True}, "amsgrad"),
        ({"optimizer": "adagrad", "momentum": 0.5}, "momentum"),
        ({"optimizer": "adam", "centered": True}, "centered"),
        ({"optimizer": "adam", "rmsprop_alpha": 0.5}, "rmsprop_alpha"),
        ({"optimizer": "rmsprop", "rmsprop_alpha": 1.5}, "rmsprop_alpha"),
        ({"optimizer": "sgd", "rmsprop_form": "graves"}, "rmsprop_form"),
        ({"optimizer": "rmsprop", "rmsprop_form": "grave"}, "rmsprop_form"),
        ({"optimizer": "rmsprob"}, "optimizer"),
    ],
)
def test_bad_model_options(options, argument):
    with pytest.raises(ValueError, match=rf"^Model: argument '{argument}': expected .+") as caught:
        bn.Model(vocab_size=3, hidden_size=4, output_size=3, **options)
    if argument == "optimizer":
        assert re.search(r"did you mean 'rmsprop'\?", str(caught.value))


@pytest.mark.parametrize(
    ("rule", "options", "moment", "bad"),
    [
        ("Adam", {}, "exp_avg", np.nan),
        ("Adam", {}, "exp_avg_sq", -1.0),
        ("Adam", {"amsgrad": True}, "max_exp_avg_sq", -1e-3),
        ("Adagrad", {}, "sum", -1e-3),
        ("SGD", {"momentum": 0.9}, "momentum_buffer", np.inf),
        ("RMSprop", {"centered": True, "momentum": 0.5}, "square_avg", -1.0),
        ("RMSprop", {"centered": True, "momentum": 0.5}, "grad_avg", np.nan),
        ("RMSprop", {"centered": True, "momentum": 0.5}, "momentum_buffer", np.inf),
    ],
)
def test_moments_that_would_spoil_the_next_step_are_refused(rule, options, moment, bad):
    optimizer = getattr(bn, rule)(bn.GRU(3, 4), **options)
    state = optimizer.state_dict()
    names = list(optimizer._native.moments())
    values = state[moment].copy()
    values[5] = bad
    with pytest.raises(ValueError, match=f"argument '{moment}': expected finite numbers.*at 5"):
        optimizer.load_state_dict({**state, moment: values})
    with pytest.raises(ValueError, match=r"expected finite numbers.*at 5"):
        optimizer._native.set_moment(names.index(moment), values)
    assert not optimizer.state_dict()[moment].any()


@pytest.mark.parametrize(
    ("options", "argument", "otherwise"),
    [
        ({"nesterov": True}, "nesterov", "unless the optimizer is 'sgd'"),
        ({"optimizer": "sgd", "nesterov": True}, "nesterov", "without momentum"),
        ({"optimizer": "sgd", "amsgrad": True}, "amsgrad", "unless the optimizer is 'adam'"),
        ({"centered": True}, "centered", "unless the optimizer is 'rmsprop'"),
        (
            {"optimizer": "rmsprop", "rmsprop_form": "graves", "centered": True},
            "centered",
            "unless rmsprop_form is 'torch'",
        ),
    ],
)
def test_a_flag_without_its_rule_is_refused_as_a_flag(options, argument, otherwise):
    text = f"Model: argument '{argument}': expected False {otherwise}, got True"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        bn.Model("rnn", input_size=1, hidden_size=2, output_size=1, **options)


def test_the_rules_themselves_refuse_such_flags_alike():
    layer = bn.RNN(1, 2)
    with pytest.raises(ValueError, match=r"^SGD: argument 'nesterov': expected False .+ got True$"):
        bn.SGD(layer, lr=0.1, nesterov=True)
    with pytest.raises(ValueError, match=r"^RMSprop: argument 'centered': .+ False .+ got True$"):
        bn.RMSprop(layer, form="graves", centered=True)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: bn.SGD(p, lr=0.1),
        lambda p: bn.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        lambda p: bn.Adagrad(p, lr=0.1, weight_decay=0.01),
        lambda p: bn.Adam(p, lr=0.1, betas=(0.8, 0.99), weight_decay=0.01),
    ],
)
def test_optimisers_go_on_from_their_state(make, dtype):
    layer = bn.GRU(I, H, dtype=dtype)
    optimizer = make(layer)
    x, dy = draw(T, N, I, dtype=dtype), draw(T, N, H, dtype=dtype)
    for _ in range(3):
        assert optimizer.step(layer.backward(layer.forward(x)[2], dy))
    assert optimizer.steps == 3
    twin = copy.deepcopy(layer)
    again = make(twin)
    again.lr = 9
    again.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    assert again.lr == optimizer.lr == 0.1
    for _ in range(3):
        optimizer.step(layer.backward(layer.forward(x)[2], dy))
        again.step(twin.backward(twin.forward(x)[2], dy))
    np.testing.assert_array_equal(
        twin.state_dict()["weight_hh_l0"], layer.state_dict()["weight_hh_l0"]
    )
    state = optimizer.state_dict()
    for bad in (
        state | {"steps": -1},
        state | {"lr": np.nan},
        state | {"algorithm": "other"},
        {k: v for k, v in state.items() if k != "lr"},
        state | {"more": 1},
        {k: v[:-1] if isinstance(v, np.ndarray) else v for k, v in state.items()} | {"steps": 1.5},
    ):
        with pytest.raises(
            (ValueError, TypeError), match=r"load_state_dict: argument '\w+': expected .*, got"
        ):
            again.load_state_dict(bad)


def test_a_gradient_that_is_not_finite_changes_no_bit():
    layer = bn.LSTM(I, H)
    optimizer = bn.Adam(layer)
    grads = layer.backward(layer.forward(draw(T, N, I))[2], draw(T, N, H))
    assert optimizer.step(grads)
    before, state = layer.state_dict(), optimizer.state_dict()
    for value in (np.nan, np.inf, -np.inf):
        bad = copy.copy(grads)
        bad.flat[3] = value
        assert not optimizer.step(bad)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert optimizer.steps == 1
    np.testing.assert_array_equal(optimizer.state_dict()["exp_avg"], state["exp_avg"])


def test_an_optimiser_takes_gradients_of_its_kind_only():
    layer, twin, other = bn.RNN(I, H), bn.RNN(I, H), bn.RNN(I, H + 1)
    optimizer = bn.SGD(layer)
    assert optimizer.step(twin.backward(twin.forward(draw(T, N, I))[2], draw(T, N, H)))
    grads = other.backward(other.forward(draw(T, N, I))[2], draw(T, N, H + 1))
    with pytest.raises(
        ValueError, match=r"SGD.step: argument 'grads': expected Gradients of .*, got those of"
    ):
        optimizer.step(grads)
    with pytest.raises(
        TypeError, match=r"SGD.step: argument 'grads': expected .*, got a float32 array"
    ):
        optimizer.step(grads.flat)
    wide = bn.RNN(I, H, dtype="float64")
    wide_grads = wide.backward(
        wide.forward(draw(T, N, I, dtype="f8"))[2], draw(T, N, H, dtype="f8")
    )
    with pytest.raises(TypeError, match="float32"):
        optimizer.step(wide_grads)
