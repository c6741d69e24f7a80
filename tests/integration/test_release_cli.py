"""`lw release`, `lw promote` and `lw rollback` on a workspace in SQLite, with predictions in files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.integration.released import CLOCK, LOOP, a_version
from tests.unit.bundles import Works

from loopwright import system
from loopwright.cli import models, release, words  # noqa: F401 - importing them declares their commands
from loopwright.core.clock import Ulids
from loopwright.errors import Conflict, UsageError, VersionNotFound
from loopwright.predictions.journal import FOLDER, Journal, Line
from loopwright.registry.promote import promote
from loopwright.rollout.asking import ask
from loopwright.rollout.controller import decide
from loopwright.rollout.facts import Facts, Move
from loopwright.rollout.moving import Standing, written
from loopwright.rollout.reconciler import Releases
from loopwright.system import System


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[System]:
    with system.open(tmp_path) as found:
        works = Works(found.stores, tmp_path / "made")
        a_version(found, works, 1.0)
        promote(found.stores, LOOP, None, found.cause("test"))
        a_version(found, works, 2.0)
        yield found


def lw(opened: System, *words_given: str) -> Result:
    return CliRunner().invoke(words.root, [*words_given, "--project", str(opened.folder)])


def told(opened: System, *words_given: str) -> Any:
    found = lw(opened, *words_given, "--json")
    assert found.exit_code == 0, found.output or found.exception
    return json.loads(found.stdout)


def predict(opened: System, versions: Sequence[int]) -> None:
    journal, ulids = Journal(opened.workspace / FOLDER, CLOCK), Ulids(CLOCK)
    lines = [
        Line(
            id=f"{ulids.next()}.0", at=CLOCK.now(), loop=LOOP, version=version, digest=f"{version:064x}",
            arm=("champion", "challenger")[version - 1], row={"x": 1.0}, unit=f"unit-{number}", value=1.0,
        )
        for number, version in enumerate(versions)
    ]  # fmt: skip
    journal.append(LOOP, lines)
    journal.close()


def test_a_release_by_hand_from_its_start_to_its_end(opened: System) -> None:
    begun = told(opened, "release", "start", LOOP, "--shares", "0.1,0.5,1", "--hold", "2h", "--because", "a try")
    assert (begun["challenger"], begun["verdict"], begun["share"]) == (2, "begin", 0.1)
    assert begun["plan"]["hold"] == 7200.0
    assert begun["arms"][1] == {"name": "challenger", "version": 2, "share": 0.1}
    assert "is holding" in lw(opened, "release", "hold", LOOP, "--because", "lunch").output
    page = told(opened, "release", "status", LOOP)
    assert page["stage"] == "stage 1 of 2: it answers 10 % of the units"
    assert [one["kind"] for one in page["holds"]] == ["asked"]
    assert "hours of this stage are left" in page["missing"]
    shown = lw(opened, "release", "status", LOOP).output
    assert "holds: hold asked by" in shown
    assert "lunch" in shown
    assert "mistakes" in shown
    assert told(opened, "release", "resume", LOOP)["status"] == "ramping"
    assert told(opened, "release", "promote", LOOP)["status"] == "watching"
    assert told(opened, "release", "abort", LOOP)["arms"] == [{"name": "champion", "version": 1, "share": 1.0}]
    assert [one["status"] for one in told(opened, "release", "list")] == ["aborted"]
    again = told(opened, "release", "replay", LOOP)
    assert [(one["verdict"], one["is_same"]) for one in again] == [
        ("begin", True), ("hold", True), ("resume", True), ("promote", True), ("abort", True),
    ]  # fmt: skip
    assert "the same" in lw(opened, "release", "replay", LOOP).output


def test_a_replay_that_comes_out_otherwise_exits_with_one(opened: System) -> None:
    told(opened, "release", "start", LOOP, "--shares", "0.1,1", "--hold", "2h")
    told(opened, "release", "abort", LOOP)
    assert lw(opened, "release", "replay", LOOP).exit_code == 0
    moved = opened.stores.events.list(subject=f"loop:{LOOP}")[-1]
    forged = {**moved.data, "decision": {**moved.data["decision"], "share": 0.7}}
    opened.stores.events.add(moved.kind, moved.subject, moved.cause, forged)
    found = lw(opened, "release", "replay", LOOP)
    assert found.exit_code == 1
    assert "share was 0.7 and is 0.0" in found.output


def test_promote_and_rollback_are_about_the_release_that_is_under_way(opened: System) -> None:
    told(opened, "release", "start", LOOP, "--no-shadow")
    found = told(opened, "promote", LOOP)
    assert (found["version"], found["previous"], "watching" in found["note"]) == (2, 1, True)
    assert told(opened, "rollback", LOOP)["version"] == 1
    assert told(opened, "release", "list", LOOP)[0]["status"] == "aborted"
    assert isinstance(lw(opened, "rollback", LOOP).exception, UsageError)


def test_what_is_done_about_rows_unlike_is_said_at_the_start_and_told(opened: System) -> None:
    begun = told(opened, "release", "start", LOOP, "--shares", "0.5,1", "--unlike", "hold")
    assert begun["plan"]["unlike"] == "hold"
    skew(opened)
    page = told(opened, "release", "status", LOOP)
    assert [one["kind"] for one in page["holds"]] == ["unlike"]
    assert "holds: v2 was trained on rows unlike those" in lw(opened, "release", "status", LOOP).output
    told(opened, "release", "resume", LOOP)
    assert told(opened, "release", "status", LOOP)["overlooked"] == ["unlike"]
    assert "overlooked, for it was resumed: unlike" in lw(opened, "release", "status", LOOP).output
    assert all(one["is_same"] for one in told(opened, "release", "replay", LOOP))
    refused = lw(opened, "release", "start", LOOP, "--unlike", "wait")
    assert refused.exit_code == 2


def skew(opened: System) -> None:
    """What a reader would tell of rows that are unlike."""
    standing, now = Standing.of(opened.stores.releases.get(LOOP)), opened.clock.now()
    facts = Facts(now=now, known_until=now, cursor=standing.state.cursor, skewed="x: 0.5 against v2's training rows")
    state, decision = decide(standing.plan, standing.state, facts)
    written(opened.stores, standing, state, facts, decision, opened.cause("test"))


def test_of_many_moves_the_newest_are_told_and_where_the_others_are(opened: System) -> None:
    told(opened, "release", "start", LOOP)
    for _ in range(12):
        for move in (Move.HOLD, Move.RESUME):
            ask(opened.stores, LOOP, move, opened.cause("test"))
    page = told(opened, "release", "status", LOOP)
    assert (len(page["decisions"]), page["moves"]) == (20, 25)
    assert f"5 decisions before these: lw release replay {LOOP}" in lw(opened, "release", "status", LOOP).output
    assert len(told(opened, "release", "replay", LOOP)) == 25


def test_two_releases_of_one_loop_are_refused_and_parts_that_a_plan_has_not(opened: System) -> None:
    assert isinstance(lw(opened, "release", "start", LOOP, "--plan", "ab", "--shares", "0.5,1").exception, UsageError)
    told(opened, "release", "start", LOOP, "--plan", "ab", "--share", "0.5", "--bigger", "revenue")
    assert isinstance(lw(opened, "release", "start", LOOP).exception, Conflict)


@pytest.mark.parametrize(
    ("given", "where", "fix"),
    [
        (("--shares", "20,50,100"), "--shares 20,50,100", "write shares from 0 to 1: shares=[0.2, 0.5, 1.0]"),
        (("--plan", "ab", "--share", "0.0"), "--plan ab --share 0.0", "write share=0.5"),
        (("--no-shadow", "--shadow", "1d"), "--no-shadow --shadow 1d", "leave out --shadow or --no-shadow"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_is_refused_with_what_was_given_and_what_to_write(
    opened: System, given: Sequence[str], where: str, fix: str
) -> None:
    refused = lw(opened, "release", "start", LOOP, *given).exception
    assert isinstance(refused, UsageError)
    assert (refused.where, (refused.fix or "").startswith(fix)) == (where, True)
    assert told(opened, "release", "list", LOOP) == []


def test_releases_of_a_loop_that_nobody_knows_are_not_found(opened: System) -> None:
    assert isinstance(lw(opened, "release", "list", "flihts").exception, VersionNotFound)
    assert "no version was released yet" in lw(opened, "release", "list", LOOP).output


@pytest.mark.parametrize("remembers", [True, False])
def test_a_release_whose_predictions_were_taken_away_holds_until_they_are_back(opened: System, remembers: bool) -> None:
    predict(opened, [1] * 50)
    told(opened, "release", "start", LOOP, "--shares", "0.5,1")
    CLOCK.sleep(3.2)
    predict(opened, [1, 2] * 20)
    one = Releases(stores=opened.stores, workspace=opened.workspace, clock=CLOCK)
    moves = []
    for going, coming in ((None, None), (FOLDER, "away"), (None, None), ("away", FOLDER)):
        if going and coming:
            (opened.workspace / going).rename(opened.workspace / coming)
        (one if remembers else Releases(stores=opened.stores, workspace=opened.workspace, clock=CLOCK)).reconcile()
        page = told(opened, "release", "status", LOOP)
        moves.append((page["decisions"][-1]["verdict"], [hold["kind"] for hold in page["holds"]]))
    assert moves == [("begin", []), ("hold", ["silence"]), ("hold", ["silence"]), ("resume", [])]
    assert told(opened, "release", "status", LOOP)["requests"] == {"canary": 20, "champion": 20}


def test_a_controller_reads_what_was_predicted_once(opened: System) -> None:
    predict(opened, [1] * 50)
    told(opened, "release", "start", LOOP, "--shares", "0.5,1")
    CLOCK.sleep(3.2)
    predict(opened, [1, 2] * 20)
    for _ in range(2):
        Releases(stores=opened.stores, workspace=opened.workspace, clock=CLOCK).reconcile()
    page = told(opened, "release", "status", LOOP)
    assert page["requests"] == {"canary": 20, "champion": 20}
