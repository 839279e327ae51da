"""Layers and models against PyTorch, if it is installed."""

import numpy as np
import pytest

import bptt_native as bn
from helpers.torch_nets import error, smoke, torch

LIMIT = {"float64": 1e-10, "float32": 2e-5}


def equal_layers(cell: str, dtype: str, layers: int, bias: bool, batch_first: bool):
    """Return our layer and PyTorch's, with the same parameters; an RNN by its nonlinearity."""
    I, H = 5, 12  # noqa: E741
    options = {"num_layers": layers, "bias": bias, "batch_first": batch_first}
    kind = {"relu": "RNN", "tanh": "RNN"}.get(cell, cell)
    if kind == "RNN":
        options["nonlinearity"] = cell
    ours = getattr(bn, kind)(I, H, dtype=dtype, seed=3, **options)
    theirs = getattr(torch.nn, kind)(I, H, dtype=getattr(torch, dtype), **options)
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in ours.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize("cell", ["tanh", "relu", "LSTM", "GRU"])
@pytest.mark.parametrize("layers", smoke(3, 1))
@pytest.mark.parametrize("bias", smoke(True, False))
@pytest.mark.parametrize("batch_first", smoke(True, False))
@pytest.mark.parametrize("with_state", smoke(True, False))
def test_layers(cell, layers, bias, batch_first, with_state, dtype, isa, comparisons) -> None:
    ours, theirs = equal_layers(cell, dtype, layers, bias, batch_first)
    rng = np.random.Generator(np.random.Philox(8))
    T, N, H = 9, 4, 12
    x = rng.standard_normal((N, T, 5) if batch_first else (T, N, 5)).astype(dtype)
    states = [
        rng.standard_normal((layers, N, H)).astype(dtype) for _ in range(2 if cell == "LSTM" else 1)
    ]
    tx = torch.from_numpy(x).requires_grad_()
    tstates = [torch.from_numpy(s).requires_grad_() for s in states]
    state = tstate = None
    if with_state:
        state, tstate = (
            (tuple(states), tuple(tstates)) if cell == "LSTM" else (states[0], tstates[0])
        )
    y, last, tape = ours.forward(x, state)
    ty, tlast = theirs(tx, tstate)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dlast = [rng.standard_normal((layers, N, H)).astype(dtype) for _ in states]
    grads = ours.backward(tape, dy, tuple(dlast) if cell == "LSTM" else dlast[0])
    tlasts = tlast if cell == "LSTM" else (tlast,)
    torch.autograd.backward([ty, *tlasts], [torch.from_numpy(a) for a in [dy, *dlast]])

    checks = [(y, ty), (grads.x, tx.grad)]
    checks += list(zip(last if cell == "LSTM" else (last,), tlasts, strict=True))
    checks += [(grads[name], p.grad) for name, p in theirs.named_parameters()]
    if with_state:
        checks += list(
            zip(
                grads.state if cell == "LSTM" else (grads.state,),
                [s.grad for s in tstates],
                strict=True,
            )
        )
    for got, want in checks:
        assert error(got, want) <= LIMIT[dtype]
    comparisons.add("PyTorch", len(checks))


@pytest.mark.parametrize("norm_scale", [0.5, 2.0])
def test_clip_grad_norm_with_the_eps_of_pytorch(norm_scale, comparisons) -> None:
    ours, theirs = equal_layers("LSTM", "float64", 2, True, False)
    x = np.random.Generator(np.random.Philox(9)).standard_normal((4, 3, 5))
    y, _, tape = ours.forward(x)
    grads = ours.backward(tape, np.ones_like(y))
    theirs(torch.from_numpy(x))[0].sum().backward()
    limit = grads.norm() * norm_scale
    total = torch.nn.utils.clip_grad_norm_(theirs.parameters(), limit)
    norm = bn.clip_grad_norm_(grads, limit, eps=1e-6)
    assert abs(norm - float(total)) <= 1e-12 * norm
    for name, p in theirs.named_parameters():
        assert error(grads[name], p.grad) <= 1e-10
    comparisons.add("PyTorch", 1 + len(grads))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            lambda p: bn.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, decay_biases=True),
            lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=0.01),
        ),
        (lambda p: bn.Adagrad(p, lr=0.1), lambda p: torch.optim.Adagrad(p, 0.1)),
        (
            lambda p: bn.Adam(p, lr=0.01, weight_decay=0.1, decay_biases=True),
            lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
        ),
    ],
    ids=["sgd", "adagrad", "adam"],
)
def test_optimizers(ours, theirs, comparisons) -> None:
    layer, module = equal_layers("GRU", "float64", 1, True, False)
    a, b = ours(layer), theirs(module.parameters())
    x = np.random.Generator(np.random.Philox(10)).standard_normal((4, 3, 5))
    for _ in range(10):
        y, _, tape = layer.forward(x)
        a.step(layer.backward(tape, 2 * y))
        b.zero_grad()
        (module(torch.from_numpy(x))[0] ** 2).sum().backward()
        b.step()
    for name, p in module.named_parameters():
        assert error(layer.state_dict()[name], p) <= 1e-10
    comparisons.add("PyTorch", 10 * len(layer.state_dict()))


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("targets", ["every", "last"])
def test_a_whole_model(loss, targets, comparisons) -> None:
    m = bn.Model(
        cell="lstm",
        input_size=5,
        hidden_size=12,
        output_size=4,
        loss=loss,
        targets=targets,
        optimizer="sgd",
        lr=0.5,
        dtype="float64",
    )
    params = {k: torch.from_numpy(v.copy()).requires_grad_() for k, v in m.state_dict().items()}
    rnn = torch.nn.LSTM(5, 12, dtype=torch.float64)
    rng = np.random.Generator(np.random.Philox(11))
    x = rng.standard_normal((6, 3, 5))
    where = (6, 3) if targets == "every" else (3,)
    y = rng.integers(0, 4, where) if loss == "cross_entropy" else rng.standard_normal((*where, 4))
    h, _ = torch.func.functional_call(
        rnn, {k[4:]: v for k, v in params.items() if k.startswith("rnn.")}, (torch.from_numpy(x),)
    )
    out = (h if targets == "every" else h[-1]) @ params["readout.weight"].T + params["readout.bias"]
    if loss == "cross_entropy":
        value = torch.nn.functional.cross_entropy(
            out.reshape(-1, 4), torch.from_numpy(y).reshape(-1)
        )
    else:
        value = torch.nn.functional.mse_loss(out, torch.from_numpy(y))
    value.backward()
    before = m.state_dict()
    r = m.train_step(x, y)
    assert abs(r.loss - float(value.detach())) <= 1e-12 * abs(r.loss)
    after = m.state_dict()
    for name, p in params.items():
        assert error((before[name] - after[name]) / 0.5, p.grad) <= 1e-10
    comparisons.add("PyTorch", 1 + len(params))
