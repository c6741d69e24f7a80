"""Deployments in SQL, and which of them is in force: one row each time that one was put there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from loopwright.core.artifact import Artifact
from loopwright.core.deployment import Deployment
from loopwright.core.event import Cause
from loopwright.errors import Conflict, DeploymentNotFound, did_you_mean
from loopwright.store import artifacts as artifact_rows
from loopwright.store import events
from loopwright.store import schema_live as schema
from loopwright.store.database import Database

_DEPLOYMENTS, _DEPLOYED = schema.deployments, schema.deployed
_NEWER = _DEPLOYED.alias("newer")
_IS_LAST = ~sa.exists().where(_NEWER.c.loop == _DEPLOYED.c.loop, _NEWER.c.revision > _DEPLOYED.c.revision)
_IN_FORCE = sa.select(_DEPLOYED).where(_IS_LAST).subquery()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """That a deployment was put in force: by whom and when."""

    number: int
    at: datetime
    actor: str


class SqlDeployments:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, deployment: Deployment, artifacts: Sequence[Artifact], cause: Cause) -> Deployment:
        with self._database.write() as connection:
            artifact_rows.add(connection, artifacts)
            there = _of(connection, deployment.loop)
            same = next((known for known in there if is_same(known, deployment)), None)
            if same is not None and same.is_in_force:
                return same
            added = same or numbered(deployment, there)
            if same is None:
                connection.execute(_DEPLOYMENTS.insert(), schema.deployment_row(added))
            _put(connection, added, cause)
            told = event_data(added, _in_force(there), is_new=same is None)
            events.record(connection, DEPLOYED, f"loop:{added.loop}", cause, told)
        return replace(added, is_in_force=True)

    def put_in_force(self, loop: str, number: int, cause: Cause, *, expected: int | None) -> Deployment:
        with self._database.write() as connection:
            there = _of(connection, loop)
            found = named(there, loop, number, () if there else _loops(connection))
            before = _in_force(there)
            refuse_if_replaced(loop, _last(connection, loop), expected)
            if found.is_in_force:
                return found
            _put(connection, found, cause)
            told = event_data(found, before, is_new=False)
            events.record(connection, event_kind(number, before), f"loop:{loop}", cause, told)
        return replace(found, is_in_force=True)

    def in_force(self) -> Sequence[Deployment]:
        mine = (_DEPLOYMENTS.c.loop == _IN_FORCE.c.loop) & (_DEPLOYMENTS.c.number == _IN_FORCE.c.number)
        query = sa.select(_DEPLOYMENTS).join(_IN_FORCE, mine).order_by(_DEPLOYMENTS.c.loop)
        with self._database.read() as connection:
            return [schema.deployment(row, row["number"]) for row in connection.execute(query).mappings()]

    def get(self, loop: str, number: int | None = None) -> Deployment:
        with self._database.read() as connection:
            there = _of(connection, loop)
            return named(there, loop, number, () if there else _loops(connection))

    def list(self, loop: str) -> Sequence[Deployment]:
        with self._database.read() as connection:
            return _of(connection, loop)

    def history(self, loop: str) -> Sequence[int]:
        query = sa.select(_DEPLOYED.c.number).where(_DEPLOYED.c.loop == loop).order_by(_DEPLOYED.c.revision)
        with self._database.read() as connection:
            return connection.execute(query).scalars().all()


DEPLOYED, TAKEN_BACK = "LoopDeployed", "DeploymentRolledBack"


def is_same(known: Deployment, other: Deployment) -> bool:
    """Whether both run the same code in the same way, whoever deployed them and from which commit."""
    compared = ("loop", "file", "code", "environment")
    return all(getattr(known, name) == getattr(other, name) for name in compared) and (
        events.as_kept(known.settings) == events.as_kept(other.settings)
        and events.as_kept(known.spec) == events.as_kept(other.spec)
    )


def numbered(deployment: Deployment, there: Sequence[Deployment]) -> Deployment:
    """Under the next number of its loop; `there` is newest first."""
    return replace(deployment, number=there[0].number + 1 if there else 1, is_in_force=False)


def named(there: Sequence[Deployment], loop: str, number: int | None, loops: Collection[str]) -> Deployment:
    """The one of this number, or the one in force. Raises DeploymentNotFound; `loops` are all that have one."""
    found = next((one for one in there if one.number == number or (number is None and one.is_in_force)), None)
    if found is not None:
        return found
    if there:
        numbers = f"1 to {there[0].number}" if len(there) > 1 else "1 alone"
        raise DeploymentNotFound(f"{loop} has no deployment {number}; there is {numbers}", fix="lw deploy --list")
    known = did_you_mean(loop, loops) if loops else "none was deployed yet"
    raise DeploymentNotFound(f"no loop {loop!r} is deployed; {known}", fix="deploy its file: lw deploy FILE")


def refuse_if_replaced(loop: str, last: Standing | None, expected: int | None) -> None:
    """Raises Conflict unless the deployment in force is the one that the caller decided upon."""
    if (last.number if last else None) == expected:
        return
    by = f"{last.actor} put it there at {last.at:%Y-%m-%d %H:%M:%S} UTC" if last else "there is none yet"
    raise Conflict(
        f"deployment {last.number if last else 0} of {loop} is in force, not {expected or 0}: {by}",
        fix="look at what is there now (lw deploy --list) and decide again",
    )


def event_kind(number: int, before: int | None) -> str:
    return TAKEN_BACK if before is not None and number < before else DEPLOYED


def event_data(deployment: Deployment, before: int | None, *, is_new: bool) -> dict[str, Any]:
    names = ("file", "code", "environment", "git_commit")
    told = {name: getattr(deployment, name) for name in names}
    return {"deployment": deployment.number, "before": before, "is_new": is_new} | told


def needed(deployments: Iterable[Deployment]) -> Iterator[str]:
    """Digests of what deployments run: kept as long as they are."""
    for one in deployments:
        yield from (one.code, one.environment)


def _of(connection: sa.Connection, loop: str) -> Sequence[Deployment]:
    """Newest first."""
    query = sa.select(_DEPLOYMENTS).where(_DEPLOYMENTS.c.loop == loop).order_by(_DEPLOYMENTS.c.number.desc())
    last = _last(connection, loop)
    in_force = last.number if last else None
    return [schema.deployment(row, in_force) for row in connection.execute(query).mappings()]


def _last(connection: sa.Connection, loop: str) -> Standing | None:
    query = sa.select(_DEPLOYED).where(_DEPLOYED.c.loop == loop).order_by(_DEPLOYED.c.revision.desc()).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Standing(number=row["number"], at=row["at"], actor=row["actor"])


def _in_force(there: Sequence[Deployment]) -> int | None:
    return next((one.number for one in there if one.is_in_force), None)


def _put(connection: sa.Connection, deployment: Deployment, cause: Cause) -> None:
    highest = sa.select(sa.func.max(_DEPLOYED.c.revision)).where(_DEPLOYED.c.loop == deployment.loop)
    revision = (connection.execute(highest).scalar() or 0) + 1
    values = {"loop": deployment.loop, "revision": revision, "number": deployment.number}
    connection.execute(_DEPLOYED.insert(), values | {"at": cause.at, "actor": cause.actor})


def _loops(connection: sa.Connection) -> Sequence[str]:
    return connection.execute(sa.select(_DEPLOYMENTS.c.loop).distinct()).scalars().all()
