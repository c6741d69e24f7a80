"""Two processes that are told to do the same thing at once, on one store, two hundred times: it is done once, and the
other one is told clearly who was quicker. What stores alone decide is shown in `tests/integration/racing.py`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from tests.conftest import stores_on
from tests.integration.racing import ask_all, rival
from tests.unit.retraining import NOON, Kept
from tests.unit.street import LOOP, Street

from loopwright.core.clock import turn
from loopwright.core.retraining import RetrainingStatus
from loopwright.retrain.triggers import Retrain, every
from loopwright.store.database import Database
from loopwright.testing.races import RACES

RIVAL = """
import json, sys
from pathlib import Path
from tests.conftest import open_database, stores_on
from tests.unit.retraining import Tables
from tests.unit.street import LOOP, PaperLog
from loopwright.core.clock import FileClock
from loopwright.core.event import Cause
from loopwright.pipeline.deployed import Ran
from loopwright.registry.promote import promote
from loopwright.retrain.reconciler import Retrainings
from loopwright.rollout.asking import ask
from loopwright.rollout.facts import Move
from loopwright.rollout.plan import Shadow
from loopwright.rollout.reconciler import Releases
from loopwright.rollout.starting import start
from loopwright.testing.races import outcome

url, folder, name = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
clock = FileClock(folder / "clock")
stores = stores_on(open_database(url, folder / "backups"), folder / "blobs")

def run(deployment, parameters, *, run_id=None):
    with (folder / "ran").open("a") as ran:
        ran.write(f"{run_id}\\n")
    return Ran(status="succeeded", run_id=run_id, version=None)

def cause():
    return Cause(actor=name, at=clock.now())

releases = Releases(stores=stores, workspace=folder, clock=clock, actor=name, log=lambda _: PaperLog())
retrainings = Retrainings(stores=stores, tables=Tables(), clock=clock, actor=name, run=run)
does = {
    "start": lambda: start(stores, PaperLog(), stores.versions.get(LOOP, "v2"), Shadow(), cause(), clock),
    "ask": lambda: ask(stores, LOOP, Move.PROMOTE, cause()),
    "promote": lambda: promote(stores, LOOP, "v1", cause()).is_change,
    "control": releases.reconcile,
    "retrain": retrainings.reconcile,
}
for line in sys.stdin:
    found = outcome(does[line.strip()])
    failed = isinstance(found, Exception)
    print(json.dumps([type(found).__name__, str(found)] if failed else ["done", int(found) if found in (0, 1, 2) else 1]), flush=True)
"""  # noqa: E501 - a script


def test_of_two_that_begin_control_promote_or_retrain_at_once_one_does_it(
    opening: Callable[[str], Database], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/metadata.db"
    stores = stores_on(opening(url), tmp_path / "blobs")
    street = Street(tmp_path / "made", given=stores)
    Kept(Retrain([every("1h")], cool_down="0d", most_per_week=10 * RACES), stores).reconciler().reconcile()
    turn(tmp_path / "clock", NOON)
    rivals = [rival(url, tmp_path, name, RIVAL) for name in ("ann", "bob")]

    def both(what: str) -> list[tuple[str, object]]:
        return sorted((kind, told) for kind, told in map(json.loads, ask_all(rivals, what)))

    for number in range(1, RACES + 1):
        begun = NOON + number * timedelta(days=3)
        turn(tmp_path / "clock", begun)
        assert_one_is_told(both("start"))
        turn(tmp_path / "clock", begun + timedelta(days=2))
        assert both("control") == [("done", 0), ("done", 1)], number
        assert_one_is_told(both("ask"))
        assert sum(told == 1 for kind, told in both("promote") if kind == "done") == 1
        assert both("retrain") == [("done", 0), ("done", 2)], number
    for one in rivals:
        one.communicate(timeout=60)
        assert one.returncode == 0
    assert street.verdicts() == ["begin", "hold", "promote"] * RACES
    assert len(stores.routes.history(LOOP)) == 1 + 3 * RACES
    assert [one.status for one in stores.releases.list(LOOP, limit=10 * RACES)] == ["promoted"] * RACES
    retrainings = stores.retrainings.list("late", limit=10 * RACES)
    assert {one.status for one in retrainings} == {RetrainingStatus.SUCCEEDED}
    ran = (tmp_path / "ran").read_text().split()
    assert len(ran) == len(set(ran)) == RACES == len(retrainings) - 1


def assert_one_is_told(said: list[tuple[str, object]]) -> None:
    """The other one did it."""
    (lost, why), won = said
    assert (lost, won) == ("Conflict", ("done", 1)), why
    assert "release" in str(why)
