"""A small text, and options of a small model of it."""

import dataclasses

from bptt_native.apps.text import TextOptions

TEXT = "".join(
    f"{a} {verb} the {b} {where}.\n"
    for a in ("Anna", "Otto", "Emma", "Ida")
    for verb in ("sees", "follows", "paints", "forgets")
    for b in ("cat", "river", "house", "moon", "letter")
    for where in ("again", "at night", "in the garden", "with joy")
)
SMALL = TextOptions(hidden=12, seq_len=10, batch=6, steps=30, lr=1e-2, warmup=4, clip_norm=0.4)


def small(**changes):
    """Return the options with changes."""
    return dataclasses.replace(SMALL, **changes)
