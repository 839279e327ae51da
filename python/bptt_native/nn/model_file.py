"""Model files, read."""

from __future__ import annotations

import os
import warnings

from .. import _core
from ..arguments.values import file_name
from .model import Model


def load(path: str | os.PathLike[str]) -> Model:
    """Read a model file that `Model.save` wrote.

    Nothing in the file is executed; it is read, checked against its SHA-256 and refused with the
    reason if it is anything else. Foreign weights go through `Model.load_state_dict`.

    A bidirectional model whose readout reads both directions at the last step
    (``targets="last_row"``, as all files with ``targets="last"`` were once meant) is loaded with
    that meaning and a UserWarning.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    Model
        Ready to go on training.

    Raises
    ------
    TypeError
        If `path` is no path.
    OSError
        If the file cannot be read.
    ValueError
        If it is no model file, or altered, truncated or of a newer format.

    Warns
    -----
    RuntimeWarning
        If a parameter is NaN or infinite.
    """
    model = Model.__new__(Model)
    name = file_name(path, "load")
    model._build(_core.Model.load(name))
    if model._config["targets"] == "last_row":
        warnings.warn(
            f"{os.fsdecode(name)}: this bidirectional model reads both directions at the last "
            "step (targets='last_row'), where the reverse direction has read one step only; it "
            "keeps that meaning. A new model with Model(**{**model.config, 'targets': 'last'}) "
            "reads the final state of each direction; its weights have to be trained again",
            stacklevel=2,
        )
    model._warn_of_nonfinite("load", model._params.get())
    return model
