"""Peers of the benchmarks, and the processes that run them by the protocol of `serve.py`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import programs
from items import Item, Skip

LAYER_JOBS = ("train", "train-fixed", "infer", "step")
ALL_JOBS = (*LAYER_JOBS, "lm", "minchar")


@dataclass(frozen=True)
class Peer:
    """A peer: a module of `workers` with variants, or a compiled worker."""

    label: str
    module: str = ""
    variants: tuple[str, ...] = ()
    program: Callable[[Path], Path] | None = None
    jobs: tuple[str, ...] = ALL_JOBS
    threads: int | None = None
    environment: str = ""  # name of its virtual environment in --env
    unlimited: tuple[str, ...] = ()  # the instruction sets that it cannot be limited to

    @property
    def is_ours(self) -> bool:
        return self.environment == "bptt"

    @property
    def other_work(self) -> bool:
        """Whether it computes something other than the item, so that results differ."""
        return bool({"model", "lengths", "sorted", "bidirectional"} & set(self.variants))

    @property
    def rounds(self) -> bool:
        """Whether factors of products have fewer bits than the item's dtype."""
        return bool({"bfloat16", "narrow-bfloat16", "narrow-int8"} & set(self.variants))


def _ours(label: str, *variants: str, jobs: tuple[str, ...] = ALL_JOBS) -> Peer:
    return Peer(label, "ours", variants, jobs=jobs, environment="bptt")


TRAIN = ("train", "train-fixed")
PEERS = {
    "bptt": _ours("bptt_native"),
    "bptt-model": _ours("bptt_native, Model.train_step", "model", jobs=TRAIN),
    "bptt-c": Peer("bptt_native from C", program=programs.ours, jobs=LAYER_JOBS,
                   environment="bptt"),
    "bptt-bf16": _ours("bptt_native, bfloat16", "bfloat16"),
    "bptt-model-bf16": _ours(
        "bptt_native, train_step, bfloat16", "model", "bfloat16", jobs=TRAIN
    ),
    "bptt-narrow-bf16": _ours(
        "bptt_native, bfloat16 weights", "narrow-bfloat16", jobs=("step",)
    ),
    "bptt-narrow-int8": _ours("bptt_native, int8 weights", "narrow-int8", jobs=("step",)),
    "bptt-1": Peer("bptt_native, 1 thread", "ours", threads=1, environment="bptt"),
    "torch": Peer("torch", "torch", environment="torch", unlimited=("sse2",)),
    "torch-bf16": Peer("torch, bfloat16", "torch", ("bfloat16",), environment="torch"),
    "jax": Peer("jax", "jax", environment="jax"),
    "numpy": Peer("numpy", "numpy", environment="numpy"),
    "onnxruntime": Peer("onnxruntime", "onnxruntime", jobs=("infer", "step"),
                        environment="onnxruntime", unlimited=("avx2", "sse2")),
    "onednn": Peer("oneDNN", program=programs.onednn, jobs=LAYER_JOBS, environment="onednn"),
}  # fmt: skip
OPTIONS = {
    "bptt": PEERS["bptt"],
    **{
        f"bptt-{name}": _ours(f"bptt_native, {name}", name, jobs=(*TRAIN, "infer"))
        for name in ("lengths", "sorted", "bidirectional", "float64")
    },
}
DEFAULT = ("bptt", "bptt-model", "bptt-c", "onednn", "torch", "jax", "numpy", "onnxruntime")
PYTHON_PEERS = ("torch", "jax", "numpy")

# Environment variables that limit the peers to an instruction set. JAX's worker also limits a
# library of products, see `workers/ynnpack.py`.
LIMITS = {
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2",
             "MKL_ENABLE_INSTRUCTIONS": "AVX2", "OPENBLAS_CORETYPE": "Haswell",
             "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
             "XLA_FLAGS": "--xla_cpu_max_isa=AVX2", "BPTT_BENCH_LIMIT": "avx2"},
    "sse2": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default",
             "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "OPENBLAS_CORETYPE": "Nehalem",
             "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
             "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2", "BPTT_BENCH_LIMIT": "sse2"},
}  # fmt: skip


# With these variables glibc keeps freed memory. By default it returns large blocks to the system,
# which zeroes the pages again at each step; this costs some peers a quarter of their time.
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}


def restart_with_kept_memory(options: argparse.Namespace) -> None:
    """Start this program again with these variables, unless `--memory` says otherwise."""
    if options.memory == "kept" and any(os.environ.get(n) != v for n, v in KEPT_MEMORY.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEPT_MEMORY})


def prefix_of(text: str) -> tuple[str, Path]:
    """Return the peer and the environment of a text "PEER=FOLDER"."""
    name, _, prefix = text.partition("=")
    known = sorted({peer.environment for peer in PEERS.values()})
    if name not in known or not Path(prefix).is_dir():
        raise ValueError(f"expected PEER=FOLDER with PEER one of {', '.join(known)}, got {text!r}")
    return name, Path(prefix).absolute()


def prefixes() -> dict[str, Path]:
    """Return the environments that the variable BPTT_BENCH_ENVS lists."""
    return dict(prefix_of(text) for text in os.environ.get("BPTT_BENCH_ENVS", "").split())


@dataclass
class Setting:
    """Settings of all workers of a run."""

    threads: int
    isa: str | None
    limit_peers: bool
    keep_memory: bool
    prefixes: dict[str, Path]

    def environment(self, peer: Peer) -> dict[str, str]:
        """Return the environment variables of a worker."""
        settings = {
            name: value
            for name, value in os.environ.items()
            if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_WAIT_POLICY")
        }
        if self.keep_memory:
            settings.update(KEPT_MEMORY)
        threads = str(peer.threads or self.threads)
        for name in ("OMP", "MKL", "OPENBLAS", "BPTT"):
            settings[f"{name}_NUM_THREADS"] = threads
        flags = ["--xla_cpu_multi_thread_eigen=false"] if threads == "1" else []
        if self.isa:
            settings["BPTT_ISA"] = self.isa
        if self.isa and self.limit_peers:
            limits = LIMITS.get(self.isa, {})
            settings.update(limits)
            flags += [limits["XLA_FLAGS"]] if limits else []
        settings["XLA_FLAGS"] = " ".join(flags)
        return settings

    def command(self, peer: Peer) -> list[str]:
        prefix = self.prefixes.get(peer.environment)
        if peer.program:
            return [str(peer.program(prefix or Path(sys.prefix)))]
        python = str(prefix / "bin" / "python") if prefix else sys.executable
        return [python, str(programs.HERE / "serve.py"), peer.module, *peer.variants]


class Worker:
    """The process of a peer. Its methods raise `Skip` if the peer cannot do something."""

    def __init__(self, name: str, peer: Peer, setting: Setting) -> None:
        self.name, self.peer = name, peer
        self.threads = peer.threads or setting.threads
        self.repeats = 1
        command, environment = setting.command(peer), setting.environment(peer)
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        try:
            self.process = subprocess.Popen(
                command, env=environment, text=True, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=self.errors,
            )  # fmt: skip
        except OSError as error:
            self.errors.close()
            raise Skip(str(error)) from error
        try:
            self.version = self._answer("ready").removeprefix("ready").strip()
        except Skip:
            self.close()
            raise

    def _answer(self, expected: str) -> str:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("skip "):
                raise Skip(line.removeprefix("skip ").strip())
            if not expected or line.startswith(expected):
                return line.strip()
        self.process.wait(timeout=60)
        self.errors.seek(0)
        last = self.errors.read().strip().splitlines()[-1:] or ["no message"]
        raise Skip(f"its process ended: {last[0]}")

    def _ask(self, line: str, expected: str) -> str:
        assert self.process.stdin
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # `_answer` reports the reason
        return self._answer(expected)

    def setup(self, item: Item, data: Path) -> None:
        self._ask(f"setup {item.words()} {data}", "ok")
        self.repeats = item.repeats

    def run(self, count: int) -> list[tuple[float, float]]:
        """Return seconds and processor seconds of `count` runs; see `serve.py`."""
        pairs = (word.split(":") for word in self._ask(f"run {count}", "").split())
        return [(float(wall), float(cpu)) for wall, cpu in pairs]

    def result(self) -> np.ndarray:
        """Return `Task.result` as one vector."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "result"
            self._ask(f"result {path}", "ok")
            return np.fromfile(path)

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def close(self) -> None:
        try:
            self.process.communicate("quit\n", timeout=30)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self.process.kill()
            self.process.wait()
        self.errors.close()
