"""NEON: the C library built for 64-bit Arm, run under emulation, against the reference."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nets import Net, compare, kind_of, option_net, random_net, run_reference
from option_settings import CLIPPED, SETTINGS, combination, merged

import bptt_native as bn
from bptt_native import reference

ROOT = Path(__file__).parents[1]
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", ["qemu-aarch64", "qemu-aarch64-static"]
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def tools() -> tuple[str, str, str]:
    emulator = next(filter(None, map(shutil.which, EMULATOR)), None)
    compiler, cmake = shutil.which(COMPILER), shutil.which("cmake") or in_venv("cmake")
    missing = [
        n for n, t in [(COMPILER, compiler), ("qemu-aarch64", emulator), ("cmake", cmake)] if not t
    ]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    return compiler, emulator, cmake


def in_venv(name: str) -> str | None:
    path = Path(sys.executable).parent / name
    return str(path) if path.exists() else None


def generator() -> list[str]:
    ninja = shutil.which("ninja") or in_venv("ninja")
    return ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"] if ninja else []


@pytest.fixture(scope="module")
def layer_io(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that runs tests/capi/layer_io.c on an emulated Arm processor."""
    compiler, emulator, cmake = tools()
    build = tmp_path_factory.mktemp("aarch64")
    configure = [
        cmake,
        "-S",
        str(ROOT),
        "-B",
        str(build),
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_BUILD_TYPE=Release",
    ]
    configure += [
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        f"-DCMAKE_CXX_COMPILER={compiler}",
        *generator(),
    ]
    for command in [configure, [cmake, "--build", str(build), "-j", "2"]]:
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    program = build / "layer_io"
    flags = [
        "-std=c99",
        "-O1",
        "-Wall",
        "-Wextra",
        "-pedantic",
        "-Werror",
        "-I",
        str(ROOT / "src" / "cpp"),
    ]
    source = str(ROOT / "tests" / "capi" / "layer_io.c")
    c_compiler = compiler.removesuffix("g++") + "gcc"
    link = ["-L", str(build), "-lbptt", "-o", str(program)]
    subprocess.run([c_compiler, *flags, source, *link], check=True)
    sysroot = next(p for p in ["/usr/aarch64-linux-gnu", "/"] if Path(p).exists())
    return [emulator, "-L", sysroot, "-E", f"LD_LIBRARY_PATH={build}", str(program)]


def native_layer_io(folder: Path) -> list[str]:
    """The same program for this machine, linked to the installed library."""
    package = Path(bn.__file__).parent
    program = folder / "layer_io"
    flags = [
        "-std=c99",
        "-O1",
        "-I",
        str(ROOT / "src" / "cpp"),
        str(ROOT / "tests" / "capi" / "layer_io.c"),
    ]
    library = package / "lib" / "libbptt.so.1"
    subprocess.run(
        ["cc", *flags, str(library), f"-Wl,-rpath,{library.parent}", "-o", str(program)], check=True
    )
    return [str(program)]


# Fields and numbers of a case that are options of a layer, with their defaults, as layer_io.c has.
FLAGS = {"bidirectional": 0, "layer_norm": 0, "peephole": 0, "coupled": 0, "reset_before": 0}
FLAGS |= {"variational": 0, "proj_size": 0, "compute": 0}
NUMBERS = {"alpha": 1.0, "dale": np.nan, "noise": 0.0, "dropout": 0.0, "recurrent_dropout": 0.0}
NUMBERS |= {"zoneout": 0.0, "zoneout_c": 0.0}


def write_case(net: Net, dtype: str, file) -> None:
    options = dict(net.options)
    options["reset_before"] = not options.pop("reset_after", True)
    options["compute"] = options.get("compute") == "bfloat16"
    assert options.keys() <= FLAGS.keys() | NUMBERS.keys()
    fields = [
        ["rnn", "lstm", "gru"].index(net.cell) + 1,
        [*reference.NONLINEARITIES].index(net.nonlinearity) + 1,
        ["float32", "float64"].index(dtype) + 1,
        net.I, net.H, net.L, net.bias, net.T, net.N,
        net.tokens, net.state is not None, net.dstate is not None,
        *(options.get(name, default) for name, default in FLAGS.items()),
        net.lengths is not None, net.resets is not None, *(net.truncation or (0, 0)),
        net.seed, net.draw or 0,
    ]  # fmt: skip
    numbers = [options.get(name, default) for name, default in NUMBERS.items()]
    numbers += [net.clip_step or 0.0, net.clip_step_norm or 0.0, net.omega]
    file.write(np.array(fields, np.int64).tobytes() + np.array(numbers).tobytes())

    def parts(state) -> list[np.ndarray]:
        return [] if state is None else list(state) if net.cell == "lstm" else [state]

    arrays = [*net.params.values(), net.x, *parts(net.state), net.dy, *parts(net.dstate)]
    for array in arrays:
        file.write(
            np.ascontiguousarray(array, np.int64 if array.dtype.kind == "i" else dtype).tobytes()
        )
    for array, kind in [(net.lengths, np.int64), (net.resets, np.uint8)]:
        file.write(b"" if array is None else np.ascontiguousarray(array, kind).tobytes())


def read_result(net: Net, dtype: str, file) -> dict[str, np.ndarray]:
    def take(*shape: int, kind: str = dtype) -> np.ndarray:
        return np.fromfile(file, kind, int(np.prod(shape))).reshape(shape)

    walks, lstm = net.L * net.D, net.cell == "lstm"
    sizes = {"h": net.P} | ({"c": net.H} if lstm else {})
    out = {"y": take(net.T, net.N, net.D * net.P)}
    out |= {f"{name}n": take(walks, net.N, size) for name, size in sizes.items()}
    out |= {f"d{name}": take(*value.shape) for name, value in net.params.items()}
    if not net.tokens:
        out["dx"] = take(net.T, net.N, net.I)
    out |= {f"d{name}0": take(walks, net.N, size) for name, size in sizes.items()}
    if net.truncation is None or net.truncation[0] == net.truncation[1]:
        flows = ["flow", "flow_c"][: len(sizes)]
        out |= {name: take(walks, net.T, kind="float64") for name in flows}
    omega = take(kind="float64")
    return out | ({"omega": omega} if net.omega else {})


def nets_to_run(count: int) -> list[Net]:
    """Random nets: plain ones, one with each setting of a layer, and combinations of them."""
    rng, nets = np.random.Generator(np.random.Philox(77)), []
    while len(nets) < count:
        net = random_net(rng)
        if net.nonlinearity != "relu" and net.T * net.N * net.H < 20_000:
            nets.append(net)
    settings = [merged(name) for name in SETTINGS if name not in CLIPPED]
    settings += [merged(*combination(rng, CLIPPED)) for _ in range(count)]
    return nets + [replace(option_net(rng, setting), inside=False) for setting in settings]


def errors_of(
    command: list[str], isa: str, folder: Path, nets: list[Net], dtype: str, errors
) -> list[dict[str, float]]:
    """Of every tensor of every net, against the reference."""
    with (folder / "cases").open("wb") as file:
        for net in nets:
            write_case(net, dtype, file)
    done = subprocess.run(
        [*command, str(folder / "cases"), str(folder / "results")],
        capture_output=True, text=True, timeout=300,
        env={**os.environ, "BPTT_NUM_THREADS": "2"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == isa
    initial = bn.LSTM(7, 33, dtype="float64", seed=42, init="orthogonal").state_dict()
    found = []
    with (folder / "results").open("rb") as file:
        for name, values in initial.items():  # the same bits on every platform
            assert file.read(values.nbytes) == values.tobytes(), name
        for net in nets:
            found.append(compare(read_result(net, dtype, file), run_reference(net)))
            kind = "bfloat16 " if "compute" in net.options else ""
            for name, error in found[-1].items():
                errors.add(isa, dtype, kind + kind_of(name), error)
        assert not file.read(1)
    return found


def check(command: list[str], isa: str, folder: Path, nets: list[Net], errors) -> int:
    for dtype in ["float32", "float64"]:
        found = errors_of(command, isa, folder, nets, dtype, errors)
        for net, each in zip(nets, found, strict=True):
            for name, error in each.items():
                assert error <= TOLERANCE[dtype], f"{name} of {net} in {dtype}: {error:.2e}"
    return len(nets)


def test_neon_kernels_against_the_reference(layer_io, tmp_path: Path, errors, comparisons) -> None:
    count = check(layer_io, "neon", tmp_path, nets_to_run(60), errors)
    comparisons.add("the reference, nets on emulated NEON", count)


def test_neon_multiplies_in_bfloat16(layer_io, tmp_path: Path, errors, comparisons) -> None:
    nets = [replace(n, options=n.options | {"compute": "bfloat16"}) for n in nets_to_run(60)[60:]]
    found = errors_of(layer_io, "neon", tmp_path, nets, "float32", errors)
    largest = sorted(max(each.values()) for each in found)
    # The same where no factor lies near a tie; one that is rounded otherwise moves the others.
    assert largest[len(nets) // 2] <= 2e-5
    assert largest[int(0.95 * len(nets))] <= 1e-2
    comparisons.add("the reference in bfloat16, on emulated NEON", len(nets))


def test_a_layer_through_the_c_api(tmp_path: Path, errors, comparisons) -> None:
    if not shutil.which("cc"):
        pytest.skip("no C compiler")
    if platform.system() != "Linux":
        pytest.skip("links as on Linux")
    count = check(native_layer_io(tmp_path), bn.isa(), tmp_path, nets_to_run(60), errors)
    comparisons.add("the reference, nets through the C API", count)
