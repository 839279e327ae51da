"""SHA-256 of model files: the portable code and the CPU's instructions against hashlib."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from helpers.paths import CPP

PROGRAM = Path(__file__).with_name("sha256.cpp")
FLAGS = ["-std=c++20", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Werror", f"-I{CPP}"]
# The options of CMakeLists.txt for kernels_sha256.cpp.
INSTRUCTIONS = {
    "x86_64": ["-march=x86-64", "-mssse3", "-msse4.1", "-msha"],
    "aarch64": ["-march=armv8-a+crypto"],
}
LENGTHS = [*range(301), 4095, 4096, 4097, 65_537, 1_000_003, 5_000_000]
DATA = np.random.Generator(np.random.Philox(3)).bytes(max(LENGTHS))


def build(compiler: str, folder: Path, machine: str) -> Path:
    """Build the program from the library's own two files."""
    objects = []
    for source, options in [
        (PROGRAM, []),
        (CPP / "modelfile" / "sha256.cpp", []),
        (CPP / "kernels" / "kernels_sha256.cpp", INSTRUCTIONS[machine]),
    ]:
        objects.append(folder / f"{source.parent.name}_{source.stem}.o")
        command = [compiler, *FLAGS, *options, "-c", str(source), "-o", str(objects[-1])]
        subprocess.run(command, check=True, timeout=120)
    program = folder / "sha256"
    subprocess.run([compiler, *map(str, objects), "-o", str(program)], check=True, timeout=120)
    return program


def compare(command: list[str], how: str) -> None:
    """Compare the digests of all lengths."""
    done = subprocess.run(
        [*command, how, *map(str, LENGTHS)], input=DATA, capture_output=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    got = done.stdout.decode().split()
    assert got == [hashlib.sha256(DATA[:length]).hexdigest() for length in LENGTHS]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    if not compiler:
        pytest.skip("there is no C++ compiler")
    return build(compiler, tmp_path_factory.mktemp("sha256"), platform.machine())


def cpu_has_instructions() -> bool:
    if platform.machine() == "aarch64":
        hwcap_sha2 = 1 << 6
        return bool(ctypes.CDLL(None).getauxval(16) & hwcap_sha2)
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and "sha_ni" in cpuinfo.read_text().split()


def test_the_portable_code(program: Path, comparisons) -> None:
    compare([str(program)], "portable")
    comparisons.add("hashlib, SHA-256 in portable code", len(LENGTHS))


def test_the_instructions_of_this_cpu(program: Path, comparisons) -> None:
    if not cpu_has_instructions():
        pytest.skip("this CPU has no instructions for SHA-256")
    compare([str(program)], "native")
    comparisons.add("hashlib, SHA-256 with this CPU's instructions", len(LENGTHS))


def test_the_instructions_of_arm(tmp_path: Path, comparisons) -> None:
    compiler = shutil.which("aarch64-linux-gnu-g++")
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if not compiler or not emulator:
        pytest.skip("aarch64-linux-gnu-g++ or qemu-aarch64 is not installed")
    program = build(compiler, tmp_path, "aarch64")
    sysroot = next(p for p in ["/usr/aarch64-linux-gnu", "/"] if Path(p).exists())
    for how in ["native", "portable"]:
        compare([emulator, "-L", sysroot, str(program)], how)
    comparisons.add("hashlib, SHA-256 on emulated Arm", 2 * len(LENGTHS))
