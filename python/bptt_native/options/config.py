"""The arguments that made a layer or model, as a dictionary that cannot be changed."""

from __future__ import annotations

from typing import Any, NoReturn


class Config(dict[str, Any]):
    """The arguments of a constructor by name.

    It is read-only, because a change would not reach the layer or model. Its copies and pickles are
    ordinary dictionaries.

    Examples
    --------
    >>> config = bn.GRU(2, 3).config
    >>> bn.GRU(**{**config, "hidden_size": 5})
    GRU(2, 5)
      parameter     shape    elements
      weight_ih_l0  [15, 2]        30
      weight_hh_l0  [15, 5]        75
      bias_ih_l0    [15]           15
      bias_hh_l0    [15]           15
      135 parameters, float32, 540 B
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _refuse(self: Config, *args: object, **kwargs: object) -> NoReturn:
    raise TypeError(
        "config is read-only: model.with_options(...) makes a new model with other options, "
        "dict(config) is a dictionary that can be changed"
    )


for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault",
              "update"):  # fmt: skip
    setattr(Config, _name, _refuse)
