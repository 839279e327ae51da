"""Guesses of people from other libraries: each is right, or the answer explains what is."""

from collections import Counter
from pathlib import Path

import pytest

from helpers.guesses import Guess, guesses, names

GUESSES = guesses()


@pytest.mark.parametrize("guess", GUESSES, ids=[guess.code for guess in GUESSES])
def test_a_guess(guess: Guess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = names()
    if guess.back.startswith("= "):
        it = eval(guess.code, given)
        assert eval(guess.back[2:], {**given, "it": it}), f"the result is {it!r}"
        return
    with pytest.raises((Exception, Warning)) as caught:
        eval(guess.code, given)
    assert f"{caught.type.__name__}: {caught.value}".startswith(guess.back)


def test_there_are_a_hundred_of_several_habits() -> None:
    assert len(GUESSES) == len({guess.code for guess in GUESSES}) >= 100
    habits = Counter(guess.habit for guess in GUESSES)
    assert habits.keys() == {"PyTorch", "Keras", "scikit-learn", "NumPy", "misspelt"}
    assert min(habits.values()) >= 10
    right = sum(guess.back.startswith("= ") for guess in GUESSES)
    assert 30 <= right <= len(GUESSES) - 30
