"""The table of options: signatures, model files, the command line and docs/options.md follow it."""

import copy
import inspect
import json
import re
from dataclasses import replace

import pytest

import bptt_native as bn
from bptt_native import _core
from bptt_native.apps.classify import ClassifyOptions
from bptt_native.apps.run_options import MODEL_OPTIONS
from bptt_native.cli.main import build_parser
from bptt_native.options.algorithms import OWN
from bptt_native.options.from_engine import DEFAULTS
from bptt_native.options.table import OPTIONS, Option
from helpers import options_page
from helpers.cells import LAYERS
from helpers.model_files import joined, split
from helpers.refusals import refusal

INPUTS = ("input_size", "vocab_size", "embedding_size")  # a model has the first or the others
RULES = [rule for rule in _core.option_conflicts() if rule["option"] not in INPUTS]
CELL, LOSS, OPTIMIZER = (OPTIONS[name] for name in ("cell", "loss", "algorithm"))
SIZES = {"input_size": 3, "hidden_size": 4, "output_size": 2}
SAMPLES = {"count": 2, "integer": 5, "number": 3.5, "positive": 2.0, "not_negative": 0.5,
           "fraction": 0.25, "share": 0.5, "leak": 0.5}  # fmt: skip
BEYOND = {"size": [0, -1], "count": [-1], "positive": [0.0, -1.0], "not_negative": [-0.5],
          "fraction": [1.0, -0.1], "share": [1.5, -0.1], "leak": [0.0, 1.5]}  # fmt: skip


# ----------------------------------------------------------------------------------- signatures


def arguments(cls) -> dict[str, object]:
    parameters = inspect.signature(cls).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def test_a_model_has_every_option() -> None:
    assert inspect.signature(bn.Model).parameters.keys() == DEFAULTS.keys()
    own = dict.fromkeys(OWN)  # None: the default of the optimiser
    assert arguments(bn.Model) == {name: DEFAULTS[name] for name in arguments(bn.Model)} | own


@pytest.mark.parametrize("cell", LAYERS)
def test_a_layer_has_the_options_of_its_cell(cell) -> None:
    number = CELL.choices[cell]
    own = {
        option.python_name
        for option in OPTIONS.values()
        if option.group == "layer" and "." not in option.python_name
        if option.owner is None or number in option.owners
    } - {"cell"}
    assert inspect.signature(LAYERS[cell]).parameters.keys() == own | {"batch_first"}
    given = arguments(LAYERS[cell])
    assert given == {name: DEFAULTS[name] for name in given}


def test_the_constructors_agree_with_the_engines_defaults() -> None:
    made = bn.Model(**SIZES)
    assert {**made.config, "betas": None, "eps": None} == {**DEFAULTS, **SIZES}


@pytest.mark.parametrize("make", LAYERS.values())
def test_a_signature_is_what_python_calls(make) -> None:
    with pytest.raises(TypeError, match=f"{make.__name__}.__init__.* 'hidden_size'"):
        make(3)
    with pytest.raises(TypeError, match=f"^{make.__name__}: unexpected argument 'sigma'"):
        make(3, 4, sigma=1)
    assert make(3, hidden_size=4, num_layers=2).num_layers == make(3, 4, 2).num_layers == 2


# ------------------------------------------------------------------- constructors and model files


def sample(option: Option) -> object:
    """A value of Python's that is not the default."""
    if option.kind == "flag":
        return not option.python_default
    if option.kind == "choice":
        return next(name for name, n in option.choices.items() if n != option.default)
    return SAMPLES[option.kind]


def as_argument(option: Option, value: object) -> dict[str, object]:
    """The argument of `Model` that gives the option a value."""
    if option.python_name.startswith("init."):
        return {"init": bn.Init(**{option.python_name.removeprefix("init."): value})}
    parts = {"beta1": (value, None), "beta2": (0.9, value), "truncation_k1": (value, 3),
             "truncation_k2": (1, value)}  # fmt: skip
    return {option.python_name: parts.get(option.name, value)}


def named(option: Option, value: int) -> str:
    return next(name for name, known in option.choices.items() if known == value)


def owner_of(option: Option, owns: bool = True) -> dict[str, object]:
    """The cell, optimiser or loss that has the option, or one that has not."""
    if option.owner is None:
        return {}
    owner = OPTIONS[option.owner]
    found = next(name for name, n in owner.choices.items() if (n in option.owners) == owns)
    return {owner.python_name: found}


def file_with(arguments: dict[str, object], option: Option, value: object) -> bytes:
    """The file of a model, and in it one option more."""
    header, body = split(bytes(bn.Model(**{**SIZES, **arguments})._native.serialize()))
    config = json.loads(header["__metadata__"]["config"])
    config[option.file_name] = value
    header["__metadata__"]["config"] = json.dumps(config)
    return joined(header, body)


def refused_alike(arguments: dict[str, object], option: Option, value: object) -> None:
    """Both the constructor and the reader of files refuse the option."""
    given = {**SIZES, **arguments, **as_argument(option, value)}
    assert refusal(lambda: bn.Model(**given))[0] == option.python_name
    with pytest.raises(ValueError, match=f"impossible option {option.file_name}"):
        _core.Model.deserialize(file_with(arguments, option, value))


@pytest.mark.parametrize(
    "name", [n for n, o in OPTIONS.items() if o.kind in BEYOND and n not in INPUTS]
)
def test_values_of_no_kind(name) -> None:
    option = OPTIONS[name]
    for value in BEYOND[option.kind]:
        refused_alike(owner_of(option), option, value)


@pytest.mark.parametrize(
    "name", [n for n, o in OPTIONS.items() if o.owner and o.kind not in ("choice", "leaks")]
)
def test_options_of_others(name) -> None:
    option = OPTIONS[name]
    more = {"momentum": 0.5} if name == "nesterov" else {}
    made = bn.Model(**SIZES, **owner_of(option), **as_argument(option, sample(option)), **more)
    assert copy.copy(made).config == made.config
    others, value = owner_of(option, owns=False), sample(option)
    if name not in ("beta1", "beta2", "eps"):
        refused_alike(others, option, value)
        return
    # Earlier versions ignored these options, so files may contain them.
    given = {**SIZES, **others, **as_argument(option, value)}
    assert refusal(lambda: bn.Model(**given))[0] == option.python_name
    loaded = _core.Model.deserialize(file_with(others, option, value))
    assert loaded.serialize() == bn.Model(**SIZES, **others)._native.serialize()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule['option']}-{rule['other']}")
def test_what_excludes_what(rule) -> None:
    option, other = OPTIONS[rule["option"]], OPTIONS[rule["other"]]
    value = named(option, min(rule["values"])) if rule["values"] else sample(option)
    given = owner_of(option) | owner_of(other)
    if rule["other_values"]:
        in_set = rule["excludes"]
        found = (n for n, v in other.choices.items() if (v in rule["other_values"]) == in_set)
        given |= {other.python_name: next(found)}
    elif other.kind == "flag":
        given |= {other.python_name: rule["excludes"] != other.inverted}
    elif rule["excludes"]:
        given |= as_argument(other, sample(other))
    if given.get("init") == "chrono":
        given["init"] = bn.Init("chrono", time_scale=5)
    if option.name == "targets":  # older files call it "last"
        with pytest.raises(ValueError, match="argument 'targets'"):
            bn.Model(**{**SIZES, **given, "targets": value})
    elif rule["option"] == "init" and rule["other"] == "dale":  # older files may have it
        _core.Model.deserialize(file_with({**given, "init": "default"}, option, value))
        assert refusal(lambda: bn.Model(**{**SIZES, **given, "init": value}))[0] == "init"
    else:
        refused_alike(given, option, value)


# -------------------------------------------------------------------------- command line and page


def test_the_command_line_has_a_flag_for_every_option() -> None:
    train = next(
        action.choices["train"] for action in build_parser()._actions if action.dest == "command"
    )
    flags = {flag for action in train._actions for flag in action.option_strings}
    decided = {  # by the data and the task, or under a name of a run's own
        "input_size", "vocab_size", "output_size", "targets", "reduction", "batch_first",
        "ignore_index", "class_weights", "alphas", "hidden_size", "num_layers", "embedding_size",
    }  # fmt: skip
    for option in OPTIONS.values():
        assert (f"--{option.file_name.replace('_', '-')}" in flags) == (option.name not in decided)
    assert {"--hidden", "--layers", "--embedding"} <= flags


def test_a_run_builds_its_model_of_all_flags() -> None:
    options = {"cell": "rnn", "init": "sparse", "spectral_radius": 1.5, "beta1": 0.5, "beta2": 0.75,
               "truncation_k1": 2, "truncation_k2": 4, "amsgrad": True, "eps": 1e-6, "bias": False,
               "nonfinite": "zero", "decay_biases": True, "zoneout": 0.25}  # fmt: skip
    of_the_task = {"bidirectional": True, "label_smoothing": 0.125}
    assert options.keys() <= MODEL_OPTIONS.keys()
    run = ClassifyOptions(sequence="s", label="l", **options, **of_the_task)
    with pytest.raises(ValueError, match=r"'truncation': expected None with bidirectional=True"):
        run.model(input_size=2, output_size=3)
    run = replace(run, truncation_k1=None, truncation_k2=None)
    config = run.model(input_size=2, output_size=3).config
    assert {name: config[name] for name in of_the_task} == of_the_task
    run = replace(run, bidirectional=False, truncation_k1=2, truncation_k2=4)
    config = run.model(input_size=2, output_size=3).config
    assert config["init"] == bn.Init("sparse", spectral_radius=1.5)
    assert (config["betas"], config["truncation"]) == ((0.5, 0.75), (2, 4))
    for name in ("cell", "amsgrad", "eps", "bias", "nonfinite", "decay_biases", "zoneout"):
        assert config[name] == options[name]


def test_the_page_is_the_table() -> None:
    assert options_page.PAGE.read_text(encoding="utf-8") == options_page.page(), (
        "run: python tests/helpers/options_page.py"
    )
    assert len(re.findall(r"^\| `", options_page.page(), re.MULTILINE)) == len(OPTIONS)
