"""Layers, models, streams, gradients and optimisers."""
