"""Batch scoring: rows of any source through a bundle, piece by piece, into one file. The same bundle as online.

The contract is the gateway's: a column that is missing or of another kind, and a null where training saw none, are
refused with the row. Columns that the model does not take are left aside, but for the key, which comes out again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet

from loopwright.data.schema import Schema
from loopwright.data.source import Source
from loopwright.errors import SchemaMismatch, UsageError, did_you_mean
from loopwright.transform.bundle import Bundle
from loopwright.transform.predictor import Predictions, Predictor, class_text
from loopwright.transform.scoring import CHUNK_ROWS, score

_TYPES = {
    "string": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "time": pa.timestamp("us", "UTC"),
}
SUFFIXES = (".parquet", ".csv", ".jsonl")


def expected(schema: Schema) -> pa.Schema:
    """The types to read a text file's columns as: `01234` stays text where the model was trained on text."""
    return pa.schema([(column.name, _TYPES[column.kind]) for column in schema.columns])


def predict(
    bundle: Bundle, source: Source, *, beside: Sequence[str] = (), predictor: Predictor | None = None
) -> Iterator[pl.DataFrame]:
    """The predictions of the source's rows, in their order: key columns and those `beside`, then `label` and a
    `probability_<class>` of each class, or `value`.

    `predictor` is the bundle's, from `scorer`, for who has many sources. Raises `SchemaMismatch` for rows that break
    the contract, and `BadSource`.
    """
    schema = bundle.schema
    _refuse_missing_columns(schema, source, beside)
    predictor = predictor or scorer(bundle)
    key = [name for name in dict.fromkeys((*schema.key, *beside)) if name in source.schema.names]
    first = 0
    for rows in _chunks(source, [*key, *(name for name in schema.names if name not in key)]):
        _refuse_missing_values(schema, rows, first, source.name)
        place = 0
        for found in score(predictor, [rows]):
            yield pl.concat([rows[place : place + len(found)].select(key), _frame(found)], how="horizontal")
            place += len(found)
        first += len(rows)
    if first == 0:
        yield pl.concat([_none(key, source), _frame(_nothing(predictor))], how="horizontal")


def scorer(bundle: Bundle) -> Predictor:
    """One thread: to the bit what is served online."""
    return Predictor.from_bundle(bundle, batches=True)


def write(frames: Iterable[pl.DataFrame], target: Path) -> int:
    """Write frames as one file, whole or not at all; how many rows. Raises `UsageError` for an unknown suffix."""
    if target.suffix not in SUFFIXES:
        raise UsageError(f"{target} is no file that can be written", fix=f"end its name in {', '.join(SUFFIXES)}")
    temporary = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        rows = _write(frames, temporary, target.suffix)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return rows


def _write(frames: Iterable[pl.DataFrame], path: Path, suffix: str) -> int:
    rows, writer = 0, None
    with path.open("wb") as file:
        for frame in frames:
            rows += len(frame)
            if suffix == ".jsonl":
                frame.write_ndjson(file)
                continue
            table = frame.to_arrow()
            writer = writer or _writer(file, table.schema, suffix)
            writer.write_table(table)
        if writer is not None:
            writer.close()
    return rows


def _writer(file: Any, schema: pa.Schema, suffix: str) -> Any:
    return parquet.ParquetWriter(file, schema) if suffix == ".parquet" else csv.CSVWriter(file, schema)


def _chunks(source: Source, names: list[str]) -> Iterator[pl.DataFrame]:
    """Whole chunks, however small the source's batches are."""
    waiting: list[pa.RecordBatch] = []
    for batch in source.batches():
        waiting.append(batch.select(names))
        if sum(len(each) for each in waiting) >= CHUNK_ROWS:
            yield pl.DataFrame(pa.Table.from_batches(waiting))
            waiting = []
    if waiting:
        yield pl.DataFrame(pa.Table.from_batches(waiting))


def _none(key: list[str], source: Source) -> pl.DataFrame:
    return pl.DataFrame(source.schema.empty_table()).select(key)


def _nothing(predictor: Predictor) -> Predictions:
    """Of no rows: a file of them has its columns all the same."""
    if predictor.task == "regression":
        return Predictions(task=predictor.task, value=np.zeros(0, dtype=np.float32))
    shares = np.zeros((0, len(predictor.classes)), dtype=np.float32)
    label = np.asarray(predictor.classes)[:0]
    return Predictions(task=predictor.task, classes=predictor.classes, label=label, probabilities=shares)


def _frame(found: Predictions) -> pl.DataFrame:
    if found.probabilities is None:
        return pl.DataFrame({"value": found.scores})
    kind = {str: pl.String, bool: pl.Boolean, int: pl.Int64}[type(found.classes[0])]
    label = pl.Series(found.label.tolist() if found.label is not None else [], dtype=kind)
    shares = {f"probability_{class_text(one)}": found.probabilities[:, at] for at, one in enumerate(found.classes)}
    return pl.DataFrame({"label": label, **shares})


def _refuse_missing_columns(schema: Schema, source: Source, beside: Sequence[str]) -> None:
    for name in (*schema.names, *beside):
        if name not in source.schema.names:
            raise SchemaMismatch(
                f"the {'model needs' if name in schema.names else 'order names'} the column {name!r}, "
                "which the rows do not have",
                where=source.name,
                fix=did_you_mean(name, source.schema.names),
            )


def _refuse_missing_values(schema: Schema, rows: pl.DataFrame, first: int, name: str) -> None:
    for column in schema.columns:
        nulls = rows[column.name].is_null()
        if nulls.any() and not column.missing:
            at = first + int(nulls.arg_true()[0]) + 1
            raise SchemaMismatch(
                f"column {column.name!r} is missing in row {at:,}; training saw none missing",
                where=name,
                fix="fill it in, or train again on rows that lack it too",
            )
