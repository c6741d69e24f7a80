"""`lw why-not` as people read it: what each trigger waits for, what holds it, and what a person has to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import lw
from tests.unit.retraining import DAY, NOON, Kept, past

import loopwright
from loopwright.core.retraining import RetrainingStatus
from loopwright.core.version import CHAMPION
from loopwright.retrain.triggers import Retrain, every, on_drift, on_new_data
from loopwright.testing.conformance import a_route, a_version
from loopwright.testing.live_nouns import a_release

DECLARED = Retrain([on_drift(), on_new_data("30d"), every("0 3 * * 1", zone="America/New_York")])


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """A loop with a champion, and a newer version that nobody releases."""
    with loopwright.open(tmp_path) as system:
        found = Kept(DECLARED, system.stores)
        found.clock.jump((system.clock.now() - NOON).total_seconds())
        for name in ("one", "two"):
            made = replace(a_version(name, loop="late"), created_at=found.clock.now(), lineage={"code": "code-1"})
            found.stores.versions.add(made, [], found.cause())
        route = a_route((CHAMPION, 1, 1.0), loop="late")
        found.stores.routes.change(route, {CHAMPION: 1}, found.cause(), None)
        yield found


def test_it_names_the_zone_of_a_schedule_and_what_a_version_waits_for(kept: Kept, tmp_path: Path) -> None:
    told = lw("why-not", "late", cwd=tmp_path, check=True).stdout
    assert "every 0 3 * * 1 America/New_York" in told
    assert "and nothing releases it by itself\n  to do: lw release start late 2" in told
    found = json.loads(lw("why-not", "late", "--json", cwd=tmp_path, check=True).stdout)
    assert found["coming"]["to_do"] == "lw release start late 2"


def test_it_says_until_when_a_retraining_waits_for_a_version_on_its_way(kept: Kept, tmp_path: Path) -> None:
    kept.stores.releases.begin(
        replace(a_release(loop="late"), created_at=kept.clock.now()), None, 1, kept.cause(), "ReleaseBegan", {}
    )
    drift = {"champion": "late v1", "drifted": ["carrier"], "suspected": []}
    kept.clock.advance(1)
    kept.stores.events.add("DriftFound", "loop:late", kept.cause(), drift)
    told = lw("why-not", "late", cwd=tmp_path, check=True).stdout
    assert "late v2 is on its way: release release-1; waited for until" in told
    assert "to do" not in told


def test_a_retraining_that_has_not_ended_is_told_also_while_nothing_is_due(kept: Kept, tmp_path: Path) -> None:
    kept.deploy("code-1", Retrain([on_drift()]))
    now = kept.clock.now()
    for number in range(6):  # of a clock that was ahead: the claim is not among the newest
        one = past("every", at=now + (number + 1) * DAY, cause=f"{number}", run_id=f"run-{number}")
        claimed = kept.stores.retrainings.claim(
            replace(one, status=RetrainingStatus.CLAIMED, finished_at=None), kept.cause()
        )
        kept.stores.retrainings.save(replace(claimed, status=one.status, finished_at=now), kept.cause())
    going = past("on_drift", at=now, cause="drift", run_id="run-going", status=RetrainingStatus.CLAIMED)
    kept.stores.retrainings.claim(replace(going, finished_at=None), kept.cause())
    told = lw("why-not", "late", cwd=tmp_path, check=True).stdout
    assert f"on_drift began a retraining on {now:%Y-%m-%d %H:%M:%S} UTC, which has not ended: lw show run-going" in told
    assert "due" not in told.split("\n\n")[0]
    found = json.loads(lw("why-not", "late", "--json", cwd=tmp_path, check=True).stdout)
    assert (found["unfinished"]["run_id"], found["source"]) == ("run-going", "")
