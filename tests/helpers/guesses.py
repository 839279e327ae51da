"""A list of guesses: first attempts of people from other libraries, and what comes back.

Each guess is a line "habit: code" and the answer on the lines below it: "= " and an expression that
is true of the result `it`, or the beginning of the exception that is raised (or of the warning).
The lines of an answer are joined by spaces.
"""

from typing import NamedTuple

import numpy as np

import bptt_native as bn

TABLE = r"""
PyTorch: bn.LSTM(3, 8, dropout=0.5)
    UserWarning: LSTM: argument 'dropout': 0.5 has no effect with num_layers=1
PyTorch: bn.LSTM(3, 8)
    = repr(it).startswith('LSTM(3, 8)')
PyTorch: bn.LSTM(input_size=3, hidden_size=8, num_layers=2, batch_first=True, bidirectional=True)
    = it.config['num_layers'] == 2
PyTorch: bn.GRU(3, 8, 2)
    = it.num_layers == 2
PyTorch: bn.nn.LSTM(3, 8)
    AttributeError: module 'bptt_native.nn' has no attribute 'LSTM'; layers are attributes
    of bptt_native itself
PyTorch: bn.LSTM(8)
    TypeError: LSTM.__init__() missing 1 required positional argument: 'hidden_size'
PyTorch: bn.RNN(3, 8, nonlinearity="ReLU")
    ValueError: RNN: argument 'nonlinearity': expected one of 'tanh', 'relu', 'sigmoid',
    'identity', 'softplus', 'elu', 'hard_sigmoid', 'softsign', 'leaky_relu', 'silu', got
    'ReLU' (did you mean 'relu'?)
PyTorch: bn.GRU(3, 8, device="cuda")
    TypeError: GRU: unexpected argument 'device'; everything runs on the CPU
PyTorch: bn.GRU(3, 8, dtype=np.float64)
    = it.dtype == np.float64
PyTorch: bn.GRU(3, 8, dtype="float16")
    TypeError: GRU: argument 'dtype': expected 'float32' or 'float64', got 'float16'
PyTorch: bn.LSTM(3, 8, num_layers=2, dropout=1.5)
    ValueError: LSTM: argument 'dropout': expected a number in [0, 1), got 1.5
PyTorch: bn.GRU("3", 8)
    TypeError: GRU: argument 'input_size': expected an integer >= 1, got the text '3'
PyTorch: bn.GRU(3.0, 8)
    TypeError: GRU: argument 'input_size': expected an integer >= 1, got the number 3.0
PyTorch: bn.GRU(0, 8)
    ValueError: GRU: argument 'input_size': expected an integer >= 1, got 0
PyTorch: bn.RNN(3, 8, "relu")
    TypeError: RNN: argument 'num_layers': expected an integer >= 1, got the text 'relu'
Keras: bn.layers.LSTM(8)
    AttributeError: module 'bptt_native' has no attribute 'layers'; layers are attributes of
    bptt_native itself
Keras: bn.LSTM(units=8)
    TypeError: LSTM: unexpected argument 'units'; did you mean 'hidden_size'?
Keras: bn.LSTM(3, 8, dropout_rate=0.1)
    TypeError: LSTM: unexpected argument 'dropout_rate'; did you mean 'dropout'?
Keras: bn.RNN(3, 8, activation="relu")
    TypeError: RNN: unexpected argument 'activation'; did you mean 'nonlinearity'?
Keras: bn.GRU(3, 8, return_sequences=True)
    TypeError: GRU: unexpected argument 'return_sequences'; layers return the states of all
    steps; Model has targets='every' or 'last'
Keras: bn.GRU(3, 8, use_bias=False)
    TypeError: GRU: unexpected argument 'use_bias'; did you mean 'bias'?
Keras: bn.SimpleRNN(3, 8)
    AttributeError: module 'bptt_native' has no attribute 'SimpleRNN'; did you mean 'RNN'?
Keras: bn.LSTM(3, 8, kernel_initializer="glorot_uniform")
    TypeError: LSTM: unexpected argument 'kernel_initializer'; did you mean 'init'?
misspelt: bn.Lstm(3, 8)
    AttributeError: module 'bptt_native' has no attribute 'Lstm'; did you mean 'LSTM'?
misspelt: bn.LSTM(3, 8, drop_out=0.1)
    TypeError: LSTM: unexpected argument 'drop_out'; did you mean 'dropout'?
misspelt: bn.LSTM(3, 8, num_layer=2)
    TypeError: LSTM: unexpected argument 'num_layer'; did you mean 'num_layers'?
misspelt: bn.RNN(3, 8, nonlinearity="relus")
    ValueError: RNN: argument 'nonlinearity': expected one of 'tanh', 'relu', 'sigmoid',
    'identity', 'softplus', 'elu', 'hard_sigmoid', 'softsign', 'leaky_relu', 'silu', got
    'relus' (did you mean 'relu'?)
misspelt: bn.GRU(3, 8, init="orthogonl")
    ValueError: GRU: argument 'init': expected one of 'default', 'orthogonal', 'identity',
    'xavier', 'normal', 'sparse', 'chrono', 'keras', got 'orthogonl' (did you mean
    'orthogonal'?)
PyTorch: gru(x)
    = it[0].shape == (5, 6, 8) and it[1].shape == (1, 6, 8)
PyTorch: gru.forward(x)
    = it[2].steps == 5
PyTorch: gru(x, h0)
    = it[0].shape == (5, 6, 8)
PyTorch: gru(tensor)
    TypeError: GRU.__call__: argument 'x': expected a float32 array of shape [T, N, 3] or
    [T, 3]
PyTorch: gru(tensor32)
    = it[0].shape == (5, 6, 8)
NumPy: gru(x.astype(np.float64))
    TypeError: GRU.__call__: argument 'x': expected a float32 array of shape [T, N, 3] or
    [T, 3]
NumPy: gru(x.tolist())
    = it[0].dtype == np.float32
NumPy: gru(x[..., :2])
    ValueError: GRU.__call__: argument 'x': expected a float32 array of shape [T, N, 3] or
    [T, 3]
NumPy: gru([1, 2, 3])
    IndexError: GRU.__call__: argument 'x': expected integers from 0 to 2, got 3 at step 2
    of sequence 0
NumPy: gru(None)
    TypeError: GRU.__call__: argument 'x': expected a float32 array of shape [T, N, 3] or
    [T, 3]
PyTorch: gru(x[:, 0])[0].shape
    = it == (5, 8)
PyTorch: sum(p.size for p in gru.parameters())
    = it == 312
PyTorch: dict(gru.named_parameters())['weight_hh_l0'].shape
    = it == (24, 8)
PyTorch: gru.state_dict()['weight_hh_l0'].shape
    = it == (24, 8)
PyTorch: gru.weight_hh_l0
    AttributeError: 'GRU' object has no attribute 'weight_hh_l0'; did you mean
    parameters['weight_hh_l0']?
PyTorch: gru.train()
    AttributeError: 'GRU' object has no attribute 'train'; there are no modes
PyTorch: gru.eval()
    AttributeError: 'GRU' object has no attribute 'eval'; there are no modes
PyTorch: gru.to("cpu")
    AttributeError: 'GRU' object has no attribute 'to'; everything runs on the CPU
PyTorch: gru.zero_grad()
    AttributeError: 'GRU' object has no attribute 'zero_grad'; every backward pass returns
    new gradients
PyTorch: gru.hidden_size
    = it == 8
PyTorch: gru.load_state_dict({})
    ValueError: GRU.load_state_dict: argument 'state_dict': expected exactly the names
    weight_ih_l0
PyTorch: gru.load_state_dict(gru.state_dict())
    = it is None
PyTorch: gru.backward(np.ones((5, 6, 8)))
    TypeError: GRU.backward: argument 'tape': expected a tape of forward, got a float64
    array of shape [5, 6, 8]
Keras: gru.weights
    AttributeError: 'GRU' object has no attribute 'weights'; did you mean 'parameters'?
Keras: gru.get_weights()
    AttributeError: 'GRU' object has no attribute 'get_weights'; did you mean 'state_dict'?
Keras: gru.units
    AttributeError: 'GRU' object has no attribute 'units'; did you mean 'hidden_size'?
Keras: gru.count_params()
    AttributeError: 'GRU' object has no attribute 'count_params'; did you mean
    'num_parameters'?
Keras: gru.summary()
    = it.num_parameters == 312 and 'layer 0 (gru)' in str(it)
NumPy: len(gru.parameters)
    = it == 4
NumPy: gru.parameters["weight_hh_l0"] * 2
    = it.shape == (24, 8)
NumPy: gru.parameters["weight_hh"]
    KeyError: "no parameter 'weight_hh'; did you mean 'weight_hh_l0'?"
PyTorch: bn.Model("gru", input_size=3, hidden_size=8, output_size=2)
    = it.cell == 'gru'
PyTorch: bn.Model("GRU", input_size=3, hidden_size=8, output_size=2)
    ValueError: Model: argument 'cell': expected one of 'rnn', 'lstm', 'gru', 'mingru', got
    'GRU' (did you mean 'gru'?)
misspelt: bn.Model("lstmm", input_size=3, hidden_size=8, output_size=2)
    ValueError: Model: argument 'cell': expected one of 'rnn', 'lstm', 'gru', 'mingru', got
    'lstmm' (did you mean 'lstm'?)
PyTorch: bn.Model("transformer", input_size=3, hidden_size=8, output_size=2)
    ValueError: Model: argument 'cell': expected one of 'rnn', 'lstm', 'gru', 'mingru', got
    'transformer'
PyTorch: bn.Module()
    AttributeError: module 'bptt_native' has no attribute 'Module'; did you mean 'Model'?
PyTorch: bn.Model(cell="lstm", input_size=3, hidden_size=8, output_size=2, criterion="mse")
    TypeError: Model: unexpected argument 'criterion'; did you mean 'loss'?
Keras: bn.Sequential()
    AttributeError: module 'bptt_native' has no attribute 'Sequential'; did you mean
    'Model'?
Keras: bn.Model(cell="lstm", input_dim=3, hidden_size=8, output_size=2)
    TypeError: Model: unexpected argument 'input_dim'; did you mean 'input_size'?
Keras: bn.Model(cell="lstm", input_size=3, hidden=8, output_size=2)
    TypeError: Model: unexpected argument 'hidden'; did you mean 'hidden_size'?
Keras: bn.Model(cell="lstm", input_size=3, hidden_size=8, output_size=2, learning_rate=0.01)
    TypeError: Model: unexpected argument 'learning_rate'; did you mean 'lr'?
Keras: bn.Model(cell="lstm", input_size=3, hidden_size=8, output_size=2, clipnorm=1.0)
    TypeError: Model: unexpected argument 'clipnorm'; did you mean 'clip_norm'?
Keras: bn.Model("lstm", input_size=3, hidden_size=8, output_size=2, loss="categorical_crossentropy")
    ValueError: Model: argument 'loss': expected one of 'cross_entropy', 'mse',
    'binary_cross_entropy', 'huber', got 'categorical_crossentropy' (did you mean
    'cross_entropy'?)
Keras: bn.Model(cell="lstm", input_size=3, hidden_size=8, output_size=2, loss="mean_squared_error")
    ValueError: Model: argument 'loss': expected one of 'cross_entropy', 'mse',
    'binary_cross_entropy', 'huber', got 'mean_squared_error' (did you mean 'mse'?)
Keras: bn.Model(cell="lstm", input_size=3, hidden_size=8, output_size=2, optimizer="adamw")
    = it.optimizer is not None
PyTorch: bn.Model(cell="lstm", input_size=3, hidden_size=8, output_size=2, optimizer="Adam")
    ValueError: Model: argument 'optimizer': expected one of
PyTorch: bn.Model(cell="lstm", input_size=3, hidden_size=8, output_size=2, optimizer=bn.Adam)
    TypeError: Model: argument 'optimizer': expected one of
PyTorch: bn.Model(cell="lstm", input_size=3, hidden_size=8, output_size=2, lr=-1)
    ValueError: Model: argument 'lr': expected a finite number >= 0, got -1
PyTorch: bn.Model(cell="lstm", input_size=3, hidden_size=8)
    TypeError: Model.__init__() missing 1 required keyword-only argument: 'output_size'
PyTorch: bn.Model(cell="lstm", hidden_size=8, output_size=2)
    ValueError: Model: argument 'input_size': expected exactly one of input_size and
    vocab_size, got neither
PyTorch: bn.Model(cell="gru", input_size=3, hidden_size=8, output_size=2, peephole=True)
    ValueError: Model: argument 'peephole': expected False unless the cell is 'lstm', got
    True
misspelt: bn.Model(cell="lstm", input_size=3, hidden_size=8, output_size=2, clip_nrom=1.0)
    TypeError: Model: unexpected argument 'clip_nrom'; did you mean 'clip_norm'?
misspelt: bn.Model(cell="lstm", input_size=3, hidden_size=8, output_size=2, loss="crossentropy")
    ValueError: Model: argument 'loss': expected one of 'cross_entropy', 'mse',
    'binary_cross_entropy', 'huber', got 'crossentropy' (did you mean 'cross_entropy'?)
misspelt: bn.Model(cell="lstm", input_size=3, hidden_size=8, output_size=2, targets="lst")
    ValueError: Model: argument 'targets': expected one of 'every', 'last', 'last_row', got
    'lst' (did you mean 'last'?)
Keras: model.fit(x, y, epochs=2)
    = it.ended == 'steps' and len(it.rows) == 2
Keras: model.fit(x, y, epochs=2, batch_size=4, verbose=0)
    = len(it.rows) == 4
Keras: model.fit(x, y, epochs=2, validation_split=0.25)
    = it.rows[-1].valid_loss is not None
Keras: model.fit(x, y, epochs=2, validation_data=(x, y))
    TypeError: Model.fit: unexpected argument 'validation_data'; did you mean 'validation'?
Keras: model.fit(x, y, nb_epoch=2)
    TypeError: Model.fit: unexpected argument 'nb_epoch'; did you mean 'epochs'?
Keras: model.fit(x, y, epochs=1, validation=(x, y), metrics=['f1']).history['valid_f1']
    = it.shape == (1,)
Keras: model.fit(x, y, epochs=1).history['loss']
    = it.shape == (1,)
Keras: model.fit(x, y, epochs=1).history['val_loss']
    KeyError: "no 'val_loss'; did you mean 'valid_loss'?"
Keras: model.fit(x, y, epochs=2, callbacks=[bn.EarlyStopping()])
    ValueError: fit: argument 'validation': expected held-out data, which early_stopping
    needs, got None
Keras: model.fit(x, y, epochs=9, validation=(x, y), callbacks=[bn.EarlyStopping(patience=1)])
    = len(it.rows) >= 2
Keras: model.fit(x, y, epochs=1, sample_weight=np.ones(6))
    TypeError: Model.fit: unexpected argument 'sample_weight'; did you mean 'weights'?
Keras: model.fit(x, y, epochs=1, weights=np.ones(6))
    TypeError: fit: argument 'weights': expected float32 [6], got a float64 array of shape
    [6]
Keras: model.fit(x, y, epochs=1, class_weight={0: 1.0, 1: 2.0})
    TypeError: Model.fit: unexpected argument 'class_weight'; class_weights is an argument
    of Model
Keras: model.fit(x, one_hot, epochs=1)
    TypeError: fit: argument 'targets': expected classes (integers) [6], got a float64 array
    of shape [6, 2] (one-hot rows: targets.argmax(axis=1)
Keras: model.fit(x, y, epochs=2, learning_rate=0.1)
    TypeError: Model.fit: unexpected argument 'learning_rate'; lr is an argument of Model
Keras: model.compile(optimizer="adam", loss="mse")
    AttributeError: 'Model' object has no attribute 'compile'; loss and optimizer are
    arguments of Model
scikit-learn: model.fit(x, y, max_iter=2)
    TypeError: Model.fit: unexpected argument 'max_iter'; did you mean 'epochs'?
scikit-learn: model.fit(x, y, epochs=1, random_state=0)
    TypeError: Model.fit: unexpected argument 'random_state'; did you mean 'seed'?
scikit-learn: model.fit(x, y.astype(str), epochs=1)
    TypeError: fit: argument 'targets': expected classes (integers) [6], got a str array of
    shape [6] (labels: np.unique(targets, return_inverse=True)[1] are their classes)
scikit-learn: model.fit(x, y.astype(bool), epochs=1)
    TypeError: fit: argument 'targets': expected classes (integers) [6], got a bool array of
    shape [6] (targets.astype(int) are classes 0 and 1)
scikit-learn: model.fit(x, y[:-1], epochs=1)
    ValueError: fit: argument 'targets': expected classes (integers) [6], got an int64 array
    of shape [5]
scikit-learn: model.fit(x, y + 2, epochs=1)
    IndexError: fit: argument 'targets': expected classes 0 ... 1, got 2 ... 3
scikit-learn: model.fit(x_nan, y, epochs=1)
    ValueError: fit: argument 'x': expected finite numbers, got nan at sequence 0 of 6, step
    0, feature 0 (counted from 0)
scikit-learn: model.fit(x)
    TypeError: Model.fit: missing 1 required positional argument: 'targets'
scikit-learn: model.predict_proba(x)
    AttributeError: 'Model' object has no attribute 'predict_proba'; did you mean 'predict'?
scikit-learn: model.score(x, y)
    AttributeError: 'Model' object has no attribute 'score'; did you mean 'evaluate'?
scikit-learn: model.get_params()
    AttributeError: 'Model' object has no attribute 'get_params'; did you mean 'config'?
PyTorch: bn.fit(gru, x, y)
    TypeError: fit: argument 'model': expected a Model, got a GRU
PyTorch: model.fit(list_of_sequences, y, epochs=1)
    = len(it.rows) == 1
misspelt: model.fit(x, y, epochs="2")
    TypeError: fit: argument 'epochs': expected an integer >= 1, got the text '2'
misspelt: model.fit(x, y, epoch=2)
    TypeError: Model.fit: unexpected argument 'epoch'; did you mean 'epochs'?
misspelt: model.fit(x, y, epochs=2, schedule="cosin")
    ValueError: fit: argument 'schedule': expected one of 'constant', 'step', 'exponential',
    'cosine', 'plateau', got 'cosin' (did you mean 'cosine'?)
Keras: model.predict(x)
    = it.shape == (6, 2) and abs(it.sum(axis=1) - 1).max() < 1e-5
scikit-learn: model.predict(x, kind="labels")
    = it.shape == (6,)
scikit-learn: model.predict(x, kind="classes")
    ValueError: predict: argument 'kind': expected one of 'probabilities', 'labels',
    'outputs', got 'classes' (did you mean 'labels'?)
Keras: model.evaluate(x, y)
    = it.loss > 0 and 0 <= it.accuracy <= 1
Keras: model.summary()
    = [row.name for row in it.layers] == ['layer 0 (gru)', 'readout']
Keras: model.train_on_batch(x, y)
    AttributeError: 'Model' object has no attribute 'train_on_batch'; did you mean
    'train_step'?
PyTorch: model.train_step(x, y).loss
    = it > 0
misspelt: model.train_step(x, y, length=[5] * 6)
    TypeError: Model.train_step: unexpected argument 'length'; did you mean 'lengths'?
PyTorch: model.lr
    = it == 0.001
Keras: model.learning_rate
    AttributeError: 'Model' object has no attribute 'learning_rate'; did you mean 'lr'?
Keras: model.save("net.safetensors")
    = it is None
Keras: model.save_weights("net")
    AttributeError: 'Model' object has no attribute 'save_weights'; did you mean 'save'?
Keras: model.load_weights("net")
    AttributeError: 'Model' object has no attribute 'load_weights'; did you mean
    'load_state_dict'?
Keras: bn.load_model("net.safetensors")
    AttributeError: module 'bptt_native' has no attribute 'load_model'; did you mean 'load'?
PyTorch: bn.load("missing.safetensors")
    FileNotFoundError:
PyTorch: bn.save(model, "net")
    AttributeError: module 'bptt_native' has no attribute 'save';
PyTorch: bn.Adam(gru, lr=0.01)
    = it.lr == 0.01 and it.steps == 0
PyTorch: bn.Adam(gru.parameters(), lr=0.01)
    TypeError: Adam: argument 'owner': expected the layer or model, not its parameters, got
    a generator
PyTorch: bn.Adam(gru, lr=0.01).step()
    TypeError: Adam.step: argument 'grads': expected Gradients of a backward pass, got
    nothing
PyTorch: bn.Adam(gru, lr=0.01).step(gradients)
    = it is True
PyTorch: bn.optim.Adam(gru)
    AttributeError: module 'bptt_native' has no attribute 'optim'; optimisers are attributes
    of bptt_native itself
PyTorch: bn.AdamW(gru)
    = it.steps == 0
PyTorch: bn.SGD(gru, momentum=1.5)
    ValueError: SGD: argument 'momentum': expected a number in [0, 1), got 1.5
PyTorch: model.optimizer.param_groups
    AttributeError: 'Adam' object has no attribute 'param_groups'; did you mean 'groups'?
PyTorch: model.optimizer.zero_grad()
    AttributeError: 'Adam' object has no attribute 'zero_grad'; every backward pass returns
    new gradients
PyTorch: bn.clip_grad_norm_(gradients, 1.0)
    = it > 1
PyTorch: bn.clip_grad_norm(gradients, 1.0)
    AttributeError: module 'bptt_native' has no attribute 'clip_grad_norm'; did you mean
    'clip_grad_norm_'?
PyTorch: bn.clip_grad_norm_(gru.parameters(), 1.0)
    TypeError: clip_grad_norm_: argument 'grads': expected Gradients of a backward pass, got
    a generator
PyTorch: bn.schedules.CosineAnnealingLR(100)
    AttributeError: module 'bptt_native.schedules' has no attribute
    'CosineAnnealingLR'; did you mean 'Cosine'?
PyTorch: bn.schedules.StepLR(10, gamma=0.5)
    AttributeError: module 'bptt_native.schedules' has no attribute 'StepLR'; did
    you mean 'StepDecay'?
Keras: bn.Adam(gru, learning_rate=0.01)
    TypeError: Adam: unexpected argument 'learning_rate'; did you mean 'lr'?
Keras: bn.EarlyStopping(patience=3, monitor="val_loss")
    ValueError: EarlyStopping: argument 'monitor': expected 'loss', a metric of this
    package, or with a mode another name, got 'val_loss'; did you mean 'loss'?
Keras: bn.EarlyStopping(patience=3, restore_best_weights=True)
    TypeError: EarlyStopping: unexpected argument 'restore_best_weights'; did you mean
    'restore_best'?
NumPy: gradients["weight_hh_l0"].shape
    = it == (24, 8)
NumPy: gradients["weight_hh"]
    KeyError: "no parameter 'weight_hh'; did you mean 'weight_hh_l0'?"
NumPy: gradients.norm()
    = it > 0
NumPy: str(gradients)
    = len(it.splitlines()) <= 24
PyTorch: bn.set_num_threads(0)
    ValueError: set_num_threads: argument 'n': expected an integer from 1 to 256, got 0
PyTorch: bn.manual_seed(0)
    AttributeError: module 'bptt_native' has no attribute 'manual_seed';
misspelt: bn.set_threads(2)
    AttributeError: module 'bptt_native' has no attribute 'set_threads'; did you mean
    'set_num_threads'?
PyTorch: bn.Init("xavier_uniform")
    ValueError: Init: argument 'weights': expected one of 'default', 'orthogonal', 'identity',
    'xavier', 'normal', 'sparse', 'chrono', 'keras', got 'xavier_uniform' (did you mean
    'xavier'?)
PyTorch: bn.GRU(3, 8, init="xavier_uniform")
    ValueError: GRU: argument 'init': expected one of 'default', 'orthogonal', 'identity',
    'xavier', 'normal', 'sparse', 'chrono', 'keras', got 'xavier_uniform' (did you mean
    'xavier'?)
NumPy: bn.diagnostics.gradient_flow(gru, x)
    = it.verdict in ('vanishing', 'healthy', 'exploding')
NumPy: bn.diagnostics.lyapunov(gru, x)
    TypeError: lyapunov: argument 'tape': expected a Tape, got a float32 array of shape [5,
    6, 3]
NumPy: bn.tasks.adding(20, 4)
    TypeError: adding: missing 1 required positional argument: 'rng'
NumPy: bn.__version__
    = it.count('.') >= 1
NumPy: dir(bn)
    = 'fit' in it and 'LSTM' in it and not any(name.startswith('_') for name in it if name
    != '__version__')
"""


class Guess(NamedTuple):
    """A guess: the library that someone knows, the code, and the answer."""

    habit: str
    code: str
    back: str


class Tensor:
    """An array of another library, with a dtype that has its name in front."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype = values, values.shape, f"torch.{values.dtype}"

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self.values


def guesses() -> list[Guess]:
    """Return the guesses of the table."""
    found: list[Guess] = []
    for line in TABLE.strip().splitlines():
        if line.startswith(" "):
            last = found[-1]
            found[-1] = last._replace(back=f"{last.back} {line.strip()}".strip())
        else:
            habit, code = line.split(": ", 1)
            found.append(Guess(habit, code, ""))
    return found


def names() -> dict[str, object]:
    """Return the names that the guesses use, with new objects."""
    x = np.random.default_rng(0).standard_normal((5, 6, 3)).astype("f4")
    y = np.array([0, 1, 0, 1, 1, 0])
    gru = bn.GRU(3, 8)
    out, state, tape = gru.forward(x)
    x_nan = x.copy()
    x_nan[0, 0, 0] = np.nan
    return {
        "bn": bn, "np": np, "x": x, "y": y, "gru": gru, "h0": state, "x_nan": x_nan,
        "tensor": Tensor(x.astype(float)), "tensor32": Tensor(x), "one_hot": np.eye(2)[y],
        "list_of_sequences": [x[: 2 + k % 3, k] for k in range(6)],
        "model": bn.Model("gru", input_size=3, hidden_size=8, output_size=2, targets="last"),
        "gradients": gru.backward(tape, out),
    }  # fmt: skip
