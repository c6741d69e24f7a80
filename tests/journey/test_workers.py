"""`lw serve --workers`: killed, replaced, rolled and drained under load, and no answer that was given is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest
from tests.journey.test_serve import Project, Trained, as_json, flights, served, trained

from loopwright import system
from loopwright.predictions import reading

KILLS = 20


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Trained]:
    folder = tmp_path_factory.mktemp("bundles")
    return [trained(folder / str(trees), trees) for trees in (20, 40)]


@pytest.fixture
def project(tmp_path: Path, models: list[Trained]) -> Iterator[Project]:
    with system.open(tmp_path) as opened:
        made = Project(tmp_path, opened)
        for model in models:
            made.register(model)
        made.promote(1)
        yield made


@dataclass
class Hammer:
    """Clients that hardly pause, and keep their connections unless told not to. A refused connection ends one: nobody
    is there."""

    project: Project
    clients: int = 4
    keeps: bool = True
    answered: list[tuple[str, int]] = field(default_factory=list)
    failed: list[tuple[float, float, str]] = field(default_factory=list)
    """When the connection was opened, when it failed, and how."""
    refused: int = 0

    def __enter__(self) -> Hammer:
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(self.clients)]
        for thread in self._threads:
            thread.start()
        until(lambda: len(self.answered) > 20 * self.clients)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        body = json.dumps({"row": as_json(flights(10, seed=number))[number]})
        while not self._is_over.is_set():
            opened = time.monotonic()
            connection = HTTPConnection(self.project.url.removeprefix("http://"), timeout=30)
            try:
                connection.connect()
            except ConnectionRefusedError:
                self.refused += 1
                return
            with suppress(StopIteration):
                while not self._is_over.is_set():
                    self._once(connection, body, opened)
            connection.close()

    def _once(self, connection: HTTPConnection, body: str, opened: float) -> None:
        try:
            connection.request("POST", "/v1/loops/flights/predict", body)
            answer = connection.getresponse()
            content = json.loads(answer.read())
        except (OSError, HTTPException) as error:
            self.failed.append((opened, time.monotonic(), repr(error)))
            raise StopIteration from None
        if answer.status == 200:
            self.answered.append((content["prediction"]["id"], content["prediction"]["version"]))
        else:
            self.failed.append((opened, time.monotonic(), str(content)))
        if answer.will_close or not self.keeps:
            raise StopIteration
        time.sleep(0.002)  # leaves the processor to those that start

    def assert_all_kept(self) -> None:
        kept = {line.id: line.version for line in reading.read(self.project.opened.workspace, "flights").lines}
        assert dict(self.answered).items() <= kept.items()
        assert len(dict(self.answered)) == len(self.answered)


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() < begun + seconds, "it did not come to pass"
        time.sleep(0.02)


def newcomer(project: Project, known: set[int]) -> int:
    """The worker that is not yet known, once it is at work."""

    found: list[int] = []

    def look() -> bool:
        found[:] = [pid for pid in project.workers() if pid not in known and is_at_work(pid)]
        return bool(found)

    until(look)
    return found[0]


def is_at_work(pid: int) -> bool:
    """Whether a worker has all its threads."""
    with suppress(FileNotFoundError):
        return len(os.listdir(f"/proc/{pid}/task")) >= 5
    return False


def events(project: Project, kind: str) -> list[str]:
    return [event.cause.reason for event in project.opened.stores.events.list() if event.kind == kind]


def test_workers_killed_twenty_times_lose_no_answer_and_harm_their_own_connections_alone(project: Project) -> None:
    killed: list[float] = []
    with served(project, "--workers", "2"), Hammer(project) as hammer:
        workers = project.workers()
        assert len(workers) == 2
        for _ in range(KILLS):
            killed.append(time.monotonic())
            known = set(workers)
            os.kill(workers.pop(0), signal.SIGKILL)  # the elder
            workers.append(newcomer(project, known))
            count = len(hammer.answered)
            until(lambda count=count: len(hammer.answered) > count + 50)  # type: ignore[misc]
        until(lambda: len(events(project, "WorkerRecycled")) >= KILLS - 1)
    assert hammer.refused == 0
    assert 0 < len(hammer.failed) <= KILLS * hammer.clients
    for opened, at, how in hammer.failed:
        assert any(opened < moment < at for moment in killed), how  # one that was open when its worker died
    hammer.assert_all_kept()
    assert "was ended by SIGKILL" in events(project, "WorkerRecycled")[0]


def test_routes_that_change_and_workers_that_roll_cost_no_request(project: Project) -> None:
    with served(project, "--workers", "2"), Hammer(project) as hammer:
        before = set(project.workers())
        assert project.process
        project.process.send_signal(signal.SIGHUP)
        for number in (2, 1, 2):
            project.promote(number)
            project.until(number, 10)
        until(lambda: len(project.workers()) == 2 and not before & set(project.workers()))
        count = len(hammer.answered)
        until(lambda: len(hammer.answered) > count + 100)
    assert hammer.failed == []
    assert hammer.refused == 0
    hammer.assert_all_kept()
    assert events(project, "WorkerRecycled") == []


@pytest.mark.parametrize(("workers", "keeps"), [("1", True), ("2", True), ("1", False), ("2", False)])
def test_a_gateway_that_drains_fails_no_request_and_waits_for_no_half_of_one(
    project: Project, workers: str, keeps: bool
) -> None:
    with served(project, "--workers", workers), Hammer(project, clients=8, keeps=keeps) as hammer:
        host, _, port = project.url.removeprefix("http://").partition(":")
        half = socket.create_connection((host, int(port)))
        half.sendall(b"POST /v1/loops/flights/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{")
        silent = socket.create_connection((host, int(port)))
        time.sleep(0.5)
        assert project.process
        project.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        assert project.process.wait(20) == 0
        assert time.monotonic() - begun < 8
        until(lambda: hammer.refused == hammer.clients)
        half.close()
        silent.close()
    assert hammer.failed == []
    hammer.assert_all_kept()


def blob(project: Project, number: int) -> Path:
    """The graph of a version, where artifacts are kept."""
    digest = project.versions[number - 1].files["model.onnx"]
    artifacts = project.opened.workspace / "artifacts"
    (content,) = (p for p in artifacts.rglob("*") if p.is_file() and digest in str(p).replace("/", ""))
    return content


def spoil(project: Project, number: int) -> None:
    """Flips one bit of it; a second time mends it."""
    file = blob(project, number)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_and_is_an_event_once(project: Project) -> None:
    with served(project, "--workers", "2", "--set", "route_poll_seconds=0.1"):
        spoil(project, 2)
        project.route_to(2)
        until(lambda: events(project, "VersionNotLoaded"))
        project.until(1, 5)
        time.sleep(2)  # for the other worker to tell it too
        assert project.get("/readyz")[0] == 200
    assert len(events(project, "VersionNotLoaded")) == 1


def test_a_promotion_that_is_torn_takes_a_loop_down_at_no_restart_of_a_worker(project: Project) -> None:
    with served(project, "--workers", "2", "--set", "route_poll_seconds=0.1"), Hammer(project) as hammer:
        spoil(project, 2)
        project.route_to(2)
        until(lambda: events(project, "VersionNotLoaded"))
        before = project.workers()
        os.kill(before[0], signal.SIGKILL)
        newcomer(project, set(before))
        told_of_all(project)
        known = set(project.workers())
        assert project.process
        project.process.send_signal(signal.SIGHUP)
        until(lambda: len(project.workers()) == 2 and not known & set(project.workers()))
        told_of_all(project)
        count = len(hammer.answered)
        until(lambda: len(hammer.answered) > count + 100)
        assert {version for _, version in hammer.answered} == {1}
        assert [how for _, _, how in hammer.failed if "could be loaded" in how] == []
        assert len(hammer.failed) <= hammer.clients  # the connections of the one that was killed
        spoil(project, 2)  # mended: the newest is still tried
        until(lambda: hammer.answered[-1][1] == 2, 90)
    hammer.assert_all_kept()
    assert 1 <= len(events(project, "VersionNotLoaded")) <= 6, (
        "of each attempt that is told, by those that came later too"
    )


def told_of_all(project: Project) -> None:
    """Whoever is asked, on a connection of its own each time, answers by the first version and tells the fault."""
    for _ in range(12):
        status, ready = project.get("/readyz")
        assert (status, ready["degraded"], ready["stale"], ready["unserved"]) == (200, ["models"], ["flights"], [])
        (loop,) = project.get("/v1/loops")[1]["loops"]
        assert (loop["version"], loop["fault"]["route"]["arms"][0]["version"]) == (1, 2)
        assert project.predict(as_json(flights(1, 0))[0])[0]["version"] == 1


def test_a_rolling_restart_leaves_who_answers_what_nobody_new_could_load(project: Project) -> None:
    with served(project, "--workers", "2"), Hammer(project) as hammer:
        spoil(project, 1)
        for kept in (project.opened.workspace / "bundles").iterdir():
            shutil.rmtree(kept)
        before = set(project.workers())
        assert project.process
        project.process.send_signal(signal.SIGHUP)
        until(lambda: set(project.workers()) - before)
        until(lambda: set(project.workers()) == before)
        count = len(hammer.answered)
        until(lambda: len(hammer.answered) > count + 100)
        assert set(project.workers()) == before
        assert project.get("/readyz")[0] == 200
    hammer.assert_all_kept()
