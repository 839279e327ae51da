"""Texts of warnings about the gradient: the finding, and advice."""

import math

from ..diagnostics.nets import shape_of
from ..nn.model import Model
from .gradient_record import LayerRecord


def fades(top: LayerRecord, steps: int) -> str:
    """Return the text about a gradient that vanishes over `steps` steps."""
    back, factor = top.horizon[1], f"a factor of {top.growth:.3g} per step"
    return (
        f"the gradient vanishes: {back} of {steps} steps back 1 % of ||dL/dh|| at the last step is "
        f"left ({factor}); the model hardly learns from earlier steps"
    )


def grows(top: LayerRecord) -> str:
    """Return the text about a gradient that explodes."""
    bad = next((d for d, norm in enumerate(top.h) if not math.isfinite(norm)), None)
    if bad is not None:
        return f"the gradient explodes: ||dL/dh|| is not finite {bad} steps back"
    peak = max(top.h) / top.h[0] if top.h[0] > 0 else math.inf
    factor = f"a factor of {top.growth:.3g} per step"
    return f"the gradient explodes: ||dL/dh|| grows {peak:.3g} times on its way back ({factor})"


def against_vanishing(model: Model) -> str:
    """Return advice against vanishing, without the remedies that the model already has."""
    config = model.config
    kind = getattr(config["init"], "weights", config["init"])
    shape, relu = shape_of(model), config["nonlinearity"] == "relu"
    gated = len(shape.gates) > 1
    identity = "init='identity'" + ("" if relu else " with nonlinearity='relu'")
    chrono = "Init('chrono', time_scale=longest dependency)"
    ways = {
        "an LSTM or GRU (cell='lstm')": not gated,
        "init='orthogonal'": shape.products > 0
        and not shape.has_c
        and kind not in ("orthogonal", "identity"),
        identity: not gated and kind != "identity",
        "omega above 0": not gated and config["omega"] == 0,
        "a larger forget_bias (1 or more)": shape.has_c
        and not config["coupled"]
        and kind != "chrono"
        and (config["forget_bias"] or 0) < 1,
        chrono: gated and kind != "chrono",
    }
    chosen = [way for way, fits in ways.items() if fits] or ["more training"]
    return f"To reach farther, try {_either(chosen)}. If it need not, a shorter window costs less"


def against_exploding(model: Model, mean: float) -> str:
    """Return advice against exploding; `mean` is the mean norm of the gradient so far."""
    config = model.config
    ways = ["a lower learning rate", "a shorter window"]
    kind = getattr(config["init"], "weights", config["init"])
    if kind != "orthogonal" and shape_of(model).products:
        ways.insert(1, "init='orthogonal'")
    if config["clip_norm"] is None:
        known = math.isfinite(mean)
        around = f", {0.5 * mean:.2g} to {10 * mean:.2g} here" if known else ""
        ways.insert(0, f"clip_norm (0.5 to 10 times the usual norm{around})")
    elif math.isfinite(mean) and config["clip_norm"] > 10 * mean:
        ways.insert(0, f"a lower clip_norm ({0.5 * mean:.2g} to {10 * mean:.2g})")
    return f"Try {_either(ways)}"


def _either(ways: list[str]) -> str:
    return f"{', '.join(ways[:-1])} or {ways[-1]}" if len(ways) > 1 else ways[0]
