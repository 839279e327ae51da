"""One target per sequence: the states that the readout reads, with one and two directions."""

import itertools
import warnings

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import fit, predict
from bptt_native import reference as ref
from bptt_native.diagnostics import backward_seeds, connectivity, gradient_flow
from bptt_native.training.batches import source_of
from bptt_native.training.data import read_data
from bptt_native.training.watch import look
from helpers.arrays import generator, largest_error
from helpers.cells import LAYERS
from helpers.complex_step import assert_equal_gradients, complex_step
from helpers.model_files import joined, split
from helpers.paths import DATA

TOLERANCE = {"float32": 2e-5, "float64": 1e-11}
OLD = DATA / "model_last_row.safetensors"
OPTIONS = [
    ("rnn", {}),
    ("rnn", {"nonlinearity": "softsign", "alpha": 0.5, "noise": 0.1, "dale": 0.6}),
    ("rnn", {"omega": 0.5}),
    ("lstm", {}),
    ("lstm", {"proj_size": 4, "dropout": 0.3, "recurrent_dropout": 0.2}),
    ("lstm", {"layer_norm": True, "peephole": True, "coupled": True, "zoneout_c": 0.2}),
    ("gru", {}),
    ("gru", {"layer_norm": True, "zoneout": 0.2, "dropout": 0.2, "variational": True}),
    ("gru", {"reset_after": False, "clip_step_norm": 0.01, "recurrent_dropout": 0.1}),
]


def net(cell="gru", **options):
    given = {"input_size": 3, "hidden_size": 7, "num_layers": 2, "output_size": 4, "seed": 3}
    return bn.Model(cell, **(given | {"bidirectional": True, "targets": "last"} | options))


def batch(T=9, N=5, seed=1):
    """Ragged sequences, among them one of a single step and one of all."""
    rng = generator(seed)
    lengths = rng.integers(1, T + 1, N)
    lengths[:2] = T, 1
    return rng.standard_normal((T, N, 3)), rng.integers(0, 4, N), lengths


def by_reference(model, x, y, **passage):
    """Loss, outputs, gradients of the reference with a model's parameters and options."""
    config = model.config
    fields = set(ref.ModelConfig.__dataclass_fields__) - {"compute"}
    own = {name: value for name, value in config.items() if name in fields}
    params = {name: value.astype(np.float64) for name, value in model.state_dict().items()}
    return ref.model_loss_and_gradients(
        ref.ModelConfig(**own), params, x, y, seed=config["seed"], **passage
    )


# ----------------------------------------------------------------------------------- the definition


@pytest.mark.parametrize("cell", LAYERS)
def test_the_output_is_of_the_final_state_of_each_direction(cell, isa, dtype):
    x, _, lengths = batch()
    x = x.astype(dtype)
    model = net(cell, dtype=dtype)
    out, state = model(x, lengths=lengths)
    h = np.asarray(state[0] if cell == "lstm" else state, np.float64)  # [L*D, N, R]
    params = model.state_dict()
    want = np.concatenate(h[-2:], axis=1) @ params["readout.weight"].T + params["readout.bias"]
    np.testing.assert_allclose(out, want, atol=TOLERANCE[dtype])
    (row, _), rows = (net(cell, dtype=dtype, targets=t)(x, lengths=lengths) for t in
                      ("last_row", "every"))  # fmt: skip
    np.testing.assert_allclose(row, rows[0][lengths - 1, np.arange(5)], atol=TOLERANCE[dtype])
    assert (np.abs(out - row).max(axis=1) > 0.01)[lengths > 1].all()
    np.testing.assert_array_equal(out[lengths == 1], row[lengths == 1])


@pytest.mark.parametrize("targets", ["last", "last_row"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("cell", "options"), OPTIONS, ids=str)
def test_a_pass_is_the_reference(cell, options, masked, targets, isa, dtype, comparisons):
    x, y, lengths = batch()
    model = net(cell, dtype=dtype, targets=targets, **options)
    x, passage = x.astype(dtype), {}
    if masked:
        passage = {"lengths": lengths, "resets": generator(2).random((9, 5)) < 0.2}
    want = by_reference(model, x, y, training=True, draw=4, **passage)
    got, gradients = model.gradients(x, y, draw=4, flow=True, **passage)
    assert got.loss == pytest.approx(want.loss, rel=TOLERANCE[dtype])
    assert largest_error(gradients, want.gradients, 1e-12) <= TOLERANCE[dtype]
    np.testing.assert_allclose(gradients.flow, want.flow, rtol=1e-3 if dtype == "float32" else 1e-9,
                               atol=1e-7)  # fmt: skip
    reverse = gradients["rnn.weight_hh_l1_reverse"]
    assert reverse.any() == (targets == "last")
    plain = by_reference(model, x, y, **passage)  # without random masks and without a tape
    np.testing.assert_allclose(model(x, **passage)[0], plain.out, atol=TOLERANCE[dtype])
    value, _ = model.eval_step(x, y, **passage)
    assert value == pytest.approx(plain.loss, rel=TOLERANCE[dtype])
    comparisons.add("the reference, one target per sequence", len(gradients))


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "binary_cross_entropy"])
@pytest.mark.parametrize("targets", ["last", "last_row"])
@pytest.mark.parametrize("cell", LAYERS)
def test_the_reference_is_the_complex_step(cell, targets, loss):
    x, y, lengths = batch(T=4, N=3)
    model = net(cell, hidden_size=2, dtype="float64")
    params = model.state_dict()
    wanted = y if loss == "cross_entropy" else generator(5).random((3, 4))
    config = ref.ModelConfig(cell, loss, targets)
    got = ref.model_loss_and_gradients(config, params, x, wanted, lengths=lengths)

    def value(moved):
        out = ref.model_forward(config, moved, x, lengths=lengths)[0]
        return ref.model_loss(config, out, wanted, lengths=lengths)[0]

    assert_equal_gradients(got.gradients, complex_step(value, params), 1e-12)


@pytest.mark.parametrize("cell", LAYERS)
def test_a_training_step_and_a_loss_of_your_own_are_the_same(cell):
    x, y, lengths = batch()
    weights = np.array([1.0, 0.0, 2.0, 0.5, 1.0])
    options = {"class_weights": [0.5, 2.0, 1.0, 3.0], "label_smoothing": 0.1, "dtype": "float64"}
    model = net(cell, optimizer="sgd", lr=1.0, **options)
    value, gradients = model.gradients(x, y, lengths=lengths, weights=weights)
    out, _, tape = model.forward(x, lengths=lengths, draw=0)
    np.testing.assert_array_equal(out, model(x, lengths=lengths)[0])
    _, dout = ref.softmax_cross_entropy(
        out, y, weights=weights, class_weights=np.array(options["class_weights"]),
        label_smoothing=0.1,
    )  # fmt: skip
    own = model.backward(tape, dout)
    assert largest_error(own, dict(gradients), 1e-12) <= 1e-12
    assert own.x.any(axis=(0, 2)).tolist() == (weights > 0).tolist()
    before = model.state_dict()
    result = model.train_step(x, y, lengths=lengths, weights=weights)
    assert result.loss == value.loss
    after = model.state_dict()
    steps = {name: before[name] - after[name] for name in before}
    assert largest_error(steps, dict(gradients), 1e-12) <= 1e-10


@pytest.mark.usefixtures("threads_afterwards")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("N", [1, 2, 16, 70])  # one to four shards
@pytest.mark.parametrize("cell", LAYERS)
def test_any_number_of_threads_gives_the_same_bits(cell, N, dtype):
    x, y, lengths = batch(T=11, N=max(N, 2))
    x, y, lengths = x[:, :N].astype(dtype), y[:N], lengths[:N]
    model = net(cell, dtype=dtype, hidden_size=33)
    results = []
    for threads in (1, 2, 3, 5):
        bn.set_num_threads(threads)
        value, gradients = model.gradients(x, y, lengths=lengths)
        out, _ = model(x, lengths=lengths)
        results.append((value.loss, gradients.flat.tobytes(), out.tobytes()))
    assert all(result == results[0] for result in results)
    want = by_reference(model, x, y, lengths=lengths)
    assert largest_error(gradients, want.gradients, 1e-12) <= 20 * TOLERANCE[dtype]


@pytest.mark.parametrize("cell", LAYERS)
def test_a_class_set_by_the_first_of_sixty_steps_is_learnt(cell):
    rng = generator(7)

    def draw(count):
        y = rng.integers(0, 5, count)
        x = rng.standard_normal((60, count, 5)).astype(np.float32)
        x[0] = 3 * np.eye(5, dtype=np.float32)[y]
        return x, y

    model = net(cell, input_size=5, hidden_size=16, num_layers=1, output_size=5, lr=1e-2)
    for _ in range(150):
        model.train_step(*draw(32))
    x, y = draw(400)
    assert (model(x)[0].argmax(axis=1) == y).all()


def test_fit_and_predict_see_both_ends():
    """The class is the sign of the first step of ragged sequences."""
    rng = generator(8)
    x = [rng.standard_normal((t, 1)).astype(np.float32) for t in rng.integers(15, 40, 200)]
    for sequence in x:
        sequence[0] *= 3
    y = np.array([int(s[0, 0] > 0) for s in x])
    model = net(input_size=1, hidden_size=8, num_layers=1, output_size=2, lr=1e-2)
    fit(model, x, y, epochs=20, batch_size=20)
    assert np.mean(np.asarray(predict(model, x)).argmax(axis=1) == y) > 0.95


def test_one_direction_and_single_steps_are_as_every_step():
    x, y, lengths = batch()
    one, each = (net(bidirectional=False, dtype="float64", targets=t) for t in ("last", "every"))
    rows = each(x, lengths=lengths)[0][lengths - 1, np.arange(5)]
    np.testing.assert_array_equal(one(x, lengths=lengths)[0], rows)
    old, new = (net(dtype="float64", targets=t) for t in ("last_row", "last"))
    np.testing.assert_array_equal(old(x[:1])[0], new(x[:1])[0])
    same = [m.gradients(x[:1], y)[1].flat for m in (old, new)]
    np.testing.assert_array_equal(*same)


def test_the_other_reading_needs_two_directions():
    expected = "a value other than 'last_row' without bidirectional=True, got 'last_row'"
    with pytest.raises(ValueError, match=f"argument 'targets': expected {expected}"):
        net(targets="last_row", bidirectional=False)


# -------------------------------------------------------------------------------------- diagnostics


@pytest.mark.parametrize("targets", ["last", "last_row"])
@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("horizon", [None, 3])
def test_single_outputs_go_back_from_both_ends(cell, targets, horizon):
    x, _, lengths = batch()
    model = net(cell, dtype="float64", targets=targets)
    _, _, tape = model.forward(x, lengths=lengths)
    outputs, T = np.array([3, 0, 1, 2, 2]), np.arange(9)
    seeds = backward_seeds(model, tape, lengths - 1, outputs=outputs, samples=np.arange(5),
                           horizon=horizon, flow=True)  # fmt: skip
    for n in range(5):
        dout = np.zeros((5, 4))
        dout[n, outputs[n]] = 1
        whole = model.backward(tape, dout)
        far = np.abs(lengths[n] - 1 - T)
        if targets == "last":
            far = np.minimum(far, T)
        near = far < (horizon or 99)
        np.testing.assert_allclose(
            seeds.x[n], near * np.linalg.norm(whole.x[:, n], axis=1), rtol=1e-10
        )
        np.testing.assert_allclose(seeds.h[:, n], near * whole.flow, rtol=1e-10)
        if cell == "lstm":
            np.testing.assert_allclose(seeds.c[:, n], near * whole.flow_c, rtol=1e-10)
    found = connectivity(model, x, [outputs[3]], sample=3, horizon=horizon, lengths=lengths)
    np.testing.assert_array_equal(found.matrix[0], seeds.x[3])
    assert found.times.tolist() == [lengths[3] - 1]
    if targets == "last" and horizon is None:  # the first and the last step tell the most
        assert found.matrix[0, [0, lengths[3] - 1]].min() > 0


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("ragged", [False, True])
def test_the_reverse_directions_flow_begins_at_the_first_step(cell, ragged):
    x, y, lengths = batch()
    lengths = np.maximum(lengths, 4) if ragged else None
    model = net(cell, dtype="float64")
    gradients = model.gradients(x, y, lengths=lengths, flow="samples")[1]
    norms = gradients.flow_detail.samples_h
    for layer, direction in itertools.product((0, 1), (0, 1)):
        flow = gradient_flow(model, x, y, layer=layer, direction=direction, lengths=lengths)
        own = np.full(5, 9) if lengths is None else lengths
        steps = np.arange(own.min())
        times = steps[:, None] + 0 * own if direction else own - 1 - steps[:, None]
        want = np.linalg.norm(norms[2 * layer + direction][times, np.arange(5)], axis=1)
        np.testing.assert_allclose(flow.h, want, rtol=1e-10)
        assert len(flow.h) == own.min()


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("cell", LAYERS)
def test_the_flow_of_a_last_row_is_that_of_the_last_of_all_rows(cell, ragged, direction):
    x, y, lengths = batch()
    lengths = np.maximum(lengths, 4) if ragged else None
    row, rows = (net(cell, dtype="float64", targets=t) for t in ("last_row", "every"))
    for layer, target in itertools.product((0, 1), (y, None)):
        options = {"layer": layer, "direction": direction, "lengths": lengths}
        got, want = (gradient_flow(m, x, target, **options) for m in (row, rows))
        np.testing.assert_allclose(got.h, want.h, rtol=1e-10)
        assert got.h[0] > 0
        assert got.floor == want.floor
    with pytest.raises(ValueError, match=r"'at': expected -1 \(the net gives its last output"):
        gradient_flow(row, x, y, at=2, lengths=lengths)


@pytest.mark.parametrize("horizon", [None, 3])
@pytest.mark.parametrize("options", [{}, {"batch_first": True}])
@pytest.mark.parametrize("cell", LAYERS)
def test_the_connectivity_of_a_last_row_is_that_of_the_last_of_all_rows(cell, options, horizon):
    x, _, lengths = batch()
    x = x.swapaxes(0, 1) if options else x
    row, rows = (net(cell, dtype="float64", targets=t, **options) for t in ("last_row", "every"))
    for sample in range(5):
        last = lengths[sample] - 1
        got, want = (
            connectivity(m, x, sample=sample, lengths=lengths, horizon=horizon) for m in (row, rows)
        )
        assert got.times.tolist() == [last]
        assert got.outputs.tolist() == [want.outputs[last]]
        np.testing.assert_allclose(got.matrix, want.matrix[-1:], rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("options", [{}, {"batch_first": True}])
@pytest.mark.parametrize("cell", LAYERS)
def test_a_look_at_ragged_sequences_has_the_loss_that_is_trained(cell, options):
    """Both ends of each sequence count, so none is moved; the shorter half is left out."""
    rng = generator(9)
    model = net(cell, dtype="float64", **options)
    x = [rng.standard_normal((t, 3)) for t in (9, 4, 7, 2, 12, 3)]
    y = np.arange(6) % 4
    batch = source_of(read_data(model, x, y, "fit"), 6).batch(0, 0)
    record = look(model, batch, None, 0)
    assert (record.steps, record.sequences) == (4, 4)
    alone = net(cell, dtype="float64")
    for layer in (0, 1):
        squares, activity = np.zeros(4), []
        for k in (0, 1, 2, 4):
            _, _, tape = alone.forward(x[k][:, None])
            gates = tape.gates() if cell != "rnn" else {"h": np.asarray(tape.states())}
            activity.append({name: value[2 * layer, -4:].mean() for name, value in gates.items()})
            flow = alone.gradients(x[k][:, None], y[k : k + 1])[1].flow[2 * layer, ::-1]
            squares += (flow[:4] / 4) ** 2  # of the mean over four
        np.testing.assert_allclose(record.layers[layer].h, np.sqrt(squares), rtol=1e-10)
        for name, mean in record.layers[layer].activity.items():
            assert mean == pytest.approx(np.mean([each[name] for each in activity]))


# -------------------------------------------------------------------------------------------- files


def test_a_file_from_before_keeps_its_meaning(tmp_path, isa):
    """model_last_row was written when "last" was the last row; its tensors are that engine's."""
    with pytest.warns(UserWarning, match="reads both directions at the last step") as warned:
        old = bn.load(OLD)
    (warning,) = warned
    assert str(OLD) in str(warning.message)
    assert "Model(**{**model.config, 'targets': 'last'})" in str(warning.message)
    assert warning.filename == __file__
    assert old.config["targets"] == "last_row"
    assert bn.Model(**old.config).config == old.config
    given = {name: old.tensors[name] for name in old.tensors}
    x, y, lengths = given["tokens"], given["classes"], given["lengths"]
    np.testing.assert_allclose(old(x, lengths=lengths)[0], given["out"], rtol=1e-12)
    value, gradients = old.gradients(x, y, lengths=lengths)
    assert value.loss == pytest.approx(float(given["loss"]), rel=1e-12)
    np.testing.assert_allclose(gradients.flat, given["gradients"], rtol=1e-9, atol=1e-14)
    assert not gradients["rnn.weight_hh_l1_reverse"].any()
    twin = bn.Model(**old.config)
    twin.load_state_dict(old.state_dict())
    np.testing.assert_array_equal(twin(x, lengths=lengths)[0], old(x, lengths=lengths)[0])
    old.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == OLD.read_bytes()
    new = bn.Model(**{**old.config, "targets": "last"})
    new.load_state_dict(old.state_dict())
    assert np.abs(new(x, lengths=lengths)[0] - given["out"]).max() > 1e-3


def test_new_files_name_what_they_mean(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for targets, bidirectional in (("last", True), ("last", False), ("every", True)):
            model = net(targets=targets, bidirectional=bidirectional)
            model.save(tmp_path / "m")
            assert bn.load(tmp_path / "m").config == model.config
            config = split((tmp_path / "m").read_bytes())[0]["__metadata__"]["config"]
            assert (',"last":"final_states"}' in config) == (targets == "last" and bidirectional)
            assert config.count('"last"') == (targets == "last") + ("final_states" in config)


@pytest.mark.parametrize(("options", "last", "reason"), [
    ({"bidirectional": False}, "final_states", "impossible option last"),
    ({"targets": "every"}, "final_states", "impossible option last"),
    ({}, "both", "an unknown last 'both'"), ({}, 1, "options are not right"),
])  # fmt: skip
def test_files_of_another_meaning_are_refused(options, last, reason, tmp_path):
    net(**options).save(tmp_path / "m")
    header, body = split((tmp_path / "m").read_bytes())
    config = header["__metadata__"]["config"].replace(',"last":"final_states"', "")
    value = f'"{last}"' if isinstance(last, str) else str(last)
    header["__metadata__"]["config"] = config[:-1] + f',"last":{value}}}'
    (tmp_path / "m").write_bytes(joined(header, body))
    with pytest.raises(ValueError, match=f"a model file .*{reason}"):
        bn.load(tmp_path / "m")
