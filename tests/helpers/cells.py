"""Cells by name: their layers, numbers of gates, and states as tuples."""

import bptt_native as bn

LAYERS = {"rnn": bn.RNN, "lstm": bn.LSTM, "gru": bn.GRU, "mingru": bn.MinGRU}
GATES = {"rnn": 1, "lstm": 4, "gru": 3, "mingru": 2}
RECURRENT = {"rnn", "lstm", "gru"}  # have W_hh and b_hh


def last_matrix(cell):
    """Return the name of the last matrix of the first layer."""
    return "weight_hh_l0" if cell in RECURRENT else "weight_ih_l0"


def arrays_of(state):
    """Return the arrays of a state, (h,) or (h, c)."""
    return state if isinstance(state, tuple) else (state,)
