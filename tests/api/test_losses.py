"""Losses, their options and target weights: against NumPy and PyTorch."""

import json
import math
import pickle
import re

import numpy as np
import pytest

import bptt_native as bn
from helpers.cells import RECURRENT
from helpers.losses import (
    CASES,
    CLASS_WEIGHTS,
    IGNORED,
    LOSSES,
    TOLERANCE,
    H,
    I,
    N,
    O,
    T,
    close,
    data,
    model,
    numpy_loss,
)
from helpers.model_files import joined, split


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("targets", ["every", "last"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_every_loss_is_its_formula(case, targets, reduction, isa, comparisons):
    loss, options, weighted, ignored = CASES[case]
    m = model(loss, targets=targets, reduction=reduction, **options)
    x, y, weights = data(loss, targets, weighted, ignored)
    out, _, tape = m.forward(x)
    want, dout = numpy_loss(loss, out, y, weights, reduction, options)
    by_hand = m.backward(tape, dout)
    result, gradients = m.gradients(x, y, weights=weights)
    assert abs(result.loss - want) <= TOLERANCE * abs(want)
    assert m.eval_step(x, y, weights=weights)[0] == result.loss
    assert all(close(gradients[name], by_hand[name]) for name in by_hand)
    np.testing.assert_allclose(result.flow, by_hand.flow, rtol=1e-9)
    comparisons.add("NumPy, losses")


def torch_loss(torch, loss, out, y, weights, reduction, options):
    """The same of PyTorch's own losses, and its own mean wherever it has one."""
    f, tensor = torch.nn.functional, torch.tensor
    c = options.get("class_weights")
    c = None if c is None else tensor(c, dtype=torch.float64)
    how = reduction if weights is None else "none"
    if loss == "cross_entropy":
        ignore = options.get("ignore_index", IGNORED)
        smoothing = options.get("label_smoothing", 0.0)
        flat = out.reshape(-1, O), tensor(y).reshape(-1)
        each = f.cross_entropy(
            *flat, weight=c, ignore_index=ignore, label_smoothing=smoothing, reduction=how
        )
        of_class = np.ones(O) if c is None else c.numpy()
        counts = (y != ignore) * of_class[np.where(y == ignore, 0, y)]
        divisor = None if weights is None else (weights * counts).sum()
    else:
        if loss in ("mse", "huber"):
            unweighted = how if c is None else "none"
            delta = options.get("huber_delta", 1.0)
            square = (
                f.mse_loss(out, tensor(y), reduction=unweighted)
                if loss == "mse"
                else f.huber_loss(out, tensor(y), reduction=unweighted, delta=delta)
            )
            each = square if c is None else square * c
            if c is not None and how != "none":
                each = each.mean() if how == "mean" else each.sum()
        else:
            each = f.binary_cross_entropy_with_logits(out, tensor(y), weight=c, reduction=how)
        each = each if how != "none" else each.sum(-1).reshape(-1)
        divisor = None if weights is None else O * weights.sum()
    if weights is None:
        return each
    total = (each * tensor(weights).reshape(-1)).sum()
    return total / divisor if reduction == "mean" else total


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("targets", ["every", "last"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("cell", sorted(RECURRENT))  # those that torch has
def test_every_loss_is_pytorch_s(case, targets, reduction, cell, comparisons):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
    loss, options, weighted, ignored = CASES[case]
    m = model(loss, cell, targets=targets, reduction=reduction, **options)
    x, y, weights = data(loss, targets, weighted, ignored)
    layers = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    twin = torch.nn.ModuleDict(
        {
            "rnn": layers(I, H, 2, dtype=torch.float64),
            "readout": torch.nn.Linear(H, O, dtype=torch.float64),
        }
    )
    twin.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in m.state_dict().items()})
    h, _ = twin["rnn"](torch.from_numpy(x))
    out = twin["readout"](h if targets == "every" else h[-1])
    want = torch_loss(torch, loss, out, y, weights, reduction, options)
    want.backward()
    result, gradients = m.gradients(x, y, weights=weights)
    assert abs(result.loss - want.item()) <= TOLERANCE * abs(want.item())
    for name, parameter in twin.named_parameters():
        assert close(gradients[name], parameter.grad.numpy()), name
    comparisons.add("PyTorch, losses")


@pytest.mark.parametrize(
    "case", ["everything", "mse, everything", "bce, everything", "huber, everything"]
)
def test_float32_keeps_its_digits(case, isa):
    loss, options, weighted, ignored = CASES[case]
    x, y, weights = data(loss, "every", weighted, ignored)
    wide, narrow = model(loss, **options), model(loss, dtype="float32", **options)
    wide.load_state_dict({k: v.astype("f8") for k, v in narrow.state_dict().items()})
    y4 = y if loss == "cross_entropy" else y.astype("f4")
    a, da = wide.gradients(
        x.astype("f4").astype("f8"),
        y if loss == "cross_entropy" else y4.astype("f8"),
        weights=weights.astype("f4").astype("f8"),
    )
    b, db = narrow.gradients(x.astype("f4"), y4, weights=weights.astype("f4"))
    assert abs(a.loss - b.loss) <= 1e-5 * a.loss
    assert np.abs(da.flat - db.flat).max() <= 1e-5 * np.abs(da.flat).max()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binary_cross_entropy_at_the_ends(dtype):
    """The readout's bias alone makes the logits: nothing overflows, and NaN stays NaN."""
    z = np.array([1e30, -1e30, 1e30, -1e30, 50.0], dtype)
    y = np.array([1.0, 0.0, 0.0, 1.0, 1.0], dtype)
    m = model("binary_cross_entropy", targets="last", reduction="sum", dtype=dtype)
    m.load_state_dict({k: np.zeros(v.shape, dtype) for k, v in m.state_dict().items()})
    state = {**m.state_dict(), "readout.bias": z}
    m.load_state_dict(state)
    x = np.zeros((T, 1, I), dtype)
    result, gradients = m.gradients(x, y[None])
    assert abs(result.loss - 2 * float(z[0])) <= 1e-6 * result.loss
    tail = -math.exp(-50) / (1 + math.exp(-50))
    np.testing.assert_allclose(gradients["readout.bias"], [0, 0, 1, -1, tail], rtol=1e-6)
    y[2:4] = 1 - y[2:4]
    assert m.gradients(x, y[None])[0].loss == pytest.approx(math.log1p(math.exp(-50)), rel=1e-6)
    z[1] = np.nan
    with pytest.warns(RuntimeWarning, match="NaN or infinite: readout.bias"):
        m.load_state_dict({**state, "readout.bias": z})
    before = m.state_dict()
    result = m.train_step(x, y[None])
    assert math.isnan(result.loss)
    assert result.skipped
    assert all(np.array_equal(before[k], v, equal_nan=True) for k, v in m.state_dict().items())


def biased(loss, bias, **options):
    """A model whose outputs are the readout's bias."""
    m = model(loss, targets="last", reduction="sum", dtype=bias.dtype.name, **options)
    zeros = {name: np.zeros_like(value) for name, value in m.state_dict().items()}
    m.load_state_dict(zeros | {"readout.bias": bias})
    return m, np.zeros((T, 1, I), bias.dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huber_of_huge_and_tiny_errors(dtype):
    """Errors far beyond the threshold pull with it alone, those far below as squares do."""
    info = np.finfo(dtype)
    top, small = float(info.max) / 4, 2.0 * float(info.tiny)
    z, zero = np.array([top, -top, 1.0, small, 0.0], dtype), np.zeros((1, O), dtype)
    m, x = biased("huber", z, huber_delta=0.5)
    result, gradients = m.gradients(x, zero)
    assert result.loss == pytest.approx(top, rel=1e-15)
    np.testing.assert_array_equal(gradients["readout.bias"], [0.5, -0.5, 0.5, z[3], 0])
    m, x = biased("huber", z, huber_delta=small)  # every error is beyond it or at it
    result, gradients = m.gradients(x, zero)
    assert result.loss == pytest.approx(2 * small * top, rel=1e-15)
    np.testing.assert_array_equal(gradients["readout.bias"], [z[3], -z[3], z[3], z[3], 0])
    z[:2] = 3.0, -2.0
    m, x = biased("huber", z, huber_delta=top)  # a half of the squares
    result, gradients = m.gradients(x, zero)
    assert result.loss == 7.0
    np.testing.assert_array_equal(gradients["readout.bias"], z)
    assert m.train_step(x, zero).skipped is False


def test_huber_turns_at_its_threshold():
    """Loss and gradient are continuous there, and the gradient is the threshold beyond it."""
    out = np.array([[0.5, np.nextafter(0.5, 1), np.nextafter(0.5, 0), -0.5, -7.0]])
    m = model("huber", targets="last", reduction="sum", huber_delta=0.5)
    wanted = [0.5, 0.5, np.nextafter(0.5, 0), -0.5, -0.5]
    assert m.output_gradient(out, np.zeros((1, O))).tolist() == [wanted]


def test_huber_is_kept_in_files(tmp_path):
    m = model("huber", huber_delta=0.25)
    m.save(tmp_path / "m")
    twin = bn.load(tmp_path / "m")
    assert twin.config == m.config
    assert (twin.config["loss"], twin.config["huber_delta"]) == ("huber", 0.25)
    for other in (model("huber"), model("mse")):  # files have no word about the default
        other.save(tmp_path / "m")
        header, _ = split((tmp_path / "m").read_bytes())
        assert "huber_delta" not in header["__metadata__"]["config"]
        assert bn.load(tmp_path / "m").config["huber_delta"] == 1.0


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("place", [0, O - 1])
def test_nan_stays_nan(case, place, isa):
    loss, options, weighted, ignored = CASES[case]
    m = model(loss, **options)
    state = m.state_dict()
    state["readout.bias"][place] = np.nan
    with pytest.warns(RuntimeWarning, match="NaN or infinite: readout.bias"):
        m.load_state_dict(state)
    x, y, weights = data(loss, "every", weighted, ignored)
    result = m.train_step(x, y, weights=weights)
    assert math.isnan(result.loss)
    assert result.skipped


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("targets", ["every", "last"])
def test_what_is_no_target_is_not_read(loss, targets):
    """Targets without weight may hold anything; the result has the bits of the others alone."""
    m = model(loss, targets=targets)
    x, y, _ = data(loss, targets)
    weights = np.ones(y.shape if loss == "cross_entropy" else y.shape[:-1])
    weights[..., 1] = 0
    a, da = m.gradients(x, y, weights=weights)
    z = y.copy()
    if loss == "cross_entropy":
        z[..., 1] = IGNORED
        b, db = m.gradients(x, z)
    else:
        z[(slice(None), 1) if targets == "every" else 1] = np.nan
        b, db = m.gradients(x, z, weights=weights)
    assert a.loss == b.loss
    assert da.flat.tobytes() == db.flat.tobytes()
    # And sequences without a target pull at nothing: those that remain give the whole gradient.
    kept = [0, 2]
    c, dc = m.gradients(x[:, kept], y[:, kept] if targets == "every" else y[kept])
    assert abs(a.loss - c.loss) <= 1e-13 * c.loss
    assert close(da.flat, dc.flat)


def test_a_row_without_weight_has_a_gradient_of_exactly_zero():
    """Even where its own loss would overflow."""
    m = model("mse", targets="last", reduction="sum")
    x, y, _ = data("mse", "last")
    y[0] = 1e300
    _, gradients = m.gradients(x[:, :1], y[:1], weights=np.ones(1))
    assert not np.isfinite(gradients.norm()) or gradients.norm() > 1e290
    weights = np.array([0.0, 1.0, 0.0])
    result, gradients = m.gradients(x, y, weights=weights)
    _, alone = m.gradients(x[:, 1:2], y[1:2])
    assert np.isfinite(result.loss)
    assert close(gradients.flat, alone.flat)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_stands_where_a_weight_is_zero_is_not_read(loss):
    m = model(loss)
    x, y, _ = data(loss)
    weights = np.ones((T, N))
    weights[3] = weights[0, 2] = 0
    wanted, gradients = m.gradients(x, y, weights=weights)
    y[weights == 0] = 10**6 if loss == "cross_entropy" else np.nan
    got, same = m.gradients(x, y, weights=weights)
    assert got.loss == wanted.loss == m.eval_step(x, y, weights=weights > 0)[0]
    assert np.array_equal(same.flat, gradients.flat)


def test_weights_are_multiplicities():
    """A weight of 2 is the target twice; scaling all weights changes no mean."""
    m = model("cross_entropy", targets="last")
    x, y, _ = data("cross_entropy", "last")
    a, da = m.gradients(x, y, weights=np.array([2.0, 1.0, 0.0]))
    twice = [0, 0, 1]
    b, db = m.gradients(x[:, twice], y[twice])
    assert abs(a.loss - b.loss) <= 1e-13 * b.loss
    assert close(da.flat, db.flat)
    c, dc = m.gradients(x, y, weights=np.array([2.0, 1.0, 0.0]) * 2.0**-1070)
    assert abs(a.loss - c.loss) <= 1e-13 * a.loss
    assert close(da.flat, dc.flat)


@pytest.mark.usefixtures("threads_afterwards")
@pytest.mark.parametrize(
    "case", ["everything", "mse, everything", "bce, everything", "huber, everything"]
)
def test_the_same_bits_for_any_number_of_threads(case, isa):
    loss, options, *_ = CASES[case]
    rng = np.random.default_rng(1)
    shape = (40, 37)
    x = rng.standard_normal((*shape, I)).astype("f4")
    y = rng.integers(0, O, shape) if loss == "cross_entropy" else rng.random((*shape, O), "f4")
    weights = rng.random(shape, "f4") * (rng.random(shape) < 0.8)
    weights = weights.astype("f4")
    seen = set()
    for count in (1, 2, 3, 4):
        bn.set_num_threads(count)
        m = model(loss, dtype="float32", **options)
        steps = [m.train_step(x, y, weights=weights).loss for _ in range(3)]
        _, gradients = m.gradients(x, y, weights=weights)
        seen.add((*steps, m.eval_step(x, y, weights=weights)[0], gradients.flat.tobytes()))
    assert len(seen) == 1


def test_strides_of_weights():
    m = model("mse")
    x, y, weights = data("mse", weighted=True)
    a, da = m.gradients(x, y, weights=weights)
    for other in (np.asfortranarray(weights), np.repeat(weights, 3, 1)[:, ::3], weights.tolist()):
        b, db = m.gradients(x, y, weights=other)
        assert (a.loss, da.flat.tobytes()) == (b.loss, db.flat.tobytes())
    one, _ = m.gradients(x[:, 0], y[:, 0], weights=weights[:, 0])
    two, _ = m.gradients(x[:, :1], y[:, :1], weights=weights[:, :1])
    assert one.loss == two.loss


def test_options_are_kept(tmp_path):
    m = model("cross_entropy", **CASES["everything"][1])
    x, y, weights = data("cross_entropy", weighted=True)
    m.train_step(x, y, weights=weights)
    m.save(tmp_path / "m")
    twins = [bn.load(tmp_path / "m"), pickle.loads(pickle.dumps(m)), type(m)(**m.config)]
    for twin in twins:
        assert twin.config == m.config
        assert twin.config["class_weights"] == CLASS_WEIGHTS
        assert "class_weights=(0.5, 2.0, 0.0, 1.0, 3.0)" in repr(twin)
    loss = m.eval_step(x, y, weights=weights)[0]
    assert [twin.eval_step(x, y, weights=weights)[0] for twin in twins[:2]] == [loss, loss]
    assert model("mse").config["class_weights"] is None


def edited(m, tmp_path, edit):
    """A saved file after edit(header, body), signed again."""
    m.save(tmp_path / "m")
    header, body = split((tmp_path / "m").read_bytes())
    body = bytearray(body)
    edit(header, body)
    (tmp_path / "m").write_bytes(joined(header, bytes(body)))
    return tmp_path / "m"


def test_files_from_before_these_options_load(tmp_path):
    def forget(header, _body):
        config = json.loads(header["__metadata__"]["config"])
        del config["label_smoothing"], config["ignore_index"]
        header["__metadata__"]["config"] = json.dumps(config)

    m = model("mse")
    twin = bn.load(edited(m, tmp_path, forget))
    assert twin.config == m.config


@pytest.mark.parametrize(
    "weights",
    [
        (1.0, -1.0, 1.0, 1.0, 1.0),
        (1.0, math.nan, 1.0, 1.0, 1.0),
        (math.inf, 1.0, 1.0, 1.0, 1.0),
        (0.0,) * O,
    ],
)
def test_files_with_impossible_class_weights_are_refused(weights, tmp_path):
    def spoil(header, body):
        begin, end = header["loss.class_weights"]["data_offsets"]
        assert np.frombuffer(body[begin:end]).tolist() == list(CLASS_WEIGHTS)
        body[begin:end] = np.array(weights).tobytes()

    m = model("mse", dtype="float32", class_weights=CLASS_WEIGHTS)
    with pytest.raises(ValueError, match="impossible class weights"):
        bn.load(edited(m, tmp_path, spoil))


@pytest.mark.parametrize(
    ("loss", "change"),
    [
        ("cross_entropy", {"label_smoothing": 1.5}),
        ("cross_entropy", {"label_smoothing": -0.5}),
        ("cross_entropy", {"label_smoothing": math.nan}),
        ("mse", {"label_smoothing": 0.5}),
        ("mse", {"ignore_index": 3}),
        ("mse", {"loss": "hinge"}),
        ("mse", {"huber_delta": 2.0}),
        ("huber", {"huber_delta": 0.0}),
        ("huber", {"huber_delta": -1.0}),
        ("huber", {"huber_delta": None}),
        ("huber", {"huber_delta": 1e-50, "dtype": "float32"}),
    ],
)
def test_files_with_impossible_options_are_refused(loss, change, tmp_path):
    def spoil(header, _body):
        config = json.loads(header["__metadata__"]["config"])
        header["__metadata__"]["config"] = json.dumps(config | change)

    with pytest.raises(ValueError, match="expected a model file of bptt_native, got"):
        bn.load(edited(model(loss), tmp_path, spoil))


HOSTILE_OPTIONS = [
    ({"label_smoothing": 1.5}, ValueError, "label_smoothing"),
    ({"label_smoothing": -0.1}, ValueError, "label_smoothing"),
    ({"label_smoothing": float("nan")}, ValueError, "label_smoothing"),
    ({"label_smoothing": "0.1"}, TypeError, "label_smoothing"),
    ({"label_smoothing": 0.1, "loss": "mse"}, ValueError, "label_smoothing"),
    ({"ignore_index": 0, "loss": "binary_cross_entropy"}, ValueError, "ignore_index"),
    ({"ignore_index": 1.0}, TypeError, "ignore_index"),
    ({"ignore_index": 2**63}, ValueError, "ignore_index"),
    ({"class_weights": [1.0] * (O - 1)}, ValueError, "class_weights"),
    ({"class_weights": np.ones((1, O))}, ValueError, "class_weights"),
    ({"class_weights": [1.0, 1.0, -1.0, 1.0, 1.0]}, ValueError, "class_weights"),
    ({"class_weights": [1.0, math.nan, 1.0, 1.0, 1.0]}, ValueError, "class_weights"),
    ({"class_weights": [math.inf, 1.0, 1.0, 1.0, 1.0]}, ValueError, "class_weights"),
    ({"class_weights": [0.0] * O}, ValueError, "class_weights"),
    ({"class_weights": "many"}, TypeError, "class_weights"),
    ({"class_weights": {0: 1.0}}, TypeError, "class_weights"),
    ({"loss": "bce"}, ValueError, "loss"),
    ({"huber_delta": 0.5}, ValueError, "huber_delta"),
    ({"huber_delta": 0.0, "loss": "huber"}, ValueError, "huber_delta"),
    ({"huber_delta": -1.0, "loss": "huber"}, ValueError, "huber_delta"),
    ({"huber_delta": math.inf, "loss": "huber"}, ValueError, "huber_delta"),
    ({"huber_delta": math.nan, "loss": "huber"}, ValueError, "huber_delta"),
    ({"huber_delta": "1", "loss": "huber"}, TypeError, "huber_delta"),
    ({"huber_delta": 1e-50, "loss": "huber", "dtype": "float32"}, ValueError, "huber_delta"),
    ({"huber_delta": 1e39, "loss": "huber", "dtype": "float32"}, ValueError, "huber_delta"),
]


@pytest.mark.parametrize(("options", "kind", "argument"), HOSTILE_OPTIONS)
def test_impossible_options_are_refused(options, kind, argument):
    with pytest.raises(kind, match=rf"^Model: argument '{argument}': expected .+, got .+"):
        model(**{"loss": "cross_entropy", **options})


def bad(array, value, at=(1, 1)):
    array = array.copy()
    array[at] = value
    return array


CLASSES, VALUES, ONES = np.zeros((T, N), "i8"), np.full((T, N, O), 0.5), np.ones((T, N))
HOSTILE_TARGETS = [
    ("mse", VALUES, bad(ONES, -1.0), ValueError, "weights", "-1 at step 1 of sequence 1"),
    ("cross_entropy", CLASSES + O, bad(0 * ONES, 1.0), IndexError, "targets", "at step 1 of"),
    ("mse", VALUES, bad(ONES, math.nan), ValueError, "weights", "nan at step 1"),
    ("mse", VALUES, bad(ONES, math.inf), ValueError, "weights", "inf at step 1"),
    ("mse", VALUES, 0 * ONES, ValueError, "weights", "finite sum > 0"),
    ("mse", VALUES, 1e308 * ONES, ValueError, "weights", "finite sum > 0"),
    ("mse", VALUES, ONES[0], ValueError, "weights", r"of shape \[6, 3\]"),
    ("mse", VALUES, ONES[:, :, None], ValueError, "weights", r"of shape \[6, 3\]"),
    ("mse", VALUES, ONES.astype("c16"), TypeError, "weights", "complex"),
    ("mse", VALUES, "heavy", TypeError, "weights", "text"),
    ("cross_entropy", CLASSES - 100, None, ValueError, "targets", "finite sum > 0"),
    ("cross_entropy", bad(CLASSES - 100, 0), bad(ONES, 0.0), ValueError, "weights", "sum > 0"),
    ("cross_entropy", bad(CLASSES, -99), None, IndexError, "targets", "from 0 to 4 or -100"),
    ("cross_entropy", bad(CLASSES, O), None, IndexError, "targets", "got 5 at step 1"),
    ("binary_cross_entropy", bad(VALUES, 1.1), None, ValueError, "targets", "output 0 at step 1"),
    ("binary_cross_entropy", bad(VALUES, -1e-9), None, ValueError, "targets", r"in \[0, 1\]"),
    ("binary_cross_entropy", bad(VALUES, math.nan), None, ValueError, "targets", "nan"),
]


@pytest.mark.parametrize(("loss", "y", "weights", "kind", "argument", "got"), HOSTILE_TARGETS)
def test_impossible_targets_are_refused(loss, y, weights, kind, argument, got):
    m = model(loss)
    x, before = np.ones((T, N, I)), m.state_dict()
    for name in ("train_step", "gradients", "eval_step"):
        pattern = rf"^Model\.{name}: argument '{argument}': expected .*got .+"
        with pytest.raises(kind, match=pattern) as caught:
            getattr(m, name)(x, y, weights=weights)
        assert re.search(got, str(caught.value)), str(caught.value)
    pattern = rf"^Model\.output_gradient: argument '{argument}': expected .*{got}"
    with pytest.raises(kind, match=pattern):
        m.output_gradient(VALUES, y, weights=weights)
    assert m.step_count == m.skipped_count == 0
    assert all(np.array_equal(before[k], v) for k, v in m.state_dict().items())
