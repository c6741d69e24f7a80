"""Why a version is what it is: from its verdict down to the code, the data and the steps it came from.

`explain` reads the store; what is gone is None. `render` is pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loopwright.core.event import Event
from loopwright.core.stores import Stores
from loopwright.core.version import Route, Version
from loopwright.judge.evaluation import interval, number
from loopwright.judge.verdict import GateResult, Verdict
from loopwright.registry import evidence
from loopwright.registry.evidence import RunTold

_UNKNOWN = "not known here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """All that stands behind a version."""

    version: Version
    verdict: Verdict | None
    run: RunTold | None
    """That judged and registered it."""
    maker: RunTold | None
    """That made the model: often the same."""
    code: str | None
    """Digest of the snapshot that the model was made with."""
    environment: str | None
    git_diff: str | None
    packages: Mapping[str, Any]
    """What was installed, by name."""
    changes: tuple[Event, ...]
    """What happened to the version itself."""
    routes: tuple[Route, ...]
    """In which it answered, newest first."""
    before: Version | None = None
    """The one that was made before it."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A line of the tree, and what stands under it."""

    text: str
    under: tuple[Branch, ...] = ()


def explain(stores: Stores, version: Version) -> Trail:
    """Raises ArtifactCorrupted and DataError for evidence that is damaged."""
    environment = evidence.environment_of(version)
    subject = f"version:{version.loop}:{version.number}"
    history = stores.routes.history(version.loop)
    return Trail(
        version=version,
        verdict=evidence.verdict_of(stores, version),
        run=evidence.run_of(stores, version),
        maker=evidence.maker_of(stores, version),
        code=evidence.code_of(version),
        environment=environment,
        git_diff=evidence.difference_of(version),
        packages=evidence.environment(evidence.content_of(stores, environment)),
        changes=tuple(stores.events.list(subject=subject)),
        routes=tuple(route for route in history if any(arm.version == version.number for arm in route.arms)),
        before=_made_before(stores, version),
    )


def render(trail: Trail) -> str:
    """The tree, as plain text."""
    return "\n".join(_drawn(tree(trail)))


def tree(trail: Trail) -> Branch:
    version = trail.version
    value = f", {version.metric} {number(version.value)}" if version.metric else ""
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    parts = [_registered(version), *_news(trail), _verdict(trail), *_routes(trail), _bundle(version), _data(version)]
    parts += [*_validation(version), *_runs(trail), _code(trail), _environment(trail)]
    parts += [*_parameters(version), *_notes(version)]
    return Branch(f"version {version.name}{aliases}: {version.status.value}{value}", tuple(parts))


def _registered(version: Version) -> Branch:
    return Branch(f"registered {version.created_at:%Y-%m-%d %H:%M:%S} UTC by {version.created_by}")


def _news(trail: Trail) -> Iterator[Branch]:
    """What a deployment made of it: another pipeline, or another model by the same one."""
    if told := what_is_new(trail.version, trail.before):
        yield Branch(told)


def what_is_new(version: Version, before: Version | None) -> str:
    """Beside the version that was made before it; nothing for one that no deployment made."""
    number = version.lineage.get("deployment")
    if not isinstance(number, int):
        return ""
    now, then = (_origin(one) for one in (version, before)) if before else (_origin(version), {})
    if now["deployment"] != then.get("deployment"):
        what = next((name for name in ("code", "environment") if now[name] != then.get(name)), "deployment")
        return f"new {what} -> new pipeline (deployment {number})"
    if now["data"] != then.get("data"):
        return f"same pipeline (deployment {number}), new data -> new model"
    return f"same pipeline (deployment {number}), same data: made again"


def _origin(version: Version) -> dict[str, Any]:
    return {name: version.lineage.get(name) for name in ("deployment", "code", "environment", "data")}


def _made_before(stores: Stores, version: Version) -> Version | None:
    """By the same loop; what was imported came from elsewhere, and says nothing of this one's pipeline."""
    earlier = [one for one in stores.versions.list(version.loop) if one.number < version.number]
    return next((one for one in earlier if not any(name.startswith(evidence.LINEAGE) for name in one.files)), None)


def _verdict(trail: Trail) -> Branch:
    if trail.verdict is None:
        return Branch(f"verdict: {trail.version.status.value}; the gates are {_UNKNOWN}: {trail.version.reason}")
    said = "accepted" if trail.verdict.accepted else "rejected"
    first = f"verdict: {said}, {trail.verdict.reason}, on {trail.verdict.rows:,} rows"
    beside = trail.version.lineage.get("champion")
    against = [Branch(f"judged beside the champion of that time, {str(beside)[:12]}")] if beside else []
    return Branch(first, (*map(_gate, trail.verdict.gates), *against))


def _gate(one: GateResult) -> Branch:
    held = f", {number(one.number)} {interval(one.low, one.high)} against {number(one.limit)}"
    return Branch(f"{one.gate}: {one.outcome.value}{held if one.number is not None else ''}", (Branch(one.reason),))


def _routes(trail: Trail) -> Iterator[Branch]:
    """By whom it was let answer, and why; the newest change first."""
    told = [
        Branch(f"revision {route.number}, {route.at:%Y-%m-%d %H:%M:%S} UTC: {route.kind} by {route.actor}"
               + (f", because {route.reason}" if route.reason else ""))
        for route in trail.routes
    ]  # fmt: skip
    if told:
        yield Branch("routes", tuple(told))


def _bundle(version: Version) -> Branch:
    files = tuple(Branch(f"{name} {digest[:12]}") for name, digest in sorted(version.files.items()))
    return Branch(f"bundle {version.digest}", files)


def _data(version: Version) -> Branch:
    data = version.lineage.get("data")
    if not isinstance(data, Mapping) or not data:
        return Branch(f"data: {_UNKNOWN}")
    told = sorted((name, value) for name, value in data.items() if value is not None)
    return Branch("data", tuple(Branch(f"{name}: {_plain(value)}") for name, value in told))


def _validation(version: Version) -> Iterator[Branch]:
    """What was found in the rows, and how many were left out."""
    found = version.lineage.get("validation")
    if isinstance(found, Mapping):
        how, *rest = evidence.validation(found)
        yield Branch(f"rows validated {how}", tuple(map(Branch, rest)))


def _runs(trail: Trail) -> Iterator[Branch]:
    """Who made it and, where it was another, who judged it."""
    maker, judge = evidence.maker_id(trail.version), trail.version.run_id
    yield _run(f"made by run {maker}", trail.maker)
    if judge != maker:
        code = f" (code {trail.run.code[:12]})" if trail.run and trail.run.code else ""
        yield _run(f"judged by run {judge}{code}", trail.run)


def _run(told: str, run: RunTold | None) -> Branch:
    if run is None:
        return Branch(f"{told}: {_UNKNOWN}")
    steps = tuple(
        Branch(f"{step.step}: {step.status}" + (f" from {step.reused_from}" if step.reused_from else ""))
        for step in run.steps
    )
    return Branch(f"{told}: {run.status}, pipeline {run.pipeline} ({run.file})", steps)


def _code(trail: Trail) -> Branch:
    commit = trail.version.lineage.get("git_commit")
    under = [Branch(f"git commit {commit}")] if commit else []
    under += [Branch(f"with changes {trail.git_diff[:12]}")] if trail.git_diff else []
    return Branch(f"code {trail.code or _UNKNOWN}", tuple(under))


def _environment(trail: Trail) -> Branch:
    python = trail.packages.get("python")
    told = f" (Python {python})" if python else ""
    return Branch(f"environment {trail.environment or _UNKNOWN}{told}")


def _parameters(version: Version) -> Iterator[Branch]:
    if "seed" in version.lineage:
        yield Branch(f"seed {version.lineage['seed']}")
    given = version.lineage.get("parameters")
    if isinstance(given, Mapping) and given:
        yield Branch("parameters", tuple(Branch(f"{name}={_plain(value)}") for name, value in sorted(given.items())))


def _notes(version: Version) -> Iterator[Branch]:
    if version.notes:
        yield Branch(f"notes: {version.notes}")
    if version.tags:
        yield Branch("tags: " + ", ".join(f"{name}={value}" for name, value in sorted(version.tags.items())))


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def printable(text: str) -> str:
    """With what would steer a terminal, or turn the direction of writing, written out.

    >>> printable("a table \\x1b[31m")
    'a table \\\\x1b[31m'
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _drawn(branch: Branch, lead: str = "", below: str = "") -> Iterator[str]:
    """Lines with their branches.

    >>> print("\\n".join(_drawn(Branch("a", (Branch("b", (Branch("c"),)), Branch("d"))))))
    a
    ├─ b
    │  └─ c
    └─ d
    """
    yield lead + printable(branch.text)
    for place, under in enumerate(branch.under):
        is_last = place == len(branch.under) - 1
        yield from _drawn(under, below + ("└─ " if is_last else "├─ "), below + ("   " if is_last else "│  "))
