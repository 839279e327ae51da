"""The library under sanitizers: the presets build, and the C programs run without a report."""

import os
import subprocess

import pytest

import bptt_native as bn
from helpers.cprograms import HERE, Library, build, cmake, compiler, run
from helpers.layer_cases import check, nets_to_run
from helpers.paths import CPP, DATA, INCLUDE, ROOT

pytestmark = pytest.mark.long

FLAGS = {
    "asan": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "tsan": ["-fsanitize=thread"],
}
BEST, *OTHERS = bn.available_isas()
ISAS = [pytest.param(BEST, marks=pytest.mark.first), *OTHERS]
# interpose.c and system_calls.c are no programs; layer_io.c reads cases. In forks.c a child uses
# the sanitizers' allocator, whose locks another thread may have held during the fork.
PROGRAMS = sorted(
    {path.stem for path in HERE.glob("*.c")} - {"forks", "interpose", "layer_io", "system_calls"}
)
MODEL = DATA / "model_v1.safetensors"


@pytest.fixture(scope="module", params=FLAGS)
def sanitized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The library as the preset of a sanitizer builds it, every warning an error."""
    preset, flags = request.param, FLAGS[request.param]
    refuse_missing(flags, tmp_path_factory.mktemp("probe"))
    cmake("--preset", preset)
    cmake("--build", "--preset", preset, "-j", str(os.cpu_count()))
    return Library(ROOT / "build" / preset / "libbptt.so.1", INCLUDE, flags=flags)


def refuse_missing(flags, folder) -> None:
    """Skip where a program with these sanitizers cannot be linked or does not start."""
    source, program = folder / "probe.c", folder / "probe"
    source.write_text("int main(void) { return 0; }\n")
    for command in [[compiler(), *flags, str(source), "-o", str(program)], [str(program)]]:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"{flags[0]}: {(done.stderr.strip() or 'does not start').splitlines()[-1]}")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_sanitizers_find_nothing_in_the_programs(sanitized, name, isa, tmp_path) -> None:
    program = build(name, tmp_path, of=sanitized, linked=name != "unload")
    arguments = {
        "model_file": ["load", str(MODEL)],
        "stream": ["uncounted"],  # sanitizers allocate and lock, which a stream's steps do not
        "unload": [str(sanitized.path)],
    }.get(name, [str(tmp_path / "model.safetensors")])
    assert run(program, *arguments, BPTT_ISA=isa)


@pytest.mark.parametrize("isa", ISAS)
def test_sanitizers_find_nothing_in_layers(sanitized, isa, tmp_path, errors, monkeypatch) -> None:
    monkeypatch.setenv("BPTT_ISA", isa)
    program = build("layer_io", tmp_path, of=sanitized)
    check([str(program)], isa, tmp_path, nets_to_run(60), errors)


@pytest.mark.parametrize("sanitized", ["asan"], indirect=True)
@pytest.mark.parametrize("count", [1, 7, 1000, 1500, 100_001])
def test_one_element_beyond_a_buffer_is_seen(sanitized, count, tmp_path) -> None:
    """Nothing is rounded up, as blocks that wait to be used again are in other builds."""
    source, program = tmp_path / "beyond.cpp", tmp_path / "beyond"
    source.write_text(
        '#include "base/buffer.h"\n'
        "int main(int arguments, char**) {\n"
        f"  bptt::Buffer<float> buffer({count});\n"
        "  buffer[buffer.count() - 2 + arguments] = 1;\n"
        "}\n"
    )
    built = sanitized.path.parent / "CMakeFiles" / "bptt.dir" / "Unity" / "unity_base_cxx.cxx.o"
    subprocess.run(
        [
            os.environ.get("CXX", "c++"), "-std=c++20", "-g", *sanitized.flags,
            f"-I{CPP}", f"-I{INCLUDE}", str(source), str(built), "-o", str(program),
        ],
        check=True,
    )  # fmt: skip
    run(program)  # the last element
    done = subprocess.run([program, "beyond"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
