"""Plans, states, facts and decisions as JSON, and back. Floats are told in full: what is read is what was written."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import cache, partial
from typing import Any, TypeVar

from loopwright.errors import DataError

T = TypeVar("T")
Reader = Callable[[Any], Any]
_AS_THEY_ARE = (str, int, float, bool, type(None))


def plain(value: Any) -> Any:
    """As dicts, lists, strings and numbers. Times as ISO 8601, lengths of time in seconds.

    >>> plain(timedelta(minutes=1)), plain((1, None))
    (60.0, [1, None])
    """
    kind: Any = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is tuple or kind is list:
        return [plain(one) for one in value]
    if hasattr(kind, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in _hints(kind)}
    match value:
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Enum():
            return value.value
        case _:
            raise TypeError(f"{value!r} is nothing plain")


def restored(kind: type[T], found: Any) -> T:
    """What `plain` was given. Raises `DataError` for what it did not make."""
    wanted: Any = kind
    try:
        made: T = _reader(wanted)(found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"this is no {kind.__name__}: {error!r}",
            fix="give what was stored, unchanged, to the version that wrote it",
        ) from None
    return made


@cache
def _reader(kind: Any) -> Reader:
    """Worked out once for a type, for states are read at every step."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        read = _reader(next(one for one in inner if one is not type(None)))
        return lambda found: None if found is None else read(found)
    if origin is tuple:
        each = inner[0] if inner[0] in (float, bool) else _reader(inner[0])
        return lambda found: tuple(map(each, found))
    if is_dataclass(kind):
        return _reader_of_fields(kind)
    if kind is datetime:
        return datetime.fromisoformat
    if kind is timedelta:
        return lambda found: timedelta(seconds=found)
    return kind if issubclass(kind, Enum) else _exactly(kind)


def _exactly(kind: Any) -> Reader:
    right = (float, int) if kind is float else kind

    def read(found: Any) -> Any:
        if not isinstance(found, right):
            raise TypeError(f"{found!r} is no {kind.__name__}")
        return kind(found)

    return read


def _reader_of_fields(kind: Any) -> Reader:
    """Past `__init__`, which of a plan takes words and not what they came to. What was written before a field was there
    gets its default; a part that is not known is no part of it."""
    readers = {name: _reader(hint) for name, hint in _hints(kind).items()}
    defaults = _defaults(kind)
    check: Callable[[Any], None] = getattr(kind, "__post_init__", lambda made: None)

    def read(found: Mapping[str, Any]) -> Any:
        if not found.keys() <= readers.keys() or not readers.keys() - found.keys() <= defaults.keys():
            raise TypeError(f"its parts are {', '.join(found)}")
        made = object.__new__(kind)
        for name, one in readers.items():
            object.__setattr__(made, name, one(found[name]) if name in found else defaults[name]())
        check(made)
        return made

    return read


@cache
def _hints(kind: Any) -> dict[str, Any]:
    known = typing.get_type_hints(kind)
    return {field.name: known[field.name] for field in fields(kind)}


def _defaults(kind: Any) -> dict[str, Callable[[], Any]]:
    """By the field, what makes its default."""
    found: dict[str, Callable[[], Any]] = {}
    for field in fields(kind):
        if field.default_factory is not MISSING:
            found[field.name] = field.default_factory
        elif field.default is not MISSING:
            found[field.name] = partial(copy, field.default)
    return found
