"""Loops that learn again, for tests: facts, a deployment, and a run that is remembered by its id."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from loopwright.core.deployment import Deployment
from loopwright.core.event import Cause
from loopwright.core.retraining import Retraining, RetrainingStatus
from loopwright.core.stores import Stores
from loopwright.data.reach import Reach
from loopwright.errors import TableNotFound
from loopwright.pipeline.deployed import Ran, Run
from loopwright.retrain.facts import Facts
from loopwright.retrain.reconciler import Retrainings
from loopwright.retrain.triggers import Retrain, on_new_data, to_spec
from loopwright.testing import HandClock, memory_stores

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def facts(**changed: Any) -> Facts:
    """Of a loop that learned 10 days ago, from rows up to then; nothing happened since."""
    then = NOON - 10 * DAY
    calm: dict[str, Any] = {
        "now": NOON,
        "labels_within": 2 * DAY,
        "deployment": 1,
        "deployed_at": then,
        "is_learned": True,
        "champion": "late v1",
        "trained": (then,),
        "rows": 1000,
        "rows_until": then,
        "trained_until": then,
    }
    return Facts(**(calm | changed))


def past(trigger: str = "on_drift", *, at: datetime, cause: str = "", **changed: Any) -> Retraining:
    """A retraining that succeeded at once."""
    made = Retraining(
        id=f"{at:%Y%m%d%H%M}",
        loop="late",
        cause=cause or f"{trigger}:{at}",
        trigger=trigger,
        reason="because",
        fine_tune=False,
        deployment=1,
        status=RetrainingStatus.SUCCEEDED,
        created_at=at,
        created_by="tester",
        finished_at=at,
    )
    return replace(made, **changed)


@dataclass
class Tables:
    """One that reaches so far; there is none while it reaches nowhere."""

    until: datetime | None = NOON
    asked: int = 0

    def reach(self, name: str, version: int | None = None) -> Reach:
        self.asked += 1
        if self.until is None:
            raise TableNotFound(f"there is no table {name!r}")
        return Reach(version=1, rows=1000, until=self.until)


@dataclass
class Runs:
    """Runs by id: each is begun once, however often it is asked for."""

    status: str = "succeeded"
    begun: list[str] = field(default_factory=list)
    given: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, deployment: Deployment, parameters: Mapping[str, Any], *, run_id: str | None = None) -> Ran:
        assert run_id is not None
        with self.lock:
            self.begun.append(run_id)
            self.given.append(dict(parameters))
        return Ran(status=self.status, run_id=run_id, version=None)


class Kept:
    """A workspace in memory with one deployed loop, and what lets it learn again."""

    def __init__(self, retrain: Retrain | None = None, stores: Stores | None = None) -> None:
        self.clock, self.lease_clock = HandClock(NOON), HandClock(NOON)
        self.stores = stores or memory_stores(self.clock)
        self.tables, self.runs = Tables(), Runs()
        self.deploy("code-1", retrain or Retrain([on_new_data("30d")]))

    def deploy(self, code: str, retrain: Retrain, loop: str = "late", release: Mapping[str, Any] | None = None) -> None:
        spec: dict[str, Any] = {"loop": loop, "table": {"name": "flights"}, "monitor": None}
        spec["retrain"] = to_spec(retrain)
        spec |= {} if release is None else {"release": release}
        made = Deployment(
            loop=loop, file="loop.py", code=code, environment="environment", settings={}, spec=spec,
            created_at=self.clock.now(), created_by="tester",
        )  # fmt: skip
        self.stores.deployments.add(made, [], self.cause())

    def cause(self) -> Cause:
        return Cause(actor="tester", at=self.clock.now())

    def reconciler(self, stores: Stores | None = None, run: Run | None = None) -> Retrainings:
        return Retrainings(
            stores=stores or self.stores,
            tables=self.tables,
            clock=self.clock,
            actor="tester",
            run=run or self.runs.run,
            lease_clock=self.lease_clock,
        )

    @property
    def past(self) -> list[Retraining]:
        """Oldest first."""
        return list(self.stores.retrainings.list("late"))[::-1]
