"""Builds of the library, and the C and C++ programs of the tests that are linked to them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import bptt_native
from helpers.paths import ROOT, TESTS

HERE = TESTS / "capi"
PACKAGE = Path(bptt_native.__file__).parent
WARNINGS = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
FLAGS = ["-std=c99", *WARNINGS, "-O1", "-g"]


@dataclass(frozen=True)
class Library:
    """A build of the library that programs are linked to."""

    path: Path
    include: Path
    compiler: str = ""  # the C compiler; empty: that of this machine
    flags: Sequence[str] = ()  # flags of a program that is linked to the library


INSTALLED = Library(PACKAGE / "lib" / "libbptt.so.1", PACKAGE / "include")


def compiler() -> str:
    """Return the C compiler, or skip the test."""
    found = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")
    if not found:
        pytest.skip("there is no C compiler")
    return found


def library() -> Path:
    """Return the installed library."""
    return INSTALLED.path


def cpp_compiler() -> str:
    """Return the C++ compiler, or skip the test."""
    found = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    if not found:
        pytest.skip("there is no C++ compiler")
    return found


def build(
    name: str, folder: Path, *options: str, of: Library = INSTALLED, linked: bool = True
) -> Path:
    """Build tests/capi/{name}.c or .cpp, linked with the library if `linked`; a warning fails."""
    program, source = folder / name, HERE / f"{name}.c"
    command = [of.compiler or compiler(), *FLAGS]
    if not source.exists():
        source = source.with_suffix(".cpp")
        command = [cpp_compiler(), "-std=c++17", *WARNINGS, "-O1", "-g"]
    command += [*of.flags, f"-I{of.include}", str(source), "-o", str(program)]
    if linked:
        command += [str(of.path), f"-Wl,-rpath,{of.path.parent}"]
    subprocess.run(
        [*command, "-lm", "-lpthread", "-ldl", *options],
        check=True,
        timeout=120,
    )
    return program


def build_shim(folder: Path, name: str = "interpose") -> Path:
    """Build tests/capi/{name}.c as a library to be loaded before the C library."""
    shim = folder / f"{name}.so"
    source, output = str(HERE / f"{name}.c"), ["-o", str(shim)]
    subprocess.run(
        [compiler(), *FLAGS, "-U_FORTIFY_SOURCE", "-fPIC", "-shared", source, *output, "-ldl"],
        check=True,
        timeout=120,
    )
    return shim


def cmake(*arguments: str) -> None:
    """Run CMake, which may be in the virtual environment alone, or skip the test."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    tool = shutil.which("cmake", path=path)
    if not tool:
        pytest.skip("not installed: cmake")
    environment = {**os.environ, "PATH": path}
    if shutil.which("ninja", path=path):
        environment.setdefault("CMAKE_GENERATOR", "Ninja")
    done = subprocess.run(
        [tool, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def run(
    program: Path, *arguments: str, under: Sequence[str] = (), **environment: str
) -> str:  # fmt: skip
    """Run a program that must succeed, `under` another if given; return what it printed."""
    done = subprocess.run(
        [*under, str(program), *arguments], capture_output=True, text=True, timeout=120,
        check=False, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, f"{program.name}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
