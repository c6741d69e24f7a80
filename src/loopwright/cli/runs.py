"""`lw runs`, `lw show`, `lw logs`, `lw cancel`, `lw events`: what happened."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from loopwright.cli import text, words
from loopwright.core.run import Execution, ExecutionStatus, Run, RunStatus
from loopwright.errors import UsageError, did_you_mean
from loopwright.pipeline import hold
from loopwright.system import System


@words.command(words.root, "runs", example="lw runs --limit 5")
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=20, show_default=True, help="How many, newest first."
)
@click.option("--pipeline", metavar="NAME", help="Only runs of this pipeline.")
def runs(limit: int, pipeline: str | None, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """List runs, newest first."""
    opened = words.opened(project, flags)
    found = opened.stores.runs.list(limit=limit, pipeline=pipeline)
    counts = opened.stores.executions.of_runs([run.id for run in found])
    if as_json:
        words.print_json([_run_json(opened, run) | {"executions": counts.get(run.id, {})} for run in found])
    elif not found:
        click.echo("no runs yet; make one: lw run FILE")
    else:
        rows = [_row(opened, run, counts.get(run.id, {})) for run in found]
        click.echo(text.columns(rows, ["RUN", "PIPELINE", "STATUS", "STARTED (UTC)", "TOOK", "STEPS"]))


@words.command(words.root, "show", example="lw show last")
@click.argument("run_id", metavar="RUN")
@click.option(
    "--extract", type=click.Path(path_type=Path), metavar="FOLDER",
    help="Write the code, the environment and the repository's changes that it ran with to a new folder.",
)  # fmt: skip
def show(run_id: str, extract: Path | None, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Show one run: its steps, and the code, environment and parameters that it ran with."""
    opened = words.opened(project, flags)
    run = opened.stores.runs.get(run_id)
    if extract is not None:
        _extract(opened, run, extract)
    executions = opened.stores.executions.of_run(run.id)
    if as_json:
        steps = [_execution_json(opened, run, execution) for execution in executions]
        words.print_json(_run_json(opened, run) | {"executions": steps})
        return
    click.echo(text.columns(_facts(opened, run)))
    click.echo()
    rows = [_step_row(_as_seen(opened, run, execution)) for execution in executions]
    click.echo(text.columns(rows, ["STEP", "STATUS", "TOOK", "PEAK MEMORY", "ATTEMPT", "OUTPUT"]))
    if run.error:
        click.echo(f"\n{run.error.traceback.rstrip() or run.error.message}")
    if not run.status.is_final or run.status is RunStatus.SUCCEEDED:
        return
    click.echo(f"\nresume: lw resume {run.id}")


@words.command(words.root, "logs", example="lw logs last --step summarise")
@click.argument("run_id", metavar="RUN")
@click.option("--step", metavar="NAME", help="Only this step's.")
def logs(run_id: str, step: str | None, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Print what the steps of a run printed and logged."""
    opened = words.opened(project, flags)
    run = opened.stores.runs.get(run_id)
    executions = opened.stores.executions.of_run(run.id)
    if step is not None:
        executions = [execution for execution in executions if execution.step == step] or _no_step(
            run, step, executions
        )
    found = {execution.step: _log(opened, execution) for execution in executions}
    if step is None:
        found["(worker)"] = _worker_log(opened, run)
    if as_json:
        words.print_json({"run": run.id, "logs": found})
        return
    for name, content in found.items():
        if content and step is None:
            click.echo(click.style(f"--- {name}", bold=True))
        click.echo(content, nl=False)
    if not any(found.values()):
        click.echo("nothing was printed", err=True)


@words.command(words.root, "cancel", example="lw cancel last --because 'wrong data'")
@click.argument("run_id", metavar="RUN")
@click.option("--because", default="", metavar="REASON", help="Kept in the audit trail.")
def cancel(run_id: str, because: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Stop a run. What it finished stays; it can be resumed."""
    opened = words.opened(project, flags)
    run = opened.stores.runs.get(run_id)
    before = run.status_at(opened.clock.now(), hold.is_alive)
    if before is RunStatus.RUNNING:
        opened.stores.runs.request_cancel(run.id, opened.cause(because))
    if as_json:
        words.print_json({"run": run.id, "status": before.value, "cancel_requested": before is RunStatus.RUNNING})
    elif before is RunStatus.RUNNING:
        click.echo(f"{run.id} is asked to stop; see: lw show {run.id}")
    else:
        click.echo(f"{run.id} is not running: it is {text.status(before.value)}")


@words.command(words.root, "events", example="lw events --run last")
@click.option("--run", "run_id", metavar="RUN", help="Only what happened to this run.")
@click.option(
    "--after",
    type=click.IntRange(0, 2**62),
    metavar="NUMBER",
    help="The first that came after this event. [default: the newest]",
)
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, help="How many.")
def events(
    run_id: str | None, after: int | None, limit: int, project: Path | None, flags: tuple[str, ...], as_json: bool
) -> None:
    """Print the audit trail: who did what, when and why."""
    opened = words.opened(project, flags)
    subject = f"run:{opened.stores.runs.get(run_id).id}" if run_id else None
    found = opened.stores.events.list(subject=subject, after=after or 0, limit=limit, newest_first=after is None)
    trail = found[::-1] if after is None else found
    if as_json:
        words.print_json([asdict(event) for event in trail])
        return
    rows = [
        [str(e.number), text.moment(e.cause.at), e.kind, e.subject, e.cause.actor, _detail(e.data), e.cause.reason]
        for e in trail
    ]
    click.echo(text.columns(rows, ["#", "AT (UTC)", "EVENT", "SUBJECT", "BY", "WHAT", "WHY"]))
    if len(trail) == limit:
        beside = (
            "the newest; from the first on: lw events --after 0"
            if after is None
            else f"more: --after {trail[-1].number}"
        )
        click.echo(f"{limit:,} events, {beside}")


def _row(opened: System, run: Run, counts: dict[str, int]) -> list[str]:
    took = (run.finished_at - run.created_at).total_seconds() if run.finished_at else None
    seen = run.status_at(opened.clock.now(), hold.is_alive)
    changed = {RunStatus.INTERRUPTED: "running", RunStatus.REJECTED: "failed"}.get(seen)
    steps = ", ".join(
        f"{count} {seen.value if status == changed else status}" for status, count in sorted(counts.items())
    )
    return [run.id, run.pipeline, _status(opened, run), text.moment(run.created_at), text.seconds(took), steps]


def _status(opened: System, run: Run) -> str:
    return text.status(run.status_at(opened.clock.now(), hold.is_alive).value)


def _facts(opened: System, run: Run) -> list[list[str]]:
    lease = run.lease
    facts = {
        "run": run.id,
        "pipeline": f"{run.pipeline} ({run.file})",
        "status": _status(opened, run),
        "started": f"{text.moment(run.created_at)} UTC",
        "finished": f"{text.moment(run.finished_at)} UTC" if run.finished_at else "",
        "parameters": ", ".join(f"{name}={value}" for name, value in run.parameters.items()),
        "seed": str(run.seed),
        "code": (lease.code or "")[:12] if lease else "",
        "environment": (lease.environment or "")[:12] if lease else "",
        "commit": _commit(run),
        "worker": lease.holder if lease else "",
    }
    return [[name, value] for name, value in facts.items() if value]


def _extract(opened: System, run: Run, folder: Path) -> None:
    """The code as files under `code/`; refuses to write into what is there already."""
    if run.lease is None or run.lease.code is None or run.lease.environment is None:
        raise UsageError(f"run {run.id} was never started", fix=f"lw resume {run.id}")
    if folder.exists():
        raise UsageError(f"{folder} is there already", fix="name a new folder")
    blobs = opened.stores.blobs
    with zipfile.ZipFile(io.BytesIO(blobs.read(run.lease.code))) as archive:
        archive.extractall(folder / "code")
    (folder / "environment.json").write_bytes(blobs.read(run.lease.environment))
    if run.lease.git_diff:
        (folder / "changes.diff").write_bytes(blobs.read(run.lease.git_diff))


def _commit(run: Run) -> str:
    if run.lease is None or run.lease.git_commit is None:
        return ""
    return run.lease.git_commit[:12] + (f", with changes {run.lease.git_diff[:12]}" if run.lease.git_diff else "")


def _as_seen(opened: System, run: Run, execution: Execution) -> tuple[Execution, str]:
    """With its status as a person should see it: nothing runs in a run that is interrupted."""
    status = run.status_of(execution)
    seen = run.status_at(opened.clock.now(), hold.is_alive)
    if execution.status is ExecutionStatus.RUNNING and seen is RunStatus.INTERRUPTED:
        status = seen.value
    return execution, status


def _step_row(seen: tuple[Execution, str]) -> list[str]:
    execution, status = seen
    output = (execution.output or "")[:12]
    if execution.reused_from:
        output += f" from {execution.reused_from}"
    if execution.wake_at:
        output = f"until {text.moment(execution.wake_at)} UTC"
    return [
        execution.step,
        text.status(status),
        text.seconds(execution.seconds),
        text.size(execution.peak_memory_bytes),
        str(execution.attempt or ""),
        output,
    ]


def _run_json(opened: System, run: Run) -> dict[str, Any]:
    seen = run.status_at(opened.clock.now(), hold.is_alive)
    return asdict(run) | {"run": run.id, "status": seen.value}


def _execution_json(opened: System, run: Run, execution: Execution) -> dict[str, Any]:
    return asdict(execution) | {"status": _as_seen(opened, run, execution)[1]}


def _log(opened: System, execution: Execution) -> str:
    """The file while there is one here, else what was kept."""
    path = opened.logs / execution.run_id / f"{execution.step}.log"
    if path.exists():
        return path.read_text(encoding="utf-8", errors="replace")
    return opened.stores.blobs.read(execution.log).decode(errors="replace") if execution.log else ""


def _worker_log(opened: System, run: Run) -> str:
    folder = opened.logs / run.id
    paths = sorted(folder.glob("worker-*.log"), key=lambda path: int(path.stem.removeprefix("worker-")))
    return "".join(path.read_text(encoding="utf-8", errors="replace") for path in paths)


def _no_step(run: Run, step: str, executions: Sequence[Execution]) -> Sequence[Execution]:
    known = [execution.step for execution in executions]
    raise UsageError(f"run {run.id} has no step {step!r}; {did_you_mean(step, known)}", fix=f"lw show {run.id}")


def _detail(data: Any) -> str:
    return text.details(data, [name for name in data if name in _TOLD])


_TOLD = ("step", "attempt", "error", "reused_from", "token", "parameters", "changes", "drifted", "suspected")
