"""What keeps a loop turning: releases, deployments, retrainings, findings, progress, and who leads."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"

Time = sa.DateTime(timezone=True)
Json = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    _releases()
    _deployments()
    _retrainings()
    _findings()
    _progress()
    op.create_index("events_by_kind", "events", ["kind", "number"])


def _releases() -> None:
    op.create_table(
        "releases",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("loop", sa.Text, nullable=False),
        sa.Column("challenger", sa.Integer, nullable=False),
        sa.Column("champion", sa.Integer),
        sa.Column("plan", Json, nullable=False),
        sa.Column("state", Json, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("route", sa.Integer),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("ended_at", Time),
        sa.Column("changed_at", Time, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["loop", "challenger"], ["versions.loop", "versions.number"]),
    )
    op.create_index("releases_by_loop", "releases", ["loop", "created_at", "id"])
    _at_most_one("one_unended_release_per_loop", "releases", "ended_at IS NULL")


def _deployments() -> None:
    op.create_table(
        "deployments",
        sa.Column("loop", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("settings", Json, nullable=False),
        sa.Column("spec", Json, nullable=False),
        sa.Column("git_commit", sa.Text),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
    )
    op.create_table(
        "deployed",
        sa.Column("loop", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["loop", "number"], ["deployments.loop", "deployments.number"]),
    )


def _retrainings() -> None:
    op.create_table(
        "retrainings",
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
        sa.Column("created_at", Time, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("finished_at", Time),
    )
    op.create_index("retrainings_by_loop", "retrainings", ["loop", "created_at", "id"])
    op.create_index("one_retraining_per_cause", "retrainings", ["loop", "cause"], unique=True)
    _at_most_one("one_unfinished_retraining_per_loop", "retrainings", "finished_at IS NULL")


def _findings() -> None:
    op.create_table(
        "findings",
        sa.Column("loop", sa.Text, primary_key=True),
        sa.Column("monitor", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("since", Time, primary_key=True),
        sa.Column("until", Time, primary_key=True),
        sa.Column("known_at", Time, nullable=False),
        sa.Column("level", sa.Text, nullable=False),
        sa.Column("measure", sa.Text, nullable=False),
        sa.Column("number", sa.Double),
        sa.Column("limit", sa.Double),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", Json, nullable=False),
        sa.Column("is_newest", sa.Boolean, nullable=False),
    )
    op.create_index("findings_by_window", "findings", ["loop", "until"])
    is_newest = sa.text("is_newest")
    names = ["loop", "monitor", "subject"]
    op.create_index("newest_findings", "findings", names, sqlite_where=is_newest, postgresql_where=is_newest)


def _progress() -> None:
    op.create_table(
        "progress",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", Json, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("changed_at", Time, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
    )
    op.create_table(
        "leaders",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("ends_at", Time, nullable=False),
    )


def _at_most_one(name: str, table: str, where: str) -> None:
    """Of a loop, among those that have not come to their end."""
    condition = sa.text(where)
    op.create_index(name, table, ["loop"], unique=True, sqlite_where=condition, postgresql_where=condition)
