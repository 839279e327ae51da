"""Bad options and sizes, generated: each constructor refuses them by name."""

import itertools

import numpy as np
import pytest

import bptt_native as bn
from helpers.cells import LAYERS
from helpers.refusals import (
    HUGE,
    H,
    I,
    V,
    gru,
    lstm,
    lstm_tape,
    mse_model,
    refused,
    snapshot,
    y,
)

NOT_SIZES = [
    0,
    -1,
    -HUGE,
    1.0,
    2.5,
    "3",
    None,
    True,
    np.float32(3),
    np.array(3),
    [3],
    2**63,
    2**200,
    float("nan"),
]
NOT_NUMBERS = [np.nan, np.inf, -np.inf, -1.0, "1", None, True, [1.0], 1j, 10**400]
NOT_NAMES = [1, None, b"lstm", "", "LSTM ", "no such name", ["lstm"]]


def model(**options):
    return bn.Model(**({"vocab_size": V, "hidden_size": H, "output_size": V} | options))


def constructor_cases():
    for cls, bad in itertools.product(LAYERS.values(), NOT_SIZES):
        name = cls.__name__
        yield lambda b=bad, c=cls: c(b, H), "input_size", f"{name} input_size {bad!r:.20}"
        yield lambda b=bad, c=cls: c(I, b), "hidden_size", f"{name} hidden_size {bad!r:.20}"
        yield lambda b=bad, c=cls: c(I, H, b), "num_layers", f"{name} num_layers {bad!r:.20}"
    for bad in (-1, 2**64, 1.5, "0", None, True):
        yield lambda b=bad: bn.LSTM(I, H, seed=b), "seed", f"seed {bad!r}"
    for bad in (1, 0, None, "yes"):
        yield lambda b=bad: bn.LSTM(I, H, bias=b), "bias", f"bias {bad!r}"
        yield lambda b=bad: bn.LSTM(I, H, batch_first=b), "batch_first", f"batch_first {bad!r}"
    for bad in ("float16", "int32", ">f4", "f", object, None, 3, "no dtype", complex, "O"):
        if bad != "f":
            yield lambda b=bad: bn.LSTM(I, H, dtype=b), "dtype", f"dtype {bad!r}"
            yield lambda b=bad: model(dtype=b), "dtype", f"Model dtype {bad!r}"
    for bad in NOT_NAMES:
        yield lambda b=bad: bn.RNN(I, H, nonlinearity=b), "nonlinearity", f"nonlinearity {bad!r}"
        yield lambda b=bad: bn.RNN(I, H, init=b), "init", f"init {bad!r}"
        for argument in (
            "cell",
            "loss",
            "targets",
            "reduction",
            "optimizer",
            "init",
            "nonlinearity",
        ):
            yield lambda b=bad, a=argument: model(**{a: b}), argument, f"Model {argument} {bad!r}"
    for bad in (np.nan, np.inf, "1", True):
        yield lambda b=bad: bn.LSTM(I, H, forget_bias=b), "forget_bias", f"forget_bias {bad!r}"
        yield (
            lambda b=bad: bn.RNN(I, H, init=bn.Init("orthogonal", b)),
            "init.gain",
            f"gain {bad!r}",
        )
    yield (
        lambda: bn.LSTM(I, H, bias=False, forget_bias=1.0),
        "forget_bias",
        "forget_bias without a bias",
    )
    yield (
        lambda: bn.LSTM(I, H, init=bn.Init(forget_bias=1.0), forget_bias=1.0),
        "forget_bias",
        "two forget biases",
    )
    yield lambda: bn.GRU(I, H, init=bn.Init(forget_bias=1.0)), "forget_bias", "GRU forget_bias"
    yield lambda: model(cell="gru", forget_bias=1.0), "forget_bias", "Model GRU forget_bias"
    yield lambda: model(cell="lstm", nonlinearity="relu"), "nonlinearity", "Model LSTM nonlinearity"
    for bad in NOT_SIZES:
        for argument in (
            "vocab_size",
            "embedding_size",
            "hidden_size",
            "output_size",
            "num_layers",
        ):
            if bad is None and argument == "embedding_size":
                continue
            name = "input_size" if bad is None and argument == "vocab_size" else argument
            yield lambda b=bad, a=argument: model(**{a: b}), name, f"Model {argument} {bad!r:.20}"
    yield lambda: model(input_size=3), "input_size", "Model both inputs"
    yield (
        lambda: model(vocab_size=None, input_size=3, embedding_size=2),
        "embedding_size",
        "Model embedding_size dense",
    )
    for bad in NOT_NUMBERS:
        for argument in ("lr", "weight_decay", "momentum") if bad is not None else ():
            yield (
                lambda b=bad, a=argument: model(optimizer="sgd", **{a: b}),
                argument,
                f"Model {argument} {bad!r:.20}",
            )
        if bad is not None:
            yield lambda b=bad: model(eps=b), "eps", f"Model eps {bad!r:.20}"
            for argument in (
                "clip_norm",
                "clip_tensor_norm",
                "clip_value",
                "clip_step",
                "clip_step_norm",
            ):
                yield (
                    lambda b=bad, a=argument: model(**{a: b}),
                    argument,
                    f"Model {argument} {bad!r:.20}",
                )
            for argument in ("clip_step", "clip_step_norm"):
                call = lambda b=bad, a=argument: lstm.backward(lstm_tape, y, **{a: b})  # noqa: E731
                yield call, argument, f"LSTM.backward {argument} {bad!r:.20}"
        for cls in (bn.SGD, bn.Adagrad, bn.Adam):
            name = cls.__name__
            yield lambda b=bad, c=cls: c(gru, lr=b), "lr", f"{name} lr {bad!r:.20}"
            yield (
                lambda b=bad, c=cls: c(gru, weight_decay=b),
                "weight_decay",
                f"{name} weight_decay {bad!r:.20}",
            )
        yield lambda b=bad: bn.SGD(gru, momentum=b), "momentum", f"SGD momentum {bad!r:.20}"
        yield lambda b=bad: bn.Adam(gru, betas=(b, 0.9)), "betas", f"Adam betas {bad!r:.20}"
        yield lambda b=bad: bn.Adam(gru, betas=(0.9, b)), "betas", f"Adam betas 2 {bad!r:.20}"
        yield lambda b=bad: setattr(mse_model, "lr", b), "lr", f"Model.lr = {bad!r:.20}"
        yield lambda b=bad: setattr(bn.Adam(gru), "lr", b), "lr", f"Adam.lr = {bad!r:.20}"
    for bad in (1.0, 1.5):
        yield lambda b=bad: bn.SGD(gru, momentum=b), "momentum", f"SGD momentum {bad}"
        yield lambda b=bad: bn.Adam(gru, betas=(b, 0.9)), "betas", f"Adam betas {bad}"
    for bad in (0.9, "ab", (0.9,), (0.9, 0.9, 0.9), None):
        yield lambda b=bad: bn.Adam(gru, betas=b), "betas", f"Adam betas {bad!r}"
    for argument in ("clip_norm", "clip_value", "clip_step"):
        yield lambda a=argument: model(**{a: 0.0}), argument, f"Model {argument} 0"
    yield lambda: model(momentum=0.5), "momentum", "momentum with Adam"
    for bad in (None, "layer", 3, np.ones(3)):
        yield lambda b=bad: bn.Adam(b), "owner", f"Adam owner {bad!r}"
    for bad in (0, -1, 257, 2**70, 1.5, "2", None, True):
        yield lambda b=bad: bn.set_num_threads(b), "n", f"set_num_threads {bad!r}"


@pytest.mark.parametrize(
    ("call", "argument"),
    [pytest.param(call, argument, id=name) for call, argument, name in constructor_cases()],
)
def test_bad_options(call, argument):
    assert refused(call) == argument


def test_a_misspelt_name_gets_a_suggestion():
    with pytest.raises(ValueError, match=r"got 'lsmt' \(did you mean 'lstm'\?\)"):
        model(cell="lsmt")
    with pytest.raises(ValueError, match=r"did you mean 'sigmoid'"):
        bn.RNN(1, 1, nonlinearity="Sigmoid")


@pytest.mark.parametrize(
    "call",
    [
        lambda: bn.LSTM(HUGE, 1),
        lambda: bn.LSTM(1, HUGE),
        lambda: bn.LSTM(1, 1, HUGE),
        lambda: bn.GRU(2**40, 2**40),
        lambda: bn.RNN(10**7, 10**7),
        lambda: model(vocab_size=HUGE),
        lambda: model(output_size=HUGE),
        lambda: model(vocab_size=2**31, embedding_size=2**31),
        lambda: model(hidden_size=2**31),
        lambda: lstm.forward(np.broadcast_to(np.zeros(I, "f4"), (2**40, 2**10, I))),
        lambda: lstm(np.broadcast_to(np.zeros(I, "f4"), (2**40, 2**10, I))),
        lambda: lstm(np.broadcast_to(np.int64(1), (2**40, 2**3))),
    ],
)
def test_sizes_that_no_memory_holds(call):
    before = snapshot()
    with pytest.raises(MemoryError) as caught:
        call()
    assert str(caught.value)
    assert snapshot() == before


def test_two_directions_need_memory_for_all_steps_without_a_tape_too():
    both = bn.Model(
        "lstm", vocab_size=2, hidden_size=512, num_layers=2, output_size=2, targets="last",
        bidirectional=True, dtype="float64",
    )  # fmt: skip
    tokens = np.broadcast_to(np.zeros((1, 1), np.int64), (2**23, 1))
    for call in (lambda: both(tokens), lambda: both.eval_step(tokens, [0])):
        with pytest.raises(MemoryError, match="sizes that fit into this machine"):
            call()
