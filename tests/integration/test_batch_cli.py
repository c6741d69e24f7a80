"""`lw predict`, `lw precompute` and `lw bundle edge` on a real workspace: killed, resumed, scheduled, served by key."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.conftest import lw
from tests.unit import bundled

from loopwright import edge, system
from loopwright.core.version import VersionStatus
from loopwright.predictions import finding
from loopwright.registry.promote import promote
from loopwright.registry.register import register
from loopwright.transform import bundle

COMMAND = [sys.executable, "-P", "-m", "loopwright.cli"]
FILES, EACH = 8, 70_000


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of enough rows for a kill to meet the work half done."""
    folder = tmp_path_factory.mktemp("rows")
    for number in range(FILES):
        ids = pl.int_range(number * EACH, (number + 1) * EACH, eager=True)
        pl.DataFrame({"id": ids, "carrier": "UA", "distance": ids % 99}).write_parquet(folder / f"{number}.parquet")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """With a champion that doubles the distance."""
    sealed = bundled.sealed(tmp_path / "sealed")
    with system.open(tmp_path) as opened:
        version = register(
            opened.stores, sealed, bundle.verify(sealed), opened.cause(), status=VersionStatus.ACCEPTED,
            run_id="run-1", metric="r2", value=0.7, reason="",
        )  # fmt: skip
        promote(opened.stores, version.loop, None, opened.cause())
    return tmp_path


def told(project: Path, *words: str) -> Any:
    done = lw(*words, "--project", str(project), "--json", cwd=project)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def test_killed_it_is_started_again_and_redoes_nothing(project: Path, rows: Path) -> None:
    words = ["predict", "delays", f"{rows}/*.parquet", "--to", "out.parquet", "--project", str(project)]
    resumed = 0
    for _ in range(20):
        process = subprocess.Popen([*COMMAND, *words, "--set", "workers=1"], cwd=project, stdout=subprocess.DEVNULL)
        while process.poll() is None and len(list(project.glob(".out.parquet-*/done/*.json"))) <= resumed:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        resumed = len(list(project.glob(".out.parquet-*/done/*.json")))
        assert not (project / "out.parquet").exists()
        if resumed >= 3:
            break
    assert 3 <= resumed < FILES
    done = told(project, "predict", "delays", f"{rows}/*.parquet", "--to", "out.parquet", "--set", "workers=2")
    assert (done["rows"], done["fragments"], done["resumed"]) == (FILES * EACH, FILES, resumed)
    found = pl.read_parquet(project / "out.parquet")
    assert found["id"].to_list() == list(range(FILES * EACH))
    assert found["value"].to_list() == [float(number % 99 * 2) for number in range(FILES * EACH)]
    assert list(project.glob(".out*")) == []
    (history,) = told(project, "predict", "delays", "--history")
    assert (history["status"], history["rows"], history["version"]) == ("succeeded", FILES * EACH, 1)


def test_what_cannot_be_is_refused_and_says_what_to_do_here(project: Path) -> None:
    (project / "bad.jsonl").write_text('{"carrier": "UA", "distance": 1}\n{"carrier": "UA", "distance": "x"}\n')
    (project / "in.csv").write_text("carrier,distance\nUA,4\n")
    for words, code, what, fix in (
        (["predict", "delays", "in.csv", "--to", "s/%Y-%m-%d.parquet"], 2, "%Y in s/%Y", "write --every TIME"),
        (["predict", "delays", "in.csv", "--to", "a.csv", "--catch-up"], 2, "that a schedule missed", "--every TIME"),
        (["predict", "delays", "in.csv", "--to", "a.csv", "--every", "5x"], 2, "'5x' is no length of time", "min"),
        (["predict", "delays", "bad.jsonl", "--to", "a.csv"], 1, "row 2", "correct the value, or leave the row out"),
        (["precompute", "delays", "in.csv"], 1, "do not have the key column 'id'", "known: carrier, distance"),
        (["predict", "delays", "nothere", "--to", "a.csv"], 2, "no table of that name", "there is no table"),
    ):
        done = lw(*words, "--project", str(project), cwd=project)
        assert done.returncode == code, done.stderr
        assert what in done.stderr
        assert fix in done.stderr
    done = lw("predict", "delays", "in.csv", "--to", "a.csv", "--project", str(project), cwd=project)
    assert done.stdout == "delays v1 predicted 1 row: a.csv\n"


def test_a_ready_file_is_there_only_while_requests_are_answered(project: Path) -> None:
    words = ["serve", "--port", "0", "--project", str(project), "--ready-file"]
    done = lw(*words, str(project / "none" / "ready"), cwd=project)
    assert done.returncode == 2
    assert "cannot be written: No such file or directory" in done.stderr
    ready = project / "ready"
    ready.write_text("http://127.0.0.1:1\n")
    process = subprocess.Popen([*COMMAND, *words, str(ready)], cwd=project, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        url = process.stdout.readline().strip().removeprefix("serving on ")
        assert ready.read_text() == f"{url}\n"
        process.terminate()
        assert process.wait(20) == 0
    assert not ready.exists()


def test_a_port_that_is_taken_is_told_by_the_option_that_chose_it(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = lw("serve", "--port", "0", "--grpc-port", port, "--project", str(project), cwd=project)
        assert "choose another with --grpc-port" in done.stderr
        done = lw("serve", "--port", port, "--project", str(project), cwd=project)
        assert "choose another with --port" in done.stderr


def test_a_schedule_meets_each_time_once_and_goes_on_when_it_is_started_again(project: Path, rows: Path) -> None:
    words = [
        "predict", "delays", f"{rows}/0.parquet", "--to", "scores/%H%M%S.parquet", "--every", "1s",
        "--project", str(project),
    ]  # fmt: skip
    for _ in range(2):
        process = subprocess.Popen(
            [*COMMAND, *words], cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        before, until = len(list(project.glob("scores/*.parquet"))), time.monotonic() + 30
        while len(list(project.glob("scores/*.parquet"))) < before + 2 and time.monotonic() < until:
            time.sleep(0.05)
        process.kill()
        process.wait()
    history = told(project, "predict", "delays", "--history")
    met = [one["due"] for one in history if one["status"] == "succeeded"]
    assert len(met) >= 3
    assert len(set(met)) == len(met)
    assert {one["rows"] for one in history if one["status"] == "succeeded"} == {EACH}


def test_answers_made_before_are_served_by_key(project: Path, rows: Path) -> None:
    assert told(project, "precompute", "delays", f"{rows}/1.parquet")["rows"] == EACH
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--ready-file", "url", "--project", str(project)],
        cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not (project / "url").exists() and time.monotonic() < until:
            time.sleep(0.05)
        url = (project / "url").read_text().strip()

        def ask(row: object) -> Any:
            body = json.dumps({"row": row}).encode()
            with urllib.request.urlopen(f"{url}/v1/loops/delays/predict", body, timeout=10) as answer:
                return json.loads(answer.read())["prediction"]

        known, other = ask({"id": EACH + 5}), ask({"id": 5, "carrier": "UA", "distance": 40})
        assert (known["arm"], known["value"]) == ("precomputed", float((EACH + 5) % 99 * 2))
        assert (other["arm"], other["value"]) == ("champion", 80.0)
        made = edge.load(project / told(project, "bundle", "edge", "delays", "--output", "edge")["folder"])
        (answer,) = made.predict([{"carrier": "UA", "distance": 3}])
        content = b"".join(file.read_bytes() for file in made.journal.closed())
        with urllib.request.urlopen(f"{url}/v1/predictions", content, timeout=10) as taken:
            assert json.loads(taken.read()) == {"accepted": 1, "known": 0}
        found = finding.find(project / ".loopwright", answer["id"])
        assert (found["arm"], found["version"], found["value"]) == ("edge", 1, 6.0)
    finally:
        process.terminate()
        process.wait(20)
    assert told(project, "precompute", "delays", "--forget") == {"forgotten": True}
