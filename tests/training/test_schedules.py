"""Learning-rate schedules and early stopping, as functions of the step and the measurements."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest

from bptt_native import EarlyStopping
from bptt_native.training.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Exponential,
    Plateau,
    Search,
    StepDecay,
    Warmup,
    from_json,
    reading_once,
    schedule_of,
    to_json,
)
from helpers.fitting import bits, classifier, sequences


def test_step_and_exponential():
    assert [StepDecay(3, 0.5)(s) for s in range(8)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    smooth = Exponential(4, 0.1)
    assert smooth(0) == 1
    assert smooth(4) == pytest.approx(0.1)
    assert smooth(6) == pytest.approx(0.1**1.5)
    assert Constant()(10**9) == 1


def test_cosine():
    whole = [Cosine(10)(s) for s in range(12)]
    assert whole[0] == 1
    assert whole[5] == pytest.approx(0.5)
    assert whole[10] == whole[11] == 0  # a run that is longer than its schedule
    assert all(a > b for a, b in pairwise(whole[:11]))
    assert Cosine(10, floor=0.2)(10) == pytest.approx(0.2)
    assert Cosine(10, floor=0.2)(5) == pytest.approx(0.6)


def test_warmup_before_any_other():
    assert [Warmup(4)(s) for s in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    then = Warmup(2, StepDecay(2, 0.5))
    assert [then(s) for s in range(7)] == [0.5, 1, 1, 1, 0.5, 0.5, 0.25]
    plateau = Warmup(2, Plateau(0.5, patience=1))
    assert [plateau(s, [1.0, 2.0, 2.0]) for s in range(3)] == [0.5, 1, 0.5]


def test_plateau_by_hand():
    rule = Plateau(0.5, patience=2, threshold=0.1)
    assert rule(0) == rule(0, [5.0, 4.0, 3.0, 2.0]) == 1
    assert rule(0, [2.0, 1.9, 1.9]) == 1  # less than a tenth better, but only two times
    assert rule(0, [2.0, 1.9, 1.9, 1.9]) == 0.5
    assert rule(0, [2.0, 1.9, 1.7, 1.9, 1.9]) == 1  # 1.7 was better
    assert rule(0, [2.0] + [1.9] * 6) == 0.25
    assert rule(0, [math.nan] * 3) == 0.5
    assert Plateau(0.5, 0, cooldown=2)(0, [1.0] * 5) == 0.25
    assert Plateau(0.1, 0, floor=0.05)(0, [1.0] * 9) == 0.05


@pytest.mark.parametrize("cooldown", [0, 3])
def test_plateau_is_pytorchs(cooldown):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(cooldown)
    losses = np.exp(rng.normal(0, 0.02, 80) - 0.02 * np.minimum(np.arange(80), 30)).tolist()
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=4, threshold=1e-2, cooldown=cooldown
    )
    ours = Plateau(0.5, 4, 1e-2, cooldown)
    for k, loss in enumerate(losses):
        theirs.step(loss)
        assert ours(0, losses[: k + 1]) == optimizer.param_groups[0]["lr"]
    assert ours(0, losses) < 0.5


def test_by_name():
    assert schedule_of("constant", 10) == Constant()
    assert schedule_of("cosine", 10, warmup=4) == Warmup(4, Cosine(6))
    assert schedule_of("step", 34, warmup=4) == Warmup(4, StepDecay(10, 0.1))
    assert schedule_of("exponential", 30, decay=0.5, every=7) == Exponential(7, 0.5)
    assert schedule_of("plateau", 30, decay=0.5, patience=3) == Plateau(0.5, 3)
    with pytest.raises(ValueError, match=r"argument 'schedule': expected .*did you mean 'cosine'"):
        schedule_of("cosin", 10)
    with pytest.raises(ValueError, match="argument 'warmup': expected an integer >= 0"):
        schedule_of("cosine", 10, warmup=-1)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 3])
def test_through_json(name, warmup):
    schedule = schedule_of(name, 20, warmup)
    assert from_json(json.loads(json.dumps(to_json(schedule)))) == schedule


def test_a_function_of_ones_own_is_not_for_json():
    assert to_json(lambda step, losses: 1.0) is None
    assert to_json(Warmup(3, lambda step, losses: 1.0)) is None


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: StepDecay(0), "every"), (lambda: Exponential(3, -0.1), "factor"),
        (lambda: Cosine(0), "steps"), (lambda: Cosine(3, 2.0), "floor"),
        (lambda: Warmup(-1), "steps"), (lambda: Plateau(patience=-1), "patience"),
        (lambda: Plateau(1.5), "factor"), (lambda: Plateau(threshold=math.nan), "threshold"),
        (lambda: EarlyStopping(0), "patience"), (lambda: EarlyStopping(1, -1.0), "min_delta"),
        (lambda: EarlyStopping(monitor="los"), "monitor"),
    ],
)  # fmt: skip
def test_values_are_judged(make, name):
    with pytest.raises(ValueError, match=f"argument '{name}': expected .*, got"):
        make()


def test_early_stopping_by_hand():
    rule = EarlyStopping(patience=2)
    assert rule.best([]) is None
    assert not rule.over([])
    assert rule.best([3.0, 2.0, 2.0, 2.5]) == 1
    assert [rule.over([3.0, 2.0, 2.0, 2.5][:n]) for n in range(5)] == [False] * 4 + [True]
    assert rule.best([3.0, 2.9, 1.0]) == 2
    wide = EarlyStopping(patience=2, min_delta=0.5)
    assert wide.best([3.0, 2.6, 2.4]) == 2
    assert wide.best([3.0, 2.6, 2.55]) == 0
    assert wide.over([3.0, 2.6, 2.55])
    accuracy = EarlyStopping(patience=1, monitor="accuracy")
    assert accuracy.best([0.1, 0.5, 0.4]) == 1
    assert accuracy.over([0.1, 0.5, 0.4])
    assert not accuracy.over([0.1, 0.5])
    assert rule.best([math.nan, 1.0, math.nan]) == 1
    assert rule.over([math.nan, math.nan])


@pytest.mark.parametrize("rule", [
    Plateau(0.5, patience=2, cooldown=1, threshold=0.05), Plateau(0.5, 0, monitor="f1"),
    Warmup(7, Plateau(0.25, patience=1)), Cosine(9), lambda step, losses: len(losses) / (step + 1),
])  # fmt: skip
def test_a_growing_list_is_read_once(rule):
    once, losses = reading_once(rule), []
    rng = np.random.default_rng(0)
    for step in range(60):
        if step % 3:
            losses.append(float(rng.choice([rng.uniform(0.5, 1), math.nan], p=[0.9, 0.1])))
        assert once(step, losses) == rule(step, losses)
        assert once(step, losses) == rule(step, losses)  # a second time


@pytest.mark.parametrize("rule", [EarlyStopping(3), EarlyStopping(2, 0.1, "accuracy")])
def test_a_search_is_its_rule(rule):
    rng = np.random.default_rng(0)
    for _ in range(20):
        search, values = Search(rule), []
        assert (search.best, search.over) == (rule.best(values), rule.over(values))
        for value in [*rng.uniform(0, 1, 8), math.nan, math.inf]:
            values.append(float(value))
            assert search.add(float(value)) == (rule.best(values) == len(values) - 1)
            assert (search.best, search.over) == (rule.best(values), rule.over(values))


# --------------------------------------------------------------------------------------- in a run


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (lambda step, losses: None, "expected a function that returns a finite factor >= 0, got N"),
        (
            lambda step, losses: math.nan,
            "expected a function that returns a finite factor >= 0, go",
        ),
        (lambda step, losses: -1, r"expected a .* finite factor >= 0, got the number -1$"),
        (lambda step, losses: 1.0 if step < 3 else "0.1", "expected .* factor >= 0, got the text"),
        (Cosine, "expected an object of the class, got the class Cosine"),
        (
            lambda step: 1.0,
            "expected the name of a schedule, or a function of the step and the los",
        ),
        (Warmup(2, lambda step, losses: math.inf), "expected .* a finite factor >= 0, got inf"),
        (0.5, "expected the name of a schedule, or a function, got the number 0.5"),
    ],
)
def test_wrong_schedules(rule, text):
    x, y = sequences()
    with pytest.raises((TypeError, ValueError), match=f"^fit: argument 'schedule': {text}"):
        classifier().fit(x, y, steps=5, schedule=rule)


def test_a_wrong_schedule_is_found_before_the_first_update(tmp_path):
    x, y = sequences()
    model = classifier()
    before = bits(model)
    with pytest.raises(TypeError, match="argument 'schedule'"):
        model.fit(x, y, schedule=lambda step, losses: None, out=tmp_path / "run")
    assert bits(model) == before
    assert not list(tmp_path.iterdir())
    assert model.fit(x, y, steps=2, schedule=lambda step, losses: np.float32(0)).rows[1].lr == 0
