"""`lw up`: all parts as processes, each killed and back, drained under load, and none left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import lw
from tests.integration.test_processes import assert_gone
from tests.journey.test_serve import Project, Trained, trained
from tests.journey.test_workers import Hammer, until

from loopwright import system
from loopwright.system import RECONCILERS

PARTS = {"gateway", *RECONCILERS}
AT_WORK = ("serves", "leads", "follows")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory.mktemp("bundles") / "one", 20)


@pytest.fixture
def project(tmp_path: Path, model: Trained) -> Iterator[Project]:
    with system.open(tmp_path) as opened:
        made = Project(tmp_path, opened)
        made.register(model)
        made.promote(1)
        yield made


class Up:
    """A running `lw up --json`, and what it has told so far."""

    def __init__(self, project: Project, *words: str) -> None:
        self.ready = project.folder / f"ready-{len(list(project.folder.glob('told-*')))}"
        self.told_at = project.folder / f"told-{self.ready.name}"
        command = ["up", "--port", "0", "--ready-file", str(self.ready), "--json", *words]
        with self.told_at.open("w") as told, self.told_at.with_suffix(".log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "loopwright.cli", *command], cwd=project.folder, stdout=told, stderr=log
            )

    def told(self, **wanted: object) -> list[dict[str, Any]]:
        """What was told and fits."""
        lines = [json.loads(line) for line in self.told_at.read_text().splitlines(keepends=True) if line[-1] == "\n"]
        return [line for line in lines if wanted.items() <= line.items()]

    def wait(self) -> None:
        until(lambda: self.ready.exists() or self.process.poll() is not None, 90)
        assert self.ready.exists(), self.told_at.with_suffix(".log").read_text()

    @property
    def pids(self) -> dict[str, int]:
        """The newest process of each part."""
        return {
            line["process"]: line["pid"] for line in self.told() if line.get("state") in ("serves", "leads", "follows")
        }


@contextmanager
def up(project: Project, *words: str) -> Iterator[Up]:
    started = Up(project, *words)
    try:
        started.wait()
        project.url = started.ready.read_text().strip() or project.url
        yield started
    finally:
        started.process.kill()
        started.process.wait()


def test_each_part_that_is_killed_comes_back_and_none_is_left_behind(project: Project) -> None:
    with up(project) as started:
        first = started.pids
        assert set(first) == PARTS
        for pid in first.values():
            os.kill(pid, signal.SIGKILL)
        until(lambda: all(started.pids[name] != first[name] for name in PARTS), 90)
        for name in RECONCILERS:
            assert len(started.told(process=name, state="leads")) == 2  # under the same name: it waits for no lease
        until(lambda: project.get("/readyz")[0] == 200)
        assert project.get("/v1/loops")[1]["loops"][0]["version"] == 1
        pids = [*started.pids.values()]
        started.process.kill()
        started.process.wait()
        assert_gone(pids, 30)
    assert len(started.told(state="ended")) == len(PARTS)


def test_told_to_end_under_load_it_loses_no_request(project: Project) -> None:
    with up(project, "--workers", "2") as started, Hammer(project) as hammer:
        pids = [*started.pids.values()]
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(40) == 0
        until(lambda: hammer.refused == hammer.clients)
        assert_gone(pids, 1)
    assert hammer.failed == []
    hammer.assert_all_kept()
    assert not started.ready.exists()
    assert started.told(stopping=True)


def test_a_second_one_follows_until_the_first_is_gone(project: Project) -> None:
    only = ("--only", "monitor", "--only", "alerts")
    with up(project, *only) as first, up(project, *only, "--set", "reconcile_seconds=0.1") as second:
        assert set(first.pids) == {"monitor", "alerts"}
        assert {line["state"] for line in second.told() if "state" in line} == {"follows"}
        first.process.terminate()
        assert first.process.wait(30) == 0
        until(lambda: len(second.told(state="leads")) == 2, 30)


def test_one_that_cannot_have_its_port_says_so_and_ends(project: Project) -> None:
    with up(project, "--only", "gateway") as started:
        port = project.url.rpartition(":")[2]
        refused = lw("up", "--port", port, cwd=project.folder)
        assert refused.returncode == 1
        assert f"the port {port} cannot be had" in refused.stderr + refused.stdout
        assert started.process.poll() is None


def test_it_says_in_words_what_each_process_does(project: Project) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "loopwright.cli", "up", "--port", "0"],
        cwd=project.folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    lines = [process.stdout.readline().rstrip() for _ in range(len(PARTS) + 2)]
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=40)
    assert lines[0] == "starting gateway, release, monitor, retrain, alerts"
    assert {line.split()[0] for line in lines[1:-1]} == PARTS
    [gateway] = [line for line in lines if line.startswith("gateway")]
    assert "serves flights v1 on http://127.0.0.1:" in gateway
    assert lines[-1].startswith("ready: http://127.0.0.1:")
    assert rest.startswith("stopping")
    assert process.returncode == 0


def test_without_a_workspace_it_says_what_to_do_first(tmp_path: Path) -> None:
    refused = lw("up", cwd=tmp_path)
    assert refused.returncode == 1
    assert "there is no workspace here yet" in refused.stderr
