"""Models whose streams are tested, their inputs, and the options of the cells."""

import numpy as np

import bptt_native as bn

T, I, H, O = 12, 5, 17, 7  # noqa: E741
INPUTS = {
    "values": {"input_size": I},
    "one-hot": {"vocab_size": I},
    "table": {"vocab_size": I, "embedding_size": 3},
}


def make(cell="lstm", inputs="values", dtype="float32", **options):
    settings = {"hidden_size": H, "output_size": O, "num_layers": 2, "seed": 3}
    return bn.Model(cell, dtype=dtype, **INPUTS[inputs], **(settings | options))


def sequence(inputs, dtype="float32", seed=0):
    rng = np.random.Generator(np.random.Philox(seed))
    return (
        rng.standard_normal((T, I)).astype(dtype) if inputs == "values" else rng.integers(0, I, T)
    )


RANDOM = {"dropout": 0.5, "recurrent_dropout": 0.5}  # in training only
OPTIONS = [
    ("rnn", {"nonlinearity": "softplus", "alpha": 0.3, "dale": 0.8, "noise": 0.5, "zoneout": 0.4}),
    ("rnn", {"nonlinearity": "hard_sigmoid", "layer_norm": True, **RANDOM}),
    ("rnn", {"nonlinearity": "leaky_relu", "bias": False, "layer_norm": True, "alpha": 0.6}),
    ("lstm", {"proj_size": 3, "peephole": True, "layer_norm": True, **RANDOM}),
    ("lstm", {"coupled": True, "peephole": True, "zoneout": 0.1, "zoneout_c": 0.6}),
    ("lstm", {"coupled": True, "proj_size": 16, "bias": False}),
    ("gru", {"reset_after": False, "zoneout": 0.3, **RANDOM}),
    ("gru", {"layer_norm": True, "zoneout": 0.3}),
    ("lstm", {"learn_initial_state": True, "proj_size": 3}),
    ("mingru", {"learn_initial_state": True}),
]
