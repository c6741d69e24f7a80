"""`lw models`, `lw promote`, `lw rollback`, `lw compare`, `lw why`: the versions of every loop's model."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from loopwright.cli import text, words
from loopwright.core.version import Route, Version
from loopwright.errors import BundleRefused, ModelError
from loopwright.judge.evaluation import Measured, interval, number
from loopwright.registry import names
from loopwright.registry import why as explaining
from loopwright.registry.compare import Change, Differences
from loopwright.registry.compare import compare as compared
from loopwright.registry.promote import Promotion
from loopwright.registry.why import Trail
from loopwright.rollout import by_hand as released
from loopwright.system import System

_ULID_LENGTH = 26


@words.command(words.root, "models", example="lw models flights")
@click.argument("loop", required=False)
def models(loop: str | None, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """List the loops that have a model; with LOOP, its versions, newest first."""
    opened = words.opened(project, flags)
    if loop is None:
        return _loops(opened, as_json=as_json)
    found = opened.stores.versions.list(loop) or [opened.stores.versions.get(loop, "newest")]
    if as_json:
        return words.print_json([version_json(version) for version in found])
    header = ["VERSION", "STATUS", "METRIC", "VALUE", "ALIASES", "REGISTERED (UTC)", "BY", "DIGEST", "WHY"]
    return click.echo(text.columns([_version_row(version) for version in found], header))


@words.command(words.root, "promote", example="lw promote flights")
@click.argument("loop")
@click.argument("version", required=False)
@click.option("--override", is_flag=True, help="Promote it although a gate rejected it; needs --because.")
@click.option("--because", default="", metavar="REASON", help="Kept in the audit trail.")
def promote(
    loop: str,
    version: str | None,
    override: bool,
    because: str,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make VERSION of LOOP its champion [default: the newest accepted]. Gateways take it up without a restart."""
    opened = words.opened(project, flags)
    cause = opened.cause("lw promote")
    try:
        done = released.promote(opened.stores, loop, version, cause, override=override, because=because)
    except BundleRefused:  # which is no gate
        raise
    except ModelError as error:  # a gate said no
        words.tell(error, as_json=as_json)
        sys.exit(words.REJECTED)
    _tell(done, as_json=as_json)


@words.command(words.root, "rollback", example="lw rollback flights --because 'too many false alarms'")
@click.argument("loop")
@click.option("--because", default="", metavar="REASON", help="Kept in the audit trail.")
def rollback(loop: str, because: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Go back to the champion before this one, and end the release that is under way; again, and it goes further
    back."""
    opened = words.opened(project, flags)
    _tell(released.rollback(opened.stores, loop, opened.cause("lw rollback"), because=because), as_json=as_json)


@words.command(words.root, "compare", example="lw compare flights champion newest")
@click.argument("loop")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
def compare(loop: str, first: str, second: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Show what differs between versions A and B: what went in, code included, and what came out."""
    opened = words.opened(project, flags)
    both = [opened.stores.versions.get(loop, name) for name in (first, second)]
    found = compared(opened.stores, *both)
    if as_json:
        told = asdict(found) | {"first": version_json(found.first), "second": version_json(found.second)}
        words.print_json(told)
    else:
        click.echo("\n\n".join(_sections(found)))


@words.command(words.root, "why", example="lw why flights:champion")
@click.argument("name", metavar="ID")
def why(name: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Show what stands behind a prediction (its id) or a version (LOOP:VERSION or digest), down to code and data."""
    opened = words.opened(project, flags)
    prediction = find_prediction(opened, name) if _is_prediction(name) else None
    if prediction is None:
        version = names.find(opened.stores, name)
    else:
        version = opened.stores.versions.get(str(prediction["loop"]), str(prediction["digest"]))
    trail = explaining.explain(opened.stores, version)
    if as_json:
        words.print_json({"prediction": prediction} | _trail_json(trail))
        return
    if prediction is not None:
        click.echo(text.columns(list(_prediction_rows(prediction))) + "\n")
    click.echo(explaining.render(trail))


def find_prediction(opened: System, name: str) -> dict[str, Any]:
    """The line of the journal: loop, version, digest, arm, at, row, and the answer. Raises PredictionNotFound."""
    from loopwright.predictions.finding import find

    return find(opened.workspace, name)


def version_json(version: Version) -> dict[str, Any]:
    return asdict(version) | {"status": version.status.value}


def _is_prediction(name: str) -> bool:
    """By its form: versions are named with colons and in small letters."""
    return ":" not in name and ("." in name or (len(name) == _ULID_LENGTH and name.isupper()))


def _loops(opened: System, *, as_json: bool) -> None:
    by_loop: dict[str, list[Version]] = {}
    for version in opened.stores.versions.list():
        by_loop.setdefault(version.loop, []).append(version)
    routes = {loop: opened.stores.routes.current(loop) for loop in by_loop}
    if as_json:
        words.print_json([_loop_json(found, routes[loop]) for loop, found in by_loop.items()])
    elif not by_loop:
        click.echo("no loop has a model yet; make one: lw run FILE")
    else:
        rows = [_loop_row(found, routes[loop]) for loop, found in by_loop.items()]
        click.echo(text.columns(rows, ["LOOP", "CHAMPION", "SINCE (UTC)", "SHARES", "NEWEST", "VERSIONS"]))


def _loop_json(found: Sequence[Version], route: Route | None) -> dict[str, Any]:
    return {
        "loop": found[0].loop,
        "champion": route.champion if route else None,
        "newest": found[0].number,
        "versions": len(found),
        "route": asdict(route) if route else None,
    }


def _loop_row(found: Sequence[Version], route: Route | None) -> list[str]:
    newest = f"v{found[0].number} {text.status(found[0].status.value)}"
    champion = next((version for version in found if route and version.number == route.champion), None)
    arms = route.arms if route and len(route.arms) > 1 else ()
    shares = ", ".join(f"{arm.name} v{arm.version} {arm.share:g}" for arm in arms)
    since = text.moment(route.at) if route else ""
    return [found[0].loop, f"v{champion.number}" if champion else "-", since, shares or "-", newest, str(len(found))]


def _version_row(version: Version) -> list[str]:
    return [
        f"v{version.number}",
        text.status(version.status.value),
        version.metric,
        number(version.value),
        ", ".join(version.aliases),
        text.moment(version.created_at),
        version.created_by,
        version.digest[:12],
        version.reason,
    ]


def _tell(done: Promotion, *, as_json: bool) -> None:
    name = done.version.name
    if as_json:
        told = {"loop": done.version.loop, "version": done.version.number, "previous": done.previous}
        words.print_json(told | {"is_change": done.is_change, "note": done.note, "route": asdict(done.route)})
    elif not done.is_change:
        click.echo(f"{name} is the champion already; nothing was changed")
    else:
        before = f"; before it was v{done.previous}" if done.previous not in (None, done.version.number) else ""
        word = "answers alone" if done.previous == done.version.number else "is the champion"
        click.echo(f"{name} {word} now{before}")
        if done.note:
            click.echo(f"mind: {done.note}")


def _sections(found: Differences) -> Iterator[str]:
    """What is equal is said in a line, so that nobody takes a gap for an answer."""
    heads = [f"v{found.first.number}", f"v{found.second.number}"]
    for title, changed in (
        ("PARAMETER", found.parameters),
        ("DATA", found.data),
        ("ENVIRONMENT", found.environment),
    ):
        rows = [[change.name, *_values(change)] for change in changed]
        yield text.columns(rows, [title, *heads]) if rows else f"{title.lower()}: no difference"
    yield _metrics(found, heads)
    yield _slices(found, heads)
    unknown = "" if found.is_code_known else " known: a snapshot of the code is gone"
    yield found.code or f"code: no difference{unknown}"
    if found.judging_code:
        yield f"code of the runs that judged them:\n{found.judging_code}"


def _metrics(found: Differences, heads: Sequence[str]) -> str:
    if not found.metrics:
        return "metrics: neither version has an evaluation"
    header = ["METRIC", heads[0], "INTERVAL", heads[1], "INTERVAL"]
    rows = [[pair.metric, *_measured(pair.first), *_measured(pair.second)] for pair in found.metrics]
    told = text.columns(rows, header)
    return told if found.is_same_rows else f"{told}\nmeasured on different rows: small differences mean nothing"


def _slices(found: Differences, heads: Sequence[str]) -> str:
    if not found.slices:
        return "slices: none was measured in both"
    rows = [
        [pair.slice, number(pair.first.value), number(pair.second.value), f"{pair.difference:+.4f}",
         f"{pair.rows[0]:,} / {pair.rows[1]:,}"]
        for pair in found.slices
    ]  # fmt: skip
    return text.columns(rows, [f"SLICE ({found.slices[0].metric})", *heads, "DIFFERENCE", "ROWS"])


def _measured(measured: Measured | None) -> list[str]:
    return ["-", "-"] if measured is None else [number(measured.value), interval(measured.low, measured.high)]


def _values(change: Change) -> list[str]:
    return ["-" if value is None else str(value) for value in (change.first, change.second)]


def _prediction_rows(prediction: Mapping[str, Any]) -> Iterator[list[str]]:
    """The id, the row as it came, the answer, and who gave it."""
    yield ["prediction", str(prediction["id"])]
    yield ["at", str(prediction["at"])]
    yield ["arm", f"{prediction['arm']}, {prediction['loop']} v{prediction['version']}"]
    for name in ("unit", "key", "row", "label", "probabilities", "value"):
        if prediction.get(name) is not None:
            value = prediction[name]
            told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield [name, explaining.printable(told)]


def _trail_json(trail: Trail) -> dict[str, Any]:
    return {
        "version": version_json(trail.version),
        "verdict": json.loads(trail.verdict.to_json()) if trail.verdict else None,
        "what_is_new": explaining.what_is_new(trail.version, trail.before) or None,
        "made_by": asdict(trail.maker) if trail.maker else None,
        "run": asdict(trail.run) if trail.run else None,
        "code": trail.code,
        "environment": trail.environment,
        "git_diff": trail.git_diff,
        "packages": dict(trail.packages),
        "events": [asdict(event) for event in trail.changes],
        "routes": [asdict(route) for route in trail.routes],
    }
