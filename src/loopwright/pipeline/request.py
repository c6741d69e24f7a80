"""What a supervisor asks of a worker, and what the worker tells back: lines of JSON over two pipes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from loopwright.core.run import Failure

Told = Literal["run", "turn", "end", "restart", "lost", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Code that was kept, laid out in a folder: what is run in place of the working tree."""

    root: str
    folder: str
    """Of the project's own: where it is run, and relative paths of data are read."""
    paths: tuple[str, ...]
    """Where its modules are imported from, before anything else."""
    deployment: int | None = None
    """None for a trial before there is one."""
    git_commit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One run to make, or one to take up again."""

    file: Path
    pipeline: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    fresh: bool = False
    run: str | None = None
    """Take this run up, instead of asking for a new one."""
    new: str | None = None
    """What to call a new one; None: whatever is free."""
    snapshot: Snapshot | None = None
    """Which code; None: the working tree."""
    sample: int | None = None
    """A trial, on so many of the newest rows at most: of a source, where the table is not there."""
    folder: Path = Path()
    """The project folder whose workspace is used."""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_line(self) -> str:
        values = asdict(self) | {"file": str(self.file), "folder": str(self.folder)}
        return json.dumps(values) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Request:
        values = json.loads(line)
        code = values["snapshot"]
        snapshot = code and Snapshot(**(code | {"paths": tuple(code["paths"])}))
        return cls(**(values | {"file": Path(values["file"]), "folder": Path(values["folder"]), "snapshot": snapshot}))

    @property
    def place(self) -> Path:
        """Where relative paths begin."""
        return Path(self.snapshot.folder) if self.snapshot else self.file.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One thing that a worker tells."""

    told: Told
    run: str = ""
    pipeline: str = ""
    steps: tuple[Mapping[str, Any], ...] = ()
    """Name, retries and backoff of each step, in order; with `run`."""
    is_new: bool = True
    """Whether no worker held the run before this one; with `run`."""
    is_held: bool = False
    """Whether another worker is at it already; with `run`."""
    step: str = ""
    status: str = ""
    """Of the execution with `turn`, of the run with `end`."""
    seconds: float | None = None
    attempt: int = 0
    wake_at: str | None = None
    error: Failure | None = None
    fix: str = ""
    """What to do; with `refused`."""
    is_usage: bool = False
    """Whether the caller asked wrongly, rather than the work going wrong; with `refused`."""

    @property
    def word(self) -> str:
        """The status as a person should see it: a step that a gate stopped did not fail."""
        is_refused = self.status == "failed" and self.error is not None and self.error.is_rejection
        return "rejected" if is_refused else self.status

    def to_line(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Report:
        values = json.loads(line)
        error = Failure(**values["error"]) if values["error"] else None
        return cls(**(values | {"error": error, "steps": tuple(values["steps"])}))
