"""`lw retrain`, `lw why-not`, `lw retrainings`: learning again by hand, what is waited for, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from loopwright.cli import text, words
from loopwright.core.retraining import Retraining, RetrainingStatus
from loopwright.errors import DeploymentNotFound
from loopwright.retrain import due
from loopwright.retrain.due import Due
from loopwright.retrain.facts import Facts
from loopwright.retrain.triggers import Retrain
from loopwright.system import System

_NEWEST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One trigger, and what it is waiting for."""

    trigger: str
    is_due: bool
    waits_for: str
    """What is seen by the trigger itself."""
    held_by: str
    """What keeps it although it is due; empty where nothing does."""


@words.command(words.root, "retrain", example="lw retrain flights --because 'the airport moved'")
@click.argument("loop")
@click.option("--because", default="", metavar="TEXT", help="Kept in the audit trail.")
@click.option("--fine-tune", is_flag=True, help="Start from the champion, not from scratch.")
def retrain(
    loop: str, because: str, fine_tune: bool, project: Path | None, flags: tuple[str, ...], as_json: bool
) -> int:
    """Let LOOP learn again now, by the code that is deployed. Refused while another retraining of it goes on."""
    from loopwright.retrain.reconciler import Retrainings

    opened = words.opened(project, flags)
    _refuse_undeployed(opened, loop)
    retrainings = Retrainings(
        stores=opened.stores,
        tables=opened.tables,
        clock=opened.clock,
        actor=opened.actor,
        run=opened.deployed_runner(),
    )
    found = retrainings.by_hand(loop, because, fine_tune=fine_tune)
    if as_json:
        words.print_json(_json(found))
    else:
        click.echo(_outcome(found))
    return {RetrainingStatus.REJECTED: words.REJECTED, RetrainingStatus.FAILED: words.FAILED}.get(found.status, 0)


@words.command(words.root, "why-not", example="lw why-not flights")
@click.argument("loop")
def why_not(loop: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Say of each trigger of LOOP what it is waiting for, and what the last retrainings came to."""
    from loopwright.retrain.reading import Reading, retrain_of
    from loopwright.retrain.sources import last_look

    opened = words.opened(project, flags)
    _refuse_undeployed(opened, loop)
    deployment, facts = Reading(opened.stores, opened.tables).one(loop, opened.clock.now())
    lines, newest = list(_lines(retrain_of(deployment), facts)), facts.past[:_NEWEST]
    going = next((one for one in opened.stores.retrainings.unfinished() if one.loop == loop), None)
    source = last_look(opened.stores, deployment)
    if as_json:
        told = {"loop": loop, "deployment": deployment.number, "champion": facts.champion, "source": source}
        told |= {"coming": asdict(facts.coming) if facts.coming else None, "unfinished": going and _json(going)}
        words.print_json(told | {"triggers": list(map(asdict, lines)), "retrainings": list(map(_json, newest))})
        return
    blocks = [text.columns([[one.trigger, _told(one)] for one in lines]), _holds(lines, going), source, _to_do(facts)]
    blocks += [text.columns(map(_row, newest), _HEADER)] if newest else []
    click.echo("\n\n".join(filter(None, blocks)))


@words.command(words.root, "retrainings", example="lw retrainings flights --limit 5")
@click.argument("loop", required=False)
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many, newest first.")
def retrainings(loop: str | None, limit: int, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """List when LOOP learned again, or every loop, for which cause, and what came of it."""
    opened = words.opened(project, flags)
    found = opened.stores.retrainings.list(loop, limit=limit)
    if as_json:
        words.print_json([_json(one) for one in found])
    elif not found:
        click.echo("nothing learned again yet; see what is waited for: lw why-not LOOP")
    else:
        click.echo(text.columns([[one.loop, *_row(one)] for one in found], ["LOOP", *_HEADER]))


_HEADER = ["AT (UTC)", "TRIGGER", "STATUS", "VERSION", "RUN", "WHY"]


def _lines(declared: Retrain, facts: Facts) -> Iterator[Line]:
    for name, answer in due.answers(declared, facts):
        is_due = isinstance(answer, Due)
        held = due.held(answer.trigger, declared, facts) if isinstance(answer, Due) else ""
        yield Line(trigger=name, is_due=is_due, waits_for=answer.reason, held_by=held)


def _told(line: Line) -> str:
    if not line.is_due:
        return line.waits_for
    return f"{click.style('due', fg='yellow')}: {line.waits_for}" + ("; it waits" if line.held_by else "")


def _row(one: Retraining) -> list[str]:
    version = f"v{one.version}" if one.version else ""
    why = one.reason if not one.error else f"{one.reason}: {one.error.splitlines()[0]}"
    return [text.moment(one.created_at), one.trigger, text.status(one.status.value), version, one.run_id or "", why]


def _outcome(found: Retraining) -> str:
    match found.status:
        case RetrainingStatus.CLAIMED:
            return f"another process carries it out: lw show {found.run_id}"
        case RetrainingStatus.FAILED:
            return f"{text.status('failed')}: {found.error}\n  to do: lw logs {found.run_id}"
    made = f"v{found.version}" if found.version else "the same model as before"
    return f"{text.status(found.status.value)}: run {found.run_id} made {made}; see: lw show {found.run_id}"


def _holds(lines: Iterable[Line], going: Retraining | None) -> str:
    """What keeps all that is due; also while nothing is, a retraining that has not ended."""
    if going is None:
        return next((one.held_by for one in lines if one.held_by), "")
    begun = f"{going.trigger} began a retraining on {text.moment(going.created_at)} UTC"
    return f"{begun}, which has not ended: lw show {going.run_id}"


def _to_do(facts: Facts) -> str:
    coming = facts.coming
    return f"{coming.says}\n  to do: {coming.to_do}" if coming is not None and coming.to_do else ""


def _json(one: Retraining) -> dict[str, Any]:
    return asdict(one) | {"status": one.status.value}


def _refuse_undeployed(opened: System, loop: str) -> None:
    """Raises DeploymentNotFound, which says what to do instead."""
    try:
        opened.stores.deployments.get(loop)
    except DeploymentNotFound as error:
        fix = f"{error.fix}; a loop that is not deployed learns by lw run FILE"
        raise DeploymentNotFound(error.what, where=error.where, fix=fix) from None
