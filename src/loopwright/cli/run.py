"""`lw run`, `lw resume`, `lw init`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from loopwright import system
from loopwright.cli import text, words
from loopwright.cli.progress import Progress
from loopwright.core.version import CHAMPION, Version, VersionStatus
from loopwright.data.printable import printable, printable_lines
from loopwright.errors import NotStorable, UsageError
from loopwright.pipeline.supervisor import Ending
from loopwright.system import System

_MOST_WARNINGS = 20
_EXIT = {"succeeded": 0, "rejected": words.REJECTED}


@words.command(words.root, "init", example="lw init shop && lw run shop/loop.py", workspace=False)
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@click.option("--pipeline", is_flag=True, help="A pipeline of plain steps, for work that is no model.")
def init(folder: Path, *, pipeline: bool, as_json: bool) -> None:
    """Write a loop that runs as it is, to change into your own."""
    kind = "pipeline" if pipeline else "loop"
    target = folder / f"{kind}.py"
    if target.exists():
        raise UsageError(f"{target} is there already", fix="name another folder: lw init FOLDER")
    folder.mkdir(parents=True, exist_ok=True)
    template = Path(__file__).parent / f"template_{kind}.py"
    target.write_text(template.read_text(encoding="utf-8"), encoding="utf-8")
    if as_json:
        words.print_json({"file": str(target)})
    else:
        click.echo(f"wrote {target}\nrun it: lw run {shlex.quote(str(target))}")


@words.command(words.root, "run", example="lw run pipeline.py --param limit=100")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--pipeline", default="", metavar="NAME", help="Which one, where the file declares several.")
@click.option(
    "--param", "-p", "parameters", multiple=True, metavar="NAME=VALUE",
    help="Value of a parameter, read as its annotated type; paths are relative to the file's folder. Of a loop: since, "
    "until (a span of its table) and parameters (of train, as JSON).",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="For whatever draws random numbers."
)
@click.option("--fresh", is_flag=True, help="Run every step, whatever was done before.")
def run(
    file: Path,
    pipeline: str,
    parameters: tuple[str, ...],
    seed: int,
    fresh: bool,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run the loop or pipeline that FILE declares. What was done before and is unchanged is reused."""
    if not file.is_file():
        raise UsageError(f"there is no file {str(file)!r}", fix="write the path of a Python file, or make one: lw init")
    folder = project or _project_of(file)
    opened = system.open(folder, flags=words.pairs(flags, "--set"))
    given: dict[str, Any] = dict(words.pairs(parameters, "--param"))
    progress = Progress.for_terminal(quiet=as_json)
    with progress:
        ending = opened.run(file, pipeline=pipeline, parameters=given, seed=seed, fresh=fresh, on_report=progress.hear)
    _end(opened, ending, progress, as_json=as_json)


@words.command(words.root, "resume", example="lw resume last")
@click.argument("run_id", metavar="RUN")
def resume(run_id: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Take up a run that failed, was cancelled or interrupted. RUN is an id, part of one, or `last`."""
    opened = words.opened(project, flags)
    progress = Progress.for_terminal(quiet=as_json)
    with progress:
        ending = opened.resume(run_id, on_report=progress.hear)
    _end(opened, ending, progress, as_json=as_json)


def _project_of(file: Path) -> Path:
    """A workspace lies beside the file, unless the settings say otherwise."""
    return file.resolve().parent


def _end(opened: System, ending: Ending, progress: Progress, *, as_json: bool) -> None:
    version = _version(opened, ending)
    if as_json:
        words.print_json(_told(ending) | ({"version": version.name} if version else {}))
    else:
        progress.end(ending, _resume_command(opened, ending))
        _tell_rows(opened, ending)
        _tell_findings(opened, ending)
        if version is not None:
            _tell_version(opened, version)
        elif "register" in ending.executions and ending.is_success:
            click.echo("nothing new was registered: this very bundle is a version already; see lw models")
    if ending.is_usage:
        sys.exit(words.WRONG_USAGE)
    sys.exit(_EXIT.get(ending.status, words.FAILED))


def _version(opened: System, ending: Ending) -> Version | None:
    """What a loop's run registered; None for a run that made none."""
    if not ending.run or not ending.status:
        return None
    loop = _pipeline(opened, ending)
    return next((each for each in opened.stores.versions.list(loop) if each.run_id == ending.run), None)


def _tell_findings(opened: System, ending: Ending) -> None:
    """What the run told as events of its loop: what drifted, what changed in the schema."""
    events = opened.stores.events
    begun = events.list(subject=f"run:{ending.run}", limit=1) if ending.run else ()
    for event in events.list(subject=f"loop:{_pipeline(opened, ending)}", after=begun[0].number) if begun else ():
        if event.cause.reason == f"run {ending.run}":
            told = text.details(event.data, ("changes", "drifted", "suspected"), 200)
            click.echo(f"{event.kind}: {told}; see: lw logs {ending.run} --step drift")


def _tell_rows(opened: System, ending: Ending) -> None:
    """What was found in the rows of a loop and did not stop it, whether this run looked at them or an earlier one."""
    if "validate" not in ending.executions or ending.executions["validate"].status == "failed":
        return
    from loopwright.data.findings import Finding

    try:
        found = opened.output_fields(ending.run, "validate", ("findings", "set_aside", "set_aside_rows"))
    except NotStorable:  # a step of one's own, and its values
        return
    told = [one for one in found.get("findings", ()) if isinstance(one, Finding)]
    for one in told[:_MOST_WARNINGS]:
        accept = f"\n    to accept: {one.accept}" if one.accept else ""
        click.echo(printable_lines(f"{one.severity.value}: {one.message}{accept}"))
    if len(told) > _MOST_WARNINGS:
        click.echo(f"and {len(told) - _MOST_WARNINGS:,} more: lw why {_pipeline(opened, ending)}")
    if number := found.get("set_aside_rows"):
        reasons = ", ".join(f"{printable(reason)} ({count:,})" for reason, count in found["set_aside"].items())
        rows = "1 row" if number == 1 else f"{number:,} rows"
        click.echo(f"{rows} set aside: {reasons}; see: lw data quarantined {ending.run}")


def _pipeline(opened: System, ending: Ending) -> str:
    return opened.stores.runs.get(ending.run).pipeline


def _tell_version(opened: System, version: Version) -> None:
    from loopwright.registry.evidence import verdict_of

    click.echo(printable_lines(f"\n{version.name}: {verdict_of(opened.stores, version)}"))
    if version.status is VersionStatus.ACCEPTED and CHAMPION not in version.aliases:
        click.echo(f"\nmake it the champion: lw promote {version.loop} {version.number}")
        if opened.stores.routes.current(version.loop) is not None:
            click.echo(f"or by evidence, beside the champion: lw release start {version.loop} {version.number}")


def _told(ending: Ending) -> dict[str, Any]:
    executions = [
        {"step": report.step, "status": report.word, "seconds": report.seconds} for report in ending.executions.values()
    ]
    told: dict[str, Any] = {"run": ending.run or None, "status": ending.status or "failed", "executions": executions}
    if ending.error:
        told["error"] = {"kind": ending.error.kind, "message": ending.error.message, "where": ending.error.where}
    return told


def _resume_command(opened: System, ending: Ending) -> str:
    """As it must be typed from here."""
    command = f"lw resume {ending.run}"
    here = system.find_project(Path.cwd())
    chosen = opened.settings.chosen["workspace"].origin
    if chosen == "--set":
        return f"{command} --set workspace={shlex.quote(str(opened.workspace))}"
    return command if here == opened.folder else f"{command} --project {shlex.quote(str(opened.folder))}"
