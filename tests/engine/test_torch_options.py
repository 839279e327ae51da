"""The options of layers and models against PyTorch in float64, if it is installed."""

from dataclasses import replace

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.reference import softmax_cross_entropy
from helpers.arrays import generator
from helpers.cells import LAYERS, RECURRENT, arrays_of
from helpers.nets import Net, fill, option_net, run_native
from helpers.option_settings import ALONE, COMPATIBLE, SETTINGS, combination, merged
from helpers.torch_nets import Loop, error, leaf, smoke, torch

LIMIT = 1e-10
F = torch.nn.functional
KINDS = ["tanh", "relu", "LSTM", "GRU"]


# -------------------------------------------------------------------------------- PyTorch's modules
def net_of(kind: str, seed: int, L: int, N: int = 4, T: int = 7, **changed) -> Net:
    """A net with parameters and data, of a kind that PyTorch has as a module."""
    cell, f = (kind.lower(), "tanh") if kind in ("LSTM", "GRU") else ("rnn", kind)
    net = Net(cell, f, 3, 6, L, True, T, N, False)
    net.options = {name: value for name, value in changed.items() if value}
    fill(net, generator(seed))
    sizes = [net.P, net.H] if cell == "lstm" else [net.P]
    for name in ("state", "dstate"):
        drawn = [generator(seed + 1).standard_normal((L * net.D, N, size)) for size in sizes]
        setattr(net, name, tuple(drawn) if cell == "lstm" else drawn[0])
    return net


def module(net: Net, **options):
    """PyTorch's own layers with a net's parameters."""
    if net.cell == "rnn":
        options["nonlinearity"] = net.nonlinearity
    make = getattr(torch.nn, net.cell.upper())
    made = make(net.I, net.H, net.L, bias=net.bias, dtype=torch.float64, **net.options, **options)
    assert list(made.state_dict()) == list(net.params)
    made.load_state_dict({name: torch.from_numpy(value) for name, value in net.params.items()})
    return made


def compare(got: dict[str, np.ndarray], want: dict, comparisons) -> None:
    """Every result that PyTorch has too."""
    for name, tensor in want.items():
        assert error(got[name], tensor) <= LIMIT, name
    comparisons.add("PyTorch", len(want))


def by_module(net: Net, **options) -> dict:
    """All results by PyTorch's module; ragged batches are packed."""
    layer, x, start = module(net, **options), leaf(net.x), [leaf(s) for s in arrays_of(net.state)]
    given = x
    if net.lengths is not None:
        given = torch.nn.utils.rnn.pack_padded_sequence(
            x, torch.from_numpy(net.lengths), enforce_sorted=False, **options
        )
    y, last = layer(given, tuple(start) if net.cell == "lstm" else start[0])
    if net.lengths is not None:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=net.T, **options)
    ends = [net.dy, *arrays_of(net.dstate)]
    torch.autograd.backward([y, *arrays_of(last)], [torch.from_numpy(d) for d in ends])
    out = {"y": y, "dx": x.grad} | dict(zip(["hn", "cn"], arrays_of(last), strict=False))
    out |= {f"d{name}": p.grad for name, p in layer.named_parameters()}
    return out | dict(zip(["dh0", "dc0"], [s.grad for s in start], strict=False))


@pytest.mark.parametrize("ragged", smoke(True, False), ids=["ragged", "whole"])
@pytest.mark.parametrize("bidirectional", smoke(True, False), ids=["both ways", "one way"])
@pytest.mark.parametrize("layers", smoke(2, 1, 3))
@pytest.mark.parametrize("bias", smoke(True, False), ids=["bias", "no bias"])
@pytest.mark.parametrize(("kind", "proj_size"), [*((kind, 0) for kind in KINDS), ("LSTM", 4)])
def test_modules(kind, proj_size, bias, layers, bidirectional, ragged, isa, comparisons) -> None:
    options = {"bidirectional": bidirectional, "proj_size": proj_size}
    net = net_of(kind, 10 * layers, layers, **options)
    net.lengths = np.array([3, 7, 1, 5]) if ragged else None
    if not bias:
        net.bias = False
        net.params = {n: p for n, p in net.params.items() if not n.startswith("bias")}
    compare(run_native(net, "float64"), by_module(net), comparisons)


@pytest.mark.parametrize("bidirectional", smoke(True, False))
@pytest.mark.parametrize("kind", KINDS)
def test_batch_first(kind, bidirectional, comparisons) -> None:
    net = net_of(kind, 1, 2, bidirectional=bidirectional)
    net.lengths = np.array([2, 6, 7, 1])
    net.x, net.dy = (np.ascontiguousarray(a.swapaxes(0, 1)) for a in (net.x, net.dy))
    want = by_module(net, batch_first=True)
    net.options["batch_first"] = True
    compare(run_native(net, "float64"), want, comparisons)


@pytest.mark.parametrize("bidirectional", smoke(True, False))
@pytest.mark.parametrize("kind", KINDS)
def test_one_sequence_without_a_batch(kind, bidirectional, comparisons) -> None:
    net = net_of(kind, 2, 2, N=1, bidirectional=bidirectional)

    def one(state):
        return tuple(s[:, 0] for s in state) if net.cell == "lstm" else state[:, 0]

    net.x, net.dy = net.x[:, 0], net.dy[:, 0]
    net.state, net.dstate = one(net.state), one(net.dstate)
    compare(run_native(net, "float64"), by_module(net), comparisons)


@pytest.mark.parametrize("variational", smoke(False, True))
@pytest.mark.parametrize("bidirectional", smoke(True, False))
@pytest.mark.parametrize("kind", KINDS)
def test_dropout_between_modules(kind, bidirectional, variational, comparisons) -> None:
    """A module per layer, with the masks of a draw between them."""
    net = net_of(kind, 3, 3, bidirectional=bidirectional, dropout=0.4, variational=variational)
    net.seed, net.draw, net.lengths = 11, 2**33 + 5, np.array([3, 7, 1, 5])
    masks, leaves = Loop(net), [leaf(s) for s in arrays_of(net.state)]
    x = y = leaf(net.x)
    lasts, named = [], {}
    for l in range(3):  # noqa: E741
        own = {n: p for n, p in net.params.items() if f"_l{l}" in n}
        one = replace(net, L=1, I=y.shape[2])
        one.params = {n.replace(f"_l{l}", "_l0"): p for n, p in own.items()}
        one.options = {"bidirectional": True} if bidirectional else {}
        layer, at = module(one), slice(l * net.D, (l + 1) * net.D)
        if l:
            steps = 1 if variational else net.T
            y = y * masks.mask("dropout", l * net.D, steps, net.N, net.D * net.P)
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            y, torch.from_numpy(net.lengths), enforce_sorted=False
        )
        start = tuple(s[at] for s in leaves)
        y, last = layer(packed, start if net.cell == "lstm" else start[0])
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=net.T)
        lasts.append(arrays_of(last))
        named |= dict(zip(own, layer.parameters(), strict=True))
    last = [torch.cat(s) for s in zip(*lasts, strict=True)]
    ends = [net.dy, *arrays_of(net.dstate)]
    torch.autograd.backward([y, *last], [torch.from_numpy(d) for d in ends])
    want = {"y": y, "dx": x.grad} | dict(zip(["hn", "cn"], last, strict=False))
    want |= {f"d{name}": p.grad for name, p in named.items()}
    want |= dict(zip(["dh0", "dc0"], [s.grad for s in leaves], strict=False))
    compare(run_native(net, "float64"), want, comparisons)


# ----------------------------------------------------------------------------- PyTorch's operations
@pytest.mark.long
@pytest.mark.parametrize(("name", "cell"), ALONE)
def test_alone(name, cell, isa, comparisons) -> None:
    rng = generator(4)
    for _ in range(2):
        net = option_net(rng, {"cell": cell} | SETTINGS[name])
        compare(run_native(net, "float64"), Loop(net).run(), comparisons)


@pytest.mark.long
@pytest.mark.parametrize("names", COMPATIBLE, ids="+".join)
def test_pairs(names, comparisons) -> None:
    net = option_net(generator(5), merged(*names), small=True)
    compare(run_native(net, "float64"), Loop(net).run(), comparisons)


@pytest.mark.parametrize("seed", [*range(5), *smoke(5, *range(6, 60))])
def test_combinations(seed, comparisons) -> None:
    rng = generator(6000 + seed)
    net = option_net(rng, merged(*combination(rng)))
    compare(run_native(net, "float64"), Loop(net).run(), comparisons)


# ------------------------------------------------------------------------------------------- models
LOSSES = [
    ("cross_entropy", {}),
    ("cross_entropy", {"label_smoothing": 0.2}),
    ("cross_entropy", {"class_weights": [0.5, 2.0, 0.0, 1.0]}),
    ("cross_entropy", {"class_weights": [0.5, 2.0, 0.3, 1.0], "label_smoothing": 0.1}),
    ("cross_entropy", {"ignore_index": 2}),
    ("mse", {}),
    ("binary_cross_entropy", {}),
    ("binary_cross_entropy", {"class_weights": [0.5, 2.0, 0.0, 1.0]}),
]


def final_states(h_n, bidirectional):
    """Return the final states of the top layer: forward direction, then reverse direction."""
    return torch.cat([h_n[-2], h_n[-1]], 1) if bidirectional else h_n[-1]


@pytest.mark.parametrize("ragged", smoke(True, False), ids=["ragged", "one length"])
@pytest.mark.parametrize("bidirectional", smoke(True, False))
@pytest.mark.parametrize("L", smoke(2, 1, 3))
@pytest.mark.parametrize(("cell", "options"), [
    ("rnn", {}), ("rnn", {"nonlinearity": "relu"}), ("lstm", {}), ("lstm", {"proj_size": 3}),
    ("gru", {}),
])  # fmt: skip
def test_models_of_final_states(cell, options, L, bidirectional, ragged, comparisons) -> None:
    """The target at the last step is a linear readout of h_n of PyTorch's (packed) batch."""
    T, N, I, H, O = 8, 6, 3, 5, 4  # noqa: E741
    rng = generator(11)
    m = bn.Model(
        cell=cell, input_size=I, hidden_size=H, num_layers=L, output_size=O, targets="last",
        bidirectional=bidirectional, dtype="float64", seed=6, **options,
    )  # fmt: skip
    x, y = rng.standard_normal((T, N, I)), rng.integers(0, O, N)
    lengths = np.array([3, 8, 1, 5, 8, 2]) if ragged else None
    params, given = {name: leaf(value) for name, value in m.state_dict().items()}, leaf(x)
    made = getattr(torch.nn, cell.upper())(
        I, H, L, bidirectional=bidirectional, dtype=torch.float64, **options
    )
    batch = given
    if ragged:
        batch = torch.nn.utils.rnn.pack_padded_sequence(
            given, torch.from_numpy(lengths), enforce_sorted=False
        )
    own = {name[4:]: p for name, p in params.items() if name.startswith("rnn.")}
    _, state = torch.func.functional_call(made, own, (batch,))
    read = final_states(state[0] if cell == "lstm" else state, bidirectional)
    out = read @ params["readout.weight"].T + params["readout.bias"]
    value = F.cross_entropy(out, torch.from_numpy(y))
    value.backward()

    assert error(m(x, lengths=lengths)[0], out) <= LIMIT
    result, grads = m.gradients(x, y, lengths=lengths)
    assert result.loss == pytest.approx(float(value.detach()), rel=1e-12)
    assert list(grads) == list(params)
    for key, p in params.items():
        assert error(grads[key], p.grad) <= LIMIT, key
    if bidirectional:
        assert np.abs(grads[f"rnn.weight_hh_l{L - 1}_reverse"]).max() > 1e-4
    _, _, tape = m.forward(x, lengths=lengths)
    _, dout = softmax_cross_entropy(out.detach().numpy(), y)
    assert error(m.backward(tape, dout).x, given.grad) <= LIMIT
    comparisons.add("PyTorch", 3 + len(params))


@pytest.mark.parametrize("reduction", smoke("mean", "sum"))
@pytest.mark.parametrize("targets", smoke("every", "last"))
@pytest.mark.parametrize("bidirectional", smoke(True, False))
@pytest.mark.parametrize(("loss", "options"), LOSSES, ids=str)
@pytest.mark.parametrize("weighted", smoke(True, False), ids=["weights", "all alike"])
def test_models(loss, options, bidirectional, targets, reduction, weighted, comparisons) -> None:
    """An embedding, layers and a readout on ragged batches, with a loss of torch.nn.functional."""
    T, N, V, O = 6, 5, 9, 4  # noqa: E741
    rng, last = generator(7), targets == "last"
    m = bn.Model(
        cell="gru", vocab_size=V, embedding_size=3, hidden_size=6, num_layers=2, output_size=O,
        bidirectional=bidirectional, loss=loss, targets=targets, reduction=reduction,
        dtype="float64", seed=5, **options,
    )  # fmt: skip
    x, lengths = rng.integers(0, V, (T, N)), np.array([2, 6, 1, 5, 6])
    where = (N,) if last else (T, N)
    classes = loss == "cross_entropy"
    wanted = rng.integers(0, O, where) if classes else rng.random((*where, O))

    params = {name: leaf(value) for name, value in m.state_dict().items()}
    rnn = torch.nn.GRU(3, 6, 2, bidirectional=bidirectional, dtype=torch.float64)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        F.embedding(torch.from_numpy(x), params["embedding.weight"]), torch.from_numpy(lengths),
        enforce_sorted=False,
    )  # fmt: skip
    own = {name[4:]: p for name, p in params.items() if name.startswith("rnn.")}
    y, h_n = torch.func.functional_call(rnn, own, (packed,))
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=T)
    goals, inside = torch.from_numpy(wanted), torch.arange(T)[:, None] < torch.from_numpy(lengths)
    if last:
        read = final_states(h_n, bidirectional)
    else:
        read, goals = y[inside], goals[inside]
    out = read @ params["readout.weight"].T + params["readout.bias"]
    more = {k: v for k, v in options.items() if k in ("label_smoothing", "ignore_index")}
    if "class_weights" in options:
        more["weight"] = torch.tensor(options["class_weights"], dtype=torch.float64)
    name = {"mse": "mse_loss", "binary_cross_entropy": "binary_cross_entropy_with_logits"}
    function, weights = getattr(F, name.get(loss, loss)), None
    if weighted:
        weights = rng.choice([0.0, 0.5, 3.0], where, p=[0.2, 0.4, 0.4])
        w = torch.from_numpy(weights) if last else torch.from_numpy(weights)[inside]
        each = function(out, goals, reduction="none", **more)
        value = (each * (w if classes else w[:, None])).sum()
        if reduction == "mean" and classes:
            counts = more.get("weight", torch.ones(O))[goals]
            value = value / (w * counts * (goals != options.get("ignore_index", -100))).sum()
        elif reduction == "mean":
            value = value / (O * w.sum())
    else:
        value = function(out, goals, reduction=reduction, **more)
    value.backward()

    result, grads = m.gradients(x, wanted, lengths=lengths, weights=weights)
    assert abs(result.loss - float(value.detach())) <= 1e-12 * abs(result.loss)
    assert list(grads) == list(params)
    for key, p in params.items():
        assert error(grads[key], p.grad) <= LIMIT, key
    comparisons.add("PyTorch", 1 + len(params))


@pytest.mark.parametrize("cell", LAYERS)
def test_a_model_trains_as_pytorch_does(cell, comparisons) -> None:
    """Dropout, truncation and resets in training steps: the draws count the steps."""
    rng, lr = generator(8), 0.3
    options = {"dropout": 0.3, "zoneout": 0.1}
    if cell in RECURRENT:
        options |= {"recurrent_dropout": 0.2, "layer_norm": True}
    m = bn.Model(
        cell=cell, input_size=3, hidden_size=7, num_layers=2, output_size=2, loss="mse", seed=9,
        truncation=(2, 4), optimizer="sgd", lr=lr, dtype="float64", **options,
    )  # fmt: skip
    T, N = 9, 4
    net = Net(cell, "tanh", 3, 7, 2, True, T, N, False, seed=9, truncation=(2, 4))
    net.options = options
    params = {name: leaf(value) for name, value in m.state_dict().items()}
    for step in range(4):
        net.x, goals = rng.standard_normal((T, N, 3)), rng.standard_normal((T, N, 2))
        net.lengths, net.resets = rng.integers(1, T + 1, N), rng.random((T, N)) < 0.2
        net.lengths[step], net.draw = T, step
        loop = Loop(net)
        loop.leaves = {n[4:]: p for n, p in params.items() if n.startswith("rnn.")}
        inside = torch.arange(T)[:, None] < torch.from_numpy(net.lengths)
        total = 0.0
        for reach, begin, end in loop.windows():
            y, _ = loop.forward(reach)
            out = y @ params["readout.weight"].T + params["readout.bias"]
            squares = ((out - torch.from_numpy(goals)) ** 2)[begin:end][inside[begin:end]]
            value = squares.sum() / (2 * inside.sum())
            value.backward()
            total += float(value.detach())
        with torch.no_grad():
            for p in params.values():
                p -= lr * p.grad
                p.grad = None
        result = m.train_step(net.x, goals, lengths=net.lengths, resets=net.resets, flow=False)
        assert abs(result.loss - total) <= 1e-12 * total
        for name, p in params.items():
            assert error(m.state_dict()[name], p) <= LIMIT, f"{name} in step {step}"
        comparisons.add("PyTorch", 1 + len(params))
