"""Names that people guess, and the messages that lead from them to the names of the package."""

import inspect
import re

import pytest

import bptt_native as bn
from bptt_native.arguments.names import (
    ADVICE,
    FOREIGN,
    Guided,
    guided,
    missing_attribute,
    nearest,
    suggestion,
)

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


CONSTRUCTORS = [
    (lambda: bn.GRU(3, 4, drop_out=0.1),
     "GRU: unexpected argument 'drop_out'; did you mean 'dropout'?"),
    (lambda: bn.RNN(3, 4, activation="relu"),
     "RNN: unexpected argument 'activation'; did you mean 'nonlinearity'?"),
    (lambda: bn.LSTM(3, 4, recurrent_activation="sigmoid"),
     "LSTM: unexpected argument 'recurrent_activation'; the gates are sigmoid functions"),
    (lambda: bn.MinGRU(3, 4, foo=1),
     "MinGRU: unexpected argument 'foo'; the arguments are input_size, hidden_size, num_layers, "
     "bias, batch_first, dtype, compute, seed, init, bidirectional, dropout, variational, zoneout"),
    (lambda: bn.Model("lstm", input_size=3, units=4, output_size=2),
     "Model: unexpected argument 'units'; did you mean 'hidden_size'?"),
    (lambda: bn.Model("lstm", input_size=3, hidden_size=4, output_size=2, learning_rate=1),
     "Model: unexpected argument 'learning_rate'; did you mean 'lr'?"),
    (lambda: bn.Model("lstm", input_size=3, hidden_size=4, output_size=2, xyzzy=1),
     "Model: unexpected argument 'xyzzy'"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "text"), CONSTRUCTORS)
def test_constructors(call: object, text: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        call()  # type: ignore[operator]


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

    net = Net()
    with pytest.raises(AttributeError) as caught:
        _ = net.learning_rate  # type: ignore[attr-defined]
    text = "'Net' object has no attribute 'learning_rate'; did you mean 'lr'?"
    assert (str(caught.value), caught.value.name) == (text, "learning_rate")
    with pytest.raises(AttributeError, match="_lr"):  # the error inside the property
        _ = net.lr
    assert not hasattr(net, "_repr_html_")
    text = "module 'bptt_native' has no attribute 'Lstm'; did you mean 'LSTM'?"
    assert str(missing_attribute(bn, "Lstm", bn.__all__)) == text
