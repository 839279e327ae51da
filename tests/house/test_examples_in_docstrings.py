"""The examples in docstrings: each public class, function and method has one, and it runs."""

import doctest
import inspect
import io
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import bptt_native as bn


def public_things(module: types.ModuleType, path: str = "bn") -> Iterator[tuple[str, object]]:
    """Yield the public classes and functions of a module, and those of the modules in it."""
    for name in getattr(module, "__all__", dir(module)):
        thing, place = getattr(module, name), f"{path}.{name}"
        if isinstance(thing, types.ModuleType):
            if thing.__name__.startswith("bptt_native.") and not name.startswith("_"):
                yield from public_things(thing, place)
        elif inspect.isclass(thing) or inspect.isroutine(thing):
            own = str(getattr(thing, "__module__", "")).startswith("bptt_native")
            if own and not name.startswith("_"):
                yield place, thing


def methods_of(kind: type) -> Iterator[tuple[str, object]]:
    """Yield the public methods of a class that take arguments, wherever they are defined."""
    for name in dir(kind):
        method = inspect.getattr_static(kind, name)
        method = getattr(method, "__func__", method)
        if name.startswith("_") or not inspect.isfunction(method):
            continue
        if (
            method.__module__.startswith("bptt_native")
            and len(inspect.signature(method).parameters) > 1
        ):
            yield name, method


def documented() -> dict[str, object]:
    """Return all that must have an example: each thing once, by the first name that it has."""
    found: dict[int, tuple[str, object]] = {}
    for place, thing in public_things(bn):
        found.setdefault(id(thing), (place, thing))
        if inspect.isclass(thing):
            for name, method in methods_of(thing):
                found.setdefault(id(method), (f"{place}.{name}", method))
    return dict(found.values())


THINGS = documented()


@pytest.mark.parametrize("name", THINGS)
def test_an_example_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example needs no other library than the figures do, and leaves the settings alone."""
    pytest.importorskip("matplotlib")
    text = inspect.getdoc(THINGS[name]) or ""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    parsed = doctest.DocTestParser().get_doctest(text, {"bn": bn, "np": np}, name, None, 0)
    assert parsed.examples, f"{name} has no example"
    settings = bn.get_num_threads(), bn.get_flush_subnormals()
    report = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(
            parsed, out=report.write, clear_globs=False
        )
    assert not results.failed, report.getvalue()
    assert (bn.get_num_threads(), bn.get_flush_subnormals()) == settings


def test_the_walk_finds_things_of_each_kind() -> None:
    assert len(THINGS) > 100
    for name in ("bn.GRU.forward", "bn.Model.fit", "bn.GRU.summary", "bn.Adam",
                 "bn.diagnostics.lyapunov", "bn.schedules.Cosine"):  # fmt: skip
        assert name in THINGS, name
