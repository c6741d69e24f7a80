"""The demo: months of real flights go into a table, a model is proved and served, the next month's flights ask it, and
their arrivals tell how right it was. Every number printed was measured on the way.

The story is told twice: in lines for people as it goes, and as events for machines.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from loopwright import demo, system
from loopwright.core.version import Route, Version, VersionStatus
from loopwright.data.table import Table
from loopwright.demo import flights
from loopwright.demo.client import Client, follow, starting
from loopwright.errors import ModelError, StepError, TableNotFound
from loopwright.judge.evaluate import evaluate
from loopwright.judge.evaluation import interval, number
from loopwright.pipeline.request import Report
from loopwright.predictions import labels, reading
from loopwright.registry.evidence import verdict_of
from loopwright.registry.promote import promote
from loopwright.system import System

ENOUGH_MONTHS = 3
"""Fewer seldom prove a model: the gates of the loop file want more to learn from."""
LOOP, FILE = "late-arrivals", "flights.py"
TABLE = Table("flights", key=flights.KEY, time=flights.TIME, label=flights.LABEL, never=flights.NEVER)
ROWS_A_REQUEST, LABELS_A_REQUEST = 200, 2_000
MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905


@dataclass
class Story:
    """Hears what happens; `say` is for people, `events` for machines."""

    system: System
    say: Callable[[str], None]
    months: int
    events: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)

    def tell(self, event: str, text: str, **data: Any) -> None:
        self.note(event, self.system.clock.now(), **data)
        self.say(text)

    def note(self, event: str, at: datetime, **data: Any) -> None:
        """For machines alone."""
        self.events.append({"event": event, "at": at.isoformat(), **data})

    def to_json(self) -> str:
        return json.dumps({"summary": self.summary, "events": self.events}, indent=1, ensure_ascii=False)


def open_folder(folder: Path) -> System:
    """The demo's project: the loop file is copied there, to be read and changed; one that was changed stays."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / FILE).exists():
        shutil.copyfile(demo.loop_file(), folder / FILE)
    return system.open(folder)


def play(
    story: Story, folder: Path, *, rows_each: int | None = None, serve_on: Callable[[str], None] | None = None
) -> None:
    """From an empty folder to a served model and its first labelled month; from the cache where it was done before.

    `rows_each` takes only so many rows of every month, evenly. `serve_on(url)` is called at the end, the server up.
    """
    clock, month = story.system.clock, story.months + 1
    begun, begun_at = clock.monotonic(), clock.now()
    _append(story, rows_each)
    with starting(folder, clock) as url_of, ThreadPoolExecutor(1) as aside:
        asked = aside.submit(lambda: _sample(flights.serving_rows(month), rows_each))
        version = _train(story, folder)
        _promote(story, version)
        with Client(url_of()) as client:
            follow(client, LOOP, version.number, clock)
            story.tell("Serving", f"\nServing {version.name} at {url_of()}", url=url_of())
            ids = _ask(story, client, asked.result(), month)
            _label(story, client, ids, month)
        _judge_online(story, version, ids, begun_at)
        _summarise(story, version, begun)
        if serve_on is not None:
            serve_on(url_of())


def _append(story: Story, rows_each: int | None) -> None:
    if story.months < ENOUGH_MONTHS:
        story.say(
            f"With fewer than {ENOUGH_MONTHS} months the gates will probably reject the model, and nothing is served"
        )
    story.say(f"Flights from New York, 2013: {MONTHS[0]} to {MONTHS[story.months - 1]}")
    known = _batches(story.system)
    for month in range(1, story.months + 1):
        batch = f"2013-{month:02}"
        if batch in known:
            story.tell("RowsKnown", f"  {MONTHS[month - 1]:10} is in the table already", month=month)
            continue
        rows = flights.month(month)
        rows = rows if rows_each is None else rows.gather_every(max(len(rows) // rows_each, 1))
        version = story.system.tables.append(TABLE, rows, batch_id=batch)
        never = rows[flights.LABEL].null_count()
        story.tell(
            "RowsAppended",
            f"  {MONTHS[month - 1]:10} {len(rows):7,} flights, {never:5,} never arrived and have no label",
            month=month,
            rows=len(rows),
            unlabelled=never,
            table_version=version.version,
        )


def _batches(opened: System) -> set[str | None]:
    try:
        return {version.batch_id for version in opened.tables.versions(TABLE.name)}
    except TableNotFound:
        return set()


def _train(story: Story, folder: Path) -> Version:
    """The version that the loop makes. Raises StepError when it makes none, ModelError for a rejected one."""
    story.say(f"\nThe loop learns, proves and registers: lw run {FILE}")
    ending = story.system.run(folder / FILE, on_report=lambda report: _hear(story, report))
    if ending.status not in ("succeeded", "rejected"):
        why = ending.error.message if ending.error else ending.status
        raise StepError(f"the loop ended as {ending.status}: {why}", fix=f"lw show {ending.run} --project {folder}")
    version = story.system.stores.versions.get(LOOP, "newest")
    verdict = verdict_of(story.system.stores, version)
    story.tell(
        "VersionRegistered",
        f"\n{version.name}: {verdict}",
        version=version.number,
        digest=version.digest,
        run=ending.run,
        steps={report.step: report.word for report in ending.executions.values()},
        accepted=version.status is VersionStatus.ACCEPTED,
        offline=version.value,
    )
    if version.status is VersionStatus.REJECTED:
        raise ModelError(
            "the model did not prove itself on these flights, so nothing is served: that is what gates are for",
            fix=f"give it more to learn from: lw demo --months {max(story.months + 1, ENOUGH_MONTHS)}",
        )
    return version


def _hear(story: Story, report: Report) -> None:
    if report.told == "turn" and report.status == "reused":
        story.say(f"  {report.step:10} reused")
    elif report.told == "turn" and report.status in ("ran", "failed"):
        story.say(f"  {report.step:10} {report.word}, {report.seconds or 0:.1f} s")


def _promote(story: Story, version: Version) -> None:
    done = promote(story.system.stores, LOOP, str(version.number), story.system.cause("lw demo"))
    told = "is the champion now" if done.is_change else "is the champion already"
    story.tell(
        "VersionPromoted" if done.is_change else "ChampionKept", f"{version.name} {told}", version=version.number
    )


def _ask(story: Story, client: Client, rows: Sequence[dict[str, Any]], month: int) -> dict[str, str]:
    """Sends what is known before departure; the id of each flight's prediction."""
    clock, ids = story.system.clock, dict[str, str]()
    begun = clock.monotonic()
    for some in _in_turn(rows, ROWS_A_REQUEST):
        answers = client.post(f"/v1/loops/{LOOP}/predict", {"rows": some})["predictions"]
        ids |= {row[flights.KEY]: answer["id"] for row, answer in zip(some, answers, strict=True)}
    seconds = clock.monotonic() - begun
    story.tell(
        "Predicted",
        f"  {len(ids):,} flights of {MONTHS[month - 1]} asked over HTTP, {ROWS_A_REQUEST} a request: "
        f"{len(ids) / max(seconds, 1e-9):,.0f} answers a second",
        month=month,
        predictions=len(ids),
        seconds=round(seconds, 3),
    )
    return ids


def _label(story: Story, client: Client, ids: dict[str, str], month: int) -> None:
    """What came true, for the flights that arrived; the others never get a label."""
    known = [
        {"prediction_id": ids[flight], "label": late}
        for flight, late in flights.arrivals(month).items()
        if flight in ids
    ]
    accepted = sum(
        client.post("/v1/labels", {"labels": list(some)})["accepted"] for some in _in_turn(known, LABELS_A_REQUEST)
    )
    story.summary["labels_joined"] = accepted
    story.tell(
        "LabelsJoined",
        f"  {accepted:,} arrived and told whether they were late; {len(ids) - accepted:,} never did, and never will",
        labels=accepted,
        never=len(ids) - accepted,
    )


def _judge_online(story: Story, version: Version, ids: dict[str, str], since: datetime) -> None:
    """The same metric, on predictions that were served and labels that came."""
    asked, known = set(ids.values()), labels.newest(story.system.workspace, LOOP)
    lines = reading.read(story.system.workspace, LOOP, since=since, version=version.number).lines
    pairs = [(line, known.of(line.id, line.key)) for line in lines if line.id in asked]
    told = [(label.label, line.probabilities["true"]) for line, label in pairs if label and line.probabilities]
    found = evaluate([int(late) for late, _ in told], [score for _, score in told], metrics=[version.metric])
    online = found.metrics[0]
    story.summary |= {"online": online.value, "predictions": len(ids)}
    story.tell(
        "Measured",
        f"  {version.metric} of what was served in {MONTHS[story.months]}: {number(online.value)} "
        f"{interval(online.low, online.high)}; when it was judged: {number(version.value)}",
        metric=version.metric,
        online=online.value,
        offline=version.value,
    )
    last = list(ids.values())[-1]
    story.tell(
        "Traceable", f"\nEvery answer can be traced: lw why {last} --project {story.system.folder}", prediction=last
    )


def _summarise(story: Story, version: Version, begun: float) -> None:
    stores = story.system.stores
    route: Route | None = stores.routes.current(LOOP)
    story.summary = {
        "months": story.months,
        "rows": story.system.tables.current(TABLE.name).rows,
        "versions": len(stores.versions.list(LOOP)),
        "served_version": route.champion if route else None,
        "metric": version.metric,
        "offline": version.value,
        **story.summary,
        "seconds": round(story.system.clock.monotonic() - begun, 2),
    }


def _sample(rows: Sequence[dict[str, Any]], rows_each: int | None) -> Sequence[dict[str, Any]]:
    return rows if rows_each is None else rows[:: max(len(rows) // rows_each, 1)]


def _in_turn(rows: Sequence[Any], each: int) -> Iterator[Sequence[Any]]:
    for first in range(0, len(rows), each):
        yield rows[first : first + each]
