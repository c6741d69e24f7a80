"""What the prediction log says of the year: how right a month was, whom a version answered, what stands behind one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from loopwright.core.version import CHALLENGER, CHAMPION, FORMER
from loopwright.demo.story import LOOP
from loopwright.judge.metrics import values
from loopwright.judge.sample import sample
from loopwright.predictions.joining import Joiner
from loopwright.registry.why import explain
from loopwright.system import System

METRIC = "roc_auc"
_LATELY = timedelta(days=3)
_ON_TRIAL = {
    "challenger": (pl.col("arm") == CHALLENGER) & ~pl.col("shadow"),
    "challenger, unheard": pl.col("shadow"),
    "former champion": pl.col("arm") == FORMER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Of what was answered and heard."""

    metric: str
    value: float | None
    predictions: int
    labels: int
    champions: tuple[int, ...]
    """In the order in which they answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """An answer, and what stands behind it."""

    text: str
    data: dict[str, Any]


class Log:
    """The year's predictions and labels. Labels that were read are not read again."""

    def __init__(self, opened: System) -> None:
        self._opened = opened
        self._joiner = Joiner(opened.workspace, LOOP)

    def measured(self, ids: Sequence[str], since: datetime, until: datetime) -> Measured:
        """The metric on some predictions made between two moments, as far as their labels have come."""
        found = self._joiner.joined(since=since, until=until)
        mine = found.join(pl.DataFrame({"id": ids}), on="id", how="semi")
        told = mine.filter(pl.col("label_status") == "labelled")
        champions = mine.filter(pl.col("arm") == CHAMPION).sort("at")["version"].unique(maintain_order=True)
        return Measured(
            metric=METRIC,
            value=_value(told),
            predictions=len(mine),
            labels=len(told),
            champions=tuple(champions.to_list()),
        )

    def touched(self, version: int) -> int:
        """Requests that were answered by a version, and heard."""
        return len(self._joiner.joined(versions=[version], **self._span(version)))

    def traces(self, mistake: int | None) -> Iterator[Trace]:
        """The newest answer of each kind of arm: now, in the last release, and of the version that was a mistake."""
        stores, now = self._opened.stores, self._opened.clock.now()
        yield from self._newest({"champion": pl.col("arm") == CHAMPION}, {"since": now - _LATELY, "until": now})
        last = next((one for one in stores.releases.list(LOOP) if one.challenger != mistake), None)
        if last is not None:
            yield from self._newest(_ON_TRIAL, self._span(last.challenger))
        if mistake is not None:
            yield from self._newest({"mistake": pl.col("version") == mistake}, self._span(mistake))

    def _newest(self, kinds: Mapping[str, pl.Expr], span: Mapping[str, datetime]) -> Iterator[Trace]:
        found = self._joiner.joined(**span, shadows=True).sort("at")
        for kind, wanted in kinds.items():
            last = found.filter(wanted).tail(1)
            if len(last):
                yield _trace(self._opened, kind, last.row(0, named=True))

    def _span(self, challenger: int) -> dict[str, datetime]:
        """Of the release of a version."""
        found = next(one for one in self._opened.stores.releases.list(LOOP) if one.challenger == challenger)
        end = found.ended_at or self._opened.clock.now()
        return {"since": found.created_at, "until": end + timedelta(days=1)}


def _trace(opened: System, kind: str, line: dict[str, Any]) -> Trace:
    version = opened.stores.versions.get(LOOP, f"v{line['version']}")
    trail = explain(opened.stores, version)
    code = (trail.code or "")[:12]
    made = f"made {version.created_at:%d %b} by {version.run_id}, code {code}, {version.metric} {version.value:.3f}"
    text = f"{kind:20} {line['id']}  {line['at']:%d %b}  v{version.number}, {made}; {version.reason}"
    data = {"arm": kind, "prediction": line["id"], "version": version.number, "run": version.run_id, "code": code}
    return Trace(text=text, data=data)


def _value(told: pl.DataFrame) -> float | None:
    if not len(told):
        return None
    scores = told["probabilities"].struct.field("true").to_numpy()
    return float(values(sample(told["label"].cast(pl.Int64).to_numpy(), scores), [METRIC])[0])
