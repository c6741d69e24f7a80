"""Answers made before they are asked for: a batch whose predictions lie by key, for gateways to look up."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from loopwright.data.source import open_source
from loopwright.errors import SchemaMismatch, UsageError, did_you_mean
from loopwright.predictions import batch, by_key, splitting
from loopwright.predictions.by_key import About, Array
from loopwright.predictions.job import Surroundings
from loopwright.transform.bundle import Bundle


def precompute(loop: str, source: str, version: str, around: Surroundings) -> About:
    """Predict on rows of files or a table and put the answers in the place of older ones; what they are.

    What is held in memory is 16 bytes a row and its prediction. Raises `UsageError` for a loop without a key,
    `SchemaMismatch` for a key that is missing, `DuplicateKeys`, and what a batch raises.
    """
    chosen = around.stores.versions.get(loop, version)
    bundle = around.fetch(chosen)
    if not bundle.schema.key:
        raise UsageError(f"{loop} has no key to answer by", fix="declare one in the loop's table: Table(..., key=...)")
    frames = list(_frames(bundle, source, around))
    times = tuple(name for name in bundle.schema.key if frames and frames[0].schema[name].is_temporal())
    hashes = np.concatenate([_hashes(frame, bundle.schema.key, source) for frame in frames])
    about = About(
        loop=loop, version=chosen.number, digest=chosen.digest, key=bundle.schema.key, times=times, rows=len(hashes),
        made_at=around.clock.now().isoformat(),
    )  # fmt: skip
    columns = _columns(pl.concat([frame.drop(bundle.schema.key) for frame in frames]), bundle)
    by_key.write(around.workspace / by_key.FOLDER, about, hashes, columns, around.clock)
    return about


def _frames(bundle: Bundle, source: str, around: Surroundings) -> Iterator[pl.DataFrame]:
    pieces = splitting.of_source(source, around.tables, bundle.schema)
    for name in bundle.schema.key:
        if name not in pieces.schema.names:
            fix = did_you_mean(name, pieces.schema.names)
            raise SchemaMismatch(f"the rows do not have the key column {name!r}", where=pieces.name, fix=fix)
    predictor = batch.scorer(bundle)
    for fragment in pieces.fragments:
        opened = open_source(splitting.opened(fragment, pieces.schema, around.tables, pieces.version))
        yield from batch.predict(bundle, opened, beside=bundle.schema.key, predictor=predictor)


def _hashes(frame: pl.DataFrame, key: tuple[str, ...], where: str) -> Array:
    for name in key:
        if frame[name].null_count():
            raise SchemaMismatch(f"the key column {name!r} has missing values", where=where, fix="leave these rows out")
    columns = [_times(frame[name]) if frame.schema[name].is_temporal() else frame[name].to_list() for name in key]
    found = [by_key.hash_of(values) for values in zip(*columns, strict=True)]
    return np.array(found, dtype=np.uint64).reshape(-1, 2)


def _times(series: pl.Series) -> list[dict[str, int]]:
    moments = series.cast(pl.Datetime("us", getattr(series.dtype, "time_zone", None))).dt.epoch("us")
    return [by_key.moment(one) for one in moments.to_list()]


def _columns(frame: pl.DataFrame, bundle: Bundle) -> dict[str, Array]:
    """As the gateway reads them: a class by its number."""
    if "value" in frame.columns and not bundle.manifest.classes:
        return {"value": frame["value"].to_numpy().astype(np.float32)}
    numbers = {one: number for number, one in enumerate(bundle.manifest.classes)}
    label = np.array([numbers[one] for one in frame["label"].to_list()], dtype=np.int64)
    shares = frame.drop("label").to_numpy().astype(np.float32)
    return {"label": label, "probabilities": shares.reshape(len(label), -1)}
