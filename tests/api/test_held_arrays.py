"""Arrays of a running call: other threads can neither resize them nor change what was checked."""

import textwrap

from helpers.paths import TESTS
from helpers.program import python

# A second thread acts while the engine runs without the GIL: nothing else in a call gives the GIL
# up (draw=0 spares it the question which draw is next), so what that thread has done when the call
# returns, it has done during the call.
SETUP = """
import sys, threading
import numpy as np, bptt_native as bn
from bptt_native.diagnostics import backward_seeds

sys.path.append(sys.argv[1])
from helpers.arrays import assert_same

sys.setswitchinterval(1e6)
T, N, I, H, O, V = 60, 8, 16, 64, 5, 9

def during(call, act):
    ready, acted = threading.Event(), []
    def other():
        ready.wait()
        acted.append(act())
    thread = threading.Thread(target=other)
    thread.start()
    ready.set()
    for _ in range(10_000):
        result = call()
        if acted:
            break
    thread.join()
    assert acted, "the other thread never ran during a call"
    return acted[0], result

def try_resize(array):
    try:
        array.resize(0, refcheck=False)
    except ValueError:
        return "refused"
    return "resized"

def draw(*shape, dtype="f4"):
    return np.random.Generator(np.random.Philox(0)).standard_normal(shape).astype(dtype)

def view(array):  # of an array that owns its memory, as every batch of a larger array is
    return np.asarray(memoryview(array[:]))

lstm = bn.LSTM(I, H, 2)
tape = lstm.forward(draw(T, N, I))[2]
model = bn.Model(cell="gru", vocab_size=V, hidden_size=H, output_size=V)
mse = bn.Model(cell="lstm", input_size=I, hidden_size=H, output_size=O, loss="mse")
mse_tape = mse.forward(draw(T, N, I))[2]
adam = bn.Adam(lstm)
grads = lstm.backward(tape, draw(T, N, H))
"""


def run(code: str) -> str:
    done = python(textwrap.dedent(SETUP) + textwrap.dedent(code), str(TESTS))
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_no_other_thread_resizes_an_array_of_a_running_call() -> None:
    """Of every call that releases the GIL, every argument: refused, and the result is right."""
    seen = run(
        """
        x, h, c, dy = draw(T, N, I), draw(2, N, H), draw(2, N, H), draw(T, N, H)
        tokens = np.arange(T * N).reshape(T, N) % V
        goals, values, weights = tokens[::-1].copy(), draw(T, N, O), np.ones((T, N), "f4")
        gh, mh, mc, dout = draw(1, N, H), draw(1, N, H), draw(1, N, H), draw(T, N, O)
        P, M, Q = lstm.num_parameters, model.num_parameters, mse.num_parameters

        def gradients_of(net, array):
            return bn.Gradients(array, net._layout)

        def clipped(function):
            return lambda g: (function(gradients_of(lstm, g), 1e9), g)[0]

        cases = {
            "call x": (x, lambda a: lstm(a)),
            "call h": (h, lambda a: lstm(x, (a, c))),
            "call c": (c, lambda a: lstm(x, (h, a))),
            "forward x": (x, lambda a: lstm.forward(a)[0]),
            "forward x, a view": (x, lambda a: lstm.forward(view(a))[0]),
            "forward x, a view of a view": (x, lambda a: lstm.forward(view(a)[:, 1:])[0]),
            "forward tokens": (tokens, lambda a: model.forward(a, draw=0)[0]),
            "backward dy": (dy, lambda a: lstm.backward(tape, a).flat),
            "backward dh": (h, lambda a: lstm.backward(tape, dy, (a, c)).flat),
            "backward dc": (c, lambda a: lstm.backward(tape, dy, (h, a)).flat),
            "model call": (x, lambda a: mse(a)),
            "model state": (gh, lambda a: model(tokens, a)),
            "model backward": (dout, lambda a: mse.backward(mse_tape, a).flat),
            "evaluate x": (tokens, lambda a: model.eval_step(a, goals)),
            "evaluate targets": (goals, lambda a: model.eval_step(tokens, a)),
            "evaluate values": (values, lambda a: mse.eval_step(x, a)),
            "evaluate weights": (weights, lambda a: mse.eval_step(x, values, weights=a)),
            "gradients x": (x, lambda a: mse.gradients(a, values, draw=0)[1].flat),
            "gradients targets": (values, lambda a: mse.gradients(x, a, draw=0)[1].flat),
            "gradients classes": (goals, lambda a: model.gradients(tokens, a, draw=0)[1].flat),
            "gradients weights": (weights,
                lambda a: mse.gradients(x, values, weights=a, draw=0)[1].flat),
            "gradients h": (mh, lambda a: mse.gradients(x, values, (a, mc), draw=0)[1].flat),
            "gradients c": (mc, lambda a: mse.gradients(x, values, (mh, a), draw=0)[1].flat),
            "set parameters": (draw(P), lambda a: lstm._params.set(a)),
            "optimizer step": (np.zeros(P, "f4"), lambda a: adam.step(gradients_of(lstm, a))),
            "moment": (np.ones(P, "f4"), lambda a: adam._native.set_moment(0, a)),
            "norm": (draw(P), lambda a: gradients_of(lstm, a).norm()),
            "clip norm": (draw(P), clipped(bn.clip_grad_norm_)),
            "clip value": (draw(P), clipped(bn.clip_grad_value_)),
            "clip tensors": (draw(P), clipped(bn.clip_grad_tensor_norm_)),
            "tensor": (draw(P), lambda a: mse._native.set_tensor("k", a)),
        }
        changing = {  # what a call changes: there is nothing to compare with
            "train_step x": (x, lambda a: mse.train_step(a, values)),
            "train_step targets": (goals, lambda a: model.train_step(tokens, a)),
            "train_step weights": (weights, lambda a: mse.train_step(x, values, weights=a)),
            "apply": (draw(Q), lambda a: mse.apply(gradients_of(mse, a))),
            "accumulate": (np.zeros(P, "f4"),
                lambda a: lstm.backward(tape, dy, accumulate=gradients_of(lstm, a))),
            "model accumulate": (np.zeros(Q, "f4"),
                lambda a: mse.gradients(x, values, draw=0, accumulate=gradients_of(mse, a))),
        }
        for name, (array, call) in (cases | changing).items():
            right = call(array.copy()) if name in cases else None
            array = array.copy()
            was, result = during(lambda: call(array), lambda: try_resize(array))
            if name in cases:
                assert_same(result, right, name)
            print(name, was, sep=": ")
            tape = lstm.forward(x)[2]
            mse_tape = mse.forward(x)[2]
        at = np.arange(T - 40, T)
        for name in ("times", "samples", "outputs"):
            given = {"times": at.copy(), "samples": at % N, "outputs": at % O}
            call = lambda: backward_seeds(mse, mse_tape, **given)
            print(name, during(call, lambda: try_resize(given[name]))[0], sep=": ")
        free = np.zeros(3)
        print("free", try_resize(free), len(free), sep=": ")
        """
    )
    *lines, free = seen.splitlines()
    assert len(lines) == 40
    assert [line for line in lines if not line.endswith(": refused")] == []
    assert free == "free: resized: 0"  # held during the call only


def test_an_array_changed_during_a_call_does_not_mislead_it() -> None:
    """A call computes with the values that it has checked, and its tape returns them."""
    seen = run(
        """
        tokens = np.arange(T * N).reshape(T, N) % V
        good = {
            "lengths": np.arange(N) + T - N + 1,
            "resets": (np.arange(T * N) % 7 == 0).reshape(T, N),
            "bytes": (np.arange(T * N) % 7 == 0).reshape(T, N).astype(np.uint8),
            "tokens": tokens, "targets": tokens[::-1].copy(),
        }
        def forward(a):
            resets = a["bytes"] if name == "bytes" else a["resets"]
            y, _, tape = model.forward(a["tokens"], lengths=a["lengths"], resets=resets, draw=0)
            return y, np.array(tape.lengths)
        def gradients(a):
            result, flat = model.gradients(a["tokens"], a["targets"], lengths=a["lengths"], draw=0)
            return np.array(result.loss), flat.flat
        for name in good:
            call = gradients if name == "targets" else forward
            right = call(good)
            for act in ("fill", "resize"):
                given = {key: value.copy() for key, value in good.items()}
                def change():
                    if act == "resize":
                        return try_resize(given[name])
                    given[name][...] = 1
                # The call counts in which it changes, or which begins just after: then its values
                # are the new ones.
                _, result = during(lambda: call(given), change)
                wants = [right] if act == "resize" else [right, call(given)]
                print(any(
                    all(np.array_equal(a, b) for a, b in zip(result, want)) for want in wants
                ))
        """
    )
    assert seen.split() == ["True"] * 10


def test_no_other_thread_resizes_an_array_that_python_checks_and_converts() -> None:
    """At each line of the package that runs, a resize is tried: once refused, it is to the end."""
    seen = run(
        """
        import gc, os
        from bptt_native import diagnostics
        from bptt_native import evaluate, fit, predict

        PACKAGE = os.path.dirname(bn.__file__)

        def watched(array, call):
            tries = []
            def line(frame, event, _):
                if event == "line":
                    size = array.size
                    try:
                        array.resize(size + 1, refcheck=False)
                    except ValueError:
                        tries.append("refused")
                    else:
                        array.resize(shape, refcheck=False)
                        tries.append("resized")
                return line
            shape = array.shape
            sys.settrace(lambda frame, *_:
                line if frame.f_code.co_filename.startswith(PACKAGE) else None)
            try:
                call(array)
            finally:
                sys.settrace(None)
            gc.collect()  # a trainer refers to itself
            array.resize(0, refcheck=False)  # held no longer than that
            return tries

        class Foreign:
            def __init__(self, array):
                self.array = array
            def __array__(self, dtype=None, copy=None):
                return self.array

        layer = bn.RNN(3, 4)
        out, _, layer_tape = layer.forward(draw(6, 2, 3))
        loaded = bn.RNN(3, 4)
        own, sgd = loaded.state_dict(), bn.SGD(loaded, momentum=0.5)
        P = loaded.num_parameters
        state = sgd.state_dict()
        last = bn.Model("rnn", input_size=3, hidden_size=4, output_size=1, loss="mse",
                        targets="last")
        x, y = draw(5, 6, 3), draw(6, 1)

        def load(array):
            loaded.load_state_dict(own | {"weight_hh_l0": array})

        def go_on(array):
            sgd.load_state_dict(state | {"momentum_buffer": array})

        def weigh(array):
            bn.Model("rnn", input_size=1, hidden_size=2, output_size=4, class_weights=array)

        def attach(array):
            last.tensors["a"] = array

        whole = {  # from the first check to the end
            "load": (np.zeros((4, 4), "f4"), load),
            "load, converted": (np.zeros((4, 4), "f2"), load),
            "load, foreign": (np.zeros((4, 4), "f4"), lambda a: load(Foreign(a))),
            "moments": (np.zeros(P, "f4"), go_on),
            "moments, converted": (np.zeros(P, "f2"), go_on),
            "fit x": (x.copy(), lambda a: fit(last, a, y, epochs=2)),
            "fit x, converted": (x.astype("f2"), lambda a: fit(last, a, y, epochs=1)),
            "fit targets": (y.copy(), lambda a: fit(last, x, a, epochs=1)),
            "fit, a list": (x[:, 0].copy(), lambda a: fit(last, [x[:, 1], a], y[:2], epochs=1)),
            "validation": (x.copy(), lambda a: fit(last, x, y, validation=(a, y), epochs=1)),
            "evaluate": (y.copy(), lambda a: evaluate(last, x, a)),
            "tensors": (np.zeros(9, "f4"), attach),
            "tensors, converted": (np.zeros(9, "f2"), attach),
            "omega_ratios": (draw(6, 2, 4), lambda a: diagnostics.omega_ratios(
                layer, draw(6, 2, 3), dout=a)),
            "backward_seeds": (draw(2, 4), lambda a: backward_seeds(
                layer, layer_tape, [0, 1], dy=a)),
            "times": (np.arange(3), lambda a: backward_seeds(
                layer, layer_tape, a, outputs=[0, 1, 2])),
            "start": (np.eye(4, dtype="f4"), lambda a: diagnostics.lyapunov(
                layer, layer_tape, start=a)),
            "gain_bounds": (np.ones(4), lambda a: diagnostics.gain_bounds(
                layer, layer_tape, a)),
            "connectivity": (np.zeros(6, int), lambda a: diagnostics.connectivity(
                layer, draw(6, 2, 3), outputs=a)),
        }
        copied = {  # until they are copied
            "predict": (x.copy(), lambda a: predict(last, a)),
            "class weights": (np.ones(4), weigh),
            "class weights, converted": (np.ones(4, "f4"), weigh),
            "a list": (draw(2, 3), lambda a: layer.forward([a, a])),
            "a list of lists": (draw(3), lambda a: layer.forward([[a], [a]])),
            "tensors, a list": (np.zeros(9, "f4"), lambda a: attach([a, a])),
            "a foreign array": (draw(3, 2, 3), lambda a: layer.forward(Foreign(a))),
            "gradient_flow": (draw(2, 4), lambda a: diagnostics.gradient_flow(
                layer, x[:, :2], target=a)),
            "state": (np.zeros((1, 2, 4), "f2"), lambda a: layer.forward(draw(3, 2, 3), a)),
        }
        for name, (array, call) in (whole | copied).items():
            tries = watched(array, call)
            held = "refused" in tries
            if name in whole:
                held = held and "resized" not in tries[tries.index("refused"):]
            print(name, "held" if held else "free", sep=": ")
        """
    )
    lines = seen.splitlines()
    assert len(lines) == 28
    assert [line for line in lines if not line.endswith(": held")] == []
