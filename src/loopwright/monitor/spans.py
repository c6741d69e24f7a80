"""The statistics of windows that were looked at, kept beside the prediction log for the windows after them.

    <workspace>/monitor/<loop>/<window>.json

What is lost is looked at again: everything here can be made anew from the log.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from loopwright.data.statistics import Statistics
from loopwright.errors import DataError
from loopwright.monitor.looking import Seen
from loopwright.monitor.view import Span
from loopwright.predictions.journal import folder_of

FOLDER = "monitor"


def keep(workspace: Path, loop: str, since: datetime, seen: Seen) -> Span:
    """What later windows are held against. A full disk costs a second look, and nothing else."""
    span = span_of(seen)
    told = {
        "rows": span.rows,
        "inputs": None if seen.inputs is None else seen.inputs.to_json(),
        "answers": {str(number): Statistics.of(said.profile).to_json() for number, said in seen.said.items()},
    }
    file = _file(workspace, loop, since)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}-{os.getpid()}")
        temporary.write_text(json.dumps(told), encoding="utf-8")
        temporary.replace(file)
    return span


def span_of(seen: Seen) -> Span:
    return Span(
        rows=seen.total,
        inputs=None if seen.inputs is None else seen.inputs.profile(),
        answers={number: said.profile for number, said in seen.said.items()},
    )


def kept(workspace: Path, loop: str, since: datetime) -> Span | None:
    """None where it is lost, or of another format."""
    try:
        told = json.loads(_file(workspace, loop, since).read_text(encoding="utf-8"))
        inputs = told["inputs"]
        return Span(
            rows=told["rows"],
            inputs=None if inputs is None else Statistics.from_json(inputs).profile(),
            answers={int(number): Statistics.from_json(one).profile() for number, one in told["answers"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return None


def tidy(workspace: Path, loop: str, needed: Collection[datetime]) -> None:
    """Take away what no later window needs."""
    names = {_file(workspace, loop, since).name for since in needed}
    folder = folder_of(workspace / FOLDER, loop)
    for file in folder.iterdir() if folder.is_dir() else ():
        if file.suffix == ".json" and file.name not in names:
            file.unlink(missing_ok=True)


def _file(workspace: Path, loop: str, since: datetime) -> Path:
    return folder_of(workspace / FOLDER, loop) / f"{since:%Y%m%dT%H%M%SZ}.json"
