"""Masks, non-negative parameters and regularisers of the weights, against the reference."""

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import reference
from helpers.arrays import draw, generator
from helpers.cells import LAYERS, RECURRENT, last_matrix
from helpers.updates import RULES, layer_and_gradients

T, N, I, H, O = 7, 4, 3, 9, 2  # noqa: E741
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}
# The arguments of a Model and of the reference's optimiser.
UPDATES = {
    "sgd": ({"momentum": 0.9, "lr": 0.05, "weight_decay": 0.02}, reference.SGD),
    "adagrad": ({"lr": 0.05, "weight_decay": 0.02}, reference.Adagrad),
    "adam": ({"lr": 0.02, "weight_decay": 0.1}, reference.Adam),
    "rmsprop": ({"lr": 0.005, "momentum": 0.5}, reference.RMSprop),
    "lion": ({"lr": 0.003, "weight_decay": 0.1}, reference.Lion),
}


def masks_of(net, rng):
    """Set a random mask for each matrix of a layer or model; return them by name."""
    masks = {n: rng.random(p.shape) < 0.5 for n, p in net.parameters.items() if p.ndim == 2}
    for name, mask in masks.items():
        net.set_mask(name, mask)
    return masks


@pytest.mark.parametrize(("rule", "options"), RULES)
def test_every_rule_keeps_the_constraints(rule, options, isa, dtype, comparisons):
    """Momentum, weight decay and gradients of masked elements move nothing."""
    rng = generator(3)
    layer, grads = layer_and_gradients(dtype)
    settings = {"lr": 0.02, "weight_decay": 0.05} | options
    settings |= {"alpha": 0.95, "eps": 1e-4, "momentum": 0.9} if "form" in options else {}
    optimizer = getattr(bn, rule)(layer, **settings)
    other = getattr(reference, rule)(**settings)
    params = {name: p.astype(float) for name, p in layer.state_dict().items()}
    signed = ["weight_hh_l0", "bias_ih_l0"]
    masks = {}
    for step in range(30):
        if step == 5:  # the moments are not zero any more
            masks = masks_of(layer, rng)
            layer.set_nonnegative(*signed)
            reference.constrain(params, masks, signed)
            for name, kept in masks.items():
                forget(other, name, kept)
        grads.flat[:] = rng.standard_normal(grads.flat.size)
        assert optimizer.step(grads)
        given = {name: g.astype(float) for name, g in grads.items()}
        other.step(params, reference.restrict(given, masks))
        reference.constrain(params, masks, signed if masks else [])
        for name, values in layer.state_dict().items():
            np.testing.assert_allclose(
                values, params[name], rtol=0, atol=TOLERANCE[dtype], err_msg=f"{name}, step {step}"
            )
            if name in masks:
                assert not values[~masks[name]].any()
        for moment in optimizer.state_dict().values():
            for name, kept in masks.items() if isinstance(moment, np.ndarray) else ():
                start, stop, shape = layer._layout[name]
                assert not moment[start:stop].reshape(shape)[~kept].any()
        assert not masks or min(layer.state_dict()[name].min() for name in signed) >= 0
    assert min(values.min() for values in layer.state_dict().values()) < 0
    comparisons.add("the reference, constraints", 30)


@pytest.mark.parametrize("rule", list(UPDATES))
def test_free_elements_move_as_without_constraints(rule, isa, dtype):
    """Constrained tensors are updated in parts; the bits of each element are those of the whole."""
    settings = UPDATES[rule][0]
    sizes = {"input_size": 5, "hidden_size": 50, "output_size": 2, "loss": "mse", "dtype": dtype}
    models = [bn.Model("gru", **sizes, optimizer=rule, **settings) for _ in range(2)]
    free, masked = models
    mask = generator(5).random((150, 50)) < 0.5
    masked.set_mask("rnn.weight_hh_l0", mask)
    _, grads = free.gradients(draw(T, N, 5, dtype=dtype), draw(T, N, 2, dtype=dtype, seed=1))
    for _ in range(3):
        for model in models:
            assert not model.apply(grads).skipped
    want, got = free.state_dict(), masked.state_dict()
    want["rnn.weight_hh_l0"] *= mask
    for name, values in want.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)


def forget(optimizer, name, kept):
    """Zero the moments of masked elements of one of the reference's optimisers."""
    for held in vars(optimizer).values():
        if isinstance(held, dict) and name in held:
            was = held[name]
            parts = was if isinstance(was, tuple) else (was,)
            new = tuple(np.where(kept, p, 0) if np.ndim(p) else p for p in parts)
            held[name] = new if isinstance(was, tuple) else new[0]


@pytest.mark.parametrize("optimizer", UPDATES)
@pytest.mark.parametrize("clip", [{}, {"clip_norm": 0.3}, {"clip_tensor_norm": 0.1}], ids=str)
def test_models_train_as_the_reference(optimizer, clip, cell, isa, comparisons):
    """Masks, non-negative weights and both regularisers at once, with a frozen matrix."""
    options, make = UPDATES[optimizer]
    rng = generator(4)
    m = bn.Model(
        cell, input_size=I, hidden_size=H, num_layers=2, output_size=O, loss="mse", dtype="float64",
        optimizer=optimizer, weight_l1=0.003, weight_l2=0.02, seed=2, **options, **clip,
    )  # fmt: skip
    masks = masks_of(m, rng)
    signed, frozen = ["rnn.weight_ih_l1", "readout.weight"], [f"rnn.{last_matrix(cell)}"]
    m.set_nonnegative(*signed)
    m.freeze(*frozen)
    params, update = m.state_dict(), make(**options)
    cfg = reference.ModelConfig(cell=cell, loss="mse", weight_l1=0.003, weight_l2=0.02)
    x, y = rng.standard_normal((T, N, I)), rng.standard_normal((T, N, O))
    for _ in range(12):
        want = reference.model_loss_and_gradients(cfg, params, x, y, masks=masks, frozen=frozen)
        part, given = m.gradients(x, y)
        for name, g in want.gradients.items():
            np.testing.assert_allclose(given[name], g, rtol=0, atol=1e-11, err_msg=name)
            assert name not in masks or not given[name][~masks[name]].any()
        grads, _ = reference.clip_grad_norm(want.gradients, clip.get("clip_norm", np.inf))
        if "clip_tensor_norm" in clip:
            grads = reference.clip_grad_tensor_norm(grads, clip["clip_tensor_norm"])
        update.step(params, {n: g for n, g in grads.items() if n not in frozen})
        reference.constrain(params, masks, signed)
        r = m.train_step(x, y)
        np.testing.assert_allclose(
            [r.loss, r.weight_penalty, part.weight_penalty],
            [want.loss, want.weight_penalty, want.weight_penalty],
            rtol=1e-10,
        )
        for name, values in m.state_dict().items():
            np.testing.assert_allclose(values, params[name], rtol=0, atol=1e-9, err_msg=name)
            assert name not in masks or not values[~masks[name]].any()
    comparisons.add("the reference, constraints", 12)


@pytest.mark.parametrize("options", [{"dale": 0.6}, {"layer_norm": True}, {"omega": 0.5}], ids=str)
def test_masks_with_other_options_of_an_rnn(options):
    m = bn.Model(
        "rnn", input_size=I, hidden_size=H, output_size=O, loss="mse", lr=0.05, weight_decay=0.1,
        **options,
    )  # fmt: skip
    masks = masks_of(m, generator(5))
    x, y = np.ones((T, N, I), "f4"), np.ones((T, N, O), "f4")
    losses = [m.train_step(x, y).loss for _ in range(30)]
    assert losses[-1] < losses[0]
    state = m.state_dict()
    assert all(not state[name][~mask].any() for name, mask in masks.items())
    assert all(state[name][mask].all() for name, mask in masks.items())


def test_the_bits_do_not_depend_on_the_number_of_threads(threads_afterwards, dtype):
    x = generator(6).standard_normal((5, 16, 40)).astype(dtype)
    found = []
    for threads in (1, 2, 3):
        bn.set_num_threads(threads)
        m = bn.Model(
            "lstm", input_size=40, hidden_size=190, output_size=40, loss="mse", dtype=dtype,
            optimizer="lion", lr=0.01, weight_l1=1e-3, weight_l2=1e-3,
        )  # fmt: skip
        assert m.num_parameters > 2 * 2**16  # so that updates are shared
        masks = masks_of(m, generator(7))
        m.set_nonnegative("rnn.weight_hh_l0")
        penalties = [m.train_step(x, x).weight_penalty for _ in range(3)]
        state = m.state_dict()
        assert all(not state[name][~mask].any() for name, mask in masks.items())
        found.append((penalties, m._params.get().tobytes()))
    assert found[0] == found[1] == found[2]


# ------------------------------------------------------------------------------------ regularisers
def penalised(m, x, y, l1, l2):
    """Compute what training minimises."""
    matrices = [p.value for p in m.parameters.values() if p.ndim == 2 and not p.frozen]
    sums = sum(l1 * np.abs(w).sum() + l2 * (w**2).sum() for w in matrices)
    return m.eval_step(x, y)[0] + sums


@pytest.mark.parametrize("cell", LAYERS)
def test_gradients_are_those_of_the_loss_and_the_regularisers(cell):
    """By central differences, with an embedding."""
    m = bn.Model(
        cell, vocab_size=4, embedding_size=3, hidden_size=5, output_size=4, dtype="float64",
        weight_l1=0.05, weight_l2=0.3,
    )  # fmt: skip
    m.freeze("rnn.weight_ih_l0")
    rng = generator(8)
    x, y = rng.integers(0, 4, (2, T, N))
    result, grads = m.gradients(x, y)
    assert result.loss == pytest.approx(m.eval_step(x, y)[0], rel=1e-12)
    assert result.loss + result.weight_penalty == pytest.approx(
        penalised(m, x, y, 0.05, 0.3), rel=1e-12
    )
    for parameter in m.parameters.values():
        if parameter.frozen:
            assert not grads[parameter.name].any()
            continue
        at = tuple(rng.integers(parameter.shape))
        value, slopes = parameter.value, []
        for h in (1e-6, -1e-6):
            moved = value.copy()
            moved[at] += h
            parameter[...] = moved
            slopes.append(penalised(m, x, y, 0.05, 0.3) / (2 * h))
        parameter[...] = value
        assert sum(slopes) == pytest.approx(grads[parameter.name][at], abs=1e-8), parameter


def test_l1_has_no_gradient_at_zero():
    m = bn.Model(
        "rnn",
        input_size=2,
        hidden_size=3,
        output_size=1,
        loss="mse",
        weight_l1=0.5,
        init="identity",
    )
    x, y = np.zeros((2, 1, 2), "f4"), np.zeros((2, 1, 1), "f4")
    m.parameters["readout.weight"] = np.zeros((1, 3), "f4")
    result, grads = m.gradients(x, y)
    np.testing.assert_array_equal(grads["rnn.weight_hh_l0"], 0.5 * np.eye(3))
    assert not grads["readout.weight"].any()
    expected = np.abs(m.parameters["rnn.weight_ih_l0"].value, dtype="f8").sum() + 3
    assert result.weight_penalty == pytest.approx(0.5 * expected, rel=1e-12)


def test_a_step_without_regularisers_reports_none():
    m = bn.Model("gru", input_size=2, hidden_size=3, output_size=1, loss="mse")
    x, y = np.ones((2, 1, 2), "f4"), np.zeros((2, 1, 1), "f4")
    assert m.train_step(x, y).weight_penalty == 0


def test_gradients_are_added_with_their_regulariser():
    """Accumulated batches of a mean are one batch: the weights of the sum add up to 1."""
    m = bn.Model(
        "gru",
        input_size=2,
        hidden_size=3,
        output_size=1,
        loss="mse",
        dtype="float64",
        weight_l2=0.1,
    )
    rng = generator(9)
    x, y = rng.standard_normal((4, 6, 2)), rng.standard_normal((4, 6, 1))
    _, whole = m.gradients(x, y)
    _, total = m.gradients(x[:, :2], y[:, :2])
    total *= 1 / 3
    _, rest = m.gradients(x[:, 2:], y[:, 2:])
    rest *= 2 / 3
    total += rest
    for name, g in whole.items():
        np.testing.assert_allclose(total[name], g, rtol=0, atol=1e-14)


@pytest.mark.parametrize("cell", RECURRENT)
def test_a_large_regulariser_makes_the_matrices_small(cell):
    x, y = np.ones((T, N, I), "f4"), np.ones((T, N, O), "f4")
    sizes = {}
    for l1 in (0.0, 0.01):
        m = bn.Model(
            cell, input_size=I, hidden_size=H, output_size=O, loss="mse", lr=0.01, weight_l1=l1
        )
        for _ in range(150):
            m.train_step(x, y)
        weights = np.concatenate([p.value.ravel() for p in m.parameters.values() if p.ndim == 2])
        sizes[l1] = np.quantile(np.abs(weights), 0.5)
    assert sizes[0.01] < 0.1 * sizes[0.0]
