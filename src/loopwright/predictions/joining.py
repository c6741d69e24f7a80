"""What was predicted beside what came true, as one frame: all that is known now, or what was known at a moment.

A prediction without a label is `waiting` for it; once its time is over its label is `missing`, which is never taken
for a negative one. A label that comes later still counts from then on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec
import polars as pl

from loopwright.errors import UsageError
from loopwright.predictions import logged
from loopwright.predictions.blocks import Stretches
from loopwright.predictions.label_frames import SCHEMA, LabelFrames

Status = Literal["labelled", "waiting", "missing"]
_PLACE = "(place)"
_TOLD = ("label", "at", "true_at", "origin", "number")
_LABEL = ("label", "labelled_at", "true_at", "label_origin")


class Joiner:
    """Joins one loop again and again: labels that it has read it does not read twice.

    In memory are the labels of the loop, about 150 bytes each, but those forgotten, and the window that is asked for.
    """

    def __init__(self, workspace: Path, loop: str) -> None:
        self._workspace, self._loop = workspace, loop
        self._labels = LabelFrames(workspace, loop)
        self._kept: list[pl.DataFrame] = []
        self.known = Stretches()
        """For whoever reads the same lines otherwise."""
        self._oldest: datetime | None = None

    def forget(self, before: datetime) -> None:
        """Labels that were told before: nobody will ask for spans that begin then any more. Who does all the same
        waits until all labels are read again."""
        if self._oldest is None or before > self._oldest:
            self._oldest = before
            self._kept = [left for piece in self._kept if len(left := self._recent(piece))]

    def joined(self, **asked: Any) -> pl.DataFrame:
        """As `joined` of the module, with the same names."""
        since, oldest = asked.get("since"), self._oldest
        is_forgotten = oldest is not None and (since is None or since < oldest)
        if is_forgotten:
            self._oldest = None
        if is_forgotten or self._labels.is_rewritten():
            self._labels, self._kept = LabelFrames(self._workspace, self._loop), []
        added = [left for piece in self._labels.added() if len(left := self._recent(piece))]
        if added:
            self._kept.append(pl.concat(added))
        if len(self._kept) > 16:
            self._kept = [pl.concat(self._kept, rechunk=True)]
        return _joined(self._workspace, self._loop, self._kept, known=self.known, **asked)

    def _recent(self, labels: pl.DataFrame) -> pl.DataFrame:
        return labels if self._oldest is None else labels.filter(pl.col("at") >= self._oldest.astimezone(UTC))


def joined(
    workspace: Path,
    loop: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    known_at: datetime | None = None,
    within: timedelta | None = None,
    versions: Collection[int] | None = None,
    shadows: bool = False,
    outcome: str | None = None,
    columns: Collection[str] | None = (),
) -> pl.DataFrame:
    """A row a prediction made in [since, until), in the order of ids: id, at, version, arm, shadow, unit, predicted,
    value, row, key, probabilities, label, labelled_at, true_at, label_origin, label_status.

    The label is the newest told by `known_at` (None: ever); with `outcome` it is the number of that name. It is
    `missing` when none was told `within` so long after the prediction, which needs `known_at`; without `within` it is
    waited for for ever. `row` has those `columns` alone; None: all. With `shadows` also what arms predicted that nobody
    heard, under the id of the prediction that was answered. In memory is the window, whatever was told beside it.

    Raises `UsageError` for `within` without `known_at`, `StoreUnavailable` when rows were erased meanwhile.
    """
    labels = LabelFrames(workspace, loop).added()
    return _joined(
        workspace, loop, labels, since=since, until=until, known_at=known_at, within=within, versions=versions,
        shadows=shadows, outcome=outcome, columns=columns,
    )  # fmt: skip


def coverage(found: pl.DataFrame) -> pl.DataFrame:
    """Of what `joined` gave, by version and arm: predictions, labelled, waiting, missing, and the labelled share."""
    counted = [(pl.col("label_status") == one).sum().alias(one) for one in ("labelled", "waiting", "missing")]
    grouped = found.group_by("version", "arm", "shadow").agg(pl.len().alias("predictions"), *counted)
    share = (pl.col("labelled") / pl.col("predictions")).alias("share")
    return grouped.with_columns(share).sort("version", "shadow", "arm")


def _joined(
    workspace: Path,
    loop: str,
    labels: Iterable[pl.DataFrame],
    *,
    known_at: datetime | None = None,
    within: timedelta | None = None,
    outcome: str | None = None,
    **span: Any,
) -> pl.DataFrame:
    if within is not None and known_at is None:
        raise UsageError("within= says how long a label is waited for, but not until when", fix="give known_at=, too")
    made = logged.flat(workspace, loop, **span).with_row_index(_PLACE)
    met = _met(made, labels, outcome)
    best = _valued(_newest(_moments(met), known_at))
    found = logged.structured(made).join(best, on=_PLACE, how="left", maintain_order="left").drop(_PLACE)
    return found.with_columns(_status(known_at, within))


def _status(known_at: datetime | None, within: timedelta | None) -> pl.Expr:
    waiting = pl.lit("waiting")
    if known_at is not None and within is not None:
        is_over = pl.col("at").dt.offset_by("0us") + pl.lit(within) <= pl.lit(known_at.astimezone(UTC))
        waiting = pl.when(is_over).then(pl.lit("missing")).otherwise(waiting)
    return (
        pl.when(pl.col("labelled_at").is_not_null()).then(pl.lit("labelled")).otherwise(waiting).alias("label_status")
    )


def _met(made: pl.DataFrame, labels: Iterable[pl.DataFrame], outcome: str | None) -> pl.DataFrame:
    """A row for each label of each prediction, found by its id or by its key."""
    ids, keys = made.select(_PLACE, prediction_id="id"), dict[str, pl.DataFrame | None]()
    is_asked_for = pl.col("outcome").is_null() if outcome is None else pl.col("outcome") == outcome
    found = [pl.DataFrame(schema={_PLACE: made.schema[_PLACE], **{name: SCHEMA[name] for name in _TOLD}})]
    for piece in labels:
        told = piece.filter(is_asked_for)
        wanted = told.select("prediction_id", *_TOLD)
        found.append(ids.join(wanted, on="prediction_id", how="inner").drop("prediction_id"))
        for columns in told["columns"].drop_nulls().unique().to_list():
            if columns not in keys:
                keys[columns] = _keyed(made, columns)
            named = keys[columns]
            if named is not None:
                of = told.filter(pl.col("columns") == columns).select("key", *_TOLD)
                found.append(named.join(of, on="key", how="inner").drop("key"))
    return pl.concat(found)


def _keyed(made: pl.DataFrame, columns: str) -> pl.DataFrame | None:
    """The places of predictions by their keys, as far as they have these columns."""
    names: list[str] = msgspec.json.decode(columns)
    texts = logged.key_texts(made, names)
    return None if texts is None else made.select(_PLACE, key=texts).filter(pl.col("key").is_not_null())


def _moments(met: pl.DataFrame) -> pl.DataFrame:
    return met.with_columns(pl.col("origin").cast(pl.String), since=pl.coalesce("true_at", "at"))


def _newest(met: pl.DataFrame, known_at: datetime | None) -> pl.DataFrame:
    known = met.filter(pl.col("at") <= known_at.astimezone(UTC)) if known_at is not None else met
    if known[_PLACE].n_unique() == len(known):
        return known
    return known.sort("since", "at", "number").unique(_PLACE, keep="last")


def _valued(best: pl.DataFrame) -> pl.DataFrame:
    """Labels as values: of one kind, or as JSON where kinds are mixed."""
    texts = best["label"].to_list()
    values = msgspec.json.decode(f"[{','.join(texts)}]")
    named = best.select(_PLACE, labelled_at="at", true_at="true_at", label_origin="origin")
    return named.with_columns(_series(values, texts)).select(_PLACE, *_LABEL)


def _series(values: list[Any], texts: list[str]) -> pl.Series:
    kinds = set(map(type, values))
    if not kinds:
        return pl.Series("label", values, dtype=pl.Null)
    if kinds <= {int, float}:
        return pl.Series("label", values, dtype=pl.Int64 if kinds == {int} else pl.Float64, strict=False)
    if len(kinds) == 1:
        return pl.Series("label", values, dtype=pl.Boolean if bool in kinds else pl.String)
    return pl.Series("label", texts, dtype=pl.String)
