"""A training run as one HTML page that needs nothing else."""

from .data import collect
from .page import page

__all__ = ["collect", "page"]
