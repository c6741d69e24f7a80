"""`lw release`: start, status, hold, resume, abort, promote, list, replay."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from loopwright.cli import text, words
from loopwright.core.release import Release
from loopwright.errors import DeclarationError, NotFound, UsageError
from loopwright.system import System

if TYPE_CHECKING:
    from loopwright.rollout.decision import Decision, Ground
    from loopwright.rollout.page import Page
    from loopwright.rollout.plan import Plan

F = TypeVar("F", bound=Callable[..., Any])
_PLANS = ("canary", "ab", "shadow", "now")
_EXAMPLE = "lw release start flights --shares 0.1,0.5,1 --hold 2h"
_IN_WORDS = {"shadow": "in the shadow"}


@words.root.group("release", cls=words.Words, epilog="\b\nExample:\n  lw release status flights")
def release() -> None:
    """Bring a version to the traffic by evidence, look at it on its way, or step in."""


def _plan_options(function: F) -> F:
    """Parts of a plan; what is not given is the deployed loop's."""
    options = (
        click.option(
            "--plan", "kind", type=click.Choice(_PLANS), help="Kind of plan [default: the loop's, or canary]."
        ),
        click.option("--shares", metavar="LIST", help="Of a canary's stages, rising to 1: 0.01,0.1,0.5,1."),
        click.option("--hold", metavar="LENGTH", help="How long a stage lasts at least: 6h."),
        click.option("--shadow", metavar="LENGTH", help="How long it predicts unheard first: 1d."),
        click.option("--no-shadow", is_flag=True, help="It is heard from the first request on."),
        click.option("--patience", metavar="LENGTH", help="A stage that proves nothing in it holds and asks: 7d."),
        click.option(
            "--watch",
            metavar="LENGTH",
            help="How long the former champion stays warm [default: as long as labels take].",
        ),
        click.option("--share", type=float, metavar="NUMBER", help="Of an A/B test: 0.5."),
        click.option("--lasts", metavar="LENGTH", help="How long an A/B test, or a shadow, lasts: 14d."),
        click.option("--alpha", type=float, metavar="NUMBER", help="Chance that a version no worse is taken back."),
        click.option(
            "--unlike",
            type=click.Choice(["roll back", "hold"]),
            help="What is done where its training rows are unlike those it is asked about, and the champion's are not.",
        ),
        click.option(
            "--bigger", multiple=True, metavar="OUTCOME", help="An outcome that is better bigger; repeatable."
        ),
        click.option("--smaller", multiple=True, metavar="OUTCOME", help="One that is better smaller; repeatable."),
    )
    for option in reversed(options):  # the last one that is put on is shown first
        function = option(function)
    return function


@words.command(release, "start", example=_EXAMPLE)
@click.argument("loop")
@click.argument("version", required=False)
@_plan_options
@click.option("--because", default="", metavar="REASON", help="Kept in the audit trail.")
def start(
    loop: str,
    version: str | None,
    because: str,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Begin to release VERSION of LOOP [default: the newest accepted]. It goes on while `lw up` runs."""
    from loopwright.registry.promote import newest_accepted
    from loopwright.rollout import starting
    from loopwright.rollout.moving import Standing
    from loopwright.rollout.reconciler import follower

    opened = words.opened(project, flags)
    plan = _plan(opened, loop, given)
    found = opened.stores.versions.get(loop, version) if version else newest_accepted(opened.stores, loop)
    log = follower(opened.workspace, loop)
    begun = starting.start(opened.stores, log, found, plan, opened.cause(because), opened.clock)
    _tell(opened, Standing.of(begun).state.decisions[-1], begun, as_json=as_json)


@words.command(release, "status", example="lw release status flights")
@click.argument("name", metavar="LOOP")
def status(name: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Show the newest release of LOOP, or the one of that id: stage, evidence, what is missing, every move."""
    from loopwright.rollout.moving import Standing
    from loopwright.rollout.page import page

    opened = words.opened(project, flags)
    standing = Standing.of(opened.stores.releases.get(name))
    challenger = opened.stores.versions.get(standing.release.loop, f"v{standing.release.challenger}")
    found = page(standing, opened.clock.now(), challenger)
    if as_json:
        words.print_json(_page_json(found))
    else:
        click.echo("\n\n".join(_sections(found)))


@words.command(release, "list", example="lw release list flights")
@click.argument("loop", required=False)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
def list_releases(loop: str | None, limit: int, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """List the releases there were, newest first."""
    opened = words.opened(project, flags)
    found = opened.stores.releases.list(loop, limit=limit)
    if loop and not found:
        _refuse_unknown(opened, loop)
    if as_json:
        words.print_json([_release_json(one) for one in found])
    elif not found:
        click.echo("no version was released yet; begin with: lw release start LOOP")
    else:
        header = ["RELEASE", "LOOP", "VERSION", "BESIDE", "STATUS", "BEGUN (UTC)", "ENDED (UTC)", "BY"]
        click.echo(text.columns([_row(one) for one in found], header))


@words.command(release, "hold", example="lw release hold flights --because 'a holiday'")
@click.argument("name", metavar="LOOP")
@click.option("--because", default="", metavar="REASON", help="Kept in the audit trail.")
def hold(name: str, because: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Keep the release where it is, until it is resumed. What shows the version to be worse takes it back all the
    same."""
    _ask("hold", name, because, project, flags, as_json=as_json)


@words.command(release, "resume", example="lw release resume flights")
@click.argument("name", metavar="LOOP")
@click.option("--because", default="", metavar="REASON", help="Kept in the audit trail.")
def resume(name: str, because: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Let a release go on that holds: in this stage, what held it is overlooked from now on."""
    _ask("resume", name, because, project, flags, as_json=as_json)


@words.command(release, "abort", example="lw release abort flights --because 'a better one is ready'")
@click.argument("name", metavar="LOOP")
@click.option("--because", default="", metavar="REASON", help="Kept in the audit trail.")
def abort(name: str, because: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """End the release, and go back to the champion from before it."""
    _ask("abort", name, because, project, flags, as_json=as_json)


@words.command(release, "promote", example="lw release promote flights --because 'we need it today'")
@click.argument("name", metavar="LOOP")
@click.option("--because", default="", metavar="REASON", help="Kept in the audit trail.")
def promote(name: str, because: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Make it the champion now, without the evidence that is missing; the former one stays warm, as planned."""
    _ask("promote", name, because, project, flags, as_json=as_json)


@words.command(release, "replay", example="lw release replay flights")
@click.argument("name", metavar="LOOP")
def replay(name: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Decide every move of a release again, from what was stored with it. Exits with 1 where one comes out
    otherwise."""
    from loopwright.rollout.replaying import replayed

    opened = words.opened(project, flags)
    found = replayed(opened.stores, opened.stores.releases.get(name))
    if as_json:
        words.print_json([one.plain() for one in found])
    else:
        rows = [[text.moment(one.at), one.verdict, text.status(one.told), one.difference] for one in found]
        click.echo(text.columns(rows, ["DECIDED (UTC)", "VERDICT", "AGAIN", "DIFFERENCE"]))
    if not all(one.is_same for one in found):
        sys.exit(words.FAILED)


def _plan(opened: System, loop: str, given: dict[str, Any]) -> Plan:
    """The deployed loop's, or a canary, with what was given."""
    from loopwright.rollout.plan import Canary, from_spec
    from loopwright.rollout.plan_by_hand import changed

    try:
        told = opened.stores.deployments.get(loop).spec.get("release")
    except NotFound:
        told = None
    parts = _parts(given)
    try:
        return changed(from_spec(told) if told else Canary(), given["kind"], parts)
    except DeclarationError as error:
        raise UsageError(error.what, where=_given(given), fix=error.fix) from None


def _parts(given: dict[str, Any]) -> dict[str, Any]:
    """Of a plan, by the names they have in a loop file."""
    names = ("hold", "shadow", "patience", "watch", "share", "lasts", "alpha", "unlike")
    parts = {name: given[name] for name in names if given[name] is not None}
    if given["shares"] is not None:
        parts["shares"] = _shares(given["shares"])
    if given["no_shadow"]:
        if "shadow" in parts:
            raise UsageError(
                f"a shadow of {parts['shadow']} and none", where=_given(given), fix="leave out --shadow or --no-shadow"
            )
        parts["shadow"] = None
    for name, option in (("bigger_is_better", "bigger"), ("smaller_is_better", "smaller")):
        if given[option]:
            parts[name] = list(given[option])
    return parts


def _given(given: dict[str, Any]) -> str:
    """As it was written on the command line."""
    written = []
    for name, value in given.items():
        option = "--plan" if name == "kind" else f"--{name.replace('_', '-')}"
        values = value if isinstance(value, tuple) else (value,)
        told = [one for one in values if one is not None and one is not False]  # 0.0 is told, and equals False
        written += [option if one is True else f"{option} {one}" for one in told]
    return " ".join(written)


def _shares(told: str) -> list[float]:
    try:
        return [float(one) for one in told.split(",")]
    except ValueError:
        raise UsageError(f"{told!r} is no list of shares", fix="write: --shares 0.1,0.5,1") from None


def _ask(move: str, name: str, because: str, project: Path | None, flags: tuple[str, ...], *, as_json: bool) -> None:
    from loopwright.rollout.asking import ask
    from loopwright.rollout.facts import Move

    opened = words.opened(project, flags)
    standing, decision = ask(opened.stores, name, Move(move), opened.cause(because))
    _tell(opened, decision, standing.release, as_json=as_json)


def _refuse_unknown(opened: System, loop: str) -> None:
    """Raises `VersionNotFound` for a loop that has no version and is not deployed."""
    if not any(one.loop == loop for one in opened.stores.deployments.in_force()):
        opened.stores.versions.get(loop, "newest")


def _tell(opened: System, decision: Decision, found: Release, *, as_json: bool) -> None:
    if as_json:
        route = opened.stores.routes.current(found.loop)
        told = {"verdict": decision.verdict.value, "reason": decision.reason, "share": decision.share}
        words.print_json(_release_json(found) | told | {"arms": [arm.plain() for arm in route.arms] if route else []})
    else:
        click.echo(f"{found.loop} v{found.challenger} is {_status(found.status)}: {decision.reason}")
        if found.ended_at is None:
            click.echo(f"look at it: lw release status {found.loop}")


def _release_json(found: Release) -> dict[str, Any]:
    return {
        "id": found.id,
        "loop": found.loop,
        "challenger": found.challenger,
        "champion": found.champion,
        "status": found.status,
        "plan": dict(found.plan),
        "route": found.route,
        "created_at": found.created_at,
        "created_by": found.created_by,
        "ended_at": found.ended_at,
    }


def _page_json(found: Page) -> dict[str, Any]:
    from loopwright.core.plain import plain

    state = found.state
    return _release_json(found.release) | {
        "stage": found.stage,
        "share": state.share,
        "since": state.stage_begun_at,
        "known_until": found.known_until,
        "missing": found.missing,
        "mistake": found.mistake,
        "requests": plain(state.requests),
        "in_stage": plain(state.in_stage),
        "scored": state.scored,
        "holds": [plain(one) for one in found.holds],
        "overlooked": [one.value for one in state.overlooked],
        "guardrails": [plain(one) for one in found.grounds],
        "outcomes": [plain(one) for one in found.intervals],
        "disagreements": list(found.disagreements),
        "decisions": [plain(one) for one in found.decisions],
        "moves": max(state.moves, len(found.decisions)),
    }


def _row(found: Release) -> list[str]:
    return [
        found.id,
        found.loop,
        f"v{found.challenger}",
        f"v{found.champion}" if found.champion else "-",
        text.status(found.status),
        text.moment(found.created_at),
        text.moment(found.ended_at),
        found.created_by,
    ]


def _sections(found: Page) -> Iterator[str]:
    yield "\n".join(_head(found))
    header = ["GUARDRAIL", "CHALLENGER", "EXPECTED", "CHAMPION", "EVIDENCE", "TAKES BACK AT"]
    yield text.columns([_ground_row(one) for one in found.grounds], header)
    yield f"a mistake is {found.mistake}"
    if found.outcomes:
        yield "\n".join([*found.outcomes, *found.disagreements])
    rows = [[text.moment(one.at), one.verdict.value, one.reason] for one in found.decisions]
    yield text.columns(rows, ["DECIDED (UTC)", "VERDICT", "WHY"])
    if (earlier := found.state.moves - len(found.decisions)) > 0:
        yield f"{text.counted(earlier, 'decision')} before these: lw release replay {found.release.loop}"


def _head(found: Page) -> Iterator[str]:
    state, ended = found.state, found.release.ended_at
    beside = f" beside v{state.champion}" if state.champion else ""
    yield f"{state.loop} v{state.challenger}{beside}: {_status(state.status.value)} ({found.release.id})"
    yield f"{found.stage}, since {text.moment(ended or state.stage_begun_at)} UTC"
    told = [text.counted(state.requests.canary, "request") + " answered", f"{state.scored:,} scored unheard"]
    yield ", ".join(told) + f"; {_known(found.known_until)}"
    for one in found.holds:
        yield f"holds: {one.reason}, since {text.moment(one.since)} UTC"
    if found.missing:
        yield f"missing: {found.missing}"
    if found.holds:
        yield f"to do: lw release resume|promote|abort {state.loop}"
    if state.overlooked:
        yield f"overlooked, for it was resumed: {', '.join(one.value for one in state.overlooked)}"


def _status(word: str) -> str:
    return _IN_WORDS.get(word) or text.status(word)


def _known(until: datetime | None) -> str:
    return f"known until {text.moment(until)} UTC" if until else "nothing is known yet"


def _ground_row(one: Ground) -> Sequence[str]:
    import math

    limit = -math.log(one.alpha)
    return [
        one.name,
        f"{one.canary:,}",
        f"{one.expected:,.1f}",
        f"{one.champion:,}",
        f"{one.log_e:.2f}",
        f"{limit:.2f}",
    ]
