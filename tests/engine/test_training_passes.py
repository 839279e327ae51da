"""Random passes without a tape: the same bits as with one, or the noise alone."""

import subprocess
import sys

import numpy as np
import pytest

import bptt_native as bn
from bptt_native import evaluate, predict, reference
from helpers.arrays import assert_same, draw, generator
from helpers.cells import LAYERS
from helpers.nets import TOLERANCE, cast, error_of, option_net, reference_forward
from helpers.option_settings import ALONE, COMPATIBLE, RANDOM, SETTINGS, merged
from helpers.streams import INPUTS, make, sequence

DRAWN = {"dropout": 0.3, "recurrent_dropout": 0.2, "zoneout": 0.1}


def net_of(names, **sizes):
    """Return a net with these settings whose numbers do not matter."""
    return option_net(generator(len(names)), merged(*names), small=True, **sizes)


@pytest.mark.parametrize("names", [p for p in COMPATIBLE if RANDOM & {*p}], ids=" and ".join)
@pytest.mark.parametrize("divided", [False, True], ids=["one block", "blocks"])
def test_a_pass_that_draws_has_the_bits_of_one_with_a_tape(names, divided, isa, dtype):
    net = net_of(names, divided=divided)
    layer, x, state = net.layer(dtype), cast(net.x, dtype), cast(net.state, dtype)
    with_tape = layer.forward(x, state, **net.passage())[:2]
    assert_same(layer(x, state, training=True, **net.passage()), with_tape)
    passage = {**net.passage(), "draw": None}
    assert layer(x, state, **passage)[0].tobytes() != with_tape[0].tobytes()


@pytest.mark.parametrize(("name", "cell"), [s for s in ALONE if s[0] in RANDOM])
@pytest.mark.parametrize("both", [{}, SETTINGS["bidirectional"]], ids=["one", "both"])
def test_a_pass_that_draws_is_the_references(name, cell, both, dtype):
    net = option_net(generator(7), {**merged(name, "lengths"), **both, "cell": cell})
    got, _ = net.layer(dtype)(
        cast(net.x, dtype), cast(net.state, dtype), training=True, **net.passage()
    )
    want, _, _ = reference_forward(net)
    assert error_of(got, want, 1.0) <= TOLERANCE[dtype]


NOISE = [("noise",), ("noise", "alpha"), ("noise", "dale"), ("noise", "bidirectional"),
         ("noise", "dropout"), ("noise", "recurrent_dropout"), ("noise", "zoneout"),
         ("noise", "lengths", "resets"), ("noise", "tokens", "layer_norm")]  # fmt: skip


@pytest.mark.parametrize("names", NOISE, ids=" and ".join)
def test_the_noise_alone_is_the_references(names, isa, dtype):
    """Outside training, noise is drawn on request, and masks are not."""
    net = option_net(generator(3), merged(*names))
    layer, x, state = net.layer(dtype), cast(net.x, dtype), cast(net.state, dtype)
    got, last = layer(x, state, noise=True, **net.passage())
    want, want_last, _ = reference_forward(net, training=False, noise=True)
    assert error_of(got, want, 1.0) <= TOLERANCE[dtype]
    assert error_of(last, want_last, 1.0) <= TOLERANCE[dtype]
    quiet, _, _ = reference_forward(net, training=False)
    assert error_of(quiet, want, 1.0) > 0.01
    if not {*names} & (RANDOM - {"noise"}):
        assert_same((got, last), layer.forward(x, state, **net.passage())[:2])


def test_noise_has_the_deviation_of_its_definition():
    """In a net without inputs and with W_hh = 0, h_t is the noise itself."""
    layer = bn.RNN(1, 100, nonlinearity="identity", noise=0.25, alpha=0.5, dtype="float64")
    layer.load_state_dict({name: np.zeros_like(p) for name, p in layer.state_dict().items()})
    y, _ = layer(np.zeros((400, 2, 1)), noise=True)
    fresh = (y[1:] - 0.5 * y[:-1]) / 0.5
    assert abs(fresh.std() / (2 * 0.25) - 1) < 0.01
    assert not layer(np.zeros((400, 2, 1)))[0].any()


def noisy_model(**options):
    """Return a model with noise and dropout."""
    sizes = {"input_size": 3, "hidden_size": 9, "num_layers": 2, "output_size": 4}
    return bn.Model("rnn", noise=0.3, **sizes, **options)


def test_models_draw_the_noise_alone_on_request():
    """It is the noise of a training pass of the same model without dropout, which has no other."""
    model, plain = noisy_model(recurrent_dropout=0.5), noisy_model()
    x, targets = draw(20, 5, 3), generator(1).integers(0, 4, (20, 5))
    assert_same(model(x, noise=True), plain.forward(x)[:2])
    loss, state = model.eval_step(x, targets, noise=True, draw=3)
    step, _ = plain.gradients(x, targets, draw=3)
    assert loss == step.loss
    assert_same(state, step.state)
    loss, _, out = model.eval_step(x, targets, noise=True, draw=3, return_outputs=True)
    assert_same(out, model(x, noise=True, draw=3)[0])
    both = model(x, training=True, noise=True, draw=3)
    assert_same(both, model(x, training=True, draw=3))


def test_evaluations_of_all_data_draw_the_noise_alone():
    model, plain = noisy_model(recurrent_dropout=0.5), noisy_model()
    x, targets = draw(8, 5, 3), generator(3).integers(0, 4, (8, 5))
    got = predict(model, x, kind="outputs", batch_size=2, noise=True, draw=4)
    assert_same(got, predict(plain, x, kind="outputs", batch_size=2, training=True, draw=4))
    metrics = evaluate(model, x, targets, batch_size=2, noise=True, draw=4)
    assert metrics == evaluate(plain, x, targets, batch_size=2, training=True, draw=4)
    assert metrics != evaluate(model, x, targets, batch_size=2)


@pytest.mark.parametrize("inputs", INPUTS)
def test_streams_draw_the_noise_of_a_window(inputs, dtype, isa):
    """Each reset begins a sequence with the next draw."""
    model = make("rnn", inputs, dtype, noise=0.5, alpha=0.7, dropout=0.5)
    x = sequence(inputs, dtype)
    stream = model.stream(noise=True, draw=2**64 - 1)
    for number in (2**64 - 1, 0, 1):
        want, _ = model(x, noise=True, draw=number)
        got = np.array([stream.step(step) for step in x])
        np.testing.assert_allclose(got, want, atol=TOLERANCE[dtype])
        stream.reset()
    first, again = model.stream(noise=True), model.stream(noise=True, draw=0)
    assert_same(first.step(x[0]), again.step(x[0]))
    assert first.step(x[0]).tobytes() != model.stream().step(x[0]).tobytes()
    with pytest.raises(ValueError, match=r"Model.stream: argument 'draw': expected None without"):
        model.stream(draw=3)
    with pytest.raises(TypeError, match=r"Model.stream: argument 'noise': expected True or False"):
        model.stream(noise=0.5)


@pytest.mark.parametrize("cell", LAYERS)
def test_nothing_is_drawn_where_nothing_is_random(cell):
    layer, x = LAYERS[cell](3, 5), draw(7, 2, 3)
    assert_same(layer(x, training=True), layer(x))
    assert_same(layer(x, noise=True), layer(x))


def test_layers_count_their_draws():
    """A pass that draws uses up one number, with and without a tape."""
    layer, x = bn.LSTM(3, 8, recurrent_dropout=0.5), draw(6, 2, 3)
    first, second = layer(x, training=True), layer(x, training=True)
    assert_same(first, layer(x, training=True, draw=0))
    assert_same(second, layer.forward(x, draw=1)[:2])
    assert layer.forward(x)[2].draw == 2
    layer(x)
    assert layer.forward(x)[2].draw == 3
    layer(x, noise=True)
    assert layer.forward(x)[2].draw == 5


def model_of(dtype="float32", **options):
    """Return a model of two layers that draws."""
    sizes = {"input_size": 3, "hidden_size": 9, "num_layers": 2, "output_size": 4}
    return bn.Model("lstm", dtype=dtype, **sizes, **DRAWN, **options)


@pytest.mark.parametrize("options", [{}, {"targets": "last"}, {"bidirectional": True}], ids=str)
def test_evaluate_has_the_loss_of_training(options, dtype):
    model, x = model_of(dtype, **options), draw(40, 17, 3, dtype=dtype)
    targets = generator(1).integers(0, 4, (40, 17))
    targets = targets[-1] if options.get("targets") else targets
    lengths = generator(2).integers(1, 41, 17)
    for number in (0, 3):
        loss, state = model.eval_step(x, targets, lengths=lengths, training=True, draw=number)
        step, _ = model.gradients(x, targets, lengths=lengths, draw=number)
        assert loss == step.loss
        assert_same(state, step.state)
    assert loss != model.eval_step(x, targets, lengths=lengths)[0]
    next_loss, _ = model.eval_step(x, targets, lengths=lengths, training=True)
    assert next_loss == model.train_step(x, targets, lengths=lengths).loss


def test_a_models_outputs_are_those_of_its_tape_and_the_references():
    model, x = model_of("float64"), draw(12, 3, 3, dtype="float64")
    got = model(x, training=True, draw=5)
    assert_same(got, model.forward(x, draw=5)[:2])
    config = reference.ModelConfig("lstm", **DRAWN)
    want, _, _ = reference.model_forward(
        config, model.state_dict(), x, training=True, seed=model.config["seed"], draw=5
    )
    assert error_of(got[0], want, 1.0) <= TOLERANCE["float64"]
    assert_same(model(x, training=True), model.forward(x)[:2])


@pytest.mark.usefixtures("threads_afterwards")
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"zoneout": 0.2}], ids=str)
@pytest.mark.parametrize(("T", "N"), [(60, 1), (300, 4), (60, 19)])
def test_any_number_of_threads(options, T, N):
    layer = bn.GRU(40, 96, num_layers=2, dropout=0.3, recurrent_dropout=0.2, **options)
    x, results = draw(T, N, 40), []
    for threads in (1, 2, 3, 8):
        bn.set_num_threads(threads)
        results.append(layer(x, training=True, draw=1))
    for other in results[1:]:
        assert_same(other, results[0])


def test_memory_does_not_grow_with_time():
    """A tape of these passes would take 250 MB."""
    code = """if True:
        import resource, numpy as np, bptt_native as bn
        layer = dict(hidden_size=32, num_layers=2, dropout=0.2, recurrent_dropout=0.2, zoneout=0.1)
        model = bn.Model("lstm", vocab_size=3, output_size=2, targets="last", **layer)
        x = np.zeros((160_000, 1), np.int64)
        model.eval_step(x[:1000], [0], training=True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        model.eval_step(x, [0], training=True)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 50_000


def test_predictions_are_drawn_batch_by_batch():
    model, x = model_of(batch_first=True), draw(5, 8, 3)
    got = predict(model, x, kind="outputs", batch_size=2, training=True, draw=4)
    for index, start in enumerate((0, 2, 4)):
        want, _ = model(x[start : start + 2], training=True, draw=4 + index)
        np.testing.assert_array_equal(got[start : start + 2], want)
    targets = generator(3).integers(0, 4, (5, 8))
    metrics = evaluate(model, x, targets, batch_size=5, training=True, draw=6)
    assert metrics.loss == pytest.approx(
        model.eval_step(x, targets, training=True, draw=6)[0], rel=1e-12
    )
    assert metrics.accuracy == (got_classes(model, x, 6) == targets).mean()
    again = evaluate(model, x, targets, batch_size=5, training=True)
    assert again == evaluate(model, x, targets, batch_size=5, training=True, draw=0)


def got_classes(model, x, number):
    """Return the classes that a pass with this draw finds."""
    return model(x, training=True, draw=number)[0].argmax(axis=-1)


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        (
            {"training": 1},
            TypeError,
            "argument 'training': expected True or False, got the number 1",
        ),
        ({"training": "yes"}, TypeError, "argument 'training': expected True or False"),
        (
            {"draw": 3},
            ValueError,
            "'draw': expected None without training=True or noise=True, got the number 3",
        ),
        ({"noise": 0.1}, TypeError, "argument 'noise': expected True or False, got the number 0.1"),
        ({"noise": True, "draw": -1}, ValueError, "argument 'draw': expected an integer from 0"),
        ({"training": False, "draw": 0}, ValueError, "argument 'draw': expected None without"),
        ({"training": True, "draw": -1}, ValueError, "argument 'draw': expected an integer from 0"),
        ({"training": True, "draw": 1.0}, TypeError, "argument 'draw': expected an integer from 0"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, kind, text):
    model, layer, x = model_of(), bn.LSTM(3, 4, recurrent_dropout=0.5), draw(6, 2, 3)
    targets = np.zeros((6, 2), np.int64)
    calls = {
        "LSTM.__call__": lambda: layer(x, **arguments),
        "Model.__call__": lambda: model(x, **arguments),
        "Model.eval_step": lambda: model.eval_step(x, targets, **arguments),
        "evaluate": lambda: evaluate(model, [x[:, 0]], [targets[:, 0]], **arguments),
        "predict": lambda: predict(model, [x[:, 0]], **arguments),
    }
    for where, call in calls.items():
        with pytest.raises(kind) as refused:
            call()
        assert str(refused.value).startswith(f"{where}: ")
        assert text in str(refused.value)
    assert layer.forward(x)[2].draw == 0
