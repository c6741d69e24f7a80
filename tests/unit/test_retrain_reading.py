"""What triggers are told of decay: the champion's quality on labels beside how it was judged, and the alarm."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.unit.retraining import DAY, NOON, Kept

from loopwright.core.finding import Finding, Level
from loopwright.core.progress import Progress
from loopwright.core.version import CHAMPION
from loopwright.judge.evaluation import Evaluation, Measured
from loopwright.retrain.due import Due, Waiting, answers
from loopwright.retrain.reading import Reading
from loopwright.retrain.triggers import Retrain, on_decay
from loopwright.testing.conformance import a_route, a_version

DECLARED = Retrain([on_decay("roc_auc", by=0.03)])


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
    measured(kept, 0.66, day=2, rows=50, number=1)
    assert decay(kept, reading) == Waiting(reason="roc_auc 0.660, alarm below 0.690; 450 of 500 labels")
    measured(kept, 0.66, day=3, number=2)
    found = decay(kept, reading)
    assert isinstance(found, Due)
    assert found.evidence["labels"] == 850


def test_a_window_with_too_few_labels_says_nothing_and_the_one_before_still_counts() -> None:
    kept = with_champion()
    measured(kept, 0.66, day=1, rows=600, number=0)
    measured(kept, None, day=2, rows=10, number=1)
    assert isinstance(decay(kept), Due)


def test_an_alarm_of_this_champion_proves_what_the_interval_does_not() -> None:
    kept = with_champion()
    measured(kept, 0.68, day=1, rows=900, number=0)
    assert "may still be chance" in decay(kept).reason
    told = {"champion": "late v1", "version": 1, "labels": 300}
    kept.stores.events.add("DecayFound", "loop:late", replace(kept.cause(), at=NOON + timedelta(hours=30)), told)
    assert isinstance(decay(kept), Due)


def test_what_is_said_of_another_version_counts_for_nothing() -> None:
    kept = with_champion()
    measured(kept, 0.5, day=1, rows=900, number=0, version=2)
    assert "not measured" in decay(kept).reason
    measured(kept, 0.68, day=2, rows=900, number=1)
    kept.stores.events.add("DecayFound", "loop:late", kept.cause(), {"champion": "late v0", "version": 0})
    assert "may still be chance" in decay(kept).reason


def test_a_newer_accepted_version_is_on_its_way_until_it_was_tried() -> None:
    kept = with_champion()
    kept.stores.versions.add(replace(a_version("two", loop="late"), created_at=kept.clock.now()), [], kept.cause())
    _, facts = Reading(kept.stores, kept.tables).one("late", kept.clock.now())
    assert facts.on_its_way == "late v2 was accepted on 2026-03-03, and waits to be released"
    for number in (2, 1):
        kept.stores.routes.change(
            a_route((CHAMPION, number, 1.0), loop="late"), {CHAMPION: number}, kept.cause(), 3 - number
        )
    _, facts = Reading(kept.stores, kept.tables).one("late", kept.clock.now())
    assert (facts.champion, facts.on_its_way) == ("late v1", "")
