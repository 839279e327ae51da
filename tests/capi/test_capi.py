"""The C API, called from C and by ctypes."""

import ctypes
import re
import shutil
import subprocess

import numpy as np
import pytest

import bptt_native as bn
from helpers.cprograms import HERE, PACKAGE, build, library, run

HEADERS = sorted(path.name for path in (PACKAGE / "include").glob("bptt*.h"))

HEADER = PACKAGE / "include" / "bptt.h"


def refusals_of(printed):
    return int(re.search(r"(\d+) refusals", printed)[1])


def test_a_c_program_trains_checks_saves_and_streams(isa, tmp_path):
    printed = run(build("train", tmp_path), str(tmp_path / "model.safetensors"), BPTT_ISA=isa)
    assert printed.count("loss") == 3
    assert printed.count("worst difference") == 12
    assert "strides: the same bits" in printed
    assert bn.load(tmp_path / "model.safetensors").metadata["vocabulary"] == "abcdef"


def test_a_c_program_weighs_targets_and_takes_a_step_in_two_halves(isa, tmp_path):
    printed = run(build("targets", tmp_path), BPTT_ISA=isa)
    assert printed.count("derivatives") == 4
    assert printed.count("halves: the same bits") == 4
    assert printed.count("gradient of the outputs") == 4
    assert refusals_of(printed) >= 95


def test_a_c_program_runs_ragged_batches_in_both_directions(isa, tmp_path):
    printed = run(build("sequences", tmp_path), BPTT_ISA=isa)
    assert printed.count("lengths, directions, resets") == 4


def test_a_c_program_truncates_and_regularises(isa, tmp_path):
    assert run(build("truncation", tmp_path), BPTT_ISA=isa).count("truncation") == 4


def test_a_c_program_reads_tapes_and_draws(isa, tmp_path):
    printed = run(build("tapes", tmp_path), BPTT_ISA=isa)
    assert printed.count("tape") == 4
    assert refusals_of(printed) >= 17


def test_a_c_program_gives_each_unit_its_leak(isa, tmp_path):
    printed = run(build("alphas", tmp_path), BPTT_ISA=isa)
    assert printed.count("each unit forgets at its rate") == 2
    assert refusals_of(printed) == 9


def test_options_that_exclude_each_other_are_named(tmp_path):
    assert refusals_of(run(build("exclusions", tmp_path))) >= 30


def test_a_c_program_looks_at_gradients(isa, tmp_path):
    printed = run(build("diagnostics", tmp_path), BPTT_ISA=isa)
    assert printed.count("Jacobians, seeds") == 8
    assert refusals_of(printed) >= 400


def test_a_c_program_multiplies_in_bfloat16(isa, tmp_path):
    printed = run(build("compute", tmp_path), BPTT_ISA=isa)
    assert printed.count("bfloat16 differs by") == 4
    assert printed.count("in bfloat16") == 4
    assert "3 refusals" in printed


def test_a_c_program_multiplies_narrow_weights(isa, tmp_path):
    assert run(build("narrow", tmp_path), BPTT_ISA=isa).count("narrow weights") == 2


def test_a_c_program_flushes_subnormal_numbers(isa, tmp_path):
    assert "flush ok" in run(build("flush", tmp_path), BPTT_ISA=isa)


def arguments_of_functions():
    """The names of each function's arguments, and of the fields of structs that they lead to."""
    text = "".join((PACKAGE / "include" / name).read_text() for name in HEADERS)
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    name = r"(\w+)(?:\[\w*\])?$"
    fields = {}
    for struct, body in re.findall(r"typedef struct (\w+) \{(.*?)\}", text, re.DOTALL):
        declared = [d for line in body.split(";") for d in line.split(",") if d.strip()]
        own = {re.search(name, d.strip())[1] for d in declared}
        fields[struct] = own, set(re.findall(r"bptt_\w+", body))

    def within(types):
        names, left, seen = set(), set(types), set()
        while left:
            struct = left.pop()
            seen.add(struct)
            own, more = fields.get(struct, (set(), set()))
            names |= own
            left |= more - seen
        return names

    functions = {}
    for function, given in re.findall(r"bptt_status\s+(bptt_\w+)\(([^;]*)\);", text):
        arguments = {re.search(name, a.strip())[1] for a in given.split(",")}
        functions[function] = arguments | within(re.findall(r"bptt_\w+", given))
    return functions


def test_the_callers_floating_point_environment_changes_no_bit(isa, tmp_path):
    printed = run(build("environment", tmp_path), BPTT_ISA=isa)
    assert printed.startswith("48 environments, exceptions")


def test_a_c_program_stops_its_long_calls(tmp_path):
    assert "cancel ok" in run(build("cancel", tmp_path))


def test_a_c_program_constrains_parameters(isa, tmp_path):
    printed = run(build("constraints", tmp_path), str(tmp_path / "m.safetensors"), BPTT_ISA=isa)
    assert "constraints ok" in printed


def test_a_c_program_skips_updates_that_overflow(isa, tmp_path):
    printed = run(build("updates", tmp_path), str(tmp_path / "model.safetensors"), BPTT_ISA=isa)
    assert "updates ok" in printed
    with pytest.raises(RuntimeError, match="a step counter has reached its limit"):
        bn.load(tmp_path / "model.safetensors").train_step(np.ones((1, 2), "f4"), [0])


def test_a_profile_that_begins_inside_a_call_counts_from_there(tmp_path):
    assert "profile ok" in run(build("profile", tmp_path))


def test_the_table_of_options_describes_the_structs(tmp_path):
    assert "options ok" in run(build("options", tmp_path))


def test_every_start_can_be_stopped(tmp_path):
    assert "creation ok" in run(build("creation", tmp_path))


def test_every_function_refuses_what_is_hostile(tmp_path):
    printed = [run(build(path.stem, tmp_path)) for path in HERE.glob("hostile_*.c")]
    assert sum(map(refusals_of, printed)) >= 2100
    functions = arguments_of_functions()
    refusals = set(re.findall(r"^(\w+) refuses '(.*)'$", "".join(printed), re.MULTILINE))
    assert len(refusals) > 250
    for function, argument in refusals:
        names = set(re.findall(r"\w+", argument))
        assert names <= functions[function], f"{function} has no argument '{argument}'"


def test_results_overlap_nothing_and_counts_are_bounded(tmp_path):
    printed = run(build("overlaps", tmp_path))
    assert refusals_of(printed) >= 700


def test_strided_results_share_no_byte_with_another_array(tmp_path):
    printed = run(build("layouts", tmp_path))
    apart, between, overlap = map(int, re.findall(r"\d+", printed))
    assert apart + between + overlap == 1500
    assert min(apart, between, overlap) >= 100


def test_a_callback_that_throws_is_a_status(tmp_path):
    printed = run(build("throws", tmp_path))
    assert refusals_of(printed) == 35


def test_the_library_survives_being_unloaded(tmp_path):
    assert "loaded 20 times" in run(build("unload", tmp_path, linked=False), str(library()))


def test_a_child_forked_during_any_call_can_make_every_call(tmp_path):
    """A child that hangs is killed after 60 seconds, by its own alarm."""
    done = subprocess.run(
        [build("forks", tmp_path), tmp_path / "model.safetensors", "60"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("156 children")


@pytest.mark.parametrize(
    "value", ["abc", "0", "-1", "2.0", "257", "99999999", "1" * 30, " 2", "2 "]
)
def test_a_number_of_threads_that_is_none_is_a_status(value, tmp_path):
    done = subprocess.run(
        [build("train", tmp_path), tmp_path / "m"], capture_output=True, text=True, timeout=60,
        env={"BPTT_NUM_THREADS": value}, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert (
        "bptt_model_create: argument 'BPTT_NUM_THREADS': "
        f"expected an integer from 1 to 256, got '{value}'" in done.stderr
    )


def test_an_unknown_instruction_set_is_a_status(tmp_path):
    done = subprocess.run(
        [build("train", tmp_path), tmp_path / "m"], capture_output=True, text=True, timeout=300,
        env={"BPTT_ISA": "mmx"}, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert (
        "bptt_model_create: argument 'BPTT_ISA': expected one of 'avx" in done.stderr
        or "'neon'" in done.stderr
    )
    assert "got 'mmx'" in done.stderr


@pytest.mark.parametrize(
    ("tool", "standard"), [("gcc", "-std=c99"), ("gcc", "-std=c17"), ("g++", "-std=c++17")]
)
@pytest.mark.parametrize("header", HEADERS)
def test_the_header_stands_alone(header, tool, standard, tmp_path):
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")
    source = tmp_path / ("header.cpp" if "++" in tool else "header.c")
    twice = f'#include "{header}"\n' * 2
    source.write_text(twice + "int main(void) { return bptt_abi_version() != BPTT_ABI_VERSION; }\n")
    subprocess.run(
        [
            tool,
            standard,
            "-Wall",
            "-Wextra",
            "-pedantic",
            "-Werror",
            f"-I{HEADER.parent}",
            "-c",
            str(source),
            "-o",
            str(tmp_path / "header.o"),
        ],
        check=True,
        timeout=300,
    )


def test_statuses_and_names_are_pinned():
    """Values are a promise: they may be appended to, never changed."""
    pinned = [
        "BPTT_OK",
        "BPTT_ERR_ARGUMENT",
        "BPTT_ERR_TYPE",
        "BPTT_ERR_SHAPE",
        "BPTT_ERR_RANGE",
        "BPTT_ERR_NAME",
        "BPTT_ERR_HANDLE",
        "BPTT_ERR_STRUCT_SIZE",
        "BPTT_ERR_MEMORY",
        "BPTT_ERR_IO",
        "BPTT_ERR_FORMAT",
        "BPTT_ERR_STATE",
        "BPTT_ERR_BUSY",
        "BPTT_ERR_ISA",
        "BPTT_ERR_CANCELLED",
        "BPTT_ERR_INTERNAL",
        "BPTT_ERR_NONFINITE",
        "BPTT_ERR_CALLBACK",
    ]
    declared = dict(
        re.findall(r"^  (BPTT_OK|BPTT_ERR_\w+) = (\d+)", HEADER.read_text(), re.MULTILINE)
    )
    assert [declared[name] for name in pinned] == [str(i) for i in range(len(pinned))]
    lib = ctypes.CDLL(str(library()))
    lib.bptt_status_name.restype = ctypes.c_char_p
    assert [lib.bptt_status_name(i).decode() for i in range(len(declared))] == list(declared)
    assert lib.bptt_status_name(1000) == b"BPTT_ERR_UNKNOWN"


def test_a_foreign_language_can_use_it_as_it_is():
    """Handles are numbers: ctypes passes them as void*."""
    lib = ctypes.CDLL(str(library()))
    lib.bptt_version.restype = ctypes.c_char_p
    assert lib.bptt_version().decode() == bn.__version__
    options = (ctypes.c_size_t * 64)()
    assert lib.bptt_layer_options_init(options, ctypes.c_size_t(512)) == 0
    assert options[0] == 512
    layer = ctypes.c_void_p()
    assert lib.bptt_layer_create(options, ctypes.byref(layer)) == 1  # the sizes have no default
    options[2], options[3] = 3, 4  # input_size, hidden_size
    assert lib.bptt_layer_create(options, ctypes.byref(layer)) == 0
    params, count = ctypes.c_void_p(), ctypes.c_int64()
    assert lib.bptt_layer_params(layer, ctypes.byref(params)) == 0
    assert lib.bptt_params_count(params, None, ctypes.byref(count)) == 0
    assert count.value == bn.LSTM(3, 4).num_parameters
    assert lib.bptt_layer_free(layer) == 0
    assert lib.bptt_layer_free(layer) == 6
    assert lib.bptt_params_count(params, None, ctypes.byref(count)) == 6
