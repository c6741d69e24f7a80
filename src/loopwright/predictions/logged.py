"""Predictions of a span as one frame, whatever they lie in: the table first of all, for it is columns already.

A value stands in `row`, `key` or `probabilities`, each a struct; a field that one version has and another has not is
null there. No value of the table becomes an object on the way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

import msgspec
import polars as pl
import pyarrow as pa

from loopwright.predictions import columnar, delta, finding, journal, layout
from loopwright.predictions.blocks import Rowless, Stretches, Wanted, blocks
from loopwright.predictions.journal import Line
from loopwright.predictions.labels import plain

FIXED = ("id", "at", "version", "arm", "shadow", "unit")
_PARTS = {"row": "row", "key": "key", "probability": "probabilities"}
"""How parts are called in the table, and in a frame."""
_SPLIT = "\0"
"""Between part and name of a column, until it is put into its struct."""
_JSON = "\0json"
"""What the name of a column ends with whose values are JSON, for they are of several kinds."""


def flat(
    workspace: Path,
    loop: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    versions: Collection[int] | None = None,
    shadows: bool = False,
    columns: Collection[str] | None = (),
    known: Stretches | None = None,
) -> pl.DataFrame:
    """A row a prediction, in the order of ids: id, at, version, arm, shadow, unit, predicted, value, and a column for
    each value of its key, its probabilities, and those `columns` of its row (None: all). `known`: who asks for one span
    after the other gives the same again, so that what is of none of them is not read anew."""
    root = workspace / journal.FOLDER
    read = set[str]()
    wanted = Wanted(since=since, until=until, versions=versions, shadows=shadows)
    decoder = msgspec.json.Decoder(Line if columns is None or columns else Rowless)
    made = partial(blocks, wanted=wanted, decoder=decoder, known=known)
    frames = [one for table in _of_journal(root, loop, made, read, columns) for one in _of(table, columns)]
    for table in _of_columns(root, loop, read):
        frames += [_within(one, since, until, versions, shadows=shadows) for one in _of(table, columns)]
    span: Any = {"since": since, "until": until, "versions": versions, "shadows": shadows, "left_out": read}
    for table in delta.tables(root, loop, **span, columns=_stored(root, loop, columns), coded=("layout",)):
        frames += _of(table, columns)
    order = [pl.col("id").str.slice(0, 26), pl.col("id").str.slice(27).cast(pl.Int64)]
    return _together(frames).sort(order, maintain_order=True)


def with_ids(workspace: Path, loop: str, ids: Collection[str]) -> pl.DataFrame:
    """As `flat` without rows, of these predictions alone: of files of lines those are looked for, of the table the
    parts that have some. In no order."""
    root = workspace / journal.FOLDER
    places = sorted(place for one in ids if (place := finding.parse(one)) is not None)
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Rowless)
    lines = [decoder.decode(line) for line in finding.lines_with(root, loop, places)]
    frames = [*_of(layout.assemble(layout.of_lines(lines, "", _no_kinds)), ())] if lines else []
    requests, is_one = {place[0] for place in places}, pl.col("id").is_in(list(ids)) & ~pl.col("shadow")
    for file in journal.column_files(root, loop):
        with suppress(FileNotFoundError):
            for found in columnar.batches(file):
                if found is not None and found[0].ulid in requests:
                    frames += _of(layout.assemble([layout.of_columns(*found, file.name)]), ())
    for table in delta.with_ids(root, loop, ids, _stored(root, loop, ())):
        frames += _of(table, ())
    return _together(frames).filter(is_one).unique("id")


def structured(frame: pl.DataFrame) -> pl.DataFrame:
    """The same, with `row`, `key` and `probabilities` in place of their columns. A part that no row has is null."""
    frame = frame.rename(
        {name: _name(name) for name in frame.columns if name in (f"predicted{_JSON}", f"value{_JSON}")}
    )
    named = {part: [one for one in frame.columns if one.startswith(part + _SPLIT)] for part in _PARTS.values()}
    made = [
        pl.struct(pl.col(one).alias(_name(one).partition(_SPLIT)[2]) for one in columns).alias(part)
        if columns
        else pl.lit(None).alias(part)
        for part, columns in named.items()
    ]
    return frame.with_columns(made).drop(one for columns in named.values() for one in columns)


def key_texts(frame: pl.DataFrame, columns: Sequence[str]) -> pl.Series | None:
    """The key of each row by these columns, as `labels.key_text` has it; None where no row has them all. A flat
    frame."""
    there = {_name(name): name for name in frame.columns}
    names = [f"key{_SPLIT}{column}" for column in columns]
    if any(name not in there for name in names):
        return None
    parts = [_texts(frame[there[name]]).alias(str(number)) for number, name in enumerate(names)]
    joined = pl.concat_str([pl.col(one.name) for one in parts], separator=",")
    return pl.DataFrame(parts).select(pl.format("[{}]", joined)).to_series()


def _name(name: str) -> str:
    """Whatever its values are written as."""
    return name.removesuffix(_JSON)


def _texts(values: pl.Series) -> pl.Series:
    """JSON of each; null stays null, and so meets nothing."""
    kind = values.dtype
    if kind.is_integer():
        return values.cast(pl.String)
    if kind == pl.Boolean:
        return values.cast(pl.String)
    is_json = values.name.endswith(_JSON)
    if kind == pl.String and not is_json and not _is_special(values):
        return pl.DataFrame({"_": values}).select(pl.format('"{}"', "_")).to_series()
    distinct = values.drop_nulls().unique()
    read = [json.loads(one) if is_json else one for one in distinct.to_list()]
    made = [msgspec.json.encode(plain(one)).decode() for one in read]
    return values.replace_strict(distinct, pl.Series(made, dtype=pl.String), default=None, return_dtype=pl.String)


def _is_special(values: pl.Series) -> bool:
    """Whether JSON writes one of the texts otherwise, or one may be a moment."""
    return bool(values.str.contains(r'["\\\x00-\x1f\x7f]|^.{4}-.{2}-.{2}[Tt ]').any())


def _stored(root: Path, loop: str, columns: Collection[str] | None) -> list[str]:
    """The columns of the table that are read."""
    always = [*FIXED, "layout", "key_*", "probability_*", "label", "label:*", "value", "value:*"]
    if columns is None:
        return [*always, "row_*"]
    names = delta.contents(root, loop).columns if columns else ()
    rows = (name for name in names if name.startswith("row_"))
    return [*always, *(name for name in rows if unquote(name[4:].partition(":")[0]) in columns)]


def _of_journal(
    root: Path,
    loop: str,
    made: Callable[[BinaryIO], Iterator[list[Any]]],
    read: set[str],
    columns: Collection[str] | None,
) -> Iterator[pa.Table]:
    """Of every file that is still there, what is made of it; the others are in the table."""
    for file in journal.files(root, loop):
        with suppress(FileNotFoundError), file.open("rb") as opened:
            read.add(file.name)
            for lines in made(opened):
                yield layout.assemble(layout.of_lines(lines, file.name, _no_kinds, columns=columns))


def _of_columns(root: Path, loop: str, read: set[str]) -> Iterator[pa.Table]:
    for file in journal.column_files(root, loop):
        with suppress(FileNotFoundError):
            for found in columnar.batches(file):
                read.add(file.name)
                if found is not None:
                    yield layout.assemble([layout.of_columns(*found, file.name)])


def _no_kinds(_version: int) -> Mapping[str, str]:
    return {}


def _within(
    frame: pl.DataFrame,
    since: datetime | None,
    until: datetime | None,
    versions: Collection[int] | None,
    *,
    shadows: bool,
) -> pl.DataFrame:
    is_wanted = pl.lit(value=True) if shadows else ~pl.col("shadow")
    if since is not None:
        is_wanted &= pl.col("at") >= since
    if until is not None:
        is_wanted &= pl.col("at") < until
    if versions is not None:
        is_wanted &= pl.col("version").is_in(list(versions))
    return frame.filter(is_wanted)


def _of(table: pa.Table, columns: Collection[str] | None) -> Iterator[pl.DataFrame]:
    """A frame for each layout of its rows."""
    for told, part in layout.by_layout(table):
        names: dict[str, str | None] = {name: name for name in FIXED}
        found = json.loads(told)
        for kind, called in _PARTS.items():
            own = found.get(kind) or {}
            wanted = own if kind != "row" or columns is None else [name for name in own if name in columns]
            names |= {f"{called}{_SPLIT}{name}": own[name] for name in wanted}
        names |= {"predicted": found.get("label"), "value": found.get("value")}
        yield _taken(part, {_ending(name, column): column for name, column in names.items()})


def _ending(name: str, column: str | None) -> str:
    return name + _JSON if column is not None and column.endswith(":json") else name


def _taken(table: pa.Table, names: Mapping[str, str | None]) -> pl.DataFrame:
    """Columns of a table under their names; null where it has none."""
    there = sorted({column for column in names.values() if column is not None})
    frame = pl.DataFrame(table.select(there))
    made = [
        pl.lit(None).alias(name) if column is None else _as_told(frame, name, column) for name, column in names.items()
    ]
    return frame.select(made)


def _as_told(frame: pl.DataFrame, name: str, column: str) -> pl.Expr:
    """As the same value is read from a line."""
    kind = frame.schema[column]
    found = pl.col(column)
    if name == "at" or not kind.is_temporal():
        found = found.fill_nan(None) if kind.is_float() else found
    else:
        seconds, parts = found.dt.strftime("%Y-%m-%dT%H:%M:%S"), found.dt.strftime("%.6f")
        is_whole = found.dt.microsecond() == 0
        found = pl.concat_str(seconds, pl.when(is_whole).then(pl.lit("")).otherwise(parts), pl.lit("Z"))
    return found.alias(name)


def _together(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """One frame; a column of several kinds in the narrowest that holds all, or as JSON."""
    if not frames:
        return _taken(layout.assemble([]), {name: name for name in FIXED} | {"predicted": None, "value": None})
    kinds: dict[str, set[Any]] = {}
    for frame in frames:
        for name, kind in frame.schema.items():
            kinds.setdefault(_name(name), set()).add(_JSON if name.endswith(_JSON) else kind)
    mixed = {name for name, found in kinds.items() if _is_mixed(found)}
    whole = pl.concat([_as_json(frame, mixed) for frame in frames], how="diagonal_relaxed", rechunk=True)
    return _numbers(whole)


def _is_mixed(kinds: set[Any]) -> bool:
    known = kinds - {pl.Null()}
    return _JSON in known or (len(known) > 1 and not all(kind.is_numeric() for kind in known))


def _as_json(frame: pl.DataFrame, names: set[str]) -> pl.DataFrame:
    def written(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    made = [
        pl.col(name).map_elements(written, return_dtype=pl.String)
        if frame.schema[name] == pl.String
        else pl.col(name).cast(pl.String)
        for name in names & set(frame.columns)
    ]
    return frame.with_columns(made).rename({name: name + _JSON for name in names & set(frame.columns)})


def _numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """JSON that is numbers alone, whole ones and others, is numbers."""
    for name in [one for one in frame.columns if one.endswith(_JSON)]:
        found = frame[name].cast(pl.Float64, strict=False)
        if found.null_count() == frame[name].null_count():
            frame = frame.with_columns(found).rename({name: _name(name)})
    return frame
