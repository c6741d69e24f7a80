"""A version that kills the process which runs it, before a real gateway: the release hears of it, and takes it back."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from tests.integration.released import CLOCK, LOOP
from tests.integration.test_hanging import endless_graph

from loopwright import system
from loopwright.core.version import VersionStatus
from loopwright.data.schema import Column as SchemaColumn
from loopwright.data.schema import Schema
from loopwright.demo.client import starting
from loopwright.registry.promote import promote
from loopwright.registry.register import register
from loopwright.rollout.moving import Standing
from loopwright.rollout.plan import Canary
from loopwright.rollout.reconciler import Releases, follower
from loopwright.rollout.starting import start
from loopwright.rollout.state import Status
from loopwright.system import System
from loopwright.transform import bundle
from loopwright.transform.columns import Column
from loopwright.transform.columns import Kind as ColumnKind


def a_version(opened: System, folder: Path, number: int) -> None:
    """One that is at a distance below zero for very long."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(endless_graph())
    schema = Schema(columns=(SchemaColumn(name="distance", kind="float", missing=False, low=0.0),))
    (folder / "schema.json").write_text(schema.to_json())
    manifest = bundle.write(
        folder,
        name=LOOP,
        inputs=[Column(name="distance", kind=ColumnKind.NUMBER)],
        task="regression",
        classes=[],
        parity={"rows": 100, "largest_difference": 1e-7},
        lineage={"run": f"run-{number}", "seed": number, "parameters": {}},
    )
    register(
        opened.stores, folder, manifest, opened.cause("test"), status=VersionStatus.ACCEPTED,
        run_id=f"run-{number}", metric="r2", value=0.7, reason="it is good",
    )  # fmt: skip


@dataclass
class Shaky:
    """A gateway, and the workers it has had."""

    opened: System
    url: str

    @classmethod
    @contextmanager
    def serving(cls, folder: Path) -> Iterator[Shaky]:
        with system.open(folder) as opened:
            for number in (1, 2):
                a_version(opened, folder / f"made-{number}", number)
            promote(opened.stores, LOOP, "1", opened.cause("test"))
            version = opened.stores.versions.get(LOOP, "v2")
            plan = Canary(hold="1h", shares=[0.5, 1.0])
            start(opened.stores, follower(opened.workspace, LOOP), version, plan, opened.cause(""), CLOCK)
            with starting(folder, CLOCK) as url:
                yield cls(opened, url())

    def ask(self, version: int, distance: float) -> int:
        """The status of the answer; 0 where the connection breaks."""
        route = self.opened.stores.routes.current(LOOP)
        assert route is not None
        unit = next(unit for unit in map(str, range(1_000)) if route.choose(unit).version == version)
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        with closing(connection), suppress(OSError, HTTPException):
            body = json.dumps({"rows": [{"distance": distance}], "unit": unit})
            connection.request("POST", f"/v1/loops/{LOOP}/predict", body, {"Content-Type": "application/json"})
            return connection.getresponse().status
        return 0

    def strike(self, blow: signal.Signals) -> None:
        """While it runs the challenger; until another worker answers."""
        until(lambda: len(workers()) == 1)  # what was copied to become another program is none
        (worker,) = workers()
        asking = threading.Thread(target=self.ask, args=(2, -1.0))
        asking.start()
        CLOCK.sleep(0.7)
        os.kill(worker, blow)
        asking.join()
        until(lambda: workers() not in ([], [worker]) and self.ask(1, 1.0) == 200)

    def told(self, kind: str) -> list[tuple[str, str]]:
        return [(one.subject, one.cause.reason) for one in self.opened.stores.events.list() if one.kind == kind]


def workers() -> list[int]:
    """Of the gateway that was started here: copies of it, as others it starts are not."""
    (gateway,) = [one for one in children(os.getpid()) if b"serve" in command(one)]
    return [one for one in children(gateway) if command(one) == command(gateway)]


def children(process: int) -> list[int]:
    found = list[int]()
    for task in Path(f"/proc/{process}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # threads and processes go meanwhile
            found += map(int, (task / "children").read_text().split())
    return found


def command(process: int) -> bytes:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def until(holds: Callable[[], bool]) -> None:
    begun = CLOCK.monotonic()
    while not holds():
        assert CLOCK.monotonic() - begun < 30, "it did not come to pass"
        CLOCK.sleep(0.05)


def test_a_version_that_kills_its_worker_three_times_is_taken_back(tmp_path: Path) -> None:
    with Shaky.serving(tmp_path) as shaky:
        stores = shaky.opened.stores
        controller = Releases(stores=stores, workspace=shaky.opened.workspace, clock=CLOCK)
        assert shaky.ask(2, 1.0) == 200
        for blow in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS):
            controller.reconcile()
            assert Standing.of(stores.releases.get(LOOP)).state.ended is None
            shaky.strike(blow)
        controller.reconcile()
        route = stores.routes.current(LOOP)
    state = Standing.of(stores.releases.get(LOOP)).state
    assert (state.ended, state.decisions[-1].reason) == (Status.ROLLED_BACK, "v2 crashed 3 times")
    assert route is not None
    assert route.champion == 1
    told = shaky.told("VersionCrashed")
    assert {subject for subject, _ in told} == {f"version:{LOOP}:2"}
    assert [reason.split(" by ")[1].split(",")[0] for _, reason in told] == ["SIGSEGV", "SIGABRT", "SIGBUS"]
    assert all(f"running {LOOP}:2" in reason for _, reason in told)
    assert len(shaky.told("WorkerRecycled")) == 3
