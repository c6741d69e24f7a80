"""Bring a database to the newest revision. Imported only when there is something to do.

A migration is a numbered file in `migrations/`; each runs inside the one transaction that its caller began, so that a
process killed in the middle leaves the old revision, and two processes that come at once migrate once.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from loopwright.store.database import MIGRATIONS


def revisions() -> Collection[str]:
    """All known revisions, newest first."""
    return [script.revision for script in _scripts().walk_revisions()]


def upgrade(connection: sa.Connection, to: str = "head") -> None:
    """Migrate within the connection's transaction."""
    scripts = _scripts()

    def steps(revision: object, _context: object) -> object:
        return scripts._upgrade_revs(to, revision)  # type: ignore[arg-type]

    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(connection=connection, transactional_ddl=False)
        environment.run_migrations()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS), version_locations=[str(MIGRATIONS)])
