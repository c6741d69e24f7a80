"""Clocks that jump, through the reconcilers and a database: each schedule fires once, nothing is promoted by it, and
nothing hangs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.conftest import stores_on
from tests.unit.monitoring import World
from tests.unit.retraining import Kept
from tests.unit.street import Street
from tests.unit.test_alerts import Place
from tests.unit.test_retrain_due import JUMPS

from loopwright.core.retraining import RetrainingStatus
from loopwright.core.stores import Stores
from loopwright.monitor.declare import Monitor
from loopwright.retrain.triggers import Retrain, every
from loopwright.rollout.asking import ask
from loopwright.rollout.facts import Move
from loopwright.store.database import Database
from loopwright.testing import HandClock

HOUR_SECONDS, YEAR_SECONDS = 3600.0, 365 * 86_400.0
LOOP = "flights"


@pytest.fixture
def stores(opening: Callable[[str], Database], tmp_path: Path) -> Stores:
    return stores_on(opening(f"sqlite:///{tmp_path}/metadata.db"), tmp_path / "blobs")


def set_to(clock: HandClock, text: str) -> None:
    moment = datetime.fromisoformat(f"20{text}").replace(tzinfo=UTC)
    clock.jump((moment - clock.now()).total_seconds())


@pytest.mark.parametrize("what", JUMPS)
def test_each_moment_of_a_schedule_makes_one_retraining_whatever_the_clock_does(what: str, stores: Stores) -> None:
    when, zone, begun, looks = JUMPS[what]
    kept = Kept(stores=stores)
    set_to(kept.clock, begun)
    kept.deploy("code-2", Retrain([every(when, zone=zone)], cool_down="0d", most_per_week=1000))
    kept.reconciler().reconcile()
    first, second = kept.reconciler(), kept.reconciler()
    for look in looks.split():
        set_to(kept.clock, look.rstrip("+"))
        before = len(kept.runs.begun)
        for one in (first, second, first, second):
            one.reconcile()
        assert len(kept.runs.begun) - before == look.endswith("+"), look
    assert {one.status for one in kept.past} == {RetrainingStatus.SUCCEEDED}
    assert len({one.cause for one in kept.past}) == len(kept.past) == len(kept.runs.begun)


JOURNEYS = {
    "an hour ahead and back": (HOUR_SECONDS, -HOUR_SECONDS),
    "an hour back and ahead": (-HOUR_SECONDS, HOUR_SECONDS),
    "a year ahead and back": (YEAR_SECONDS, -YEAR_SECONDS),
    "a year back and ahead": (-YEAR_SECONDS, YEAR_SECONDS),
}


def watched(world: World, jumps: tuple[float, ...]) -> list[tuple[object, ...]]:
    """Four days, with the clock jumping about in the middle; what was found of each window."""
    for day in range(4):
        asked = world.ask(world.flights(300))
        world.answer(asked)
        world.pass_days()
        for jump in jumps if day == 1 else ():
            world.clock.jump(jump)
            world.monitors.reconcile()
            world.another().reconcile()
    return sorted(
        (one.since, one.until, one.monitor, one.subject, one.version, one.number)
        for one in world.stores.findings.list("late", limit=100_000)
        if one.monitor in ("operation", "quality") and one.subject in ("requests", "errors", "accuracy", "coverage")
    )


@pytest.mark.parametrize("what", JOURNEYS)
def test_monitors_neither_double_nor_lose_a_window(what: str, stores: Stores, tmp_path: Path) -> None:
    monitor = Monitor(labels_within="2d", slices=[])
    steady = watched(World(tmp_path / "steady", monitor=monitor), ())
    jumped = watched(World(tmp_path / "jumped", monitor=monitor, given=stores), JOURNEYS[what])
    since = {one[0] for one in steady}
    assert len(since) == 4
    assert [one for one in jumped if one[0] in since] == steady
    assert {one[5] for one in jumped if one[3] == "requests" and one[0] not in since} <= {0}


def test_a_release_is_not_promoted_by_a_year_that_jumped_by(stores: Stores, tmp_path: Path) -> None:
    street = Street(tmp_path, given=stores)
    street.start()
    street.clock.jump(YEAR_SECONDS)
    for _ in range(3):
        street.reconciler.reconcile()
        street.another().reconcile()
    assert street.verdicts() == ["begin", "hold"]
    assert ("challenger", 2, 0.049) in street.arms()
    street.clock.jump(-YEAR_SECONDS)
    street.hour(300)
    street.reconciler.reconcile()
    assert set(street.verdicts()) == {"begin", "hold"}
    ask(stores, LOOP, Move.RESUME, street.cause())
    assert ends(street)[-2:] == ["promote", "finish"]


def test_a_release_goes_on_when_the_clock_is_set_back_by_an_hour(stores: Stores, tmp_path: Path) -> None:
    street = Street(tmp_path, given=stores)
    street.start()
    street.hour(1000)
    street.reconciler.reconcile()
    street.clock.jump(-HOUR_SECONDS)
    assert ends(street) == ["begin", "promote", "finish"]


def test_a_release_whose_clock_is_set_back_by_a_year_says_so_and_leaves_room_for_another(
    stores: Stores, tmp_path: Path
) -> None:
    street = Street(tmp_path, given=stores)
    street.start()
    street.clock.jump(-YEAR_SECONDS)
    for _ in range(3):
        street.hour(200)
        street.reconciler.reconcile()
    assert street.verdicts() == ["begin", "hold"]
    assert "the clock was set back" in street.moves()[-1].cause.reason
    ask(stores, LOOP, Move.ABORT, street.cause())
    street.start()
    assert ends(street)[-3:] == ["begin", "promote", "finish"]


def ends(street: Street) -> list[str]:
    """Of a release that has a day to come to its end."""
    for _ in range(24):
        if street.standing().state.ended is not None:
            break
        street.hour(1500)
        street.reconciler.reconcile()
    return street.verdicts()


def test_the_digest_of_a_day_goes_out_once_and_a_year_that_jumped_by_silences_none(
    stores: Stores, tmp_path: Path
) -> None:
    place = Place(tmp_path)
    place.stores = stores
    (tmp_path / "alerts.toml").write_text('[[to]]\nname = "me"\nurl = "json://127.0.0.1:9"\ndigest = "08:00"\n')
    place.alerts().reconcile()
    days = list[str]()
    for jump in (86_400, -HOUR_SECONDS, HOUR_SECONDS, YEAR_SECONDS, -YEAR_SECONDS, 0, 86_400, -86_400, 86_400, 86_400):
        place.clock.jump(jump)
        place.tell("DecayFound", at=place.clock.now().isoformat())
        place.alerts().reconcile()
        place.alerts().reconcile()
        days = [one.title.split(":")[0].rpartition(" ")[2] for one in place.got if one.key == "digest"]
    assert days == ["2026-03-15", "2027-03-15", "2026-03-16", "2026-03-17"]
