"""Labels that come late, to one version later than to the other, or not at all; and what a release does of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.street import LOOP, Behaviour, Street
from tests.unit.test_releases import both, deployed

from loopwright.errors import StoreUnavailable
from loopwright.gateway.notices import Notices
from loopwright.predictions.labels import Label
from loopwright.rollout import by_hand, seen, starting
from loopwright.rollout.maturity import Maturity, Ripe
from loopwright.rollout.plan import Canary, Now
from loopwright.rollout.seen import Open, Seen
from loopwright.rollout.state import ReleaseState, Status
from loopwright.testing.clock import START

HALF = Canary(hold="4h", shares=[0.5, 1.0], watch="1d", patience="9d")


@pytest.fixture
def street(tmp_path: Path) -> Street:
    return Street(tmp_path / "made")


def with_delays(
    street: Street, late: dict[int, int], errs: Behaviour, hours: int = 40, every: int = 150
) -> ReleaseState:
    """Requests of so many hours, whose labels come so many hours later, by the version that answered."""
    due: list[tuple[int, str]] = []
    for hour in range(hours):
        for _ in range(every):
            street.clock.advance(3600 / every)
            route = street.stores.routes.current(LOOP)
            assert route is not None
            unit = f"unit-{street.asked}"
            arm = route.choose(unit)
            due.append((hour + late[arm.version], street.request(unit, errs=errs, label=False)))
        for _, ulid in [one for one in due if one[0] <= hour]:
            street.label(ulid, True)
        due = [one for one in due if one[0] > hour]
        street.reconciler.reconcile()
        if street.standing().state.ended:
            break
    return street.standing().state


def test_a_version_whose_labels_come_sooner_is_not_taken_back_for_it(street: Street) -> None:
    street.start(HALF)
    state = with_delays(street, {1: 9, 2: 4}, both(5))
    assert state.ended is not Status.ROLLED_BACK
    assert min(state.mature.canary, state.mature.champion) > 500


def test_a_worse_version_whose_labels_come_later_goes_no_further_and_is_taken_back(street: Street) -> None:
    street.start(HALF)
    state = with_delays(street, {1: 1, 2: 9}, lambda number, arm: number % (3 if arm.version == 2 else 12) == 0)
    assert state.ended is Status.ROLLED_BACK
    assert not {"ramp", "promote"} & set(street.verdicts())
    assert "v2 is wrong more often" in street.moves()[-1].cause.reason


def test_without_a_label_a_release_never_ends_by_itself(street: Street) -> None:
    street.start(Canary(hold="1h", shares=[0.5, 1.0], watch="2h", hold_back=0.1))
    for _ in range(12):
        street.hour(1_500, label=False)
        street.reconciler.reconcile()
    assert street.verdicts()[-1] == "hold"
    assert "too few labels came" in street.moves()[-1].cause.reason
    assert street.standing().state.ended is None


def test_the_former_champion_stays_warm_for_the_label_horizon_of_the_loop(street: Street) -> None:
    deployed(street)
    release = street.start(Canary())
    assert timedelta(seconds=release.plan["watch"]) == timedelta(days=1)


def test_an_age_is_believed_once_predictions_twice_as_old_have_their_labels_and_never_shrinks() -> None:
    maturity = Maturity(Ripe(), timedelta(days=7))
    for number in range(60):
        at = START + timedelta(minutes=number)
        maturity.put(f"{number:03d}", at, at + timedelta(hours=4), is_canary=number % 2 == 0)
    assert list(maturity.take(START + timedelta(hours=6))) == []
    ripe = list(maturity.take(START + timedelta(hours=12)))
    assert ripe == [f"{number:03d}" for number in range(60)]
    age = maturity.ripe.seconds
    assert age is not None
    assert 4 <= age / 3600 < 5.1
    late = START + timedelta(minutes=30)
    maturity.put("030", late, START + timedelta(hours=13), is_canary=True)
    assert not maturity.is_timely(late, START + timedelta(hours=13))
    assert list(maturity.take(START + timedelta(hours=13))) == ["030"]
    assert maturity.ripe.seconds == age


def test_of_too_many_predictions_those_of_some_units_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "_MOST_OPEN", 100)
    found = Seen()
    for number in range(350):
        found.keep(f"line-{number}", Open(at=START, unit=f"unit-{number}", key={"flight": number % 7}))
    list(found.labelled_by(_by_key()))
    found.thin()
    assert 0 < len(found.open) <= 100
    assert {one.unit for one in found.open.values()} == {
        f"unit-{n}" for n in range(350) if found.is_sampled(f"unit-{n}")
    }
    assert sum(len(ids) for index in found.by_key.values() for ids in index.values()) == len(found.open)
    found.forget(START + timedelta(days=1))
    assert found.by_key[("flight",)] == {}


def _by_key() -> Label:
    return Label(label=True, at=START, origin="test", key={"flight": 1})


def test_what_was_taken_back_by_hand_is_not_begun_again(street: Street) -> None:
    deployed(street, Now())
    street.reconciler.reconcile()
    version = street.works.version(lineage={"deployment": 1})
    by_hand.promote(street.stores, LOOP, f"v{version.number}", street.cause())
    street.reconciler.reconcile()
    by_hand.rollback(street.stores, LOOP, street.cause())
    street.clock.advance(60)
    assert street.reconciler.reconcile() == 0
    assert street.arms() == [("champion", 1, 1.0)]


@pytest.mark.parametrize(
    "error", [StoreUnavailable("the bucket is away"), OSError(28, "no space left")], ids=["store", "disk"]
)
def test_a_release_that_could_not_begin_begins_when_it_can(street: Street, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip  # noqa: E501
    deployed(street)
    street.works.version(lineage={"deployment": 1})

    def away(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(starting, "fill", away)
        for _ in range(4):
            assert street.reconciler.reconcile() == 0
            street.clock.advance(100)
    assert street.reconciler.reconcile() == 1
    assert street.standing().release.challenger == 3


def test_what_a_gateway_tells_of_a_version_that_cannot_be_loaded_takes_it_back(street: Street) -> None:
    street.start()
    notices = Notices(lambda: street.stores.events, street.clock)
    told = {"route": 2, "what": "v2 is torn", "fix": None}
    for attempts in ({}, {}, {"attempts": 3}, {"attempts": 3}, {"attempts": 5}):
        street.clock.advance(5)
        notices.note("VersionNotLoaded", f"version:{LOOP}:2", "v2 is torn", told | attempts)
        notices.write()
        street.reconciler.reconcile()
    assert "v2 crashed 3 times" in street.moves()[-1].cause.reason
