"""The tables of the live loops - releases, deployments, retrainings, findings, progress, leaders - and how their rows
read as the nouns of `core`. Who changed a row last stands beside it, for whoever comes second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from loopwright.core.deployment import Deployment
from loopwright.core.event import Cause
from loopwright.core.finding import Finding, Level
from loopwright.core.progress import Progress
from loopwright.core.release import Release
from loopwright.core.retraining import Retraining, RetrainingStatus
from loopwright.store.schema import Instant, Json, metadata

releases = sa.Table(
    "releases",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("loop", sa.Text, nullable=False),
    sa.Column("challenger", sa.Integer, nullable=False),
    sa.Column("champion", sa.Integer),
    sa.Column("plan", Json, nullable=False),
    sa.Column("state", Json, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("route", sa.Integer),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("changed_by", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(["loop", "challenger"], ["versions.loop", "versions.number"]),
    sa.Index("releases_by_loop", "loop", "created_at", "id"),
    sa.Index(
        "one_unended_release_per_loop",
        "loop",
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    ),
)

deployments = sa.Table(
    "deployments",
    metadata,
    sa.Column("loop", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("settings", Json, nullable=False),
    sa.Column("spec", Json, nullable=False),
    sa.Column("git_commit", sa.Text),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
)

deployed = sa.Table(
    "deployed",
    metadata,
    sa.Column("loop", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(["loop", "number"], ["deployments.loop", "deployments.number"]),
)
"""Which deployment was put in force when: the highest revision of a loop says which one is."""

retrainings = sa.Table(
    "retrainings",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("loop", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("trigger", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("fine_tune", sa.Boolean, nullable=False),
    sa.Column("deployment", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("evidence", Json, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("finished_at", Instant),
    sa.Index("retrainings_by_loop", "loop", "created_at", "id"),
    sa.Index("one_retraining_per_cause", "loop", "cause", unique=True),
    sa.Index(
        "one_unfinished_retraining_per_loop",
        "loop",
        unique=True,
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    ),
)

findings = sa.Table(
    "findings",
    metadata,
    sa.Column("loop", sa.Text, primary_key=True),
    sa.Column("monitor", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("since", Instant, primary_key=True),
    sa.Column("until", Instant, primary_key=True),
    sa.Column("known_at", Instant, nullable=False),
    sa.Column("level", sa.Text, nullable=False),
    sa.Column("measure", sa.Text, nullable=False),
    sa.Column("number", sa.Double),
    sa.Column("limit", sa.Double),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("evidence", Json, nullable=False),
    sa.Column("is_newest", sa.Boolean, nullable=False),
    sa.Index("findings_by_window", "loop", "until"),
    sa.Index(
        "newest_findings",
        "loop",
        "monitor",
        "subject",
        sqlite_where=sa.text("is_newest"),
        postgresql_where=sa.text("is_newest"),
    ),
)
"""Version 0 is that of a finding about all of them. `is_newest`: no window of its subject ends later, so that the state
of all loops is read without their past."""

progress = sa.Table(
    "progress",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", Json, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("changed_by", sa.Text, nullable=False),
)

leaders = sa.Table(
    "leaders",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("ends_at", Instant, nullable=False),
)


def _row(table: sa.Table, noun: object) -> dict[str, Any]:
    """The fields that have a column; what is a mapping as JSON keeps it."""
    values = {column.name: getattr(noun, column.name) for column in table.c if hasattr(noun, column.name)}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}


def _fields(row: sa.RowMapping, *but: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in but}


def changed(cause: Cause) -> dict[str, Any]:
    return {"changed_at": cause.at, "changed_by": cause.actor}


def changer(row: sa.RowMapping) -> Cause:
    """Who changed the row last."""
    return Cause(actor=row["changed_by"], at=row["changed_at"])


def release_row(release: Release, cause: Cause) -> dict[str, Any]:
    return _row(releases, release) | changed(cause)


def release(row: sa.RowMapping) -> Release:
    return Release(**_fields(row, "changed_at", "changed_by"))


def deployment_row(deployment: Deployment) -> dict[str, Any]:
    return _row(deployments, deployment)


def deployment(row: sa.RowMapping, in_force: int | None) -> Deployment:
    found = Deployment(**_fields(row, "in_force"))
    return replace(found, is_in_force=found.number == in_force)


def retraining_row(retraining: Retraining) -> dict[str, Any]:
    return _row(retrainings, retraining) | {"status": retraining.status.value}


def retraining(row: sa.RowMapping) -> Retraining:
    return Retraining(**(_fields(row) | {"status": RetrainingStatus(row["status"])}))


def finding_row(finding: Finding) -> dict[str, Any]:
    return _row(findings, finding) | {"level": finding.level.value, "version": finding.version or 0}


def finding(row: sa.RowMapping) -> Finding:
    values = _fields(row, "is_newest")
    return Finding(**(values | {"level": Level(row["level"]), "version": row["version"] or None}))


def progress_row(kept: Progress, cause: Cause) -> dict[str, Any]:
    return _row(progress, kept) | changed(cause)


def one_progress(row: sa.RowMapping) -> Progress:
    return Progress(**_fields(row, "changed_at", "changed_by"))
