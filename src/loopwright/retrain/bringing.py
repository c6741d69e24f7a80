"""A deployed loop's source brought into its table, by a process of its own: the code is the user's, and what is run is
the deployment's code and environment, never the working tree."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from loopwright.core.deployment import Deployment
from loopwright.core.stores import Blobs
from loopwright.errors import StepError
from loopwright.pipeline import deployed, provenance
from loopwright.pipeline.request import Request
from loopwright.pipeline.supervisor import ENVIRONMENT

LIMIT_SECONDS = 600.0
"""What a source may take."""
_MODULE = "loopwright.cli.bringing"
_SAID = 4_000
"""Of what the process wrote, its last characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bringing:
    """What a workspace gives to such a process. Environment and secrets are those of this one, as for runs."""

    blobs: Blobs
    workspace: Path
    project: Path
    settings: Mapping[str, Any]
    limit_seconds: float = LIMIT_SECONDS

    def __call__(self, deployment: Deployment) -> str:
        """What came, in words. Raises `StepError` with what the process said, and what `deployed.ready` raises."""
        ready = deployed.ready(deployment, self.blobs, workspace=self.workspace, project=self.project)
        asked = Request(
            file=ready.file,
            pipeline=deployment.loop,
            snapshot=ready.snapshot,
            folder=self.project,
            settings=self.settings,
        )
        told, said, code = _run([str(ready.python), "-P", "-m", _MODULE], asked.to_line(), self.limit_seconds)
        if code is None:
            raise _failed(f"it took more than {self.limit_seconds:g} seconds", said, None)
        if code != 0 or not told:
            last = said.splitlines()[-1] if said else f"its process ended with code {code}"
            raise _failed(last, said, None)
        answer = json.loads(told)
        if error := answer.get("error"):
            raise _failed(str(error["what"]), said, error["fix"], error["where"])
        return str(answer["told"])


def _run(command: Sequence[str], line: str, seconds: float) -> tuple[str, str, int | None]:
    """What it answered, what it said beside, and its exit code: None where it was ended for taking too long."""
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+", errors="replace") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=told,
            stderr=said,
            text=True,
            process_group=0,  # so that what the source has started can be ended with it
            env=ENVIRONMENT | os.environ,
        )
        assert process.stdin
        code: int | None = None
        try:
            _say(process.stdin, line)
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(seconds)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close()
        told.seek(0)
        said.seek(0)
        return told.read(), provenance.masked(said.read()[-_SAID:].strip()), code


def _say(pipe: IO[str], line: str) -> None:
    """Its end stays open: it is the process's lifeline."""
    with suppress(BrokenPipeError):
        pipe.write(line)
        pipe.flush()


def _failed(why: str, said: str, fix: str | None, where: str | None = None) -> StepError:
    told = f"the source cannot be read: {provenance.masked(why)}"
    return StepError(told, where=where or said or None, fix=fix or "correct it; it is looked at again at the next turn")
