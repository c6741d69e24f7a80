"""The year: the loop is deployed on what the first three months taught it, and then nobody touches it until December.

Real flights ask over HTTP as they leave and tell what came true as they land; the reconcilers of `lw up` look at it
once a day. One mistake is made on purpose, as people make it: see `broken`. Every number printed was measured on the
way.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from loopwright import system
from loopwright.core.clock import turn
from loopwright.core.event import Event
from loopwright.core.version import Route, VersionStatus
from loopwright.demo import baselines, broken, flights, loop_file, telling
from loopwright.demo.client import Client, starting
from loopwright.demo.days import DAY, Days
from loopwright.demo.measured import Log
from loopwright.demo.schedule import Schedule
from loopwright.demo.story import FILE, LOOP, MONTHS, TABLE, Story
from loopwright.demo.telling import Month
from loopwright.demo.traffic import Traffic
from loopwright.errors import StepError, UsageError
from loopwright.judge.evaluation import number
from loopwright.system import System

LEARNED, LAST = baselines.LEARNED, baselines.LAST
BEGIN, END = datetime(2013, 4, 1, 6, tzinfo=UTC), datetime(2014, 1, 2, 6, tzinfo=UTC)
NEW_YEAR = datetime(2014, 1, 1, tzinfo=UTC)
MISTAKE_MADE, MISTAKE_RELEASED = datetime(2013, 8, 1, 6, tzinfo=UTC), datetime(2013, 10, 1, 6, tzinfo=UTC)
"""When somebody begins, and the first morning from then on at which no release goes on."""
_CLOCK, _SETTINGS = "clock", "loopwright.toml"
_SET = f"""\
clock_file = "{_CLOCK}"
route_poll_seconds = 0.1     # the clock stands still while the gateway is waited for
journal_close_seconds = 10   # so many days pass in a minute that the log would be long
compact_seconds = 10
"""
_BECAUSE = "my import is ready, and the gates passed"


def open_folder(folder: Path) -> System:
    """The year's project, on a clock that is turned by hand. What an earlier year left there is cleared away; the loop
    file stays as it is. Raises UsageError for a workspace that no year made."""
    folder.mkdir(parents=True, exist_ok=True)
    workspace, clock = folder / ".loopwright", folder / _CLOCK
    if workspace.exists() and not clock.exists():
        raise UsageError(
            f"there is a workspace in {folder} that is no year's, and this one needs the place to itself",
            fix="choose another folder: lw demo --folder a-year",
        )
    if workspace.exists():
        shutil.rmtree(workspace)
    if not (folder / FILE).exists():
        shutil.copyfile(loop_file(), folder / FILE)
    turn(clock, BEGIN)
    (folder / _SETTINGS).write_text(_SET, encoding="utf-8")
    return system.open(folder)


@dataclass(kw_only=True)
class Year:
    """What is known of it so far."""

    story: Story
    log: Log
    months: dict[int, Month] = field(default_factory=dict)
    current: int = LEARNED
    retrains: int = 0
    promotions: int = 0
    rollbacks: int = 0
    making: broken.Making | None = None
    is_mistaken: bool = False
    mistake: int | None = None
    """The version that learned from the wrong distances, if the gates let it pass."""

    def hear(self, event: Event) -> None:
        """Tell it to people where it matters to them, and count."""
        self._count(event)
        said = telling.told(event)
        if said is None:
            return
        month = self.months.get(self.current)
        if month is not None:
            month.findings += [said.finding] if said.finding else []
            month.actions += [said.action] if said.action else []
        if said.text and not self._is_old_news(said):
            self.story.say(f"  {event.cause.at:%d %b}  {said.text}")
        self.story.note(event.kind, event.cause.at, subject=event.subject, reason=event.cause.reason)

    def _count(self, event: Event) -> None:
        verdict, champion = event.data.get("verdict"), event.data.get("champion")
        self.retrains += event.kind == "RetrainingClaimed" and event.data.get("trigger") != telling.NEW_CODE
        self.promotions += event.kind == "ReleaseMoved" and verdict == "promote" and champion is not None
        self.rollbacks += event.kind == "ReleaseMoved" and verdict == "roll back"

    def _is_old_news(self, said: telling.Told) -> bool:
        """There is always some weather: once a month is enough."""
        month = self.months.get(self.current)
        return bool(said.finding) and month is not None and month.findings.count(said.finding) > 1


def play(
    story: Story, folder: Path, *, rows_each: int | None = None, serve_on: Callable[[str], None] | None = None
) -> None:
    """From an empty folder to the end of the year.

    `rows_each` takes only so many flights of every month, evenly. `serve_on(url)` is called at the end, the server up.
    """
    clock, year = story.system.clock, Year(story=story, log=Log(story.system))
    begun = clock.monotonic()
    with ExitStack() as stack:
        url_of = stack.enter_context(starting(folder, clock))
        schedule = Schedule(LEARNED + 1, LAST, rows_each=rows_each)
        days = Days(story.system, folder / _CLOCK, schedule, BEGIN, year.hear)
        _append(year, days, rows_each)
        _deploy(year, days, folder)
        days.reconcile()
        working = baselines.Working(_terms(story.system, folder, rows_each), folder / "baselines")
        stack.callback(working.stop)
        _live(year, days, url_of(), folder, stack)
        with days.timed("baselines"):
            others = working.result()
        _close(year, days, others, begun)
        if serve_on is not None:
            serve_on(url_of())


def _live(year: Year, days: Days, url: str, folder: Path, stack: ExitStack) -> None:
    """Every day until the year is over."""
    with Client(url) as client, Traffic(url, LOOP) as asking:
        days.follow(client)
        year.story.tell("Serving", f"\nServing at {url}", url=url)
        while days.now < END:
            _begin_month(year, days)
            days.pass_one(client, asking)
            if year.making is None and days.now >= MISTAKE_MADE:
                year.making = _begin_a_mistake(year, days, folder)
                stack.callback(year.making.stop)
            elif year.making and not year.is_mistaken and days.now >= MISTAKE_RELEASED:
                _release_a_mistake(year, days, client, year.making)
    _measure(year, days)


def _append(year: Year, days: Days, rows_each: int | None) -> None:
    year.story.say(f"Flights from New York, 2013: {MONTHS[0]} to {MONTHS[LEARNED - 1]} are known")
    for month in range(1, LEARNED + 1):
        rows = flights.month(month)
        rows = rows if rows_each is None else rows.gather_every(max(len(rows) // rows_each, 1))
        with days.timed("write"):
            version = year.story.system.tables.append(TABLE, rows, batch_id=f"2013-{month:02}")
        told = {"month": month, "rows": len(rows), "table_version": version.version}
        year.story.tell("RowsAppended", f"  {MONTHS[month - 1]:10} {len(rows):7,} flights", **told)


def _deploy(year: Year, days: Days, folder: Path) -> None:
    """As a person would: from now on the file as it is now runs, whatever becomes of it. Raises StepError."""
    year.story.say(f"\nThe loop is deployed: lw deploy {FILE}")
    command = [sys.executable, "-m", "loopwright.cli", "deploy", str(folder / FILE), "--no-tests"]
    with days.timed("deploy"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StepError(f"lw deploy failed: {done.stderr.strip()}", fix=f"lw deploy {folder / FILE}")
    for line in done.stdout.splitlines():
        year.story.say(f"  {line}")


def _terms(opened: System, folder: Path, rows_each: int | None) -> baselines.Terms:
    """The first model's parameters, for all of them. Raises StepError where there is none."""
    found = opened.stores.versions.list(LOOP)
    route = opened.stores.routes.current(LOOP)
    if route is None:
        why = found[0].reason if found else "its run failed"
        raise StepError(f"the loop made no model that proved itself: {why}", fix=f"lw runs --project {folder}")
    first = next(one for one in found if one.number == route.champion)
    parameters = dict(first.lineage["parameters"])
    return baselines.Terms(file=folder / FILE, parameters=parameters, rows_each=rows_each)


def _begin_month(year: Year, days: Days) -> None:
    """A month is told once its last flights have landed."""
    month = (max(days.now, BEGIN + DAY) - DAY).month
    if days.now - DAY >= NEW_YEAR or month == year.current:
        return
    if year.current > LEARNED:
        _measure(year, days)
    year.current = month
    year.months[month] = Month(number=month, versions=[_champion(year.story.system)])
    year.story.tell("MonthBegun", f"\n{MONTHS[month - 1]}", month=month)


def _champion(opened: System) -> int:
    route: Route | None = opened.stores.routes.current(LOOP)
    return route.champion or 0 if route else 0


def _begin_a_mistake(year: Year, days: Days, folder: Path) -> broken.Making:
    year.story.say(
        f"  {days.now:%d %b}  somebody's own import has its distances in kilometres; nobody knows: lw run {broken.FILE}"
    )
    with days.timed("mistake"):
        return broken.Making(year.story.system, folder / FILE)


def _release_a_mistake(year: Year, days: Days, client: Client, making: broken.Making) -> None:
    opened, story = year.story.system, year.story
    if opened.stores.releases.unended():
        return
    with days.timed("mistake"):
        year.is_mistaken = True
        version = making.version()
        days.listen()
        if version.status is VersionStatus.REJECTED:
            return
        year.mistake = version.number
        broken.released(opened, version, _BECAUSE)
    story.tell(
        "MistakeMade",
        f"  {days.now:%d %b}  lw release start {LOOP} {version.number} --no-shadow --shares 0.25,1",
        version=version.number,
        reason=_BECAUSE,
    )
    days.listen()
    days.follow(client)


def _measure(year: Year, days: Days) -> None:
    """The month as it was answered and as it came true."""
    month = year.months[year.current]
    since, until = days.now - timedelta(days=34), days.now
    with days.timed("measure"):
        found = year.log.measured(days.asked.ids[month.number], since, until)
    month.loop, month.predictions, month.labels = found.value, found.predictions, found.labels
    month.versions = list(found.champions)
    year.story.tell(
        "Measured",
        f"  {found.predictions:,} asked, {found.labels:,} landed; {found.metric} {number(found.value)}",
        month=month.number,
        predictions=found.predictions,
        labels=found.labels,
        metric=found.metric,
        value=found.value,
    )


def _close(year: Year, days: Days, others: baselines.Baselines, begun: float) -> None:
    opened, story = year.story.system, year.story
    for month in year.months.values():
        month.alone, month.monthly = others.alone.get(month.number), others.monthly.get(month.number)
    months = list(year.months.values())
    story.say("\n" + telling.table(months, year.retrains, others.retrains))
    story.say("\n" + telling.compared(months, year.retrains, others.retrains))
    touched = _tell_of_the_mistake(year, year.mistake) if year.mistake else 0
    story.say("\nWhat stands behind an answer: lw why ID")
    for trace in year.log.traces(year.mistake):
        story.tell("Traceable", f"  {trace.text}", **trace.data)
    means = {name: telling.mean(months, name) for name in ("loop", "alone", "monthly")}
    counts = {"loop": year.retrains, "monthly": others.retrains}
    story.summary = {
        **_present(year, days, means["loop"]),
        "retrains": year.retrains,
        "promotions": year.promotions,
        "rollbacks": year.rollbacks,
        "touched_by_broken": touched,
        "quality": means,
        "gain_per_retrain": {n: telling.per_retrain(means[n], means["alone"], count) for n, count in counts.items()},
        "monthly_retrains": others.retrains,
        "year": [month.plain() for month in months],
        "phases": {name: round(seconds, 2) for name, seconds in days.seconds.items()},
        "seconds": round(opened.clock.monotonic() - begun, 2),
    }


def _tell_of_the_mistake(year: Year, version: int) -> int:
    """How many requests it answered."""
    releases = year.story.system.stores.releases.list(LOOP)
    status = next(one.status for one in releases if one.challenger == version)
    touched = year.log.touched(version)
    year.story.tell(
        "MistakeTold",
        f"\nThe mistake, v{version}, is {status}; it answered {touched:,} requests",
        version=version,
        status=status,
        touched=touched,
    )
    return touched


def _present(year: Year, days: Days, online: float | None) -> dict[str, Any]:
    """What the short story's summary says, too."""
    opened = year.story.system
    champion = _champion(opened)
    version = opened.stores.versions.get(LOOP, f"v{champion}")
    return {
        "months": LEARNED,
        "rows": opened.tables.current(TABLE.name).rows,
        "versions": len(opened.stores.versions.list(LOOP)),
        "served_version": champion,
        "metric": version.metric,
        "offline": version.value,
        "online": online,
        "predictions": sum(len(ids) for ids in days.asked.ids.values()),
        "labels_joined": days.asked.labels,
    }
