"""The gradient of a model's loss with respect to its outputs; loss and outputs of one pass."""

import math

import numpy as np
import pytest

from bptt_native import reference
from helpers.losses import CASES, N, O, T, close, data, model, numpy_loss

VALUES = np.full((T, N, O), 0.5)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("targets", ["every", "last"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_output_gradients_make_the_gradients(case, targets, dtype, isa):
    """Forward, the gradient of the outputs and backward, for sequences of different lengths."""
    loss, options, weighted, ignored = CASES[case]
    lengths = np.array([3, 6, 4])
    for batch_first in (False, True):
        m = model(loss, targets=targets, dtype=dtype, batch_first=batch_first, **options)
        x, y, weights = data(loss, targets, weighted, ignored)
        x, y = x.astype(dtype), y if loss == "cross_entropy" else y.astype(dtype)
        if batch_first:
            x = x.swapaxes(0, 1)
            if targets == "every":
                y, weights = (v if v is None else v.swapaxes(0, 1) for v in (y, weights))
        weights = None if weights is None else weights.astype(dtype)
        out, _, tape = m.forward(x, lengths=lengths)
        if targets == "every":  # what is beyond an end is not read
            (out[0, 3:] if batch_first else out[3:, 0])[:] = np.nan
        kept = out.copy()
        dout = m.output_gradient(out, y, lengths=lengths, weights=weights)
        assert out.tobytes() == kept.tobytes()
        assert (dout.shape, dout.dtype) == (out.shape, out.dtype)
        by_hand = m.backward(tape, dout)
        _, gradients = m.gradients(x, y, lengths=lengths, weights=weights)
        bound = 1e-13 if dtype == "float64" else 1e-5
        largest = np.abs(gradients.flat).max()
        assert np.abs(by_hand.flat - gradients.flat).max() <= bound * largest
        if targets == "every":
            assert not (dout[0, 3:] if batch_first else dout[3:, 0]).any()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_output_gradients_are_the_formulas(case, reduction):
    loss, options, weighted, ignored = CASES[case]
    m = model(loss, reduction=reduction, **options)
    _, y, weights = data(loss, "every", weighted, ignored)
    out = 3 * np.random.default_rng(7).standard_normal((T, N, O))
    _, want = numpy_loss(loss, out, y, weights, reduction, options)
    assert close(m.output_gradient(out, y, weights=weights), want)
    cfg = reference.ModelConfig("lstm", loss, reduction=reduction, **options)
    _, want = reference.model_loss(cfg, out, y, weights)
    assert close(m.output_gradient(out, y, weights=weights), want)
    assert close(m.output_gradient(out.tolist(), y.tolist(), weights=weights), want)
    one = None if weights is None else weights[:, 1]
    _, want = numpy_loss(loss, out[:, 1], y[:, 1], one, reduction, options)
    assert close(m.output_gradient(out[:, 1], y[:, 1], weights=one), want)


@pytest.mark.parametrize(
    ("outputs", "kind"),
    [
        (np.zeros((T, N, O - 1)), ValueError),
        (np.zeros((0, N, O)), ValueError),
        (np.zeros((T, 0, O)), ValueError),
        (np.zeros(O), ValueError),
        (np.zeros((T, N, O), "c16"), TypeError),
        ("outputs", TypeError),
        (None, TypeError),
    ],
)
def test_impossible_outputs_are_refused(outputs, kind):
    pattern = r"^Model\.output_gradient: argument 'outputs': expected a float64 array of "
    with pytest.raises(kind, match=pattern):
        model("mse").output_gradient(outputs, VALUES)


def test_integers_become_outputs():
    assert not model("mse").output_gradient(np.zeros((T, N, O), "i8"), 0 * VALUES).any()


def test_output_gradients_refuse_what_does_not_fit_the_outputs():
    m = model("mse")
    with pytest.raises(ValueError, match=r"output_gradient: argument 'targets': .*\[6, 3, 5\]"):
        m.output_gradient(VALUES, VALUES[:-1])
    with pytest.raises(ValueError, match=r"output_gradient: argument 'lengths': .* from 1 to 6"):
        m.output_gradient(VALUES, VALUES, lengths=[1, 2, 7])
    with pytest.raises(ValueError, match=r"output_gradient: argument 'lengths': .*\[3\]"):
        m.output_gradient(VALUES, VALUES, lengths=[1, 2])
    last = model("mse", targets="last")
    wanted = last.output_gradient(VALUES[0], 0 * VALUES[0])
    assert (wanted == last.output_gradient(VALUES[0], 0 * VALUES[0], lengths=[1, 9, 4])).all()
    with pytest.raises(ValueError, match=r"output_gradient: argument 'lengths': "):
        last.output_gradient(VALUES[0], VALUES[0], lengths=[1, 0, 4])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("targets", ["every", "last"])
def test_one_pass_gives_loss_and_outputs(case, targets):
    """The loss has the same bits with and without the outputs, which are those of a call."""
    loss, options, weighted, ignored = CASES[case]
    lengths = np.array([3, 6, 4])
    for batch_first in (False, True):
        m = model(loss, targets=targets, dtype="float32", batch_first=batch_first, **options)
        x, y, weights = data(loss, targets, weighted, ignored)
        x, y = x.astype("f4"), y if loss == "cross_entropy" else y.astype("f4")
        weights = None if weights is None else weights.astype("f4")
        if batch_first:
            x = x.swapaxes(0, 1)
            if targets == "every":
                y, weights = (v if v is None else v.swapaxes(0, 1) for v in (y, weights))
        given = {"lengths": lengths, "weights": weights}
        alone, last = m.eval_step(x, y, **given)
        total, state, outputs = m.eval_step(x, y, return_outputs=True, **given)
        assert total == alone
        assert all(np.array_equal(a, b) for a, b in zip(last, state, strict=True))
        assert outputs.tobytes() == m(x, lengths=lengths)[0].tobytes()
    single, _, own = m.eval_step(
        x[2], y[2], return_outputs=True, weights=None if weights is None else weights[2]
    )
    assert own.shape == ((T, O) if targets == "every" else (O,))
    assert math.isfinite(single)
    with pytest.raises(TypeError, match=r"^Model\.eval_step: argument 'return_outputs': expected"):
        m.eval_step(x, y, return_outputs="yes")
