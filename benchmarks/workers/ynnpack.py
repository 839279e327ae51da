"""Limit of YNNPACK, the library of matrix products in JAX's library, to an instruction set.

YNNPACK looks at the CPU itself and knows no setting, so `--xla_cpu_max_isa` does not limit it. It
keeps the instruction sets that it found as bits of one number in memory. This module clears those
of the larger ones.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from pathlib import Path

import numpy as np

BITS = {"avx2": 0xFF, "sse2": 0x07}  # sse2, ssse3, sse4.1; avx, f16c, fma3, avx-vnni, avx2
FIND, FLAGS = b"_ZN3ynn24get_supported_arch_flagsEv", b"_ZZN3ynn24get_supported_arch_flagsEvE5flags"
SYMBOL = np.dtype([("name", "<u4"), ("kind", "<u4"), ("value", "<u8"), ("size", "<u8")])
SYMBOL_TABLE = 2  # the type of a section


def addresses(path: Path, *names: bytes) -> list[int]:
    """Return the values of symbols of an ELF file; an empty list if one is missing."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        (first,) = struct.unpack_from("<Q", text, 40)
        size, count = struct.unpack_from("<HH", text, 58)
        sections = [struct.unpack_from("<IIQQQQII", text, first + k * size) for k in range(count)]
        for _, kind, _, _, offset, length, link, _ in sections:
            if kind != SYMBOL_TABLE:
                continue
            begin, end = sections[link][4], sections[link][4] + sections[link][5]
            places = [text.find(b"\0" + name + b"\0", begin, end) + 1 - begin for name in names]
            table = np.frombuffer(text[offset : offset + length], SYMBOL)
            found = [table["value"][table["name"] == place] for place in places]
            if all(len(values) == 1 for values in found):
                return [int(values[0]) for values in found]
    return []


def limit(library: Path, isa: str) -> bool:
    """Limit YNNPACK in a library that is loaded; return False if the library has other symbols."""
    found = addresses(library, FIND, FLAGS)
    maps = (line.split() for line in Path("/proc/self/maps").read_text().splitlines())
    starts = [words[0] for words in maps if words[-1] == str(library) and int(words[2], 16) == 0]
    if not found or not starts:
        return False
    base = int(starts[0].partition("-")[0], 16)
    ctypes.CFUNCTYPE(ctypes.c_uint64)(base + found[0])()  # fills in the number, which is a static
    flags = ctypes.c_uint64.from_address(base + found[1])
    flags.value &= BITS[isa]
    return True
