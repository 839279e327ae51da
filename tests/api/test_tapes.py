"""Tapes whose parameters have changed: the same bits as those of an unchanged twin."""

import gc
import itertools
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.diagnostics import backward_seeds, jacobian, lyapunov
from helpers.arrays import assert_same, draw
from helpers.cells import LAYERS, last_matrix
from helpers.nets import Net, cast, option_net
from helpers.option_settings import ALONE, SETTINGS

T, N, I, H, O = 7, 5, 4, 9, 6  # noqa: E741


@pytest.fixture(params=LAYERS)
def cell(request):
    return request.param


def gradients_of(net, tape, dy, *given, **options) -> dict:
    grads = net.backward(tape, dy, *given, **options)
    return {"flat": grads.flat, "x": grads.x, "state": grads.state, "flow": grads.flow}


def change(net, seed: int = 0) -> None:
    """Set all parameters to other values and signs."""
    rng = np.random.default_rng(seed)
    other = {name: rng.standard_normal(p.shape) for name, p in net.state_dict().items()}
    net.load_state_dict({name: p.astype(net.dtype) for name, p in other.items()})


def way_back(net: Net, dtype: str) -> tuple:
    options = net.way_back()
    if net.truncation is not None and net.truncation[1] > net.truncation[0]:
        options["flow"] = False
    return (cast(net.dy, dtype), cast(net.dstate, dtype)), options


# ------------------------------------------------------------------------------------------ layers


@pytest.mark.parametrize("walked", [False, True], ids=["first", "again"])
@pytest.mark.parametrize(("setting", "cell"), [("plain", c) for c in LAYERS] + ALONE)
def test_layers_go_back_after_an_update(setting, cell, walked, dtype, isa):
    options = {"cell": cell, **SETTINGS.get(setting, {})}
    net = option_net(np.random.default_rng(len(setting)), options, small=True)
    layer, twin = net.layer(dtype), net.layer(dtype)
    passage = cast(net.x, dtype), cast(net.state, dtype)
    tape, other = (each.forward(*passage, **net.passage())[2] for each in (layer, twin))
    given, more = way_back(net, dtype)
    want = gradients_of(twin, other, *given, **more)
    if walked:
        assert_same(gradients_of(layer, tape, *given, **more), want)
    for seed in range(2):  # later changes do not matter either
        change(layer, seed)
        assert_same(gradients_of(layer, tape, *given, **more), want)


@pytest.mark.parametrize("walked", [False, True], ids=["first", "again"])
def test_products_of_bfloat16_go_back_after_an_update(cell, walked, isa):
    layer, twin = (LAYERS[cell](I, H, 2, compute="bfloat16") for _ in range(2))
    x, dy = draw(T, N, I), draw(T, N, H, seed=1)
    tape, want = layer.forward(x)[2], gradients_of(twin, twin.forward(x)[2], dy)
    if walked:
        layer.backward(tape, dy)
    change(layer)
    assert_same(gradients_of(layer, tape, dy), want)


def test_every_way_to_update_a_layer_leaves_its_tapes_right(cell):
    layer, twin = (LAYERS[cell](I, H) for _ in range(2))
    x, dy = draw(T, N, I), draw(T, N, H, seed=1)
    want = gradients_of(twin, twin.forward(x)[2], dy)
    grads = twin.backward(twin.forward(x)[2], dy)
    before = layer.state_dict()
    rules = [make(layer, lr=0.1) for make in (bn.SGD, bn.Adam, bn.Adagrad, bn.RMSprop)]
    ways = [(rule.step, grads) for rule in rules]
    ways += [(layer.load_state_dict, before)]  # which changes no value
    for way, given in ways:
        layer.load_state_dict(before)
        tape = layer.forward(x)[2]
        way(given)
        assert_same(gradients_of(layer, tape, dy), want)


def test_a_skipped_update_changes_nothing(cell):
    layer, twin = (LAYERS[cell](I, H) for _ in range(2))
    x, dy = draw(T, N, I), draw(T, N, H, seed=1)
    tape, grads = layer.forward(x)[2], layer.backward(layer.forward(x)[2], dy)
    grads.flat[0] = np.nan
    assert not bn.SGD(layer, lr=0.1).step(grads)
    assert_same(gradients_of(layer, tape, dy), gradients_of(twin, twin.forward(x)[2], dy))


def test_many_tapes_of_many_versions(cell, dtype):
    """Each goes back with its own parameters, in any order, while others come and go."""
    layer, twin = (LAYERS[cell](I, H, 2, dtype=dtype) for _ in range(2))
    adam, rng = bn.Adam(layer, lr=0.05), np.random.default_rng(3)
    kept = []
    for step in range(12):
        x, dy = draw(T, N, I, seed=step, dtype=dtype), draw(T, N, H, seed=99 + step, dtype=dtype)
        kept += [
            (layer.forward(x, draw=step)[2], layer.state_dict(), x, dy, step)
            for _ in range(rng.integers(1, 4))
        ]
        if rng.integers(2):
            layer.backward(kept[-1][0], dy)
        adam.step(layer.backward(layer.forward(x)[2], dy))
        if step % 4 == 3:
            for i in rng.permutation(len(kept))[:4]:
                tape, params, x, dy, number = kept[i]
                twin.load_state_dict(params)
                assert_same(
                    gradients_of(layer, tape, dy),
                    gradients_of(twin, twin.forward(x, draw=number)[2], dy),
                )
            del kept[:: rng.integers(2, 4)], tape
            gc.collect()


def test_frozen_tensors_are_those_of_now(cell):
    layer = LAYERS[cell](I, H)
    x, dy = draw(T, N, I), draw(T, N, H, seed=1)
    tape = layer.forward(x)[2]
    want = layer.backward(tape, dy)
    change(layer)
    last = last_matrix(cell)
    layer.freeze(last)
    got = layer.backward(tape, dy)
    assert not got[last].any()
    assert_same({n: got[n] for n in got if n != last}, {n: want[n] for n in want if n != last})
    layer.unfreeze(last)
    assert_same(layer.backward(tape, dy).flat, want.flat)


@pytest.mark.parametrize("walked", [False, True], ids=["first", "again"])
@pytest.mark.parametrize(("first", "then"), [*itertools.permutations(bn.available_isas(), 2)])
def test_a_tape_keeps_the_instruction_set_of_the_update(
    first, then, walked, cell, best_isa_afterwards
):
    """Its weights are packed for that one."""
    layer, twin = (LAYERS[cell](I, H) for _ in range(2))
    x, dy = draw(T, N, I), draw(T, N, H, seed=1)
    bn._core.use_isa(then)
    tape, other = layer.forward(x)[2], twin.forward(x)[2]
    if walked:
        layer.backward(tape, dy)
    bn._core.use_isa(first)
    want = gradients_of(twin, other, dy)
    change(layer)
    bn._core.use_isa(then)
    assert_same(gradients_of(layer, tape, dy), want)


# ------------------------------------------------------------------------------------------ models


INPUTS = {
    "dense": {"input_size": I},
    "one-hot": {"vocab_size": I},
    "embedding": {"vocab_size": I, "embedding_size": 3},
    "last": {"input_size": I, "targets": "last"},
    "both": {"input_size": I, "bidirectional": True},
    "ends": {"input_size": I, "bidirectional": True, "targets": "last"},
    "bfloat16": {"input_size": I, "compute": "bfloat16", "dtype": "float32"},
}


@pytest.mark.parametrize("walked", [False, True], ids=["first", "again"])
@pytest.mark.parametrize("how", ["apply", "train_step", "load"])
@pytest.mark.parametrize("inputs", INPUTS)
def test_models_go_back_after_an_update(cell, inputs, how, walked, isa):
    made = {"dtype": "float64", "loss": "mse", **INPUTS[inputs]}
    model, twin = (
        bn.Model(cell=cell, hidden_size=H, output_size=O, num_layers=2, **made) for _ in range(2)
    )
    dtype = made["dtype"]
    tokens = "vocab_size" in made
    x = np.arange(T * N).reshape(T, N) % I if tokens else draw(T, N, I, dtype=dtype)
    lengths = [T, 3, T, 1, 5]
    goal = draw(*(() if "targets" in made else (T,)), N, O, dtype=dtype)
    (y, _, tape), (_, _, other) = (each.forward(x, lengths=lengths) for each in (model, twin))
    dy = draw(*y.shape, seed=2, dtype=dtype)

    def seen(net, of) -> dict:
        last = np.array(lengths) - 1
        seeds = {"samples": np.arange(N), "flow": True}
        chosen = backward_seeds(net, of, last, outputs=np.arange(N) % O, **seeds)
        mixed = backward_seeds(net, of, last, dy=draw(N, O, seed=3, dtype=dtype), **seeds)
        spectrum = lyapunov(net, of, layer=-1)
        return {
            "chosen": (chosen.x, chosen.h, chosen.c),
            "mixed": (mixed.x, mixed.h, mixed.c),
            "jacobian": jacobian(net, of, 2),
            "spectrum": (spectrum.exponents, spectrum.log_singular_values),
            **gradients_of(net, of, dy),
        }

    want = seen(twin, other)
    if walked:
        model.backward(tape, dy)
    if how == "apply":
        model.apply(twin.gradients(x, goal, lengths=lengths)[1])
    elif how == "train_step":
        model.train_step(x, goal, lengths=lengths)
    else:
        change(model)
    assert (model.state_dict()["readout.weight"] != twin.state_dict()["readout.weight"]).any()
    assert_same(seen(model, tape), want)
    assert_same(model.forward(x, lengths=lengths)[0], model(x, lengths=lengths)[0])


def test_a_tape_goes_back_while_another_thread_trains():
    model, twin = (bn.Model(cell="gru", input_size=I, hidden_size=32, output_size=O, loss="mse")
                   for _ in range(2))  # fmt: skip
    x, goal, dy = draw(T, N, I), draw(T, N, O, seed=1), draw(T, N, O, seed=2)
    want = gradients_of(twin, twin.forward(x)[2], dy)
    tape, done = model.forward(x)[2], threading.Event()

    def train() -> None:
        for _ in range(200):
            model.train_step(x, goal)
        done.set()

    thread = threading.Thread(target=train)
    thread.start()
    rounds = 0
    while not done.is_set() or rounds < 20:
        assert_same(gradients_of(model, tape, dy), want)
        rounds += 1
    thread.join()
    assert model.step_count == 200


# ------------------------------------------------------------------------------------------ memory

STATM = Path("/proc/self/statm")
needs_statm = pytest.mark.skipif(not STATM.exists(), reason="this system has no /proc/self/statm")
# Blocks above 32 MiB are returned to the system at once, so the size of the process shows them.
LARGE = """
    import resource
    import numpy as np
    import bptt_native as bn

    MIB, H = 2**20, 3072  # W_hh has 36 MiB
    def size(which=1):
        with open("/proc/self/statm") as file:
            return int(file.read().split()[which]) * resource.getpagesize() / MIB
    bn.set_num_threads(1)
    layer = bn.RNN(1, H)
    x, dy = np.ones((1, 1, 1), np.float32), np.ones((1, 1, H), np.float32)
    def forward():
        return layer.forward(x)[2]
    sgd = bn.SGD(layer, lr=1e-3)
    grads = layer.backward(forward(), dy)
"""


def run(code: str) -> None:
    source = textwrap.dedent(LARGE) + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_statm
def test_tapes_share_what_they_keep_and_release_it():
    run(
        """
    sgd.step(grads)
    layer.backward(forward(), dy, accumulate=grads)
    rest = size()
    tapes = [forward() for _ in range(8)]
    sgd.step(grads)
    shared = size() - rest
    for _ in range(3):
        tapes.append(forward())
        sgd.step(grads)
    layer.backward(forward(), dy, accumulate=grads)
    four = size() - rest
    del tapes[:8]
    three = size() - rest
    tapes.clear()
    none = size() - rest
    print(shared, four, three, none)
    assert shared < 18  # the existing packing is kept, and no other is made
    assert 4 * 36 - 18 < four < 4 * 36 + 18
    assert 3 * 36 - 18 < three < 3 * 36 + 18
    assert none < 18
    """
    )


@needs_statm
def test_a_training_loop_that_still_has_its_tape_needs_no_more_memory():
    run(
        """
    def peak():
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
    for _ in range(2):  # in this order tapes are freed before the update
        tape = forward()
        layer.backward(tape, dy, accumulate=grads)
        del tape
        sgd.step(grads)
    before = peak()
    for _ in range(4):
        tape = forward()
        layer.backward(tape, dy, accumulate=grads)
        sgd.step(grads)
    loop = peak()
    other = forward()  # it keeps the packing that the loop would overwrite
    sgd.step(grads)
    layer.backward(forward(), dy, accumulate=grads)
    print(before, loop, peak())
    assert loop - before < 18
    assert peak() - loop > 18
    """
    )


@needs_statm
def test_without_memory_for_what_tapes_keep_an_update_is_refused():
    run(
        """
    old = forward()
    layer.backward(old, dy, accumulate=grads)
    sgd.step(grads)
    tape = forward()
    before, steps = layer.state_dict(), sgd.state_dict()["steps"]
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (int((size(0) + 16) * MIB), hard))
    refused = False
    try:
        sgd.step(grads)
    except MemoryError:
        refused = True
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert refused
    assert all((layer.state_dict()[name] == p).all() for name, p in before.items())
    assert sgd.state_dict()["steps"] == steps
    right = layer.backward(tape, dy).flat.copy()
    assert sgd.step(grads)
    assert (layer.backward(tape, dy).flat == right).all()
    assert not (layer.backward(old, dy).flat == right).all()
    """
    )
