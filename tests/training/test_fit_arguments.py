"""Arguments of ``fit`` and ``resume``: refused by name before anything changes."""

import json

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import fit, resume
from bptt_native.training.fit import FitTrainer
from helpers.fitting import bits, classifier, sequences

WRONG = [
    ({"max_skips": 0}, "'max_skips': expected an integer >= 1, got 0"),
    ({"max_skips": 2.0}, "'max_skips': expected an integer >= 1, got the number 2.0"),
    ({"max_skips": None}, "'max_skips': expected an integer >= 1, got None"),
    ({"checkpoint_every": 0}, "'checkpoint_every': expected an integer >= 1"),
    ({"checkpoint_every": -3}, "'checkpoint_every': expected an integer >= 1"),
    ({"checkpoint_every": True}, "'checkpoint_every': expected an integer >= 1, got True"),
    ({"checkpoint_every": "2"}, "'checkpoint_every': expected an integer >= 1, got the text"),
    (
        {"callbacks": print},
        "'callbacks': expected a sequence of functions or Callback objects, got",
    ),
    (
        {"callbacks": None},
        "'callbacks': expected a sequence of functions or Callback objects, got None",
    ),
    (
        {"callbacks": "ab"},
        "'callbacks': expected a sequence of functions or Callback objects, got the text",
    ),
    (
        {"callbacks": [print, 3]},
        r"'callbacks\[1\]': expected a function or a Callback, got the number 3",
    ),
]
PATHS = [
    (3, "expected a path .*, got the number 3"),
    (b"run", "expected a path .*, got the text b'run'"),
    (["run"], "expected a path .*, got a list"),
    ("", "expected the name of a file or folder"),
    ("a\0b", "expected the name of a file or folder"),
]
OF_THE_TRAINER = [({"eval_every": 0}, "'eval_every'"), ({"eval_every": 1.5}, "'eval_every'"),
                  ({"until": 0}, "'until'"), ({"until": 2.5}, "'until'")]  # fmt: skip


def refused(where, text):
    return pytest.raises((TypeError, ValueError), match=f"^{where}: argument {text}")


@pytest.mark.parametrize(("changes", "text"), WRONG)
def test_fit_and_resume_refuse_it_before_anything_changes(tmp_path, changes, text):
    x, y = sequences()
    model = classifier()
    before = bits(model)
    with refused("fit", text):
        fit(model, x, y, out=tmp_path / "new", **changes)
    assert (bits(model), model.step_count) == (before, 0)
    assert not (tmp_path / "new").exists()
    fit(model, x, y, epochs=1, out=tmp_path / "run")
    files = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with refused("resume", text):
        resume(tmp_path / "run", x, y, epochs=2, **changes)
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == files


@pytest.mark.parametrize(("wrong", "text"), PATHS)
def test_a_run_is_written_to_a_path(wrong, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = sequences()
    model = classifier()
    before = bits(model)
    with refused("fit", f"'out': {text}"):
        fit(model, x, y, out=wrong)
    with refused("resume", f"'path': {text}"):
        resume(wrong, x, y)
    assert (bits(model), model.step_count) == (before, 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("changes", "text"), [*WRONG, *OF_THE_TRAINER])
def test_a_trainer_refuses_it_too(tmp_path, changes, text):
    trainer = FitTrainer(classifier(), *sequences(), epochs=2)
    with refused("FitTrainer.fit", text):
        trainer.fit(tmp_path / "new", **changes)
    assert (trainer.step, trainer.eval_every) == (0, None)
    assert not (tmp_path / "new").exists()


def test_a_run_that_could_not_be_resumed(tmp_path):
    x, y = sequences()
    model = classifier()
    with refused("fit", "'checkpoint_every': expected None without out, .*, got 3"):
        model.fit(x, y, checkpoint_every=3)
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(NotADirectoryError, match="fit: argument 'out': expected a folder"):
        model.fit(x, y, out=path)
    model.freeze(*model.parameters)
    with pytest.raises(ValueError, match=r"^fit: all parameters are frozen; model\.unfreeze"):
        model.fit(x, y)
    assert model.step_count == 0


def test_resume_names_what_is_wrong(tmp_path):
    x, y = sequences()
    out, held = tmp_path / "run", sequences(4, seed=1)
    classifier().fit(x, y, epochs=2, out=out, validation=held, weights=np.ones(10, "f4"))
    given = {"validation": held, "weights": np.ones(10, "f4")}
    for name, data in {
        "x": ([x[0] + 1, *x[1:]], y), "targets": (x, (y + 1) % 4)
    }.items():  # fmt: skip
        with refused("resume", f"'{name}': expected the data of the run"):
            resume(out, *data, **given)
    with refused("resume", "'weights': expected the data of the run"):
        resume(out, x, y, validation=held, weights=np.arange(1, 11, dtype="f4"))
    with refused("resume", "'validation': expected the data of the run"):
        resume(out, x, y, validation=(x, y), weights=given["weights"])
    with refused("resume", "'epochs': expected a run longer than the 2 steps taken, got 1, which"):
        resume(out, x, y, epochs=1, **given)
    with refused("resume", "'steps': expected a run longer than the 2 steps taken, got 2$"):
        resume(out, x, y, steps=2, **given)
    for path in (tmp_path / "nope", tmp_path):
        with pytest.raises(FileNotFoundError, match="resume: argument 'path': expected") as caught:
            resume(path, x, y)
        assert str(caught.value).count(str(path)) == 1
    (out / "model.safetensors").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"^resume: argument 'path'"):
        resume(out, x, y)


def test_a_run_that_is_printed():
    x, y = sequences()
    seen = []

    def look(run):
        seen.append(repr(run))
        return run.stpes

    text = "^'Run' object has no attribute 'stpes'; did you mean 'steps'"
    callback = bn.callbacks.LambdaCallback(on_epoch_end=look)
    with pytest.raises(AttributeError, match=text):
        classifier().fit(x, y, epochs=3, callbacks=callback)
    assert seen == ["Run(step=1 of 3, epoch=1 of 3)"]


def test_integers_of_numpy_and_a_tuple_of_functions_are_right(tmp_path):
    seen = []
    two = np.int64(2)
    trainer = FitTrainer(classifier(), *sequences(), steps=6)
    trainer.fit(str(tmp_path), eval_every=two, checkpoint_every=two, max_skips=two, until=two,
                callbacks=(seen.append,))  # fmt: skip
    left = json.loads(bn.load(tmp_path / "model.safetensors").metadata["training"])
    assert (left["step"], left["eval_every"], len(seen)) == (2, 2, 2)
