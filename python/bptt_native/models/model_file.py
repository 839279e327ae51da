"""The loading of model files."""

from __future__ import annotations

import os

from .. import _core
from ..arguments.caller import warn
from ..arguments.names import guided
from ..arguments.values import file_name
from .model import Model


@guided
def load(path: str | os.PathLike[str]) -> Model:
    """Load a model file that `Model.save` wrote.

    Nothing in the file is executed. The file is checked, together with its SHA-256, and refused
    with the reason if it is anything else. Weights from other libraries can be loaded by
    `Model.load_state_dict`.

    In older files of bidirectional models ``targets="last"`` meant the last step of both
    directions. They are loaded with that meaning, which is now called "last_row", and a
    UserWarning.

    Parameters
    ----------
    path : str or path
        The file, or the folder of a run.

    Returns
    -------
    Model
        A model that can continue training.

    Raises
    ------
    TypeError
        If `path` is no path.
    OSError
        If the file cannot be read.
    ValueError
        If it is no model file, was altered or truncated, or has a newer format.

    Warns
    -----
    RuntimeWarning
        If a parameter is NaN or infinite.
    UserWarning
        If the readout of a bidirectional model reads both directions at the last step.

    Examples
    --------
    >>> model = bn.Model("gru", input_size=2, hidden_size=4, output_size=3)
    >>> model.save("model.safetensors")
    >>> twin = bn.load("model.safetensors")
    >>> twin.config == model.config
    True
    """
    from ..training.run_files import MODEL_FILE, model_file_of

    model = Model.__new__(Model)
    name = file_name(path, "load")
    place = model_file_of(os.fsdecode(name))
    name = os.fsencode(place) if place.name == MODEL_FILE and place.is_file() else name
    model._build(_core.Model.load(name))
    if model._config["targets"] == "last_row":
        warn(
            f"{os.fsdecode(name)}: this bidirectional model reads both directions at the last "
            "step (targets='last_row'), where the reverse direction has read one step only; it "
            "keeps that meaning. A new model with Model(**{**model.config, 'targets': 'last'}) "
            "reads the final state of each direction; its weights have to be trained again",
        )
    model._warn_of_nonfinite("load", model._params.get())
    return model
