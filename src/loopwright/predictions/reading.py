"""Read what was predicted, with what came true, as values or as frames. Polars is imported only for a frame.

A span is from a moment, included, to a moment, not included.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from loopwright.predictions import finding, journal, labels
from loopwright.predictions.journal import Line
from loopwright.predictions.labels import Label

if TYPE_CHECKING:
    import polars as pl

_logger = logging.getLogger(__name__)
find = finding.find


@dataclass(frozen=True, slots=True)
class Read:
    """Predictions in the order of their ids, and how many lines were torn and left out."""

    lines: Sequence[Line]
    torn: int


class _Glance(msgspec.Struct, frozen=True):
    """Of a line what tells whether it is asked for: a quarter of the time of reading it."""

    at: datetime
    version: int


def read(
    workspace: Path,
    loop: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    version: int | None = None,
) -> Read:
    """The predictions of a loop, of one version or all."""
    glance, decoder, found, torn = msgspec.json.Decoder(_Glance), msgspec.json.Decoder(Line), [], 0
    for text in journal.lines(workspace / journal.FOLDER, loop):
        try:
            seen = glance.decode(text)
            if (since and seen.at < since) or (until and seen.at >= until) or version not in (None, seen.version):
                continue
            found.append(decoder.decode(text))
        except msgspec.MsgspecError:
            torn += 1
    if torn:
        _logger.warning("%d lines of the journal of %s are torn, and left out", torn, loop)
    return Read(sorted(found, key=_place), torn)


def newest(workspace: Path, loop: str, limit: int) -> list[tuple[Line, Label | None]]:
    """The last predictions, newest first, each with its label."""
    known = labels.newest(workspace, loop)
    return [(line, known.of(line.id, line.key)) for line in recent(workspace, loop, limit)]


def recent(workspace: Path, loop: str, limit: int) -> list[Line]:
    """The last predictions, newest first, read from the ends of the files."""
    decoder, found = msgspec.json.Decoder(Line), []
    for file in journal.files(workspace / journal.FOLDER, loop):
        for text in journal.last_lines(file, limit):
            with suppress(msgspec.MsgspecError):  # torn by a power cut
                found.append(decoder.decode(text))
    return sorted(found, key=_place, reverse=True)[:limit]


def _place(line: Line) -> finding.Place:
    return finding.parse(line.id) or ("", 0)


def predictions(
    workspace: Path,
    loop: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    version: int | None = None,
) -> pl.DataFrame:
    """A row a prediction: id, at, loop, version, digest, arm, unit, row, key, predicted, probabilities, value.

    `row`, `key` and `probabilities` are structs; a field that one version has and another has not is null there.
    """
    return _frame(read(workspace, loop, since=since, until=until, version=version).lines)


def joined(
    workspace: Path,
    loop: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    version: int | None = None,
) -> pl.DataFrame:
    """As `predictions`, with the newest label of each: label, labelled_at, label_origin; null where none came yet."""
    lines = read(workspace, loop, since=since, until=until, version=version).lines
    known = labels.newest(workspace, loop)
    found = [known.of(line.id, line.key) for line in lines]
    return _frame(lines).with_columns(
        _series("label", [label.label if label else None for label in found]),
        _moments("labelled_at", [label.at if label else None for label in found]),
        _texts("label_origin", [label.origin if label else None for label in found]),
    )


def _frame(lines: Sequence[Line]) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(
        [
            _texts("id", [line.id for line in lines]),
            _moments("at", [line.at for line in lines]),
            _texts("loop", [line.loop for line in lines]),
            pl.Series("version", [line.version for line in lines], dtype=pl.Int64),
            _texts("digest", [line.digest for line in lines]),
            _texts("arm", [line.arm for line in lines]),
            _texts("unit", [line.unit for line in lines]),
            _structs("row", [line.row for line in lines]),
            _structs("key", [line.key for line in lines]),
            _series("predicted", [line.label for line in lines]),
            _structs("probabilities", [line.probabilities for line in lines]),
            pl.Series("value", [line.value for line in lines], dtype=pl.Float64),
        ]
    )


def _texts(name: str, values: Sequence[str | None]) -> pl.Series:
    import polars as pl

    return pl.Series(name, values, dtype=pl.String)


def _moments(name: str, values: Sequence[datetime | None]) -> pl.Series:
    import polars as pl

    return pl.Series(name, values, dtype=pl.Datetime("us", "UTC"))


def _structs(name: str, values: Sequence[Mapping[str, Any] | None]) -> pl.Series:
    import polars as pl

    fields = _fields(values)
    if not fields:
        return pl.Series(name, [None] * len(values), dtype=pl.Null)
    columns = [_series(field, [one and one.get(field) for one in values]) for field in fields]
    structs = pl.DataFrame(columns).to_struct(name)
    is_there = pl.Series([one is not None for one in values])
    return structs.zip_with(is_there, pl.Series(name, [None] * len(values), dtype=structs.dtype))


def _fields(values: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """In the order they are met."""
    return list(dict.fromkeys(field for one in values if one for field in one))


def _series(name: str, values: Sequence[Any]) -> pl.Series:
    """Values of JSON as the narrowest type that holds all of them; of mixed kinds, as their JSON text."""
    import polars as pl

    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pl.Series(name, values, dtype=pl.Null)
    if kinds <= {int, float}:
        return pl.Series(name, values, dtype=pl.Int64 if kinds == {int} else pl.Float64, strict=False)
    if len(kinds) == 1 and kinds <= {bool, str}:
        return pl.Series(name, values, dtype=pl.Boolean if bool in kinds else pl.String)
    texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
    return pl.Series(name, texts, dtype=pl.String)
