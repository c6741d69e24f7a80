"""The composition root: opens the stores of a workspace and wires them together. Nothing else does.

A workspace is a folder, `.loopwright/` beside the pipeline's file unless the settings say otherwise:

    format            the version of this layout
    metadata.db       runs, executions, artifacts, events (SQLite)
    artifacts/        content by digest
    tables/           Delta tables
    logs/             what steps print while they run
    scratch/          files of steps at work
    backups/          copies made before a migration
"""

from __future__ import annotations

import os
import shlex
import socket
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopwright import settings as settings_table
from loopwright.core.artifact import Artifact
from loopwright.core.clock import Clock, SystemClock
from loopwright.core.event import Cause
from loopwright.core.stores import Blobs, Stores
from loopwright.errors import MissingExtra, StoreTooNew, StoreUnavailable, UsageError, did_you_mean
from loopwright.pipeline.keys import as_json
from loopwright.pipeline.request import Report, Request
from loopwright.pipeline.supervisor import Ending, Supervisor
from loopwright.settings import Settings

if TYPE_CHECKING:
    from loopwright.data.tables import Tables
    from loopwright.store.database import Database

FORMAT = 1
_KEEP_OUT = "*\n"


@dataclass(frozen=True, kw_only=True)
class System:
    """An open workspace."""

    folder: Path
    """The project's: what relative settings are relative to."""
    workspace: Path
    settings: Settings
    clock: Clock
    actor: str

    @cached_property
    def stores(self) -> Stores:
        """Opened at first use; the schema is brought up to date then."""
        from loopwright.store.artifacts import SqlArtifacts
        from loopwright.store.events import SqlEvents
        from loopwright.store.executions import SqlExecutions
        from loopwright.store.keys import SqlApiKeys
        from loopwright.store.routes import SqlRoutes
        from loopwright.store.runs import SqlRuns
        from loopwright.store.versions import SqlVersions

        return Stores(
            runs=SqlRuns(self._database),
            executions=SqlExecutions(self._database),
            artifacts=SqlArtifacts(self._database),
            versions=SqlVersions(self._database),
            routes=SqlRoutes(self._database),
            keys=SqlApiKeys(self._database),
            events=SqlEvents(self._database),
            blobs=self._blobs(),
        )

    def close(self) -> None:
        """Let go of the database; files need no closing. Also at the end of a `with` block."""
        if "_database" in vars(self):
            self._database.close()

    def __enter__(self) -> System:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def _database(self) -> Database:
        from loopwright.store.database import Database

        return Database(
            self.settings.text("metadata_url") or f"sqlite:///{self.workspace / 'metadata.db'}",
            clock=self.clock,
            backups=self.workspace / "backups",
            busy_timeout_seconds=self.settings.number("busy_timeout_seconds"),
        )

    @cached_property
    def tables(self) -> Tables:
        """The named tables of the workspace. Raises MissingExtra in a gateway's install, which has none."""
        try:
            from loopwright.data.tables import Tables
        except ModuleNotFoundError as error:
            raise MissingExtra(
                f"tables need {error.name}, which is not installed", fix="pip install loopwright"
            ) from None
        return Tables(self.settings.text("tables_url") or str(self.workspace / "tables"), self.clock)

    @property
    def logs(self) -> Path:
        return self.workspace / "logs"

    def run(
        self,
        file: str | Path,
        *,
        pipeline: str = "",
        parameters: Mapping[str, Any] | None = None,
        seed: int = 0,
        fresh: bool = False,
        on_report: Callable[[Report], None] = lambda _: None,
    ) -> Ending:
        """Run a pipeline in a worker process of its own and wait for its end; a crash there does no harm here.

        Paths among the parameters are relative to the folder of the file. `fresh` reuses nothing.
        """
        asked = Request(
            file=Path(file).resolve(),
            pipeline=pipeline,
            parameters=as_json(parameters or {}),
            seed=seed,
            fresh=fresh,
            folder=self.folder,
            settings=self._handed_on(),
        )
        return self._supervisor(on_report).run(asked)

    def resume(self, run: str, *, on_report: Callable[[Report], None] = lambda _: None) -> Ending:
        """Take a run up where it stopped: what is finished and unchanged is not done again. Raises RunNotFound."""
        found = self.stores.runs.get(run)
        asked = Request(
            file=Path(found.file),
            pipeline=found.pipeline,
            parameters=found.parameters,
            seed=found.seed,
            fresh=found.fresh,
            run=found.id,
            folder=self.folder,
            settings=self._handed_on(),
        )
        return self._supervisor(on_report).run(asked)

    def output(self, run: str, step: str) -> Any:
        """What a step of a run returned, its content verified. `run` is an id, part of one, or `last`.

        Files and folders are copied to a temporary folder, which is the caller's to remove. Raises RunNotFound,
        UsageError for a step that has no output, ArtifactCorrupted and ArtifactNotFound.
        """
        from loopwright.pipeline.values import Values

        artifact = self._output(run, step)
        folder = Path(tempfile.mkdtemp(prefix="loopwright-"))
        try:
            return Values(blobs=self.stores.blobs).load(artifact, folder)
        finally:
            with suppress(OSError):
                folder.rmdir()  # unless a copy was put there

    def output_fields(self, run: str, step: str, names: Collection[str]) -> dict[str, Any]:
        """Some fields of what a step returned, where that is a dataclass with such: quick, for nothing else is loaded.
        None of them may be a file. Raises as `output`."""
        from loopwright.pipeline.values import Values

        return Values(blobs=self.stores.blobs).fields(self._output(run, step), names, Path(os.devnull))

    def _output(self, run: str, step: str) -> Artifact:
        found = self.stores.runs.get(run)
        outputs = {e.step: e.output for e in self.stores.executions.of_run(found.id) if e.status.has_output}
        digest = outputs.get(step)
        if digest is None:
            known = did_you_mean(step, outputs)
            raise UsageError(f"step {step!r} of run {found.id} has no output; {known}", fix=f"lw show {found.id}")
        return self.stores.artifacts.get(digest)

    def _handed_on(self) -> dict[str, Any]:
        """Settings as this process settled them: the worker must not settle them anew from another folder."""
        return self.settings.overrides() | {"workspace": str(self.workspace)}

    def _supervisor(self, on_report: Callable[[Report], None]) -> Supervisor:
        return Supervisor(
            command=[sys.executable, "-P", "-m", "loopwright.cli.worker"],
            stores=lambda: self.stores,
            clock=self.clock,
            logs=self.logs,
            on_report=on_report,
        )

    def cause(self, reason: str = "") -> Cause:
        """This moment and this user, for a change made by hand."""
        return Cause(actor=self.actor, at=self.clock.now(), reason=reason)

    def _blobs(self) -> Blobs:
        from loopwright.store.blobs import LocalBlobs
        from loopwright.store.objects import ObjectBlobs

        url = self.settings.text("artifacts_url")
        if "://" in url and not url.startswith("file://"):
            return ObjectBlobs(url, self.clock)
        return LocalBlobs(Path(url.removeprefix("file://")) if url else self.workspace / "artifacts")


def open(  # noqa: A001 - reads as lw.open()
    folder: str | Path = ".",
    *,
    flags: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    create: bool = True,
) -> System:
    """Open the workspace of a project folder, making it at first use.

    Raises SettingsError, StoreTooNew (made by a newer Loopwright) and StoreUnavailable (not a folder, no rights, or
    not there with `create=False`).

    >>> with open(getfixture("tmp_path")) as system:
    ...     system.workspace.name, system.stores.runs.list()
    ('.loopwright', [])
    """
    project = Path(folder).resolve()
    settings = settings_table.load(project, flags)
    workspace = _place(settings, project)
    _prepare(workspace, project, create=create)
    return System(folder=project, workspace=workspace, settings=settings, clock=clock or SystemClock(), actor=whoami())


def find_project(start: Path) -> Path:
    """The nearest folder, here or above, that holds a workspace or a settings file; else `start`."""
    marks = (str(settings_table.BY_NAME["workspace"].default), settings_table.FILE)
    return next((above for above in [start, *start.parents] if any((above / m).exists() for m in marks)), start)


def _place(settings: Settings, project: Path) -> Path:
    """A relative workspace is relative to who chose it: the settings file, the caller's folder, else the project."""
    chosen = settings.chosen["workspace"]
    if chosen.origin == "default":
        base = project
    elif Path(chosen.origin).name == settings_table.FILE:
        base = Path(chosen.origin).parent
    else:
        base = Path.cwd()
    return (base / str(chosen.value)).expanduser().resolve()


def whoami() -> str:
    """`user@host`, for the audit trail."""
    import getpass

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _prepare(workspace: Path, project: Path, *, create: bool) -> None:
    """The folder with its format file; written once, read at every opening."""
    mark = workspace / "format"
    try:
        found = mark.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        if not create:
            raise StoreUnavailable(
                "there is no workspace here yet",
                where=str(workspace),
                fix=_where_else(project)
                or "run a pipeline (lw run FILE), or say where the project is: --project FOLDER",
            ) from None
        found = _create(workspace, mark)
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(workspace, str(error)) from error
    if not found.isdigit():
        raise _unusable(workspace, f"the file {mark.name} says {found!r}, not a number")
    if int(found) > FORMAT:
        raise StoreTooNew(
            f"the workspace has format {found}, this Loopwright knows up to {FORMAT}",
            where=str(workspace),
            fix="install the newer Loopwright that wrote it",
        )


def _where_else(project: Path) -> str:
    """What to do where folders right below hold a workspace; empty where none does."""
    default = settings_table.BY_NAME["workspace"].default
    found = sorted(mark.parents[1] for mark in project.glob(f"*/{default}/format"))
    options = [f"--project {shlex.quote(os.path.relpath(one))}" for one in found[:3]]
    return f"say which project is meant: {' or '.join(options)}" if options else ""


def _create(workspace: Path, mark: Path) -> str:
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        (workspace / ".gitignore").write_text(_KEEP_OUT, encoding="ascii")
        temporary = workspace / f".format-{os.getpid()}"
        temporary.write_text(f"{FORMAT}\n", encoding="ascii")
        temporary.replace(mark)
    except OSError as error:
        raise _unusable(workspace, error.strerror or str(error)) from error
    return str(FORMAT)


def _unusable(workspace: Path, reason: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"the workspace cannot be used: {reason}",
        where=str(workspace),
        fix="choose another folder with --set workspace=FOLDER or LW_WORKSPACE",
    )
