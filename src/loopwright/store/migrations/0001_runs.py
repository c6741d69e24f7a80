"""Runs, executions, artifacts, events."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

Time = sa.DateTime(timezone=True)
Json = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    _runs()
    _executions()
    _artifacts()
    _events()


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("parameters", Json, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("request_key", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("finished_at", Time),
        sa.Column("cancel_requested_at", Time),
        sa.Column("error", Json),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("expires_at", Time),
    )
    op.create_index("runs_by_time", "runs", ["created_at", "id"])
    op.create_index("runs_by_pipeline", "runs", ["pipeline", "created_at"])
    unfinished = sa.text("finished_at IS NULL")
    op.create_index(
        "one_unfinished_run_per_request",
        "runs",
        ["request_key"],
        unique=True,
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )


def _executions() -> None:
    op.create_table(
        "executions",
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("step", sa.Text, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("key", sa.Text),
        sa.Column("parameters", Json, nullable=False),
        sa.Column("inputs", Json, nullable=False),
        sa.Column("output", sa.Text),
        sa.Column("log", sa.Text),
        sa.Column("reused_from", sa.Text),
        sa.Column("token", sa.Integer),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("started_at", Time),
        sa.Column("finished_at", Time),
        sa.Column("wake_at", Time),
        sa.Column("seconds", sa.Double),
        sa.Column("peak_memory_bytes", sa.BigInteger),
        sa.Column("error", Json),
    )
    op.create_index("executions_by_key", "executions", ["key", "status"])
    op.create_index("executions_by_output", "executions", ["output"])


def _artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("step", sa.Text),
        sa.Column("parts", Json, nullable=False),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("data", Json, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("events_by_subject", "events", ["subject", "number"])
