"""Defaults of the optimisers: a model has those of the class and of the engine's table; AdamW."""

import inspect
from dataclasses import asdict

import pytest

import bptt_native as bn
from bptt_native.apps.classify import ClassifyOptions
from bptt_native.options.algorithms import own_defaults

SIZES = {"input_size": 1, "hidden_size": 2, "output_size": 1}
CLASSES = {
    "sgd": bn.SGD, "adagrad": bn.Adagrad, "adam": bn.Adam, "adamw": bn.AdamW, "rmsprop": bn.RMSprop,
    "lion": bn.Lion,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "form"), [*((n, "torch") for n in CLASSES), ("rmsprop", "graves")]
)
def test_a_model_has_the_defaults_of_the_class(name, form):
    """Also None of an option is the default of the class, and the words of a model are its own."""
    alone = CLASSES[name](bn.RNN(1, 2), **({"form": form} if name == "rmsprop" else {}))
    none = dict.fromkeys(("lr", "momentum", "weight_decay"))
    for given in ({}, none):
        model = bn.Model(**SIZES, optimizer=name, rmsprop_form=form, **given)
        own = model.optimizer
        assert (own.lr, own._config) == (alone.lr, alone._config)
        assert model.config["optimizer"] == ("adam" if name == "adamw" else name)
        assert ("weight_decay=0.01" in repr(model)) == (name == "adamw")
        assert "lr=" not in repr(model)
        assert repr(bn.Model(**model.config)) == repr(model)
    assert bn.Model(**SIZES, optimizer=name, rmsprop_form=form, lr=0.5).lr == 0.5
    numbers = {"lr": alone.lr, "weight_decay": 0.01 if name == "adamw" else 0.0}
    signature = inspect.signature(CLASSES[name]).parameters
    own = own_defaults(name, form)
    for option, value in ({**own, **numbers}).items():
        stated = signature[option].default if option in signature else None
        if stated is not None and not isinstance(stated, tuple):
            assert stated == value, option
    if "betas" in signature:
        assert signature["betas"].default == (0.9, own["beta2"])


@pytest.mark.parametrize("other", CLASSES)
@pytest.mark.parametrize("name", CLASSES)
def test_with_another_optimiser_a_model_has_its_defaults(name, other):
    """What was given stays; "adamw" is "adam" with a decay, so its decay counts as given."""
    model = bn.Model(**SIZES, optimizer=name, seed=5, clip_norm=2.0)
    given = {"weight_decay": 0.01} if name == "adamw" else {}
    fresh = bn.Model(**SIZES, optimizer=other, seed=5, clip_norm=2.0, **given)
    assert model.with_options(optimizer=other).config == fresh.config
    kept = bn.Model(**SIZES, optimizer=name, lr=0.5).with_options(optimizer=other)
    assert kept.lr == 0.5
    assert model.with_options(seed=5).config == model.config


def test_the_other_form_of_rmsprop_has_its_defaults():
    forms = [bn.Model(**SIZES, optimizer="rmsprop", rmsprop_form=f) for f in ("torch", "graves")]
    for one, other in (forms, forms[::-1]):
        assert one.with_options(rmsprop_form=other.config["rmsprop_form"]).config == other.config


def test_a_run_of_the_command_line_has_them_too():
    run = ClassifyOptions(sequence="s", label="l", optimizer="adamw")
    assert run.model(input_size=2, output_size=3).weight_decay == 0.01
    run = ClassifyOptions.read({**asdict(run), "optimizer": "sgd", "weight_decay": 0.5})
    assert run.model(input_size=2, output_size=3).weight_decay == 0.5


def test_adamw_is_adam_with_a_decay():
    model = bn.Model(**SIZES, optimizer="adamw", weight_decay=0.125)
    assert (type(model.optimizer), model.weight_decay) == (bn.Adam, 0.125)
    again = bn.Model(**{**SIZES, "optimizer": "adam", "weight_decay": 0.01})
    assert bn.Model(**SIZES, optimizer="adamw").config == again.config
    state = bn.AdamW(bn.RNN(1, 2)).state_dict()
    bn.Adam(bn.RNN(1, 2)).load_state_dict(state)
    with pytest.raises(ValueError, match="did you mean 'adamw'"):
        bn.Model(**SIZES, optimizer="AdamW")
