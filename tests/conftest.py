"""Axes of tests (`isa`, `cell`, `dtype`), records for the summary, and settings of hypothesis."""

import importlib.metadata
import importlib.util
import os
import signal
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

try:
    import bptt_native as bn
except ModuleNotFoundError as error:
    if error.name != "bptt_native":
        raise
    raise pytest.UsageError("bptt_native is not installed here: `make test` builds it") from None

from helpers.cells import LAYERS

# `isa` does not change between the examples of a test, so a function-scoped fixture does no harm.
settings.register_profile(
    "dev", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


# --------------------------------------------------------------------------------------------- axes


@pytest.fixture(params=bn.available_isas())
def isa(request: pytest.FixtureRequest, best_isa_afterwards: None) -> str:
    """Each instruction set of this CPU in turn, in force while the test runs."""
    bn._core.use_isa(request.param)
    return request.param


@pytest.fixture
def best_isa_afterwards() -> Iterator[None]:
    """Restore the instruction set after a test that chooses others."""
    before = bn.isa()
    yield
    bn._core.use_isa(before)


@pytest.fixture
def threads_afterwards() -> Iterator[None]:
    """Restore the number of threads after a test that sets it."""
    before = bn.get_num_threads()
    yield
    bn.set_num_threads(before)


@pytest.fixture(params=LAYERS)
def cell(request: pytest.FixtureRequest) -> str:
    """Each cell, by name."""
    return request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    """Both native dtypes, by name."""
    return request.param


# ------------------------------------------------------------------------------------------ records
# Records are user properties of the reports, so those of other processes arrive too.


class Comparisons:
    """Counts the comparisons that really ran: `comparisons.add("PyTorch")`."""

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        self.properties = properties

    def add(self, kind: str, n: int = 1) -> None:
        self.properties.append(("comparisons", (kind, int(n))))


class Errors:
    """Keeps the largest error: `errors.add(isa, dtype, "weight_hh", error)`."""

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        self.properties = properties
        self.largest: dict[tuple[str, str, str], float] = {}

    def add(self, isa: str, dtype: str, kind: str, error: float) -> None:
        key = (str(isa), np.dtype(dtype).name, kind)
        self.largest[key] = larger(self.largest.get(key, 0.0), float(error))

    def hand_over(self) -> None:
        self.properties.extend(("errors", (*key, error)) for key, error in self.largest.items())


def larger(a: float, b: float) -> float:
    """The larger of two errors, where NaN is the largest of all."""
    return a if a != a or a > b else b


@pytest.fixture
def comparisons(request: pytest.FixtureRequest) -> Comparisons:
    """Recorder of comparisons, summed in the summary."""
    return Comparisons(request.node.user_properties)


@pytest.fixture
def errors(request: pytest.FixtureRequest) -> Iterator[Errors]:
    """Recorder of errors, whose maxima the summary prints as a table."""
    recorder = Errors(request.node.user_properties)
    yield recorder
    recorder.hand_over()


class Summary:
    """Gathers the records of all tests and prints them at the end."""

    def __init__(self) -> None:
        self.comparisons: Counter[str] = Counter()
        self.errors: dict[str, dict[str, float]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown":
            return
        for name, value in report.user_properties:
            if name == "comparisons":
                kind, n = value
                self.comparisons[kind] += n
            elif name == "errors":
                isa, dtype, kind, error = value
                row = self.errors.setdefault(kind, {})
                column = f"{isa} {dtype}"
                row[column] = larger(row.get(column, 0.0), error)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.errors:
            terminalreporter.section("largest error of each tensor", sep="-")
            columns = sorted({c for row in self.errors.values() for c in row})
            first = max(map(len, self.errors))
            terminalreporter.line(" ".join([" " * first, *(f"{c:>14}" for c in columns)]))
            for kind, row in sorted(self.errors.items()):
                cells = (f"{row[c]:14.1e}" if c in row else " " * 14 for c in columns)
                terminalreporter.line(" ".join([f"{kind:<{first}}", *cells]))
        if self.comparisons:
            terminalreporter.section("comparisons that ran", sep="-")
            for kind, n in sorted(self.comparisons.items()):
                terminalreporter.line(f"comparisons with {kind}: {n}")


# --------------------------------------------------------------------------------------- long tests


class LongBudget:
    """Skips the long tests that have not begun when the time given to them is used up."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.left = seconds

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Move the tests to the front that are not to fall to the budget."""
        items.sort(key=lambda item: item.get_closest_marker("first") is None)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if self.left <= 0 and item.get_closest_marker("long"):
            pytest.skip(f"{self.seconds:g} s for long tests are used up: `make test-all` runs it")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "long" in report.keywords:
            self.left -= report.duration


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long-budget", type=float, metavar="SECONDS", help="time for tests marked long"
    )


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts background jobs
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(Summary())
    if config.getoption("long_budget") is not None:
        config.pluginmanager.register(LongBudget(config.getoption("long_budget")))


def pytest_report_header() -> list[str]:
    has_torch = importlib.util.find_spec("torch") is not None
    torch = importlib.metadata.version("torch") if has_torch else "absent"
    return [
        f"bptt_native: {bn.__version__}, {bn.isa()} (of {', '.join(bn.available_isas())}), "
        f"{bn.get_num_threads()} threads",
        f"peers: numpy {np.__version__}, torch {torch}",
    ]
