"""`lw monitor` and `lw findings`, on a workspace of one loop."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tests.unit.monitoring import LOOP, World

from loopwright import system
from loopwright.cli.monitor import findings, in_order, monitor
from loopwright.core.finding import Finding, Level
from loopwright.errors import LoopwrightError, UsageError, VersionNotFound
from loopwright.monitor.declare import Monitor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project whose monitors looked at two days of skewed traffic."""
    with system.open(tmp_path) as opened:
        world = World(opened.workspace, monitor=Monitor(), given=opened.stores)
        for _ in range(2):
            world.answer(world.ask(world.flights(1500, further=0.6)))
            world.pass_days()
    return tmp_path


def run(command: click.Command, *words: str) -> str:
    done = CliRunner().invoke(command, list(words))
    if isinstance(done.exception, LoopwrightError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_the_newest_findings_are_told_what_alarms_first(folder: Path) -> None:
    told = run(monitor, LOOP, "--project", str(folder)).splitlines()
    assert told[0].startswith("late, 2026-03-03 00:00 to 2026-03-04 00:00 UTC, as known at 2026-03-04 12:00:00: ")
    assert [line.split()[:5] for line in told[2:4]] == [
        ["alarmed", "2026-03-04", "00:00", "skew", what] for what in ("all", "distance")
    ]


def test_numbers_are_told_with_their_units_and_ages_in_words(folder: Path) -> None:
    told = run(monitor, LOOP, "--project", str(folder))
    lines = {tuple(line.split()[3:5]): line for line in told.splitlines()[2:]}
    assert re.search(r" 0 % +1 % ", lines["operation", "errors"])
    assert re.search(r" (1\.99|2|2\.0\d) ms ", lines["operation", "latency"])
    assert re.search(r" 36 hours +90 days ", lines["staleness", "champion"])
    assert "late v1 is 36 hours old; the limit is 90 days" in lines["staleness", "champion"]
    assert "the newest label is 12 hours old" in lines["staleness", "labels"]
    assert re.search(r"\de-\d", told) is None


def test_findings_go_back_window_by_window(folder: Path) -> None:
    words = (LOOP, "--project", str(folder), "--monitor", "skew", "--about", "distance", "--json")
    told = json.loads(run(findings, *words))
    assert [one["level"] for one in told] == ["alarmed", "noticed"]
    assert told[0]["evidence"]["reference_rows"] == 20_000
    assert len(json.loads(run(findings, *words, "--since", "2026-03-03T00:00:00Z"))) == 1
    assert len(json.loads(run(findings, *words, "--open"))) == 2


def test_one_window_can_be_looked_at(folder: Path) -> None:
    told = json.loads(run(monitor, LOOP, "--project", str(folder), "--window", "2026-03-02", "--json"))
    assert {one["since"] for one in told} == {"2026-03-02T00:00:00+00:00"}
    assert {one["monitor"] for one in told} >= {"operation", "input", "skew", "quality", "estimate"}


def test_what_is_wrong_is_said_with_what_is_right(folder: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'drift'"):
        run(findings, LOOP, "--project", str(folder), "--monitor", "drif")
    with pytest.raises(UsageError, match="is no moment"):
        run(monitor, LOOP, "--project", str(folder), "--window", "yesterday")
    with pytest.raises(VersionNotFound, match="did you mean 'late'"):
        run(monitor, "lat", "--project", str(folder))


def test_now_looks_first(folder: Path) -> None:
    """By the clock of the machine, which is not that of the world: what is over since is empty."""
    told = json.loads(run(monitor, LOOP, "--project", str(folder), "--now", "--json"))
    assert told


def test_of_inputs_that_moved_those_come_first_that_moved_by_much_and_matter() -> None:
    def moved(subject: str, effect: float, importance: float | None) -> Finding:
        at = datetime(2026, 3, 2, tzinfo=UTC)
        return Finding(
            loop=LOOP, monitor="skew", subject=subject, version=1, since=at, until=at, known_at=at, level=Level.ALARMED,
            measure="effect", number=effect, limit=0.1, reason="it moved", evidence={"importance": importance},
        )  # fmt: skip

    found = [moved("a", 0.9, 0.1), moved("b", 0.3, 1.0), moved("c", 0.5, None), moved("all", 0.9, None)]
    assert [one.subject for one in sorted(found, key=in_order)] == ["all", "c", "b", "a"]


@pytest.mark.parametrize(
    "asked", [["--about", "nope"], ["--since", "2030-01-01"], ["--monitor", "estimate", "--open"]], ids=" ".join
)
def test_where_nothing_fits_what_was_asked_what_there_is_is_told(folder: Path, asked: list[str]) -> None:
    told = run(findings, LOOP, *asked, "--project", str(folder))
    assert told.startswith(
        f"nothing that the monitors of late found fits {' '.join(asked)}; up to 2026-03-04 00:00 UTC"
    )
    assert re.search(r"^skew +all, distance$", told, re.MULTILINE)
    assert "nothing yet" not in told
    assert json.loads(run(findings, LOOP, *asked, "--project", str(folder), "--json")) == []


def test_what_is_asked_for_is_found_behind_more_findings_than_are_told(folder: Path) -> None:
    told = run(findings, LOOP, "--about", "requests", "--limit", "1", "--project", str(folder)).splitlines()
    assert [line.split()[4] for line in told[1:]] == ["requests"]
