"""Layers and models shared by threads, and many layers at once."""

import pickle
import threading

import numpy as np
import pytest

import bptt_native as bn
from helpers.arrays import draw, generator
from helpers.cells import LAYERS
from helpers.small_nets import H, I, L, N, T, model


def test_threads_may_share_a_layer(cell):
    layer = LAYERS[cell](I, H, L)
    x, dy = draw(T, N, I), draw(T, N, H)
    y, _, tape = layer.forward(x)
    want = layer.backward(tape, dy).flat
    wrong = []

    def work():
        for _ in range(50):
            got_y, _, own = layer.forward(x)
            got = layer.backward(own, dy).flat
            if not (np.array_equal(got_y, y) and np.array_equal(got, want)):
                wrong.append(got)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_threads_may_train_one_model_in_turns():
    m = model()
    tokens = generator().integers(0, 7, (T + 1, N))

    def work():
        for _ in range(25):
            m.train_step(tokens[:-1], tokens[1:])
            m(tokens)
            m.state_dict()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert m.step_count == m.optimizer.steps == 100


def test_a_model_can_be_pickled_while_a_thread_changes_its_size():
    m, stop = bn.Model("gru", input_size=2, hidden_size=64, output_size=1), threading.Event()

    def work():
        while not stop.is_set():
            m.set_mask("rnn.weight_hh_l0", True)
            m.set_mask("rnn.weight_hh_l0", None)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        copies = [pickle.loads(pickle.dumps(m)) for _ in range(300)]
    finally:
        stop.set()
        thread.join()
    assert {len(one.masks) for one in copies} <= {0, 1}


def test_many_layers_come_and_go():
    layers = [bn.RNN(1, 1) for _ in range(2000)]
    del layers[::2]
    layers += [bn.GRU(1, 1) for _ in range(1000)]
    assert all(layer(np.ones((1, 1, 1), "f4"))[0].shape == (1, 1, 1) for layer in layers)


@pytest.mark.usefixtures("threads_afterwards")
def test_num_threads_can_be_set():
    bn.set_num_threads(1)
    assert bn.get_num_threads() == 1
    bn.set_num_threads(np.int64(3))
    assert bn.get_num_threads() == 3
    assert bn.isa() in bn.available_isas()
