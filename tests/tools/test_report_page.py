"""The report's page in a browser."""

import csv
import io
import re
import shutil
import time
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import Watch, fit
from bptt_native.apps.sampling import load_text_model
from bptt_native.apps.tables import Table
from bptt_native.cli.main import main
from bptt_native.report import collect, page
from helpers.report_runs import NASTY, dependence, make_text_run, pair

STATUS = "return document.getElementById('status').innerText"
CHOSEN = "return document.querySelector('#line .chosen').dataset.k"
SHARES = (0.05, 0.1, 0.25, 0.5)  # the values of the page's slider


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    return make_text_run(tmp_path_factory.mktemp("report"))


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
    assert said.startswith("distance 1: h, before update 1 ")
    report.run("document.querySelector('#memory figure svg').focus()")
    report.press(Keys.ARROW_RIGHT + Keys.ARROW_DOWN * 2)
    said = report.run("return document.querySelector('#memory figure .readout').innerText")
    assert said.startswith("to output 3 (")
    assert "from input 2 (" in said
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
        (".line.s2", "stroke", 3), (".line.s3", "stroke", 3), (".line.u0", "stroke", 3),
        (".line.u1", "stroke", 3), (".line.u2", "stroke", 3), (".ring", "stroke", 3),
        ("svg .reference", "stroke", 4.5),
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
    for k in range(2):
        name = report.run(choose, str(k))
        shapes[name] = report.run(shape)
    assert list(shapes) == ["1", "2"]
    assert len(set(shapes.values())) == 2
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
    assert "no gradient enters the top layer" in data["short"][0]
    assert main(["report", str(tmp_path)]) == 0
    shown = Page(browser, tmp_path / "report.html").open(700)
    assert "Spectral radius" in shown.run("return document.getElementById('flow').innerText")
    assert shown.browser.get_log("browser") == []


LABELS = (
    "return [...document.querySelectorAll('#%s figure')]"
    ".map(f => f.querySelector('svg').textContent)"
)


def test_logarithmic_axes_say_so_and_no_pipe_is_shown(report):
    report.open()
    texts = report.run(LABELS % "flow")
    assert all("(log scale)" in text for text in texts[:2])
    assert "(log scale)" not in texts[2]
    assert "bits per character (log scale)" in report.run(LABELS % "training")[0]
    body = report.run("return document.body.innerText")
    assert "‖∂L/∂hₜ‖" in body
    assert "||" not in body.replace(NASTY, "")
    assert "healthy" not in body


def test_what_is_drawn_over_what(report):
    report.open()
    kinds = report.run(
        "return [...document.querySelectorAll('#spectrum figure circle')]"
        ".map(c => c.getAttribute('class'))"
    )
    marks = ["ring before", "dot s0"]  # before training under after it, the circle over both
    legend = marks
    assert kinds == [marks[0]] * 24 + [marks[1]] * 24 + ["reference unit", *legend]
    looks = report.run(
        "return [...document.querySelector('#clipping svg').querySelectorAll('.line')]"
        ".map(c => c.getAttribute('class'))"
    )
    assert looks[:2] == ["line s0", "line s1"]  # before clipping under after it


def test_the_map_has_rows_to_and_columns_from(report):
    report.open()
    place = (
        "const s = document.querySelector('#memory figure svg');"
        "s.scrollIntoView({block: 'center'});"
        "const b = s.querySelector('image').getBoundingClientRect();"
        "return [b.left + arguments[0] * b.width, b.top + arguments[1] * b.height]"
    )
    from selenium.webdriver.common.action_chains import ActionBuilder

    n = len(report.matrix)
    for row, column in ((70, 3), (12, 12), (3, 60)):
        x, y = report.run(place, (column + 0.5) / n, (row + 0.5) / n)
        action = ActionBuilder(report.browser)
        action.pointer_action.move_to_location(int(x), int(y))
        action.perform()
        said = report.run("return document.querySelector('#memory figure .readout').innerText")
        assert said.startswith(f"to output {row + 1} (")
        assert f"from input {column + 1} (" in said
        shown = said.rpartition(": ")[2]
        assert (shown == "none") == (column > row)
    assert report.run(LABELS % "memory")[0].count("to: time step t of the output") == 1


@pytest.mark.parametrize("width", [390, 1280])
def test_names_at_the_ends_of_lines_do_not_overlap(report, width):
    report.open(width)
    boxes = report.run(
        "return [...document.querySelectorAll('figure svg')].map(s => [...s.querySelectorAll("
        "'text')].map(t => { const b = t.getBoundingClientRect();"
        " return [b.left, b.top + 2, b.right, b.bottom - 2]; }))"
    )
    for texts in boxes:
        for k, (left, top, right, bottom) in enumerate(texts):
            for a, b, c, d in texts[:k]:
                assert left >= c or a >= right or top >= d or b >= bottom


def test_a_chart_is_saved_as_svg_and_its_data_as_csv(report):
    report.open(dark=True)
    pictures = report.run(
        "return [...document.querySelectorAll('.save button')].map(b => b.textContent)"
    )
    figures = report.run("return document.querySelectorAll('figure').length")
    assert pictures == ["Save SVG", "Save CSV"] * figures
    saved = report.run(
        "const made = []; const real = URL.createObjectURL;"
        "URL.createObjectURL = (blob) => { made.push(blob); return real(blob); };"
        "HTMLAnchorElement.prototype.click = function () { made.push(this.download); };"
        "document.querySelectorAll('.save button').forEach((b) => b.click());"
        "return Promise.all(made.map((m) => (typeof m === 'string' ? m : m.text())))"
    )
    files = dict(zip(saved[1::2], saved[::2], strict=True))
    assert len(files) == 2 * figures
    assert all(re.fullmatch(r"[a-z0-9-]+\.(svg|csv)", name) for name in files)
    for name, text in files.items():
        if name.endswith(".svg"):
            picture = ET.fromstring(text)
            assert picture.tag == "{http://www.w3.org/2000/svg}svg"
            assert "var(" not in text
            assert picture[1].attrib["fill"] == "#ffffff"  # on white, whatever the scheme
            ink = [t.attrib["fill"] for t in picture.iter("{http://www.w3.org/2000/svg}text")]
            assert all(luminance(fill) < 0.2 for fill in ink)
        else:
            head, *rows = csv.reader(io.StringIO(text, newline=""))
            assert len(rows) > 3
            assert {len(row) for row in rows} == {len(head)}
    loss = list(csv.DictReader(io.StringIO(files["a-run-more-loss.csv"])))
    first = [row for row in loss if row["series"] == "training batch"]
    assert [int(row["update"]) for row in first] == list(range(1, 61))
    cells = list(csv.reader(io.StringIO(files["a-run-more-all-pairs-of-steps.csv"])))[1:]
    found = {(int(t), int(s)): float(v) for s, t, v in cells if v}
    for (t, s), value in found.items():
        assert value == pytest.approx(report.matrix[t - 1, s - 1], rel=1e-3)
    assert len(found) == np.count_nonzero(report.matrix)
    assert report.browser.get_log("browser") == []


def test_a_spreadsheet_takes_no_name_for_a_formula(report):
    report.open()
    said = report.run("return csvOf([['=1+1', -2, '-x', 'a\"b,c', null, 1.5]])")
    assert said == '\'=1+1,-2,\'-x,"a""b,c",,1.5\r\n'


@pytest.mark.parametrize("width", [390, 1280])
def test_a_text_breaks_between_words(report, width):
    report.open(width)
    broken = report.run(
        "const wide = document.getElementById('line').clientWidth - 20;"
        "return [...document.querySelectorAll('#line .word')].filter((w) =>"
        " w.children.length * w.children[0].offsetWidth < wide &&"
        " new Set([...w.children].map((b) => b.offsetTop)).size > 1).length"
    )
    assert broken == 0
    words = report.run("return document.querySelectorAll('#line .word').length")
    assert words > 10


def test_readers_of_the_screen_find_names(report):
    report.open()
    bare = report.run(
        "return [...document.querySelectorAll('figure, figure > svg, table, section, nav, button,"
        " select, input, [role=region]')].filter((e) => {"
        " const by = e.getAttribute('aria-labelledby');"
        " return !(by ? document.getElementById(by) && document.getElementById(by).textContent :"
        " e.getAttribute('aria-label') || (e.labels && e.labels.length)); })"
        ".map((e) => e.outerHTML.slice(0, 80))"
    )
    assert bare == []
    links = report.run(
        "return [...document.querySelectorAll('nav a')].map((a) => a.getAttribute('href'))"
    )
    assert links == [f"#{name}" for name in (
        "training", "flow", "clipping", "spectrum", "memory", "outputs", "about")]  # fmt: skip


def test_print_is_light_and_without_buttons(report):
    report.open(dark=True)
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    report.browser.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                   {"media": "print", "features": [dark]})  # fmt: skip
    try:
        style = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
        assert luminance(report.run(style, "body", "backgroundColor")) > 0.9
        assert report.run(style, ".save", "display") == "none"
        assert report.run(style, "nav", "display") == "none"
    finally:
        report.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
