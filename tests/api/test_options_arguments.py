"""Options of layers, sequences and BPTT: refusals that name both options, and round trips."""

import copy
import itertools
import pickle
import re

import numpy as np
import pytest

import bptt_native as bn
from helpers.cells import LAYERS
from helpers.displays import constructor_of
from helpers.refusals import MESSAGE, refusal

T, N, I, H, O = 5, 3, 4, 6, 3  # noqa: E741
NAN, INF = float("nan"), float("inf")

rng = np.random.default_rng(0)
x = rng.standard_normal((T, N, I)).astype("f4")
goal = rng.standard_normal((T, N, O)).astype("f4")


def layer_of(cell, **options):
    return LAYERS[cell](I, H, **options)


def model_of(cell, **options):
    return bn.Model(cell, input_size=I, hidden_size=H, output_size=O, **{"loss": "mse", **options})


# ---------------------------------------------------------------------------------- constructors

PROBABILITIES = ["dropout", "recurrent_dropout", "zoneout", "zoneout_c"]
BAD_PROBABILITIES = [NAN, INF, -INF, -0.1, 1.0, 1.5, "0.5", None, True, [0.5], 1j]


@pytest.mark.parametrize("name", PROBABILITIES)
@pytest.mark.parametrize("value", BAD_PROBABILITIES, ids=repr)
@pytest.mark.parametrize("make", [layer_of, model_of])
def test_probabilities(make, name, value):
    assert refusal(lambda: make("lstm", **{name: value}))[0] == name


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "alpha": [0, 0.0, -0.5, 1.01, NAN, INF, None, "1", True],
        "noise": [-0.1, NAN, INF, None, "1", True],
        "dale": [-0.1, 1.1, NAN, INF, "1", True],
        "nonlinearity": ["Tanh", "gelu", "", None, 1],
        "bidirectional": [1, 0, None, "yes", 1.0],
        "layer_norm": [1, None, "yes"],
        "variational": [1, None, "yes"],
    }.items(),
)
@pytest.mark.parametrize("make", [layer_of, model_of])
def test_options_of_an_rnn(make, name, values):
    for value in values:
        assert refusal(lambda: make("rnn", **{name: value}))[0] == name  # noqa: B023


@pytest.mark.parametrize("make", [layer_of, model_of])
def test_options_of_the_other_cells(make):
    for name, values in {
        "proj_size": [-1, H, H + 1, 2**62, 2.0, "2", None, True],
        "peephole": [1, None, "yes"],
        "coupled": [1, None, "yes"],
    }.items():
        for value in values:
            assert refusal(lambda: make("lstm", **{name: value}))[0] == name  # noqa: B023
    for value in [0, 1, None, "no"]:
        assert refusal(lambda: make("gru", reset_after=value))[0] == "reset_after"  # noqa: B023


# Options that the cell does not have: its class has no such argument, and `Model` names the cell.
FOREIGN = [
    ("lstm", "alpha", 0.5, "rnn"), ("gru", "noise", 0.5, "rnn"), ("lstm", "dale", 0.5, "rnn"),
    ("gru", "nonlinearity", "elu", "rnn"), ("rnn", "proj_size", 2, "lstm"),
    ("gru", "peephole", True, "lstm"), ("rnn", "coupled", True, "lstm"),
    ("gru", "zoneout_c", 0.1, "lstm"), ("lstm", "reset_after", False, "gru"),
    ("rnn", "reset_after", False, "gru"),
]  # fmt: skip


@pytest.mark.parametrize(("cell", "name", "value", "owner"), FOREIGN)
def test_options_of_one_cell_only(cell, name, value, owner):
    argument, expected = refusal(lambda: model_of(cell, **{name: value}))
    assert argument == name
    assert expected.endswith(f" unless the cell is '{owner}'")
    if isinstance(value, bool):
        assert expected.startswith(str(not value))
    with pytest.raises(TypeError, match=name):
        layer_of(cell, **{name: value})


EXCLUSIVE = [
    ("gru", {"layer_norm": True, "reset_after": False}, "layer_norm", "reset_after=False"),
    ("lstm", {"zoneout": 0.1, "proj_size": 2}, "zoneout", "proj_size"),
    ("lstm", {"zoneout_c": 0.1, "proj_size": 2}, "zoneout_c", "proj_size"),
    ("lstm", {"forget_bias": 1.0, "coupled": True}, "forget_bias", "coupled"),
    ("lstm", {"init": bn.Init("normal"), "proj_size": 2}, "init", "proj_size"),
    ("lstm", {"init": "sparse", "proj_size": 2}, "init", "proj_size"),
]
WITH_OMEGA = [
    {"layer_norm": True}, {"alpha": 0.5}, {"zoneout": 0.1}, {"recurrent_dropout": 0.1},
    {"dale": 0.8}, {"noise": 0.1}, {"clip_step": 1.0}, {"clip_step_norm": 1.0},
    {"truncation": (2, 3)},
]  # fmt: skip


@pytest.mark.parametrize(("cell", "options", "first", "second"), EXCLUSIVE)
@pytest.mark.parametrize("make", [layer_of, model_of])
def test_options_that_exclude_each_other(make, cell, options, first, second):
    argument, expected = refusal(lambda: make(cell, **options))
    assert argument == first
    assert second in expected


@pytest.mark.parametrize("options", WITH_OMEGA, ids=str)
def test_what_omega_excludes(options):
    model_of("rnn", **options)
    argument, expected = refusal(lambda: model_of("rnn", omega=0.5, **options))
    assert argument == "omega"
    assert next(iter(options)) in expected


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_omega_needs_an_rnn(cell):
    argument, expected = refusal(lambda: model_of(cell, omega=0.5))
    assert (argument, expected) == ("omega", "0 unless the cell is 'rnn'")
    layer = layer_of(cell)
    tape = layer.forward(x)[2]
    argument, expected = refusal(lambda: layer.backward(tape, None, omega=0.5))
    assert (argument, "rnn" in expected.lower()) == ("omega", True)


BAD_OMEGAS = [NAN, INF, -INF, -1, -1e-300, "1", None, True]
BAD_WINDOWS = [
    3, 3.0, "33", (3,), (3, 4, 5), (0, 3), (-1, 3), (3, 0), (3, 2), (2.0, 3), (True, 3),
    (None, 3), {1, 2}, np.array(3), (1, 2**63),
]  # fmt: skip


@pytest.mark.parametrize("omega", BAD_OMEGAS, ids=repr)
def test_bad_omegas(omega):
    assert refusal(lambda: model_of("rnn", omega=omega))[0] == "omega"
    rnn = layer_of("rnn")
    tape = rnn.forward(x)[2]
    assert refusal(lambda: rnn.backward(tape, None, omega=omega))[0] == "omega"


@pytest.mark.parametrize("truncation", BAD_WINDOWS, ids=repr)
def test_bad_truncation(truncation):
    assert refusal(lambda: model_of("gru", truncation=truncation))[0] == "truncation"
    for made in (layer_of("gru"), model_of("gru")):
        tape = made.forward(x)[2]
        call = lambda: made.backward(tape, None, truncation=truncation)  # noqa: B023, E731
        assert refusal(call)[0] == "truncation"


def test_refusals_speak_python():
    for options in (
        {"omega": 0.5, "truncation": (2, 2)},
        {"loss": "mse", "label_smoothing": 0.1},
        {"loss": "mse", "ignore_index": 3},
        {"omega": 0.5, "clip_step": 1.0},
        {"optimizer": "sgd", "nesterov": True},
        {"optimizer": "sgd", "amsgrad": True},
        {"optimizer": "adam", "momentum": 0.9},
        {"optimizer": "adam", "rmsprop_alpha": 0.9},
        {"optimizer": "adam", "rmsprop_form": "graves"},
        {"optimizer": "rmsprop", "rmsprop_form": "graves", "centered": True},
        {"init": bn.Init("chrono", time_scale=4)},
    ):
        with pytest.raises(ValueError, match=MESSAGE) as caught:
            model_of("rnn", **options)
        assert not re.search(r"BPTT_|algorithm|_k[12]|\bk[12]\b", str(caught.value))


def test_truncation_needs_one_direction():
    both = layer_of("lstm", bidirectional=True)
    for call in (
        lambda: model_of("lstm", bidirectional=True, truncation=(2, 2)),
        lambda: both.backward(both.forward(x)[2], None, truncation=(2, 2)),
    ):
        argument, expected = refusal(call)
        assert argument == "truncation"
        assert expected == "None with bidirectional=True"


def test_a_stream_needs_one_direction():
    both = model_of("gru", bidirectional=True)
    with pytest.raises(RuntimeError, match=r"^Model\.stream: the model is bidirectional, and a st"):
        both.stream()


# ------------------------------------------------------------------------------- lengths, resets

lstm = layer_of("lstm", num_layers=2, bidirectional=True, dropout=0.5)
model = model_of("rnn", num_layers=2, dropout=0.1, recurrent_dropout=0.2)
ENTRIES = {
    "LSTM.__call__": lambda **named: lstm(x, **named),
    "LSTM.forward": lambda **named: lstm.forward(x, **named),
    "Model.__call__": lambda **named: model(x, **named),
    "Model.forward": lambda **named: model.forward(x, **named),
    "Model.train_step": lambda **named: model.train_step(x, goal, **named),
    "Model.gradients": lambda **named: model.gradients(x, goal, **named),
    "Model.eval_step": lambda **named: model.eval_step(x, goal, **named),
}
BAD_LENGTHS = {
    "zero": [0, T, T], "above T": [T, T, T + 1], "negative": [T, -1, T], "a fraction": [1, 2.5, 3],
    "floats": [1.0, 2.0, 3.0], "a float array": np.array([1.0, 2.0, 3.0]), "too few": [T, T],
    "too many": [T] * 4, "a number": 3, "rank 2": [[1, 2, 3]], "bools": [True] * 3,
    "a bool array": np.ones(3, bool), "text": "123", "texts": ["1", "2", "3"], "None in it":
    [1, None, 3], "empty": [], "a dict": {0: 1}, "huge": [2**62, 1, 1], "beyond int64":
    np.array([2**63, 1, 1], np.uint64), "objects": np.array([1, 2, 3], object), "masked":
    np.ma.array([1, 2, 3], mask=[0, 1, 0]), "datetimes": np.zeros(3, "M8[s]"), "complex":
    np.ones(3, "c8"), "int8": np.array([1, -128, 1], "i1"),
}  # fmt: skip
BAD_RESETS = {
    "one step less": np.zeros((T - 1, N), bool), "transposed": np.zeros((N, T), bool), "rank 1":
    np.zeros(T * N, bool), "rank 3": np.zeros((T, N, 1), bool), "a flag": True, "floats":
    np.zeros((T, N)), "twos": np.full((T, N), 2), "minus one": np.full((T, N), -1), "int8 twos":
    np.full((T, N), 2, "i1"),
    "text": "no", "texts": np.full((T, N), "x"), "objects": np.zeros((T, N), object), "None in it":
    [[None] * N] * T, "a dict": {}, "ragged": [[True]] * (T - 1) + [[True] * N], "empty": [],
    "masked": np.ma.array(np.zeros((T, N), bool)), "complex": np.zeros((T, N), "c8"),
}  # fmt: skip


def snapshot():
    kept = [p.tobytes() for made in (lstm, model) for p in made.state_dict().values()]
    kept.append((model.step_count, model.skipped_count))
    return [*kept, pickle.dumps(lstm), pickle.dumps(model)]


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name} {label}")
        for name, cases in (("lengths", BAD_LENGTHS), ("resets", BAD_RESETS))
        for label, value in cases.items()
    ],
)
def test_bad_lengths_and_resets(entry, name, value):
    before = snapshot()
    argument, _ = refusal(
        lambda: ENTRIES[entry](**{name: value}), (TypeError, ValueError, IndexError)
    )
    assert argument == name
    assert snapshot() == before


def test_a_bad_length_is_a_value_error_that_says_which():
    with pytest.raises(ValueError, match=r"from 1 to 5, got 6 for sequence 1"):
        lstm(x, lengths=[5, 6, 0])


@pytest.mark.parametrize("draw", [-1, 2**64, 1.0, "1", True, [1], np.array(1)], ids=repr)
def test_bad_draws(draw):
    for made in (lstm, model):
        assert refusal(lambda: made.forward(x, draw=draw))[0] == "draw"  # noqa: B023
    assert refusal(lambda: model.gradients(x, goal, draw=draw))[0] == "draw"


GOOD_LENGTHS = [
    [5, 1, 3], (5, 1, 3), np.array([5, 1, 3], "i1"), np.array([5, 1, 3], "u8"),
    np.array([5, 1, 3], ">i4"), np.array([5, 0, 1, 0, 3])[::2], [np.int16(5), 1, np.uint8(3)],
]  # fmt: skip


@pytest.mark.parametrize("lengths", GOOD_LENGTHS, ids=repr)
def test_lengths_of_any_integer_kind(lengths):
    want = lstm(x, lengths=np.array([5, 1, 3]))[0]
    assert (want[1:, 1] == 0).all()
    np.testing.assert_array_equal(lstm(x, lengths=lengths)[0], want)


def test_resets_of_any_kind():
    mask = rng.random((T, N)) < 0.4
    want = lstm(x, resets=mask)[0]
    assert not np.array_equal(want, lstm(x)[0])
    for same in (
        mask.tolist(), mask.astype("i8"), mask.astype("u1"), np.asfortranarray(mask),
        np.repeat(mask, 2, 1)[:, ::2], mask[::-1].copy()[::-1], mask.astype(">i2"),
    ):  # fmt: skip
        np.testing.assert_array_equal(lstm(x, resets=same)[0], want)


def test_padding_is_never_read():
    """NaN and tokens that do not exist, where no sequence is; and no target, of whatever kind."""
    lengths = np.array([5, 1, 3])
    beyond = np.arange(T)[:, None] >= lengths
    spoilt, spoilt_goal = x.copy(), goal.copy()
    spoilt[beyond], spoilt_goal[beyond] = NAN, NAN
    resets = np.where(beyond, 2, 0).astype("u1").view(bool)
    a, b = (model_of("lstm", bidirectional=True, dropout=0.5, num_layers=2) for _ in range(2))
    for _ in range(2):
        one = a.train_step(x, goal, lengths=lengths)
        two = b.train_step(spoilt, spoilt_goal, lengths=lengths, resets=resets)
        assert (one.loss, one.grad_norm) == (two.loss, two.grad_norm)
    assert not two.skipped
    assert (
        a.eval_step(x, goal, lengths=lengths)[0]
        == b.eval_step(spoilt, spoilt_goal, lengths=lengths)[0]
    )
    tokens = rng.integers(0, 7, (T, N))
    words = bn.Model("gru", vocab_size=7, hidden_size=H, output_size=7)
    want = words.eval_step(tokens, tokens, lengths=lengths)[0]
    wrong = np.where(beyond, -(2**60), tokens)
    assert words.eval_step(wrong, wrong, lengths=lengths)[0] == want
    with pytest.raises(IndexError, match=r"at step 1 of sequence 1"):
        words(wrong)


def test_weights_may_say_which_targets_count():
    mask = rng.random((T, N)) < 0.5
    wanted = model.eval_step(x, goal, weights=mask.astype("f4"))[0]
    assert model.eval_step(x, goal, weights=mask)[0] == wanted != model.eval_step(x, goal)[0]
    assert model.eval_step(x, goal, weights=mask.tolist())[0] == wanted


def test_an_unbatched_sequence_has_one_length():
    one = x[:, 0]
    y, (h, c) = lstm(one, lengths=[2], resets=[False] * T)
    want, (wanted_h, wanted_c) = lstm(one[:2])
    np.testing.assert_allclose(y[:2], want, rtol=1e-5, atol=1e-7)
    assert (y[2:] == 0).all()
    np.testing.assert_allclose(h, wanted_h, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(c, wanted_c, rtol=1e-5, atol=1e-7)


# ----------------------------------------------------------------------------- shapes, round trips

FULL = {
    "rnn": {
        "num_layers": 2, "nonlinearity": "softsign", "bidirectional": True, "dropout": 0.25,
        "variational": True, "recurrent_dropout": 0.125, "zoneout": 0.0625, "layer_norm": True,
        "alpha": 0.75, "noise": 0.03125, "dale": 0.8, "seed": 2**64 - 1,
    },
    "lstm": {
        "num_layers": 2, "bidirectional": True, "dropout": 0.25, "variational": True,
        "recurrent_dropout": 0.125, "proj_size": 2, "peephole": True, "coupled": True,
        "layer_norm": True, "seed": 3,
    },
    "gru": {"reset_after": False, "zoneout": 0.1, "bidirectional": True, "batch_first": True},
}  # fmt: skip


@pytest.mark.parametrize("cell", FULL)
def test_a_layer_round_trip(cell):
    made = layer_of(cell, **FULL[cell])
    made.forward(np.zeros((2, 2, I), "f4"))
    made.forward(np.zeros((2, 2, I), "f4"))
    for clone in (lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy, copy.copy):
        same = clone(made)
        assert repr(same) == repr(made)
        ours, theirs = (m.forward(np.ones((2, 2, I), "f4")) for m in (made, same))
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[2].draw == theirs[2].draw >= 2
    for name, value in FULL[cell].items():
        assert f"{name}={value!r}" in constructor_of(made)
    again = eval(constructor_of(made), {cell.upper(): LAYERS[cell]})
    np.testing.assert_array_equal(again.state_dict()["weight_hh_l0"],
                                  made.state_dict()["weight_hh_l0"])  # fmt: skip


@pytest.mark.parametrize("cell", FULL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_round_trip(cell, dtype, tmp_path):
    options = {**FULL[cell], "dtype": dtype}
    made = model_of(cell, **options)
    shape = (2, 3) if made.config["batch_first"] else (3, 2)
    data, wanted = np.ones((*shape, I), dtype), np.ones((*shape, O), dtype)
    made.train_step(data, wanted, lengths=[3, 2])
    assert options.items() <= made.config.items()
    made.save(tmp_path / "m")
    fresh = bn.Model(**made.config)
    assert fresh.config == made.config
    for same in (bn.load(tmp_path / "m"), pickle.loads(pickle.dumps(made))):
        assert same.config == made.config
        assert repr(same) == repr(made)
        results = [m.train_step(data, wanted, lengths=[3, 2]) for m in (made, same)]
        assert results[0].loss == results[1].loss  # the same masks too
        for name, value in made.state_dict().items():
            np.testing.assert_array_equal(value, same.state_dict()[name])
        made = bn.load(tmp_path / "m")


@pytest.mark.parametrize(
    "options",
    [
        {"truncation": (2, 3)}, {"truncation": (4, 4)}, {"omega": 0.5}, {"dale": 0.0},
        {"batch_first": True}, {"nonlinearity": "leaky_relu"}, {"alpha": 0.1, "noise": 0.5},
    ],
    ids=str,
)  # fmt: skip
def test_options_of_a_model_in_files(options, tmp_path):
    made = model_of("rnn", **options)
    assert options.items() <= made.config.items()
    for name, value in options.items():
        assert f"{name}={value!r}" in constructor_of(made)
    made.save(tmp_path / "m")
    assert bn.load(tmp_path / "m").config == made.config == bn.Model(**made.config).config


def test_defaults_are_not_shown():
    assert constructor_of(layer_of("lstm")) == "LSTM(4, 6)"
    assert constructor_of(layer_of("rnn")) == "RNN(4, 6)"
    assert constructor_of(layer_of("gru")) == "GRU(4, 6)"
    assert "dropout" not in repr(model_of("lstm"))


@pytest.mark.parametrize(("cell", "unbatched"), list(itertools.product(FULL, [False, True])))
def test_shapes(cell, unbatched):
    options = {**FULL[cell], "batch_first": False}
    made = layer_of(cell, **options)
    L, D, R = options.get("num_layers", 1), 2, options.get("proj_size", H)
    batch = () if unbatched else (N,)
    data = x[:, 0] if unbatched else x
    y, state, tape = made.forward(data)
    h, c = state if cell == "lstm" else (state, None)
    assert y.shape == (T, *batch, D * R)
    assert h.shape == (L * D, *batch, R)
    states = tape.states()
    all_h = states[0] if cell == "lstm" else states
    assert all_h.shape == (L * D, T, *batch, R)
    if cell == "lstm":
        assert c.shape == (L * D, *batch, H)
        assert states[1].shape == (L * D, T, *batch, H)
    np.testing.assert_array_equal(np.concatenate([all_h[-2], all_h[-1]], -1), y)
    names = {"rnn": "", "lstm": "igo", "gru": "rzn"}[cell]
    gates = tape.gates()
    assert list(gates) == list(names)
    assert all(gate.shape == (L * D, T, *batch, H) for gate in gates.values())
    grads = made.backward(tape, y, state)
    assert grads.x.shape == data.shape
    assert grads.flow.shape == (L * D, T)
    dh = grads.state[0] if cell == "lstm" else grads.state
    assert dh.shape == h.shape
    assert grads.omega == 0.0


@pytest.mark.parametrize("targets", ["every", "last"])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_a_model_with_the_batch_first(loss, targets):
    """Everything transposed but the states: the same numbers."""
    models = [
        model_of("gru", loss=loss, targets=targets, batch_first=first, bidirectional=True)
        for first in (False, True)
    ]
    aim = goal if loss == "mse" else rng.integers(0, O, (T, N))
    weights = rng.random((T, N)).astype("f4")
    if targets == "last":
        aim, weights = aim[0], weights[0]
    swap = (lambda a: np.swapaxes(a, 0, 1)) if targets == "every" else (lambda a: a)
    resets = rng.random((T, N)) < 0.3
    named = {"lengths": [2, 5, 3], "resets": resets, "weights": weights}
    turned = {"lengths": [2, 5, 3], "resets": resets.T, "weights": swap(weights)}
    state = rng.standard_normal((2, N, H)).astype("f4")
    one = models[0].train_step(x, aim, state, **named)
    two = models[1].train_step(x.swapaxes(0, 1), swap(aim), state, **turned)
    assert (one.loss, one.grad_norm) == (two.loss, two.grad_norm)
    np.testing.assert_array_equal(one.state, two.state)
    outs = models[0](x, state)[0], models[1](x.swapaxes(0, 1).copy(), state)[0]
    np.testing.assert_array_equal(outs[0], swap(outs[1]))
    assert (
        models[0].eval_step(x, aim, state, **named)[0]
        == models[1].eval_step(x.swapaxes(0, 1), swap(aim), state, **turned)[0]
    )
    tape = models[1].forward(x.swapaxes(0, 1))[2]
    assert models[1].backward(tape, outs[1]).x.shape == (N, T, I)


def test_flow_where_windows_overlap():
    made = model_of("lstm", truncation=(2, 3))
    result = made.train_step(x, goal)
    assert result.flow is None
    assert result.flow_c is None
    assert model_of("lstm", truncation=(2, 2)).train_step(x, goal).flow.shape == (1, T)
    layer = layer_of("lstm")
    y, _, tape = layer.forward(x)
    grads = layer.backward(tape, y, truncation=(1, 4))
    assert grads.flow is None
    assert grads.flow_c is None
    assert layer.backward(tape, y, truncation=[3, 3]).flow.shape == (1, T)
    assert layer.backward(tape, y, truncation=(np.int64(1), np.uint8(1))).flow is not None


def test_omega_is_reported():
    layer = layer_of("rnn")
    y, _, tape = layer.forward(x)
    plain, with_omega = layer.backward(tape, y), layer.backward(tape, y, omega=2.0)
    assert plain.omega == 0.0
    assert with_omega.omega > 0
    changed = [k for k in plain if not np.array_equal(plain[k], with_omega[k])]
    assert changed == ["weight_hh_l0"]
    assert with_omega.copy().omega == with_omega.omega
    made = model_of("rnn", omega=2.0)
    result = made.train_step(x, goal)
    assert result.omega > 0
    assert result.loss == model_of("rnn").train_step(x, goal).loss
    assert model_of("rnn").train_step(x, goal).omega == 0.0


@pytest.mark.parametrize("options", [{"truncation": (2, 3)}, {"omega": 0.5}, {}], ids=str)
def test_a_step_in_two_halves_is_the_same_step(options):
    random = {} if "omega" in options else {"recurrent_dropout": 0.3, "noise": 0.1}
    one, two = (model_of("rnn", num_layers=2, dropout=0.5, **random, **options) for _ in range(2))
    named = {"lengths": [5, 2, 4], "resets": rng.random((T, N)) < 0.3}
    for _ in range(3):
        whole = one.train_step(x, goal, **named)
        half, grads = two.gradients(x, goal, **named)
        update = two.apply(grads)
        assert (half.loss, half.omega, update.grad_norm) == (
            whole.loss, whole.omega, whole.grad_norm,
        )  # fmt: skip
        assert (whole.omega > 0) == ("omega" in options) == (grads.omega > 0)
    for name, value in one.state_dict().items():
        np.testing.assert_array_equal(value, two.state_dict()[name])


def test_layers_count_their_draws():
    layer = layer_of("lstm", num_layers=2, dropout=0.5)
    runs = [layer.forward(x) for _ in range(3)]
    assert [tape.draw for _, _, tape in runs] == [0, 1, 2]
    assert not np.array_equal(runs[0][0], runs[1][0])
    again = layer.forward(x, draw=1)
    np.testing.assert_array_equal(again[0], runs[1][0])
    with pytest.raises(ValueError, match="lengths"):
        layer.forward(x, lengths=[0, 1, 1])
    assert layer.forward(x)[2].draw == 3  # chosen draws and refused calls do not count
    assert layer.forward(x, draw=2**64 - 1)[2].draw == 2**64 - 1
    np.testing.assert_array_equal(layer(x)[0], layer_of("lstm", num_layers=2)(x)[0])
