"""Counters of steps, moments and draws: their owners, bounds and values in model files."""

import copy
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import bptt_native as bn
from helpers.model_files import joined, split
from helpers.updates import RULES, TOKENS, layer_and_gradients

MOST = 2**53
OF_REFERENCE = [(rule, options) for rule, options in RULES if "form" not in options]
OF_PYTORCH = [(rule, options) for rule, options in OF_REFERENCE if rule != "Lion"]


def model(**options):
    return bn.Model(vocab_size=3, hidden_size=4, output_size=3, **options)


def train(m, steps=1):
    for _ in range(steps):
        m.train_step(TOKENS[:-1], TOKENS[1:])


def bits(m):
    state = m.optimizer.state_dict()
    moments = [v.tobytes() for v in state.values() if isinstance(v, np.ndarray)]
    return m._params.get().tobytes(), moments, state["tensor_steps"]


def rewritten(path, change):
    """The file with another header and body, signed."""
    header, body = split(path.read_bytes())
    body = bytearray(body)
    change(header, body)
    path.write_bytes(joined(header, body))
    return path


def test_unfrozen_weights_begin_at_the_learning_rate(isa, dtype):
    """Adam's first step is lr, however long the others have been learning."""
    layer, grads = layer_and_gradients(dtype)
    optimizer = bn.Adam(layer, lr=0.01)
    layer.freeze("weight_hh_l0")
    grads.flat[:] = 1
    for _ in range(1500):
        optimizer.step(grads)
    layer.unfreeze("weight_hh_l0")
    before = layer.state_dict()
    assert list(optimizer.tensor_steps.values()) == [1500, 0, 1500, 1500]
    for i in range(5):
        optimizer.step(grads)
        after = layer.state_dict()
        moved = before["weight_hh_l0"] - after["weight_hh_l0"]
        np.testing.assert_allclose(moved, 0.01, rtol=1e-3, err_msg=str(i))
        before = after
    assert list(optimizer.tensor_steps.values()) == [1505, 5, 1505, 1505]
    assert optimizer.steps == 1505


@pytest.mark.parametrize(("rule", "options"), OF_PYTORCH)
def test_freezing_is_what_it_is_in_pytorch(rule, options, isa, comparisons):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)
    layer, grads = layer_and_gradients()
    theirs = {k: torch.from_numpy(v.copy()) for k, v in layer.state_dict().items()}
    their_rule, more = ("AdamW", {"weight_decay": 0.0}) if rule == "Adam" else (rule, {})
    other = getattr(torch.optim, their_rule)(list(theirs.values()), lr=0.01, **options, **more)
    optimizer = getattr(bn, rule)(layer, lr=0.01, **options)
    rng = np.random.default_rng(2)
    for step in range(60):
        if step % 10 == 0:
            frozen = list(theirs)[step // 10 % 4]
            layer.freeze(frozen)
        grads.flat[:] = rng.standard_normal(grads.flat.size)
        assert optimizer.step(grads)
        for name, tensor in theirs.items():
            tensor.grad = None if name == frozen else torch.from_numpy(grads[name].copy())
        other.step()
        if step % 10 == 9:
            layer.unfreeze(frozen)
    for name, tensor in theirs.items():
        np.testing.assert_allclose(layer.state_dict()[name], tensor.numpy(), rtol=1e-10)
        assert optimizer.tensor_steps[name] == int(other.state[tensor].get("step", 50)) or (
            rule == "SGD"
        )
    comparisons.add("PyTorch", 60 * len(theirs))


@pytest.mark.parametrize(("rule", "options"), OF_REFERENCE)
def test_freezing_is_what_it_is_in_the_reference(rule, options, comparisons):
    from bptt_native import reference

    layer, grads = layer_and_gradients()
    params = layer.state_dict()
    optimizer = getattr(bn, rule)(layer, lr=0.01, **options)
    other = getattr(reference, rule)(lr=0.01, **options)
    rng = np.random.default_rng(2)
    layer.freeze("bias_ih_l0")
    for step in range(40):
        if step == 30:
            layer.unfreeze("bias_ih_l0")
        grads.flat[:] = rng.standard_normal(grads.flat.size)
        optimizer.step(grads)
        other.step(params, {n: g for n, g in grads.items() if step >= 30 or n != "bias_ih_l0"})
    for name, values in layer.state_dict().items():
        np.testing.assert_allclose(values, params[name], rtol=1e-10, err_msg=name)
    comparisons.add("the reference, frozen", 40)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_counters_travel_in_states_and_files(optimizer, tmp_path):
    m = model(optimizer=optimizer, momentum=0.5 if optimizer == "sgd" else 0.0)
    m.freeze("readout.weight")
    train(m, 3)
    m.unfreeze("readout.weight")
    m.save(tmp_path / "m")
    twin, third = bn.load(tmp_path / "m"), bn.Model(**m.config)
    assert twin.optimizer.tensor_steps == m.optimizer.tensor_steps
    assert m.optimizer.tensor_steps["readout.weight"] == 0
    third.load_state_dict(m.state_dict())
    third.optimizer.load_state_dict(m.optimizer.state_dict())
    fourth = copy.deepcopy(m)
    for net in (m, twin, third, fourth):
        train(net, 2)
    assert bits(m) == bits(twin) == bits(third) == bits(fourth)
    assert m.optimizer.tensor_steps["readout.weight"] == 2


def test_a_state_without_counters_has_one_for_all():
    m = model()
    train(m, 3)
    state = m.optimizer.state_dict()
    del state["tensor_steps"]
    state["steps"] = 7
    m.optimizer.load_state_dict(state)
    assert set(m.optimizer.tensor_steps.values()) == {7}


def test_a_file_whose_counters_are_equal_has_none_for_each(tmp_path):
    m = model()
    train(m, 3)
    m.save(tmp_path / "m")
    assert b"tensor_steps" not in (tmp_path / "m").read_bytes()
    m.freeze("readout.bias")
    train(m)
    m.save(tmp_path / "m")
    assert rb"\"readout.bias\":3}" in (tmp_path / "m").read_bytes()


# --------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize("bad", [-1, MOST + 1, 2**63 - 1, 2**63, 1.5, None, True, "3"])
def test_counters_beyond_the_bound_are_refused(bad):
    optimizer = model().optimizer
    state = optimizer.state_dict()
    for change, name in [
        ({"steps": bad}, "steps"),
        ({"tensor_steps": {"readout.bias": bad}}, "tensor_steps"),
    ]:
        pattern = f"Adam.load_state_dict: argument '{name}': expected an integer"
        with pytest.raises((TypeError, ValueError), match=pattern):
            optimizer.load_state_dict({**state, **change, "lr": 7.0})
    for bad_steps in (3, {"nothing": 1}):
        pattern = "Adam.load_state_dict: argument 'tensor_steps': expected"
        with pytest.raises((TypeError, ValueError), match=pattern):
            optimizer.load_state_dict({**state, "tensor_steps": bad_steps, "lr": 7.0})
    assert (optimizer.steps, optimizer.lr) == (0, 1e-3)


@pytest.mark.parametrize("change", [{"steps": MOST}, {"tensor_steps": {"readout.bias": MOST}}])
def test_at_the_bound_a_step_is_refused_and_the_file_still_loads(change, tmp_path):
    m = model()
    train(m, 2)
    optimizer = m.optimizer
    optimizer.load_state_dict({**optimizer.state_dict(), "tensor_steps": {}, **change})
    before = bits(m)
    _, grads = m.gradients(TOKENS[:-1], TOKENS[1:])
    for step in (lambda: optimizer.step(grads), lambda: m.apply(grads), lambda: train(m)):
        with pytest.raises(RuntimeError, match=f"a step counter has reached its limit, {MOST}"):
            step()
    assert bits(m) == before
    assert (m.step_count, m.skipped_count) == (2, 0)
    m.save(tmp_path / "m")
    assert bits(bn.load(tmp_path / "m")) == before
    state = optimizer.state_dict()
    optimizer.load_state_dict({**state, "steps": MOST - 1, "tensor_steps": {}})
    train(m)
    m.save(tmp_path / "m")
    assert bn.load(tmp_path / "m").optimizer.steps == MOST


@pytest.mark.parametrize("key", ["steps_taken", "steps_skipped", "optimizer_steps"])
def test_counters_of_files_are_bounded(key, tmp_path):
    m = model()
    train(m)
    path = tmp_path / "m"
    m.save(path)
    for bad in (MOST + 1, 2**63 - 1):
        rewritten(path, lambda header, _, bad=bad: header["__metadata__"].update({key: str(bad)}))
        with pytest.raises(ValueError, match=f"whose '{key}' is not a count"):
            bn.load(path)
    rewritten(path, lambda header, _: header["__metadata__"].update({key: str(MOST)}))
    m = bn.load(path)
    with pytest.raises(RuntimeError, match=f"a step counter has reached its limit, {MOST}"):
        train(m)
    m.save(path)
    bn.load(path)


@pytest.mark.parametrize(
    "text",
    ["{", "3", '{"nothing":1}', '{"readout.bias":-1}', '{"readout.bias":1.5}',
     f'{{"readout.bias":{MOST + 1}}}', '{"readout.bias":null}'],
)  # fmt: skip
def test_bad_counters_of_tensors_in_a_file_are_refused(text, tmp_path):
    model().save(tmp_path / "m")
    path = rewritten(
        tmp_path / "m", lambda header, _: header["__metadata__"].update(tensor_steps=text)
    )
    with pytest.raises(ValueError, match="whose counters of steps are not right"):
        bn.load(path)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("options", "moment", "bad", "reason"),
    [
        ({}, "exp_avg_sq", -1e-3, "is negative"),
        ({}, "exp_avg_sq", np.nan, "is not finite"),
        ({}, "exp_avg", np.inf, "is not finite"),
        ({"amsgrad": True}, "max_exp_avg_sq", -1.0, "is negative"),
        ({"optimizer": "adagrad"}, "sum", -1.0, "is negative"),
        ({"optimizer": "rmsprop"}, "square_avg", -np.inf, "is not finite"),
        ({"optimizer": "sgd", "momentum": 0.5}, "momentum_buffer", np.nan, "is not finite"),
    ],
)
def test_moments_that_states_refuse_files_refuse(options, moment, bad, reason, dtype, tmp_path):
    m = model(dtype=dtype, **options)
    train(m)
    m.save(tmp_path / "m")
    name = f"optimizer.{moment}.rnn.weight_hh_l0"

    def spoil(header, body):
        at = header[name]["data_offsets"][0]
        value = np.array([bad], dtype).tobytes()
        body[at : at + len(value)] = value

    rewritten(tmp_path / "m", spoil)
    with pytest.raises(ValueError, match=f"tensor '{re.escape(name)}' has a number that {reason}"):
        bn.load(tmp_path / "m")
    values = m.optimizer.state_dict()[moment]
    values[0] = bad
    with pytest.raises(ValueError, match=f"argument '{moment}': expected finite numbers"):
        m.optimizer.load_state_dict({**m.optimizer.state_dict(), moment: values})


@pytest.mark.parametrize("end", ["first", "last"])
def test_the_tensor_of_an_impossible_moment_is_named(end, tmp_path):
    m = model()
    train(m)
    for name in m.state_dict():
        m.save(tmp_path / "m")
        stored = f"optimizer.exp_avg_sq.{name}"

        def spoil(header, body, stored=stored):
            begins, ends = header[stored]["data_offsets"]
            value = np.array([-1], "f4").tobytes()
            at = begins if end == "first" else ends - len(value)
            body[at : at + len(value)] = value

        rewritten(tmp_path / "m", spoil)
        with pytest.raises(ValueError, match=f"tensor '{re.escape(stored)}' has a number that is"):
            bn.load(tmp_path / "m")


@pytest.mark.parametrize("first", [True, False])
def test_counters_of_the_first_and_of_several_tensors_are_kept(first, tmp_path):
    m = model()
    names = list(m.state_dict())
    frozen = names[:1] if first else names[1:3]
    for name in frozen:
        m.freeze(name)
    train(m, 2)
    m.save(tmp_path / "m")
    counters = bn.load(tmp_path / "m").optimizer.tensor_steps
    assert counters == {name: 0 if name in frozen else 2 for name in names}


def test_factors_of_files_fit_their_dtype(tmp_path):
    m = model()
    for name in ("lr", "eps", "weight_decay"):
        m.save(tmp_path / "m")

        def spoil(header, _, name=name):
            config = json.loads(header["__metadata__"]["config"])
            header["__metadata__"]["config"] = json.dumps(config | {name: 1e39})

        rewritten(tmp_path / "m", spoil)
        with pytest.raises(ValueError, match=f"an impossible option {name}"):
            bn.load(tmp_path / "m")


# -------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_named(bad, tmp_path):
    m = model()
    state = m.state_dict()
    state["rnn.weight_ih_l0"][1, 2] = state["readout.bias"][0] = bad
    names = r"parameters that are NaN or infinite: rnn\.weight_ih_l0, readout\.bias$"
    with pytest.warns(RuntimeWarning, match=rf"^Model\.load_state_dict: {names}") as caught:
        m.load_state_dict(state)
    assert [Path(w.filename) for w in caught] == [Path(__file__)]
    m.save(tmp_path / "m")
    with pytest.warns(RuntimeWarning, match=rf"^load: {names}") as caught:
        loaded = bn.load(tmp_path / "m")
    assert [Path(w.filename) for w in caught] == [Path(__file__)]
    assert loaded._params.get().tobytes() == m._params.get().tobytes()
    layer = bn.GRU(2, 3)
    state = layer.state_dict()
    state["bias_hh_l0"][:] = bad
    with pytest.warns(RuntimeWarning, match=r"^GRU\.load_state_dict: .*: bias_hh_l0$"):
        layer.load_state_dict(state)


def test_finite_weights_are_loaded_without_a_word(tmp_path):
    m = model()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m.load_state_dict(m.state_dict())
        m.save(tmp_path / "m")
        bn.load(tmp_path / "m")


# ---------------------------------------------------------------------------------------- draws


@pytest.mark.parametrize("options", [{"dropout": 0.5, "num_layers": 2}, {"recurrent_dropout": 0.5}])
def test_skipped_steps_use_up_no_draw(options, tmp_path):
    m, twin = (bn.Model("gru", input_size=2, hidden_size=6, output_size=3, **options) for _ in "ab")
    x = np.random.default_rng(0).standard_normal((5, 2, 2)).astype("f4")
    y = TOKENS[:5]
    bad = x.copy()
    bad[0, 0, 0] = np.nan
    for net in (m, twin):
        net.train_step(x, y)
    for _ in range(100):
        assert m.train_step(bad, y).skipped
    assert (m.step_count, m.skipped_count) == (1, 100)
    assert m.forward(x)[2].draw == twin.forward(x)[2].draw == 1
    m.save(tmp_path / "m")
    again = bn.load(tmp_path / "m")
    for net in (m, twin, again):
        net.train_step(x, y)
    assert bits(m) == bits(twin) == bits(again)
    assert (again.step_count, again.skipped_count) == (2, 100)


def test_skipped_updates_of_several_batches_use_up_no_draw():
    from bptt_native import fit

    x = np.random.default_rng(0).standard_normal((5, 8, 2)).astype("f4")
    y = np.arange(8) % 3
    options = {"input_size": 2, "hidden_size": 6, "output_size": 3, "targets": "last",
               "recurrent_dropout": 0.5}  # fmt: skip
    m, twin = (bn.Model("gru", **options) for _ in "ab")
    _, grads = m.gradients(x, y)
    grads.flat[0] = np.nan
    for _ in range(2):
        assert m.apply(grads).skipped
    assert (m.step_count, m.skipped_count) == (0, 2)
    for net in (m, twin):
        fit(net, x, y, epochs=3, batch_size=2, accumulate=4)
    assert bits(m) == bits(twin)
