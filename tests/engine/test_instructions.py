"""The numbers of instructions of training steps, which neither load nor frequency changes."""

import json

import pytest

import bptt_native as bn
from helpers import instruction_counts
from helpers.instruction_counts import ISAS, ITEMS, RECORD

WITHIN = 0.02
SLOW = [pytest.mark.long, pytest.mark.first]  # it traps a million times


@pytest.mark.parametrize("isa", ["sse2", "avx2", pytest.param("avx512", marks=SLOW)])
def test_training_steps_execute_the_recorded_number_of_instructions(isa: str) -> None:
    record = json.loads(RECORD.read_text())
    if isa not in bn.available_isas():
        pytest.skip(f"this CPU has no {isa}")
    if record["compiler"] != instruction_counts.compiler():
        pytest.skip(f"recorded with {record['compiler']}, not {instruction_counts.compiler()}")
    try:
        found = instruction_counts.counts(isa)
    except instruction_counts.Unavailable as why:
        pytest.skip(str(why))
    recorded = record["counts"][isa]
    changed = [
        f"{item}: {count} instructions, {100 * (count / recorded[item] - 1):+.1f} %"
        for item, count in found.items()
        if abs(count / recorded[item] - 1) > WITHIN
    ]
    assert not changed, (
        f"with {isa}; if this is intended, run `python tests/helpers/instruction_counts.py`: "
        + "; ".join(changed)
    )


def test_the_record_has_every_item_of_every_instruction_set() -> None:
    recorded = json.loads(RECORD.read_text())["counts"]
    assert list(recorded) == list(ISAS)
    for counts in recorded.values():
        assert list(counts) == ITEMS
        assert all(count > 5_000 for count in counts.values())


PROFILE = """# callgrind format
ob=(1) /usr/lib/libc.so.6
fn=(1) memcpy
0 147
ob=(2) {library}
fn=(2) step
fl=(3) ???
106 20
+3 3
* 1
cob=(1)
cfn=(1)
calls=1 -14
* 75756
-4 5
fn=(3)
92 1000
ob=(1)
fn=(1)
+8 2
"""


def test_only_the_librarys_own_instructions_count() -> None:
    library = instruction_counts.library()
    assert instruction_counts.of_library(PROFILE.format(library=library)) == 1029
