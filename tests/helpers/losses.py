"""Models of every loss with all its options, data for them, and the losses as formulas."""

import numpy as np

import bptt_native as bn

T, N, I, H, O = 6, 3, 4, 7, 5  # noqa: E741
IGNORED = -100
TOLERANCE = 1e-10

CLASS_WEIGHTS = (0.5, 2.0, 0.0, 1.0, 3.0)
# Name -> loss, options of the model, whether targets are weighted, whether some are ignored.
CASES = {
    "cross_entropy": ("cross_entropy", {}, False, False),
    "weighted": ("cross_entropy", {}, True, False),
    "ignored": ("cross_entropy", {}, False, True),
    "ignored class": ("cross_entropy", {"ignore_index": 1}, False, False),
    "classes": ("cross_entropy", {"class_weights": CLASS_WEIGHTS}, False, False),
    "smoothing": ("cross_entropy", {"label_smoothing": 0.1}, False, False),
    "only smoothing": ("cross_entropy", {"label_smoothing": 1.0}, True, True),
    "smoothing, classes": (
        "cross_entropy",
        {"label_smoothing": 0.2, "class_weights": CLASS_WEIGHTS},
        False,
        True,
    ),
    "everything": (
        "cross_entropy",
        {"label_smoothing": 0.2, "class_weights": CLASS_WEIGHTS, "ignore_index": 3},
        True,
        False,
    ),
    "mse": ("mse", {}, False, False),
    "mse, everything": ("mse", {"class_weights": CLASS_WEIGHTS}, True, False),
    "bce": ("binary_cross_entropy", {}, False, False),
    "bce, everything": ("binary_cross_entropy", {"class_weights": CLASS_WEIGHTS}, True, False),
    "huber": ("huber", {}, False, False),
    "huber, everything": (
        "huber",
        {"class_weights": CLASS_WEIGHTS, "huber_delta": 0.3},
        True,
        False,
    ),
}
LOSSES = ("cross_entropy", "mse", "binary_cross_entropy", "huber")


def model(loss, cell="lstm", **options):
    options = {"input_size": I, "num_layers": 2, "dtype": "float64", **options}
    return bn.Model(cell, hidden_size=H, output_size=O, loss=loss, **options)


def data(loss, targets="every", weighted=False, ignored=False, seed=0):
    rng = np.random.default_rng(seed)
    where = (T, N) if targets == "every" else (N,)
    x = rng.standard_normal((T, N, I))
    weights = None
    if weighted:
        weights = rng.uniform(0.1, 2, where)
        weights.flat[0] = 0
    if loss == "cross_entropy":
        y = rng.integers(0, O, where)
        y.flat[-1] = 4  # a class with a weight above 0
        if ignored:
            y.flat[1] = IGNORED
    else:
        y = rng.random((*where, O))
        y[..., 0] = np.round(y[..., 0])
    return x, y, weights


def numpy_loss(loss, out, y, weights, reduction, options):
    """The formulas of bptt.h: the loss and its gradient with respect to the outputs."""
    w = np.ones(out.shape[:-1]) if weights is None else weights
    c = np.ones(O) if options.get("class_weights") is None else np.array(options["class_weights"])
    if loss == "cross_entropy":
        counts = y != options.get("ignore_index", IGNORED)
        w, y = w * counts, np.where(counts, y, 0)
        smoothing = options.get("label_smoothing", 0.0)
        share = (1 - smoothing) * np.eye(O)[y] * c[y][..., None] + smoothing / O * c
        p = np.exp(out - out.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        each = -(share * np.log(p)).sum(-1)
        dout = share.sum(-1, keepdims=True) * p - share
        divisor = (w * c[y]).sum()
    elif loss == "mse":
        each, dout, divisor = (c * (out - y) ** 2).sum(-1), 2 * c * (out - y), O * w.sum()
    elif loss == "huber":
        d, delta = out - y, options.get("huber_delta", 1.0)
        near = np.abs(d) <= delta
        each = (c * np.where(near, d**2 / 2, delta * (np.abs(d) - delta / 2))).sum(-1)
        dout, divisor = c * np.where(near, d, delta * np.sign(d)), O * w.sum()
    else:
        s = 1 / (1 + np.exp(-out))
        each = -(c * (y * np.log(s) + (1 - y) * np.log(1 - s))).sum(-1)
        dout, divisor = c * (s - y), O * w.sum()
    factor = w / divisor if reduction == "mean" else w
    return (factor * each).sum(), factor[..., None] * dout


def close(got, want):
    return np.abs(got - want).max() <= TOLERANCE * max(np.abs(want).max(), 1e-3)
