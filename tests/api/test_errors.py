"""Bad input, generated: every public call refuses it by name and changes nothing."""

import itertools
import os
import re
import warnings

import numpy as np
import pytest

import bptt_native as bn
from helpers.arrays import draw
from helpers.cells import LAYERS
from helpers.program import python

T, N, I, H, O, V = 5, 3, 4, 6, 3, 7  # noqa: E741
HUGE = 2**62
SHAPE = re.compile(r"^[\w.]+: argument '([\w.]+)': expected .+, got .+", re.DOTALL)


class HasNoArray:
    def __repr__(self):
        return "<HasNoArray>"


class BadArray:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no")


def matrix(a):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.asmatrix(a.reshape(a.shape[0], -1))


# What can be wrong with a float32 array `a` of rank >= 2; the value's class decides the exception.
BAD_FLOATS = {
    "float64": lambda a: a.astype("f8"),
    "longdouble": lambda a: a.astype("g"),
    "swapped float64": lambda a: a.astype(">f8"),
    "bool": lambda a: a > 0,
    "int64": lambda a: np.ones((1, *a.shape), "i8"),
    "uint32": lambda a: np.ones((1, *a.shape), "u4"),
    "complex": lambda a: a.astype("c8"),
    "object": lambda a: a.astype(object),
    "text": lambda a: a.astype("U"),
    "bytes": lambda a: a.astype("S"),
    "datetime": lambda a: np.zeros(a.shape, "M8[s]"),
    "timedelta": lambda a: np.zeros(a.shape, "m8[s]"),
    "structured": lambda a: np.zeros(a.shape, [("x", "f4")]),
    "masked": np.ma.array,
    "None in a list": lambda _a: [[None]],
    "str": lambda _a: "x",
    "bytes text": lambda _a: b"x",
    "dict": lambda _a: {"x": 1},
    "set": lambda _a: {1.0},
    "generator": lambda a: (row for row in a),
    "range": lambda _a: range(3),
    "object without an array": lambda _a: HasNoArray(),
    "object with a bad array": lambda _a: BadArray(),
    "function": lambda _a: len,
    "number": lambda _a: 1.5,
    "0-d": lambda _a: np.float32(1),
    "rank 1": lambda a: a.reshape(-1),
    "rank + 1": lambda a: a[None],
    "one feature more": lambda a: np.concatenate([a, a[..., :1]], -1),
    "one feature less": lambda a: a[..., :-1],
    "no features": lambda a: a[..., :0],
    "empty first axis": lambda a: a[:0],
    "empty second axis": lambda a: a[:, :0],
    "empty list": lambda _a: [],
    "ragged list": lambda a: [*a.tolist(), [[1.0]]],
    "matrix": matrix,
    "too large for float32": lambda a: (a.astype("f8") * 1e300).tolist(),
}
BAD_TOKENS = {
    "float": lambda a: a.astype("f4"),
    "float64": lambda a: a.astype("f8"),
    "bool": lambda a: a > 0,
    "complex": lambda a: a.astype("c8"),
    "object": lambda a: a.astype(object),
    "text": lambda a: a.astype("U"),
    "datetime": lambda a: a.astype("M8[s]"),
    "masked": np.ma.array,
    "list of floats": lambda a: a.astype(float).tolist(),
    "None": lambda _a: None,
    "str": lambda _a: "abc",
    "dict": lambda _a: {},
    "rank + 1": lambda a: a[..., None],
    "0-d": lambda _a: np.array(1),
    "empty first axis": lambda a: a[:0],
    "empty second axis": lambda a: a[:, :0],
    "empty list": lambda _a: [],
    "ragged list": lambda a: [*a.tolist(), [1]],
    "negative": lambda a: a - 10,
    "one too large": lambda a: np.where(np.arange(a.size).reshape(a.shape) == a.size - 1, 99, a),
    "int8 negative": lambda a: (a - 10).astype("i1"),
    "beyond int64": lambda a: a.astype("u8") + np.uint64(2**63),
    "beyond int64 in a list": lambda a: [[2**70] * a.shape[1]] * a.shape[0],
}

lstm = bn.LSTM(I, H, 2)
gru = bn.GRU(I, H)
tokens_model = bn.Model(vocab_size=V, hidden_size=H, output_size=V)
last_model = bn.Model(
    cell="gru", vocab_size=V, embedding_size=2, hidden_size=H, output_size=V, targets="last"
)
mse_model = bn.Model(cell="rnn", input_size=I, hidden_size=H, output_size=O, loss="mse")
x, y, h, gh = draw(T, N, I), draw(T, N, H), draw(2, N, H), draw(1, N, H)
values, ids = draw(T, N, O), np.arange(T * N).reshape(T, N) % V
lstm_tape, gru_tape = lstm.forward(x)[2], gru.forward(x)[2]
mse_tape, out = mse_model.forward(x)[2], draw(T, N, O)

FLOAT_ENTRIES = {
    "LSTM.__call__ x": ("x", x, lambda v: lstm(v)),
    "LSTM.forward x": ("x", x, lambda v: lstm.forward(v)),
    "LSTM.forward h": ("state", h, lambda v: lstm.forward(x, (v, h))),
    "LSTM.forward c": ("state", h, lambda v: lstm.forward(x, (h, v))),
    "LSTM.forward state": ("state", h, lambda v: lstm.forward(x, v)),
    "GRU.forward state": ("state", gh, lambda v: gru.forward(x, v)),
    "LSTM.backward dy": ("dy", y, lambda v: lstm.backward(lstm_tape, v)),
    "LSTM.backward dstate": ("dstate", h, lambda v: lstm.backward(lstm_tape, y, (h, v))),
    "GRU.backward dstate": ("dstate", gh, lambda v: gru.backward(gru_tape, y, v)),
    "Model.train_step x": ("x", x, lambda v: mse_model.train_step(v, values)),
    "Model.train_step targets": ("targets", values, lambda v: mse_model.train_step(x, v)),
    "Model.train_step state": ("state", gh, lambda v: mse_model.train_step(x, values, v)),
    "Model.train_step weights": (
        "weights",
        np.ones((T, N), "f4"),
        lambda v: mse_model.train_step(x, values, weights=v),
    ),
    "Model.evaluate targets": ("targets", values, lambda v: mse_model.evaluate(x, v)),
    "Model.__call__ x": ("x", x, lambda v: mse_model(v)),
    "Model.backward dout": ("dout", out, lambda v: mse_model.backward(mse_tape, v)),
}
TOKEN_ENTRIES = {
    "Model.train_step x": ("x", ids, lambda v: tokens_model.train_step(v, ids)),
    "Model.train_step targets": ("targets", ids, lambda v: tokens_model.train_step(ids, v)),
    "Model.evaluate x": ("x", ids, lambda v: tokens_model.evaluate(v, ids)),
    "Model.forward x": ("x", ids, lambda v: tokens_model.forward(v)),
    "Model.__call__ x, embedding": ("x", ids, lambda v: last_model(v)),
    "LSTM.__call__ x": ("x", ids % I, lambda v: lstm(v)),
}


def cases():
    for (entry, (argument, good, call)), (name, spoil) in itertools.product(
        FLOAT_ENTRIES.items(), BAD_FLOATS.items()
    ):
        if name == "matrix" and good.ndim == 2:
            continue  # it has the right shape
        if name == "bool" and argument == "weights":
            continue  # which targets count
        yield pytest.param(call, spoil(good), argument, id=f"{entry}: {name}")
    for (entry, (argument, good, call)), (name, spoil) in itertools.product(
        TOKEN_ENTRIES.items(), BAD_TOKENS.items()
    ):
        yield pytest.param(call, spoil(good), argument, id=f"{entry}: tokens {name}")


def snapshot():
    """Everything that a refused call may not have changed."""
    models = (lstm, gru, tokens_model, last_model, mse_model)
    kept = [p.tobytes() for m in models for p in m.state_dict().values()]
    kept += [a.tobytes() for a in (x, y, h, gh, values, ids, out)]
    kept += [(m.step_count, m.skipped_count, m.lr) for m in models[2:]]
    return kept


def refused(call, *values, error=(TypeError, ValueError, IndexError)):
    """Make the call, which has to be refused as it should be; give the name of the argument."""
    before = snapshot()
    with pytest.raises(error) as caught:
        call(*values)
    text = str(caught.value)
    found = SHAPE.match(text)
    assert found, text
    assert "\n" not in text
    assert len(text) < 700, text
    assert snapshot() == before
    return found[1]


@pytest.mark.parametrize(("call", "bad", "argument"), list(cases()))
def test_bad_arrays(call, bad, argument):
    kept = bad.copy() if isinstance(bad, np.ndarray) else None
    assert refused(call, bad) == argument
    if kept is not None:
        assert kept.tobytes() == bad.tobytes()


# ------------------------------------------------------------------------------------- constructors

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
        for argument in ("lr", "weight_decay", "momentum"):
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
    for call in (lambda: both(tokens), lambda: both.evaluate(tokens, [0])):
        with pytest.raises(MemoryError, match="sizes that fit into this machine"):
            call()


# ----------------------------------------------------------------------------- tapes, streams, rest


@pytest.mark.parametrize("bad", [None, 3, "tape", x, (lstm_tape,)])
def test_bad_tapes(bad):
    assert refused(lambda: lstm.backward(bad, y)) == "tape"
    assert refused(lambda: mse_model.backward(bad, out)) == "tape"


@pytest.mark.parametrize("tape", [gru_tape, mse_tape])
def test_tapes_of_others(tape):
    assert refused(lambda: lstm.backward(tape, draw(T, N, H)), error=RuntimeError) == "tape"


@pytest.mark.parametrize("bad", [3, "g", np.zeros(10, "f4"), {}, gru.backward(gru_tape, y)])
def test_bad_gradients(bad):
    assert refused(lambda: lstm.backward(lstm_tape, y, accumulate=bad)) == "accumulate"
    assert refused(lambda: bn.Adam(lstm).step(bad)) == "grads"
    if not isinstance(bad, bn.Gradients):
        assert refused(lambda: bn.clip_grad_norm_(bad, 1.0)) == "grads"
        assert refused(lambda: bn.clip_grad_value_(bad, 1.0)) == "grads"
        assert refused(lambda: bn.clip_grad_tensor_norm_(bad, 1.0)) == "grads"


@pytest.mark.parametrize("bad", [np.nan, -1, -np.inf, "1", None, [1], 1j, True])
def test_bad_thresholds(bad):
    grads = gru.backward(gru_tape, y)
    assert refused(lambda: bn.clip_grad_norm_(grads, bad)) == "max_norm"
    assert refused(lambda: bn.clip_grad_norm_(grads, 1.0, eps=bad)) == "eps"
    assert refused(lambda: bn.clip_grad_value_(grads, bad)) == "value"
    assert refused(lambda: bn.clip_grad_tensor_norm_(grads, bad)) == "max_norm"


def test_bad_stream_input():
    stream = mse_model.stream()
    good = draw(I)
    for bad in (
        *(spoil(draw(2, I)) for spoil in BAD_FLOATS.values()),
        draw(I + 1),
        3,
        np.int64(1),
        None,
    ):
        assert refused(lambda b=bad: stream.step(b)) == "x"
    buffer = np.zeros(2 * O, "f4")
    locked = np.zeros(O, "f4")
    locked.flags.writeable = False
    for bad in (
        buffer,
        buffer[::2],
        buffer[:O, None],
        locked,
        np.zeros(O, "f8"),
        [0.0] * O,
        "x",
        3,
        np.zeros(O, ">f4"),
        np.ma.zeros(O, "f4"),
        np.zeros((O, 1), "f4"),
    ):
        assert refused(lambda b=bad: stream.step(good, out=b)) == "out"
    shared = np.zeros(I + O, "f4")
    assert refused(lambda: stream.step(shared[:I], out=shared[I - 1 : I - 1 + O])) == "out"
    stream.step(shared[:I], out=shared[I : I + O])
    for bad in (
        draw(2, 1, H),
        draw(1, H),
        "x",
        3,
        (draw(1, 1, H), draw(1, 1, H)),
        draw(1, 1, H).astype("f8"),
    ):
        assert refused(lambda b=bad: setattr(stream, "state", b)) == "state"
    for call in (
        lambda: stream.step(),
        lambda: stream.step(good, None, 3),
        lambda: stream.step(good, other=1),
        lambda: stream.step(good, x=good),
    ):
        with pytest.raises(TypeError, match=r"Stream.step: expected arguments"):
            call()


@pytest.mark.parametrize(
    "bad", [-1, V, 2**63, -(2**70), 1.0, None, "a", True, [1], np.array([1]), np.float32(1), b"a"]
)
def test_bad_stream_tokens(bad):
    stream = tokens_model.stream()
    assert refused(lambda: stream.step(bad)) == "x"
    stream.step(np.int32(V - 1))
    stream.step(np.array(0))


def test_an_empty_stream_object_is_refused():
    with pytest.raises(TypeError, match=r"expected a stream that Model.stream made"):
        bn.Stream.__new__(bn.Stream).step(1)


def test_bad_metadata_and_tensors():
    m = tokens_model
    for key in ("", "k" * 257, "a\0b", 3, None, "\ud800"):
        assert refused(lambda k=key: m.metadata.__setitem__(k, "v")) == "key"
        assert refused(lambda k=key: m.tensors.__setitem__(k, np.ones(3))) == "key"
    for value in (3, None, b"x", "a\0b", "\udc00"):
        assert refused(lambda v=value: m.metadata.__setitem__("k", v)) == "value"
    for value in (
        None,
        "x",
        np.ones(3, "c8"),
        np.array([None]),
        np.ones(3, bool),
        np.ones((1,) * 9),
        np.ma.ones(3),
        np.array([2**63], "u8"),
        np.ones(2, "g"),
        {},
    ):
        assert refused(lambda v=value: m.tensors.__setitem__("k", v)) == "value"
    assert not m.metadata
    assert not m.tensors


@pytest.mark.parametrize("bad", [3, None, 1.5, ["a"], "", "a\0b", b"\0"])
def test_bad_paths(bad):
    assert refused(lambda: bn.load(bad)) == "path"
    assert refused(lambda: tokens_model.save(bad)) == "path"


def test_errors_of_the_system_have_their_number_and_name(tmp_path):
    missing = tmp_path / "no" / "model"
    for call in (lambda: bn.load(missing), lambda: tokens_model.save(missing)):
        with pytest.raises(
            FileNotFoundError, match=r"argument 'path': expected .+, got "
        ) as caught:
            call()
        assert caught.value.errno == 2
        assert os.fspath(caught.value.filename) == str(missing)
    with pytest.raises(IsADirectoryError):
        bn.load(tmp_path)


def test_values_that_are_not_finite_stay_in_their_own_row():
    clean, _ = lstm(x)
    for value in (np.nan, np.inf):
        dirty = x.copy()
        dirty[2, 1, 0] = value
        got, _ = lstm(dirty)
        np.testing.assert_array_equal(got[:, [0, 2]], clean[:, [0, 2]])
        np.testing.assert_array_equal(got[:2], clean[:2])
    assert np.isnan(lstm(np.where(x == x[2, 1, 0], np.float32(np.nan), x))[0][2:, 1]).all()


# -------------------------------------------------------------------------------------- the process


@pytest.mark.parametrize("name", ["no such set", "AVX2", "sse9"])
def test_an_instruction_set_that_is_not_there_is_an_import_error(name):
    done = python("import bptt_native", BPTT_ISA=name)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert re.match(rf"ImportError: .*BPTT_ISA.*expected one of .*, got '{name}'", last), last
    for isa in bn.available_isas():
        assert f"'{isa}'" in last
        assert (
            python("import bptt_native as bn; print(bn.isa())", BPTT_ISA=isa).stdout.strip() == isa
        )


@pytest.mark.parametrize("value", ["abc", "0", "-1", "2.0", "99999999"])
def test_a_number_of_threads_that_is_none_is_an_import_error(value):
    done = python("import bptt_native", BPTT_NUM_THREADS=value)
    assert done.returncode == 1
    wanted = (
        "ImportError: bptt_native: environment variable BPTT_NUM_THREADS: "
        f"expected an integer from 1 to 256, got '{value}'"
    )
    assert done.stderr.strip().splitlines()[-1] == wanted


@pytest.mark.parametrize(("value", "threads"), [("1", 1), ("256", 256), ("03", 3)])
def test_a_number_of_threads_comes_from_the_environment(value, threads):
    code = "import bptt_native as bn; print(bn.get_num_threads())"
    assert python(code, BPTT_NUM_THREADS=value).stdout.strip() == str(threads)
    assert int(python(code, BPTT_NUM_THREADS="").stdout) == len(os.sched_getaffinity(0))


def test_a_sub_interpreter_is_refused_and_never_hangs():
    done = python(
        """
        import sys
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            import _interpreters as interpreters
        one = interpreters.create()
        path = repr(sys.path)
        code = f"import sys; sys.path[:] = {path}\\ntry:\\n import bptt_native\\n"
        code += "except ImportError as error: print('refused', error)"
        problem = interpreters.run_string(one, code)
        print(problem or "")
        """
    )
    assert "refused" in done.stdout, done.stdout + done.stderr


def test_the_import_starts_no_thread_and_needs_little():
    done = python(
        """
        import os, sys
        import numpy
        before = len(os.listdir("/proc/self/task"))
        known = set(sys.modules)
        import bptt_native as bn
        bn.LSTM(2, 2)(numpy.zeros((1, 1, 2), "f4"))
        print(len(os.listdir("/proc/self/task")) - before)
        print(*{m.split(".")[0] for m in set(sys.modules) - known})
        """
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "0", done.stderr
    assert set(lines[1].split()) <= {
        "bptt_native", "numpy", "threading", "_xxsubinterpreters", "__future__",
    }  # fmt: skip


def test_a_handler_that_calls_the_model_inside_is_told_that_it_is_busy():
    done = python(
        """
        import os, signal, sys, threading
        import numpy as np, bptt_native as bn
        m = bn.Model(input_size=64, hidden_size=256, output_size=1, loss="mse")
        x = np.zeros((4000, 32, 64), "f4"); t = np.zeros((4000, 32, 1), "f4")
        def handler(*_):
            try:
                m.save("unused")
            except RuntimeError as error:
                print(error)
        signal.signal(signal.SIGUSR1, handler)
        begins = threading.Event()
        def strike():
            begins.wait()
            os.kill(os.getpid(), signal.SIGUSR1)
        thread = threading.Thread(target=strike)
        thread.start()
        sys.setswitchinterval(1e6)  # the other thread runs in the call only
        begins.set()
        m.train_step(x, t)
        thread.join()
        print(m.step_count)
        """
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stdout + done.stderr
    assert re.match(r"Model.save: expected .* got a call from the cancel callback", lines[0])
    assert lines[1] == "1"
