"""`lw deploy` with real workers: what is deployed is what runs, and what does not pass is not deployed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import lw
from tests.integration.deployable import lay, rows

import loopwright
from loopwright.core.clock import new_id
from loopwright.core.deployment import Deployment
from loopwright.core.event import Event
from loopwright.errors import EnvironmentFailed
from loopwright.pipeline import environments
from loopwright.pipeline.deployed import Ran
from loopwright.system import System, run_deployed

SECONDS = 240


def deploy(root: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = lw(
        "deploy", "loops/buys.py", *words, cwd=root, timeout=SECONDS, PYTHONPATH=str(root / "src"), LW_WORKERS="1"
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def deployed_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    root = tmp_path_factory.mktemp("deployed") / "project"
    lay(root)
    return root, deploy(root).stdout


@pytest.fixture
def project(deployed_once: tuple[Path, str], tmp_path: Path) -> Path:
    """Deployed once already."""
    return Path(shutil.copytree(deployed_once[0], tmp_path / "project"))


def opened(root: Path) -> System:
    return loopwright.open(root / "loops")


def in_force(root: Path) -> list[Deployment]:
    with opened(root) as system:
        return list(system.stores.deployments.in_force())


def run(root: Path, run_id: str | None = None, **parameters: Any) -> Ran:
    with opened(root) as system:
        return run_deployed(system, system.stores.deployments.get("buys"), parameters, run_id=run_id)


def log_of_train(root: Path, run_id: str | None) -> str:
    with opened(root) as system:
        (log,) = [e.log for e in system.stores.executions.of_run(str(run_id)) if e.step == "train"]
        return system.stores.blobs.read(str(log)).decode()


def events(root: Path, kind: str) -> list[Event]:
    with opened(root) as system:
        return [event for event in system.stores.events.list(subject="loop:buys") if event.kind == kind]


def test_deploying_tells_each_stage_and_leaves_no_more_than_the_deployment(deployed_once: tuple[Path, str]) -> None:
    root, told = deployed_once
    names = [line.split()[0] for line in told.splitlines()]
    assert names == ["loaded", "tests", "trial", "kept", "new"]
    assert "480" not in told
    assert "a whole run on the 600 newest rows of visits: " in told
    assert told.splitlines()[-1] == "new pipeline: deployment 1 of buys, the first"
    (found,) = in_force(root)
    assert (found.number, found.file, found.settings) == (1, "loops/buys.py", {"workers": 1})
    assert found.spec["release"] == {"plan": "Shadow", "fields": found.spec["release"]["fields"]}
    assert found.spec["retrain"]["triggers"][0]["kind"] == "on_drift"
    assert found.spec["monitor"]["window"] == 3600
    with opened(root) as system:
        assert system.tables.names() == []  # of the trial nothing stays
        assert list(system.stores.runs.list()) == []
        assert list(system.stores.versions.list()) == []
        assert {one.kind for one in system.stores.artifacts.list()} == {"code", "environment"}


def test_what_is_deployed_runs_and_not_the_working_tree(project: Path) -> None:
    lay(project, word="edited code", strength=9.0)
    rows(700).write_csv(project / "loops" / "rows.csv")  # data are the project's own, as ever
    ran = run(project)
    assert (ran.status, ran.version, ran.error) == ("succeeded", 1, "")
    assert "trained by the first code" in log_of_train(project, ran.run_id)
    with opened(project) as system:
        version = system.stores.versions.get("buys", "1")
        found = system.stores.deployments.get("buys")
        run_told = system.stores.runs.get(str(ran.run_id))
        assert system.tables.current("visits").rows == 700
    assert version.lineage["parameters"] == {"C": 1.0}  # of src/shop/parts.py, as it was
    assert (version.lineage["deployment"], version.lineage["code"]) == (1, found.code)
    assert version.lineage["environment"] == found.environment
    assert Path(run_told.file).is_relative_to(project / "loops" / ".loopwright" / "deployed" / "buys" / "1")
    why = lw("why", "buys:1", cwd=project / "loops", check=True).stdout
    assert "new code -> new pipeline (deployment 1)" in why


def test_the_working_tree_runs_when_it_is_deployed_and_the_old_code_after_a_rollback(project: Path) -> None:
    assert run(project).status == "succeeded"
    lay(project, word="the second code", strength=0.5)
    told = deploy(project).stdout
    assert "deployment 2 of buys, in place of 1 (code changed: loops/buys.py, src/shop/parts.py)" in told
    second = run(project)
    assert "trained by the second code" in log_of_train(project, second.run_id)
    back = lw("deploy", "--rollback", "buys", "--because", "slower", cwd=project / "loops", check=True)
    assert back.stdout.startswith("rolled back: deployment 1 of buys is in force again, in place of 2")
    assert [one.number for one in in_force(project)] == [1]
    third = run(project)
    assert "trained by the first code" in log_of_train(project, third.run_id)
    assert events(project, "DeploymentRolledBack")[0].cause.reason == "slower"
    again = lw("deploy", "--rollback", "buys", cwd=project / "loops")
    assert (again.returncode, "no deployment came before 1" in again.stderr) == (2, True)
    listed = json.loads(lw("deploy", "--list", "buys", "--json", cwd=project / "loops", check=True).stdout)
    assert [(one["number"], one["is_in_force"]) for one in listed] == [(2, False), (1, True)]


def test_deploying_what_is_deployed_changes_nothing(project: Path) -> None:
    before = len(events(project, "LoopDeployed"))
    told = json.loads(deploy(project, "--json").stdout)
    assert (told["number"], told["is_change"], told["changes"]) == (1, False, [])
    assert [stage["stage"] for stage in told["stages"]] == ["loaded", "tests", "trial", "kept"]
    assert len(events(project, "LoopDeployed")) == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("print(", "raise RuntimeError('no model today')\n    print(", "RuntimeError: no model today"),
        ('source="rows.csv"', 'source=str(__import__("pathlib").Path(__file__).parent / "rows.csv")', "rows.csv"),
        ('label="bought"', 'label="boght"', "boght"),
        ("visits = ", "visits = 1 / 0 or ", "division by zero"),
        ("loop = lw.Loop(", "import os; os._exit(7)\nloop = lw.Loop(", "ended with code 7"),
        ("lw.on_drift()", 'lw.on_decay("rmse", by=0.1)', "waits for the decay of 'rmse', which no evaluation"),
    ],
    ids=[
        "train fails",
        "data beside the code",
        "no such label",
        "cannot be imported",
        "ends the process",
        "no such decay",
    ],
)
def test_a_broken_loop_is_refused_with_the_reason_and_nothing_is_deployed(
    project: Path, old: str, new: str, said: str
) -> None:
    file = project / "loops" / "buys.py"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    done = lw("deploy", "loops/buys.py", cwd=project, timeout=SECONDS, PYTHONPATH=str(project / "src"))
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr.replace("Traceback (most recent call last):\n  File", "", 1)
    assert [one.number for one in in_force(project)] == [1]
    with opened(project) as system:
        assert len(system.stores.deployments.list("buys")) == 1
        assert system.tables.names() == []


def test_a_failing_test_of_the_project_stops_it_and_not_running_them_is_recorded(project: Path) -> None:
    tests = project / "tests"
    tests.mkdir()
    (tests / "test_parts.py").write_text(
        "from shop.parts import STRENGTH\n\ndef test_it_is_weak():\n    assert STRENGTH < 1\n"
    )
    lay(project, word="another code")
    done = deploy(project, code=1)
    assert "test_it_is_weak" in done.stderr
    assert "nothing was deployed" in done.stderr
    assert [one.number for one in in_force(project)] == [1]
    deploy(project, "--no-tests", "--because", "in a hurry")
    assert [one.number for one in in_force(project)] == [2]
    reason = events(project, "LoopDeployed")[-1].cause.reason
    assert "in a hurry" in reason
    assert "tests: skipped (--no-tests)" in reason


def test_two_deploys_at_once_make_one_deployment(project: Path) -> None:
    lay(project, word="code of two")
    done: list[str] = []
    both = [threading.Thread(target=lambda: done.append(deploy(project).stdout.splitlines()[-1])) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(done) == 2
    assert [one.number for one in in_force(project)] == [2]
    assert len(events(project, "LoopDeployed")) == 2


def test_a_killed_run_is_taken_up_again_by_its_name_and_told_once_it_has_ended(project: Path) -> None:
    file = project / "loops" / "buys.py"
    slow = "import pathlib, time\n    if not pathlib.Path('go').exists():\n        time.sleep(600)\n    print("
    file.write_text(file.read_text().replace("print(", slow))
    (project / "loops" / "go").touch()
    deploy(project)
    (project / "loops" / "go").unlink()
    with opened(project) as system:
        name = new_id(system.clock)
    code = (
        "import sys, loopwright\nfrom loopwright.system import run_deployed\n"
        "system = loopwright.open(sys.argv[1])\n"
        "run_deployed(system, system.stores.deployments.get('buys'), {}, run_id=sys.argv[2])"
    )
    caller = subprocess.Popen([sys.executable, "-c", code, str(project / "loops"), name])
    with opened(project) as system:
        begun = time.monotonic()
        while not _is_at(system, name, "train"):
            assert time.monotonic() < begun + SECONDS
            time.sleep(0.1)
    os.kill(caller.pid, signal.SIGKILL)
    caller.wait()
    (project / "loops" / "go").touch()
    ran = run(project, run_id=name)
    assert (ran.status, ran.run_id, ran.version) == ("succeeded", name, 1)
    with opened(project) as system:
        assert [one.id for one in system.stores.runs.list()] == [name]
        attempts = {e.step: e.attempt for e in system.stores.executions.of_run(name)}
    assert attempts["validate"] == 1
    assert attempts["train"] == 2
    assert run(project, run_id=name) == ran  # it has ended: nothing is done again


def _is_at(system: System, run: str, step: str) -> bool:
    if not any(one.id == run for one in system.stores.runs.list()):
        return False
    return any(e.step == step and e.status.value == "running" for e in system.stores.executions.of_run(run))


def test_a_failed_run_tells_why_and_is_resumed_with_the_deployed_code(project: Path) -> None:
    (project / "loops" / "rows.csv").rename(project / "loops" / "elsewhere.csv")
    ran = run(project)
    assert (ran.status, ran.version) == ("failed", None)
    assert "rows.csv" in ran.error
    (project / "loops" / "elsewhere.csv").rename(project / "loops" / "rows.csv")
    lay(project, word="edited code", strength=9.0)
    done = lw("resume", "last", cwd=project / "loops", timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert "trained by the first code" in log_of_train(project, ran.run_id)


def test_another_environment_is_made_once_and_the_half_made_never_used(tmp_path: Path) -> None:
    lock = environments.lock() | {"packages": {"tinydb": "4.8.0"}, "elsewhere": {}}
    try:
        python = environments.interpreter(lock, tmp_path)
    except EnvironmentFailed as error:
        pytest.skip(f"pip cannot install tinydb here: {error}")
    says = "import tinydb, loopwright, sys; print(tinydb.__version__, loopwright.__file__, sys.prefix)"
    told = subprocess.run([python, "-P", "-c", says], capture_output=True, text=True, check=True).stdout.split()
    home = tmp_path / environments.name_of(lock)
    assert told == ["4.8.0", str(home / "lib" / f"python3.{sys.version_info[1]}" / "site-packages" / "loopwright" /
                                 "__init__.py"), str(home)]  # fmt: skip
    made = (home / "pyvenv.cfg").stat().st_mtime_ns
    assert environments.interpreter(lock, tmp_path) == python
    assert (home / "pyvenv.cfg").stat().st_mtime_ns == made
    (home / "complete").unlink()
    environments.interpreter(lock, tmp_path)
    assert (home / "pyvenv.cfg").stat().st_mtime_ns > made


def test_what_pip_cannot_install_is_told_in_its_own_words_and_leaves_no_environment(tmp_path: Path) -> None:
    lock = environments.lock() | {"packages": {"tinydb": "0.0.0.1"}, "elsewhere": {}}
    with pytest.raises(EnvironmentFailed, match=r"pip said(.|\n)*tinydb==0\.0\.0\.1"):
        environments.interpreter(lock, tmp_path)
    assert not (tmp_path / environments.name_of(lock) / "complete").exists()
