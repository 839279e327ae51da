"""Random bits, masks and noise, as functions of seed, draw and indices.

The numbers do not depend on the order in which they are computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from .basics import Array

Word = Any  # a Python int, or an array of uint64, that holds 32 bits
KINDS = {"dropout": 0, "recurrent_dropout": 1, "zoneout": 2, "zoneout_c": 3, "noise": 4}


def philox4x32_10(counter: Sequence[Word], key: Sequence[Word]) -> tuple[Word, Word, Word, Word]:
    """Return 4 random uint32 of a counter of 4 words and a key of 2 (Salmon et al. 2011)."""
    (c0, c1, c2, c3), (k0, k1), mask = counter, key, 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & mask, (p0 >> 32) ^ c3 ^ k1, p0 & mask
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return c0, c1, c2, c3


@dataclass(frozen=True)
class Draw:
    """One draw of all masks and noise of a network, identified by a seed and a running number."""

    seed: int = 0
    draw: int = 0

    def words(self, kind: str, place: int, steps: int, rows: int, units: int) -> Array:
        """Return 32-bit words [steps, rows, units]; ``place`` is the walk l*D + d."""
        low, high = zip(*(((v % 2**32), v >> 32) for v in (self.draw, self.seed)), strict=True)
        counter = low[0], high[0], KINDS[kind] + 8 * place, 0x6D61736B
        key = philox4x32_10(counter, (low[1], high[1]))[:2]
        t, n, u = np.meshgrid(*map(np.arange, (steps, rows, -(-units // 4))), indexing="ij")
        four = (a.astype(np.uint64) for a in (u, n, t, np.zeros_like(t)))
        return np.stack(philox4x32_10([*four], key), axis=-1).reshape(steps, rows, -1)[..., :units]

    def kept(self, p: float, kind: str, place: int, *shape: int) -> Array:
        """Return dropout's factor of each element: 1/(1-p) with probability 1-p, else 0."""
        return (self.words(kind, place, *shape) >= p * 2.0**32) / (1 - p)

    def zoned(self, p: float, kind: str, place: int, *shape: int) -> Array:
        """Return zoneout's factor of each old value: 1 with probability p, else 0."""
        return (self.words(kind, place, *shape) < p * 2.0**32).astype(np.float64)

    def normal(self, kind: str, place: int, *shape: int) -> Array:
        """Return N(0, 1) numbers, by inversion of the distribution (Wichura 1988, AS 241)."""
        uniform = (self.words(kind, place, *shape) + 0.5) * 2.0**-32
        return np.asarray(np.vectorize(NormalDist().inv_cdf, otypes=[float])(uniform))
