"""NEON: the C library for 64-bit Arm, emulated, against the reference."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import bptt_native as bn
from helpers.cprograms import Library, build, cmake, run
from helpers.layer_cases import check, errors_of, nets_to_run
from helpers.paths import INCLUDE, ROOT

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", ["qemu-aarch64", "qemu-aarch64-static"]


@dataclass(frozen=True)
class Arm:
    """The library for an Arm processor, and the command that a program for one follows."""

    library: Library
    emulator: list[str]


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Arm:
    """The library, built for Arm."""
    emulator = next(filter(None, map(shutil.which, EMULATOR)), None)
    missing = [
        name for name, tool in [(COMPILER, shutil.which(COMPILER)), ("qemu-aarch64", emulator)]
        if not tool
    ]  # fmt: skip
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("aarch64")
    cmake(
        "-S", str(ROOT), "-B", str(folder), "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        f"-DCMAKE_CXX_COMPILER={COMPILER}",
    )  # fmt: skip
    cmake("--build", str(folder), "-j", "2")
    compiler = COMPILER.removesuffix("g++") + "gcc"
    library = Library(folder / "libbptt.so.1", INCLUDE, compiler)
    sysroot = next(p for p in ["/usr/aarch64-linux-gnu", "/"] if Path(p).exists())
    return Arm(library, [str(emulator), "-L", sysroot])


@pytest.fixture(scope="module")
def layer_io(arm: Arm, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that runs tests/capi/layer_io.c on an emulated Arm processor."""
    return [*arm.emulator, str(build("layer_io", tmp_path_factory.mktemp("io"), of=arm.library))]


def test_neon_kernels_against_the_reference(layer_io, tmp_path: Path, errors, comparisons) -> None:
    count = check(layer_io, "neon", tmp_path, nets_to_run(60), errors)
    comparisons.add("the reference, nets on emulated NEON", count)


def test_neon_multiplies_in_bfloat16(layer_io, tmp_path: Path, errors, comparisons) -> None:
    nets = [replace(n, options=n.options | {"compute": "bfloat16"}) for n in nets_to_run(60)[60:]]
    found = errors_of(layer_io, "neon", tmp_path, nets, "float32", errors)
    largest = sorted(max(each.values()) for each in found)
    # Equal if no factor is near a tie; a factor that is rounded otherwise changes later ones.
    assert largest[len(nets) // 2] <= 2e-5
    assert largest[int(0.95 * len(nets))] <= 1e-2
    comparisons.add("the reference in bfloat16, on emulated NEON", len(nets))


def test_neon_multiplies_narrow_weights(arm: Arm, tmp_path: Path) -> None:
    program = build("narrow", tmp_path, of=arm.library)
    assert run(program, under=arm.emulator).count("narrow weights") == 2


def test_neon_constrains_parameters(arm: Arm, tmp_path: Path) -> None:
    program = build("constraints", tmp_path, of=arm.library)
    printed = run(program, str(tmp_path / "m.safetensors"), under=arm.emulator)
    assert "constraints ok" in printed


@pytest.mark.long
def test_the_callers_floating_point_environment_changes_no_bit_on_arm(arm: Arm, tmp_path) -> None:
    program = build("environment", tmp_path, of=arm.library)
    assert run(program, "few", under=arm.emulator).startswith("12 environments, exceptions")


def test_a_layer_through_the_c_api(tmp_path: Path, errors, comparisons) -> None:
    program = build("layer_io", tmp_path)
    count = check([str(program)], bn.isa(), tmp_path, nets_to_run(60), errors)
    comparisons.add("the reference, nets through the C API", count)
