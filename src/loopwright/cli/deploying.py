"""What a loop file must pass to be deployed, one stage after the other: loading, its own tests, a trial on a sample.

None of the user's code runs in this process, and nothing of the trial stays.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loopwright import system
from loopwright.core.artifact import Artifact, Kind
from loopwright.core.deployment import Deployment
from loopwright.data.table import Table
from loopwright.errors import (
    DataError,
    DeclarationError,
    LoadError,
    LoopwrightError,
    MissingExtra,
    StepError,
    did_you_mean,
)
from loopwright.pipeline import deployed, provenance
from loopwright.pipeline.described import CODE, LOCK, Described
from loopwright.pipeline.request import Request
from loopwright.pipeline.supervisor import Ending
from loopwright.registry.evidence import evaluation_of
from loopwright.retrain.triggers import OnDecay, from_spec
from loopwright.system import System

ROWS = 2_000
"""The newest, that a loop is tried on unless told otherwise."""
_OF_THE_PLACE = ("lease_seconds", "heartbeat_seconds")
_NO_TESTS_FOUND = 5
"""Exit code of pytest."""
_CORRECT = "correct it; see it with all rows: lw run FILE. Where it is for want of rows: --rows N"
_PASSED = ("succeeded", "rejected")
"""A trial may be rejected: so few rows prove no quality, and only later is any model to be released."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One thing that was seen to."""

    name: str
    told: str
    seconds: float


@dataclass(kw_only=True)
class Deploying:
    """The way of one loop file; `folder` is for what must not stay."""

    opened: System
    file: Path
    folder: Path
    hear: Callable[[Stage], None]
    stages: list[Stage] = field(default_factory=list)

    def load(self, loop: str) -> Described:
        """What the file declares, loaded in a process of its own. Raises LoadError, and what the file raises."""
        with self._stage("loaded") as told:
            asked = {
                "file": str(self.file),
                "loop": loop,
                "project": str(self.opened.folder),
                "into": str(self.folder),
            }
            found = _loaded(asked)
            told.append(f"{self.file.name}: loop {found.loop} over table {found.spec['table']['name']}")
        return found

    def test(self, found: Described, *, wanted: bool) -> str:
        """The project's own tests, where there are any. Raises StepError with what they said."""
        with self._stage("tests") as told:
            place = own_tests(self.file.parent, Path(found.root))
            if not wanted:
                told.append("skipped (--no-tests)")
            elif place is None:
                told.append("there are none: no folder tests/ and no test_*.py beside the loop file")
            else:
                told.append(run_tests(place))
        return told[0]

    def try_out(self, found: Described, rows: int) -> str:
        """A run of the code as it was kept, on the newest rows, in a workspace of its own. Raises StepError."""
        with self._stage("trial") as told:
            home = self.folder / "code"
            deployed.lay_out((self.folder / CODE).read_bytes(), home)
            with system.open(self.folder / "trial", flags=_nowhere_else(self.folder)) as trial:
                sample = self._fill(trial, found, rows)
                ending = system.try_out(trial, self._asked(trial, found, home, rows=0 if sample else rows))
                if ending.status not in _PASSED:
                    raise _failed(ending, home, Path(found.root))
                refuse_unmeasured(found, _measured(trial, found.loop))
                told.append(_tried(trial, ending, found.spec["table"]["name"]))
        return told[0]

    def keep(self, found: Described) -> tuple[Deployment, tuple[Artifact, ...]]:
        """Code and lock among the artifacts, and the deployment that they make. Raises LoadError for code that was
        changed since it was loaded."""
        with self._stage("kept") as told:
            content = (self.folder / CODE).read_bytes()
            if provenance.snapshot(Path(found.root), map(Path, found.reached)) != content:
                raise LoadError("the code was changed while it was being deployed", fix="deploy it again")
            now, cause = self.opened.clock.now(), f"lw deploy {found.loop}"
            code = _kept(self.opened, content, "code", "zip", cause)
            lock = _kept(self.opened, (self.folder / LOCK).read_bytes(), "environment", "json", cause)
            count, packages = len(deployed.unpacked(content)), json.loads((self.folder / LOCK).read_text())
            told.append(
                f"{count} {'file' if count == 1 else 'files'} of code, {code.digest[:12]}; "
                f"Python {packages['python']} and {len(packages['packages'])} packages, {lock.digest[:12]}"
            )
        deployment = Deployment(
            loop=found.loop,
            file=found.file,
            code=code.digest,
            environment=lock.digest,
            settings=settings_of(self.opened),
            spec=found.spec,
            git_commit=found.git_commit,
            created_at=now,
            created_by=self.opened.actor,
        )
        return deployment, (code, lock)

    def _fill(self, trial: System, found: Described, most: int) -> int:
        """The newest rows of the table, in the same table there; none where it has none."""
        from loopwright.pipeline.sampling import newest

        table = Table(**found.spec["table"])
        if table.name not in self.opened.tables.names():
            return 0
        rows = newest(self.opened.tables.scan(table.name), table, most)
        if rows.height:
            trial.tables.append(table, rows)
        return rows.height

    def _asked(self, trial: System, found: Described, home: Path, *, rows: int) -> Request:
        return Request(
            file=home / found.file,
            pipeline=found.loop,
            folder=trial.folder,
            snapshot=deployed.snapshot_of(found.spec, home, self.opened.folder),
            sample=rows,
            settings=settings_of(self.opened),
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[list[str]]:
        begun, told = self.opened.clock.monotonic(), list[str]()
        yield told
        self.stages.append(Stage(name=name, told=told[0], seconds=self.opened.clock.monotonic() - begun))
        self.hear(self.stages[-1])


def settings_of(opened: System) -> dict[str, Any]:
    """Those that were chosen and make a run another: numbers. Where things lie, who may go there and how workers hold
    on to their runs is up to wherever it runs; a URL may hold a password, and none is kept."""
    chosen = opened.settings.overrides().items()
    return {name: value for name, value in chosen if not isinstance(value, str) and name not in _OF_THE_PLACE}


def own_tests(beside: Path, root: Path) -> Path | None:
    """The folder to run the tests in: the loop file's, else the project's; None where there are none."""
    for folder in dict.fromkeys((beside, root)):
        if (folder / "tests").is_dir() or any(folder.glob("test_*.py")) or any(folder.glob("*_test.py")):
            return folder
    return None


def _loaded(asked: Mapping[str, str]) -> Described:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "loopwright.cli.describing"],
        input=json.dumps(asked) + "\n",
        capture_output=True,
        text=True,
        env={"PYTHONHASHSEED": "0"} | os.environ,
        check=False,
    )
    if done.returncode != 0 or not done.stdout:
        raise LoadError(
            f"the process that loaded {asked['file']} ended with code {done.returncode}: {done.stderr.strip()[-2000:]}",
            fix="run the file with python to see what it does when imported",
        )
    answer = json.loads(done.stdout)
    if error := answer.get("error"):
        raise LoadError(error["what"], where=error["where"], fix=error["fix"])
    return Described.from_json(answer["described"])


def run_tests(place: Path) -> str:
    """In the project's own environment, as `python -m pytest` there."""
    paths = ["tests"] if (place / "tests").is_dir() else []
    paths += sorted(path.name for pattern in ("test_*.py", "*_test.py") for path in place.glob(pattern))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *paths],
        cwd=place,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if "No module named pytest" in done.stdout:
        raise MissingExtra(
            f"there are tests in {place}, and pytest is not installed",
            fix="pip install pytest, or deploy without: --no-tests",
        )
    if done.returncode == _NO_TESTS_FOUND:
        return "pytest found none"
    if done.returncode != 0:
        raise StepError(
            f"the project's own tests failed; nothing was deployed\n{done.stdout.rstrip()}",
            where=str(place),
            fix="correct the code or the tests, or deploy without: --no-tests",
        )
    last = done.stdout.strip().splitlines()[-1]
    return re.sub(r"^=+ | in [\d.]+s.*$", "", last).strip()


def _nowhere_else(folder: Path) -> dict[str, str]:
    """Settings that keep a trial in a folder, whatever the environment says."""
    return {"workspace": str(folder / "trial"), "metadata_url": "", "artifacts_url": "", "tables_url": ""}


def _tried(trial: System, ending: Ending, table: str) -> str:
    version = next(iter(trial.stores.versions.list(ending.pipeline)), None)
    judged = f", {version.metric} {version.value:.3f}" if version and version.value is not None else ""
    said = "accepted" if ending.is_success else "rejected by a gate, which on so few rows is no obstacle"
    count = trial.tables.current(table).rows if table in trial.tables.names() else 0
    return f"a whole run on the {count:,} newest rows of {table}: {said}{judged}"


def refuse_unmeasured(found: Described, known: Sequence[str]) -> None:
    """Raises `DeclarationError` for a decay that is waited for in vain: of a metric that the trial's model has not.
    Where no model was measured, nothing is known."""
    for trigger in from_spec(found.spec.get("retrain")).triggers:
        if known and isinstance(trigger, OnDecay) and trigger.metric not in known:
            raise DeclarationError(
                f"retrain= waits for the decay of {trigger.metric!r}, which no evaluation of this loop has",
                where=f"Loop({found.loop!r})",
                fix=did_you_mean(trigger.metric, known),
            )


def _measured(trial: System, loop: str) -> list[str]:
    """The metrics that the trial's model was measured by."""
    version = next(iter(trial.stores.versions.list(loop)), None)
    evaluation = evaluation_of(trial.stores, version) if version else None
    return [one.metric for one in evaluation.metrics] if evaluation else []


def _failed(ending: Ending, home: Path, root: Path) -> LoopwrightError:
    """In the words and the lines of the user's own files."""
    error = ending.error
    if error is None:
        return StepError(
            f"the trial run was {ending.status or 'not begun'}; nothing was deployed", fix="deploy it again"
        )
    step = next((name for name, report in ending.executions.items() if report.status == "failed"), "")
    told = (error.traceback or error.message).rstrip()
    where, told = ((text or "").replace(str(home), str(root)) for text in (error.where, told))
    return (DataError if not step else StepError)(
        f"the trial run failed{f' in step {step!r}' if step else ''}; nothing was deployed\n{told}",
        where=where or None,
        fix=ending.fix or (None if "to do:" in told else _CORRECT),
    )


def _kept(opened: System, content: bytes, kind: Kind, form: str, cause: str) -> Artifact:
    blob = opened.stores.blobs.put(content)
    return Artifact(
        digest=blob.digest,
        kind=kind,
        format=form,
        size_bytes=blob.size_bytes,
        created_at=opened.clock.now(),
        run_id=cause,
    )
