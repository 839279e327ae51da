"""Names that people guess, and the messages that lead from them to the names of the package."""

import inspect
import pickle
import pydoc
from collections.abc import Callable

import numpy as np
import pytest

import bptt_native as bn
from bptt_native.arguments.foreign import Guided
from bptt_native.arguments.names import (
    ADVICE,
    FOREIGN,
    guided,
    missing_attribute,
    nearest,
    suggestion,
)
from helpers.program import python

MODEL = list(inspect.signature(bn.Model).parameters)
GRU = list(inspect.signature(bn.GRU).parameters)

# The name that was typed, the names in its place, and the one that is suggested.
GUESSES = [
    ("learning_rate", MODEL, "lr"),
    ("lerning_rate", MODEL, "lr"),
    ("learningRate", MODEL, "lr"),
    ("clip_nrom", MODEL, "clip_norm"),
    ("grad_clip", MODEL, "clip_norm"),
    ("clipnorm", MODEL, "clip_norm"),
    ("max_norm", MODEL, "clip_norm"),
    ("l2", MODEL, "weight_decay"),
    ("l1", MODEL, "weight_l1"),
    ("kernel_regularizer", MODEL, "weight_l2"),
    ("decay", MODEL, "weight_decay"),
    ("criterion", MODEL, "loss"),
    ("optimiser", MODEL, "optimizer"),
    ("solver", MODEL, "optimizer"),
    ("embedding_dim", MODEL, "embedding_size"),
    ("n_classes", MODEL, "output_size"),
    ("return_sequences", MODEL, "targets"),
    ("beta_1", MODEL, "betas"),
    ("tau", MODEL, "alpha"),
    ("units", GRU, "hidden_size"),
    ("n_hidden", GRU, "hidden_size"),
    ("hiden_size", GRU, "hidden_size"),
    ("n_layers", GRU, "num_layers"),
    ("numLayers", GRU, "num_layers"),
    ("drop_out", GRU, "dropout"),
    ("use_bias", GRU, "bias"),
    ("random_state", GRU, "seed"),
    ("linear_before_reset", GRU, "reset_after"),
    ("bidir", GRU, "bidirectional"),
    ("max_norm", GRU, None),  # another library's name for something that a layer does not have
    ("criterion", GRU, None),
    ("foo", GRU, None),
    ("start", ["starts", "count"], "starts"),
    ("_", GRU, None),
    ("weight_hh", ["weight_ih_l0", "weight_hh_l0"], "weight_hh_l0"),
    ("weight_hh_l0", ["rnn.weight_ih_l0", "rnn.weight_hh_l0"], "rnn.weight_hh_l0"),
    ("recurrent_kernel", ["weight_ih_l0", "weight_hh_l0"], "weight_hh_l0"),
    ("fc.weight", ["rnn.weight_ih_l0", "readout.weight"], "readout.weight"),
]


@pytest.mark.parametrize(("typed", "known", "meant"), GUESSES)
def test_nearest(typed: str, known: list[str], meant: str | None) -> None:
    assert nearest(typed, known) == meant


def test_the_table_is_tidy() -> None:
    for own, foreign in FOREIGN.items():
        others = foreign.split()
        assert others, own
        assert len(set(others)) == len(others), own
        assert own not in others
    assert all(text and not text.endswith(".") for text in ADVICE.values())


def test_own_names_come_before_foreign_ones() -> None:
    for own, foreign in FOREIGN.items():
        for other in foreign.split():
            assert nearest(other, [own, other]) == other


def test_advice_where_no_name_fits() -> None:
    assert suggestion("recurrent_activation", GRU) == "; the gates are sigmoid functions"
    assert suggestion("qqq", GRU) == ""


LAYER = bn.GRU(3, 4)
NET = bn.Model("gru", input_size=3, hidden_size=4, output_size=2)
STREAM = NET.stream()
X, Y = np.zeros((2, 1, 3), np.float32), np.zeros((2, 1), int)
TAPE = LAYER.forward(X)[2]
GRADIENTS = LAYER.backward(TAPE, None)

# Calls, the class of the error and its text.
CALLS = [
    # constructors
    (lambda: bn.GRU(3, 4, drop_out=0.1),
     "GRU: unexpected argument 'drop_out'; did you mean 'dropout'?"),
    (lambda: bn.RNN(3, 4, activation="relu"),
     "RNN: unexpected argument 'activation'; did you mean 'nonlinearity'?"),
    (lambda: bn.LSTM(3, 4, recurrent_activation="sigmoid"),
     "LSTM: unexpected argument 'recurrent_activation'; the gates are sigmoid functions"),
    (lambda: bn.Model("lstm", input_size=3, units=4, output_size=2),
     "Model: unexpected argument 'units'; did you mean 'hidden_size'?"),
    (lambda: bn.Model("lstm", input_size=3, hidden_size=4, output_size=2, learning_rate=1),
     "Model: unexpected argument 'learning_rate'; did you mean 'lr'?"),
    (lambda: bn.Model("lstm", input_size=3, hidden_size=4, output_size=2, xyzzy=1),
     "Model: unexpected argument 'xyzzy'"),
    (lambda: bn.MinGRU(3, 4, recurrent_dropout=0.1),
     "MinGRU: unexpected argument 'recurrent_dropout'; only the cells rnn, lstm, gru can have it"),
    (lambda: bn.GRU(3, 4, peephole=True),
     "GRU: unexpected argument 'peephole'; only the cell lstm can have it"),
    (lambda: bn.GRU(3, 4, lr=0.1), "GRU: unexpected argument 'lr'; it is an option of Model"),
    (lambda: bn.SGD(LAYER, learning_rate=1),
     "SGD: unexpected argument 'learning_rate'; did you mean 'lr'?"),
    (lambda: bn.Adam(LAYER, beta_1=1), "Adam: unexpected argument 'beta_1'; did you mean 'betas'?"),
    (lambda: bn.Init("chrono", timescale=3),
     "Init: unexpected argument 'timescale'; did you mean 'time_scale'?"),
    (lambda: bn.EarlyStopping(paitence=2),
     "EarlyStopping: unexpected argument 'paitence'; did you mean 'patience'?"),
    (lambda: NET.with_options(units=3),
     "Model: unexpected argument 'units'; did you mean 'hidden_size'?"),
    # methods
    (lambda: LAYER(X, hidden=0),
     "GRU.__call__: unexpected argument 'hidden'; did you mean 'state'?"),
    (lambda: LAYER(input=X), "GRU.__call__: unexpected argument 'input'; did you mean 'x'?"),
    (lambda: LAYER(X, mask=0), "GRU.__call__: unexpected argument 'mask'; did you mean 'lengths'?"),
    (lambda: LAYER.forward(X, hx=0),
     "GRU.forward: unexpected argument 'hx'; did you mean 'state'?"),
    (lambda: LAYER.backward(TAPE, None, grad_clip=2),
     "GRU.backward: unexpected argument 'grad_clip'; did you mean 'clip_step_norm'?"),
    (lambda: LAYER.backward(TAPE, grad_output=0),
     "GRU.backward: unexpected argument 'grad_output'; did you mean 'dy'?"),
    (lambda: NET.train_step(x=X, y=Y),
     "Model.train_step: unexpected argument 'y'; did you mean 'targets'?"),
    (lambda: NET.train_step(X, Y, sample_weight=1),
     "Model.train_step: unexpected argument 'sample_weight'; did you mean 'weights'?"),
    (lambda: NET.eval_step(X, Y, return_output=True),
     "Model.eval_step: unexpected argument 'return_output'; did you mean 'return_outputs'?"),
    (lambda: NET.fit(X, Y, n_epochs=3),
     "Model.fit: unexpected argument 'n_epochs'; did you mean 'epochs'?"),
    (lambda: NET.fit(X=X, y=Y), "Model.fit: unexpected argument 'X'; did you mean 'x'?"),
    (lambda: bn.fit(NET, X, Y, validation_data=(X, Y)),
     "Model.fit: unexpected argument 'validation_data'; did you mean 'validation'?"),
    (lambda: NET.optimizer.step(gradients=0),
     "Adam.step: unexpected argument 'gradients'; did you mean 'grads'?"),
    (lambda: NET.optimizer.set_group("rnn.*", lr=3),
     "Adam.set_group: unexpected argument 'lr'; did you mean 'lr_scale'?"),
    (lambda: STREAM.step(input=3),
     "Stream.step: expected arguments (x, out=None), got 'input'"),
    (lambda: STREAM.step(), "Stream.step: expected arguments (x, out=None), got no 'x'"),
    (lambda: STREAM.step(1, 2, 3),
     "Stream.step: expected arguments (x, out=None), got 3 arguments"),
    (lambda: STREAM.step(1, x=2), "Stream.step: expected arguments (x, out=None), got 'x' twice"),
    # missing arguments
    (lambda: LAYER(),
     "GRU.__call__: argument 'x': expected a float32 array of shape [T, N, 3] or [T, 3], or "
     "integers"
     " of shape [T, N] or [T], tokens from 0 to 2, with at least one step and one sequence, got "
     "nothing"),
    (lambda: LAYER.backward(),
     "GRU.backward: argument 'tape': expected a tape of forward, got nothing"),
    (lambda: NET.train_step(X),
     "Model.train_step: argument 'targets': expected integers of shape [2, 1], classes from 0 to "
     "1, "
     "got nothing"),
    (lambda: NET.optimizer.step(),
     "Adam.step: argument 'grads': expected Gradients of a backward pass, got nothing"),
    # functions
    (lambda: bn.load(filename="m"), "load: unexpected argument 'filename'; did you mean 'path'?"),
    (lambda: bn.clip_grad_norm_(GRADIENTS, threshold=1),
     "clip_grad_norm_: unexpected argument 'threshold'; did you mean 'max_norm'?"),
    (lambda: bn.set_num_threads(threads=1),
     "set_num_threads: unexpected argument 'threads'; the arguments are n"),
    (lambda: bn.tasks.adding(3, 4, random_state=1),
     "adding: unexpected argument 'random_state'; did you mean 'rng'?"),
    (lambda: bn.diagnostics.lyapunov(LAYER, X, warm_up=2),
     "lyapunov: unexpected argument 'warm_up'; did you mean 'discard'?"),
    # names of parameters
    (lambda: LAYER.freeze("weight_hh"),
     "GRU.freeze: argument 'names': expected one of weight_ih_l0, weight_hh_l0, bias_ih_l0, "
     "bias_hh_l0, got 'weight_hh' (did you mean 'weight_hh_l0'?)"),
    (lambda: LAYER.parameters["weight_hh"],
     "no parameter 'weight_hh'; did you mean 'weight_hh_l0'?"),
    (lambda: GRADIENTS["recurrent_kernel"],
     "no parameter 'recurrent_kernel'; did you mean 'weight_hh_l0'?"),
    (lambda: GRADIENTS["qqq"],
     "no parameter 'qqq'; the names are weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0"),
    (lambda: LAYER.load_state_dict({**LAYER.state_dict(), "weight_h": 1}),
     "GRU.load_state_dict: argument 'state_dict': expected exactly the names weight_ih_l0, "
     "weight_hh_l0, bias_ih_l0, bias_hh_l0, got the unknown 'weight_h'"),
    # attributes
    (lambda: NET.learning_rate,
     "'Model' object has no attribute 'learning_rate'; did you mean 'lr'?"),
    (lambda: NET.predict_proba,
     "'Model' object has no attribute 'predict_proba'; did you mean 'predict'?"),
    (lambda: NET.optimizer.learning_rate,
     "'Adam' object has no attribute 'learning_rate'; did you mean 'lr'?"),
    (lambda: LAYER.weights, "'GRU' object has no attribute 'weights'; did you mean 'parameters'?"),
    (lambda: LAYER.zero_grad,
     "'GRU' object has no attribute 'zero_grad'; every backward pass returns new gradients"),
    (lambda: bn.Lstm, "module 'bptt_native' has no attribute 'Lstm'; did you mean 'LSTM'?"),
    (lambda: bn.Sequential,
     "module 'bptt_native' has no attribute 'Sequential'; did you mean 'Model'?"),
    # values
    (lambda: bn.RNN(3, 4, nonlinearity="swish"),
     "RNN: argument 'nonlinearity': expected one of 'tanh', 'relu', 'sigmoid', 'identity', "
     "'softplus', 'elu', 'hard_sigmoid', 'softsign', 'leaky_relu', 'silu', got 'swish' (did you "
     "mean 'silu'?)"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "text"), CALLS, ids=[text for _, text in CALLS])
def test_messages(call: Callable[[], object], text: str) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError, KeyError)) as caught:
        call()
    assert caught.value.args[0] == text


def test_functions() -> None:
    @guided
    def scale(x: float, *, lr: float = 1.0) -> float:
        """Return a product."""
        return x * lr if x else len(lr)  # type: ignore[arg-type]

    assert scale(2.0, lr=3.0) == 6.0
    assert list(inspect.signature(scale).parameters) == ["x", "lr"]
    with pytest.raises(TypeError, match="scale: unexpected argument 'learning_rate'; did you mean"):
        scale(2.0, learning_rate=3.0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        scale(lr=3.0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="has no len"):  # an error within the function
        scale(0.0, lr=3.0)


def test_methods() -> None:
    class Base:
        @guided
        def __init__(self, lr: float = 1.0) -> None:
            self.lr = lr

        @guided
        def step(self, x: float) -> float:
            return x * self.lr

    class Net(Base):
        pass

    assert Net(lr=2.0).step(x=3.0) == 6.0
    with pytest.raises(TypeError, match=r"^Net: unexpected argument 'rate'; did you mean 'lr'"):
        Net(rate=1.0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^Net\.step: unexpected argument 'input'; did"):
        Net().step(input=1.0)  # type: ignore[call-arg]


def test_attributes() -> None:
    class Net(Guided):
        __slots__ = ("_lr",)

        @property
        def lr(self) -> float:
            return self._lr  # type: ignore[attr-defined]

    net, text = Net(), "'Net' object has no attribute 'learning_rate'; did you mean 'lr'?"
    for call in (
        lambda: net.learning_rate,  # type: ignore[attr-defined]
        lambda: setattr(net, "learning_rate", 1.0),
        lambda: delattr(net, "learning_rate"),
    ):
        with pytest.raises(AttributeError) as caught:
            call()
        assert (str(caught.value), caught.value.name) == (text, "learning_rate")
    with pytest.raises(AttributeError, match="_lr"):  # the error inside the property
        _ = net.lr
    with pytest.raises(AttributeError, match=r"^type object 'Net' has no attribute 'l"):
        _ = Net.learning_rate  # type: ignore[attr-defined]
    assert [n for n in dir(net) if not n.startswith("_")] == ["lr"]
    assert [n for n in dir(Net) if not n.startswith("_")] == ["lr"]
    text = "module 'bptt_native' has no attribute 'Lstm'; did you mean 'LSTM'?"
    assert str(missing_attribute(bn, "Lstm", bn.__all__)) == text


def test_subclasses_may_have_the_names_of_other_libraries() -> None:
    class Net(bn.GRU):
        def score(self) -> int:
            return 3

    net = Net(3, 4)
    net.device = "cpu"  # type: ignore[attr-defined]
    assert (net.device, net.score()) == ("cpu", 3)  # type: ignore[attr-defined]
    assert {"device", "score", "hidden_size"} <= set(dir(net))
    assert "units" not in dir(net)
    del net.device  # type: ignore[attr-defined]
    assert not hasattr(net, "device")


def test_python_suggests_misspelt_attributes() -> None:
    ran = python("import bptt_native as bn; bn.GRU(2, 3).num_layer")
    assert "'GRU' object has no attribute 'num_layer'. Did you mean: 'num_layers'?" in ran.stderr
    assert "rnn_units" not in pydoc.render_doc(bn.GRU)


@pytest.mark.parametrize("name", ["dropout", "variational"])
def test_options_between_layers_need_two_of_them(name: str) -> None:
    value = {"dropout": 0.5, "variational": True}[name]
    text = f"argument '{name}': {value} has no effect with num_layers=1: it acts between layers"
    for make in (lambda **o: bn.GRU(3, 4, **o), lambda **o: NET.with_options(**o)):
        with pytest.warns(UserWarning, match=f"^(GRU|Model): {text}$") as caught:
            one = make(**{name: value})
        assert [warning.filename for warning in caught] == [__file__]
        make(num_layers=2, **{"dropout": 0.5, name: value})  # warnings are errors
        pickle.loads(pickle.dumps(one))
