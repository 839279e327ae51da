"""Report of a training run as one self-contained HTML page."""

from .data import collect
from .page import page

__all__ = ["collect", "page"]
