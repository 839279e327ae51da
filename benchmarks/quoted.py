"""Peers that are quoted instead of run: the ratios of their times to those of other peers."""

SOURCE = (
    "quoted: KANN (github.com/attractivechaos/kann, with OpenBLAS) and RTNeural "
    "(github.com/jatinchowdhury18/RTNeural, with Eigen and -ffast-math) were measured in one "
    "interleaved run with oneDNN 2023.2 and JAX on one core of an AMD Zen 4 server, float32; their "
    "times here are their ratios to oneDNN (lm and minchar: to JAX) in that run, times the time of "
    "that peer in this run"
)

# Times in the quoted run, in milliseconds (train) or microseconds (step): pairs (the peer's,
# oneDNN's) for RNN, LSTM and GRU, in this order.
_KANN_TRAIN = {
    "tiny": ((0.089, 0.097), (0.34, 0.184), (0.265, 0.210)),
    "small": ((1.38, 1.17), (8.1, 3.95), (5.6, 3.07)),
    "neuro": ((29.3, 18.3), (126, 75), (93, 57)),
    "long": ((70, 35.9), (290, 126), (234, 106)),
    "deep": ((103, 74), (466, 286), (353, 221)),
    "charlm": ((124, 96), (556, 390), (410, 297)),
    "large": ((1341, 1169), (5413, 4684), (4027, 3520)),
}
_KANN_STEP = {
    "H=32": ((0.36, 1.2), (1.6, 1.7), (1.15, 1.7)),
    "H=128": ((1.8, 2.8), (9.4, 7.3), (5.7, 5.5)),
    "H=512": ((32, 28), (130, 108), (83, 86)),
}
_RTNEURAL_STEP = {
    "H=32": (None, (0.253, 1.7), (0.228, 1.7)),
    "H=128": (None, (5.15, 7.3), (3.76, 5.5)),
    "H=512": (None, (105, 108), (74.7, 86)),
}
# Updates (lm) or characters (minchar) per second in the quoted run: (the peer's, JAX's).
_KANN_TEXT = {"lm128": (41, 80.7), "minchar": (152e3, 135e3)}
_TABLES = {
    "KANN": {"train": _KANN_TRAIN, "train-fixed": _KANN_TRAIN, "step": _KANN_STEP},
    "RTNeural": {"step": _RTNEURAL_STEP},
}


def ratios(job: str, cell: str, shape: str) -> list[tuple[str, str, float]]:
    """Return the name of each quoted peer, the peer it is compared with, and the ratio of times."""
    if job in ("lm", "minchar"):
        theirs, jax = _KANN_TEXT.get(shape, (None, None))
        return [("KANN", "jax", jax / theirs)] if theirs and jax else []
    found = []
    for name, jobs in _TABLES.items():
        pairs = jobs.get(job, {}).get(shape)
        pair = pairs[("rnn", "lstm", "gru").index(cell)] if pairs else None
        if pair:
            found.append((name, "onednn", pair[0] / pair[1]))
    return found
