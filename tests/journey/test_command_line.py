"""The command line as users meet it: every help, right and wrong use, on a terminal and for machines."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.conftest import lw

import loopwright.cli.housekeeping
import loopwright.cli.run
import loopwright.cli.runs
import loopwright.cli.tables
from loopwright.cli import words

PIPELINE = """
from pathlib import Path
import loopwright as lw
from helpers.one import first

@lw.step
def load(rows: int = 3) -> list[int]:
    return list(range(rows))

@lw.step
def clean(load: list[int]) -> list[int]:
    print("cleaning", len(load))
    return [first(number) for number in load]

@lw.step
def judge(clean: list[int], least: int = 0) -> int:
    if not clean:
        raise ValueError("no rows")
    if len(clean) < least:
        raise lw.Rejected(f"{len(clean)} rows are fewer than {least}")
    return sum(clean)

pipeline = lw.Pipeline([load, clean, judge])
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text("")
    (tmp_path / "helpers" / "one.py").write_text("from helpers.two import second\ndef first(n): return second(n)\n")
    (tmp_path / "helpers" / "two.py").write_text("from . import three\ndef second(n): return three.third(n)\n")
    (tmp_path / "helpers" / "three.py").write_text("def third(n): return n * 2\n")
    return tmp_path


def told(project: Path, *options: str) -> dict[str, str]:
    """Step to status of a run."""
    done = lw("run", "pipeline.py", "--json", *options, cwd=project)
    return {e["step"]: e["status"] for e in json.loads(done.stdout)["executions"]}


def test_the_json_of_a_run_is_one_object_of_the_documented_shape(project: Path) -> None:
    done = lw("run", "pipeline.py", "--json", cwd=project)
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert answer.keys() == {"run", "status", "executions"}
    assert answer["status"] == "succeeded"
    assert all(execution.keys() == {"step", "status", "seconds"} for execution in answer["executions"])


def test_only_what_a_change_reaches_runs_again(project: Path) -> None:
    assert set(told(project).values()) == {"ran"}
    assert set(told(project).values()) == {"reused"}
    (project / "helpers" / "three.py").write_text("def third(n): return n * 2  # a comment\n")
    assert set(told(project).values()) == {"reused"}
    (project / "helpers" / "three.py").write_text("def third(n): return n * 3\n")
    assert told(project) == {"load": "reused", "clean": "ran", "judge": "ran"}
    (project / "helpers" / "three.py").write_text("def third(n): return n + n + n\n")
    assert told(project) == {"load": "reused", "clean": "ran", "judge": "reused"}  # the output is the same
    assert told(project, "--param", "rows=4") == {"load": "ran", "clean": "ran", "judge": "ran"}
    assert set(told(project, "--fresh").values()) == {"ran"}


@pytest.mark.parametrize(
    ("options", "code", "status"),
    [
        ([], 0, "succeeded"),
        (["--param", "rows=0"], 1, "failed"),
        (["--param", "least=99"], 3, "rejected"),
    ],
)
def test_the_exit_code_tells_how_it_went(project: Path, options: list[str], code: int, status: str) -> None:
    done = lw("run", "pipeline.py", *options, cwd=project)
    assert done.returncode == code
    assert status in done.stdout


def test_a_step_that_a_gate_stops_is_said_to_be_rejected_everywhere(project: Path) -> None:
    said = lw("run", "pipeline.py", "--param", "least=99", cwd=project)
    assert re.search(r"judge +rejected  \d+ rows are fewer than 99", said.stdout + said.stderr)
    assert "2 ran, 1 rejected" in said.stdout
    for command in (["show", "last"], ["runs"], ["show", "last", "--json"]):
        seen = lw(*command, cwd=project).stdout
        assert "rejected" in seen
        assert "failed" not in seen.replace('"failures"', "")


def test_a_failed_run_says_where_what_and_the_command_that_resumes_it(project: Path) -> None:
    failed = lw("run", "pipeline.py", "--param", "rows=0", cwd=project)
    assert "ValueError: no rows" in failed.stderr
    assert re.search(r"where:\s+\S+pipeline.py:18", failed.stderr)
    assert "runner.py" not in failed.stderr  # only the user's own lines
    for name in ("log", "resume"):
        [command] = re.findall(rf"{name}:\s+lw (.*)", failed.stderr)
        done = lw(*shlex.split(command), cwd=project)
        assert "no rows" in done.stdout + done.stderr


def test_a_bug_is_fixed_and_the_run_resumed(project: Path) -> None:
    lw("run", "pipeline.py", "--param", "rows=0", cwd=project)
    (project / "pipeline.py").write_text(PIPELINE.replace('raise ValueError("no rows")', "return 0"))
    resumed = lw("resume", "last", cwd=project)
    assert resumed.returncode == 0
    assert "1 ran, 2 reused" in resumed.stdout
    assert lw("resume", "last", cwd=project).returncode == 0  # nothing left to do is no failure


def test_commands_find_the_workspace_from_below_and_elsewhere(project: Path) -> None:
    lw("run", str(project / "pipeline.py"), cwd=Path("/"))
    assert "succeeded" in lw("runs", cwd=project / "helpers").stdout
    failed = lw("run", str(project / "pipeline.py"), "--param", "rows=0", cwd=Path("/"))
    [command] = re.findall(r"resume:\s+lw (.*)", failed.stderr)
    assert "--project" in command
    assert "no rows" in lw(*shlex.split(command), cwd=Path("/")).stderr


WRONG = [
    (["run"], "FILE"),
    (["run", "nothing.py"], "nothing.py"),
    (["runn", "pipeline.py"], "did you mean 'run'?"),
    (["run", "pipeline.py", "--param", "row=3"], "did you mean 'rows'?"),
    (["run", "pipeline.py", "--param", "rows"], "NAME=VALUE"),
    (["run", "pipeline.py", "--param", "rows=many"], "'many' is no int"),
    (["run", "pipeline.py", "--set", "wrkers=1"], "did you mean 'workers'?"),
    (["run", "pipeline.py", "--pipeline", "pipelin"], "did you mean"),
    (["run", "helpers/one.py"], "no pipeline is declared"),
    (["show", "nothing"], "no run is called 'nothing'"),
    (["show", "last", "--project", "helpers"], "workspace"),
    (["logs", "last", "--step", "claen"], "did you mean 'clean'?"),
    (["gc", "--older-than", "soon"], "'soon' is no length of time"),
    (["tables", "show", "flights"], "flights"),
    (["tables", "append", "../up", "x.csv"], "../up"),
    (["init", "--pipeline"], "there already"),
]


@pytest.mark.parametrize(("line", "told"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_wrong_use_is_told_in_a_line_with_what_to_do(project: Path, line: list[str], told: str) -> None:
    lw("run", "pipeline.py", cwd=project)
    done = lw(*line, cwd=project)
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "to do:" in done.stderr
    assert "Traceback" not in done.stderr
    as_json = lw(*line, "--json", cwd=project)
    assert "error" in json.loads(as_json.stdout)


CYCLE = """
import loopwright as lw

@lw.step
def a(b: int) -> int: ...

@lw.step
def b(a: int) -> int: ...

pipeline = lw.Pipeline([a, b])
"""
BROKEN = {
    "a syntax error": ("def broken(:\n", "pipeline.py:1"),
    "a missing package": ("import no_such_package\n", "pip install no_such_package"),
    "an exit": ("raise SystemExit(3)\n", "must not fail or exit"),
    "a cycle": (CYCLE, "a → b → a"),
    "no annotation": ("import loopwright as lw\n@lw.step\ndef a(b) -> int: ...\n", "does not say the type of 'b'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_told_with_its_line(tmp_path: Path, name: str) -> None:
    source, expected = BROKEN[name]
    (tmp_path / "pipeline.py").write_text(source)
    done = lw("run", "pipeline.py", cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_output_is_told_with_its_run_and_mended_by_running_again(project: Path) -> None:
    lw("run", "pipeline.py", cwd=project)
    shown = json.loads(lw("show", "last", "--json", cwd=project).stdout)
    digest = next(e["output"] for e in shown["executions"] if e["step"] == "clean")
    blob = project / ".loopwright" / "artifacts" / digest[:2] / digest[2:]
    content = bytearray(blob.read_bytes())
    content[1] ^= 1
    blob.write_bytes(bytes(content))
    failed = lw("run", "pipeline.py", "--param", "least=1", cwd=project)
    assert failed.returncode == 1
    assert digest in failed.stderr
    assert f"the output of step 'clean' of run {shown['run']}" in failed.stderr
    blob.unlink()
    assert told(project, "--param", "least=1") == {"load": "reused", "clean": "ran", "judge": "ran"}


def test_garbage_is_told_before_it_goes(project: Path) -> None:
    lw("run", "pipeline.py", cwd=project)
    lw("run", "pipeline.py", "--param", "rows=5", cwd=project)
    now = ["--older-than", "0s", "--set", "gc_grace_seconds=0", "--json"]
    planned = json.loads(lw("gc", "--dry-run", *now, cwd=project).stdout)
    assert planned["size_bytes"] > 0
    assert set(told(project).values()) == {"reused"}  # nothing went, and the first run's outputs are the newest's now
    lw("run", "pipeline.py", "--param", "rows=5", cwd=project)
    planned = json.loads(lw("gc", "--dry-run", *now, cwd=project).stdout)
    before = sum(f.stat().st_size for f in (project / ".loopwright" / "artifacts").rglob("*") if f.is_file())
    went = json.loads(lw("gc", *now, cwd=project).stdout)
    after = sum(f.stat().st_size for f in (project / ".loopwright" / "artifacts").rglob("*") if f.is_file())
    assert before - after == went["size_bytes"] == planned["size_bytes"]
    assert set(told(project, "--param", "rows=5").values()) == {"reused"}
    assert told(project)["load"] == "ran"


def test_tables_are_appended_listed_and_labelled(tmp_path: Path) -> None:
    (tmp_path / "january.csv").write_text("flight_id,carrier\n1,UA\n2,B6\n")
    (tmp_path / "labels.csv").write_text("flight_id,late\n2,true\n")
    line = ["tables", "append", "flights", "january.csv", "--key", "flight_id", "--label", "late", "--batch", "january"]
    assert "2 rows" in lw(*line, cwd=tmp_path).stdout
    assert "2 rows" in lw(*line, cwd=tmp_path).stdout  # the same batch, once
    assert lw("tables", "label", "flights", "labels.csv", cwd=tmp_path).returncode == 0
    listed = json.loads(lw("tables", "list", "--json", cwd=tmp_path).stdout)
    assert [(t["name"], t["rows"], t["batch_id"]) for t in listed] == [("flights", 2, "january")]
    assert "flight_id" in lw("tables", "show", "flights", cwd=tmp_path).stdout
    again = lw("tables", "append", "flights", "january.csv", cwd=tmp_path)
    assert again.returncode == 1
    assert "1" in again.stderr
    assert json.loads(lw("tables", "--json", cwd=tmp_path).stdout or "[]") is not None


def test_a_terminal_sees_a_live_list_and_the_same_last_line(project: Path) -> None:
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "loopwright.cli", "run", "pipeline.py"],
        cwd=project,
        stdin=child,
        stdout=child,
        stderr=child,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"},
    )
    os.close(child)
    seen = b""
    while chunk := _read(parent):
        seen += chunk
    os.close(parent)
    assert process.wait(30) == 0
    screen = seen.decode()
    assert "3/3" in screen
    assert "succeeded" in click.unstyle(screen)


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 65536)
    except OSError:  # the other end was closed
        return b""


def commands(path: list[str], group: click.Group) -> Iterator[tuple[list[str], click.Command]]:
    for name, command in group.commands.items():
        yield [*path, name], command
        if isinstance(command, click.Group):
            yield from commands([*path, name], command)


HERE = {"init", "run", "resume", "runs", "show", "logs", "cancel", "events", "tables", "gc", "settings"}
"""Those that work in a folder with a pipeline and a table; what needs a model is tried in tests of its own."""
EVERY = [([], words.root), *(one for one in commands([], words.root) if one[0][0] in HERE)]


@pytest.mark.parametrize(("line", "command"), EVERY, ids=[" ".join(line) for line, _ in EVERY])
def test_every_help_ends_with_an_example_that_works(tmp_path: Path, line: list[str], command: click.Command) -> None:
    lw("init", ".", "--pipeline", cwd=tmp_path)
    (tmp_path / "january.csv").write_text("flight_id,carrier\n1,UA\n")
    (tmp_path / "labels.csv").write_text("flight_id,late\n1,true\n")
    lw("run", "pipeline.py", cwd=tmp_path)
    if line[:1] == ["tables"] and line[-1] != "append":
        lw("tables", "append", "flights", "january.csv", "--key", "flight_id", "--label", "late", cwd=tmp_path)
    shown = lw(*line, "--help", cwd=tmp_path).stdout
    example = shown.rstrip().splitlines()[-1].strip()
    assert example.startswith(f"lw {' '.join(line)}")
    for part in example.split(" && "):
        done = lw(*shlex.split(part)[1:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_what_a_run_ran_with_can_be_taken_out_again(project: Path) -> None:
    subprocess.run(
        "git init -q && git add . && git -c user.name=t -c user.email=t@t commit -qm one",
        cwd=project,
        shell=True,
        check=True,
    )
    (project / "helpers" / "three.py").write_text("def third(n): return n * 5\n")
    lw("run", "pipeline.py", cwd=project)
    lw("show", "last", "--extract", "taken", cwd=project, check=True)
    assert (project / "taken" / "code" / "helpers" / "three.py").read_text() == "def third(n): return n * 5\n"
    assert "+def third(n): return n * 5" in (project / "taken" / "changes.diff").read_text()
    environment = json.loads((project / "taken" / "environment.json").read_text())
    assert environment["packages"]["click"] == importlib.metadata.version("click")
    assert "there already" in lw("show", "last", "--extract", "taken", cwd=project).stderr


def test_the_output_of_a_step_is_read_from_python(project: Path) -> None:
    lw("run", "pipeline.py", cwd=project)
    with loopwright.open(project) as system:
        assert system.output("last", "clean") == [0, 2, 4]
        with pytest.raises(loopwright.LoopwrightError, match="did you mean 'clean'"):
            system.output("last", "claen")


def test_a_helper_saved_while_the_file_is_loaded_is_not_taken_for_what_ran(project: Path) -> None:
    slow = "import time, pathlib\npathlib.Path(__file__).with_name('loading').touch()\ntime.sleep(1)\n"
    (project / "pipeline.py").write_text(PIPELINE + slow)
    running = subprocess.Popen([sys.executable, "-m", "loopwright.cli", "run", "pipeline.py", "--json"], cwd=project,
                               stdout=subprocess.PIPE)  # fmt: skip
    while not (project / "loading").exists():
        assert running.poll() is None
    (project / "helpers" / "three.py").write_text("def third(n): return n * 7\n")  # the old one is imported already
    assert json.loads(running.communicate(timeout=30)[0])["status"] == "succeeded"
    assert told(project) == {"load": "reused", "clean": "ran", "judge": "ran"}
    with loopwright.open(project) as system:
        assert system.output("last", "clean") == [0, 7, 14]


def test_a_fresh_run_is_resumed_as_a_fresh_run(project: Path) -> None:
    lw("run", "pipeline.py", cwd=project)
    (project / "pipeline.py").write_text(PIPELINE.replace("return sum(clean)", "raise ValueError('not yet')"))
    lw("run", "pipeline.py", "--fresh", cwd=project)
    (project / "pipeline.py").write_text(PIPELINE)
    resumed = json.loads(lw("resume", "last", "--json", cwd=project).stdout)
    assert [e["status"] for e in resumed["executions"]] == ["reused", "reused", "ran"]


def test_a_pipeline_is_run_from_python(project: Path) -> None:
    with loopwright.open(project) as system:
        ending = system.run(project / "pipeline.py", parameters={"rows": 2, "least": 0})
        assert (ending.status, system.output(ending.run, "judge")) == ("succeeded", 2)
        refused = system.run(project / "pipeline.py", parameters={"rows": Path("x")})
        assert refused.is_usage
