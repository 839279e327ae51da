"""Calls in the way of other libraries, and what their errors tell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bptt_native as bn

SIZES: dict[str, Any] = {"input_size": 3, "hidden_size": 4, "output_size": 3}
NET: Any = bn.Model("gru", **SIZES, targets="last")
LAYER: Any = bn.GRU(3, 4)
X = np.ones((6, 5, 3), np.float32)
Y = np.zeros(5, np.int64)
RAGGED = [X[0], X[0, :2]]
BIAS: Any = NET.parameters["readout.bias"]
TAPE: Any = NET.forward(X)[2]
BN: Any = bn
NAMED = "without a name, got"

CALLS: list[tuple[Callable[[], object], str]] = [
    # the names of users, not those of the code
    (lambda: NET.save(), "Model.save: missing 1 required positional argument: 'path'"),
    (lambda: BN.fit(X, Y),
     "fit: argument 'model': expected a Model, got an object of the class ndarray"),
    (lambda: BN.predict(X),
     "predict: argument 'model': expected a Model, got an object of the class ndarray"),
    (lambda: TAPE.h, "'bptt_native.Tape' object has no attribute 'h'"),
    (lambda: BN.callbacks.Logger, "module 'bptt_native.callbacks' has no attribute 'Logger'"),
    (lambda: BN.diagnostics.gradient_flow(X, NET),
     "gradient_flow: argument 'net': expected a layer or Model, got a float32 array"),
    (lambda: BN.diagnostics.gradient_flow(None, X),
     "gradient_flow: argument 'net': expected a layer or Model, got None"),
    (lambda: BN.diagnostics.connectivity(X, NET),
     "connectivity: argument 'net': expected a layer or Model, got a float32 array"),
    (lambda: BN.Adam(NET.parameters()),
     "Adam: argument 'owner': expected the layer or model, not its"),
    (lambda: BN.Model(**SIZES, optimizer=BN.AdamW), "got the class AdamW (its name is 'adamw')"),
    (lambda: BN.Model(**SIZES, optimizer=BN.AdamW(LAYER)), "got an AdamW (its name is 'adamw')"),
    # arguments without a name
    (lambda: BN.Model("gru", 3, 8, 3),
     f"Model: expected only cell {NAMED} 4 arguments without one; name the others: input_size=..., "
     "vocab_size=..., embedding_size=..., hidden_size=..., num_layers=..., output_size=..., ..."),
    (lambda: NET.predict(X, "labels"),
     f"Model.predict: expected only x {NAMED} 2 arguments without one; name the others: kind=.."),
    (lambda: NET.evaluate(X, Y, "f1"),
     f"Model.evaluate: expected only x and targets {NAMED} 3 arguments without one; name the "
     "others: weights=..., metrics=..., "),
    (lambda: NET.fit(X, Y, 5), "name the others: epochs=..., steps=..., batch_size=..., "),
    # assignments
    (lambda: setattr(NET, "optimizer", "sgd"),
     "Model.optimizer cannot be changed; model.with_options(optimizer=...) makes another model"),
    (lambda: setattr(NET, "learning_rate", 0.1), "did you mean 'lr'?"),
    (lambda: setattr(NET, "dropout", 0.1),
     "Model.dropout cannot be changed; model.with_options(dropout=...) makes another model"),
    (lambda: setattr(LAYER, "dropout", 0.1),
     "GRU.dropout cannot be changed; GRU(**{**gru.config, ...}) makes another one"),
    # arguments and names of other places
    (lambda: NET.fit(optimizer="sgd"),
     "Model.fit: unexpected argument 'optimizer'; optimizer is an argument of Model"),
    (lambda: NET.predict(X, kind="logits"), "got 'logits' (did you mean 'outputs'?)"),
    (lambda: NET.predict(X, kind="proba"), "got 'proba' (did you mean 'probabilities'?)"),
    (lambda: BN.Model(**SIZES, class_weights="balanced"), "(fit has weights='balanced')"),
    (lambda: NET.history, "; fit returns the history"),
    (lambda: NET.resume, "; bptt_native.resume continues the run of a folder"),
    (lambda: NET.find_lr, "; bptt_native.find_lr(model, x, targets) tries learning rates"),
    (lambda: BN.Model.load, "'Model' has no attribute 'load'; bptt_native.load reads a model file"),
    (lambda: NET.load, "; bptt_native.load reads a model file"),
    (lambda: NET.h0, "; the argument state is the initial state; learn_initial_state=True"),
    (lambda: BN.schedules.OneCycleLR, "; fit has the arguments schedule='cosine' and warmup"),
    (lambda: BN.schedules.CosineAnnealingLR, "; did you mean 'Cosine'?"),
    (lambda: BN.schedules.Cosine(T_max=5), "unexpected argument 'T_max'; did you mean 'steps'?"),
    (lambda: BN.clip_grad_value_(None, clip_value=5), "; did you mean 'value'?"),
    (lambda: BIAS.requires_grad, "; did you mean 'frozen'?"),
    (lambda: BIAS.data, "; did you mean 'value'?"),
    (lambda: BIAS.grad, "; gradients are returned by backward and gradients"),
    (lambda: BN.diagnostics.fixed_points(LAYER).points, "; did you mean 'states'?"),
    # values
    (lambda: BN.Init("ortogonal"), "got 'ortogonal' (did you mean 'orthogonal'?)"),
    (lambda: BN.GRU(3, 4, init="ortogonal"), "GRU: argument 'init': expected one of 'default'"),
    (lambda: NET(RAGGED), "(fit, evaluate and predict take such a list; here pass a padded array"),
    (lambda: NET.train_step(RAGGED, Y[:2]), "got a list of sequences of different lengths"),
    (lambda: BN.diagnostics.gradient_flow(NET, RAGGED), "sequences of different lengths"),
    (lambda: BN.Model(**{**SIZES, "hidden_size": 10**9}),
     "got a need of at least 30517578125000 MiB"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "text"), CALLS, ids=[text for _, text in CALLS])
def test_messages(call: Callable[[], object], text: str) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError, MemoryError)) as caught:
        call()
    assert text in str(caught.value)


def test_load_takes_the_folder_of_a_run(tmp_path: Path) -> None:
    model = NET.with_options(seed=1)
    model.fit(X, Y, epochs=1, out=tmp_path)
    assert bn.load(tmp_path).config == bn.load(str(tmp_path)).config == model.config
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(OSError, match="load: argument 'path'"):
        bn.load(tmp_path)


def test_public_names() -> None:
    assert not [name for name in dir(bn.plots) if name.isupper()]
    assert bn.plots.BLUE.startswith("#")
    assert "Array" not in dir(bn.diagnostics)


def test_a_history_can_be_drawn() -> None:
    model = NET.with_options(seed=2)
    result = model.fit(X, Y, epochs=3, validation=(X, Y), metrics=["f1"])
    pytest.importorskip("matplotlib")
    lines = [bn.plots.plot_learning(run).lines for run in (result.rows, result.history)]
    for by_rows, by_columns in zip(*lines, strict=True):
        np.testing.assert_array_equal(by_rows.get_xydata(), by_columns.get_xydata())
