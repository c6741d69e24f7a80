"""The key of an execution: equal keys, equal outputs. And what makes a parameter's value the same value."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import FunctionType
from typing import Any, Protocol, runtime_checkable

from loopwright.errors import NotStorable, UsageError

FORMAT = 1
"""Rises when stored values or keys change their meaning: then nothing older is reused."""


@runtime_checkable
class Digestible(Protocol):
    """A parameter that says itself when it is the same: a table, for one, by its version."""

    @property
    def digest(self) -> str: ...


def execution_key(
    *, code: str, parameters: Mapping[str, Any], inputs: Mapping[str, str], environment: str, seed: int | None
) -> str:
    """Digest of all that an output depends on. `seed` is None for a step that does not ask for it."""
    return digest(
        {
            "format": FORMAT,
            "code": code,
            "parameters": {name: canonical(value, name) for name, value in parameters.items()},
            "inputs": dict(inputs),
            "environment": environment,
            "seed": seed,
        }
    )


def digest(value: Any) -> str:
    """SHA-256 of the JSON of a value, whatever the order of its names.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def canonical(value: Any, where: str) -> Any:
    """The value as JSON in which different values differ: 1 is not 1.0, a tuple no list, a path is its content.

    Raises NotStorable for what has no safe identity.
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return {"float": repr(value) if math.isfinite(value) else str(value)}
    for kinds, write in _WRITERS:
        if isinstance(value, kinds):
            return {type(value).__qualname__: write(value, where)}
    if isinstance(value, Digestible) and isinstance(own := getattr(value, "digest", None), str):
        return {"digest": own, "type": type(value).__qualname__}
    if is_dataclass(value) and not isinstance(value, type):
        return {type(value).__qualname__: {f.name: canonical(getattr(value, f.name), where) for f in fields(value)}}
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise NotStorable(
        f"parameter {where!r} is a {kind}, which has no safe identity: a changed one could go unnoticed",
        fix="pass numbers, text, lists, dicts, dataclasses or a Path; or give its class a property `digest`",
    )


def _sequence(value: Any, where: str) -> Any:
    return [canonical(item, where) for item in value]


def _unordered(value: Any, where: str) -> Any:
    return sorted((canonical(item, where) for item in value), key=repr)


def _mapping(value: Mapping[Any, Any], where: str) -> Any:
    return _unordered(((k, v) for k, v in value.items()), where)


def _path(path: Path, where: str) -> Any:
    """The content, so that a changed file runs the step again. Raises UsageError when there is none."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if path.is_dir():
        return {entry.relative_to(path).as_posix(): _path(entry, where) for entry in sorted(_files_below(path, set()))}
    raise UsageError(f"there is no file or folder {path}", where=f"parameter {where}", fix="correct the path")


def _files_below(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Behind links too, each folder once: data is often kept elsewhere and linked to."""
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            yield from _files_below(entry, seen)
        elif entry.is_file():
            yield entry


def _moment(value: datetime | time, _: str) -> Any:
    """The rules of the time zone count, not just the offset of the moment."""
    return [value.isoformat(), str(value.tzinfo), value.fold]


_WRITERS: tuple[tuple[Any, Callable[[Any, str], Any]], ...] = (
    (Enum, lambda value, where: value.name),
    ((datetime, time), _moment),
    (date, lambda value, where: value.isoformat()),
    ((timedelta, Decimal, complex), lambda value, where: repr(value)),
    (bytes, lambda value, where: value.hex()),
    ((list, tuple), _sequence),
    ((set, frozenset), _unordered),
    (Mapping, _mapping),
    (Path, lambda value, where: [value.name, _path(value, where)]),
)


def as_json(value: Any) -> Any:
    """A parameter for the record: itself where JSON can hold it, else as text; a function by its name.

    >>> as_json({"since": date(2013, 1, 1), "limit": 3})
    {'since': '2013-01-01', 'limit': 3}
    """
    if value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value)):
        return value
    if isinstance(value, Mapping):
        return {str(name): as_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return f"{value.__module__}.{value.__qualname__}" if isinstance(value, FunctionType) else str(value)
