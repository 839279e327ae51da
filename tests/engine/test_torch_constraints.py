"""Masks, non-negative weights and regularisers against PyTorch: pruning, clamping, autograd."""

import importlib

import numpy as np
import pytest

import bptt_native as bn
from helpers.arrays import generator
from helpers.torch_nets import error, torch

LIMIT = 1e-9
prune = importlib.import_module("torch.nn.utils.prune")
T, N, I, H, O = 8, 5, 3, 7, 2  # noqa: E741
# The optimiser of a Model, and PyTorch's.
RULES = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "adam": (torch.optim.AdamW, {"lr": 0.02, "weight_decay": 0.1}),
    "adagrad": (torch.optim.Adagrad, {"lr": 0.05, "weight_decay": 0.01}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01, "momentum": 0.5}),
}


@pytest.mark.parametrize("clip_norm", [None, 0.2])
@pytest.mark.parametrize("optimizer", RULES)
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_training_is_that_of_a_pruned_and_clamped_module(cell, optimizer, clip_norm, comparisons):
    make, options = RULES[optimizer]
    l1, l2, rng = 0.004, 0.03, generator(12)
    m = bn.Model(
        cell, input_size=I, hidden_size=H, num_layers=2, output_size=O, loss="mse", dtype="float64",
        optimizer=optimizer, decay_biases=True, weight_l1=l1, weight_l2=l2, clip_norm=clip_norm,
        seed=4, **options,
    )  # fmt: skip
    rnn = getattr(torch.nn, cell.upper())(I, H, 2, dtype=torch.float64)
    readout = torch.nn.Linear(H, O, dtype=torch.float64)
    start = {name: torch.from_numpy(value) for name, value in m.state_dict().items()}
    rnn.load_state_dict({n[4:]: v for n, v in start.items() if n.startswith("rnn.")})
    readout.load_state_dict({n[8:]: v for n, v in start.items() if n.startswith("readout.")})
    modules = {"rnn": rnn, "readout": readout}
    signed, masks = ["rnn.weight_ih_l1", "readout.weight"], {}
    for name, parameter in m.parameters.items():
        module, _, own = name.partition(".")
        if parameter.ndim == 2 and name != "rnn.weight_ih_l0":
            masks[name] = rng.random(parameter.shape) < 0.6
            m.set_mask(name, masks[name])
            prune.custom_from_mask(modules[module], own, torch.from_numpy(masks[name]))
    m.set_nonnegative(*signed)

    def leaves():
        for prefix, module in modules.items():
            for own, p in module.named_parameters():
                yield f"{prefix}.{own.removesuffix('_orig')}", p

    def project():
        with torch.no_grad():
            for name, p in leaves():
                if name in signed:
                    p.clamp_(min=0)

    def used(name):
        module, _, own = name.partition(".")
        return getattr(modules[module], own)

    project()
    update = make([p for _, p in leaves()], **options)
    for step in range(15):
        x, y = rng.standard_normal((T, N, I)), rng.standard_normal((T, N, O))
        update.zero_grad()
        value = torch.nn.functional.mse_loss(
            readout(rnn(torch.from_numpy(x))[0]), torch.from_numpy(y)
        )
        matrices = [used(name) for name, p in leaves() if p.ndim == 2]
        penalty = sum(l1 * w.abs().sum() + l2 * w.square().sum() for w in matrices)
        (value + penalty).backward()
        norm = torch.cat([p.grad.flatten() for _, p in leaves()]).norm()
        if clip_norm and norm > clip_norm:
            for _, p in leaves():
                p.grad *= clip_norm / norm
        update.step()
        project()
        result = m.train_step(x, y)
        assert result.loss == pytest.approx(float(value.detach()), rel=1e-9)
        assert result.weight_penalty == pytest.approx(float(penalty.detach()), rel=1e-9)
        assert result.grad_norm == pytest.approx(float(norm), rel=1e-8)
        assert result.clipped == bool(clip_norm and norm > clip_norm)
        state = m.state_dict()
        for name, p in leaves():
            want = p * torch.from_numpy(masks[name]) if name in masks else p
            assert error(state[name], want) <= LIMIT, f"{name} in step {step}"
        comparisons.add("PyTorch", len(state))
    assert np.count_nonzero(state[signed[0]] == 0) > np.count_nonzero(~masks[signed[0]])
