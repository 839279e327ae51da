"""Masks and non-negative parameters of layers and models: arguments, values, files and pickles."""

import copy
import json
import pickle

import numpy as np
import pytest

import bptt_native as bn
from helpers.arrays import draw
from helpers.cells import GATES, LAYERS, last_matrix
from helpers.model_files import joined, load_bytes, refused, split
from helpers.small_nets import H, I, N, T

NAME = "rnn.weight_hh_l0"


def small(**options):
    settings = {"input_size": I, "hidden_size": H, "output_size": 2, "loss": "mse", "seed": 3}
    return bn.Model(**(settings | options))


def batch(dtype="f4"):
    return draw(T, N, I).astype(dtype), draw(T, N, 2).astype(dtype)


# ------------------------------------------------------------------------------------------- masks
def test_a_mask_of_one_gate_holds_for_each(cell):
    layer = LAYERS[cell](I, H)
    name, gates = last_matrix(cell).replace("l1", "l0"), GATES[cell]
    columns = layer.parameters[name].shape[1]
    mask = np.random.default_rng(0).random((H, columns)) < 0.5
    layer.set_mask(name, mask)
    np.testing.assert_array_equal(layer.masks[name], np.tile(mask, (gates, 1)))
    units = np.arange(H) % 2 == 0
    layer.set_mask("bias_ih_l0", units)
    np.testing.assert_array_equal(layer.masks["bias_ih_l0"], np.tile(units, gates))
    assert not layer.parameters["bias_ih_l0"].value[~np.tile(units, gates)].any()
    assert list(layer.masks) == [name, "bias_ih_l0"]


@pytest.mark.parametrize(
    ("mask", "want"),
    [
        (np.arange(I) > 0, np.tile(np.arange(I) > 0, (3 * H, 1))),
        (np.arange(H)[:, None] > 2, np.tile(np.arange(H)[:, None] > 2, (3, I))),
        (np.arange(3 * H)[:, None] > 2, np.tile(np.arange(3 * H)[:, None] > 2, (1, I))),
        (False, np.zeros((3 * H, I), bool)),
        (np.eye(H, I), np.tile(np.eye(H, I), (3, 1)) > 0),
        (np.eye(H, I, dtype="i8")[:, ::-1].tolist(), np.tile(np.eye(H, I)[:, ::-1], (3, 1)) > 0),
    ],
    ids=["columns", "rows of a gate", "rows", "none", "floats", "a list"],
)
def test_masks_broadcast(mask, want):
    layer = bn.GRU(I, H)
    before = layer.state_dict()
    layer.set_mask("weight_ih_l0", mask)
    np.testing.assert_array_equal(layer.masks["weight_ih_l0"], want)
    before["weight_ih_l0"] *= want
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
        assert not np.signbit(value[value == 0]).any()


def test_rows_of_the_readout_are_no_gates():
    m = small(output_size=2 * H)
    with pytest.raises(
        ValueError, match=r"argument 'mask': expected a bool array of shape \[12, 6\]"
    ):
        m.set_mask("readout.weight", np.ones((H, H), bool))
    m.set_mask("readout.weight", np.arange(H) < 3)
    assert not m.parameters["readout.weight"].value[:, 3:].any()


@pytest.mark.parametrize(
    ("bad", "kind", "got"),
    [
        (np.ones((2, 2), bool), ValueError, "got a bool array of shape [2, 2]"),
        (np.full((H, H), 2), ValueError, "(or of 0 and 1), got 2"),
        (np.full((H, H), np.nan), ValueError, "(or of 0 and 1), got nan"),
        ("dense", TypeError, "got the text 'dense'"),
        ([[1, 0], [1]], ValueError, "that NumPy cannot read"),
        (np.ma.masked_array(np.ones((H, H))), TypeError, "its mask would be lost"),
        (np.broadcast_to(True, (2**20, 2**20)), ValueError, "array of shape [1048576, 1048576]"),
    ],
    ids=str,
)
def test_a_bad_mask_changes_nothing(bad, kind, got):
    m = small()
    before = m._params.get().tobytes()
    with pytest.raises(
        kind, match=r"Model.set_mask: argument 'mask': expected a bool arr"
    ) as error:
        m.set_mask(NAME, bad)
    assert got in str(error.value)
    for name, kind in (("nothing", ValueError), (3, TypeError)):
        with pytest.raises(kind, match=r"Model.set_mask: argument 'name': expected one of rnn.we"):
            m.set_mask(name, True)
    assert m._params.get().tobytes() == before
    assert not m.masks


def test_masks_are_read_only_and_can_be_removed():
    layer = bn.RNN(I, H)
    mask = ~np.eye(H, dtype=bool)
    layer.set_mask("weight_hh_l0", mask)
    mask[:] = False
    assert layer.masks["weight_hh_l0"].any()
    with pytest.raises(ValueError, match="read-only"):
        layer.masks["weight_hh_l0"][:] = True
    with pytest.raises(TypeError):
        layer.masks["weight_hh_l0"] = mask
    layer.set_mask("weight_hh_l0", None)
    assert layer.masks == {}
    assert not np.diag(layer.parameters["weight_hh_l0"].value).any()
    grads = layer.backward(layer.forward(draw(T, N, I))[2], draw(T, N, H))
    assert np.diag(grads["weight_hh_l0"]).all()


def test_parameters_show_and_set_their_constraints():
    layer = bn.RNN(I, H)
    weight = layer.parameters["weight_hh_l0"]
    assert weight.mask is None
    assert not weight.nonnegative
    weight.mask = ~np.eye(H, dtype=bool)
    weight.nonnegative = True
    np.testing.assert_array_equal(weight.mask, ~np.eye(H, dtype=bool))
    assert weight.nonnegative
    head = "Parameter('weight_hh_l0', shape=[6, 6], float32, masked, nonnegative)"
    assert repr(weight).splitlines()[0] == head
    weight[...] = np.full((H, H), 2, "f4")
    np.testing.assert_array_equal(weight.value, 2 - 2 * np.eye(H))
    weight[...] = np.full((H, H), -2, "f4")
    assert not weight.value.any()
    weight.mask = None
    assert weight.mask is None
    with pytest.raises(ValueError, match=r"RNN.parameters: argument 'mask': expected a bool array"):
        weight.mask = np.ones(2)
    with pytest.raises(TypeError, match=r"RNN.parameters: argument 'nonnegative': expected"):
        weight.nonnegative = "yes"


def test_summaries_count_masked_elements_as_not_trained():
    m = small()
    m.freeze("rnn.weight_ih_l0")
    m.set_mask(NAME, ~np.eye(H, dtype=bool))
    m.set_mask("rnn.weight_ih_l0", False)
    found = m.summary()
    assert [row.frozen for row in found.layers] == [4 * H * I + 4 * H, 0]
    assert found.num_frozen == 4 * H * I + 4 * H


def test_loading_obeys_the_constraints(cell):
    """The order of a mask and of a state dict does not matter."""
    one, other, source = (LAYERS[cell](I, H, seed=seed) for seed in (1, 2, 3))
    name = last_matrix(cell).replace("l1", "l0")
    mask = np.random.default_rng(1).random(one.parameters[name].shape) < 0.5
    one.set_mask(name, mask)
    one.set_nonnegative("bias_ih_l0")
    one.load_state_dict(source.state_dict())
    other.load_state_dict(source.state_dict())
    other.set_nonnegative("bias_ih_l0")
    other.set_mask(name, mask)
    assert one._params.get().tobytes() == other._params.get().tobytes()
    assert one.parameters["bias_ih_l0"].value.min() == 0


def test_gradients_of_masked_elements_count_nowhere():
    """Not even if they are NaN: they are left out, not multiplied by 0."""
    m, x_y = small(clip_norm=1e-3), batch()
    mask = ~np.eye(H, dtype=bool)
    m.set_mask(NAME, mask)
    result, grads = m.gradients(*x_y)
    assert not grads[NAME][~np.tile(mask, (4, 1))].any()
    assert grads.norm() == pytest.approx(result.grad_norm, rel=1e-6)
    before = m.parameters[NAME].value
    whole = grads.copy()
    whole[NAME][~np.tile(mask, (4, 1))] = np.nan
    update = m.apply(whole)
    assert not update.skipped
    assert update.grad_norm == result.grad_norm
    after = m.parameters[NAME].value
    assert np.isfinite(after).all()
    assert (after != before)[np.tile(mask, (4, 1))].all()
    _, _, tape = m.forward(x_y[0])
    assert not m.backward(tape, draw(T, N, 2))[NAME][~np.tile(mask, (4, 1))].any()


def test_a_tape_keeps_its_weights_and_takes_the_masks_of_now(cell):
    layer = LAYERS[cell](I, H, dtype="float64")
    x, dy = draw(T, N, I).astype("f8"), draw(T, N, H).astype("f8")
    _, _, tape = layer.forward(x)
    want = layer.backward(tape, dy)
    name = last_matrix(cell).replace("l1", "l0")
    mask = np.random.default_rng(2).random(layer.parameters[name].shape) < 0.5
    layer.set_mask(name, mask)
    got = layer.backward(tape, dy)
    np.testing.assert_array_equal(got.x, want.x)
    for key in want:
        np.testing.assert_array_equal(got[key], want[key] * (mask if key == name else 1))


# ------------------------------------------------------------------------------------ non-negative
def test_nonnegative_parameters_are_projected(dtype):
    layer = bn.RNN(I, H, dtype=dtype)
    before = layer.parameters["weight_hh_l0"].value
    layer.set_nonnegative("weight_hh_l0", "weight_ih_l0")
    np.testing.assert_array_equal(layer.parameters["weight_hh_l0"].value, np.maximum(before, 0))
    assert layer.parameters["bias_ih_l0"].value.min() < 0
    layer.set_nonnegative("weight_hh_l0", on=False)
    layer.parameters["weight_hh_l0"] = before
    np.testing.assert_array_equal(layer.parameters["weight_hh_l0"].value, before)
    spoilt = before.copy()
    spoilt[0, :3] = [np.nan, -np.inf, np.inf]
    layer.set_nonnegative("weight_hh_l0")
    with pytest.warns(RuntimeWarning, match="weight_hh_l0"):
        layer.parameters["weight_hh_l0"] = spoilt
    got = layer.parameters["weight_hh_l0"].value[0, :3]
    np.testing.assert_array_equal(got, np.asarray([np.nan, 0, np.inf]))


def test_bad_names_of_nonnegative_parameters_change_nothing():
    m = small()
    with pytest.raises(
        ValueError, match=r"Model.set_nonnegative: argument 'names': expected one of"
    ):
        m.set_nonnegative(NAME, "nothing")
    with pytest.raises(TypeError, match=r"Model.set_nonnegative: argument 'on': expected"):
        m.set_nonnegative(NAME, on=1.5)
    assert not any(p.nonnegative for p in m.parameters.values())


def test_an_update_beyond_the_range_is_projected_or_skipped(isa, dtype):
    """What overflows towards minus infinity is 0; towards infinity, nothing changes."""
    layer = bn.RNN(1, 1, bias=False, dtype=dtype)
    layer.set_nonnegative("weight_ih_l0", "weight_hh_l0")
    optimizer = bn.SGD(layer, lr=1e30 if dtype == "float32" else 1e300)
    grads = layer.backward(layer.forward(np.ones((1, 1, 1), dtype))[2], np.ones((1, 1, 1), dtype))
    grads.flat[:] = -1e20
    before = layer._params.get().tobytes()
    assert not optimizer.step(grads)
    assert layer._params.get().tobytes() == before
    grads.flat[:] = 1e20
    assert optimizer.step(grads)
    np.testing.assert_array_equal(layer._params.get(), 0)


# ------------------------------------------------------------------------------- files and pickles
def constrained(**options):
    m = small(**options)
    m.set_mask(NAME, ~np.eye(H, dtype=bool))
    m.set_mask("readout.bias", [True, False])
    m.set_nonnegative("readout.weight", NAME)
    for _ in range(3):
        m.train_step(*batch(options.get("dtype", "f4")))
    return m


@pytest.mark.parametrize("way", ["file", "pickle", "copy"])
def test_models_come_back_with_their_constraints(way, tmp_path, dtype):
    m = constrained(dtype=dtype, weight_l1=0.01, weight_l2=0.02)
    if way == "file":
        m.save(tmp_path / "m.safetensors")
        again = bn.load(tmp_path / "m.safetensors")
    else:
        again = pickle.loads(pickle.dumps(m)) if way == "pickle" else copy.deepcopy(m)
    assert again.config == m.config
    for key, mask in m.masks.items():
        np.testing.assert_array_equal(again.masks[key], mask)
    assert len(again.masks) == 2
    assert [n for n, p in again.parameters.items() if p.nonnegative] == [NAME, "readout.weight"]
    for net in (m, again):
        net.train_step(*batch(dtype))
    assert again._params.get().tobytes() == m._params.get().tobytes()


def test_layers_come_back_with_their_constraints(cell):
    layer = LAYERS[cell](I, H)
    name = last_matrix(cell).replace("l1", "l0")
    layer.set_mask(name, np.arange(layer.parameters[name].shape[1]) > 1)
    layer.set_nonnegative("bias_ih_l0")
    again = pickle.loads(pickle.dumps(layer))
    assert list(again.masks) == [name]
    np.testing.assert_array_equal(again.masks[name], layer.masks[name])
    assert again.parameters["bias_ih_l0"].nonnegative
    assert again._params.get().tobytes() == layer._params.get().tobytes()
    restore, arguments = layer.__reduce__()
    earlier = restore(*arguments[:5])  # pickles of versions without constraints
    assert earlier.masks == {}


def test_a_file_without_constraints_does_not_name_them(tmp_path):
    small().save(tmp_path / "m.safetensors")
    header, _ = split((tmp_path / "m.safetensors").read_bytes())
    assert "nonnegative" not in header["__metadata__"]
    assert not [name for name in header if name.startswith("mask.")]
    assert "weight_l1" not in header["__metadata__"]["config"]


def spoilt():
    """Yield a name, a file of a constrained model with something impossible, and the reason."""
    header, body = split(constrained()._native.serialize())
    mask = f"mask.{NAME}"
    begin, end = header[mask]["data_offsets"]
    hh, _ = header[NAME]["data_offsets"]
    readout, _ = header["readout.weight"]["data_offsets"]

    def changed(name=mask, **tensor):
        other = json.loads(json.dumps(header))
        other[name].update(tensor)
        return other

    def with_bytes(at, data):
        return body[:at] + data + body[at + len(data) :]

    def listed(names):
        other = json.loads(json.dumps(header))
        other["__metadata__"]["nonnegative"] = names
        return other

    renamed = {("mask.nothing" if name == mask else name): t for name, t in header.items()}
    yield "a mask of 2", header, with_bytes(begin, b"\2"), "is not of 0 and 1"
    yield "a mask of bytes", changed(dtype="U8"), body, "has the dtype U8"
    yield "a mask of another shape", changed(shape=[end - begin]), body, "another shape"
    yield "a mask of nothing", renamed, body, "unknown tensor 'mask.nothing'"
    yield "a masked weight", header, with_bytes(hh, b"\0\0\x80?"), "not 0 where its mask is"
    yield "a masked NaN", header, with_bytes(hh, b"\0\0\xc0\x7f"), "not 0 where its mask is"
    yield "a negative weight", header, with_bytes(readout, b"\0\0\x80\xbf"), "that is negative"
    yield "a list that is none", listed("{"), body, "list of nonnegative tensors"
    yield "an unknown name", listed('["nothing"]'), body, "list of nonnegative tensors"


@pytest.mark.parametrize(("header", "body", "reason"), [
    pytest.param(*case[1:], id=case[0]) for case in spoilt()
])  # fmt: skip
def test_files_that_no_model_writes_are_refused(header, body, reason, tmp_path):
    refused(tmp_path, joined(header, body), reason)


def test_the_file_that_is_spoilt_above_loads(tmp_path):
    header, body = split(constrained()._native.serialize())
    assert len(load_bytes(tmp_path, joined(header, body)).masks) == 2
