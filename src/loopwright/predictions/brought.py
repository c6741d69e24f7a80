"""The newest label of each key that was told of, as far as somebody has taken them to a table: one file beside the
journal of labels, so that none of its lines is read twice.

    <workspace>/brought/<loop>/<table>.arrow

A row of the file is a key. Once its label has met its row in the table, the values go and its moments stay, for of a
label that comes later but became true before, the table must hear nothing. Lost, erased, or made for another table, the
file is made again from the journal, which changes nothing of the table.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
import pyarrow as pa

from loopwright.predictions import journal, labels, logged
from loopwright.predictions.following import labels_after
from loopwright.predictions.labels import Key, Label

FOLDER = "brought"
"""Of a workspace."""
_MOST = 100_000
"""Labels at once."""
_CURSOR, _STAMP = b"loopwright.cursor", b"loopwright.stamp"
_MOMENT = pl.Datetime("us", "UTC")
SCHEMA = {"text": pl.String(), "key": pl.String(), "label": pl.String(), "since": _MOMENT, "at": _MOMENT}
"""The key as `labels.key_text` has it; its values and the label as JSON, null once they met their row; when the label
became true, and when it was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """Of one loop and one table."""

    file: Path
    stamp: str
    """Names the table and its key: what was brought to another one counts for nothing."""
    cursor: str = ""
    keys: pl.DataFrame

    @property
    def waiting(self) -> pl.DataFrame:
        """Those whose row has not been met."""
        return self.keys.filter(pl.col("key").is_not_null())

    def met(self, texts: pl.Series) -> Brought:
        """The same, where these have met their rows."""
        value = pl.when(pl.col("text").is_in(texts.implode())).then(None)
        kept = [value.otherwise(pl.col(name)).alias(name) for name in ("key", "label")]
        return replace(self, keys=self.keys.with_columns(kept))

    def keep(self) -> None:
        """Write it down, at one stroke."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        table = self.keys.to_arrow(compat_level=pl.CompatLevel.oldest())
        table = table.replace_schema_metadata({_CURSOR: self.cursor, _STAMP: self.stamp})
        fresh = self.file.with_name(f".{self.file.name}-{os.getpid()}")
        with pa.OSFile(str(fresh), "wb") as opened, pa.ipc.new_file(opened, table.schema) as writing:
            writing.write_table(table)
        fresh.replace(self.file)


def brought(workspace: Path, loop: str, table: str, stamp: str) -> Brought:
    """As it was kept, or from the beginning."""
    file = journal.folder_of(workspace / FOLDER, loop) / f"{table}.arrow"
    try:
        with pa.OSFile(str(file)) as opened:
            found = pa.ipc.open_file(opened).read_all()
        told = found.schema.metadata or {}
        if told.get(_STAMP) == stamp.encode():
            keys = pl.DataFrame(pl.DataFrame(found).select(list(SCHEMA)), schema=SCHEMA)
            return Brought(file=file, stamp=stamp, cursor=told[_CURSOR].decode(), keys=keys)
    except (OSError, pa.ArrowInvalid, KeyError, pl.exceptions.PolarsError):
        pass
    return Brought(file=file, stamp=stamp, keys=pl.DataFrame(schema=SCHEMA))


def read_on(kept: Brought, workspace: Path, loop: str, key: Sequence[str]) -> Brought:
    """With what was told since, by the columns of a key. A label without all of them, or of a prediction without, is
    passed by. In memory are the keys, and so many labels at once as `_MOST` says."""
    frames, cursor, is_more = [kept.keys], kept.cursor, True
    while is_more:
        found = labels_after(workspace, loop, cursor, _MOST)
        told = [one for one in found.labels if one.outcome is None]
        if told:
            frames.append(_frame(told, _named(workspace, loop, told), tuple(key)))
        cursor, is_more = found.cursor, found.is_more
    if len(frames) == 1:
        return replace(kept, cursor=cursor)
    newest = pl.concat(frames).sort("since", "at", maintain_order=True).unique("text", keep="last")
    return replace(kept, cursor=cursor, keys=newest)


def forget(workspace: Path, loop: str) -> None:
    """Of a loop whose labels were erased: what is left of them is read again."""
    for file in journal.folder_of(workspace / FOLDER, loop).glob("*.arrow*"):
        file.unlink(missing_ok=True)
    for file in journal.folder_of(workspace / FOLDER, loop).glob(".*.arrow-*"):
        file.unlink(missing_ok=True)


def _named(workspace: Path, loop: str, told: Sequence[Label]) -> dict[str, Key]:
    """Of each prediction that a label is for without a key, what names its row."""
    wanted: Collection[str] = {one.prediction_id for one in told if one.key is None and one.prediction_id is not None}
    if not wanted:
        return {}
    made = logged.structured(logged.with_ids(workspace, loop, wanted))
    if made["key"].dtype == pl.Null:
        return {}
    return {one["id"]: one["key"] for one in made.select("id", "key").iter_rows(named=True)}


def _frame(told: Sequence[Label], keys: dict[str, Key], columns: tuple[str, ...]) -> pl.DataFrame:
    rows = []
    for one in told:
        key = keys.get(one.prediction_id or "") if one.key is None else one.key
        if key is None or any(key.get(name) is None for name in columns):
            continue
        values = _json([key[name] for name in columns])
        rows.append((labels.key_text(key, columns), values, _json(one.label), _utc(one.since), _utc(one.at)))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
