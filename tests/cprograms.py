"""Builds the C programs of the tests against the installed header and library."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import bptt_native

HERE = Path(__file__).parent / "capi"
PACKAGE = Path(bptt_native.__file__).parent
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O1", "-g"]


def compiler() -> str:
    """The C compiler, or the test is skipped."""
    found = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")
    if not found:
        pytest.skip("there is no C compiler")
    return found


def library() -> Path:
    """The installed library."""
    return PACKAGE / "lib" / "libbptt.so.1"


def build(name: str, folder: Path, *options: str) -> Path:
    """Build tests/capi/{name}.c; any warning fails."""
    program = folder / name
    subprocess.run(
        [
            compiler(),
            *FLAGS,
            f"-I{PACKAGE / 'include'}",
            str(HERE / f"{name}.c"),
            "-o",
            str(program),
            str(library()),
            f"-Wl,-rpath,{library().parent}",
            "-lm",
            "-lpthread",
            *options,
        ],
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


def run(program: Path, *arguments: str, **environment: str) -> str:
    """Run a program that has to succeed; give what it printed."""
    done = subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, f"{program.name}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
