"""Models against the reference: gradients, and the losses of fifty training steps."""

import itertools

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import reference
from helpers.arrays import largest_error
from helpers.cells import LAYERS

T, N, I, H, O = 6, 3, 4, 7, 5  # noqa: E741


def make(
    cell: str,
    *,
    inputs: str = "dense",
    loss: str = "cross_entropy",
    dtype: str = "float64",
    **options,
):
    size = {
        "dense": {"input_size": I},
        "one-hot": {"vocab_size": I},
        "embedding": {"vocab_size": I, "embedding_size": 3},
    }
    return bn.Model(
        cell=cell, hidden_size=H, output_size=O, loss=loss, dtype=dtype, **size[inputs], **options
    )


def data(inputs: str, loss: str, targets: str, seed: int = 0):
    rng = np.random.Generator(np.random.Philox(seed))
    x = rng.standard_normal((T, N, I)) if inputs == "dense" else rng.integers(0, I, (T, N))
    where = (T, N) if targets == "every" else (N,)
    y = rng.integers(0, O, where) if loss == "cross_entropy" else rng.standard_normal((*where, O))
    return x, y


def config(cell: str, loss: str, targets: str, reduction: str, nonlinearity: str = "tanh", **clips):
    return reference.ModelConfig(
        cell=cell,
        nonlinearity=nonlinearity,
        loss=loss,
        targets=targets,
        reduction=reduction,
        **clips,
    )


CASES = list(
    itertools.product(
        LAYERS,
        ["dense", "one-hot", "embedding"],
        ["cross_entropy", "mse"],
        ["every", "last"],
    )
)


@pytest.mark.parametrize(("cell", "inputs", "loss", "targets"), CASES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_training_step_is_the_reference(
    cell, inputs, loss, targets, reduction, isa, comparisons
) -> None:
    m = make(
        cell,
        inputs=inputs,
        loss=loss,
        targets=targets,
        reduction=reduction,
        num_layers=2,
        optimizer="sgd",
        lr=1.0,
    )
    x, y = data(inputs, loss, targets)
    before = m.state_dict()
    want = reference.model_loss_and_gradients(config(cell, loss, targets, reduction), before, x, y)
    r = m.train_step(x, y)
    after = m.state_dict()
    assert abs(r.loss - want.loss) <= 1e-12 * abs(want.loss)
    # The step subtracts a gradient of norm about 1 from parameters of size about 0.4.
    assert max(
        np.abs(before[k] - after[k] - want.gradients[k]).max() for k in before
    ) <= 1e-13 * max(1, r.grad_norm)
    norm = np.sqrt(sum((g**2).sum() for g in want.gradients.values()))
    assert abs(r.grad_norm - norm) <= 1e-12 * norm
    np.testing.assert_allclose(r.flow, want.flow, rtol=1e-11)
    states = want.state if cell == "lstm" else (want.state,)
    for got, state in zip(r.state if cell == "lstm" else (r.state,), states, strict=True):
        np.testing.assert_allclose(got, state, atol=1e-14)
    comparisons.add("the reference, training steps")


@pytest.mark.parametrize(("cell", "inputs", "loss", "targets"), CASES)
def test_evaluate_and_a_loss_of_your_own(cell, inputs, loss, targets, dtype) -> None:
    m = make(cell, inputs=inputs, loss=loss, targets=targets, dtype=dtype)
    x, y = data(inputs, loss, targets)
    x = x.astype(dtype) if x.dtype.kind == "f" else x
    y = y.astype(dtype) if y.dtype.kind == "f" else y
    out, state = m(x)
    value, last = m.eval_step(x, y)
    out2, _, tape = m.forward(x)
    np.testing.assert_array_equal(out, out2)
    np.testing.assert_array_equal(np.asarray(state), np.asarray(last))
    score = (
        reference.softmax_cross_entropy if loss == "cross_entropy" else reference.mean_squared_error
    )
    want, dout = score(out.astype(float), y)
    assert abs(value - want) <= (1e-12 if dtype == "float64" else 2e-6) * abs(want)
    g = m.backward(tape, dout.astype(dtype))
    r = m.train_step(x, y)
    assert abs(g.norm() - r.grad_norm) <= (1e-12 if dtype == "float64" else 1e-5) * r.grad_norm


OPTIMIZERS = {
    "sgd": ({"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}, reference.SGD),
    "adagrad": ({"lr": 0.1, "weight_decay": 0.001}, reference.Adagrad),
    "adam": ({"lr": 0.02, "weight_decay": 0.05}, reference.Adam),
}


@pytest.mark.parametrize(
    "clip",
    [{}, {"clip_norm": 0.1}, {"clip_value": 0.02}, {"clip_step": 0.01}, {"clip_step_norm": 0.02}],
)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("cell", LAYERS)
def test_losses_of_fifty_steps(cell: str, optimizer: str, clip: dict, comparisons) -> None:
    options, make_reference = OPTIMIZERS[optimizer]
    m = make(cell, optimizer=optimizer, decay_biases=True, **options, **clip)
    x, y = data("dense", "cross_entropy", "every")
    params = {k: v.copy() for k, v in m.state_dict().items()}
    step_clips = {k: v for k, v in clip.items() if k.startswith("clip_step")}
    cfg = config(cell, "cross_entropy", "every", "mean", **step_clips)
    update = make_reference(**options, decay_biases=True)
    state, clipped = None, 0
    for step in range(50):
        want = reference.model_loss_and_gradients(cfg, params, x, y, state)
        r = m.train_step(x, y, state)
        assert abs(r.loss - want.loss) <= 1e-10 * want.loss, step
        grads, norm = want.gradients, np.sqrt(sum((g**2).sum() for g in want.gradients.values()))
        assert abs(r.grad_norm - norm) <= 1e-8 * norm, step
        if "clip_value" in clip:
            grads = reference.clip_grad_value(grads, clip["clip_value"])
        if "clip_norm" in clip:
            grads, _ = reference.clip_grad_norm(grads, clip["clip_norm"])
        changed = any((grads[k] != want.gradients[k]).any() for k in grads)
        assert r.clipped == changed, step
        clipped += changed
        update.step(params, grads)
        state = r.state
        comparisons.add("the reference, training steps")
    if "clip_value" in clip or "clip_norm" in clip:
        assert clipped > 0
    assert largest_error(m.state_dict(), params) <= 1e-9


def test_clipping_by_norm_at_extreme_scales(dtype: str) -> None:
    layer = bn.LSTM(3, 4, dtype=dtype)
    x = np.random.Generator(np.random.Philox(1)).standard_normal((5, 2, 3)).astype(dtype)
    y, _, tape = layer.forward(x)
    for scale in [1e-30, 1e-15, 1.0, 1e15, 1e30]:
        grads = layer.backward(tape, (np.ones_like(y) * np.dtype(dtype).type(scale / 100)))
        before = grads.flat.astype(np.longdouble)
        want = float(np.sqrt((before**2).sum()))
        norm = bn.clip_grad_norm_(grads, want / 3)
        after = grads.flat.astype(np.longdouble)
        assert abs(norm - want) <= 1e-6 * want
        assert float(np.sqrt((after**2).sum())) <= want / 3 * (1 + 1e-6)
        assert (
            float((before * after).sum() / np.sqrt((before**2).sum() * (after**2).sum()))
            >= 1 - 1e-6
        )
        kept = grads.flat.copy()
        assert bn.clip_grad_norm_(grads, want) <= want
        np.testing.assert_array_equal(grads.flat, kept)


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    m = make("lstm", optimizer="adam", dtype="float32")
    x, y = data("dense", "cross_entropy", "every")
    x = x.astype(np.float32)
    m.train_step(x, y)
    before, moments = m.state_dict(), m.optimizer.state_dict()
    bad = x.copy()
    bad[2, 1, 0] = np.nan
    r = m.train_step(bad, y)
    assert r.skipped
    assert not np.isfinite(r.grad_norm)
    assert np.isnan(r.loss)
    for name, values in m.state_dict().items():
        np.testing.assert_array_equal(values, before[name])
    assert repr(m.optimizer.state_dict()) == repr(moments)
    assert not m.train_step(x, y).skipped


def test_frozen_parameters_stay() -> None:
    m = make("gru", optimizer="adam")
    m.freeze("rnn.weight_hh_l0")
    before = m.state_dict()
    x, y = data("dense", "cross_entropy", "every")
    _, _, tape = m.forward(x)
    g = m.backward(tape, np.ones((T, N, O)))
    assert not g["rnn.weight_hh_l0"].any()
    assert g["rnn.weight_ih_l0"].any()
    for _ in range(3):
        m.train_step(x, y)
    after = m.state_dict()
    for name in before:
        assert (after[name] == before[name]).all() == (name == "rnn.weight_hh_l0"), name


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("inputs", ["dense", "one-hot", "embedding"])
def test_a_stream_is_the_window(cell: str, inputs: str, isa: str, dtype: str) -> None:
    m = make(cell, inputs=inputs, num_layers=2, dtype=dtype)
    x, _ = data(inputs, "cross_entropy", "every")
    x = x.astype(dtype) if x.dtype.kind == "f" else x
    out, _ = m(x[:, :1])
    s = m.stream()
    for t in range(T):
        y = s.step(x[t, 0])
        np.testing.assert_allclose(y, out[t, 0], atol=1e-6 if dtype == "float32" else 1e-14)
    s.reset()
    np.testing.assert_allclose(s.step(x[0, 0]), out[0, 0], atol=1e-6)
