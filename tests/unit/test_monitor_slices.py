"""Slices of what was logged are called as the judge called them, wherever rows lie and however they were written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.unit.monitoring import CONTRACT, DAY, FIRST, LOOP, World

from loopwright.core.finding import Level
from loopwright.core.version import CHAMPION
from loopwright.data.schema import Column, Schema
from loopwright.judge.evaluate import evaluate
from loopwright.judge.evaluation import Evaluation
from loopwright.monitor.declare import Monitor
from loopwright.monitor.labelled import labelled
from loopwright.monitor.slicing import as_declared
from loopwright.monitor.watched import Bundles, Known
from loopwright.predictions import compaction, journal
from loopwright.predictions.joining import joined
from loopwright.predictions.journal import Line

NAMES = ("gate", "pages", "miles", "is_new", "day")
TAKES = Schema(
    columns=(
        Column(name="gate", kind="string", missing=True),
        Column(name="pages", kind="integer", missing=True),
        Column(name="miles", kind="float", missing=True),
        Column(name="is_new", kind="boolean", missing=True),
        Column(name="day", kind="time", missing=True),
    ),
    key=("id",),
    label="late",
)
MOMENT = datetime(2026, 1, 2, tzinfo=UTC)
TRAINED = pl.DataFrame(
    {"gate": ["7", "B"], "pages": [3, 4], "miles": [1.0, 2.5], "is_new": [True, False], "day": [MOMENT, MOMENT]}
)
WRITTEN: Sequence[Mapping[str, Any]] = (
    {"gate": "7", "pages": 3, "miles": 1, "is_new": True, "day": "2026-01-02T00:00:00Z"},
    {"gate": "B", "pages": 4.0, "miles": 2.5, "is_new": False, "day": "2026-01-02"},
)
OTHER = Schema(
    columns=tuple(Column(name=name, kind="integer", missing=True) for name in NAMES), key=("id",), label="late"
)


def judged(rows: pl.DataFrame) -> Evaluation:
    """Of two rows, sliced by each column."""
    return evaluate([0, 1], [0.2, 0.6], columns=rows, slices=NAMES, draws=20, least_rows=1)


def names(rows: pl.DataFrame) -> list[str]:
    return sorted(cut.name for cut in judged(rows).slices)


def log(world: World, version: int, rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    made = [
        Line(id=f"{world._ulids.next()}.0", at=world.clock.now(), loop=LOOP, version=version, digest="d", arm=CHAMPION,
             row=row, label=place % 2 == 1, probabilities={"false": 0.5, "true": 0.5})
        for place, row in enumerate(rows)
    ]  # fmt: skip
    world.write(world.folder / journal.FOLDER, world._ulids.next(), made)
    return [(one.id, {"distance": 700.0}) for one in made]


def known(world: World, contract: Schema, evaluation: Evaluation | None = None) -> Known:
    found = Bundles(world.stores).of(LOOP, 1)
    assert found is not None
    return replace(found, contract=contract, judged=evaluation)


@pytest.mark.parametrize("in_table", [False, True], ids=["journal", "table"])
@pytest.mark.parametrize("beside_another", [False, True], ids=["alone", "beside a version that takes other kinds"])
def test_slices_are_called_what_the_judge_called_them(tmp_path: Path, *, in_table: bool, beside_another: bool) -> None:
    world = World(tmp_path)
    world.answer(log(world, 1, WRITTEN))
    if beside_another:
        log(world, 2, [dict.fromkeys(NAMES, 9)])
    kinds = {1: TAKES, 2: OTHER}
    if in_table:
        compaction.compact(
            world.folder / journal.FOLDER,
            LOOP,
            kinds=lambda number: {one.name: one.kind for one in kinds[number].columns},
            clock=world.clock,
        )
    found = labelled(joined(tmp_path, LOOP, columns=NAMES), known(world, TAKES, judged(TRAINED)))
    assert names(found.columns) == names(TRAINED)


@pytest.mark.parametrize("kind", [pl.Date(), pl.Datetime("us"), pl.Datetime("us", "UTC")], ids=str)
def test_times_are_spelled_as_those_that_were_judged(tmp_path: Path, kind: pl.DataType) -> None:
    trained = TRAINED.with_columns(pl.col("day").dt.replace_time_zone(None).cast(kind))
    if kind == pl.Datetime("us", "UTC"):
        trained = TRAINED
    found = as_declared(pl.DataFrame(WRITTEN, strict=False), known(World(tmp_path), TAKES, judged(trained)))
    assert names(found) == names(trained)


def test_what_is_of_another_kind_is_missing_and_no_other_value(tmp_path: Path) -> None:
    rows = pl.DataFrame({"gate": ['"B"', "5"], "pages": [4.5, 3.0], "miles": ["far", "2"], "is_new": [1, 0]})
    found = as_declared(rows, known(World(tmp_path), TAKES))
    assert found.rows() == [("B", None, None, None), (None, 3, 2.0, None)]


def test_a_slice_alarms_though_another_version_takes_its_column_as_a_number(tmp_path: Path) -> None:
    world = World(tmp_path, monitor=Monitor(slices=["carrier"]))
    world.add_version()
    world.route((CHAMPION, 1, 0.5), ("challenger", 2, 0.5))
    world.answer(world.ask(world.flights(3000)), reversed_share=0.5)
    log(world, 2, [{"carrier": 5, "distance": 700.0}] * 20)
    world.pass_days()
    assert CONTRACT.columns[0].name == "carrier"
    found = world.found("quality", "carrier=AA", window=FIRST)
    assert [(one.version, one.level, one.until) for one in found] == [(1, Level.ALARMED, FIRST + DAY)]
