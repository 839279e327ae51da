"""Narrow weights of streams in NumPy: the numbers that bfloat16 and int8 stand for."""

from typing import Any

import numpy as np

from bptt_native import reference

KINDS = ("bfloat16", "int8")
PRODUCTS = ("weight_ih", "weight_hh", "weight_hr", "readout.weight")


def quantised(matrix: np.ndarray, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return integers and the scale of each row, from a float32 matrix [rows, columns]."""
    most = np.float32(largest)
    scale = np.abs(matrix).max(axis=1).astype(np.float32) / most
    divisor = np.where(scale > 0, scale, np.float32(1))
    return np.rint(matrix / divisor[:, None]).astype(np.int64), scale


def rounded_row(row: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the integers of 16 bits that stand for a float32 row, and their scale."""
    largest, most = np.abs(row).max(), np.float32(32767)
    if not largest:
        return np.zeros(len(row), np.int64), 0.0
    return np.rint(row * (most / largest)).astype(np.int64), float(largest / most)


def product(weights: str, matrix: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return W a as a stream with these weights computes it, without the rounding of its sums."""
    if weights == "bfloat16":
        return reference.basics.bfloat16(np.float64(matrix)) @ np.float64(row)
    q, scale = quantised(matrix, 127)
    operand, operand_scale = rounded_row(row)
    return (q @ operand) * operand_scale * np.float64(scale)


def rounded(weights: str, matrix: np.ndarray) -> np.ndarray:
    """Return the float64 numbers that a matrix of narrow weights holds."""
    if weights == "bfloat16":
        return reference.basics.bfloat16(np.float64(matrix))
    q, scale = quantised(matrix, 127)
    return q * np.float64(scale)[:, None]


def rounded_state(model: Any, weights: str) -> dict[str, np.ndarray]:
    """Return the parameters of a float32 model in float64, with the weights of products rounded."""
    tokens = model.config["vocab_size"] and not model.config["embedding_size"]

    def narrow(name: str) -> bool:
        looked_up = tokens and name == "rnn.weight_ih_l0"
        return not looked_up and any(part in name for part in PRODUCTS)

    return {
        name: rounded(weights, value) if narrow(name) else np.float64(value)
        for name, value in model.state_dict().items()
    }
