"""What triggers are told of decay: the champion's quality on labels beside how it was judged, and the alarm."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.retraining import DAY, NOON, Kept, past

from loopwright.core.finding import Finding, Level
from loopwright.core.progress import Progress
from loopwright.core.retraining import RetrainingStatus
from loopwright.core.version import CHAMPION
from loopwright.judge.evaluation import Evaluation, Measured
from loopwright.retrain.due import Due, Waiting, answers, held
from loopwright.retrain.facts import Coming, Facts
from loopwright.retrain.reading import Reading
from loopwright.retrain.triggers import Retrain, on_decay
from loopwright.testing.conformance import a_route, a_version
from loopwright.testing.live_nouns import a_release

DECLARED = Retrain([on_decay("roc_auc", by=0.03)])
ONE = "roc_auc 0.660, alarm below 0.690; one window beyond the limit, a second decides"


def with_champion() -> Kept:
    """One that was judged at .72, a day after its training."""
    kept = Kept(DECLARED)
    judged = Evaluation(
        task="binary", rows=500, positives=100, is_weighted=False, level=0.95, draws=100, seed=0, least_rows=100,
        metrics=(Measured(metric="roc_auc", value=0.72, low=0.7, high=0.74),),
    )  # fmt: skip
    blob = kept.stores.blobs.put(judged.to_json().encode())
    made = a_version("one", loop="late")
    version = replace(
        made, created_at=NOON, files={**made.files, "evaluation.json": blob.digest}, lineage={"code": "code-1"}
    )
    kept.stores.versions.add(version, [], kept.cause())
    kept.stores.routes.change(a_route((CHAMPION, 1, 1.0), loop="late"), {CHAMPION: 1}, kept.cause(), None)
    kept.clock.advance(86_400)
    return kept


def measured(kept: Kept, value: float | None, *, day: int, rows: int = 400, number: int, version: int = 1) -> None:
    """A window of quality; one of a slice beside it, which says something else."""
    since = NOON + day * DAY
    whole = Finding(
        loop="late", monitor="quality", subject="roc_auc", version=version, since=since, until=since + DAY,
        known_at=since + DAY, level=Level.FINE, measure="roc_auc", number=value, reason="told",
        evidence={"rows": rows, "low": (value or 0) - 0.02, "high": (value or 0) + 0.02},
    )  # fmt: skip
    kept.stores.progress.put(
        Progress(name="monitor:late", value={}, number=number), kept.cause(),
        findings=[whole, replace(whole, subject="carrier=UA", number=0.1)],
    )  # fmt: skip


def decay(kept: Kept, reading: Reading | None = None) -> Due | Waiting:
    kept.clock.advance(86_400)
    _, facts = (reading or Reading(kept.stores, kept.tables)).one("late", kept.clock.now())
    return dict(answers(DECLARED, facts))["on_decay roc_auc by 0.03"]


def test_a_decline_beyond_the_interval_is_due_when_there_are_labels_enough() -> None:
    kept = with_champion()
    reading = Reading(kept.stores, kept.tables)
    assert "not measured" in decay(kept, reading).reason
    measured(kept, 0.71, day=1, number=0)
    assert decay(kept, reading) == Waiting(reason="roc_auc 0.710, alarm below 0.690")
    measured(kept, 0.66, day=2, rows=20, number=1)
    assert decay(kept, reading) == Waiting(reason=ONE)
    measured(kept, 0.65, day=3, rows=30, number=2)
    assert decay(kept, reading) == Waiting(reason="roc_auc 0.650 after 0.660, alarm below 0.690; 450 of 500 labels")
    measured(kept, 0.66, day=4, number=3)
    found = decay(kept, reading)
    assert isinstance(found, Due)
    assert "roc_auc 0.660 after 0.650" in found.reason
    assert found.evidence["labels"] == 850


def test_a_window_with_too_few_labels_is_no_second_one_and_breaks_no_row() -> None:
    kept = with_champion()
    measured(kept, 0.66, day=1, rows=600, number=0)
    measured(kept, None, day=2, rows=10, number=1)
    assert decay(kept) == Waiting(reason=ONE)
    measured(kept, 0.66, day=3, rows=600, number=2)
    found = decay(kept)
    assert isinstance(found, Due)
    assert found.evidence["labels"] == 1210


def test_a_fine_window_breaks_the_row() -> None:
    kept = with_champion()
    for number, value in enumerate((0.66, 0.71, 0.66)):
        measured(kept, value, day=number + 1, rows=600, number=number)
    assert decay(kept) == Waiting(reason=ONE)


def test_a_window_that_is_told_again_counts_as_it_is_now_also_the_one_before_the_newest() -> None:
    kept = with_champion()
    reading = Reading(kept.stores, kept.tables)
    measured(kept, 0.70, day=1, rows=600, number=0)
    measured(kept, 0.66, day=2, rows=600, number=1)
    assert decay(kept, reading) == Waiting(reason=ONE)
    measured(kept, 0.665, day=1, rows=700, number=2)
    found = decay(kept, reading)
    assert isinstance(found, Due)
    assert "roc_auc 0.660 after 0.665" in found.reason
    assert found.evidence["labels"] == 1300
    measured(kept, 0.70, day=2, rows=700, number=3)
    assert decay(kept, reading) == Waiting(reason="roc_auc 0.700, alarm below 0.690")


def test_a_window_of_another_version_is_no_second_one() -> None:
    kept = with_champion()
    measured(kept, 0.66, day=1, rows=900, number=0)
    measured(kept, 0.5, day=2, rows=900, number=1, version=2)
    assert decay(kept) == Waiting(reason=ONE)
    measured(kept, 0.66, day=3, rows=900, number=2)
    assert isinstance(decay(kept), Due)


def test_a_new_champion_begins_a_row_of_its_own() -> None:
    kept = with_champion()
    first = kept.stores.versions.get("late", "v1")
    second = replace(a_version("two", loop="late"), created_at=kept.clock.now(), lineage={"code": "code-1"})
    kept.stores.versions.add(replace(second, files={**second.files, "evaluation.json": first.files["evaluation.json"]}),
                             [], kept.cause())  # fmt: skip
    measured(kept, 0.66, day=1, rows=900, number=0)
    put(kept, (CHAMPION, 2, 1.0), aliases={CHAMPION: 2})
    measured(kept, 0.66, day=2, rows=900, number=1, version=2)
    assert decay(kept) == Waiting(reason=ONE)
    measured(kept, 0.66, day=3, rows=900, number=2, version=2)
    assert isinstance(decay(kept), Due)


def test_an_alarm_of_this_champion_proves_what_the_interval_does_not() -> None:
    kept = with_champion()
    measured(kept, 0.68, day=1, rows=900, number=0)
    assert "may still be chance" in decay(kept).reason
    told = {"champion": "late v1", "version": 1, "labels": 300}
    kept.stores.events.add("DecayFound", "loop:late", replace(kept.cause(), at=NOON + timedelta(hours=30)), told)
    assert isinstance(decay(kept), Due)


def test_labels_are_counted_also_after_an_alarm_of_a_clock_that_was_ahead() -> None:
    kept = with_champion()
    measured(kept, 0.68, day=1, rows=900, number=0)
    told = {"champion": "late v1", "version": 1, "labels": 300}
    kept.stores.events.add("DecayFound", "loop:late", replace(kept.cause(), at=NOON + 365 * DAY), told)
    found = decay(kept)
    assert isinstance(found, Due)
    assert found.evidence["labels"] == 900


def test_what_is_said_of_another_version_counts_for_nothing() -> None:
    kept = with_champion()
    measured(kept, 0.5, day=1, rows=900, number=0, version=2)
    assert "not measured" in decay(kept).reason
    measured(kept, 0.68, day=2, rows=900, number=1)
    kept.stores.events.add("DecayFound", "loop:late", kept.cause(), {"champion": "late v0", "version": 0})
    assert "may still be chance" in decay(kept).reason


def accepted(kept: Kept, name: str, *, run: str = "", **lineage: object) -> None:
    made = replace(a_version(name, loop="late"), created_at=kept.clock.now(), lineage={"code": "code-1", **lineage})
    kept.stores.versions.add(replace(made, run_id=run or made.run_id), [], kept.cause())


def read(kept: Kept) -> Facts:
    return Reading(kept.stores, kept.tables).one("late", kept.clock.now())[1]


def put(kept: Kept, *arms: tuple[str, int, float], aliases: dict[str, int | None]) -> None:
    current = kept.stores.routes.current("late")
    kept.stores.routes.change(a_route(*arms, loop="late"), aliases, kept.cause(), current.number if current else None)


def test_a_newer_version_is_on_its_way_until_it_was_tried() -> None:
    kept = with_champion()
    kept.deploy("code-1", DECLARED, release={"plan": "Canary", "fields": {}})
    accepted(kept, "two", deployment=1)
    coming = read(kept).coming
    assert coming == Coming(
        says="late v2 was accepted on 2026-03-03, and its release is to begin", since=kept.clock.now()
    )
    for number in (2, 1):
        put(kept, (CHAMPION, number, 1.0), aliases={CHAMPION: number})
    assert (read(kept).champion, read(kept).coming) == ("late v1", None)


@pytest.mark.parametrize(("release", "lineage"), [(None, {"deployment": 1}), ({"plan": "Canary", "fields": {}}, {})])
def test_what_nothing_releases_by_itself_is_told_with_what_to_do_and_is_not_waited_for(
    release: dict[str, Any] | None, lineage: dict[str, Any]
) -> None:
    kept = with_champion()
    kept.deploy("code-1", DECLARED, release=release)
    accepted(kept, "two", **lineage)
    coming = read(kept).coming
    assert coming is not None
    assert (coming.says, coming.to_do) == (
        "late v2 was accepted on 2026-03-03, and nothing releases it by itself",
        "lw release start late 2",
    )
    assert held("on_decay", DECLARED, read(kept)) == ""


def test_a_release_is_waited_for_while_it_goes_on_and_no_longer_when_it_holds_or_has_taken_over() -> None:
    kept = with_champion()
    accepted(kept, "two", deployment=1)
    begun = a_release(loop="late")
    route = a_route((CHAMPION, 1, 0.9), ("challenger", 2, 0.1), loop="late")
    going = kept.stores.releases.begin(begun, route, 1, kept.cause(), "ReleaseBegan", {})
    coming = read(kept).coming
    assert coming is not None
    assert (coming.says, coming.to_do) == (f"late v2 is on its way: release {going.id}", "")
    held_up = kept.stores.releases.move(replace(going, status="holding"), None, kept.cause(), "ReleaseHeld", {})
    coming = read(kept).coming
    assert coming is not None
    assert coming.to_do == "lw release resume late, or lw release abort late"
    taken = a_route((CHAMPION, 2, 1.0), loop="late")
    kept.stores.releases.move(replace(held_up, status="watching"), taken, kept.cause(), "ReleaseMoved", {})
    assert (read(kept).champion, read(kept).coming) == ("late v2", None)


def test_a_training_counts_from_its_begin_and_one_that_failed_not_at_all() -> None:
    kept = with_champion()
    begun = kept.clock.now()
    kept.deploy("code-1", DECLARED)
    asked = past("every", at=begun, cause="one", run_id="run-2", evidence={"rows_until": begun.isoformat()})
    claimed = kept.stores.retrainings.claim(
        replace(asked, status=RetrainingStatus.CLAIMED, finished_at=None), kept.cause()
    )
    kept.clock.advance(7_200)
    accepted(kept, "two", run="run-2")
    done = replace(claimed, status=RetrainingStatus.SUCCEEDED, finished_at=kept.clock.now())
    kept.stores.retrainings.save(done, kept.cause())
    assert (read(kept).last, read(kept).trained_until) == (begun, begun)
    kept.clock.advance(7_200)
    again = past("every", at=kept.clock.now(), cause="two", evidence={"rows_until": kept.clock.now().isoformat()})
    claimed = kept.stores.retrainings.claim(
        replace(again, status=RetrainingStatus.CLAIMED, finished_at=None), kept.cause()
    )
    kept.stores.retrainings.save(
        replace(claimed, status=RetrainingStatus.FAILED, finished_at=kept.clock.now()), kept.cause()
    )
    assert (read(kept).last, read(kept).trained_until) == (begun, begun)
