"""A gateway in a process of its own with two versions behind it, and somebody who asks all the time; for releases."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from tests.unit.bundles import Works, a_bundle, a_verdict

from loopwright import system
from loopwright.core.clock import SystemClock
from loopwright.core.version import Version, VersionStatus
from loopwright.demo.client import starting
from loopwright.registry.promote import promote
from loopwright.registry.register import register
from loopwright.rollout.moving import Standing
from loopwright.rollout.plan import Plan
from loopwright.rollout.reconciler import Releases, follower
from loopwright.rollout.starting import start
from loopwright.system import System

LOOP = "flights"
CLOCK = SystemClock()
TOO_MUCH = 1e10
"""What only a version of a huge weight fails at."""


@dataclass
class Asking:
    """Asks without a pause, in a thread: when each answer came, its status and its version."""

    url: str
    answers: list[tuple[float, int, int]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    number: int = 0

    def run(self) -> None:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        while not self.stopped.is_set():
            self.number += 1
            body = json.dumps({"rows": [{"x": TOO_MUCH}], "unit": f"unit-{self.number}"})
            connection.request("POST", f"/v1/loops/{LOOP}/predict", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            told = json.loads(answer.read())
            version = told["predictions"][0]["version"] if answer.status == 200 else 0
            self.answers.append((CLOCK.monotonic(), answer.status, version))
            CLOCK.sleep(0.002)
        connection.close()


@contextmanager
def asking(url: str) -> Iterator[Asking]:
    made = Asking(url)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.stopped.set()
        thread.join(10)


def a_version(opened: System, works: Works, weight: float) -> Version:
    """Accepted, and multiplying by so much."""
    works.made += 1
    folder = works.folder / f"own-{works.made}"
    manifest = a_bundle(folder, weight, verdict=a_verdict())
    return register(
        opened.stores, folder, manifest, opened.cause("test"), status=VersionStatus.ACCEPTED,
        run_id=f"run-{works.made}", metric="r2", value=0.7, reason="it is good",
    )  # fmt: skip


@dataclass
class Released:
    """A served loop, and its controller."""

    opened: System
    works: Works
    url: str

    @classmethod
    @contextmanager
    def serving(cls, folder: Path) -> Iterator[Released]:
        with system.open(folder) as opened:
            works = Works(opened.stores, folder / "made")
            a_version(opened, works, 1.0)
            promote(opened.stores, LOOP, None, opened.cause("test"))
            with starting(folder, CLOCK) as url:
                yield cls(opened, works, url())

    def begin(self, weight: float, plan: Plan) -> Standing:
        """The release of a new version."""
        version = a_version(self.opened, self.works, weight)
        log = follower(self.opened.workspace, LOOP)
        return Standing.of(start(self.opened.stores, log, version, plan, self.opened.cause(""), CLOCK))

    def controller(self) -> Releases:
        return Releases(stores=self.opened.stores, workspace=self.opened.workspace, clock=CLOCK)

    def standing(self) -> Standing:
        return Standing.of(self.opened.stores.releases.get(LOOP))
