"""Messages about targets that are no classes, and about inputs that were read in another way."""

import re

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.arguments.readings import Reading, note

T, N = 5, 4
X = np.zeros((T, N, 3), np.float32)
Y = np.random.default_rng(0).integers(0, 3, (T, N))
WORDS = np.array(["a", "b", "c"])[Y]
ONE_HOT = np.eye(3)[Y]
ARGMAX = "(one-hot rows: targets.argmax(axis=2) are their classes)"
UNIQUE = "(labels: np.unique(targets, return_inverse=True)[1] are their classes)"
ONE = "x is read as one sequence of T = 20 steps with I = 7 features; several sequences are "
SWAPPED = (
    "(x is read as [T, N, I]: T = 20 steps of N = 6 sequences; batch_first=True reads [N, T, I])"
)


def net(targets: str = "every", size: int = 3, **options: object) -> bn.Model:
    return bn.Model(
        "gru", input_size=size, hidden_size=4, output_size=3, targets=targets, **options
    )


@pytest.mark.parametrize(
    ("targets", "end"),
    [
        (ONE_HOT, ARGMAX),
        (ONE_HOT.astype("f4"), ARGMAX),
        (ONE_HOT.astype(int), ARGMAX),
        (ONE_HOT.astype(bool), ARGMAX),
        (ONE_HOT.tolist(), ARGMAX.replace("targets.", "np.asarray(targets).")),
        (WORDS, UNIQUE),
        (WORDS.astype(object), UNIQUE),
        (WORDS.tolist(), UNIQUE),
        (Y > 0, "(targets.astype(int) are classes 0 and 1)"),
        ((Y > 0).tolist(), "(np.asarray(targets).astype(int) are classes 0 and 1)"),
        (Y.astype(float), "(targets.astype(int) are classes)"),
        (Y[..., None], "(targets[..., 0] is without the last axis)"),
        (Y + 0.5, "of shape [5, 4] (for values, make the Model with loss='mse')"),
        (np.full((T, N, 3), 0.3), "got a float64 array of shape [5, 4, 3]"),
    ],
)
@pytest.mark.parametrize("method", ["train_step", "eval_step", "gradients", "fit", "evaluate"])
def test_targets_that_are_no_classes(method: str, targets: object, end: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(end) + "$"):
        getattr(net(), method)(X, targets)


@pytest.mark.parametrize("method", ["train_step", "fit"])
def test_one_hot_rows_per_sequence(method: str) -> None:
    for x in (X, list(X.swapaxes(0, 1)))[: 1 + (method == "fit")]:
        with pytest.raises(TypeError, match=r"\(one-hot rows: targets.argmax\(axis=1\) are"):
            getattr(net("last"), method)(x, ONE_HOT[0])


def test_classes_that_do_not_begin_at_0() -> None:
    with pytest.raises(IndexError, match=re.escape("got 1 ... 3 (np.unique(targets, return_inv")):
        net("last").fit(X, [1, 2, 3, 1])
    with pytest.raises(IndexError, match=r"got 0 \.\.\. 3$"):
        net("last").fit(X, [0, 1, 2, 3])


def test_no_targets() -> None:
    for call in (net().fit, net().evaluate):
        with pytest.raises(TypeError, match="argument 'targets': expected the targets of x, got"):
            call(X, None)
    with pytest.raises(TypeError, match="expected the targets of validation"):
        net().fit(X, Y, validation=(X, None))


PLANE, SOLID = np.zeros((20, 7), np.float32), np.zeros((20, 6, 7), np.float32)


@pytest.mark.parametrize(
    ("targets", "x", "y", "end"),
    [
        ("last", PLANE, (20,), f"({ONE}[T, N, I])"),
        ("every", PLANE, (20, 3), f"({ONE}[T, N, I])"),
        ("every", PLANE, (4,), f"({ONE}[T, N, I])"),
        ("last", SOLID, (20,), SWAPPED),
        ("every", SOLID, (6, 20), SWAPPED),
        ("every", SOLID, (6,), "(one target per sequence: Model(targets='last'))"),
        ("every", SOLID, (20,), "(one target per sequence: Model(targets='last'); " + SWAPPED[1:]),
        ("every", SOLID, (3,), "got an int64 array of shape [3]"),
    ],
)
@pytest.mark.parametrize("method", ["train_step", "fit"])
def test_the_reading_of_the_input(method: str, targets: str, x, y, end: str) -> None:
    with pytest.raises(ValueError, match=re.escape(end) + "$"):
        getattr(net(targets, 7), method)(x, np.zeros(y, int))


def test_the_reading_with_batch_first() -> None:
    model = net("last", 7, batch_first=True)
    end = "T = 6 steps of N = 20 sequences; batch_first=False reads [T, N, I]"
    for call in (model.train_step, model.fit):
        with pytest.raises(ValueError, match=re.escape(end)):
            call(SOLID, np.zeros(6, int))
        with pytest.raises(ValueError, match=re.escape(f"({ONE}[N, T, I])")):
            call(PLANE, np.zeros(20, int))


def test_the_reading_of_tokens() -> None:
    model = bn.Model("gru", vocab_size=7, hidden_size=4, output_size=3, targets="last")
    for call in (model.train_step, model.fit):
        with pytest.raises(ValueError, match=r"x is read as one sequence of T = 20 steps; several"):
            call(np.zeros(20, int), np.zeros(20, int))
        with pytest.raises(ValueError, match=r"batch_first=True reads \[N, T\]"):
            call(np.zeros((20, 6), int), np.zeros(20, int))


@pytest.mark.parametrize("name", ["lengths", "state", "weights", "dy"])
def test_other_arguments_tell_the_reading_too(name: str) -> None:
    layer, model = bn.GRU(7, 4), net("every", 7)
    tape = layer.forward(PLANE)[2]
    calls = {
        "lengths": lambda: layer(PLANE, lengths=np.full(20, 6)),
        "state": lambda: layer(PLANE, np.zeros((1, 20, 4), np.float32)),
        "weights": lambda: model.train_step(PLANE, np.zeros(20, int), weights=np.ones(6, "f4")),
        "dy": lambda: layer.backward(tape, np.zeros((20, 1, 4), np.float32)),
    }
    with pytest.raises(ValueError, match=f"argument '{name}'.*x is read as one sequence of T = 20"):
        calls[name]()
    with pytest.raises(ValueError, match=r"argument 'lengths'.*batch_first=True reads \[N, T, I\]"):
        layer(SOLID, lengths=np.full(20, 6))


def test_one_value_per_step_and_one_target_per_sequence() -> None:
    end = r"got a float32 array of shape \[20, 7\] \(x\[..., None\] has the axis of the one feature"
    with pytest.raises(ValueError, match=end):
        net("last", 1).fit(PLANE, np.zeros(20, int))
    with pytest.raises(ValueError, match=r"a list of 4 arrays, as x, got.*Model\(targets='last'\)"):
        net().fit(list(X.swapaxes(0, 1)), Y[0])


def test_nothing_to_say() -> None:
    reading = Reading((T, N), True, T, N, 3, False)
    for value in (None, object(), [[1], [2, 3]], Y):
        assert note(value, "targets", reading) == ""
