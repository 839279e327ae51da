"""Synthetic tasks that measure recurrent learning. Each function generates a new batch."""

from ..arguments.names import guide as _guide
from .flip_flop import flip_flop
from .sequences import (
    ADDING_BASELINE,
    BLANK,
    COPIED,
    COPY_WORDS,
    DELIMITER,
    ORDER_CLASSES,
    ORDER_WORDS,
    adding,
    copy_memory,
    copy_memory_baseline,
    temporal_order,
)
from .text import COUNTRIES, LANGUAGES, SENTENCE, TEXT_WORDS, agreement_text

__all__ = [
    "ADDING_BASELINE",
    "BLANK",
    "COPIED",
    "COPY_WORDS",
    "COUNTRIES",
    "DELIMITER",
    "LANGUAGES",
    "ORDER_CLASSES",
    "ORDER_WORDS",
    "SENTENCE",
    "TEXT_WORDS",
    "adding",
    "agreement_text",
    "copy_memory",
    "copy_memory_baseline",
    "flip_flop",
    "temporal_order",
]

_guide(globals(), __all__)
