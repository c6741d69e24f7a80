"""Leases get a table of their own: each remembers the code and environment its worker ran. Runs remember `--fresh`."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("token", sa.Integer, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("acquired_at", Time, nullable=False),
        sa.Column("expires_at", Time, nullable=False),
        sa.Column("code", sa.Text),
        sa.Column("environment", sa.Text),
        sa.Column("git_commit", sa.Text),
        sa.Column("git_diff", sa.Text),
    )
    op.execute(
        "INSERT INTO leases (run_id, token, holder, acquired_at, expires_at) "
        "SELECT id, token, holder, created_at, expires_at FROM runs WHERE holder IS NOT NULL AND expires_at IS NOT NULL"
    )
    op.add_column("runs", sa.Column("fresh", sa.Boolean, nullable=False, server_default=sa.false()))
    op.drop_column("runs", "holder")
    op.drop_column("runs", "expires_at")
