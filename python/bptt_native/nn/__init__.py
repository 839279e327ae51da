"""Layers, models, streams, gradients and optimisers."""

from ..arguments.names import guide as _guide

_guide(globals(), [])
