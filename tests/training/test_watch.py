"""The watch on the gradient: records, warnings, resuming, and unchanged training."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import Watch, fit, resume
from bptt_native.cli.main import main
from bptt_native.diagnostics import gradient_flow
from bptt_native.training.advice import (
    against_exploding,
    against_vanishing,
    vanishing_text,
)
from bptt_native.training.batches import source_of
from bptt_native.training.data import read_data
from bptt_native.training.gradient_record import LayerRecord, open_records, read_records
from bptt_native.training.history import HistoryRow, read_history
from bptt_native.training.watch import GradientWarning, look, radius, recurrent_blocks
from helpers.fitting import bits, figures


def net(cell="lstm", **changes):
    options = {"input_size": 3, "hidden_size": 6, "output_size": 4, "num_layers": 2, "seed": 1}
    return bn.Model(cell, **(options | changes))


def data(n=24, T=12, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((T, n, 3)).astype(dtype)
    return x, rng.integers(0, 4, (T, n))


def quiet(every):
    return Watch(every, say=[].append)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("targets", ["every", "last"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_look_is_the_flow_of_a_loss_at_the_last_step(cell, targets, batch_first):
    model = net(cell, targets=targets, batch_first=batch_first, dtype="float64")
    x, y = data(dtype=np.float64)
    y = y if targets == "every" else y[-1]
    if batch_first:
        x, y = x.swapaxes(0, 1), y.T
    batch = source_of(read_data(model, x, y, "fit"), 8).batch(0, 0)
    record = look(model, batch, None, 5)
    assert (record.step, record.steps, record.sequences) == (5, 12, 8)
    xs, last = batch.x, batch.targets
    if targets == "every":
        last = batch.targets[:, -1] if batch_first else batch.targets[-1]
    xs = xs.swapaxes(0, 1) if batch_first else xs
    twin = net(cell, targets=targets, dtype="float64")
    for layer in (0, 1):
        flow, found = gradient_flow(twin, xs, last, layer=layer), record.layers[layer]
        assert found.layer == layer
        np.testing.assert_allclose(found.h, flow.h, rtol=1e-12)
        assert (found.c is None) == (flow.c is None) == (cell != "lstm")
        if found.c is not None:
            np.testing.assert_allclose(found.c, flow.c, rtol=1e-12)
        assert found.growth == pytest.approx(flow.decay)


@pytest.mark.parametrize("options", [
    {"class_weights": [0.5, 2.0, 1.0, 3.0]}, {"label_smoothing": 0.2}, {"ignore_index": 2},
    {"class_weights": [0.5, 2.0, 0.0, 3.0], "label_smoothing": 0.1, "ignore_index": 1},
    {"loss": "mse", "class_weights": [0.5, 2.0, 1.0, 3.0]},
    {"loss": "binary_cross_entropy", "class_weights": [0.5, 2.0, 1.0, 3.0]},
])  # fmt: skip
def test_a_look_has_the_loss_that_is_trained(options):
    model = net(targets="last", dtype="float64", **options)
    x, y = data(dtype=np.float64)
    y = y[-1] if "loss" not in options else np.random.default_rng(1).random((24, 4))
    batch = source_of(read_data(model, x, y, "fit"), 24).batch(0, 0)
    _, gradients = model.gradients(batch.x, batch.targets)
    record = look(model, batch, None, 0)
    for layer in (0, 1):
        assert record.layers[layer].h == pytest.approx(gradients.flow[layer, ::-1], rel=1e-12)


@pytest.mark.parametrize("options", [
    {"ignore_index": 3}, {"class_weights": [1.0, 1.0, 1.0, 0.0]}
])  # fmt: skip
def test_a_look_at_targets_that_do_not_count(options):
    model = net(targets="last", **options)
    x, _ = data()
    batch = source_of(read_data(model, x, np.arange(24) % 3, "fit"), 24).batch(0, 0)
    batch = batch._replace(targets=np.full(24, 3))
    assert look(model, batch, None, 0).layers[-1].verdict == "healthy"


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("targets", ["every", "last"])
@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"bidirectional": True}])
def test_ragged_sequences_end_together(cell, targets, options):
    """The flow of the longer half is that of each of them alone."""
    rng = np.random.default_rng(0)
    model = net(cell, targets=targets, dtype="float64", **options)
    x = [rng.standard_normal((t, 3)) for t in (9, 4, 7, 2, 12, 3)]
    y = [rng.integers(0, 4, len(s)) for s in x] if targets == "every" else np.arange(6) % 4
    batch = source_of(read_data(model, x, y, "fit"), 6).batch(0, 0)
    record = look(model, batch, None, 0)
    assert (record.steps, record.sequences) == (4, 4)
    alone = net(cell, targets=targets, dtype="float64", **{**options, "batch_first": False})
    for layer in (0, 1):
        squares = np.zeros(4)
        for k in (0, 1, 2, 4):
            goal = y[k][-1:] if targets == "every" else y[k : k + 1]
            flow = gradient_flow(alone, x[k][:, None], goal, layer=layer)
            squares += (flow.h[:4] / 4) ** 2  # of the mean over four
        np.testing.assert_allclose(record.layers[layer].h, np.sqrt(squares), rtol=1e-10)


def test_of_windows_that_go_on_the_longest_are_looked_at():
    rng = np.random.default_rng(0)
    model = net(dtype="float64")
    x = [rng.standard_normal((t, 3)) for t in (10, 7, 10)]
    y = [rng.integers(0, 4, len(s)) for s in x]
    source = source_of(read_data(model, x, y, "fit"), 3, window=5)
    first, second = source.batch(0, 0), source.batch(0, 1)
    _, state = model(first.x)
    record = look(model, second, second.carried(state), 0)
    assert (record.steps, record.sequences) == (5, 2)
    both, goal = np.stack([x[0][5:], x[2][5:]], 1), np.array([y[0][-1], y[2][-1]])
    members = [list(first.members).index(k) for k in (0, 2)]
    flow = gradient_flow(model, both, goal, tuple(s[:, members] for s in state))
    np.testing.assert_allclose(record.layers[-1].h, flow.h, rtol=1e-10)


@pytest.mark.parametrize("options", [
    {}, {"dropout": 0.3, "recurrent_dropout": 0.2}, {"bidirectional": True, "targets": "last"},
    {"loss": "binary_cross_entropy"}, {"loss": "mse"},
])  # fmt: skip
def test_watching_changes_no_bit(options, tmp_path):
    x, y = data()
    if options.get("loss"):
        y = (np.arange(12 * 24 * 4).reshape(12, 24, 4) % 2).astype(np.float32)
    if options.get("targets"):
        y = y[-1]
    runs = []
    for watch in (None, quiet(2)):
        model = net(clip_norm=0.1, **options)
        result = fit(model, x, y, steps=9, batch_size=8, accumulate=2, watch=watch)
        runs.append((bits(model), figures(result.rows)))
    assert runs[0] == runs[1]
    assert [r.step for r in result.gradients] == [0, 2, 4, 6, 8, 9]
    assert all(np.isfinite(layer.h).all() for r in result.gradients for layer in r.layers)


def test_a_resumed_run_has_the_records_of_an_uninterrupted_one(tmp_path):
    x, y = data()
    whole, part = tmp_path / "whole", tmp_path / "part"
    fit(net(), x, y, steps=12, batch_size=8, watch=quiet(3), out=whole, checkpoint_every=4)
    kept = {}

    def keep(row):
        if row.step == 9:
            kept.update({p.name: p.read_bytes() for p in part.iterdir()})
        return False

    fit(net(), x, y, steps=12, batch_size=8, watch=quiet(3), out=part, checkpoint_every=4,
        callbacks=[keep])  # fmt: skip
    for name, content in kept.items():  # the state that a run leaves if it is killed after step 9
        (part / name).write_bytes(content)
    with (part / "gradients.jsonl").open("a") as file:
        file.write('{"step": 9, "steps": 1')
    assert [r.step for r in read_records(part / "gradients.jsonl")] == [0, 3, 6]
    result = resume(part, x, y, watch=quiet(3))
    assert read_records(part / "gradients.jsonl") == read_records(whole / "gradients.jsonl")
    assert [r.step for r in result.gradients] == [0, 3, 6, 9, 12]
    resume(part, x, y, steps=14)  # without watching, earlier records stay
    assert [r.step for r in read_records(part / "gradients.jsonl")] == [0, 3, 6, 9, 12]
    fit(net(), x, y, steps=2, batch_size=8, out=part)
    assert not (part / "gradients.jsonl").exists()


def test_records_survive_the_file(tmp_path):
    x, y = data()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", GradientWarning)
        broken = net("rnn", nonlinearity="relu")
        broken.load_state_dict({k: v * np.float32(1e30) for k, v in broken.state_dict().items()})
        batch = source_of(read_data(broken, x, y, "fit"), 8).batch(0, 0)
        record = Watch().look(broken, batch, None, 1)
    file = open_records(tmp_path / "a.jsonl", [record])
    file.append(record)
    file.close()
    first, second = read_records(tmp_path / "a.jsonl")
    np.testing.assert_equal(first.layers[-1].h, second.layers[-1].h)
    assert np.isnan(first.layers[-1].h).any()
    assert first.layers[-1].verdict == "exploding"
    empty = b'{"step": 1, "steps": 2, "sequences": 1, "layers": []}\n'
    for line in (b'{"step": 1}\n', b"[]\n", b"\xff\xfe\n", empty):
        (tmp_path / "a.jsonl").write_bytes(line)
        with pytest.raises(ValueError, match=r"read_records: argument 'path': expected .* line 1"):
            read_records(tmp_path / "a.jsonl")


def test_old_histories_can_be_read(tmp_path):
    (tmp_path / "old.csv").write_text(
        "step,epoch,loss,valid_loss,valid_accuracy,grad_norm,clipped,skipped,lr,targets_per_s,"
        "seconds\n1,1,2.5,,,0.5,1,0,0.001,1000,0.100\n"
    )
    (row,) = read_history(tmp_path / "old.csv")
    assert row == HistoryRow(1, 1, 2.5, None, None, 0.5, True, False, 1e-3, 1000.0, 0.1)
    assert row.clipped_norm is row.clip_angle is None


def test_the_history_has_the_norm_after_clipping(tmp_path):
    x, y = data()
    fit(net(clip_norm=0.1), x, y, steps=9, batch_size=8, accumulate=2, out=tmp_path / "norm")
    rows = read_history(tmp_path / "norm" / "history.csv")
    assert {row.clipped for row in rows} == {True, False}
    after = [0.1 if r.clipped else r.grad_norm for r in rows]
    np.testing.assert_allclose([r.clipped_norm for r in rows], after, rtol=1e-6)
    assert max(r.clip_angle for r in rows) < 1e-3
    result = fit(net(clip_value=0.01), x, y, steps=3, batch_size=8)
    assert all(r.clipped_norm < r.grad_norm and 0 < r.clip_angle < 1.6 for r in result.rows)


def test_a_vanishing_gradient_is_said_once_and_what_helps():
    model = net("rnn", num_layers=1, nonlinearity="sigmoid")
    x, y = data(T=40)
    said = []
    fit(model, x, y, steps=8, batch_size=8, watch=Watch(2, say=said.append))
    assert len(said) == 1
    assert "vanishes" in said[0]
    assert "steps back (of 40) only 1 %" in said[0]
    assert "cell='lstm'" in said[0]
    with pytest.warns(GradientWarning, match="vanishes"):
        fit(net("rnn", nonlinearity="sigmoid"), x, y, steps=4, batch_size=8, watch=2)


@pytest.mark.parametrize(("options", "said", "unsaid"), [
    ({"cell": "rnn"}, ("cell='lstm'", "'orthogonal'", "with nonlinearity='relu'", "omega"), ()),
    ({"cell": "rnn", "init": "orthogonal", "omega": 1.0}, ("cell='lstm'",), ("'ortho", "omega")),
    ({"cell": "gru"}, ("'orthogonal'", "'chrono'"), ("forget_bias", "cell=")),
    ({"cell": "lstm"}, ("forget_bias", "'chrono'"), ("cell=",)),
    ({"cell": "lstm", "forget_bias": 1.0}, ("'chrono'",), ("larger forget_bias",)),
    ({"cell": "lstm", "init": bn.Init("chrono", time_scale=9)}, ("more training",), ("'chrono'",)),
])  # fmt: skip
def test_what_is_to_be_tried_is_not_what_is_there(options, said, unsaid):
    words = against_vanishing(net(**options))
    assert all(word in words for word in said), words
    assert not any(word in words for word in unsaid), words


@pytest.mark.parametrize(("options", "said", "unsaid"), [
    *(({"cell": "rnn", **option}, ("'identity'", "'orthogonal'"), ("omega",)) for option in (
        {"layer_norm": True}, {"alpha": 0.5}, {"noise": 0.1}, {"zoneout": 0.1},
        {"recurrent_dropout": 0.1}, {"clip_step": 1.0}, {"clip_step_norm": 1.0},
        {"truncation": (2, 4)})),
    ({"cell": "rnn", "dale": 0.5}, ("'orthogonal'",), ("omega", "'identity'")),
    ({"cell": "gru", "bias": False}, ("'orthogonal'",), ("'chrono'",)),
    ({"cell": "lstm", "bias": False}, ("more training",), ("forget_bias", "'chrono'")),
    ({"cell": "lstm", "coupled": True, "proj_size": 3}, ("'chrono'",), ("forget_bias",)),
    ({"cell": "lstm", "forget_bias": 0.5}, ("dependency) instead of forget_bias",), ()),
    ({"cell": "mingru"}, ("'chrono'",), ("'orthogonal'", "'identity'", "omega", "forget_bias")),
])  # fmt: skip
def test_nothing_is_advised_that_the_options_exclude(options, said, unsaid):
    model = net(**options)
    words = against_vanishing(model)
    assert all(word in words for word in said), words
    assert not any(word in words for word in unsaid), words
    ways = {"omega above 0": {"omega": 0.5}, "init='orthogonal'": {"init": "orthogonal"},
            "init='identity'": {"init": "identity", "nonlinearity": "relu"},
            "forget_bias (1": {"forget_bias": 1.0},
            "'chrono'": {"init": bn.Init("chrono", time_scale=9), "forget_bias": None},
            }  # fmt: skip
    for way, changes in ways.items():
        if way in words + against_exploding(model, 1.0):
            bn.Model(**{**model.config, **changes})


def test_the_text_about_vanishing_has_the_distance_if_it_is_known():
    top = LayerRecord(0, [1.0, 0.1], None, 0.1, (1, None), "vanishing", {}, {}, 0.5)
    assert vanishing_text(top, 100) == (
        "the gradient vanishes over 100 steps (a factor of 0.1 per step)"
    )
    assert vanishing_text(replace(top, horizon=(1, 7)), 100).startswith(
        "the gradient vanishes: 7 steps back (of 100) only 1 % of ||dL/dh|| at the last step is "
    )
    assert "7 steps" not in vanishing_text(replace(top, horizon=(1, 1)), 100)
    assert ": 1 step back (of 100)" in vanishing_text(replace(top, horizon=(1, 1)), 100)


def test_an_exploding_gradient_is_said_once_and_what_helps():
    said = []
    model = net("rnn", num_layers=1, nonlinearity="identity", optimizer="sgd", lr=1e-12,
                init=bn.Init("orthogonal", gain=1.6))  # fmt: skip
    x, y = data(T=20)
    fit(model, x, y, steps=6, batch_size=8, watch=Watch(2, say=said.append))
    assert len(said) == 1
    assert "explodes" in said[0]
    assert "1.6 per step" in said[0]
    assert "clip_norm" in said[0]

    said = []
    watch = Watch(10, say=said.append)
    row = HistoryRow(1, 1, 1.0, None, None, 0.5, False, False, 1e-3, 1.0, 1.0)
    for step in range(30):
        watch.saw(model, HistoryRow(step, *list(vars(row).values())[1:]))
    assert said == []
    watch.saw(model, HistoryRow(31, 1, 1.0, None, None, 50.0, False, False, 1e-3, 1.0, 1.0))
    assert "step 31: the gradient's norm is 50, 100 times the usual 0.5" in said[0]
    assert "here 0.25 to 5" in said[0]


def test_a_net_that_keeps_its_gradient_is_not_warned_of():
    model = net("rnn", num_layers=1, nonlinearity="identity", init="orthogonal", lr=1e-6)
    said = []
    result = fit(model, *data(T=40), steps=4, batch_size=8, watch=Watch(2, say=said.append))
    assert said == []
    top = result.gradients[0].layers[0]
    assert top.verdict == "healthy"
    assert top.growth == pytest.approx(1, abs=1e-3)
    assert top.horizon == (None, None)
    assert top.radius == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("options", [
    {"cell": "rnn"}, {"cell": "gru"}, {"cell": "lstm"}, {"cell": "lstm", "coupled": True},
    {"cell": "lstm", "proj_size": 3}, {"cell": "lstm", "coupled": True, "proj_size": 3},
])  # fmt: skip
def test_recurrent_blocks(options):
    model = net(**options)
    blocks = recurrent_blocks(model, 1)
    size = options.get("proj_size") or 6
    assert {b.shape for b in blocks.values()} == {(size, size)}
    gate = {"rnn": "h", "lstm": "g", "gru": "n"}[options["cell"]]
    values = np.linalg.eigvals(blocks[gate])
    assert radius(model, 1) == pytest.approx(abs(values).max())
    weights = model.state_dict()
    block = weights["rnn.weight_hh_l1"][list(blocks).index(gate) * 6 :][:6]
    if "proj_size" in options:
        block = weights["rnn.weight_hr_l1"] @ block
    np.testing.assert_allclose(blocks[gate], block, atol=1e-6)


@pytest.mark.parametrize("every", [0, -1, 1.5, "5"])
def test_every(every):
    with pytest.raises((TypeError, ValueError), match="Watch: argument 'every'"):
        Watch(every)


def test_the_command_line_watches_and_warns(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("abcd efgh ijkl mnop " * 200)
    train = ["train", "a.txt", "--cell", "rnn", "--nonlinearity", "sigmoid", "--hidden", "12",
             "--batch", "8", "--seq-len", "40", "--steps", "12"]  # fmt: skip
    assert main([*train, "--out", "plain"]) == 0
    assert "warning" not in capsys.readouterr().err
    assert not (tmp_path / "plain" / "gradients.jsonl").exists()
    assert main([*train, "--out", "seen", "--watch-gradients", "5"]) == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warned) == 1
    assert warned[0].startswith("bptt-native train: warning: step 5: the gradient vanishes: ")
    assert [r.step for r in read_records(tmp_path / "seen" / "gradients.jsonl")] == [0, 5, 10, 12]
    model = (tmp_path / "plain" / "model.safetensors", tmp_path / "seen" / "model.safetensors")
    assert bits(bn.load(model[0])) == bits(bn.load(model[1]))
    assert main([*train, "--out", "whole", "--watch-gradients"]) == 0
    assert [r.step for r in read_records(tmp_path / "whole" / "gradients.jsonl")] == [0, 12]
    capsys.readouterr()
    assert main([*train, "--out", "none", "--watch-gradients", "0"]) == 2
    error = "bptt-native train: error: argument '--watch-gradients': expected at least 1, got 0\n"
    assert capsys.readouterr().err == error
    with pytest.raises(SystemExit):
        main(["train", "--out", "none", "--watch-gradients", "a.txt"])
    hint = "expected a number of steps, got 'a.txt': put FILE before the option, or"
    assert hint in capsys.readouterr().err
    assert main([train[0], "--out", "hint", "--watch-gradients=5", *train[1:]]) == 0


def test_a_gradient_that_is_not_finite_is_said_so():
    said = []
    model = net("rnn", nonlinearity="identity")
    model.load_state_dict(
        {name: value * np.float32(1e18) for name, value in model.state_dict().items()}
    )
    batch = source_of(read_data(model, *data(), "fit"), 24).batch(0, 0)
    Watch(5, say=said.append).look(model, batch, None, 0)
    assert len(said) == 1
    assert said[0].startswith("step 0: the gradient explodes: ||dL/dh|| is not finite ")
    assert "nan" not in said[0]
