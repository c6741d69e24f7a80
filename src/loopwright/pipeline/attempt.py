"""One attempt at one step: load its inputs, call it, keep what it returns. Runs in a thread; writes no record."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopwright.core.artifact import Artifact
from loopwright.core.clock import Clock
from loopwright.core.run import REJECTED, Failure
from loopwright.core.stores import Stores
from loopwright.errors import LoopwrightError, WrongType
from loopwright.pipeline import types
from loopwright.pipeline.capture import StepLog, logged_to
from loopwright.pipeline.code import is_project_file
from loopwright.pipeline.context import Context, step_seed
from loopwright.pipeline.executor import Executor
from loopwright.pipeline.graph import SEED, AnyStep
from loopwright.pipeline.memory import PeakMemory
from loopwright.pipeline.step import Rejected, Wait, takes_context
from loopwright.pipeline.values import Values

if TYPE_CHECKING:
    from loopwright.data.tables import Tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended: with an output, with a failure, or with a wish to wait."""

    output: str | None = None
    artifacts: tuple[Artifact, ...] = ()
    log: str | None = None
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    error: Failure | None = None
    is_rejection: bool = False
    wait_until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """All that one attempt needs."""

    run_id: str
    step: AnyStep
    number: int
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Artifact]
    seed: int
    values: Values
    clock: Clock
    memory: PeakMemory
    executor: Executor
    actor: str
    deployment: int | None
    stores: Stores
    open_tables: Callable[[], Tables]
    workspace: Path | None
    log: Path
    folder: Path
    """For files of this attempt alone; made when one is needed, gone at the end."""

    def run(self) -> Outcome:
        """Never raises: what goes wrong in the user's code is part of the outcome."""
        started = self.clock.monotonic()
        self.memory.begin(self.step.name)
        try:
            with logged_to(self.log) as log:
                ended = self._ended(self.folder, log)
            self._keep_log(ended)
        finally:
            if self.folder.exists():
                shutil.rmtree(self.folder, ignore_errors=True)
        seconds = self.clock.monotonic() - started
        return Outcome(seconds=seconds, peak_memory_bytes=self.memory.end(self.step.name), **ended)

    def _ended(self, folder: Path, log: StepLog) -> dict[str, Any]:
        try:
            output, artifacts = self._store(self._call(folder), folder)
        except Wait as wait:
            log.write(f"waiting: {wait}\n")
            return {"wait_until": wait.until(self.clock.now())}
        except Rejected as rejection:
            log.write(f"rejected: {rejection}\n")
            return {"error": Failure(kind=REJECTED, message=str(rejection)), "is_rejection": True}
        except BaseException as error:  # also what compiled libraries panic with  # noqa: BLE001 - the one place where user code may fail in any way
            failure = describe(error, self.step)
            log.write(failure.traceback or f"{failure.message}\n")
            return {"error": failure}
        return {"output": output, "artifacts": tuple(artifacts)}

    def _call(self, folder: Path) -> Any:
        given: dict[str, Any] = dict(self.parameters)
        for name, artifact in self.inputs.items():
            given[name] = self.values.load(artifact, folder)
        if any(entry.name == SEED for entry in self.step.inputs):
            given[SEED] = self.seed
        given |= self._context(folder)
        value = self.step.function(**given)
        wanted = self.step.hints().get("return", Any)
        if not types.is_a(value, wanted):
            raise WrongType(
                f"step {self.step.name!r} returned {_short(value)}, a {type(value).__qualname__}, "
                f"but says it returns {types.name(wanted)}",
                where=self.step.where,
                fix="correct the function or its annotation",
            )
        return value

    def _context(self, folder: Path) -> dict[str, Context]:
        names = [name for name in self.step.function.__annotations__ if takes_context(self.step.function, name)]
        if not names:
            return {}
        own = folder / "files"
        own.mkdir(parents=True)
        context = Context(
            run_id=self.run_id,
            step=self.step.name,
            seed=step_seed(self.seed, self.step.name),
            folder=own,
            executor=self.executor,
            clock=self.clock,
            actor=self.actor,
            deployment=self.deployment,
            stores=self.stores,
            open_tables=self.open_tables,
            workspace=self.workspace,
        )
        return dict.fromkeys(names, context)

    def _store(self, value: Any, folder: Path) -> tuple[str, list[Artifact]]:
        now = self.clock.now()
        return self.values.store(value, folder=folder, run_id=self.run_id, step=self.step.name, now=now)

    def _keep_log(self, ended: dict[str, Any]) -> None:
        """The log so far becomes an artifact; the file stays while further attempts may add to it."""
        if not self.log.exists():
            return
        blob = self.values.blobs.put(self.log)
        ended["log"] = blob.digest
        if "output" in ended:
            self.log.unlink()
        ended["artifacts"] = (
            *ended.get("artifacts", ()),
            Artifact(
                digest=blob.digest,
                kind="log",
                format="text",
                size_bytes=blob.size_bytes,
                created_at=self.clock.now(),
                run_id=self.run_id,
                step=self.step.name,
            ),
        )


def describe(error: BaseException, step: AnyStep) -> Failure:
    """What to tell of an exception: in the user's words and lines, without ours. A standard step's file is ours."""
    told = traceback.TracebackException.from_exception(error)
    frames = list(told.stack)
    own = next((i for i, frame in enumerate(frames) if _is_users(frame)), None)
    if isinstance(error, LoopwrightError) and own is None:
        message = f"{error.what}\n  to do: {error.fix}" if error.fix else error.what
        return Failure(kind=type(error).__name__, message=message, where=error.where or _place(step))
    shown = frames[own:] if own is not None else frames
    told.stack = traceback.StackSummary.from_list(shown)
    last = next((frame for frame in reversed(shown) if _is_users(frame)), None)
    where = f"{last.filename}:{last.lineno}" if last else _place(step)
    message = str(error) or type(error).__name__
    return Failure(kind=type(error).__name__, message=message, where=where, traceback="".join(told.format()))


def _is_users(frame: traceback.FrameSummary) -> bool:
    """Written by the user: neither ours nor installed, nor made up on the fly."""
    return Path(frame.filename).is_file() and is_project_file(Path(frame.filename).resolve())


def _place(step: AnyStep) -> str | None:
    """Where the step stands, if in the user's code."""
    file = Path(step.function.__code__.co_filename)
    return step.where if file.is_file() and is_project_file(file.resolve()) else None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
