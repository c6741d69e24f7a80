"""The parameters of a loop's `train(data, ...)`. Nothing heavy may be imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def parameters_of(train: Callable[..., Any]) -> dict[str, Any]:
    """The named parameters of `train` after its data, with their defaults.

    >>> def train(data, depth: int = 3, **more): ...
    >>> parameters_of(train)
    {'depth': 3}
    """
    return {
        each.name: each.default
        for each in _after_data(train)
        if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    }


def takes_any(train: Callable[..., Any]) -> bool:
    """Whether it takes parameters of any name: `**parameters`."""
    return any(each.kind is each.VAR_KEYWORD for each in _after_data(train))


def _after_data(train: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(train).parameters.values())[1:]
