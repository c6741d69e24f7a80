"""`lw deploy`: a loop file becomes what runs, and goes back to what ran before."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from loopwright import system
from loopwright.cli import text, words
from loopwright.cli.deploying import ROWS, Deploying, Stage
from loopwright.core.deployment import Deployment
from loopwright.core.stores import Stores
from loopwright.data.printable import printable_lines
from loopwright.errors import ArtifactNotFound, DeploymentNotFound, UsageError
from loopwright.pipeline import deployed, environments

_MOST_NAMES = 6


@words.command(words.root, "deploy", example="lw deploy shop/loop.py")
@click.argument("target", metavar="FILE", required=False)
@click.option("--loop", default="", metavar="NAME", help="Which one, where the file declares several.")
@click.option("--no-tests", is_flag=True, help="Do not run the project's own tests; that is recorded.")
@click.option(
    "--rows",
    type=click.IntRange(20),
    default=ROWS,
    show_default=True,
    help="How many of the newest rows the loop is tried on.",
)
@click.option("--rollback", is_flag=True, help="Go back to the deployment before; FILE may be the loop's name.")
@click.option("--list", "listing", is_flag=True, help="List the deployments; FILE may be a loop's name.")
@click.option("--because", default="", metavar="REASON", help="Kept in the audit trail.")
def deploy(
    target: str | None,
    loop: str,
    no_tests: bool,
    rows: int,
    rollback: bool,
    listing: bool,
    because: str,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make the loop in FILE what runs: its code, environment and settings, once its tests and a trial have passed.

    From then on `lw up` runs this, whatever becomes of the file, until the next deployment.
    """
    if rollback and listing:
        raise UsageError("--rollback and --list are two wishes", fix="give one of them")
    if rollback or listing:
        beside = Path(target).resolve().parent if target and Path(target).is_file() else None
        opened = words.opened(project or beside, flags)
        return (_roll_back if rollback else _list)(opened.stores, opened, loop or target or "", because, as_json)
    if not target:
        raise UsageError("which loop is to be deployed?", fix="write the path of its file: lw deploy shop/loop.py")
    file = Path(target)
    if not file.is_file():
        raise UsageError(
            f"{target!r} is a folder" if file.is_dir() else f"there is no file {target!r}",
            fix="write the path of a loop file, or make one: lw init",
        )
    opened = system.open(project or file.resolve().parent, flags=words.pairs(flags, "--set"))
    with tempfile.TemporaryDirectory(prefix="loopwright-deploy-") as folder:
        deploying = Deploying(
            opened=opened,
            file=file.resolve(),
            folder=Path(folder).resolve(),
            hear=(lambda _: None) if as_json else _tell_stage,
        )
        return _deploy(deploying, loop, rows=rows, tests=not no_tests, because=because, as_json=as_json)


def _deploy(deploying: Deploying, loop: str, *, rows: int, tests: bool, because: str, as_json: bool) -> None:
    opened = deploying.opened
    found = deploying.load(loop)
    tested = deploying.test(found, wanted=tests)
    tried = deploying.try_out(found, rows)
    asked, artifacts = deploying.keep(found)
    before = in_force(opened.stores, found.loop)
    reason = "; ".join(filter(None, [because.strip(), f"tests: {tested}", f"trial: {tried}"]))
    added = opened.stores.deployments.add(asked, artifacts, opened.cause(reason))
    changes = what_changed(opened.stores, before, added)
    is_change = before is None or before.number != added.number
    if as_json:
        stages = [{"stage": one.name, "told": one.told, "seconds": one.seconds} for one in deploying.stages]
        told = deployment_json(added) | {"is_change": is_change, "changes": changes, "stages": stages}
        return words.print_json(told)
    return click.echo(printable_lines(told_of(before, added, changes)))


def told_of(before: Deployment | None, added: Deployment, changes: Sequence[str]) -> str:
    """What came of it, in a line."""
    if before is None:
        return f"new pipeline: deployment {added.number} of {added.loop}, the first"
    if before.number == added.number:
        return f"nothing changed: deployment {added.number} of {added.loop} is in force"
    new = "new pipeline" if added.number > before.number else "a pipeline that was there before"
    why = f" ({'; '.join(changes)})" if changes else ""
    return f"{new}: deployment {added.number} of {added.loop}, in place of {before.number}{why}"


def what_changed(stores: Stores, before: Deployment | None, after: Deployment) -> list[str]:
    """Between two deployments: code by file, environment by package, settings by name."""
    if before is None or before.number == after.number:
        return []
    told = []
    try:
        if before.code != after.code:
            old, new = (deployed.unpacked(stores.blobs.read(one.code)) for one in (before, after))
            told.append(f"code changed: {_some(deployed.differing(old, new))}")
        if before.environment != after.environment:
            old_lock, new_lock = (json.loads(stores.blobs.read(one.environment)) for one in (before, after))
            told.append(f"environment changed: {_some(environments.differing(old_lock, new_lock))}")
    except ArtifactNotFound:
        told.append("code or environment changed")
    names = {*before.settings, *after.settings}
    if changed := sorted(name for name in names if before.settings.get(name) != after.settings.get(name)):
        told.append(f"settings changed: {_some(changed)}")
    return told


def rollback_target(history: Sequence[int]) -> int | None:
    """The deployment before the one in force; None where there is none. `history` has the newest last.

    Going back takes the newest off, as with champions: twice back is two deployments back.

    >>> rollback_target([1, 2]), rollback_target([1, 2, 3, 2]), rollback_target([1, 2, 1])
    (1, 1, None)
    """
    stack: list[int] = []
    for number in history:
        del stack[stack.index(number) if number in stack else len(stack) :]
        stack.append(number)
    return stack[-2] if len(stack) > 1 else None


def in_force(stores: Stores, loop: str) -> Deployment | None:
    try:
        return stores.deployments.get(loop)
    except DeploymentNotFound:
        return None


def deployment_json(one: Deployment) -> dict[str, Any]:
    """For machines."""
    names = ("loop", "number", "file", "code", "environment", "git_commit", "created_by", "is_in_force")
    return {name: getattr(one, name) for name in names} | {
        "created_at": one.created_at.isoformat(),
        "settings": dict(one.settings),
        "spec": dict(one.spec),
    }


def _roll_back(stores: Stores, opened: system.System, target: str, because: str, as_json: bool) -> None:
    loop = _loop_named(stores, target)
    current = stores.deployments.get(loop)
    number = rollback_target(stores.deployments.history(loop))
    if number is None:
        raise UsageError(
            f"there is nothing to roll {loop} back to: no deployment came before {current.number}",
            fix=f"see what there is: lw deploy --list {loop}",
        )
    cause = opened.cause(because.strip() or "lw deploy --rollback")
    back = stores.deployments.put_in_force(loop, number, cause, expected=current.number)
    if as_json:
        return words.print_json(deployment_json(back) | {"before": current.number})
    changes = "; ".join(what_changed(stores, current, back))
    told = f"deployment {back.number} of {loop} is in force again, in place of {current.number}"
    click.echo(printable_lines(f"rolled back: {told}{f' ({changes})' if changes else ''}"))
    return click.echo(f"the model that answers stays: lw rollback {loop} takes that back")


def _list(stores: Stores, _: system.System, target: str, __: str, as_json: bool) -> None:
    loops = [_loop_named(stores, target)] if target else [one.loop for one in stores.deployments.in_force()]
    found = [one for loop in loops for one in stores.deployments.list(loop)]
    if as_json:
        return words.print_json([deployment_json(one) for one in found])
    if not found:
        return click.echo("nothing is deployed yet: lw deploy FILE")
    header = ["LOOP", "DEPLOYMENT", "IN FORCE", "DEPLOYED (UTC)", "BY", "FILE", "CODE", "ENVIRONMENT", "COMMIT"]
    return click.echo(text.columns([_row(one) for one in found], header))


def _row(one: Deployment) -> list[str]:
    return [
        one.loop,
        str(one.number),
        "yes" if one.is_in_force else "",
        text.moment(one.created_at),
        one.created_by,
        one.file,
        one.code[:12],
        one.environment[:12],
        (one.git_commit or "")[:12],
    ]


def _loop_named(stores: Stores, target: str) -> str:
    """By its name, by its file, or the only one there is. Raises DeploymentNotFound, UsageError."""
    known = stores.deployments.in_force()
    by_file = [one.loop for one in known if target.endswith(".py") and Path(one.file).name == Path(target).name]
    if not target and len(known) > 1:
        raise UsageError(f"several loops are deployed: {', '.join(one.loop for one in known)}", fix="name one of them")
    if not target and known:
        return known[0].loop
    return by_file[0] if len(by_file) == 1 else stores.deployments.get(target).loop


def _tell_stage(stage: Stage) -> None:
    click.echo(printable_lines(f"{stage.name:<7}  {text.seconds(stage.seconds):>8}  {stage.told}"))


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + rest
