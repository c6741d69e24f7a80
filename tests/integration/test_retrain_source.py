"""A deployed loop's source, brought in by a process of its own: by the code that was deployed, and with its words."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from tests.conftest import lw
from tests.integration.deployable import lay, rows

import loopwright
from loopwright import system
from loopwright.core.clock import SystemClock
from loopwright.core.deployment import Deployment
from loopwright.errors import StepError
from loopwright.pipeline import deployed
from loopwright.pipeline.request import Request
from loopwright.retrain.bringing import Bringing
from loopwright.system import System


@pytest.fixture(scope="module")
def deployed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source") / "project"
    file = lay(root)
    text = file.read_text().replace("lw.on_drift()", 'lw.on_new_data("1d")')
    text = text.replace('source="rows.csv"', "source=newest")
    file.write_text(text.replace("\n\ndef train", f"\n{_SOURCE}\n\ndef train", 1))
    done = lw("deploy", "loops/buys.py", cwd=root, timeout=240, PYTHONPATH=str(root / "src"), LW_WORKERS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    return root


_SOURCE = """
def newest():
    import os
    import pathlib
    import time

    print("looked at by the first code")
    if os.environ.get("LATE"):
        time.sleep(600)
    secret = os.environ.get("SHOP_SECRET", "none")
    pathlib.Path("looked").write_text(secret)
    if not pathlib.Path("rows.csv").exists():
        raise ValueError("postgresql://shop:hidden@host/shop has gone")
    return "rows.csv"
"""


@pytest.fixture
def opened(deployed_once: Path, tmp_path: Path) -> Iterator[System]:
    root = Path(shutil.copytree(deployed_once, tmp_path / "project"))
    with system.open(root / "loops") as found:
        yield found


def bringing(opened: System, **more: float) -> Bringing:
    settings = {"workspace": str(opened.workspace)}
    return Bringing(
        blobs=opened.stores.blobs, workspace=opened.workspace, project=opened.folder, settings=settings, **more
    )


def the_deployment(opened: System) -> Deployment:
    return opened.stores.deployments.get("buys")


def test_new_rows_come_by_the_deployed_code_with_the_secrets_of_the_place(
    opened: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_SECRET", "known")
    (opened.folder / "buys.py").write_text("raise ValueError('the working tree')")
    bring = bringing(opened)
    assert bring(the_deployment(opened)) == "600 new rows were appended to visits"
    pl.concat([rows(600), rows(100, start=600)]).write_csv(opened.folder / "rows.csv")
    assert bring(the_deployment(opened)) == "100 new rows were appended to visits"
    assert bring(the_deployment(opened)) == "0 new rows were appended to visits"
    assert opened.tables.current("visits").rows == 700
    assert (opened.folder / "looked").read_text() == "known"


def test_what_the_source_said_when_it_failed_is_told_without_passwords(opened: System) -> None:
    (opened.folder / "rows.csv").unlink()
    with pytest.raises(StepError) as raised:
        bringing(opened)(the_deployment(opened))
    assert raised.value.what == "the source cannot be read: ValueError: postgresql://shop:***@host/shop has gone"
    assert "looked at by the first code" in str(raised.value)
    assert "in newest" in str(raised.value)
    assert "hidden" not in str(raised.value)
    pl.DataFrame({"id": ["v1"], "at": ["no time"]}).write_csv(opened.folder / "rows.csv")
    with pytest.raises(StepError, match="the source cannot be read: ") as raised:
        bringing(opened)(the_deployment(opened))
    assert "Traceback" not in str(raised.value)


def test_a_source_that_takes_too_long_is_ended(opened: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATE", "1")
    began = SystemClock().monotonic()
    with pytest.raises(StepError, match="it took more than 3 seconds"):
        bringing(opened, limit_seconds=3)(the_deployment(opened))
    assert SystemClock().monotonic() - began < 30


def test_the_process_ends_with_the_one_that_started_it(opened: System) -> None:
    found = the_deployment(opened)
    ready = deployed.ready(found, opened.stores.blobs, workspace=opened.workspace, project=opened.folder)
    asked = Request(
        file=ready.file, pipeline="buys", snapshot=ready.snapshot, folder=opened.folder,
        settings={"workspace": str(opened.workspace)},
    )  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "loopwright.cli.bringing"],
        stdin=subprocess.PIPE,
        text=True,
        process_group=0,
        env=os.environ | {"LATE": "1"},
    )
    assert process.stdin
    process.stdin.write(asked.to_line())
    process.stdin.flush()
    time.sleep(1)
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(30) == -signal.SIGKILL


def test_the_loop_learns_from_what_its_source_has_got_and_says_when_it_was_looked_at(deployed_once: Path) -> None:
    folder = deployed_once / "loops"
    with loopwright.open(folder, flags={"source_poll_seconds": "1", "workers": "1"}) as opened:
        retrainings = opened.reconciler("retrain")
        assert retrainings.reconcile() == 2
        pl.concat([rows(600), rows(100, start=600)]).write_csv(folder / "rows.csv")
        time.sleep(1.1)
        assert retrainings.reconcile() == 2
        past = opened.stores.retrainings.list("buys")
        assert [one.trigger for one in past] == ["on_new_data", "new code"]
    told = lw("why-not", "buys", cwd=folder, check=True).stdout
    assert "UTC: 100 new rows were appended to visits" in told
    found = json.loads(lw("why-not", "buys", "--json", cwd=folder, check=True).stdout)
    assert found["source"].startswith("its source was looked at last on ")
    assert found["unfinished"] is None
