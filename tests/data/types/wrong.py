"""Mistakes that type checkers find, one on each line that is marked."""

import numpy as np

import bptt_native as bn

x = np.zeros((5, 2, 3), np.float32)
bn.Model("lstmm", input_size=3, hidden_size=4, output_size=2)  # wrong
bn.Model("lstm", input_size=3, hidden_size=4, output_size=2, loss="cross-entropy")  # wrong
bn.Model("lstm", input_size=3, hidden_size=4, output_size=2, targets="all")  # wrong
bn.Model("lstm", input_size=3, hidden_size=4, output_size=2, optimizer="adamm")  # wrong
bn.RNN(3, 4, nonlinearity="Tanh")  # wrong
bn.RNN(3, 4, dtype="float16")  # wrong
bn.RNN(3, 4, init="glorot")  # wrong
bn.GRU(3, 4, peephole=True)  # wrong
bn.GRU(3, hidden=4)  # wrong
h, c = bn.GRU(3, 4)(x)[1].shaped  # wrong
bn.LSTM(3, 4)(x)[1].shape  # wrong
bn.GRU(3, 4).hidden_size = 5  # wrong
bn.GRU(3, 4).unit_count  # wrong
model = bn.Model("gru", input_size=3, hidden_size=4, output_size=2)
model.predict(x, kind="classes")  # wrong
model.stream(weights="int4")  # wrong
model.train_step(x, x, flow="all of it")  # wrong
model.fit(x, x, schedule="cosin")  # wrong
model.fit(x, x, verbose=3)  # wrong
model.fit(x, x, metrics=[3])  # wrong
bn.EarlyStopping(monitor="mine", mode="up")  # wrong
