"""Versions of models, their aliases, and the routes that say which of them answer."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"

Time = sa.DateTime(timezone=True)
Json = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    _versions()
    _aliases()
    _routes()


def _versions() -> None:
    op.create_table(
        "versions",
        sa.Column("loop", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("files", Json, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("metric", sa.Text, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("lineage", Json, nullable=False),
        sa.Column("notes", sa.Text, nullable=False),
        sa.Column("tags", Json, nullable=False),
    )
    op.create_index("one_version_per_bundle", "versions", ["loop", "digest"], unique=True)


def _aliases() -> None:
    op.create_table(
        "aliases",
        sa.Column("loop", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["loop", "number"], ["versions.loop", "versions.number"]),
    )


def _routes() -> None:
    op.create_table(
        "routes",
        sa.Column("loop", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("arms", Json, nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
    )
