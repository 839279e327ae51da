"""Texts of warnings about the gradient: the finding, and advice."""

import math
from typing import Any

from ..diagnostics.nets import shape_of
from ..nn.network import Network
from ..options.init import Init
from .gradient_record import LayerRecord


def vanishing_text(top: LayerRecord, steps: int) -> str:
    """Return the text about a gradient that vanishes over `steps` steps."""
    back, factor = top.horizon[1], f"a factor of {top.growth:.3g} per step"
    if back is None:
        return f"the gradient vanishes over {steps} steps ({factor})"
    return (
        f"the gradient vanishes: {back} step{'s' * (back != 1)} back (of {steps}) only 1 % of "
        f"||dL/dh|| at the last step is left ({factor}); the model hardly learns from earlier steps"
    )


def exploding_text(top: LayerRecord) -> str:
    """Return the text about a gradient that explodes."""
    bad = next((d for d, norm in enumerate(top.h) if not math.isfinite(norm)), None)
    if bad is not None:
        return f"the gradient explodes: ||dL/dh|| is not finite {bad} steps back"
    peak = max(top.h) / top.h[0] if top.h[0] > 0 else math.inf
    rates = f"a factor of {peak:.3g} on its way back ({top.growth:.3g} per step)"
    return f"the gradient explodes: ||dL/dh|| grows by {rates}"


def against_vanishing(model: Network) -> str:
    """Return advice against vanishing, without what the model has or its options exclude."""
    config = model.config
    kind = getattr(config["init"], "weights", config["init"])
    shape, relu = shape_of(model), {"nonlinearity": "relu"}
    gated = len(shape.gates) > 1
    identity = "init='identity'"
    if config["nonlinearity"] != "relu":
        identity += " with nonlinearity='relu'"
    chrono = "Init('chrono', time_scale=longest dependency)"
    if config["forget_bias"] is not None:
        chrono += " instead of forget_bias"
    slow = {"init": Init("chrono", time_scale=2), "forget_bias": None}
    ways = {
        "an LSTM or GRU (cell='lstm')": not gated,
        "init='orthogonal'": not shape.has_c
        and kind not in ("orthogonal", "identity")
        and _allows(model, init="orthogonal"),
        identity: not gated and kind != "identity" and _allows(model, init="identity", **relu),
        "omega above 0": config["omega"] == 0 and _allows(model, omega=1.0),
        "a larger forget_bias (1 or more)": (config["forget_bias"] or 0) < 1
        and _allows(model, forget_bias=1.0),
        chrono: kind != "chrono" and _allows(model, **slow),
    }
    chosen = [way for way, fits in ways.items() if fits] or ["more training"]
    return (
        f"To reach farther, try {_either(chosen)}. If it need not reach farther, a shorter window "
        "costs less"
    )


def against_exploding(model: Network, mean: float) -> str:
    """Return advice against exploding; `mean` is the mean norm of the gradient so far."""
    config = model.config
    ways = ["a lower learning rate", "a shorter window"]
    kind = getattr(config["init"], "weights", config["init"])
    if kind != "orthogonal" and _allows(model, init="orthogonal"):
        ways.insert(1, "init='orthogonal'")
    if config["clip_norm"] is None:
        known = math.isfinite(mean)
        around = f"; here {0.5 * mean:.2g} to {10 * mean:.2g}" if known else ""
        ways.insert(0, f"clip_norm (0.5 to 10 times the usual norm{around})")
    elif math.isfinite(mean) and config["clip_norm"] > 10 * mean:
        ways.insert(0, f"a lower clip_norm ({0.5 * mean:.2g} to {10 * mean:.2g})")
    return f"Try {_either(ways)}"


def _allows(model: Network, **changes: Any) -> bool:
    """Return whether the engine accepts the model's options with some changes."""
    config = model.config
    small = {"hidden_size": 2, "proj_size": min(config["proj_size"], 1),
             "embedding_size": config["embedding_size"] and 1, "dropout": 0.0,
             "variational": False}  # fmt: skip
    try:
        model.with_options(**(small | changes))
    except ValueError:
        return False
    return True


def _either(ways: list[str]) -> str:
    return f"{', '.join(ways[:-1])} or {ways[-1]}" if len(ways) > 1 else ways[0]
