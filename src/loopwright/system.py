"""The composition root: opens the stores of a workspace and wires them together. Nothing else does.

A workspace is a folder, `.loopwright/` beside the pipeline's file unless the settings say otherwise:

    format            the version of this layout
    metadata.db       runs, executions, artifacts, events (SQLite)
    artifacts/        content by digest
    tables/           Delta tables
    logs/             what steps print while they run
    scratch/          files of steps at work
    deployed/         code of deployments, as it was deployed
    environments/     virtual environments of deployments, by their lock
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
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopwright import settings as settings_table
from loopwright.core.artifact import Artifact
from loopwright.core.clock import Clock, FileClock, SystemClock
from loopwright.core.deployment import Deployment
from loopwright.core.event import Cause
from loopwright.core.run import Run, RunStatus
from loopwright.core.stores import Blobs, Stores
from loopwright.errors import (
    DataError,
    EnvironmentFailed,
    LoopwrightError,
    MissingExtra,
    RunNotFound,
    SettingsError,
    StoreTooNew,
    StoreUnavailable,
    UsageError,
    did_you_mean,
)
from loopwright.pipeline.keys import as_json
from loopwright.pipeline.request import Report, Request
from loopwright.settings import Settings

if TYPE_CHECKING:  # what runs is imported where it is run: `import loopwright` is to be quick
    from loopwright.data.tables import Tables
    from loopwright.pipeline import deployed
    from loopwright.pipeline.deployed import Ran
    from loopwright.pipeline.supervisor import Ending, Supervisor
    from loopwright.reconciler import Reconciler
    from loopwright.retrain.sources import Sources
    from loopwright.store.database import Database

FORMAT = 1
RECONCILERS = ("release", "monitor", "retrain", "alerts")
"""The live loops, by the names under which they are kept."""
_FOR_GOOD_SECONDS = 10 * 366 * 86_400.0
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
        from loopwright.store.stores import sql_stores

        return sql_stores(self._database, self._blobs())

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
        from loopwright.pipeline import deployed

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
        if named := deployed.named(self.workspace, asked.file):
            return self._run_deployed(asked, self.stores.deployments.get(*named), on_report)
        return self._supervisor(on_report).run(asked)

    def deployed_runner(self) -> deployed.Run:
        """What runs deployments here: `run_deployed` of this workspace."""
        return partial(run_deployed, self)

    def _run_deployed(self, asked: Request, deployment: Deployment, on_report: Callable[[Report], None]) -> Ending:
        """By the code, the environment and the settings that were deployed; what was set by hand here counts more."""
        from loopwright.pipeline import deployed

        ready = deployed.ready(deployment, self.stores.blobs, workspace=self.workspace, project=self.folder)
        chosen = self.settings.chosen
        given = {
            name: value
            for name, value in deployment.settings.items()
            if name in chosen and chosen[name].origin != "--set"
        }
        asked = replace(asked, file=ready.file, snapshot=ready.snapshot, settings=self._handed_on() | given)
        return self._supervisor(on_report, ready.python).run(asked)

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

    def _supervisor(self, on_report: Callable[[Report], None], python: Path | None = None) -> Supervisor:
        from loopwright.pipeline.supervisor import Supervisor

        return Supervisor(
            command=[str(python or sys.executable), "-P", "-m", "loopwright.cli.worker"],
            stores=lambda: self.stores,
            clock=self.clock,
            logs=self.logs,
            on_report=on_report,
        )

    def cause(self, reason: str = "") -> Cause:
        """This moment and this user, for a change made by hand."""
        return Cause(actor=self.actor, at=self.clock.now(), reason=reason)

    def reconciler(self, name: str) -> Reconciler:
        """One of `RECONCILERS`, which acts in its own name. Raises MissingExtra."""
        stores, workspace, clock, actor = self.stores, self.workspace, self.clock, f"{name}@{socket.gethostname()}"
        match name:
            case "release":
                from loopwright.rollout.reconciler import Releases

                return Releases(stores=stores, workspace=workspace, clock=clock, actor=actor)
            case "monitor":
                from loopwright.monitor.reconciler import Monitors

                return Monitors(stores=stores, workspace=workspace, clock=clock, actor=actor)
            case "retrain":
                from loopwright.retrain.reconciler import Retrainings

                run, sources = self.deployed_runner(), self._sources(actor)
                return Retrainings(
                    stores=stores, tables=self.tables, clock=clock, actor=actor, run=run, sources=sources
                )
            case "alerts":
                from loopwright.alerts.reconciler import Alerts

                return Alerts(stores=stores, workspace=workspace, project=self.folder, clock=clock, actor=actor)
            case _:
                raise UsageError(f"{name!r} is no reconciler; {did_you_mean(name, RECONCILERS)}")

    def _sources(self, actor: str) -> Sources:
        from loopwright.retrain.bringing import Bringing
        from loopwright.retrain.sources import Sources

        stores, poll_seconds = self.stores, self.settings.number("source_poll_seconds")
        bring = Bringing(blobs=stores.blobs, workspace=self.workspace, project=self.folder, settings=self._handed_on())
        return Sources(stores=stores, clock=self.clock, actor=actor, bring=bring, poll_seconds=poll_seconds)

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
    not there with `create=False`, unless what is known of the project lies elsewhere: `metadata_url`).

    >>> with open(getfixture("tmp_path")) as system:
    ...     system.workspace.name, system.stores.runs.list()
    ('.loopwright', [])
    """
    project = Path(folder).resolve()
    settings = _with_clock(settings_table.load(project, flags), project)
    workspace = _place(settings, project, "workspace")
    is_elsewhere = bool(settings.text("metadata_url"))  # what is known of the project: this is another machine's folder
    _prepare(workspace, project, create=create or is_elsewhere)
    clock = clock or clock_of(settings)
    return System(folder=project, workspace=workspace, settings=settings, clock=clock, actor=whoami())


def clock_of(settings: Settings) -> Clock:
    """The machine's, or that of the setting `clock_file`. Raises SettingsError for a file that holds no time."""
    file = settings.text("clock_file")
    return FileClock(Path(file)) if file else SystemClock()


def _with_clock(settings: Settings, project: Path) -> Settings:
    """With a clock that is turned by hand: its file by its whole path, for every process that is handed it on; and
    leases that only the end of their process ends, for a day may pass at any moment while one works."""
    chosen = settings.chosen["clock_file"]
    if not chosen.value:
        return settings
    lease = settings.chosen["lease_seconds"]
    given = {
        "clock_file": replace(chosen, value=str(_place(settings, project, "clock_file"))),
        "lease_seconds": replace(lease, value=max(float(lease.value), _FOR_GOOD_SECONDS), origin=chosen.origin),
    }
    return Settings({**settings.chosen, **given})


def run_deployed(
    system: System,
    deployment: Deployment,
    parameters: Mapping[str, Any],
    *,
    run_id: str | None = None,
    on_report: Callable[[Report], None] = lambda _: None,
) -> Ran:
    """Run what is deployed, not the working tree, in a worker process of its own; wait for its end.

    The run is called `run_id`, unless another one is at the very same work: then that is waited for. Where there is a
    run of that name it is taken up, or, when it has ended, told. A worker that died is replaced once: it may have been
    killed for what it could not help. What goes wrong with the code, its environment or its data is told by the result.
    Raises `StoreError` where the workspace is what fails.
    """
    from loopwright.pipeline.deployed import Ran
    from loopwright.pipeline.supervisor import WORKER_DIED, Ending

    there = _run_named(system.stores, run_id)
    if there is not None and there.status.is_final:
        return _ran(system.stores, deployment, Ending(run=there.id, status=there.status.value, error=there.error))
    try:
        ending = _turn(system, deployment, parameters, run_id, there, on_report)
        if ending.error is not None and ending.error.kind == WORKER_DIED:
            died = _run_named(system.stores, ending.run or run_id)
            ending = _turn(system, deployment, parameters, run_id, died, on_report)
        return _ran(system.stores, deployment, ending)
    except (EnvironmentFailed, DataError, SettingsError) as error:
        return Ran(status=RunStatus.FAILED.value, run_id=None, version=None, error=str(error))


def _turn(
    system: System,
    deployment: Deployment,
    parameters: Mapping[str, Any],
    run_id: str | None,
    there: Run | None,
    on_report: Callable[[Report], None],
) -> Ending:
    """One worker's, from the beginning or where the run that is `there` stopped."""
    asked = Request(
        file=Path(deployment.file),
        pipeline=deployment.loop,
        parameters=there.parameters if there else as_json(parameters),
        new=run_id,
        run=there.id if there else None,
        folder=system.folder,
    )
    return system._run_deployed(asked, deployment, on_report)


def try_out(system: System, asked: Request, on_report: Callable[[Report], None] = lambda _: None) -> Ending:
    """A run in a workspace that is thrown away afterwards: where it lies counts more than any setting that is asked."""
    settings = {**asked.settings, **system._handed_on()}
    return system._supervisor(on_report).run(replace(asked, settings=settings))


def _run_named(stores: Stores, run_id: str | None) -> Run | None:
    if run_id is None:
        return None
    try:
        found = stores.runs.get(run_id)
    except RunNotFound:
        return None
    return found if found.id == run_id else None


def _ran(stores: Stores, deployment: Deployment, ending: Ending) -> Ran:
    from loopwright.pipeline.deployed import Ran

    made = (one.number for one in stores.versions.list(deployment.loop) if one.run_id == ending.run)
    error = ending.error
    told = LoopwrightError(error.message, where=error.where, fix=ending.fix) if error else ""
    status = ending.status or RunStatus.FAILED.value
    return Ran(status=status, run_id=ending.run or None, version=next(made, None), error=str(told))


def find_project(start: Path) -> Path:
    """The nearest folder, here or above, that holds a workspace or a settings file; else `start`."""
    marks = (str(settings_table.BY_NAME["workspace"].default), settings_table.FILE)
    return next((above for above in [start, *start.parents] if any((above / m).exists() for m in marks)), start)


def _place(settings: Settings, project: Path, name: str) -> Path:
    """A relative path is relative to who chose it: the settings file, the caller's folder, else the project."""
    chosen = settings.chosen[name]
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
