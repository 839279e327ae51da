"""Names that people type for those of this package: misspelt ones, and those of other libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from inspect import CO_VARARGS, CO_VARKEYWORDS, Parameter, signature
from sys import modules
from types import FunctionType, ModuleType
from typing import Any, NoReturn, TypeVar, cast

from .calls import refuse_other_object, refuse_positional

It = TypeVar("It", bound=Callable[..., Any])  # a function or class

NOTHING = object()  # the value of a required argument that was not passed
MOST_LISTED = 24  # names in an error without a suggestion

# Own names, each with the names that PyTorch, Keras, scikit-learn, ONNX and others have for the
# same or the nearest thing. Where a name has several meanings, the first own name that exists in
# the place in question is suggested.
FOREIGN = {
    # sizes and options of layers
    "input_size": "input_dim n_inputs in_features num_features n_features features in_channels",
    "vocab_size": "num_embeddings n_tokens num_tokens n_vocab vocabulary_size input_dim",
    "embedding_size": "embedding_dim output_dim emb_dim embed_dim emb_size d_model",
    "hidden_size": "units n_units num_units hidden n_hidden num_hidden hidden_dim hidden_units "
    "hidden_layer_sizes nhid state_size rnn_units cell_size num_hiddens hid_size",
    "num_layers": "n_layers layers depth num_rnn_layers nlayers stacks n_hidden_layers",
    "output_size": "outputs n_outputs num_outputs output_dim out_features n_classes num_classes "
    "classes num_labels n_targets out_size",
    "nonlinearity": "activation activations activation_function activation_fn act transfer",
    "bias": "use_bias biases has_bias fit_intercept",
    "batch_first": "time_major layout batch_major",
    "bidirectional": "direction bidir bi two_way",
    "dropout": "drop_out dropout_rate drop dropout_prob p_dropout keep_prob p",
    "recurrent_dropout": "hidden_dropout weight_drop wdrop dropout_hh state_dropout",
    "variational": "variational_dropout locked_dropout shared_mask",
    "layer_norm": "layernorm layer_normalization normalize use_layer_norm",
    "proj_size": "num_proj projection proj projection_size",
    "peephole": "use_peepholes peepholes use_peephole",
    "coupled": "input_forget coupled_gates cifg coupled_input_forget",
    "reset_after": "linear_before_reset",
    "forget_bias": "unit_forget_bias forget_gate_bias bias_forget",
    "init": "initializer initialization initialisation kernel_initializer weight_init "
    "recurrent_initializer bias_initializer init_method",
    "time_scale": "t_max tmax timescale memory",
    "gain": "scale stddev",
    "dale": "ei_ratio exc_fraction excitatory dales_law e_prop",
    "activity_l1": "l1_h activity_regularizer activity_regulariser rate_l1 l1_rate l1_rates "
    "activity_reg activity_penalty",
    "activity_l2": "l2_h rate_l2 l2_rate l2_rates l2_activity",
    "learn_initial_state": "learn_init_state learnable_initial_state trainable_initial_state "
    "learn_h0 learnable_h0 trainable_h0 train_initial_state learned_initial_state init_hidden",
    "alpha": "leak leaky tau dt leak_rate rho smoothing",
    "noise": "sigma sigma_rec noise_std recurrent_noise",
    "cell": "rnn_type cell_type model_type mode kind rnn",
    "dtype": "precision float_type data_type",
    # loss and measurements
    "valid_loss": "val_loss test_loss dev_loss",
    "valid_accuracy": "val_accuracy val_acc valid_acc",
    "loss": "criterion loss_fn loss_function objective loss_func cost val_loss",
    "targets": "y labels target label y_true y_train expected return_sequences ys",
    "reduction": "size_average reduce",
    "label_smoothing": "smoothing smooth label_smooth",
    "class_weights": "class_weight",
    "ignore_index": "pad_token_id padding_idx ignore_label mask_value ignore_value pad",
    "huber_delta": "delta beta huber_beta",
    # optimisers
    "optimizer": "optim solver optimiser opt optimizer_class algorithm",
    "lr": "learning_rate learn_rate learning_rate_init eta eta0 step_size rate lr0 base_lr alpha",
    "momentum": "mom nesterov_momentum",
    "betas": "beta_1 beta_2 beta1 beta2 beta b1 b2",
    "eps": "epsilon adam_epsilon",
    "weight_l1": "l1 l1_reg l1_penalty l1_regularization l1_lambda lasso w_l1",
    "weight_l2": "kernel_regularizer recurrent_regularizer weight_regularizer ridge w_l2",
    "weight_decay": "l2 decay wd weight_decay_rate l2_reg l2_penalty regularization alpha "
    "kernel_regularizer recurrent_regularizer lambda_ reg_lambda decoupled_weight_decay penalty",
    "rmsprop_alpha": "rho rms_decay alpha",
    "form": "variant rmsprop_form",
    "clip_norm": "grad_clip gradient_clip clipnorm global_clipnorm max_norm max_grad_norm clip "
    "gradient_clip_val grad_norm_clip clip_gradient clip_gradients clip_grad grad_clipping "
    "gradient_clipping clip_grad_norm cell_clip grad_clip_norm clipping_threshold",
    "clip_step_norm": "clip_norm grad_clip max_norm clip grad_clip_norm clipnorm",
    "clip_value": "clipvalue max_value grad_clip_value clip_grad_value",
    "max_norm": "clip_norm threshold max_grad_norm",
    "truncation": "tbptt bptt tbptt_steps truncate truncated_bptt k1 k2 bptt_steps",
    "nonfinite": "nan nan_policy detect_anomaly skip_nan",
    "accumulate": "accumulate_grad_batches gradient_accumulation accumulation_steps "
    "gradient_accumulation_steps grad_accum",
    # passes
    "x": "input inputs X data x_train features sequence sequences",
    "state": "hx h0 h_0 hidden initial_state init_state initial_h hidden_state states hc",
    "lengths": "mask masks sequence_length sequence_lengths seq_lengths seq_lens seq_len "
    "sequence_lens input_length input_lengths lens length",
    "resets": "done dones reset episode_starts is_first starts",
    "weights": "sample_weight sample_weights weight loss_weights",
    "training": "train is_training",
    "draw": "seed generator rng",
    "kind": "proba probabilities return_proba output as_labels type method logits",
    "lr_scale": "lr learning_rate",
    "flow": "record_flow gradient_flow return_flow",
    "tape": "cache ctx",
    "dy": "grad_output grad_y dout dh grad",
    "dout": "grad_output dy dlogits grad",
    "dstate": "grad_state dh dhn grad_hidden",
    "owner": "params parameters model layer module",
    # fitting
    "epochs": "n_epochs num_epochs max_epochs nb_epoch epoch max_iter n_iter iterations n_steps",
    "batch_size": "batch bs n_batch batchsize minibatch_size mini_batch_size batches",
    "seed": "random_state random_seed rng manual_seed rand_seed",
    "validation": "validation_data valid val eval_set val_data valid_data dev eval_data "
    "validation_set x_val",
    "validation_split": "validation_fraction val_split valid_fraction test_size",
    "early_stopping": "patience early_stop earlystopping n_iter_no_change",
    "rng": "random_state seed generator random random_seed",
    "patience": "n_iter_no_change",
    "schedule": "lr_schedule scheduler lr_scheduler learning_rate_schedule",
    "warmup": "warmup_steps num_warmup_steps warm_up",
    "discard": "warmup warm_up burn_in burnin transient skip",
    "callbacks": "callback hooks on_epoch_end",
    "min_lr": "start_lr lr_min lowest init_value",
    "max_lr": "end_lr lr_max highest final_value",
    "metrics": "metric scoring scorer",
    "on_train_begin": "on_fit_start on_train_start on_fit_begin",
    "on_epoch_begin": "on_train_epoch_start on_epoch_start",
    "on_update_end": "on_batch_end on_train_batch_end on_step_end on_train_step_end",
    "on_epoch_end": "on_train_epoch_end on_validation_end on_validation_epoch_end on_evaluate",
    "on_train_end": "on_fit_end",
    "accuracy": "acc val_accuracy val_acc accuracy_score categorical_accuracy "
    "sparse_categorical_accuracy",
    "balanced_accuracy": "balanced_accuracy_score macro_accuracy uar",
    "f1": "f1_score f1_macro fscore f_score macro_f1",
    "precision": "precision_score precision_macro",
    "recall": "recall_score recall_macro sensitivity",
    "top_5": "top_k top_k_accuracy top_k_categorical_accuracy top_k_accuracy_score",
    "bits": "bpc bits_per_character bpb",
    "perplexity": "ppl",
    "mae": "mean_absolute_error l1",
    "rmse": "root_mean_squared_error",
    "r2": "r2_score r_squared r_square",
    "verbose": "verbosity progress quiet show_progress progress_bar disp",
    "progress": "verbose verbosity",
    "shuffle": "shuffled random_order",
    "window": "bptt seq_len seq_length tbptt chunk_size max_len sequence_length block_size unroll",
    "streams": "n_streams parallel",
    "checkpoint": "save_path checkpoint_dir ckpt model_dir log_dir filepath",
    "out": "output output_dir out_dir save_dir outdir",
    "path": "filename file filepath fname file_name f",
    "threads": "n_jobs num_threads n_threads workers num_workers jobs",
    "jobs": "n_jobs num_workers workers threads",
    "steps": "T_max total_steps num_iter num_it num_training n_steps iterations iters num_steps "
    "max_steps max_iter epochs",
    "time": "seq_len seq_length bptt window block_size sequence_length steps",
    "hidden": "hidden_size units n_units num_units n_hidden hidden_dim rnn_size nhid",
    "layers": "num_layers n_layers nlayers depth",
    "embed": "embedding_size embedding embedding_dim emsize emb_size embed_dim",
    "valid_fraction": "validation_split validation_fraction val_fraction val_split test_size",
    "test_fraction": "test_size test_split",
    "horizon": "ahead forecast_horizon lead steps_ahead",
    "length": "n max_new_tokens num_chars max_length n_chars characters count",
    "batch": "batch_size batchsize minibatch_size bs",
    "prime": "prompt start_string prefix seed_text context",
    "prompt": "prime start prime_str seed_text context prefix start_string",
    "temperature": "temp t",
    "top_k": "topk k",
    "top_p": "topp nucleus p",
    # attributes and methods
    "groups": "param_groups parameter_groups",
    "parameters": "weights weight params trainable_weights trainable_variables variables coefs_",
    "state_dict": "get_weights coefs_ weights",
    "load_state_dict": "set_weights set_state_dict load_weights",
    "num_parameters": "count_params n_params num_params numel nparams parameter_count",
    "config": "get_config get_params hparams options",
    "train_step": "train_on_batch partial_fit training_step train_batch",
    "eval_step": "test_on_batch evaluate_batch validation_step eval_batch",
    "fit": "train learn train_model fit_generator",
    "predict": "predict_proba predict_log_proba predict_classes inference decision_function "
    "transform infer predict_on_batch",
    "evaluate": "score test evaluate_model",
    "summary": "describe info",
    "forward": "call apply run",
    "freeze": "trainable requires_grad requires_grad_",
    "set_mask": "mask prune add_mask apply_mask set_masks mask_weights connectivity_mask",
    "masks": "mask get_mask weight_mask",
    "set_nonnegative": "nonnegative non_negative nonneg set_non_negative set_nonneg clamp",
    "save": "save_model save_weights dump to_file export",
    "load": "load_model from_file from_pretrained read restore",
    "step": "update minimize apply_gradients",
    "Model": "Module Sequential Network RNNModel Estimator RNNClassifier",
    "RNN": "SimpleRNN Elman ElmanRNN VanillaRNN LeakyRNN CTRNN",
    "LSTM": "LSTMCell CuDNNLSTM LSTMLayer",
    "GRU": "GRUCell CuDNNGRU GRULayer",
    "Adam": "NAdam AdamOptimizer Adamax",
    "RMSprop": "RMSProp RMSPropOptimizer",
    "clip_grad_norm_": "clip_grad_norm clip_by_global_norm clip_by_norm clip_gradients",
    "clip_grad_value_": "clip_grad_value clip_by_value",
    "set_num_threads": "set_threads threads num_threads n_jobs",
    "schedules": "lr_scheduler optim_schedules scheduler",
    "StepDecay": "StepLR PiecewiseConstantDecay",
    "Exponential": "ExponentialLR ExponentialDecay",
    "Cosine": "CosineAnnealingLR CosineDecay CosineAnnealing",
    "Plateau": "ReduceLROnPlateau",
    "Warmup": "LinearLR LinearWarmup",
    "every": "step_size decay_steps all each many_to_many steps",
    "factor": "gamma decay_rate",
    # parameters
    "weight_ih_l0": "kernel weight_ih W_ih w_ih W weight_xh W_in Wx weight_input",
    "weight_hh_l0": "recurrent_kernel weight_hh W_hh w_hh U R W_rec Wh weight_recurrent",
    "bias_ih_l0": "bias_ih b_ih b bias_input",
    "bias_hh_l0": "bias_hh b_hh recurrent_bias",
    "rnn.weight_ih_l0": "weight_ih_l0 kernel weight_ih W_ih w_ih W W_in Wx lstm.weight_ih_l0 "
    "gru.weight_ih_l0",
    "rnn.weight_hh_l0": "weight_hh_l0 recurrent_kernel weight_hh W_hh w_hh U R W_rec Wh "
    "lstm.weight_hh_l0 gru.weight_hh_l0",
    "rnn.bias_ih_l0": "bias_ih_l0 bias_ih b_ih lstm.bias_ih_l0 gru.bias_ih_l0",
    "rnn.bias_hh_l0": "bias_hh_l0 bias_hh b_hh lstm.bias_hh_l0 gru.bias_hh_l0",
    "readout.weight": "fc.weight linear.weight out.weight output.weight dense.weight "
    "decoder.weight head.weight W_out weight_ho proj.weight W_o",
    "readout.bias": "fc.bias linear.bias out.bias output.bias dense.bias decoder.bias head.bias "
    "b_out b_o",
    "embedding.weight": "embedding emb.weight embeddings encoder.weight embed.weight "
    "embedding_weight",
    # values of options
    "cross_entropy": "categorical_crossentropy sparse_categorical_crossentropy nll nll_loss "
    "crossentropyloss softmax log_loss ce xent cross_entropy_loss",
    "binary_cross_entropy": "bce bce_with_logits bcewithlogitsloss binary_crossentropy bceloss",
    "mse": "mean_squared_error mseloss l2 squared_error mse_loss neg_mean_squared_error",
    "huber": "smooth_l1 smoothl1loss huberloss mae l1 mean_absolute_error huber_loss",
    "silu": "swish gelu",
    "identity": "linear none id",
    "xavier": "glorot glorot_uniform xavier_uniform glorot_normal xavier_normal",
    "orthogonal": "orthogonal_ orth",
    "normal": "gaussian random_normal",
    "last": "final last_step many_to_one sequence",
    "labels": "classes class argmax predictions",
    "outputs": "logits raw scores raw_outputs",
    "probabilities": "proba probs prob softmax predict_proba sigmoid",
    # parameters and fixed points as objects
    "frozen": "requires_grad trainable",
    "value": "data clip_value numpy values",
    "states": "points fixed_points",
}

# Names of other libraries for which there is no name here, with what to do instead.
ADVICE = {
    "save_best_only": "ModelCheckpoint saves the best model, with monitor=None that of each epoch",
    "ReduceLROnPlateau": "the argument schedule of fit takes schedules.Plateau()",
    "LearningRateScheduler": "the argument schedule of fit takes a function of the step",
    "CSVLogger": "the argument out of fit is a folder, into which history.csv is written",
    "History": "fit returns the history",
    "history": "fit returns the history",
    "resume": "bptt_native.resume continues the run of a folder",
    "find_lr": "bptt_native.find_lr(model, x, targets) tries learning rates",
    "load": "bptt_native.load reads a model file",
    "OneCycleLR": "fit has the arguments schedule='cosine' and warmup",
    "OneCycle": "fit has the arguments schedule='cosine' and warmup",
    "h0": "the argument state is the initial state; learn_initial_state=True trains one",
    "return_sequences": "layers return the states of all steps; Model has targets='every' or "
    "'last'",
    "return_state": "layers return all states and the final ones",
    "stateful": "pass the state of one call to the next",
    "recurrent_activation": "the gates are sigmoid functions",
    "device": "everything runs on the CPU",
    "to": "everything runs on the CPU",
    "cuda": "everything runs on the CPU",
    "eval": "there are no modes: layer(x) and model.evaluate draw no dropout, layer.forward does",
    "train": "there are no modes: layer.forward and model.train_step draw dropout",
    "zero_grad": "every backward pass returns new gradients",
    "grad": "gradients are returned by backward and gradients",
    "compile": "loss and optimizer are arguments of Model",
    "n_jobs": "bptt_native.set_num_threads sets the number of threads",
    "x_test": "pass it to evaluate or predict",
    "optimizer_state": "model.optimizer.state_dict() returns the state of the optimiser",
    "Linear": "Model has a linear readout",
    "Dense": "Model has a linear readout",
    "Embedding": "Model has an embedding: its argument embedding_size",
    "Dropout": "layers and Model have an argument dropout",
    "learning_rate": "lr is an argument of Model and of optimisers",
    "lr": "lr is an argument of Model and of optimisers",
    "optimizer": "optimizer is an argument of Model",
    "loss": "loss is an argument of Model",
    "class_weight": "class_weights is an argument of Model",
    "shuffle": "the order of the sequences is another in each epoch; its seed is an argument",
    "save": "model.save writes a model",
    "manual_seed": "seed is an argument of layers, of Model and of fit",
    "seed": "seed is an argument of layers, of Model and of fit",
    "nn": "layers are attributes of bptt_native itself",
    "layers": "layers are attributes of bptt_native itself",
    "LSTM": "layers are attributes of bptt_native itself",
    "GRU": "layers are attributes of bptt_native itself",
    "RNN": "layers are attributes of bptt_native itself",
    "optim": "optimisers are attributes of bptt_native itself",
    "optimizers": "optimisers are attributes of bptt_native itself",
    "losses": "the loss is an argument of Model",
}


def _bare(name: str) -> str:
    """Return a name without the differences of spelling between libraries."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


@lru_cache(1)
def _own_names() -> dict[str, list[str]]:
    """Return the own names for each bare foreign one, in the order of the table."""
    own: dict[str, list[str]] = {}
    for name, foreign in FOREIGN.items():
        for other in foreign.split():
            own.setdefault(_bare(other), []).append(name)
    return own


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the name that someone probably means.

    Parameters
    ----------
    name : str
        The name that was typed.
    known : iterable of str
        The names that exist in its place. Underscores, hyphens and case do not matter.

    Returns
    -------
    str or None
        One of `known`: the same but for case, underscores and hyphens; or the one for which other
        libraries have this name; or the most similar one. None if there is no such name.

    Examples
    --------
    >>> from bptt_native.arguments.names import nearest
    >>> nearest("learning_rate", ["lr", "momentum"]), nearest("momentun", ["lr", "momentum"])
    ('lr', 'momentum')
    """
    from difflib import get_close_matches

    typed, bare = _bare(name), {_bare(own): own for own in known}
    if not typed:
        return None
    if typed in bare:
        return bare[typed]
    meant = {
        foreign: next(bare[_bare(own)] for own in owns if _bare(own) in bare)
        for foreign, owns in _own_names().items()
        if any(_bare(own) in bare for own in owns)
    }
    if typed in meant:
        return meant[typed]
    if typed in _own_names() or typed in map(_bare, ADVICE):
        # something that does not exist here, unless it is nearly the same name
        near = get_close_matches(typed, bare, 1, 0.9)
        return bare[near[0]] if near else None
    for table, cutoff in ((bare, 0.7), (meant, 0.85), (bare, 0.6)):
        near = get_close_matches(typed, table, 1, cutoff)
        if near:
            return table[near[0]]
    longer = [own for other, own in bare.items() if len(typed) > 2 and other.startswith(typed)]
    return longer[0] if len(longer) == 1 else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: "; did you mean 'lr'?", or advice.

    Parameters
    ----------
    name : str
        The name that was typed.
    known : iterable of str
        The names that exist in its place.

    Returns
    -------
    str
        Empty if there is nothing to suggest.
    """
    near = nearest(name, known)
    if near is not None:
        return f"; did you mean {near!r}?"
    advice = [text for other, text in ADVICE.items() if _bare(other) == _bare(name)]
    return f"; {advice[0]}" if advice else ""


def with_guess(value: str, known: Iterable[str]) -> str:
    """Return an unknown value with the one that is probably meant.

    Parameters
    ----------
    value : str
        The value that was passed.
    known : iterable of str
        The values that are allowed.

    Returns
    -------
    str
        For example "'lsmt' (did you mean 'lstm'?)".
    """
    near = nearest(value, known)
    return f"{value!r:.80}" + (f" (did you mean {near!r}?)" if near else "")


def unexpected_argument(where: str, name: str, known: Iterable[str]) -> TypeError:
    """Return the error about an argument that a function does not have.

    Parameters
    ----------
    where : str
        The function.
    name : str
        The argument that was passed.
    known : iterable of str
        The arguments of the function.

    Returns
    -------
    TypeError
        For example "GRU: unexpected argument 'drop_out'; did you mean 'dropout'?".
    """
    known = list(known)
    end = suggestion(name, known)
    if not end and known and len(known) <= MOST_LISTED:
        end = f"; the arguments are {', '.join(known)}"
    return TypeError(f"{where}: unexpected argument {name!r}{end}")


def missing_attribute(
    owner: object, name: str, known: Iterable[str] | None = None
) -> AttributeError:
    """Return the error about an attribute that an object or module does not have.

    Parameters
    ----------
    owner : object
        The object or module.
    name : str
        The attribute that was looked up.
    known : iterable of str, optional
        The names of its public attributes; by default those of ``dir(owner)``.

    Returns
    -------
    AttributeError
        For example "'Model' object has no attribute 'learning_rate'; did you mean 'lr'?".
    """
    kind = f"{type(owner).__name__!r} object"
    if isinstance(owner, ModuleType):
        public = owner.__name__.replace(".training.", ".")  # the name by which users import it
        kind = f"module {public!r}"
    elif isinstance(owner, type):
        kind = f"type object {owner.__name__!r}"
    end = ""
    if not name.startswith("_"):
        known = dir(owner) if known is None else known
        end = suggestion(name, [own for own in known if not own.startswith("_")])
        parameters = getattr(owner, "parameters", ()) if hasattr(type(owner), "parameters") else ()
        if not end and (near := nearest(name, parameters)):
            end = f"; did you mean parameters[{near!r}]?"
    # Without `obj`, Python adds no suggestion of its own to a traceback.
    return AttributeError(f"{kind} has no attribute {name!r}{end}", name=name)


def missing_key(name: object, known: Iterable[str]) -> KeyError:
    """Return the error about a parameter that does not exist.

    Parameters
    ----------
    name : object
        The key that was looked up.
    known : iterable of str
        The names of the parameters.

    Returns
    -------
    KeyError
        For example "no parameter 'weight_hh'; did you mean 'weight_hh_l0'?".
    """
    known = list(known)
    end = suggestion(name, known) if isinstance(name, str) else ""
    return KeyError(f"no parameter {name!r:.80}{end or '; the names are ' + ', '.join(known)}")


def refuse_unknown(where: str, function: Callable[..., Any], given: Iterable[str]) -> None:
    """Refuse the first of some arguments by name that a function does not have.

    Parameters
    ----------
    where : str
        The function, for the message.
    function : callable
        The function itself.
    given : iterable of str
        The names of the arguments that were passed.

    Raises
    ------
    TypeError
        If there is one.
    """
    kinds = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    parameters = signature(function).parameters.values()
    known = [p.name for p in parameters if p.kind in kinds and p.name not in ("self", "cls")]
    for name in given:
        if name not in known:
            raise unexpected_argument(where, name, known) from None


def guided(it: It) -> It:
    """Make a function, or the methods of a class, suggest an argument for an unknown one.

    Parameters
    ----------
    it : function or class
        A function is called as before, in a ``try`` block. Functions that are called so often that
        even this counts have an argument ``**unknown: Never`` instead, which they pass to
        `refuse_unknown` if it is not empty. The signature hides it. Their required arguments are
        `NOTHING` by default, so that they begin even if an argument has another name; their checks
        refuse it. Functions with another ``**`` argument are left as they are. Of a class, the
        constructor, ``__call__`` and all public methods are treated in this way.

    Returns
    -------
    function or class
        The function with the same signature, or the class itself.
    """
    if isinstance(it, type):
        for name, method in list(vars(it).items()):
            public = name in ("__init__", "__call__") or not name.startswith("_")
            if public and isinstance(method, FunctionType):
                setattr(it, name, guided(method))
        if issubclass(it, tuple):
            it.__new__ = staticmethod(guided(it.__new__))  # type: ignore[method-assign]
        return it
    assert isinstance(it, FunctionType)
    code = it.__code__
    if code.co_flags & CO_VARKEYWORDS:
        fixed = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & CO_VARARGS)
        if code.co_varnames[fixed] == "unknown":
            whole = signature(it)
            known = [p for p in whole.parameters.values() if p.name != "unknown"]
            it.__signature__ = whole.replace(parameters=known)  # type: ignore[attr-defined]
            required = code.co_argcount - len(it.__defaults__ or ()) - 1  # without self
            it.__defaults__ = (NOTHING,) * required + (it.__defaults__ or ())
        return it

    @wraps(it)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return it(*args, **kwargs)
        except TypeError as error:
            trace = error.__traceback__
            if trace is not None and trace.tb_next is None:  # the function did not begin
                place = _place(it, args)
                refuse_unknown(place, it, kwargs)
                refuse_other_object(it, args)
                refuse_positional(place, it, args)
                text = str(error).replace(f"{it.__qualname__}()", f"{place}:")
                raise TypeError(text) from None
            raise

    return cast(It, call)


def _place(function: FunctionType, args: tuple[Any, ...]) -> str:
    """Return the name of a function for messages: methods by the class of the object."""
    owner, dot, name = function.__qualname__.rpartition(".")
    if not dot or owner.endswith("<locals>"):
        return name
    if args:
        owner = (args[0] if isinstance(args[0], type) else type(args[0])).__name__
    return owner if name in ("__init__", "__new__") else f"{owner}.{name}"


def guide(module: dict[str, Any], names: Iterable[str]) -> None:
    """Make a module show its public names only, and suggest one for a name that it does not have.

    `guided` is applied to the functions among them.

    Parameters
    ----------
    module : dict
        ``globals()`` of the module.
    names : iterable of str
        Its public names.
    """
    public = sorted(names)

    def missing(name: str) -> NoReturn:
        raise missing_attribute(modules[module["__name__"]], name, public)

    module.update({n: guided(module[n]) for n in public if isinstance(module[n], FunctionType)})
    module.update(__dir__=public.copy, __getattr__=missing)
