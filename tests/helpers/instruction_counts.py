"""Numbers of instructions of training steps, and their record. Run this file to write the record.

With AVX2 and below callgrind counts them, in two seconds. It does not know AVX-512, so the program
counts by single steps there, which takes 1 to 10 microseconds for each instruction.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import bptt_native as bn
from helpers.cprograms import build, library
from helpers.paths import DATA

RECORD = DATA / "instructions.json"
ISAS = ("sse2", "avx2", "avx512")  # those of x86-64
ITEMS = [
    f"{shape} {cell}" for shape in ("tiny", "small", "neuro") for cell in ("rnn", "lstm", "gru")
]
# `rep` instructions trap once for each element, so the C library is not to use them.
TUNABLES = ":".join(f"glibc.cpu.x86_rep_{op}_threshold=1000000000" for op in ("movsb", "stosb"))


class Unavailable(Exception):  # noqa: N818
    """The instructions cannot be counted here; the text is the reason."""


def compiler() -> str:
    """Return the compiler of the installed library, with its major version."""
    found = re.search(rb"GCC: \([^)]*\) (\d+)\.|clang version (\d+)\.", library().read_bytes())
    if not found:
        return "unknown"
    return f"GCC {found[1].decode()}" if found[1] else f"Clang {found[2].decode()}"


def of_library(profile: str) -> int:
    """Return the instructions of the library in a file of callgrind."""
    names: dict[str, str] = {}
    inside, is_call, total = False, False, 0
    for line in profile.splitlines():
        if named := re.match(r"c?ob=(\(\d+\))(?: (.*))?", line):
            names.setdefault(named[1], named[2] or "")
            if line.startswith("ob="):
                inside = Path(names[named[1]]).name == library().name
        elif line.startswith("calls="):
            is_call = True
        elif cost := re.match(r"[-+*\d]\d* (\d+)$", line):
            total += int(cost[1]) if inside and not is_call else 0
            is_call = False
    return total


def by_callgrind(program: Path, isa: str, folder: Path) -> list[int]:
    valgrind = shutil.which("valgrind")
    if not valgrind:
        raise Unavailable("valgrind is not installed")
    out = folder / "profile"
    command = [valgrind, "--tool=callgrind", "--toggle-collect=measured", "--dump-after=measured",
               f"--callgrind-out-file={out}", str(program)]  # fmt: skip
    subprocess.run(
        command, check=True, capture_output=True, timeout=300, env={"BPTT_ISA": isa}
    )  # fmt: skip
    return [of_library(Path(f"{out}.{k}").read_text()) for k in range(1, len(ITEMS) + 1)]


def by_steps(program: Path, isa: str) -> list[int]:
    done = subprocess.run(
        [str(program), "steps"], check=True, capture_output=True, text=True, timeout=1800,
        env={"BPTT_ISA": isa, "GLIBC_TUNABLES": TUNABLES},
    )  # fmt: skip
    if done.stdout.startswith("skip"):
        raise Unavailable(done.stdout.removeprefix("skip").strip())
    lines = [line.rpartition(": ") for line in done.stdout.splitlines()]
    assert [name for name, _, _ in lines] == ITEMS
    return [int(count) for _, _, count in lines]


def counts(isa: str) -> dict[str, int]:
    """Count the instructions of each item with an instruction set."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = build("instructions", folder)
        found = by_steps(program, isa) if isa == "avx512" else by_callgrind(program, isa, folder)
    return dict(zip(ITEMS, found, strict=True))


def main(isas: list[str]) -> None:
    """Write the counts of these instruction sets, or of all that this CPU has, to the record."""
    kept = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    same = kept.get("compiler") == compiler()
    record = {"compiler": compiler(), "counts": kept["counts"] if same else {}}
    for isa in isas or [isa for isa in ISAS if isa in bn.available_isas()]:
        before, record["counts"][isa] = record["counts"].get(isa, {}), counts(isa)
        for item, count in record["counts"][isa].items():
            change = f" ({100 * (count / before[item] - 1):+.2f} %)" if item in before else ""
            print(f"{isa:7} {item:11} {count:8}{change}", flush=True)
    RECORD.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
