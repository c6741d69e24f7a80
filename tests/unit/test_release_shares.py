"""The share in force of an answer is that of the route by which its arm was chosen, whatever the clocks say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.street import PaperLog

from loopwright.core.clock import Ulids
from loopwright.core.version import Arm, Route
from loopwright.predictions.failures import Failure
from loopwright.predictions.journal import Line
from loopwright.rollout.facts import Counts, Facts, Split
from loopwright.rollout.log import Cursor
from loopwright.rollout.reader import Reader
from loopwright.rollout.shares import Shares
from loopwright.rollout.yardstick import Yardstick
from loopwright.testing import HandClock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOOP = "late"


def route(number: int, share: float, at: datetime = NOON, challenger: int = 2) -> Route:
    arms = (Arm(name="champion", version=1, share=1 - share), Arm(name="challenger", version=challenger, share=share))
    return Route(loop=LOOP, number=number, arms=arms, at=at, actor="me")


def line(number: int | None, at: datetime = NOON, *, version: int = 1, ulid: str = "", unit: str = "me") -> Line:
    arm = "challenger" if version == 2 else "champion"
    return Line(id=f"{ulid}.0", at=at, loop=LOOP, version=version, digest="d", arm=arm, row={}, unit=unit,
                value=1.0, route=number)  # fmt: skip


def failure(number: int | None, at: datetime = NOON) -> Failure:
    return Failure(id="", at=at, loop=LOOP, version=2, digest="d", arm="challenger", kind="error", reason="", unit="me",
                   route=number)  # fmt: skip


@pytest.mark.parametrize("moment", [NOON - timedelta(days=1), NOON, NOON + timedelta(days=9)], ids=["-", "0", "+"])
def test_a_line_has_the_share_of_its_route_at_any_moment(moment: datetime) -> None:
    shares = Shares([route(5, 0.0), route(6, 0.1), route(7, 0.1), route(8, 0.5)], challenger=2)
    for one in (line, failure):
        found = [shares.of(one(number, moment)) for number in (5, 6, 7, 8)]
        assert [(each.number, each.share) for each in found if each] == [(0, 0.0), (1, 0.1), (1, 0.1), (2, 0.5)]


def test_routes_of_other_releases_and_those_without_the_challenger_give_no_evidence() -> None:
    shares = Shares([route(5, 0.1), route(6, 0.3, challenger=3)], challenger=2)
    moment = NOON + timedelta(hours=1)
    assert [shares.of(line(number, moment)) for number in (4, 6, 7)] == [None] * 3


def test_a_line_that_does_not_say_its_route_is_judged_by_its_moment() -> None:
    shares = Shares([route(5, 0.1), route(6, 0.5, NOON + timedelta(hours=1))], challenger=2)
    found = [shares.of(line(None, NOON + timedelta(seconds=each))) for each in (0, 2, 4, 3599, 3601, 3604)]
    assert [each and each.share for each in found] == [None, None, 0.1, 0.1, None, 0.5]


def read(log: PaperLog, shares: Shares, clock: HandClock) -> Facts:
    cursor = Cursor(begun="", log="", began_at=NOON, route=5)
    reader = Reader(log, cursor, loop=LOOP, challenger=2, champion=1, yardstick=Yardstick())
    reader.resume(shares)
    return reader.read(shares, None, clock.now)


def test_a_gateway_that_follows_late_gives_no_unit_to_a_share_that_it_did_not_know() -> None:
    """Three seconds are long over, and still it answers by the route before."""
    clock, log = HandClock(NOON), PaperLog()
    first, second = route(5, 0.0), route(6, 0.2, NOON + timedelta(minutes=1))
    ulids = Ulids(clock)
    clock.advance(120)
    for number in range(45):
        clock.advance(1)
        log.write(line(5, clock.now(), ulid=ulids.next(), unit=f"unit-{number}"))
    told = read(log, Shares([first, second], challenger=2), clock)
    assert all(one.units == Counts() for one in told.units if one.share == 0.2)
    silent = PaperLog([replace_route(one) for one in log.written if isinstance(one, Line)])
    guessed = read(silent, Shares([first, second], challenger=2), clock)
    assert [one for one in guessed.units if one.share == 0.2] == [Split(share=0.2, units=Counts(champion=45))]


def replace_route(one: Line) -> Line:
    """As an older gateway would have written it."""
    return line(None, one.at, ulid=one.id[:26], unit=one.unit or "")


def test_where_the_clock_stands_still_each_answer_counts_under_the_share_of_its_route() -> None:
    clock, log = HandClock(NOON), PaperLog()
    ulids, routes = Ulids(clock), [route(5, 0.1), route(6, 0.5)]
    for number in range(60):
        of = routes[number >= 20]
        unit = f"unit-{number}"
        log.write(line(of.number, ulid=ulids.next(), unit=unit, version=of.choose(unit).version))
    told = read(log, Shares(routes, challenger=2), clock)
    assert [(one.share, one.units.canary + one.units.champion) for one in told.units] == [(0.1, 20), (0.5, 40)]
    expected = sum(routes[1].choose(f"unit-{number}").version == 2 for number in range(20, 60))
    assert told.units[1].units.canary == expected > 0


def test_the_route_of_a_release_that_ended_gives_no_unit_to_the_next_one() -> None:
    clock, log = HandClock(NOON), PaperLog()
    ulids = Ulids(clock)
    clock.advance(3600)
    for number in (3, 4, 9):
        log.write(line(number, clock.now(), ulid=ulids.next(), unit=f"unit-{number}"))
    assert read(log, Shares([route(5, 0.1)], challenger=2), clock).units == ()
