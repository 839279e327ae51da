"""Compiled programs of the benchmarks, kept in build/benchmarks, and properties of the CPU."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from items import Skip

HERE = Path(__file__).parent
PROGRAMS = HERE.parent / "build" / "benchmarks"
ISA_FLAGS = {
    "avx512": ["-mavx512f"], "avx2": ["-mavx2", "-mfma"], "sse2": [], "neon": [],
}  # fmt: skip


def compiled(source: str, flags: list[str], libraries: list[str]) -> Path:
    """Return the program of a source file in this folder, compiled if it does not exist yet."""
    path = HERE / source
    variable, default = ("CXX", "c++") if path.suffix == ".cpp" else ("CC", "cc")
    compiler = shutil.which(os.environ.get(variable, default))
    if not compiler:
        raise Skip(f"there is no compiler; set {variable}")
    texts = [path.read_bytes(), (HERE / "workers" / "protocol.h").read_bytes()]
    key = b"\0".join([*texts, *(part.encode() for part in [compiler, *flags, *libraries])])
    program = PROGRAMS / f"{path.stem}-{hashlib.sha256(key).hexdigest()[:12]}"
    if not program.exists():
        PROGRAMS.mkdir(parents=True, exist_ok=True)
        scratch = program.with_suffix(f".{os.getpid()}")
        command = [compiler, *flags, str(path), "-o", str(scratch), *libraries]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Skip(f"it does not compile: {done.stderr.strip()[:500]}")
        scratch.replace(program)
    return program


def onednn(prefix: Path) -> Path:
    """Return the worker that calls oneDNN, with the headers and the library below `prefix`."""
    if not (prefix / "include" / "oneapi" / "dnnl" / "dnnl.hpp").exists():
        raise Skip("onednn-devel-cpu-gomp is not installed")
    flags = ["-std=c++20", "-O3", "-march=native", "-fopenmp", f"-I{prefix / 'include'}"]
    folder = prefix / "lib"
    return compiled("workers/onednn.cpp", flags, [f"-L{folder}", "-ldnnl", f"-Wl,-rpath,{folder}"])


def ours(prefix: Path) -> Path:
    """Return the worker that calls our C library, from the package installed below `prefix`."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    package = prefix / "lib" / version / "site-packages" / "bptt_native"
    if not package.exists():
        import bptt_native

        package = Path(bptt_native.__file__).parent
    library = package / "lib" / "libbptt.so.1"
    if not library.exists():
        raise Skip(f"there is no {library}")
    flags = ["-std=gnu11", "-O2", f"-I{package / 'include'}"]
    return compiled("workers/ours.c", flags, [str(library), f"-Wl,-rpath,{library.parent}"])


@dataclass(frozen=True)
class Rate:
    """A rate of this core, measured by `peak.cpp`."""

    kind: str  # "peak", of multiply-adds in registers; "tile", of a register tile
    dtype: str
    gflops: float
    shape: str = ""  # of the tile

    def __str__(self) -> str:
        return f"{self.dtype} {self.gflops:.1f} Gflop/s" + (self.shape and f" ({self.shape})")


def rates(isa: str) -> list[Rate]:
    """Measure the rates of this core: two for each type."""
    flags = ["-std=c++20", "-O2", "-ffp-contract=fast", *ISA_FLAGS[isa]]
    if isa == "avx512" and "avx512_bf16" in cpu_flags():
        flags.append("-mavx512bf16")
    program = compiled("peak.cpp", flags, [])
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    found = []
    for line in done.stdout.splitlines():
        kind, dtype, _, largest, *tile = line.split()
        shape = "{} x {} vectors; K = {}".format(*tile) if tile else ""
        found.append(Rate(kind, dtype, float(largest), shape))
    return found


def fastest(rates: Iterable[Rate]) -> dict[tuple[str, str], Rate]:
    """Return the largest rate of each kind and type."""
    best: dict[tuple[str, str], Rate] = {}
    for rate in rates:
        key = rate.kind, rate.dtype
        if key not in best or rate.gflops > best[key].gflops:
            best[key] = rate
    return best


def cpu_info() -> dict[str, str]:
    """Return the first processor's entries of /proc/cpuinfo, which may not exist."""
    path = Path("/proc/cpuinfo")
    text = path.read_text().split("\n\n")[0] if path.exists() else ""
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def cpu_flags() -> set[str]:
    return set(cpu_info().get("flags", "").split())


def cpu_name() -> str:
    """Return the name of the processor, with family and model if they are known."""
    info = cpu_info()
    name = info.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in info:
        name += f" family {info['cpu family']} model {info['model']}"
    return name
