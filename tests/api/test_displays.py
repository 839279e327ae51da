"""Descriptions of objects in a terminal and in a notebook."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.arguments.display import (
    Table,
    View,
    array_text,
    bytes_text,
    html_of,
    plain,
    text_of,
)
from helpers.displays import constructor_of

LINES, COLUMNS = 24, 100
VOID = {"img"}


class Reader(HTMLParser):
    """Reads HTML whose elements must be closed in order, and keeps its texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((12, 16, 2)).astype("f4"), rng.integers(0, 3, 16)


@pytest.fixture(scope="module")
def things() -> dict[str, object]:
    """An object of each public kind, the largest of its kind where the size matters."""
    x, y = data()
    deep = bn.LSTM(2, 3, num_layers=40, bidirectional=True, layer_norm=True, dropout=0.1,
                   zoneout=0.1, recurrent_dropout=0.2, init=bn.Init("orthogonal", gain=1.25),
                   seed=2**60)  # fmt: skip
    deep.freeze("weight_hh_l0")
    out, _, tape = deep.forward(x)
    grads = deep.backward(tape, out, flow="all")
    model = bn.Model("lstm", input_size=2, hidden_size=4, output_size=3, targets="last",
                     class_weights=[1.0, 2.0, 3.0], clip_norm=0.1)  # fmt: skip
    for k in range(50):
        model.metadata[f"note {k}\n\x1b[31m"] = "<script>alert(1)</script>" * 100
        model.tensors[f"array {k}"] = np.full((3, 4), np.nan)
    model.optimizer.set_group("*", lr_scale=0.5)
    watch = bn.Watch(1, say=print)
    metrics = ["f1", "balanced_accuracy", "top_2", "perplexity"]
    run = model.fit(x, y, epochs=30, validation=(x, y), watch=watch, metrics=metrics)
    layer = bn.GRU(2, 4, num_layers=2)
    _, _, own = layer.forward(x)
    with bn.profile() as profile:
        layer(x)
    d = bn.diagnostics
    return {
        "layer": deep, "model": model, "summary": deep.summary(steps=3), "tape": tape,
        "parameters": deep.parameters, "parameter": deep.parameters["bias_ih_l3"],
        "gradients": grads, "flow detail": grads.flow_detail, "optimizer": model.optimizer,
        "metadata": model.metadata, "tensors": model.tensors, "stream": model.stream(),
        "step": model.train_step(x, y), "update": model.apply(model.gradients(x, y)[1]),
        "run": run, "history": run.rows, "row": run.rows[-1], "records": run.gradients,
        "record": run.gradients[-1],
        "range test": bn.find_lr(model, x, y), "callback": bn.callbacks.LambdaCallback(),
        "layer record": run.gradients[-1].layers[0], "watch": watch, "profile": profile,
        "idle profile": bn.profile(), "init": bn.Init("chrono", time_scale=9.0),
        "schedule": bn.schedules.Warmup(3, bn.schedules.Cosine(9)),
        "stopping": bn.EarlyStopping(), "metrics": model.evaluate(x, y),
        "saturation": d.saturation(deep, x), "clipping": d.clipping(run.rows),
        "connectivity": d.connectivity(layer, x), "flow": d.gradient_flow(model, x, y),
        "spectrum": d.lyapunov(layer, own), "product": d.jacobian_product(layer, own),
        "gains": d.gain_bounds(layer, own, np.ones(4)),
        "truncation": d.truncation_bias(model, x, y, range(1, 13)),
        "seeds": d.backward_seeds(layer, own, [3], outputs=[1], flow=True),
        "fixed points": d.fixed_points(bn.GRU(2, 4), starts=30),
        "ratios": d.omega_ratios(bn.RNN(2, 4), x),
    }  # fmt: skip


def test_a_description_fits_on_a_screen(things: dict[str, object]) -> None:
    for name, thing in things.items():
        lines = repr(thing).splitlines()
        assert len(lines) <= LINES, name
        assert max(map(len, lines)) <= COLUMNS, name
        assert str(thing) == repr(thing), name
        assert all(line.isprintable() for line in lines), name
        assert not re.search(r"object at 0x|array\(", repr(thing)), name


def test_html_is_whole_and_escaped(things: dict[str, object]) -> None:
    shown = [name for name, thing in things.items() if hasattr(thing, "_repr_html_")]
    assert len(shown) >= 25
    for name in shown:
        html = things[name]._repr_html_()
        found = Reader(html)
        assert found.tags <= {"style", "div", "pre", "p", "table", "thead", "tbody", "tr", "th",
                              "td", "img"}, name  # fmt: skip
        assert len(re.sub(r"base64,[^\"]*", "", html)) < 20_000, name
    assert "<script>alert(1)</script>" in Reader(things["metadata"]._repr_html_()).text


def test_a_layer_shows_its_call_and_its_parameters(things: dict[str, object]) -> None:
    lines = repr(bn.GRU(3, 5)).splitlines()
    assert lines[0] == "GRU(3, 5)"
    assert lines[2].split() == ["weight_ih_l0", "[15,", "3]", "45"]
    assert lines[-1].strip() == "150 parameters, float32, 600 B"
    text = repr(things["layer"])
    assert re.search(r"weight_hh_l0 .* frozen\n", text)
    assert "\n  ... " in text
    twin = eval(constructor_of(things["layer"]), vars(bn))
    assert twin.config == things["layer"].config


def test_a_long_option_is_cut() -> None:
    weights = np.ones(5000)
    model = bn.Model("gru", vocab_size=4, hidden_size=2, output_size=5000, class_weights=weights)
    assert len(repr(model)) < 2000


def test_the_summary_counts(things: dict[str, object]) -> None:
    model = bn.Model("lstm", vocab_size=9, embedding_size=3, hidden_size=4, proj_size=2,
                     num_layers=2, bidirectional=True, output_size=5, batch_first=True,
                     optimizer="adam")  # fmt: skip
    model.freeze("embedding.weight")
    found = model.summary()
    assert [(row.name, row.output_shape) for row in found.layers] == [
        ("embedding", ("N", "T", 3)), ("layer 0 (lstm)", ("N", "T", 4)),
        ("layer 1 (lstm)", ("N", "T", 4)), ("readout", ("N", "T", 5)),
    ]  # fmt: skip
    sizes = {name: value.size for name, value in model.state_dict().items()}
    assert found.num_parameters == sum(sizes.values()) == model.num_parameters
    assert found.num_frozen == found.layers[0].frozen == sizes["embedding.weight"] == 27
    assert found.memory == {"parameters": 4 * sum(sizes.values()),
                            "optimizer": 8 * sum(sizes.values())}  # fmt: skip
    assert found.layers[-1].parameters == 4 * 5 + 5
    before = model.state_dict()
    real = model.summary(steps=7, batch=3)
    assert real.layers[0].output_shape == (3, 7, 3)
    tape = model.forward(np.zeros((3, 7), np.int64))[2]
    assert real.memory["tape"] == tape.nbytes
    assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())
    last = bn.Model("gru", input_size=2, hidden_size=4, output_size=3, targets="last")
    assert last.summary().layers[-1].output_shape == ("N", 3)
    assert "readout" in str(last.summary())
    assert str(found).endswith("  Arrays are [N, T, ...]: sequences come first.")
    assert str(last.summary()).endswith(
        "  Arrays are [T, N, ...]: time comes first (batch_first=True: [N, T, ...])."
    )


def test_keys_are_shown_without_values(things: dict[str, object]) -> None:
    for name in ("gradients", "parameters"):
        thing: Any = things[name]
        assert repr(thing.keys()) == f"Names({list(thing)})"
        assert thing.keys() & {"none"} == set()
        assert set(thing.keys()) == set(thing)


def test_a_summary_draws_nothing() -> None:
    """The masks that the next pass draws are the same with and without a summary before it."""
    x = np.ones((3, 2, 2), np.float32)
    ours, theirs = (bn.GRU(2, 3, num_layers=2, dropout=0.5) for _ in range(2))
    ours.summary(steps=3)
    np.testing.assert_array_equal(ours.forward(x)[0], theirs.forward(x)[0])


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("steps", "3"), ("batch", 0)])
def test_refused_arguments_of_a_summary(name: str, value: object) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^GRU.summary: argument '{name}': expect"):
        bn.GRU(2, 3).summary(**{name: value})


def test_the_result_of_a_run(things: dict[str, object]) -> None:
    run = things["run"]
    text = repr(run)
    assert text.startswith("FitResult: 30 steps in 30 epochs, ")
    best = min(run.rows, key=lambda row: row.valid_loss)
    line = next(line for line in text.splitlines() if "held-out loss" in line)
    assert line.split()[2:] == [f"{run.rows[0].valid_loss:.4g}", f"{best.valid_loss:.4g}",
                                str(best.step), f"{run.rows[-1].valid_loss:.4g}"]  # fmt: skip
    f1 = max(run.rows, key=lambda row: row.metrics["f1"])
    line = next(line for line in text.splitlines() if "held-out f1" in line)
    assert line.split()[3:5] == [f"{f1.metrics['f1']:.4g}", str(f1.step)]
    assert "valid_f1=" in repr(run.rows[-1])
    assert "valid_f1" in repr(run.rows)
    assert "valid_top_2" in run.rows._repr_html_()
    assert "History: 30 rows" in repr(run.rows)
    assert list(run.rows) == run.rows


def test_callbacks_show_their_attributes(tmp_path: Path) -> None:
    class Mine(bn.callbacks.Callback):
        def __init__(self) -> None:
            self.seen, self.weights, self._hidden = "x\n", np.ones(3), 1

    assert repr(Mine()) == r"Mine(seen='x\n', weights=float64 [3], 1)"
    assert repr(bn.callbacks.Callback()) == "Callback()"
    beep = bn.callbacks.LambdaCallback(on_epoch_end=print)
    assert repr(beep) == "LambdaCallback(on_epoch_end=print)"
    kept = bn.callbacks.ModelCheckpoint(tmp_path / "best", monitor="loss")
    assert repr(kept) == "ModelCheckpoint(monitor='loss', saved=None)"


def test_no_public_class_has_the_repr_of_object() -> None:
    modules = [bn, bn.diagnostics, bn.schedules, bn.callbacks]
    found = [getattr(module, name) for module in modules for name in module.__all__]
    kinds = [kind for kind in found if isinstance(kind, type) and kind is not bn.callbacks.Run]
    assert len(kinds) > 40
    assert [kind for kind in kinds if kind.__repr__ is object.__repr__] == []


def test_arrays_are_summarised() -> None:
    for value, text in (
        (np.array([1.5, -2.0, np.nan, np.inf, -np.inf]),
         "float64 [5], -2 to 1.5, 1 NaN, 2 infinite"),
        (np.full((2, 2), np.nan, "f4"), "float32 [2, 2], 4 NaN"),
        (np.zeros((0, 3)), "float64 [0, 3], empty"),
        (np.array([True, False, True]), "bool [3], 2 true"),
        (np.array([3, 3]), "int64 [2], 3"),
        (np.array([3j, -1.0]), "complex128 [2], 1 to 3"),
        (np.array(["a"]), "<U1 [1]"),
        ((np.zeros(1), np.ones(1)), "float64 [1], 0; float64 [1], 1"),
        (None, "None"), (0.123456, "0.1235"), (12345, "12,345"), (10**20, "1e+20"),
        ((0.5, 2.0), "(0.5, 2)"),
    ):  # fmt: skip
        assert array_text(value) == text
    assert [bytes_text(n) for n in (0, 1023, 1024, 1536, 3 * 2**20, 2**30, 2**50)] == [
        "0 B", "1023 B", "1 KiB", "1.5 KiB", "3 MiB", "1 GiB", "1.02e+03 TiB",
    ]  # fmt: skip


def test_texts_are_kept_on_one_line() -> None:
    assert plain("a\nb\x1b[31m\u202e") == "a\\nb\\x1b[31m\\u202e"
    assert plain("x" * 64) == "x" * 64
    assert plain("x" * 65) == "x" * 61 + "..."
    assert len(plain("\n" * 60)) == 64


def test_long_tables_leave_the_middle_out() -> None:
    view = View("head", (Table(("name", "number"), [(f"n{k}", f"{k:,}") for k in range(5000)]), ""))
    lines = text_of(view).splitlines()
    assert lines[0] == "head"
    assert lines[1:3] == ["  name   number", "  n0          0"]
    assert lines[-1] == "  n4999   4,999"
    assert sum("4,987 more" in line for line in lines) == 1
    html = Reader(html_of(view)).text
    assert "... 4,973 more" in html
    assert html.endswith("n49994,999")


def test_wide_tables_leave_the_last_columns_out() -> None:
    names = [f"a long name of column {k}" for k in range(9)]
    lines = text_of(View("head", (Table(names, [["1"] * 9] * 2),))).splitlines()
    assert all(len(line) <= 96 and line.endswith("  ...") for line in lines[1:])
    assert lines[1].count("a long name") == 3
    whole = text_of(View("head", (Table(names[:3], [["1"] * 3]),))).splitlines()
    assert not whole[1].endswith("...")


def test_completion_of_keys(things: dict[str, object]) -> None:
    for name in ("gradients", "metadata", "tensors", "parameters"):
        thing = things[name]
        assert thing._ipython_key_completions_() == list(thing), name


def test_names_that_completion_offers(things: dict[str, object]) -> None:
    """Names without an underscore are documented."""
    for name, thing in things.items():
        assert not {"get_state", "set_state", "native", "core"} & set(dir(thing)), name
    for module in (bn.plots, bn.diagnostics, bn.schedules, bn.callbacks, bn.metrics, bn.tasks):
        colours = module is bn.plots  # and sizes of figures, which are for other modules
        assert dir(module) == sorted(n for n in module.__all__ if not (colours and n.isupper()))
        public = module.__name__.replace(".training.", ".")
        with pytest.raises(AttributeError, match=rf"^module '{public}' has no attribute"):
            module.qqq  # noqa: B018
