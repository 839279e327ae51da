"""The report: its data, the escaping of texts, and the page in a browser."""

import json
import re
import shutil
import time
from types import SimpleNamespace

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import Watch, fit
from bptt_native.apps.sampling import load_text_model
from bptt_native.apps.tables import Table
from bptt_native.apps.text import TextOptions, TextTrainer
from bptt_native.cli.main import main
from bptt_native.diagnostics import connectivity, lyapunov
from bptt_native.report import collect, page
from bptt_native.report.data import _short as short
from bptt_native.training.gradient_record import GradientRecord, LayerRecord, read_records
from bptt_native.training.history import LOSS, HistoryRow, read_history

NASTY = "</script><b>&\"'`\\ ${x}@data@ שלום عربى e\u0301 \u2028\u2029\u200f\u0000\t\r\n \U0001f600"
STATUS = "return document.getElementById('status').innerText"
CHOSEN = "return document.querySelector('#line .chosen').dataset.k"
SHARES = (0.05, 0.1, 0.25, 0.5)  # the values of the page's slider


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    """A text run that was watched, on a text of characters that have to be escaped."""
    out = tmp_path_factory.mktemp("report") / "a <run> & more"
    options = TextOptions(hidden=24, embedding=12, layers=2, seq_len=20, batch=8, steps=60,
                          clip_norm=0.5)  # fmt: skip
    text = (NASTY + "the quick brown fox jumps over the lazy dog; ") * 60
    trainer = TextTrainer(text, options)
    trainer.fit(out, watch=Watch(5, say=[].append))
    return SimpleNamespace(out=out, text=text, line=text[70:150])


def pair(vocabulary, text):
    tokens = vocabulary.encode(text)
    return tokens[:-1], tokens[1:]


def dependence(model, x, outputs):
    return connectivity(model, x[:, None], outputs).matrix


def carried(html):
    """The data that a page carries."""
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(match[1])


def test_what_is_gathered(text_run):
    data = collect(text_run.out, text_run.line, length=60)
    rows = read_history(text_run.out / "history.csv")
    records = read_records(text_run.out / "gradients.jsonl")
    history = data["history"]
    assert history["step"] == [row.step for row in rows]
    np.testing.assert_allclose(history["loss"], [r.loss / np.log(2) for r in rows], rtol=1e-4)
    np.testing.assert_allclose(history["norm"], [r.grad_norm for r in rows], rtol=1e-4)
    assert [p[0] for p in history["valid"]] == [r.step for r in rows if r.valid_loss is not None]
    assert data["clip"]["threshold"] == 0.5
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
    found = next(b for b in data["spectrum"] if b["name"] == "layer 2, g")
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
    assert "".join(carried(html)["memory"]["cells"]) == NASTY
    assert "\u2028" not in html
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
    forecast, predicted = collect(wave)["results"], collect(labels)["results"]
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


def history_row(step, **values):
    usual = dict.fromkeys(HistoryRow.__dataclass_fields__, 0.0)
    return HistoryRow(**(usual | {"step": step, "valid_accuracy": None} | values))


def test_what_is_not_finite_is_said_in_words():
    nan, inf = float("nan"), float("inf")
    row = history_row(1, loss=nan, valid_loss=None)
    assert short([row], [], LOSS)[0] == (
        "Loss of the last batch: not finite; no data were held out."
    )
    rows = [history_row(k, valid_loss=v) for k, v in enumerate((2.0, nan), 1)]
    assert short(rows, [], LOSS)[0] == (
        "Held-out data: the loss is not finite at the end, best 2 after 1 updates."
    )
    assert short(rows[1:], [], LOSS)[0] == "Held-out data: the loss was never finite."

    def seen(h, growth, horizon=None):
        layer = LayerRecord(0, h, None, growth, (None, horizon), "exploding", {}, {}, 1.0)
        return short([], [GradientRecord(9, len(h), 4, [layer])], LOSS)[0].split("updates: ")[1]

    assert seen([1.0, 5.0, inf], nan) == "exploding; its norm is not finite 2 steps back."
    assert seen([0.0, 0.0], nan, 0) == (
        "no gradient enters the layer; its norm is 0 at the loss's own step."
    )
    assert seen([1.0], nan) == "the sequences have only one step."
    assert seen([1.0, 200.0], 200.0) == (
        "exploding; it changes by a factor of 200 per step back, it never falls to 1 %."
    )


def test_sequences_of_one_step(browser, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((1, 20, 3)).astype(np.float32), rng.integers(0, 4, 20)
    model = bn.Model("rnn", input_size=3, hidden_size=6, output_size=4, targets="last")
    fit(model, x, y, steps=2, out=tmp_path, watch=Watch(1, say=[].append))
    assert main(["report", str(tmp_path)]) == 0
    shown = Page(browser, tmp_path / "report.html").open(700)
    text = shown.run("return document.getElementById('flow').innerText")
    assert "there is no flow back in time" in text
    assert "Spectral radius" in text
    assert "distance back" not in text
    assert shown.browser.get_log("browser") == []


def test_a_gradient_of_zeros(browser, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((6, 20, 3)).astype(np.float32), rng.integers(0, 4, 20)
    model = bn.Model("rnn", input_size=3, hidden_size=6, output_size=4, targets="last")
    model.load_state_dict({k: np.zeros_like(v) for k, v in model.state_dict().items()})
    fit(model, x, y, steps=1, out=tmp_path, watch=Watch(5, say=[].append))
    data = collect(tmp_path)
    assert "no gradient enters the layer" in data["short"][1]
    assert main(["report", str(tmp_path)]) == 0
    shown = Page(browser, tmp_path / "report.html").open(700)
    assert "Spectral radius" in shown.run("return document.getElementById('flow').innerText")
    assert shown.browser.get_log("browser") == []


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


# ------------------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium; skipped where there is none."""
    selenium = pytest.importorskip("selenium", reason="selenium is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium or chromedriver is not installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    assert selenium.__version__
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
        "disable-background-networking", "disable-component-update", "disable-sync",
        "disable-dev-shm-usage", f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):  # fmt: skip
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()


class Page:
    """A report in the browser."""

    def __init__(self, browser, path):
        self.browser, self.path = browser, path

    def open(self, width=1100, dark=False):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.browser.get(self.path.as_uri())
        return self

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def hover(self, k):
        from selenium.webdriver import ActionChains

        button = self.run("return document.querySelectorAll('#line button')[arguments[0]]", k)
        self.run("arguments[0].scrollIntoView({block: 'center'})", button)
        ActionChains(self.browser).move_to_element(button).perform()

    def lit(self):
        return self.run(
            "return [...document.querySelectorAll('#line button')]"
            ".flatMap((b, k) => b.classList.contains('lit') ? [k] : [])"
        )

    def press(self, keys):
        self.browser.switch_to.active_element.send_keys(keys)


@pytest.fixture(scope="module")
def report(browser, text_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(collect(text_run.out, text_run.line, length=80)), encoding="utf-8")
    model, vocabulary, _ = load_text_model(text_run.out / "model.safetensors")
    shown = Page(browser, path)
    shown.matrix = dependence(model, *pair(vocabulary, text_run.line))
    return shown


def expected(matrix, k, share):
    """The characters that character k depends on, by the row of the output that says it."""
    row = matrix[k - 1]
    return np.flatnonzero((row > 0) & (row >= share * row.max())).tolist()


def test_hovering_lights_what_a_character_depends_on(report):
    report.open()
    seen = []
    for k in (79, 40, 41, 7, 1):
        report.hover(k)
        seen.append(report.lit())
        assert seen[-1] == expected(report.matrix, k, 0.1)
        assert report.run(CHOSEN) == str(k)
        numbers = report.run(
            "return [...document.querySelectorAll('#line .lit small')]"
            ".map(s => Number(s.innerText))"
        )
        row = report.matrix[k - 1]
        np.testing.assert_allclose(numbers, 100 * row[seen[-1]] / row.max(), atol=0.51)
        status = report.run(STATUS)
        assert f"Character {k + 1}, " in status
        assert f"depends on {len(seen[-1])} earlier, up to {k - seen[-1][0]} back" in status
    assert len({tuple(lit) for lit in seen}) == len(seen)
    report.hover(0)
    assert report.lit() == []
    assert "nothing precedes it" in report.run("return document.getElementById('status').innerText")
    assert report.browser.get_log("browser") == []


def test_the_keyboard_does_what_the_pointer_does(report):
    from selenium.webdriver.common.keys import Keys

    report.open()
    report.run("document.querySelector('#line button[tabindex=\"0\"]').focus()")
    assert report.lit() == expected(report.matrix, 79, 0.1)
    report.press(Keys.ARROW_LEFT * 3)
    assert report.lit() == expected(report.matrix, 76, 0.1)
    report.press(Keys.HOME)
    assert report.lit() == []
    report.press(Keys.ARROW_RIGHT * 30)
    assert report.lit() == expected(report.matrix, 30, 0.1)
    assert (
        report.run("return document.querySelectorAll('#line button[tabindex=\"0\"]').length") == 1
    )
    report.run("document.getElementById('threshold').focus()")
    report.press(Keys.HOME)
    for share in SHARES:
        assert report.lit() == expected(report.matrix, 30, share)
        report.press(Keys.ARROW_RIGHT)
    report.run("document.querySelector('#flow figure svg').focus()")
    report.press(Keys.ARROW_RIGHT * 2)
    said = report.run("return document.querySelector('#flow figure .readout').innerText")
    assert said.startswith("distance 2: after 0 updates ")
    assert report.browser.get_log("browser") == []


def test_a_tap_does_what_the_pointer_does(report):
    report.open(360)
    command = report.browser.execute_cdp_cmd
    command("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        for k in (70, 25):
            place = report.run(
                "const b = document.querySelectorAll('#line button')[arguments[0]];"
                "b.scrollIntoView({block: 'center'}); const r = b.getBoundingClientRect();"
                "return [r.left + r.width / 2, r.top + r.height / 2]", k,
            )  # fmt: skip
            point = [{"x": place[0], "y": place[1]}]
            command("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": point})
            command("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
            ends = time.monotonic() + 120
            while report.run(CHOSEN) != str(k) and time.monotonic() < ends:
                time.sleep(0.02)
            assert report.lit() == expected(report.matrix, k, 0.1)
    finally:
        command("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_every_character_is_shown_as_itself_or_by_a_sign(report, text_run):
    report.open()
    faces = report.run("return [...document.querySelectorAll('#line bdi')].map(b => b.textContent)")
    signs = {" ": "␣", "\n": "↵", "\t": "→", "\r": "←"}
    for face, character in zip(faces, text_run.line, strict=True):
        assert face in (signs.get(character, character), "◌" + character, "□")
        assert face.isprintable()
    assert report.run("return document.querySelectorAll('b, h2 + script').length") == 0


@pytest.mark.parametrize("width", [320, 360, 700, 1400])
def test_no_width_scrolls_sideways(report, width):
    report.open(width)
    report.hover(60)
    assert report.run("return document.documentElement.scrollWidth") <= width
    assert report.run("return document.querySelectorAll('figure svg').length") >= 10
    wide = report.run(
        "return [...document.querySelectorAll('figure svg text')].filter(t => "
        "t.getBoundingClientRect().right > innerWidth || t.getBoundingClientRect().left < 0)"
        ".map(t => t.textContent)"
    )
    assert wide == []
    small = report.run(
        "return Math.min(...[...document.querySelectorAll('svg text, p, li, td, figcaption')]"
        ".map(t => parseFloat(getComputedStyle(t).fontSize)))"
    )
    assert small >= 12
    assert report.browser.get_log("browser") == []


def test_a_window_that_changes_its_width(report):
    report.open(1400)
    width = "return document.querySelector('#training svg').viewBox.baseVal.width"
    wide = report.run(width)
    for size in (360, 800, 361, 1400):
        metrics = {"width": size, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        report.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        report.run("return new Promise(d => requestAnimationFrame(() => requestAnimationFrame(d)))")
        assert report.run("return document.documentElement.scrollWidth") <= size
    assert report.run(width) == wide
    assert report.browser.get_log("browser") == []


def luminance(colour):
    """The relative luminance of WCAG 2 of an rgb(...) colour."""
    parts = np.array([float(v) for v in re.findall(r"[\d.]+", colour)[:3]]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_light_and_dark_are_legible(report, dark):
    report.open(dark=dark)
    report.hover(50)
    style = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    paper = report.run(style, "body", "backgroundColor")
    assert (luminance(paper) < 0.05) == dark
    for selector, name, least in (
        ("body", "color", 7), ("figcaption", "color", 4.5), ("svg text", "fill", 4.5),
        ("svg .label", "fill", 7), (".line.s0", "stroke", 3), (".line.s1", "stroke", 3),
        (".line.s2", "stroke", 3), (".line.s3", "stroke", 3), ("svg .reference", "stroke", 4.5),
        ("#line .later bdi", "color", 4.5),
    ):  # fmt: skip
        assert contrast(report.run(style, selector, name), paper) >= least, selector
    chosen = [report.run(style, "#line .chosen", k) for k in ("color", "backgroundColor")]
    assert contrast(*chosen) >= 4.5
    card = report.run(style, "#line", "backgroundColor")
    for k in report.lit():
        look = f"#line button[data-k='{k}']"
        rgba = re.findall(r"[\d.]+", report.run(style, look, "backgroundColor"))
        share = float(rgba[3]) if len(rgba) == 4 else 1.0
        below = np.array([float(v) for v in re.findall(r"[\d.]+", card)[:3]])
        mixed = share * np.array([float(v) for v in rgba[:3]]) + (1 - share) * below
        assert contrast(report.run(style, look, "color"), f"rgb{mixed.tolist()}") >= 4.5
        weight = report.run(style, f"{look} bdi", "fontWeight")
        assert int(weight) >= 700  # and underlined: without colour, too
        assert report.run(style, look, "borderBottomColor") != "rgba(0, 0, 0, 0)"


def test_choosing_a_layer_redraws(report):
    report.open()
    shape = "return document.querySelector('#flow figure svg .line').getAttribute('d')"
    choose = (
        "const s = document.querySelector('#flow select'); s.value = arguments[0];"
        "s.dispatchEvent(new Event('change')); return s.options[s.selectedIndex].text"
    )
    shapes = {}
    for k in range(4):
        name = report.run(choose, str(k))
        shapes[name] = report.run(shape)
    assert list(shapes) == ["layer 1, h", "layer 1, c", "layer 2, h", "layer 2, c"]
    assert len(set(shapes.values())) == 4
    marks = "return document.querySelectorAll('#spectrum circle.dot').length"
    assert report.run(marks) == 24 + 1  # and that of the legend
    assert report.browser.get_log("browser") == []


def test_other_runs_open_without_an_error(browser, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((12, 20, 3)).astype(np.float32), rng.integers(0, 4, 20)
    model = bn.Model("rnn", input_size=3, hidden_size=6, output_size=4, targets="last")
    fit(model, x, y, steps=2, out=tmp_path, watch=Watch(5, say=[].append))
    for change in (lambda: None, (tmp_path / "gradients.jsonl").unlink,
                   (tmp_path / "history.csv").unlink):  # fmt: skip
        change()
        assert main(["report", str(tmp_path)]) == 0
        shown = Page(browser, tmp_path / "report.html").open(360)
        assert shown.run("return document.querySelectorAll('main section').length") == 8
        assert shown.run("return document.documentElement.scrollWidth") <= 360
        assert shown.browser.get_log("browser") == []


def test_the_rows_of_a_forecast(browser, tmp_path, capsys):
    (tmp_path / "wave.csv").write_text("v\n" + "\n".join(f"{np.sin(k / 3):.4f}" for k in range(99)))
    run, table = str(tmp_path / "wave"), ["--csv", str(tmp_path / "wave.csv")]
    assert (
        main(["train", *table, "--target", "v", "--hidden", "6", "--epochs", "3", "--out", run])
        == 0
    )
    assert main(["report", run, *table, "--length", "40"]) == 0
    shown = Page(browser, tmp_path / "wave" / "report.html").open()
    matrix = collect(run, table=Table.read(table[1]), length=40)["memory"]["matrix"]
    for k in (39, 12):
        shown.hover(k)
        row = np.array(matrix[k])
        assert shown.lit() == np.flatnonzero(row >= 0.1 * row.max()).tolist()
        assert f"The output at row {60 + k} (" in shown.run(STATUS)
    assert shown.browser.get_log("browser") == []
