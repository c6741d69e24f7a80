"""Annotations at work: whether a producer fits a consumer, whether a value is what was promised, text read as a type.

What cannot be decided counts as fitting: a check here must never stop something that would have worked.
"""

from __future__ import annotations

import json
import numbers
import types
import typing
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from loopwright.errors import UsageError

_FROM_LISTS: set[Any] = {tuple, set, frozenset}


def name(annotation: Any) -> str:
    """How a person writes the type.

    >>> name(int), name(list[int])
    ('int', 'list[int]')
    """
    if annotation is type(None) or annotation is None:
        return "None"
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__qualname__
    return str(annotation).replace("typing.", "")


def fits(given: Any, wanted: Any) -> bool:
    """Whether a value annotated `given` may go where `wanted` is annotated.

    >>> fits(int, float), fits(bool, int | None), fits(list[int], list[str]), fits(dict, Any)
    (True, True, False, True)
    """
    given, wanted = _plain(given), _plain(wanted)
    if Any in (given, wanted) or object in (given, wanted) or given == wanted:
        return True
    if _is_union(given):
        return all(fits(option, wanted) for option in get_args(given))
    if _is_union(wanted):
        return any(fits(given, option) for option in get_args(wanted))
    if get_origin(given) is Literal:
        return all(is_a(value, wanted) for value in get_args(given))
    return _origins_fit(given, wanted) and _arguments_fit(given, wanted)


def is_a(value: Any, annotation: Any) -> bool:
    """Whether the value is of the annotated kind; what a container holds is not looked at.

    >>> is_a(1, float), is_a("1", int), is_a([1], list[str]), is_a(None, int | None)
    (True, False, True, True)
    """
    annotation = _plain(annotation)
    if annotation is Any:
        return True
    if annotation is None or annotation is type(None):
        return value is None
    if _is_union(annotation):
        return any(is_a(value, option) for option in get_args(annotation))
    if get_origin(annotation) is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(annotation))
    kind = get_origin(annotation) or annotation
    if kind in (int, float) and not isinstance(value, bool):  # NumPy's numbers too
        return isinstance(value, numbers.Integral if kind is int else numbers.Real)
    return not isinstance(kind, type) or _is_protocol(kind) or isinstance(value, kind)


def convert(value: Any, annotation: Any, where: str) -> Any:
    """Text from a command line as the annotated type; other values as they are. Raises UsageError.

    >>> convert("0.5", float, ""), convert("[1, 2]", list[int], ""), convert("none", int | None, "")
    (0.5, [1, 2], None)
    """
    if isinstance(value, str):
        for option in _options(annotation):
            try:
                return _read(value, option)
            except (ValueError, KeyError):
                continue
    elif is_a(value, annotation):
        return value
    elif isinstance(value, list):  # as JSON has kept it: a tuple or a set
        for kind in {get_origin(option) or option for option in _options(annotation)} & _FROM_LISTS:
            return kind(value)
    raise UsageError(f"{value!r} is no {name(annotation)}", where=where, fix=f"give a value of type {name(annotation)}")


def _options(annotation: Any) -> Sequence[Any]:
    """The types to try in turn, text last: it fits everything."""
    annotation = _plain(annotation)
    options = get_args(annotation) if _is_union(annotation) else (annotation,)
    return sorted(options, key=lambda option: option in (str, Any))


def _read(text: str, annotation: Any) -> Any:
    kind = get_origin(annotation) or annotation
    if kind is str or kind is Any or kind is object:
        return text
    if kind in (None, type(None)):
        return _none(text)
    if kind is bool:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
    if kind in (int, float):
        return kind(text)
    if kind is Literal:
        return {str(choice): choice for choice in get_args(annotation)}[text]
    if isinstance(kind, type):
        return _read_as(text, kind)
    return text


def _read_as(text: str, kind: Any) -> Any:
    if issubclass(kind, Path):
        return kind(text)
    if issubclass(kind, date | time):
        return kind.fromisoformat(text)
    if issubclass(kind, Decimal):
        try:
            return kind(text)
        except InvalidOperation:
            raise ValueError(text) from None
    if issubclass(kind, Enum):
        return kind[text] if text in kind.__members__ else kind(text)
    value = json.loads(text)
    if kind in _FROM_LISTS and isinstance(value, list):
        return kind(value)
    if not isinstance(value, kind):
        raise ValueError(text)  # noqa: TRY004 - told to the caller as a wrong value
    return value


def _none(text: str) -> None:
    if text.lower() not in ("none", "null", ""):
        raise ValueError(text)


def _plain(annotation: Any) -> Any:
    """Without what says nothing about the value: Annotated, NewType, type aliases."""
    if get_origin(annotation) is typing.Annotated:
        return _plain(get_args(annotation)[0])
    if isinstance(annotation, typing.NewType):
        return _plain(annotation.__supertype__)
    if isinstance(annotation, typing.TypeVar):
        return Any
    if hasattr(annotation, "__value__"):
        return _plain(annotation.__value__)
    if typing.is_typeddict(annotation):
        return dict
    return type(None) if annotation is None else annotation


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def _origins_fit(given: Any, wanted: Any) -> bool:
    source, target = get_origin(given) or given, get_origin(wanted) or wanted
    if not isinstance(source, type) or not isinstance(target, type) or _is_protocol(target):
        return True
    if (source, target) in ((int, float), (datetime, date)):
        return True
    return issubclass(source, target)


def _arguments_fit(given: Any, wanted: Any) -> bool:
    left, right = get_args(given), get_args(wanted)
    if not left or not right or len(left) != len(right) or get_origin(given) is not get_origin(wanted):
        return True
    return all(a is ... or b is ... or fits(a, b) for a, b in zip(left, right, strict=True))
