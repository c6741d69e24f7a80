"""All stores on one database, with content beside it."""

from __future__ import annotations

from loopwright.core.stores import Blobs, Stores
from loopwright.store.artifacts import SqlArtifacts
from loopwright.store.database import Database
from loopwright.store.deployments import SqlDeployments
from loopwright.store.events import SqlEvents
from loopwright.store.executions import SqlExecutions
from loopwright.store.findings import SqlFindings
from loopwright.store.keys import SqlApiKeys
from loopwright.store.leaders import SqlLeaders
from loopwright.store.progress import SqlProgresses
from loopwright.store.releases import SqlReleases
from loopwright.store.retrainings import SqlRetrainings
from loopwright.store.routes import SqlRoutes
from loopwright.store.runs import SqlRuns
from loopwright.store.versions import SqlVersions


def sql_stores(database: Database, blobs: Blobs) -> Stores:
    return Stores(
        runs=SqlRuns(database),
        executions=SqlExecutions(database),
        artifacts=SqlArtifacts(database),
        versions=SqlVersions(database),
        routes=SqlRoutes(database),
        releases=SqlReleases(database),
        deployments=SqlDeployments(database),
        retrainings=SqlRetrainings(database),
        findings=SqlFindings(database),
        progress=SqlProgresses(database),
        leaders=SqlLeaders(database),
        keys=SqlApiKeys(database),
        events=SqlEvents(database),
        blobs=blobs,
    )
