"""The specification against PyTorch in float64, to 1e-10."""

import itertools

import numpy as np
import pytest

from bptt_native import reference as ref
from helpers.cells import arrays_of

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
TOLERANCE = 1e-10
KINDS = [("rnn", "tanh"), ("rnn", "relu"), ("lstm", "tanh"), ("gru", "tanh")]


def agree(got, expected):
    """Whether two arrays differ by at most 1e-10 of the largest expected magnitude."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    scale = max(np.abs(expected).max(), 1e-30)
    return np.abs(got - expected).max() <= TOLERANCE * scale


def assert_agree(comparisons, pairs):
    """Compare, and count what was compared."""
    assert [name for name, got, expected in pairs if not agree(got, expected)] == []
    comparisons.add("PyTorch", len(pairs))


def tensor(array):
    """Make a leaf of float64 that wants a gradient."""
    return torch.tensor(np.asarray(array), dtype=torch.float64, requires_grad=True)


def numpy(tensors):
    """Detach a tensor, or a tuple of tensors."""
    if isinstance(tensors, tuple):
        return tuple(numpy(t) for t in tensors)
    return tensors.detach().numpy().copy()


def torch_layer(cell, nonlinearity, features, hidden, layers, bias, **more):
    """Make torch.nn.RNN, LSTM or GRU in float64."""
    options = {"nonlinearity": nonlinearity} if cell == "rnn" else {}
    make = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    return make(features, hidden, layers, bias=bias, dtype=torch.float64, **options, **more)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(("cell", "f"), KINDS)
def test_layers(cell, f, layers, bias, comparisons):
    sizes = itertools.product((1, 5), (1, 3), (1, 4))
    for seed, (T, N, H) in enumerate(sizes):
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        layer = torch_layer(cell, f, 3, H, layers, bias)
        params = {name: numpy(p) for name, p in layer.named_parameters()}
        x, dy = rng.standard_normal((T, N, 3)), rng.standard_normal((T, N, H))
        count = 2 if cell == "lstm" else 1
        state, dstate = (tuple(rng.standard_normal((count, layers, N, H))) for _ in range(2))

        leaf, start = tensor(x), tuple(tensor(s) for s in state)
        out, last = layer(leaf, start if cell == "lstm" else start[0])
        seeds = [torch.tensor(d) for d in (dy, *dstate)]
        torch.autograd.backward([out, *arrays_of(last)], seeds)

        given, wanted = (s if cell == "lstm" else s[0] for s in (state, dstate))
        y, end, tape = ref.forward(cell, params, x, given, options=ref.Options(nonlinearity=f))
        g = ref.backward(cell, params, tape, dy, wanted)
        pairs = [("y", y, numpy(out)), ("x", g.x, numpy(leaf.grad))]
        pairs += [(n, g.params[n], numpy(p.grad)) for n, p in layer.named_parameters()]
        for name, mine, theirs in (
            ("last", end, last),
            ("initial", g.state, tuple(s.grad for s in start)),
        ):
            parts = zip(arrays_of(mine), arrays_of(theirs), strict=True)
            pairs += [(f"{name} {'hc'[k]}", m, numpy(t)) for k, (m, t) in enumerate(parts)]
        assert_agree(comparisons, pairs)


def torch_mingru(params, k, x, h):
    """One layer of minGRU by its closed form: h_t is a sum over all steps, each with its decay."""
    W, b = (params[f"{name}_ih_l{k}"] for name in ("weight", "bias"))
    z, n = (x @ W.T + b).chunk(2, -1)
    z = torch.sigmoid(z)
    kept = torch.log1p(-z).cumsum(0)  # log of the product of 1 - z up to each step
    shares = torch.exp(kept[:, None] - kept[None]) * (z * n)  # [t, s, N, H], of step s in h_t
    until = torch.ones(len(x), len(x)).tril()[..., None, None]  # s <= t
    return torch.exp(kept) * h + (shares * until).sum(1)


@pytest.mark.parametrize("layers", [1, 3])
def test_mingru_against_its_closed_form(layers, comparisons):
    rng, (T, N, features, H) = np.random.default_rng(8), (7, 3, 4, 5)
    shapes = {f"weight_ih_l{k}": (2 * H, features if k == 0 else H) for k in range(layers)}
    shapes |= {f"bias_ih_l{k}": (2 * H,) for k in range(layers)}
    params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    x, dy = rng.standard_normal((T, N, features)), rng.standard_normal((T, N, H))
    state, dstate = rng.standard_normal((2, layers, N, H))

    leaf, start, leaves = tensor(x), tensor(state), {n: tensor(p) for n, p in params.items()}
    out, last = leaf, []
    for k in range(layers):
        out = torch_mingru(leaves, k, out, start[k])
        last.append(out[-1])
    torch.autograd.backward([out, torch.stack(last)], [torch.tensor(d) for d in (dy, dstate)])

    y, end, tape = ref.forward("mingru", params, x, state)
    g = ref.backward("mingru", params, tape, dy, dstate)
    pairs = [("y", y, numpy(out)), ("x", g.x, numpy(leaf.grad))]
    pairs += [("last", end, numpy(torch.stack(last))), ("initial", g.state, numpy(start.grad))]
    pairs += [(name, g.params[name], numpy(p.grad)) for name, p in leaves.items()]
    assert_agree(comparisons, pairs)


@pytest.mark.parametrize("ragged", [False, True], ids=["whole", "ragged"])
@pytest.mark.parametrize(
    ("cell", "f", "proj_size"), [(*kind, 0) for kind in KINDS] + [("lstm", "tanh", 3)]
)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_directions_projection_and_lengths(cell, f, proj_size, bidirectional, ragged, comparisons):
    torch.manual_seed(1)
    rng, (T, N, H, L) = np.random.default_rng(1), (6, 4, 5, 2)
    P, D = proj_size or H, 1 + bidirectional
    options = {"proj_size": proj_size} if proj_size else {}
    layer = torch_layer(cell, f, 3, H, L, True, bidirectional=bidirectional, **options)
    params = {name: numpy(p) for name, p in layer.named_parameters()}
    lengths = np.array([3, 6, 1, 4]) if ragged else np.full(N, T)
    x, dy = rng.standard_normal((T, N, 3)), rng.standard_normal((T, N, D * P))
    sizes = (P, H) if cell == "lstm" else (H,)
    state, dstate = (
        tuple(rng.standard_normal((L * D, N, size)) for size in sizes) for _ in range(2)
    )
    leaf, start = tensor(x), tuple(tensor(s) for s in state)
    pack = torch.nn.utils.rnn.pack_padded_sequence
    packed = pack(leaf, torch.tensor(lengths), enforce_sorted=False)
    out, last = layer(packed, start if cell == "lstm" else start[0])
    out, _ = torch.nn.utils.rnn.pad_packed_sequence(out, total_length=T)
    torch.autograd.backward([out, *arrays_of(last)], [torch.tensor(d) for d in (dy, *dstate)])

    given, wanted = (s if cell == "lstm" else s[0] for s in (state, dstate))
    how = {"options": ref.Options(nonlinearity=f), "lengths": lengths}
    y, end, tape = ref.forward(cell, params, x, given, **how)
    g = ref.backward(cell, params, tape, dy, wanted)
    assert list(g.params) == [name for name, _ in layer.named_parameters()]
    pairs = [("y", y, numpy(out)), ("x", g.x, numpy(leaf.grad))]
    pairs += [(n, g.params[n], numpy(p.grad)) for n, p in layer.named_parameters()]
    pairs += [("last", m, numpy(t)) for m, t in zip(arrays_of(end), arrays_of(last), strict=True)]
    pairs += [("initial", m, numpy(t.grad)) for m, t in zip(arrays_of(g.state), start, strict=True)]
    assert_agree(comparisons, pairs)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("classes", [False, True])
def test_cross_entropy_options(classes, smoothing, reduction, comparisons):
    rng = np.random.default_rng(5)
    logits, c = 3 * rng.standard_normal((7, 5)), rng.random(5) if classes else None
    targets = rng.integers(0, 5, 7)
    targets[[1, 4]] = -100
    leaf = tensor(logits)
    expected = torch.nn.functional.cross_entropy(
        leaf, torch.tensor(targets), label_smoothing=smoothing, reduction=reduction,
        weight=None if c is None else torch.tensor(c),
    )  # fmt: skip
    expected.backward()
    loss, d = ref.softmax_cross_entropy(
        logits, targets, reduction, class_weights=c, label_smoothing=smoothing
    )
    assert_agree(comparisons, [("loss", loss, numpy(expected)), ("d", d, numpy(leaf.grad))])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("classes", [False, True])
def test_binary_cross_entropy(classes, reduction, comparisons):
    rng = np.random.default_rng(6)
    logits, c = 5 * rng.standard_normal((3, 4, 5)), rng.random(5) if classes else None
    targets, leaf = rng.random((3, 4, 5)), tensor(logits)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        leaf, torch.tensor(targets), reduction=reduction,
        weight=None if c is None else torch.tensor(c),
    )  # fmt: skip
    expected.backward()
    loss, d = ref.binary_cross_entropy(logits, targets, reduction, class_weights=c)
    assert_agree(comparisons, [("loss", loss, numpy(expected)), ("d", d, numpy(leaf.grad))])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("shape", [(1,), (4,), (3, 2)], ids=str)
def test_losses(shape, reduction, comparisons):
    rng = np.random.default_rng(1)
    logits, values = 3 * rng.standard_normal((2, *shape, 5))
    tokens = rng.integers(0, 5, shape)
    pairs = []
    for ours, targets in ((ref.softmax_cross_entropy, tokens), (ref.mean_squared_error, values)):
        leaf, theirs = tensor(logits), torch.tensor(targets)
        if targets is tokens:
            rows = (leaf.reshape(-1, 5), theirs.reshape(-1))
            expected = torch.nn.functional.cross_entropy(*rows, reduction=reduction)
        else:
            expected = torch.nn.functional.mse_loss(leaf, theirs, reduction=reduction)
        expected.backward()
        loss, d = ours(logits, targets, reduction)
        name = ours.__name__
        pairs += [(name, loss, numpy(expected)), (f"d {name}", d, numpy(leaf.grad))]
    assert_agree(comparisons, pairs)


@pytest.mark.parametrize("targets", ["every", "last"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize(("cell", "f"), KINDS)
def test_models(cell, f, loss, targets, comparisons):
    rng = np.random.default_rng(2)
    torch.manual_seed(2)
    T, N, V, E, H, outputs = 6, 3, 7, 4, 5, 3
    modules = {
        "embedding": torch.nn.Embedding(V, E, dtype=torch.float64),
        "rnn": torch_layer(cell, f, E, H, 2, True),
        "readout": torch.nn.Linear(H, outputs, dtype=torch.float64),
    }
    theirs = {
        f"{name}.{n}": p for name, module in modules.items() for n, p in module.named_parameters()
    }
    tokens = rng.integers(0, V, (T, N))
    hidden, _ = modules["rnn"](modules["embedding"](torch.tensor(tokens)))
    out = modules["readout"](hidden if targets == "every" else hidden[-1])
    if loss == "mse":
        wanted = rng.standard_normal(out.shape)
        expected = torch.nn.functional.mse_loss(out, torch.tensor(wanted))
    else:
        wanted = rng.integers(0, outputs, out.shape[:-1])
        rows = out.reshape(-1, outputs), torch.tensor(wanted.reshape(-1))
        expected = torch.nn.functional.cross_entropy(*rows)
    expected.backward()

    cfg = ref.ModelConfig(cell, loss, targets, nonlinearity=f)
    params = {name: numpy(p) for name, p in theirs.items()}
    result = ref.model_loss_and_gradients(cfg, params, tokens, wanted)
    assert result.gradients.keys() == theirs.keys()
    pairs = [("loss", result.loss, numpy(expected)), ("out", result.out, numpy(out))]
    pairs += [(n, result.gradients[n], numpy(p.grad)) for n, p in theirs.items()]
    assert_agree(comparisons, pairs)


def test_clipping(comparisons):
    rng = np.random.default_rng(3)
    grads = {"a": rng.standard_normal((3, 4)), "b": 5 * rng.standard_normal(7)}

    def leaves():
        made = [tensor(np.zeros(g.shape)) for g in grads.values()]
        for leaf, g in zip(made, grads.values(), strict=True):
            leaf.grad = torch.tensor(g)
        return made

    pairs = []
    for limit in (0.5, 3.0, 1e6):
        theirs = leaves()
        norm = torch.nn.utils.clip_grad_norm_(theirs, limit)
        clipped, before = ref.clip_grad_norm(grads, limit, eps=1e-6)
        pairs += [("norm", before, numpy(norm))]
        pairs += [(n, clipped[n], numpy(t.grad)) for n, t in zip(grads, theirs, strict=True)]
        theirs = leaves()
        torch.nn.utils.clip_grad_value_(theirs, limit)
        clipped = ref.clip_grad_value(grads, limit)
        pairs += [(n, clipped[n], numpy(t.grad)) for n, t in zip(grads, theirs, strict=True)]
        clipped = ref.clip_grad_tensor_norm(grads, limit)
        for name, leaf in zip(grads, leaves(), strict=True):
            torch.nn.utils.clip_grad_norm_([leaf], limit)  # its 1e-6 changes 1e-6 of the result
            np.testing.assert_allclose(clipped[name], numpy(leaf.grad), rtol=3e-6)
    assert_agree(comparisons, pairs)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {}),
        ("SGD", {"weight_decay": 0.1}),
        ("SGD", {"momentum": 0.9}),
        ("SGD", {"momentum": 0.5, "weight_decay": 0.1}),
        ("Adagrad", {}),
        ("Adagrad", {"eps": 0.1, "weight_decay": 0.1}),
        ("Adam", {}),
        ("Adam", {"betas": (0.5, 0.9), "eps": 0.1, "weight_decay": 0.3}),
        ("SGD", {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
        ("Adam", {"amsgrad": True, "betas": (0.5, 0.6), "weight_decay": 0.3}),
        ("RMSprop", {}),
        ("RMSprop", {"alpha": 0.9, "eps": 0.1, "weight_decay": 0.2}),
        ("RMSprop", {"alpha": 0.9, "centered": True}),
        ("RMSprop", {"alpha": 0.9, "momentum": 0.7, "centered": True, "weight_decay": 0.2}),
    ],
    ids=str,
)
def test_optimizers(name, options, comparisons):
    rng = np.random.default_rng(4)
    params = {"a": rng.standard_normal((3, 4)), "b": rng.standard_normal(5)}
    leaves = {n: tensor(p) for n, p in params.items()}
    defaults = {"weight_decay": 0.0} if name == "Adam" else {}  # AdamW decays by default
    make = {"SGD": torch.optim.SGD, "Adagrad": torch.optim.Adagrad, "Adam": torch.optim.AdamW}
    make["RMSprop"] = torch.optim.RMSprop
    theirs = make[name](leaves.values(), lr=0.05, **(defaults | options))
    ours = getattr(ref, name)(0.05, decay_biases=True, **options)
    pairs = []
    for step in range(25):
        grads = {n: rng.standard_normal(p.shape) for n, p in params.items()}
        if step % 5 == 3:  # a parameter without a gradient keeps its value and its moments
            del grads["b"]
        if step == 12:
            ours.lr = theirs.param_groups[0]["lr"] = 0.01
        for n, leaf in leaves.items():
            leaf.grad = torch.tensor(grads[n]) if n in grads else None
        theirs.step()
        ours.step(params, grads)
        pairs += [(f"{n} {step}", params[n].copy(), numpy(leaf)) for n, leaf in leaves.items()]
    assert_agree(comparisons, pairs)
