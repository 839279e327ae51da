"""The types of the public names, as users' type checkers read them: mypy and pyright."""

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest

import bptt_native as bn
from bptt_native.nn.cells import LAYERS
from bptt_native.nn.flow import FLOW_LEVELS
from bptt_native.nn.stream import WEIGHTS
from bptt_native.options import words
from bptt_native.options.table import OPTIONS
from bptt_native.training.schedules import SCHEDULES
from helpers.paths import TESTS

PROGRAMS = TESTS / "data" / "types"
OF_OPTIONS = {
    "cell": words.Cell,
    "nonlinearity": words.Nonlinearity,
    "init": words.InitName,
    "loss": words.LossName,
    "targets": words.Targets,
    "reduction": words.Reduction,
    "algorithm": words.Algorithm,
    "rmsprop_form": words.RMSpropForm,
    "nonfinite": words.Nonfinite,
    "dtype": get_args(words.DType)[0],
}


def test_every_choice_has_a_type_with_its_words() -> None:
    choices = {name: option.choices for name, option in OPTIONS.items() if option.choices}
    assert set(choices) == {*OF_OPTIONS, "compute"}
    for name, known in choices.items():
        if name != "compute":
            assert set(get_args(OF_OPTIONS[name])) == set(known), name
    assert set(get_args(words.Compute)) == {"float32", "float64", "bfloat16"}
    assert set(get_args(words.StreamWeights)) == set(WEIGHTS)
    assert set(get_args(words.ScheduleName)) == set(SCHEDULES)
    assert set(get_args(get_args(words.FlowLevel)[1])) == set(FLOW_LEVELS)


@pytest.mark.parametrize("cls", [*LAYERS.values(), bn.Model], ids=lambda c: c.__name__)
def test_every_argument_of_a_constructor_is_an_attribute(cls: type) -> None:
    sizes: Mapping[str, int] = {"input_size": 3, "hidden_size": 4}
    net = cls(**sizes) if cls is not bn.Model else cls(**sizes, output_size=2)
    for name, value in net.config.items():
        if name != "optimizer":
            assert getattr(net, name) == value, name
            assert inspect.getdoc(getattr(cls, name)), name
    assert set(net.config) == set(inspect.signature(cls).parameters)
    with pytest.raises(AttributeError, match=rf"^{cls.__name__}\.hidden_size cannot be changed; "):
        net.hidden_size = 5


def marked(path: Path) -> set[int]:
    lines = path.read_text().splitlines()
    return {n for n, line in enumerate(lines, 1) if line.endswith("# wrong")}


def mypy(folder: Path) -> set[tuple[str, int]]:
    """Return the files and lines with errors."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--output=json", "--cache-dir",
         str(folder), "--config-file", os.devnull, "right.py", "wrong.py"],
        cwd=PROGRAMS, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {(e["file"], e["line"]) for e in found if e["severity"] == "error"}


def pyright(folder: Path) -> set[tuple[str, int]]:
    config = {"typeCheckingMode": "standard", "include": [str(PROGRAMS)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--outputjson", "-p", str(folder),
         "--pythonpath", sys.executable],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {
        (Path(e["file"]).name, e["range"]["start"]["line"] + 1)
        for e in found
        if e["severity"] == "error"
    }


@pytest.mark.parametrize(("module", "check"), [("mypy", mypy), ("basedpyright", pyright)])
def test_type_checkers_accept_right_programs_and_find_mistakes(module, check, tmp_path) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    wanted = {("wrong.py", line) for line in marked(PROGRAMS / "wrong.py")}
    assert len(wanted) > 10
    assert check(tmp_path) == wanted


def test_the_stub_agrees_with_the_compiled_module(tmp_path) -> None:
    if find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    # pybind11's classes have a metaclass, and a constructor that takes anything and refuses.
    known = r"bptt_native\._core\.(Layer|Model|Optimizer|Stream|(Params|Tape)(\.__init__)?)"
    (tmp_path / "known.txt").write_text(known)
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "--ignore-missing-stub", "bptt_native._core",
         "--allowlist", "known.txt"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_public_types_are_known_without_inference(tmp_path) -> None:
    """Type checkers that infer less than others still know all types of the public names."""
    if find_spec("basedpyright") is None:
        pytest.skip("basedpyright is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--outputjson", "--ignoreexternal",
         "--verifytypes", "bptt_native"],
        cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    unknown = {
        symbol["name"]
        for symbol in symbols
        if not (symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"])
    }
    rooms = ("apps", "cli", "lab", "reference", "report", "runtime", "plots.labels")
    inner = tuple(f"bptt_native.{room}." for room in rooms)
    aliases = {f"bptt_native.{name}" for name in ("fit", "evaluate", "predict")}
    assert {name for name in unknown - aliases if not name.startswith(inner)} == set()
    assert len(symbols) > 2000
