"""The structure of the sources: includes, imports, exported symbols, and forbidden text."""

import ast
import re
import shutil
import subprocess
import sys
import zlib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import bptt_native as bn
from helpers.cprograms import library
from helpers.paths import CPP, ROOT, TESTS

PYTHON = ROOT / "python" / "bptt_native"
BINARY = {".png", ".safetensors"}
SIMD_MAY_INCLUDE = {"stddef.h", "stdint.h", "string.h", "immintrin.h", "arm_neon.h"}

PUBLIC = tuple(f"include/{path.name}" for path in sorted((CPP / "include").glob("*.h")))

# The rooms of the C++ core, from top to bottom: a file may include files of its room or below.
CPP_ROOMS = (
    "capi modelfile diagnostics model sequence/backward sequence/forward sequence base kernels "
    "include"
)
# The bindings include the public header, as any caller does, and the locks that survive fork().
BINDINGS_MAY_INCLUDE = {"bindings", "include"}
BINDINGS_MAY_INCLUDE_FILES = {"base/fork.h"}
# Other rooms include one header of the kernels. The code below it is compiled per instruction set.
KERNELS_DOOR = "kernels/kernels.h"

# The rooms of the package, from the top down: each may import those after it. Only tests import the
# specification, which is in reference/.
PYTHON_ROOMS = (
    "cli report lab apps plots models training diagnostics nn tasks options runtime arguments"
)


def room_of(path: Path) -> str:
    return str(path.parent.relative_to(CPP))


def sources() -> list[Path]:
    return sorted(p for p in CPP.rglob("*") if p.suffix in {".h", ".cpp"})


def included_by(path: Path) -> list[Path]:
    names = re.findall(r'^#include "([^"]+)"', path.read_text(), re.MULTILINE)
    return [CPP / ("include/" + name if "/" not in name else name) for name in names]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(CPP)))
def test_includes_go_one_way(path: Path) -> None:
    rooms, room = CPP_ROOMS.split(), room_of(path)
    for target in included_by(path):
        assert target.is_file(), f"{path.name} includes {target}, which is in no room"
        name = str(target.relative_to(CPP))
        if room == "bindings":
            assert room_of(target) in BINDINGS_MAY_INCLUDE or name in BINDINGS_MAY_INCLUDE_FILES, (
                f"the bindings include {name}"
            )
        elif room.startswith("kernels"):
            assert room_of(target).startswith("kernels"), f"{room} includes {name}"
        elif room_of(target).startswith("kernels"):
            assert name == KERNELS_DOOR, f"{room} includes {name}"
        else:
            assert rooms.index(room_of(target)) >= rooms.index(room), f"{room} includes {name}"


def test_no_header_includes_itself_through_others() -> None:
    below = {path: included_by(path) for path in sources()}
    finished: set[Path] = set()

    def visit(path: Path, way: tuple[Path, ...]) -> None:
        circle = " -> ".join(p.name for p in (*way, path))
        assert path not in way, f"a circle of includes: {circle}"
        if path not in finished:
            for target in below[path]:
                visit(target, (*way, path))
            finished.add(path)

    for path in below:
        visit(path, ())


@pytest.mark.parametrize(
    "path",
    sorted((CPP / "kernels/simd").iterdir()) + sorted((CPP / "kernels/cells").iterdir()),
    ids=lambda p: p.name,
)
def test_kernels_include_no_library_and_have_no_linkage(path: Path) -> None:
    """A shared inline function in a kernel object could be picked for a CPU that cannot run it."""
    text = path.read_text()
    system = set(re.findall(r"^#include <([^>]+)>", text, re.MULTILINE))
    assert system <= SIMD_MAY_INCLUDE
    assert "namespace bptt {\nnamespace {" in text
    if path.name != "vec.h":
        assert "__AVX" not in re.sub(
            r"constexpr int kTileRows.*?#endif|#if defined\(__AVX512F__\)\nconstexpr.*?#endif",
            "",
            text,
            flags=re.DOTALL,
        )


def python_modules() -> list[Path]:
    """Return all modules but those of the reference."""
    return sorted(p for p in PYTHON.rglob("*.py") if p.parent.name != "reference")


def module_at(parts: tuple[str, ...]) -> str | None:
    """Name the module of the package at a dotted path, as a path without a suffix."""
    base = PYTHON.joinpath(*parts)
    if base.is_dir():
        return "/".join((*parts, "__init__"))
    ours = base.with_suffix(".py").exists() or base.with_suffix(".pyi").exists()
    return "/".join(parts) if ours else None


def imported_by(path: Path) -> set[str]:
    """Return the modules of the package that a module imports anywhere in its text."""
    folder, found = path.relative_to(PYTHON).parts[:-1], set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[tuple[str, ...]] = []
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ("bptt_native", *folder)[: len(folder) + 2 - node.level] if node.level else ()
            module = (*above, *(node.module.split(".") if node.module else ()))
            names = [(*module, alias.name) for alias in node.names]
        for top, *rest in names:
            if top == "bptt_native":
                found.add(module_at(tuple(rest)) or module_at(tuple(rest[:-1])) or "/".join(rest))
    return found


def reference_modules() -> list[Path]:
    return sorted((PYTHON / "reference").glob("*.py"))


@pytest.mark.parametrize("path", reference_modules(), ids=lambda p: p.stem)
def test_the_reference_imports_numpy_and_itself(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1, f"{path.name} imports from above reference/"
        for name in names:
            top = name.partition(".")[0]
            assert top == "numpy" or top in sys.stdlib_module_names, f"{path.name} imports {name}"


def test_every_module_is_in_a_room() -> None:
    assert {p.parent.name for p in PYTHON.glob("*/*.py")} == {*PYTHON_ROOMS.split(), "reference"}
    doors = {"callbacks.py", "metrics.py", "schedules.py"}  # public names of modules in rooms
    assert {p.name for p in PYTHON.glob("*.py")} == {"__init__.py", "__main__.py", *doors}
    assert not list(PYTHON.glob("*/*/*.py")), "a room has no rooms in it"


@pytest.mark.parametrize(
    "path",
    [p for p in python_modules() if p.parent != PYTHON],
    ids=lambda p: str(p.relative_to(PYTHON)),
)
def test_imports_go_one_way(path: Path) -> None:
    room, name = path.parent.name, str(path.relative_to(PYTHON))
    rooms = {module.partition("/")[0] for module in imported_by(path)} - {"_core"}
    order = PYTHON_ROOMS.split()
    below = order[order.index(room) :]
    assert rooms <= set(below), f"{name} imports from above {room}/, or the specification"


@pytest.mark.parametrize("room", [*PYTHON_ROOMS.split(), "reference"])
def test_no_imports_go_round_within_a_room(room: str) -> None:
    modules = {f"{room}/{path.stem}": imported_by(path) for path in (PYTHON / room).glob("*.py")}
    graph = {name: found & modules.keys() for name, found in modules.items()}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, which names them
    assert set(order) == modules.keys()


def test_a_wheel_has_less_than_two_megabytes() -> None:
    files = [p for p in Path(bn.__file__).parent.rglob("*") if p.is_file() and p.suffix != ".pyc"]
    assert library() in files
    assert sum(len(zlib.compress(path.read_bytes(), 6)) for path in files) < 1_990_000


def test_a_wheel_has_one_library_file() -> None:
    assert list(library().parent.glob("libbptt.so*")) == [library()]


def symbols(path: Path, *options: str) -> list[tuple[str, str]]:
    if not shutil.which("nm"):
        pytest.skip("nm is not installed")
    out = subprocess.run(
        ["nm", *options, str(path)], capture_output=True, text=True, check=True
    ).stdout
    return [(parts[-2], parts[-1]) for line in out.splitlines() if len(parts := line.split()) >= 2]


def test_the_library_exports_the_public_functions_only() -> None:
    exported = {
        name.split("@")[0]
        for kind, name in symbols(library(), "-D", "--defined-only")
        if kind != "A"
    }
    header = "".join((CPP / name).read_text() for name in PUBLIC)
    declared = set(re.findall(r"^BPTT_API [^(]*?\b(bptt_\w+)\(", header, re.MULTILINE))
    assert exported == declared


def test_no_function_initialises_a_static_at_its_first_call() -> None:
    """Its guard is a lock, which another thread may hold when the process forks."""
    assert not any("cxa_guard" in name for _, name in symbols(library(), "-D"))


def test_one_symbol_per_kernel_object() -> None:
    objects = list((ROOT / "build").rglob("kernels_*.dir/src/cpp/kernels/kernels*.cpp.o"))
    if not objects:
        pytest.skip("no build folder with kernel objects beside these tests")
    for path in objects:
        names = [name for _, name in symbols(path, "-g", "--defined-only")]
        defined = [name for name in names if not name.startswith("__odr_asan")]  # a sanitizer's
        assert len(defined) == 1, f"{path}: {defined}"
        assert "kernels_" in defined[0], path


def test_versions_agree() -> None:
    version = re.search(
        r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert version is not None
    assert bn.__version__ == version[1]


def test_import_is_quick_and_light() -> None:
    code = (
        "import numpy, os, sys;"
        "tasks = lambda: len(os.listdir('/proc/self/task')) if os.path.exists('/proc/self') else 0;"
        "before, threads = set(sys.modules), tasks();"
        "import bptt_native; print(tasks() - threads,"
        "*sorted(m for m in set(sys.modules) - before if m.partition('.')[0] in"
        "{'matplotlib', 'tqdm', 'torch', 'argparse', 'csv', 'hashlib'}))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert all(run[0] == "0" for run in runs), "import must start no thread"
    assert all(len(run) == 1 for run in runs), f"imported without need: {runs[0][1:]}"


def text_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [
        ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).suffix not in BINARY
    ]


def test_no_museum() -> None:
    for path in text_files():
        if path.is_file() and path != Path(__file__):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"#if 0\b|\bFIXME\b|\bXXX\b|TODO(?!\(|:)", text), path


def test_the_design_page_names_each_source() -> None:
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rooms = page[page.index("## Rooms") : page.index("## Tables")]
    named = set(re.findall(r"\w+", rooms))
    folders = [CPP, PYTHON, ROOT / "benchmarks"]
    found = [p for top in folders for p in top.rglob("*") if p.suffix in {".h", ".cpp", ".py"}]
    assert len(found) > 200
    unnamed = {p.name for p in found if p.stem not in {*named, "__init__", "__main__"}}
    assert not unnamed, "docs/design.md, Rooms: no line names these files"


def files_of_tests() -> list[Path]:
    return sorted(p for p in TESTS.rglob("*") if p.suffix in {".py", ".c", ".cpp", ".h"})


@pytest.mark.parametrize(
    "path",
    sources() + python_modules() + reference_modules() + files_of_tests(),
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_a_person_can_read_each_file(path: Path) -> None:
    lines = 700 if path.name == "bptt.h" else 600  # the public header is one page by intention
    assert len(path.read_text().splitlines()) <= lines
