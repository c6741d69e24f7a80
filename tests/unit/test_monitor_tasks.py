"""Loops whose models say a number, or one of several classes: watched as those of two classes are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.monitoring import CONTRACT, LOOP, World, rows_of

from loopwright.core.finding import Level
from loopwright.core.version import CHAMPION, Version, VersionStatus
from loopwright.data.statistics import Statistics, TableProfile
from loopwright.judge.evaluate import evaluate
from loopwright.judge.evaluation import Importance, Importances
from loopwright.monitor.declare import Monitor
from loopwright.predictions import journal, labels
from loopwright.predictions.journal import Line
from loopwright.predictions.labels import Label

CLASSES = ("early", "late", "on time")
METRICS = {"regression": "mae", "multiclass": "roc_auc"}
Asked = Sequence[tuple[str, Mapping[str, Any]]]


def middle(row: Mapping[str, Any]) -> float:
    return float(np.log(row["distance"]))


def shares(row: Mapping[str, Any]) -> list[float]:
    odds = np.exp(2.0 * np.array([6.5 - middle(row), middle(row) - 6.5, 0.0]))
    return list(map(float, odds / odds.sum()))


@dataclass
class Other(World):
    """A world of another task."""

    task: str = "regression"

    def truth(self, row: Mapping[str, Any], *, is_off: bool = False) -> float | str:
        if self.task == "regression":
            return middle(row) + float(self.draw.normal(scale=0.1)) + (1.0 if is_off else 0.0)
        told = shares(row)
        return str(self.draw.choice(CLASSES, p=told[1:] + told[:1] if is_off else told))

    def add_version(self, rows: int = 10_000) -> Version:
        self.draw = np.random.default_rng([self.seed, 1])
        trained = rows_of(self.draw, rows)
        came = [self.truth(row) for row in trained]
        table = pa.Table.from_pylist([row | {"late": said} for row, said in zip(trained, came, strict=True)])
        profile = TableProfile.of_schema(table.schema)
        for batch in table.to_batches():
            profile.update(batch)
        profile.flush()
        said = [middle(row) if self.task == "regression" else shares(row) for row in trained]
        classes = CLASSES if self.task == "multiclass" else None
        judged = evaluate(np.asarray(came), np.asarray(said), task=self.task, classes=classes, draws=20)
        worth = Importances(metric=METRICS[self.task], rows=2000, columns=(
            Importance(column="distance", drop=0.2), Importance(column="carrier", drop=0.0)))  # fmt: skip
        content = {
            "schema.json": CONTRACT.to_json(),
            "statistics.json": Statistics.of(profile).to_json(),
            "evaluation.json": replace(judged, importance=worth).to_json(),
            "manifest.json": json.dumps({"outputs": {"classes": list(classes or ())}}),
        }
        files = {name: self.stores.blobs.put(text.encode()).digest for name, text in content.items()}
        made = Version(
            loop=LOOP, digest="1" * 64, files=files, status=VersionStatus.ACCEPTED, run_id="run",
            created_at=self.clock.now(), created_by="tester", metric=METRICS[self.task], value=0.1, reason="fine",
            task=self.task,
            lineage={"data": {"until": "2026-02-28"}},
        )  # fmt: skip
        return self.stores.versions.add(made, [], self.cause)

    def ask(self, rows: Sequence[Mapping[str, Any]], **_: Any) -> list[tuple[str, Mapping[str, Any]]]:
        made = list[Line]()
        for row in rows:
            told = dict(zip(CLASSES, shares(row), strict=True))
            answer: dict[str, Any] = {"value": middle(row)}
            if self.task == "multiclass":
                answer = {"label": max(told, key=lambda name: told[name]), "probabilities": told}
            made.append(Line(id=f"{self._ulids.next()}.0", at=self.clock.now(), loop=LOOP, version=1, digest="d",
                             arm=CHAMPION, row=row, latency_ms=2.0, **answer))  # fmt: skip
        self.write(self.folder / journal.FOLDER, self._ulids.next(), made)
        return [(line.id, line.row) for line in made]

    def answer(self, asked: Asked, *, reversed_share: float = 0.0) -> None:
        told = [
            Label(label=self.truth(row, is_off=self.draw.random() < reversed_share), at=self.clock.now(), origin="test",
                  prediction_id=identity)
            for identity, row in asked
        ]  # fmt: skip
        self.write(self.folder / labels.FOLDER, self._ulids.next(), told)


@pytest.fixture(params=["regression", "multiclass"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Other:
    return Other(tmp_path, monitor=Monitor(), task=request.param)


def test_a_model_that_stays_as_good_is_fine(world: Other) -> None:
    for _ in range(3):
        world.answer(world.ask(world.flights(1500)))
        world.pass_days()
    told = world.newest("quality", METRICS[world.task])
    assert told.level is Level.FINE
    assert told.number is not None
    assert told.evidence
    assert world.newest("skew").level is Level.FINE
    assert world.newest("staleness", "training").number == 5.0 + 2.0 - 2.0
    assert not world.events("DecayFound")


def test_a_model_that_falls_alarms_by_metric_and_by_its_detector(world: Other) -> None:
    for share in (0.0, 0.0, 0.8, 0.8):
        world.answer(world.ask(world.flights(1500)), reversed_share=share)
        world.pass_days()
    assert world.newest("quality", METRICS[world.task]).level is Level.ALARMED
    assert len(world.events("DecayFound")) == 1


def test_answers_that_move_are_told_of(world: Other) -> None:
    for further in (0.0, 0.8, 0.8):
        world.ask(world.flights(1500, further=further))
        world.pass_days()
    assert world.newest("prediction", "predicted").level is Level.ALARMED
    is_of_classes = world.task == "multiclass"
    assert bool(world.newest("prediction").evidence["shares"]) == is_of_classes
    assert bool([one for one in world.stores.findings.list(LOOP) if one.monitor == "estimate"]) == is_of_classes


def test_an_input_that_moved_says_how_much_it_matters(world: Other) -> None:
    for _ in range(2):
        world.ask(world.flights(1500, further=0.6))
        world.pass_days()
    told = world.newest("skew", "distance")
    assert (told.level, told.evidence["importance"]) == (Level.ALARMED, 1.0)
