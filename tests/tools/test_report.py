"""The report: its data, and the escaping of texts."""

import json
import re

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import fit
from bptt_native.apps.sampling import load_text_model
from bptt_native.apps.tables import Table
from bptt_native.apps.text import TextOptions, TextTrainer
from bptt_native.cli.main import main
from bptt_native.diagnostics import lyapunov
from bptt_native.report import collect, page
from bptt_native.report.findings import findings, measurements, result
from bptt_native.training.gradient_record import GradientRecord, LayerRecord, read_records
from bptt_native.training.history import LOSS, HistoryRow, read_history
from bptt_native.training.schedules import EarlyStopping
from helpers.report_runs import NASTY, carried, dependence, make_text_run, pair


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    return make_text_run(tmp_path_factory.mktemp("report"))


def test_what_is_gathered(text_run):
    data = collect(text_run.out, text_run.line, length=60)
    rows = read_history(text_run.out / "history.csv")
    records = read_records(text_run.out / "gradients.jsonl")
    history = data["history"]
    assert history["step"] == [row.step for row in rows]
    np.testing.assert_allclose(history["loss"], [r.loss / np.log(2) for r in rows], rtol=1e-4)
    np.testing.assert_allclose(history["norm"], [r.grad_norm for r in rows], rtol=1e-4)
    assert [p[0] for p in history["valid"]] == [r.step for r in rows if r.valid_loss is not None]
    assert data["clip"]["threshold"] == 0.2
    flow = data["flow"]
    assert flow["steps"] == [r.step for r in records] == list(range(0, 61, 5))
    for layer in (0, 1):
        for k, record in enumerate(records):
            h = np.array(record.layers[layer].h)
            found = flow["layers"][layer]["h"][k]
            np.testing.assert_allclose(found, np.log10(h / h[0]), atol=1e-3)
    assert len(data["spectrum"]) == 8
    model, vocabulary, _ = load_text_model(text_run.out / "model.safetensors")
    block = np.split(model.state_dict()["rnn.weight_hh_l1"], 4)[2]
    found = next(b for b in data["spectrum"] if (b["layer"], b["gate"]) == (2, "g"))
    assert found["radius"] == pytest.approx(np.abs(np.linalg.eigvals(block)).max(), rel=1e-4)
    assert found["usual"]
    fresh = np.split(bn.Model(**model.config).state_dict()["rnn.weight_hh_l1"], 4)[2]
    assert found["radius_before"] == pytest.approx(np.abs(np.linalg.eigvals(fresh)).max(), rel=1e-4)
    memory = data["memory"]
    assert "".join(memory["cells"]) == text_run.line[:60]
    matrix = dependence(model, *pair(vocabulary, text_run.line[:60]))
    for t, row in enumerate(memory["matrix"]):
        np.testing.assert_allclose(row, matrix[t, : t + 1], rtol=1e-4)
        assert not matrix[t, t + 1 :].any()


def test_dropout_is_for_training_only(tmp_path):
    options = {"hidden": 10, "embedding": 6, "layers": 2, "seq_len": 10, "batch": 4, "steps": 5}
    trainer = TextTrainer(
        "abcdefgh " * 60, TextOptions(**options, dropout=0.5, recurrent_dropout=0.3)
    )
    trainer.fit(tmp_path)
    shown = collect(tmp_path, "abcdefgh abcdefgh abcdefgh", length=26)["memory"]
    model, vocabulary, _ = load_text_model(tmp_path / "model.safetensors")
    plain = bn.Model(**{**model.config, "dropout": 0.0, "recurrent_dropout": 0.0})
    plain.load_state_dict(model.state_dict())
    matrix = dependence(plain, *pair(vocabulary, "abcdefgh abcdefgh abcdefgh"))
    for t, row in enumerate(shown["matrix"]):
        np.testing.assert_allclose(row, matrix[t, : t + 1], rtol=1e-4)
    _, _, tape = plain.forward(vocabulary.encode("abcdefgh abcdefgh abcdefgh")[:-1, None])
    for layer, found in enumerate(shown["exponents"]):
        expected = lyapunov(plain, tape, layer=layer, count=20, discard=2).exponents
        np.testing.assert_allclose(found["values"], expected, rtol=1e-4)


def test_no_text_breaks_the_page(text_run):
    html = page(collect(text_run.out, NASTY))
    assert html.count("<script") == html.count("</script>") == 2
    assert "<title>a &lt;run&gt; &amp; more</title>" in html
    session = next(g["rows"] for g in carried(html)["facts"] if g["title"] == "Session")
    assert session[-1] == ["command line", "", f"bptt-native train {NASTY}"]
    assert "".join(carried(html)["memory"]["cells"]) == NASTY
    assert "\u2028" not in html
    assert "\u0000" not in html
    assert set(re.findall(r"https?://[^\"' ]*", html)) == {"http://www.w3.org/2000/svg"}


def test_a_run_that_was_not_watched_says_so(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((12, 20, 3)).astype(np.float32), rng.integers(0, 4, 20)
    model = bn.Model("rnn", input_size=3, hidden_size=6, output_size=4, targets="last")
    fit(model, x, y, steps=7, out=tmp_path)
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "page.html")]) == 0
    out = capsys.readouterr()
    assert out.out == f"{tmp_path / 'page.html'}\n"
    assert "train with --watch-gradients" in out.err
    data = carried((tmp_path / "page.html").read_text())
    assert data["flow"] is None
    assert data["memory"] is None
    assert "diagnostics.connectivity" in data["memory_missing"]
    assert data["spectrum"][0]["before"] is None  # the initial weights are not known
    (tmp_path / "history.csv").unlink()
    assert main(["report", str(tmp_path / "model.safetensors")]) == 0
    assert carried((tmp_path / "report.html").read_text())["history"] is None


def test_runs_on_tables(tmp_path, capsys):
    t = np.arange(120)
    lines = "\n".join(f"{np.sin(v / 3):.4f}" for v in t)
    (tmp_path / "wave.csv").write_text("w<a>ve\n" + lines + "\n")
    rows = [
        f"s{s},{k},{(s % 3) * np.sin(k):.3f},class {s % 3}" for s in range(30) for k in range(6)
    ]
    (tmp_path / "rows.csv").write_text("seq,t,v,label\n" + "\n".join(rows) + "\n")
    wave, labels = tmp_path / "wave", tmp_path / "labels"
    common = ["--hidden", "6", "--epochs", "8", "--watch-gradients", "2", "--out"]
    given = ["--csv", str(tmp_path / "wave.csv"), "--target", "w<a>ve", "--seq-len", "10"]
    assert main(["train", *given, *common, str(wave)]) == 0
    given = ["--csv", str(tmp_path / "rows.csv"), "--sequence", "seq", "--label", "label"]
    assert main(["train", *given, *common, str(labels)]) == 0
    shown = [collect(wave), collect(labels)]
    forecast, predicted = shown[0]["results"], shown[1]["results"]
    check_tables(shown[0]["result"], shown[1]["result"], capsys.readouterr().out)
    assert forecast["forecast"]["column"] == "w<a>ve"
    assert len(forecast["forecast"]["forecast"]) == 24
    assert np.sum(predicted["confusion"]["counts"]) == 6
    assert predicted["confusion"]["classes"] == ["class 0", "class 1", "class 2"]
    assert collect(labels)["flow"]["T"] == 6
    assert "--csv" in collect(wave)["memory_missing"]

    memory = collect(wave, table=Table.read(tmp_path / "wave.csv"), length=50)["memory"]
    model = bn.load(wave / "model.safetensors")
    x = np.sin(t / 3).round(4)
    scaled = ((x - x[:96].mean()) / x[:96].std())[70:, None].astype(np.float32)
    assert memory["cells"][:2] == [f"row 71 ({x[70]:.4g})", f"row 72 ({x[71]:.4g})"]
    for k in (0, 20, 49):
        row = dependence(model, scaled, np.zeros(50, int))[k, : k + 1]
        np.testing.assert_allclose(memory["matrix"][k], row, rtol=1e-3)
    shown = collect(labels, table=Table.read(tmp_path / "rows.csv"))["memory"]["series"]
    assert [s["name"].partition(":")[0] for s in shown] == ["s0", "s1", "s2", "s3"]
    assert all(len(s["y"]) == 6 and min(s["y"]) > 0 for s in shown)


def check_tables(forecast, labels, said):
    """The tables of results have the numbers that `train` has printed."""
    (table,) = forecast["tables"]
    assert [row[0] for row in table["rows"]] == ["LSTM", "persistence", "linear AR(9)"]
    names = ["lstm network", "persistence", "linear AR(9)"]
    for name, (_, error, _) in zip(names, table["rows"], strict=True):
        printed = float(re.search(rf"{re.escape(name)} +(\S+)", said)[1])
        assert float(error) == pytest.approx(printed, rel=1e-3)
    assert forecast["headline"] == f"Mean squared error {table['rows'][0][1]} on 24 test rows"
    (table,) = labels["tables"]
    printed = re.search(r"test accuracy ([\d.]+)% \((\d) of 6\); always 'class 0': ([\d.]+)%", said)
    assert table["rows"] == [
        ["LSTM", f"{float(printed[1]):.1f}\u00a0%", f"{printed[2]} of 6"],
        ["always 'class 0'", f"{float(printed[3]):.1f}\u00a0%", "2 of 6"],
    ]


def history_row(step, **values):
    usual = dict.fromkeys(HistoryRow.__dataclass_fields__, 0.0)
    return HistoryRow(**(usual | {"step": step, "valid_accuracy": None, "metrics": {}} | values))


def result_of(rows, kind="arrays", found=None, origin=None, **options):
    model = bn.Model("rnn", input_size=1, hidden_size=2, output_size=2)
    model.tensors.update(options.pop("tensors", {}))
    return result(model, rows, LOSS, kind, found or {}, origin, options)


def test_what_is_not_finite_is_said_in_words():
    nan, inf = float("nan"), float("inf")
    row = history_row(1, loss=nan, valid_loss=None)
    said = result_of([row])
    assert said["headline"] == "Loss of the last batch: not finite (loss); no data were held out."
    assert said["tables"] == []
    rows = [history_row(k, valid_loss=v) for k, v in enumerate((2.0, nan), 1)]
    said = result_of(rows)
    assert said["headline"] == "Loss not finite on held-out data after 2 updates"
    assert said["tables"][0]["rows"] == [
        ["RNN after 2 updates", "not finite"], ["RNN at its best, after 1 update", "2"],
    ]  # fmt: skip
    assert result_of(rows[1:])["tables"] == []
    assert "no history" in result_of([])["headline"]
    said = result_of([], found={"forecast": {"row": [1], "column": "v", "error": None}})
    assert said["headline"] == "Mean squared error not finite on 1 test row"

    def seen(h, growth, horizon=None, verdict="healthy"):
        layer = LayerRecord(0, h, None, growth, (None, horizon), verdict, {}, {}, 1.0)
        model = bn.Model("rnn", input_size=1, hidden_size=2, output_size=2)
        (text,) = findings(model, [], [GradientRecord(9, len(h), 4, [layer])])
        assert text.startswith("After 9 updates")
        return text

    assert "explodes in the top layer: ‖∂L/∂hₜ‖ is not finite 2 steps back" in seen(
        [1.0, 5.0, inf], nan
    )
    assert "no gradient enters the top layer" in seen([0.0, 0.0], nan, 0)
    assert "only one step" in seen([1.0], nan)
    said = seen([1.0, 200.0], 200.0, verdict="exploding")
    assert "grows by a factor of 200 on its way back" in said
    assert "Try clip_norm" in said  # what to do about it
    said = seen([1.0, 0.5, 0.001], 0.03, 2, "vanishing")
    assert "vanishes 2 steps back (of 3; top layer): at most 1 % of ‖∂L/∂hₜ‖ is left" in said
    assert "try an LSTM or GRU" in said
    assert "more than 1 % of the gradient" in seen([1.0, 0.5, 0.1], 0.3)
    for text in (seen([1.0, 0.5, 0.1], 0.3), seen([1.0], nan)):
        assert "vanish" not in text


def test_a_loss_that_rises_again_is_noted():
    def said(*losses):
        rows = [history_row(k, valid_loss=v) for k, v in enumerate(losses, 1)]
        return findings(bn.Model("rnn", input_size=1, hidden_size=2, output_size=2), rows, [])

    assert said(3.0, 2.0, 2.5, 3.0) == [
        "The loss on the held-out data was lowest after 2 updates and has risen by 50\u00a0% "
        "since: the model overfits. Early stopping, dropout or more data help."
    ]
    assert said(3.0, 2.0, 2.05, 2.1) == said(4.0, 3.0, 2.0, 1.0) == said(1.0, 5.0) == []


def test_skipped_updates_are_noted():
    rows = [history_row(1, skipped=True), history_row(2, skipped=False)]
    model = bn.Model("rnn", input_size=1, hidden_size=2, output_size=2)
    assert findings(model, rows, []) == [
        "1 update was skipped, because the gradient was not finite."
    ]


def test_the_restored_parameters_are_those_of_the_result(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 30, 3)).astype(np.float32), rng.integers(0, 4, 30)
    model = bn.Model("rnn", input_size=3, hidden_size=16, output_size=4, targets="last", lr=0.05)
    ran = fit(model, x, y, epochs=12, validation=(x[:, ::-1], rng.integers(0, 4, 30)),
              early_stopping=EarlyStopping(12), out=tmp_path)  # fmt: skip
    assert ran.restored < len(ran.rows)  # the case of interest
    own = next(row for row in measurements(ran.rows) if row.step == ran.restored)
    (table,) = collect(tmp_path)["result"]["tables"]
    assert table["rows"] == [[
        f"RNN after {ran.restored} update{'s' * (ran.restored != 1)} (restored)",
        f"{own.valid_loss:.4g}", f"{100 * own.valid_accuracy:.1f}\u00a0%",
    ]]  # fmt: skip
    assert table["columns"] == ["", "loss", "accuracy"]


def test_the_result_of_a_text_has_its_baseline(text_run):
    data = collect(text_run.out, text_run.line)
    last = read_history(text_run.out / "history.csv")[-1]
    assert data["result"]["headline"] == (
        f"{last.bpc:.4g} bits per character on the held-out text after 60 updates"
    )
    (table,) = data["result"]["tables"]
    assert table["rows"][0] == ["LSTM after 60 updates", f"{last.bpc:.4g}"]
    assert table["rows"][-1] == [f"order-4 {NASTY}"[:60], "3.25"]
    assert table["own"] == len(table["rows"]) - 1


def facts_of(data):
    return {(g["title"], label): value for g in data["facts"] for label, _, value in g["rows"]}


def test_each_fact_is_there_once(text_run):
    data = collect(text_run.out, text_run.line)
    rows = [tuple(row[:2]) for group in data["facts"] for row in group["rows"]]
    assert len(set(rows)) == len(rows)
    names = [name for _, name in rows if name]
    assert len(set(names)) == len(names)
    facts = facts_of(data)
    assert facts["Data", "file"] == f"{NASTY}.txt"
    assert facts["Data", "SHA-256"] == "0" * 64
    assert facts["Model", "kind of the recurrent layers"] == "LSTM"
    assert facts["Model", "units of each layer"] == "24"
    assert facts["Training", "updates"] == "60"
    assert facts["Training", "threshold of the gradient's global norm"] == "0.2"
    assert facts["Training", "schedule of the learning rate"] == "cosine"
    assert ("Training", "factor of a decay of the learning rate") not in facts
    assert bn.__version__ in facts["Session", "versions"]
    assert re.fullmatch(r"\d+ [A-Z][a-z]+ \d{4}, \d\d:\d\d( to .*)? UTC", facts["Session", "date"])


def test_an_older_run_without_an_origin_has_a_report(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 20, 3)).astype(np.float32), rng.integers(0, 4, 20)
    model = bn.Model("gru", input_size=3, hidden_size=6, output_size=4, targets="last")
    fit(model, x, y, steps=7, schedule="step", warmup=2, out=tmp_path)
    path = tmp_path / "model.safetensors"
    new = facts_of(collect(tmp_path))
    assert new["Data", "size"] == "20 sequences of 5 steps"
    assert new["Training", "updates of warm-up"] == "2"
    model = bn.load(path)
    training = json.loads(model.metadata["training"])
    del training["run"]
    model.metadata["training"] = json.dumps(training)
    model.save(path)
    old = facts_of(collect(tmp_path))
    assert old["Data", "SHA-256"] == new["Data", "SHA-256"] == training["data_sha256"]
    assert old["Training", "updates of warm-up"] == "2"
    assert ("Session", "machine") in new
    assert ("Session", "machine") not in old
    for text in ("[1, 2]", "{}", '{"training": 1}', "no JSON"):  # of another program
        model.metadata["training"] = text
        model.save(path)
        assert [g["title"] for g in collect(tmp_path)["facts"]] == ["Session", "Model", "Training"]


@pytest.mark.parametrize(("args", "error"), [
    (["nothing"], "No such file"),
    (["RUN", "--text", "foreign.txt"], "character"),
    (["RUN", "--length", "1"], "argument '--length': expected 2 to 1000, got 1"),
    (["RUN", "-o", "no/where.html"], "argument '--out': expected a file in a folder that exists"),
    (["RUN", "-o", "folder"], "argument '--out': expected a file in a folder that exists"),
    (["ARRAYS", "--text", "foreign.txt"], "for a character model only"),
    (["RUN", "--csv", "table.csv"], "for a model of tables only"),
])  # fmt: skip
def test_refusals(text_run, tmp_path, capsys, monkeypatch, args, error):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "foreign.txt").write_text("漢字")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "folder").mkdir()
    bn.Model("rnn", input_size=1, hidden_size=2, output_size=2).save(tmp_path / "m.safetensors")
    places = {"RUN": str(text_run.out), "ARRAYS": "m.safetensors"}
    assert main(["report", *(places.get(a, a) for a in args)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("bptt-native report: error: ")
    assert error in err
    assert err.count("\n") == 1
    assert not list(tmp_path.glob("*.tmp"))


def test_options_are_shown_where_they_are_not_at_their_defaults(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 20, 3)).astype(np.float32), rng.integers(0, 4, 20)
    model = bn.Model("gru", input_size=3, hidden_size=6, output_size=4, targets="last",
                     init=bn.Init("orthogonal", gain=0.5), class_weights=[1, 2, 3, 4.5],
                     betas=(0.8, 0.999), label_smoothing=0.1)  # fmt: skip
    fit(model, x, y, steps=2, out=tmp_path)
    shown = {name: value for g in collect(tmp_path)["facts"] for _, name, value in g["rows"]}
    assert shown["init"] == "orthogonal, gain 0.5"
    assert shown["class_weights"] == "1, 2, 3, 4.5"
    assert shown["betas"] == "0.8, 0.999"
    assert shown["label_smoothing"] == "0.1"
    assert not {"eps", "weight_decay", "dropout", "bidirectional", "truncation"} & set(shown)


def test_a_generated_text_is_no_row_of_blanks(tmp_path):
    text = ("word" + " " * 12) * 60
    options = TextOptions(hidden=8, embedding=None, seq_len=10, batch=4, steps=40)
    TextTrainer(text, options).fit(tmp_path)
    for length in (2, 30):
        shown = collect(tmp_path, length=length)["memory"]["cells"]
        assert len(shown) == length
        assert not shown[0].isspace()
    assert shown == collect(tmp_path, length=30)["memory"]["cells"]


def test_metrics_by_name_are_shown(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 40, 3)).astype(np.float32), rng.integers(0, 3, 40)
    model = bn.Model("gru", input_size=3, hidden_size=8, output_size=3, targets="last", lr=0.03)
    ran = fit(model, x, y, epochs=9, validation_split=0.25, metrics=["f1", "accuracy"],
              early_stopping=EarlyStopping(9, monitor="f1"), out=tmp_path)  # fmt: skip
    measured = measurements(ran.rows)
    values = [row.metrics["f1"] for row in measured]
    best = measured[int(np.argmax(values))]
    assert ran.restored == best.step
    data = collect(tmp_path)
    (table,) = data["result"]["tables"]
    assert table["columns"] == ["", "loss", "accuracy", "f1"]
    assert table["rows"][0] == [
        f"GRU after {best.step} update{'s' * (best.step != 1)} (restored)",
        f"{best.valid_loss:.4g}", f"{100 * best.valid_accuracy:.1f}\u00a0%",
        f"{best.metrics['f1']:.4g}",
    ]  # fmt: skip
    (curve,) = data["history"]["metrics"]
    assert (curve["name"], curve["x"]) == ("f1", [row.step for row in measured])
    np.testing.assert_allclose(curve["y"], values, rtol=1e-4)
    shown = {name: value for g in data["facts"] for _, name, value in g["rows"]}
    assert shown["metrics"] == "f1, accuracy"
    assert shown["monitor"] == "f1"
    assert shown["valid_fraction"] == "0.25"
