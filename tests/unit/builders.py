"""A workshop in memory: walks pipelines in this process, and looks at what was recorded."""

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from loopwright.core.clock import new_id
from loopwright.core.event import Cause
from loopwright.core.run import Execution, Lease, Run, RunStatus
from loopwright.core.stores import Stores
from loopwright.pipeline import plan as plans
from loopwright.pipeline.code import Reached
from loopwright.pipeline.executor import LocalExecutor
from loopwright.pipeline.graph import AnyStep, Pipeline
from loopwright.pipeline.plan import Plan
from loopwright.pipeline.runner import Runner, Walk
from loopwright.pipeline.values import Values
from loopwright.testing import HandClock, memory_stores

HERE = Path(__file__).parent


class Workshop:
    """One memory, and workers that come and go."""

    def __init__(self, *, workers: int = 4, stores: Callable[[Stores], Stores] = lambda stores: stores) -> None:
        self.clock = HandClock()
        self.memory = memory_stores(self.clock)
        self.stores = stores(self.memory)
        self.folder = Path(tempfile.mkdtemp(prefix="workshop-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.told: list[tuple[str, str]] = []
        self.stuck: list[str] = []
        self.on_turn: Callable[[Execution], None] = lambda _: None
        self.runner = Runner(
            stores=self.stores,
            clock=self.clock,
            executor=LocalExecutor(1),
            logs=self.folder / "logs",
            scratch=self.folder / "scratch",
            workers=workers,
            on_turn=self._hear,
            on_stuck=lambda execution: self.stuck.append(execution.step),
        )

    def _hear(self, execution: Execution) -> None:
        self.told.append((execution.step, execution.status.value))
        self.on_turn(execution)

    def plan(
        self,
        steps: Sequence[AnyStep],
        given: Mapping[str, Any] | None = None,
        *,
        changed: Sequence[str] = (),
        seed: int = 0,
        fresh: bool = False,
    ) -> Plan:
        """`changed` steps have other code than they had."""
        pipeline = Pipeline(steps, name="flights")
        ready = plans.prepare(pipeline, HERE / "flights.py", given or {}, root=HERE, seed=seed, fresh=fresh)
        codes = {step.name: Reached(f"code of {step.name}", frozenset()) for step in steps}
        codes |= {name: Reached(f"new code of {name}", frozenset()) for name in changed}
        return replace(ready, codes=codes, environment="environment")

    def walk(self, ready: Plan, run: str | None = None) -> Walk:
        """Claims a run, or takes one up, and holds it."""
        lease = self.hold(self.request(ready).id if run is None else run)
        return self.runner.start(ready, self.stores.runs.get(lease.run_id), lease)

    def request(self, ready: Plan) -> Run:
        asked = Run(
            id=new_id(self.clock),
            pipeline="flights",
            file=str(ready.file),
            parameters=dict(ready.given),
            seed=ready.seed,
            request_key=ready.request_key,
            status=RunStatus.RUNNING,
            created_at=self.clock.now(),
        )
        return self.stores.runs.request(asked, self.cause())[0]

    def hold(self, run: str) -> Lease:
        now = self.clock.now()
        lease = Lease(run_id=run, token=0, holder="worker", acquired_at=now, expires_at=now + timedelta(seconds=5))
        return self.stores.runs.acquire(lease, self.cause(), [], is_alive=lambda _: False)

    def cause(self) -> Cause:
        return Cause(actor="tester", at=self.clock.now())

    def go(self, steps: Sequence[AnyStep], *, run: str | None = None, **options: Any) -> "Walked":
        """To the end."""
        self.told.clear()
        walk = self.walk(self.plan(steps, **options), run)
        status = walk.go()
        self.clock.advance(1)
        found = self.stores.runs.get(walk._run.id)
        assert found.status is status
        return Walked(self, found)


class Walked:
    """A run as it is recorded."""

    def __init__(self, workshop: Workshop, run: Run) -> None:
        self.workshop, self.run, self.id = workshop, run, run.id
        self.executions = {e.step: e for e in workshop.memory.executions.of_run(run.id)}

    @property
    def status(self) -> str:
        return self.run.status.value

    @property
    def steps(self) -> dict[str, str]:
        """Status of each."""
        return {name: execution.status.value for name, execution in self.executions.items()}

    def output(self, step: str) -> Any:
        artifact = self.workshop.memory.artifacts.get(self.executions[step].output or "")
        return Values(blobs=self.workshop.memory.blobs).load(artifact, self.workshop.folder)

    def log(self, step: str) -> str:
        digest = self.executions[step].log
        return self.workshop.memory.blobs.read(digest).decode() if digest else ""
