"""The numbers behind the monitors: latencies, calibration, the estimate without labels, windows, and what is declared;
and that it is all one wherever the lines of a window lie."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from bench.monitoring import estimate_errors, world
from tests.unit.monitoring import CONTRACT, DAY, FIRST, LOOP, World

from loopwright.core.plain import plain
from loopwright.errors import DataError, DeclarationError
from loopwright.judge.catalog import Task
from loopwright.judge.metrics import measure
from loopwright.monitor.calibration import ENOUGH, Calibration
from loopwright.monitor.declare import Monitor
from loopwright.monitor.estimate import expected
from loopwright.monitor.labelled import Labelled, labelled, together
from loopwright.monitor.latency import Latencies
from loopwright.monitor.scores import MOST, Scores
from loopwright.monitor.watched import Bundles, declared
from loopwright.monitor.windows import Pending, Window, due_again, split, window_of
from loopwright.predictions import compaction, journal, labels
from loopwright.predictions.joining import joined
from loopwright.predictions.labels import Label


def test_the_estimate_follows_inputs_that_moved_and_does_not_see_what_they_mean() -> None:
    errors = estimate_errors(8000, trials=5)
    assert max(errors["covariate shift"].values()) < 0.03
    assert max(errors["covariate shift"]["roc_auc"], errors["covariate shift"]["accuracy"]) < 0.012
    assert min(errors["concept drift"].values()) > 0.07


def test_an_over_confident_model_is_believed_only_after_its_calibration() -> None:
    draw = np.random.default_rng(1)
    said, came = world(draw, 20_000, at=0.0, turned=0.0)
    shares = np.column_stack([1 - said, said])
    learned = Calibration.empty(1, 2).learned(shares, came)
    truth = measure("log_loss", came, said, task="binary").value
    assert truth is not None
    plainly, calibrated = (
        expected(shares, np.ones(len(said)), one, ["log_loss"], Task.BINARY)[0]
        for one in (Calibration.empty(1, 2), learned)
    )
    assert abs(plainly - truth) > 0.1
    assert abs(calibrated - truth) < 0.02


def test_a_calibration_rises_comes_back_as_it_was_kept_and_stops_when_it_knows_enough() -> None:
    draw = np.random.default_rng(2)
    said, came = world(draw, 15_000, at=0.0, turned=0.0)
    shares = np.column_stack([1 - said, said])
    once = Calibration.empty(1, 2).learned(shares, came)
    twice = once.learned(shares, came)
    assert (once.rows, twice.rows) == (15_000, ENOUGH)
    assert twice.learned(shares, 1 - came).to_dict() == twice.to_dict()
    again = Calibration.of(1, 2, once.to_dict())
    grid = np.linspace(0, 1, 101)
    points = np.column_stack([1 - grid, grid])
    assert again(points).tolist() == once(points).tolist()
    assert (np.diff(again(points)[:, 1]) >= 0).all()
    assert Calibration.of(2, 2, once.to_dict()).rows == 0


def test_of_more_than_two_classes_the_estimate_is_near_the_truth() -> None:
    draw = np.random.default_rng(3)
    shares = draw.dirichlet((1.0, 2.0, 3.0), size=20_000)
    came = (draw.random(len(shares))[:, None] > np.cumsum(shares, axis=1)).sum(axis=1)
    found = expected(shares, np.ones(len(shares)), Calibration.empty(1, 3), ["accuracy", "log_loss"], Task.MULTICLASS)
    for name, value in zip(("accuracy", "log_loss"), found, strict=True):
        assert value == pytest.approx(measure(name, came, shares, task="multiclass").value, abs=0.012)


def test_scores_are_kept_in_bounded_memory_and_stand_for_all_rows() -> None:
    draw = np.random.default_rng(4)
    many = Scores(3)
    for _ in range(20):
        many.add(draw.dirichlet((1.0, 2.0, 3.0), size=20_000))
    points, rows = many.weighted()
    assert len(points) <= MOST
    assert rows.sum() == pytest.approx(400_000, rel=0.01)
    assert np.average(points, axis=0, weights=rows) == pytest.approx([1 / 6, 2 / 6, 3 / 6], abs=0.005)


def test_quantiles_of_latency_are_right_to_one_part_in_a_hundred() -> None:
    draw = np.random.default_rng(5)
    values, seen = draw.lognormal(1.0, 1.0, 50_000), Latencies()
    for part in np.array_split(values, 7):
        seen.add(part)
    seen.add(np.array([np.nan]))
    assert seen.count == 50_000
    for share in (0.5, 0.9, 0.99):
        assert seen.quantile(share) == pytest.approx(np.quantile(values, share), rel=0.012)


def test_windows_lie_on_one_grid_and_are_told_again_less_and_less_often() -> None:
    first = window_of(datetime(2026, 3, 1, 13, tzinfo=UTC), timedelta(hours=6))
    assert str(first) == "2026-03-01T12:00:00Z/2026-03-01T18:00:00Z"
    ages, one = [], Pending(window=first, age=0)
    for hours in range(1, 31 * 6):
        now = first.until + timedelta(hours=hours)
        age = due_again(one, timedelta(days=7), now)
        if age is not None:
            ages.append(age)
            one = Pending(window=first, age=age)
        if now >= first.until + timedelta(days=7):
            break
    assert ages == [1, 2, 3, 4, 6, 8, 12, 16, 24, 28]


def test_what_is_declared_goes_through_a_deployment_and_older_ones_are_as_usual() -> None:
    made = Monitor(window="6h", slices=["carrier", ("origin", "hour")], outcomes=["revenue"], data_within="3d")
    assert declared({"monitor": plain(made)}) == made
    assert declared({}) == Monitor()
    assert declared({"monitor": {"window": 3600.0}}) == Monitor(window="1h")
    with pytest.raises(DataError):
        declared({"monitor": {"window": "1h"}})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"window": "1"}, "no length of time"),
        ({"window": "900d"}, "cannot be looked at"),
        ({"window": "1m"}, "keep 10,080 windows of 1m waiting, 2,048 at most"),
        ({"slices": "carrier"}, "not a list of columns"),
        ({"outcomes": "revenue"}, "no list of outcomes"),
        ({"most_latency_ms": 0}, "is no time"),
        ({"most_errors": True}, "is no share"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_declared(given: dict[str, object], told: str) -> None:
    with pytest.raises(DeclarationError, match=told):
        Monitor(**given)  # type: ignore[arg-type]


def test_the_table_and_the_journal_say_the_same(tmp_path: Path) -> None:
    worlds = [World(tmp_path / name, monitor=Monitor()) for name in ("journal", "table")]
    for one in worlds:
        one.answer(one.ask(one.flights(1200, further=0.6)))
    kinds = {column.name: column.kind for column in CONTRACT.columns}
    compaction.compact(worlds[1].folder / journal.FOLDER, LOOP, kinds=lambda _: kinds, clock=worlds[1].clock)
    assert not list((worlds[1].folder / journal.FOLDER / LOOP).glob("*.jsonl"))
    told = []
    for one in worlds:
        one.ask(one.flights(300))  # of the next day, and in the journal
        one.pass_days()
        told.append([(x.monitor, x.subject, x.level, x.number) for x in one.stores.findings.list(LOOP)])
    assert told[0] == told[1]
    assert len(told[0]) > 20


def test_a_window_of_hours_within_a_day_of_the_table_is_read_alone(tmp_path: Path) -> None:
    made = World(tmp_path, monitor=Monitor(window="1h"))
    for count in (30, 40, 50):
        made.ask(made.flights(count))
        made.clock.advance(3600)
    compaction.compact(made.folder / journal.FOLDER, LOOP, kinds=lambda _: {}, clock=made.clock)
    made.clock.advance(3600)
    assert made.monitors.reconcile() >= 3
    assert [one.number for one in made.found("operation", "requests")][:3] == [30, 40, 50]


def test_outcomes_are_told_with_an_interval_beside_the_label(tmp_path: Path) -> None:
    made = World(tmp_path, monitor=Monitor(outcomes=["revenue"]))
    asked = made.ask(made.flights(400))
    told = [
        Label(
            label=float(10 + place % 2), at=made.clock.now(), origin="test", prediction_id=identity, outcome="revenue"
        )
        for place, (identity, _) in enumerate(asked[:300])
    ]
    made.write(made.folder / labels.FOLDER, "01KE7Z3W1C9N7V0QWJ4S8YH2TX", told)
    made.pass_days()
    found = made.newest("outcome", "revenue")
    assert found.number == pytest.approx(10.5)
    assert found.evidence["low"] < 10.5 < found.evidence["high"]
    assert found.evidence["known"] == 300
    assert made.newest("quality", "coverage").evidence["labelled"] == 0
    assert found.since == FIRST
    assert found.until == FIRST + DAY


def test_a_window_read_in_parts_says_what_it_says_at_once(tmp_path: Path) -> None:
    made = World(tmp_path, monitor=Monitor())
    for count in (300, 0, 200, 100):
        if count:
            made.answer(made.ask(made.flights(count))[: count - 20])
        made.clock.advance(7200)
    known = Bundles(made.stores).of(LOOP, 1)
    assert known is not None
    whole = window_of(FIRST, DAY)

    def read(span: Window) -> Labelled:
        return labelled(joined(tmp_path, LOOP, since=span.since, until=span.until, columns=["carrier"]), known)

    (found,), at_once = together([read(part) for part in split(whole, 12)]), read(whole)
    assert (found.rows, found.labelled, found.waiting) == (at_once.rows, at_once.labelled, at_once.waiting)
    assert found.rows == 600
    for name in ("labels", "predictions", "wrong", "told"):
        assert getattr(found, name).tolist() == getattr(at_once, name).tolist()
    assert found.columns.equals(at_once.columns)
