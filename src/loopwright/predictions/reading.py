"""Read what was predicted, with what came true, as values or as frames: from the journal, and from the table that it
becomes. Polars is imported only for a frame, Arrow only where there is a table.

A span is from a moment, included, to a moment, not included.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from loopwright.predictions import columnar, delta, finding, journal, labels
from loopwright.predictions.journal import Line
from loopwright.predictions.labels import Label

if TYPE_CHECKING:
    import polars as pl

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Read:
    """Predictions in the order of their ids, and how many lines were torn and left out."""

    lines: Sequence[Line]
    torn: int


class _Glance(msgspec.Struct, frozen=True):
    """Of a line what tells whether it is asked for: a quarter of the time of reading it."""

    at: datetime
    version: int
    shadow: bool = False


def read(
    workspace: Path,
    loop: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    version: int | None = None,
    shadows: bool = False,
) -> Read:
    """The predictions of a loop, of one version or all; with `shadows` also those that nobody heard."""
    found, torn, versions = [], 0, None if version is None else {version}
    for line in stream(workspace, loop, since=since, until=until, versions=versions, shadows=shadows):
        if line is None:
            torn += 1
        else:
            found.append(line)
    if torn:
        _logger.warning("%d lines of the journal of %s are torn, and left out", torn, loop)
    return Read(sorted(found, key=_place), torn)


def stream(
    workspace: Path,
    loop: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    versions: Collection[int] | None = None,
    shadows: bool = False,
) -> Iterator[Line | None]:
    """One after the other, in the order of writing within each file; None for one that is torn.

    All that was answered before this began, each once: what becomes part of the table meanwhile is met in one of both.
    """
    root, read = workspace / journal.FOLDER, set[str]()

    def is_asked_for(seen: _Glance | Line) -> bool:
        is_heard = shadows or not seen.shadow
        return is_heard and _is_within(seen, since, until) and (versions is None or seen.version in versions)

    yield from _from_lines(root, loop, is_asked_for, read)
    for line in _from_columns(root, loop, read):
        if line is None or is_asked_for(line):
            yield line
    span: Any = {"since": since, "until": until, "versions": versions, "shadows": shadows}
    for table in delta.tables(root, loop, **span, left_out=read):
        yield from _lines(table)


def _from_lines(
    root: Path, loop: str, is_asked_for: Callable[[_Glance], bool], read: set[str]
) -> Iterator[Line | None]:
    """Of every file that is still there; the others are in the table."""
    glance, decoder = msgspec.json.Decoder(_Glance), msgspec.json.Decoder(Line)
    for file in journal.files(root, loop):
        with suppress(FileNotFoundError), file.open("rb") as opened:
            read.add(file.name)
            for text in opened:
                try:
                    if is_asked_for(glance.decode(text)):
                        yield decoder.decode(text)
                except msgspec.MsgspecError:
                    yield None


def _from_columns(root: Path, loop: str, read: set[str]) -> Iterator[Line | None]:
    for file in journal.column_files(root, loop):
        with suppress(FileNotFoundError):
            for found in columnar.batches(file):
                read.add(file.name)
                if found is None:
                    yield None
                else:
                    yield from _lines(_assembled(*found, file.name))


def _assembled(facts: columnar.Facts, first: int, batch: Any, file: str) -> Any:
    from loopwright.predictions import layout

    return layout.assemble([layout.of_columns(facts, first, batch, file)])


def _lines(table: Any) -> Iterator[Line]:
    from loopwright.predictions import layout

    return layout.lines(table)


def counts(workspace: Path, loop: str, *, since: datetime | None = None, until: datetime | None = None) -> Counter[int]:
    """How many rows were predicted on, by version. Shadows are not counted."""
    root, read, found = workspace / journal.FOLDER, set[str](), Counter[int]()
    glance = msgspec.json.Decoder(_Glance)
    for file in journal.files(root, loop):
        with suppress(FileNotFoundError), file.open("rb") as opened:
            read.add(file.name)
            for text in opened:
                with suppress(msgspec.MsgspecError):
                    seen = glance.decode(text)
                    found[seen.version] += not seen.shadow and _is_within(seen, since, until)
    for line in _from_columns(root, loop, read):
        if line is not None:
            found[line.version] += not line.shadow and _is_within(line, since, until)
    for table in delta.tables(root, loop, since=since, until=until, left_out=read, columns=["version"]):
        found.update(table["version"].to_pylist())
    return +found


def _is_within(seen: _Glance | Line, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or seen.at >= since) and (until is None or seen.at < until)


def newest(workspace: Path, loop: str, limit: int) -> list[tuple[Line, Label | None]]:
    """The last predictions, newest first, each with its label."""
    known = labels.newest(workspace, loop)
    return [(line, known.of(line.id, line.key)) for line in recent(workspace, loop, limit)]


def recent(workspace: Path, loop: str, limit: int) -> list[Line]:
    """The last predictions, newest first, read from the ends of the files. Without shadows."""
    root, read = workspace / journal.FOLDER, set[str]()
    found = [line for file in journal.files(root, loop) for line in _last(file, limit, read)]
    found += [line for file in journal.column_files(root, loop) for line in _last_of_columns(file, limit, read)]
    found = [line for line in found if not line.shadow]
    for table in delta.newest(root, loop, limit, left_out=read):
        found += _lines(table)
    return sorted(found, key=_place, reverse=True)[:limit]


def _last(file: Path, limit: int, read: set[str]) -> list[Line]:
    decoder, found = msgspec.json.Decoder(Line), []
    lines = journal.last_lines(file, limit)
    if lines or file.exists():
        read.add(file.name)
    for text in lines:
        with suppress(msgspec.MsgspecError):  # torn by a power cut
            found.append(decoder.decode(text))
    return found


def _last_of_columns(file: Path, limit: int, read: set[str]) -> list[Line]:
    """Of its batches only the last ones are turned into lines."""
    found = list[Line]()
    with suppress(FileNotFoundError):
        batches = [one for one in columnar.batches(file) if one is not None and not one[0].shadow]
        read.add(file.name)
        while batches and len(found) < limit:
            facts, first, batch = batches.pop()
            skipped = max(0, batch.num_rows - limit)
            found += _lines(_assembled(facts, first + skipped, batch.slice(skipped), file.name))
    return found


def _place(line: Line) -> finding.Place:
    return finding.parse(line.id) or ("", 0)


def predictions(
    workspace: Path,
    loop: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    version: int | None = None,
    shadows: bool = False,
) -> pl.DataFrame:
    """A row a prediction: id, at, loop, version, digest, arm, shadow, unit, row, key, predicted, probabilities, value,
    latency_ms and route.

    `row`, `key` and `probabilities` are structs; a field that one version has and another has not is null there.
    With `shadows` also what arms predicted that nobody heard: under the id of the prediction that was answered.
    """
    return _frame(read(workspace, loop, since=since, until=until, version=version, shadows=shadows).lines)


def joined(
    workspace: Path,
    loop: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    version: int | None = None,
    shadows: bool = False,
) -> pl.DataFrame:
    """As `predictions`, with the newest label of each: label, labelled_at, label_origin; null where none came yet."""
    lines = read(workspace, loop, since=since, until=until, version=version, shadows=shadows).lines
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
            pl.Series("shadow", [line.shadow for line in lines], dtype=pl.Boolean),
            _texts("unit", [line.unit for line in lines]),
            _structs("row", [line.row for line in lines]),
            _structs("key", [line.key for line in lines]),
            _series("predicted", [line.label for line in lines]),
            _structs("probabilities", [line.probabilities for line in lines]),
            pl.Series("value", [line.value for line in lines], dtype=pl.Float64),
            pl.Series("latency_ms", [line.latency_ms for line in lines], dtype=pl.Float64),
            pl.Series("route", [line.route for line in lines], dtype=pl.Int64),
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
