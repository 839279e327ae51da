"""Models: a training step and its parts, clipping, skipped steps, options, metadata."""

import numpy as np
import pytest

import bptt_native as bn
from helpers.arrays import assert_same, draw, generator
from helpers.small_nets import H, I, L, N, T, draw_state, model


def test_model_parameters_have_prefixes():
    assert list(model(embedding_size=5).state_dict()) == [
        "embedding.weight",
        "rnn.weight_ih_l0",
        "rnn.weight_hh_l0",
        "rnn.bias_ih_l0",
        "rnn.bias_hh_l0",
        "readout.weight",
        "readout.bias",
    ]


@pytest.mark.parametrize("targets", ["every", "last"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_step_equals_its_parts(cell, targets, loss, reduction):
    settings = {
        "cell": cell,
        "input_size": I,
        "hidden_size": H,
        "output_size": 3,
        "num_layers": L,
        "loss": loss,
        "targets": targets,
        "reduction": reduction,
        "dtype": "float64",
        "optimizer": "sgd",
        "lr": 0.1,
    }
    m, parts = bn.Model(**settings), bn.Model(**settings)
    x, state = draw(T, N, I, dtype="f8"), draw_state(cell, L, N, H, dtype="f8")
    shape = (T, N) if targets == "every" else (N,)
    aim = (
        generator().integers(0, 3, shape)
        if loss == "cross_entropy"
        else draw(*shape, 3, dtype="f8")
    )
    evaluated, state_after = m.eval_step(x, aim, state)
    out, out_state, tape = parts.forward(x, state)
    assert out.shape == (*shape, 3)
    assert_same(parts(x, state)[0], out)
    if loss == "mse":
        value, dout = np.sum((out - aim) ** 2), 2 * (out - aim)
        count = out.size
    else:
        p = np.exp(out - out.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        chosen = np.take_along_axis(p, aim[..., None], -1)
        value, dout, count = -np.log(chosen).sum(), p - np.eye(3)[aim], aim.size
    if reduction == "mean":
        value, dout = value / count, dout / count
    grads = parts.backward(tape, dout)
    r = m.train_step(x, aim, state)
    assert r.loss == pytest.approx(value, rel=1e-12)
    assert evaluated == pytest.approx(r.loss, rel=1e-14)
    assert_same(r.state, out_state)
    assert_same(r.state, state_after)
    assert r.grad_norm == pytest.approx(grads.norm(), rel=1e-10)
    np.testing.assert_allclose(r.flow, grads.flow, rtol=1e-9)
    assert (r.flow_c is not None) == (cell == "lstm")
    assert not r.clipped
    assert not r.skipped
    parts.optimizer.step(grads)
    for name, want in parts.state_dict().items():
        np.testing.assert_allclose(m.state_dict()[name], want, atol=1e-13)
    assert m.train_step(x, aim, state, flow=False).flow is None


def test_models_take_one_sequence_without_a_batch_axis():
    m = model()
    tokens = generator().integers(0, 7, T + 1)
    loss, state = m.eval_step(tokens[:-1], tokens[1:])
    assert state[0].shape == (1, H)
    batched, _ = m.eval_step(tokens[:-1, None], tokens[1:, None])
    assert loss == batched
    out, _, tape = m.forward(tokens[:-1], state)
    assert out.shape == (T, 7)
    assert m.backward(tape, out).state[1].shape == (1, H)
    last = model(targets="last")
    assert last.eval_step(tokens[:-1], tokens[-1])[0] > 0
    assert last(tokens)[0].shape == (7,)


def test_clipping_is_reported_and_changes_the_step():
    tokens = generator().integers(0, 7, (T + 1, N))
    for option in ("clip_norm", "clip_tensor_norm", "clip_value"):
        free, bound = model(optimizer="sgd"), model(optimizer="sgd", **{option: 1e-3})
        a, b = free.train_step(tokens[:-1], tokens[1:]), bound.train_step(tokens[:-1], tokens[1:])
        assert not a.clipped
        assert b.clipped
        assert a.grad_norm == b.grad_norm > 1e-3
        assert not np.array_equal(
            free.state_dict()["readout.bias"], bound.state_dict()["readout.bias"]
        )
        loose = model(optimizer="sgd", **{option: 1e3})
        assert not loose.train_step(tokens[:-1], tokens[1:]).clipped
        assert_same(loose.state_dict()["readout.bias"], free.state_dict()["readout.bias"])


def test_a_step_that_is_not_finite_is_skipped_and_counted():
    m = bn.Model(input_size=I, hidden_size=H, output_size=1, loss="mse")
    x, aim = draw(T, N, I), draw(T, N, 1)
    m.train_step(x, aim)
    before, moments = m.state_dict(), m.optimizer.state_dict()
    x[2, 1, 0] = np.nan
    r = m.train_step(x, aim)
    assert r.skipped
    assert np.isnan(r.loss)
    assert not np.isfinite(r.grad_norm)
    assert (m.step_count, m.skipped_count) == (1, 1)
    for name, value in m.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    np.testing.assert_array_equal(m.optimizer.state_dict()["exp_avg_sq"], moments["exp_avg_sq"])


def test_the_learning_rate_can_be_changed():
    m = model(lr=0.5)
    assert m.lr == m.optimizer.lr == 0.5
    m.lr = 0.25
    assert m.optimizer.lr == 0.25
    m.optimizer.lr = 0.0
    assert m.lr == 0
    before = m.state_dict()
    tokens = generator().integers(0, 7, (T + 1, N))
    m.train_step(tokens[:-1], tokens[1:])
    assert_same(before["readout.bias"], m.state_dict()["readout.bias"])
    assert type(m.optimizer) is bn.Adam
    assert m.config["lr"] == 0


def test_a_config_makes_the_same_model_again():
    m = bn.Model(
        cell="lstm",
        vocab_size=9,
        embedding_size=4,
        hidden_size=H,
        num_layers=2,
        output_size=5,
        bias=True,
        targets="last",
        reduction="sum",
        optimizer="adagrad",
        lr=0.3,
        eps=1e-9,
        weight_decay=0.1,
        clip_norm=1.5,
        clip_tensor_norm=1.0,
        clip_value=0.5,
        clip_step=0.25,
        clip_step_norm=2.0,
        dtype="float64",
        seed=2**63,
        init=bn.Init("orthogonal", 0.5),
        forget_bias=1.0,
    )
    twin = bn.Model(**m.config)
    assert twin.config == m.config
    for name, value in m.state_dict().items():
        np.testing.assert_array_equal(value, twin.state_dict()[name])


def test_metadata_and_tensors_are_mappings():
    m = model()
    m.metadata.update(a="1", b="zwei")
    assert dict(m.metadata) == {"a": "1", "b": "zwei"}
    assert len(m.metadata) == 2
    del m.metadata["a"]
    with pytest.raises(KeyError):
        m.metadata["a"]
    with pytest.raises(KeyError):
        del m.metadata["a"]
    m.metadata.clear()
    assert not m.metadata
    values = {
        "f": draw(2, 3),
        "d": draw(4, dtype="f8"),
        "i": np.arange(3),
        "s": np.int32(4),
        "e": np.zeros((0, 2)),
    }
    m.tensors.update(values)
    assert list(m.tensors) == sorted(values)
    for name, value in values.items():
        np.testing.assert_array_equal(m.tensors[name], value)
    assert m.tensors["s"].dtype == np.int64
    assert m.tensors["f"].dtype == np.float32
    m.tensors.clear()
    assert not m.tensors
    with pytest.raises(KeyError):
        m.tensors["f"]
