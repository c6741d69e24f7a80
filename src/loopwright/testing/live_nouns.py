"""Releases, deployments, retrainings and findings to test with."""

from __future__ import annotations

from loopwright.core.deployment import Deployment
from loopwright.core.finding import Finding, Level
from loopwright.core.release import Release
from loopwright.core.retraining import Retraining, RetrainingStatus
from loopwright.core.stores import Stores
from loopwright.core.version import CHAMPION, Route
from loopwright.testing.conformance import a_route, a_version, at, cause


def a_release(
    name: str = "release-1", *, loop: str = "flights", challenger: int = 2, champion: int | None = 1, seconds: float = 0
) -> Release:
    return Release(
        id=name,
        loop=loop,
        challenger=challenger,
        champion=champion,
        plan={"shares": [0.01, 0.1], "hold": 3600.0},
        state={"stage": 0, "log": -1.2345678901234567, "seen": ["ÜA"], "open": None},
        status="shadow",
        route=None,
        created_at=at(seconds),
        created_by="tester",
    )


def a_deployment(code: str = "code-1", *, loop: str = "flights", seconds: float = 0) -> Deployment:
    return Deployment(
        loop=loop,
        file="loops/flights.py",
        code=code,
        environment="environment-1",
        settings={"workers": 2, "pii": "drop"},
        spec={"loop": loop, "table": {"name": "flights", "key": ["id"]}, "release": None},
        git_commit="abc123",
        created_at=at(seconds),
        created_by="tester",
    )


def a_retraining(name: str = "retraining-1", cause: str = "drift:2013-06-01", *, loop: str = "flights") -> Retraining:
    return Retraining(
        id=name,
        loop=loop,
        cause=cause,
        trigger="on_drift",
        reason="2 columns drifted",
        fine_tune=False,
        deployment=1,
        status=RetrainingStatus.CLAIMED,
        evidence={"columns": ["hour", "ÜA"], "psi": 0.31},
        created_at=at(0),
        created_by="tester",
    )


def a_finding(
    subject: str = "hour", *, day: int = 0, loop: str = "flights", monitor: str = "drift", version: int | None = 1
) -> Finding:
    """Of one day."""
    return Finding(
        loop=loop,
        monitor=monitor,
        subject=subject,
        version=version,
        since=at(day * 86400),
        until=at((day + 1) * 86400),
        known_at=at((day + 1) * 86400 + 60),
        level=Level.NOTICED,
        measure="psi",
        number=0.25,
        limit=0.2,
        reason="psi 0.25 of 0.2 over 12,000 rows",
        evidence={"rows": 12000, "interval": [0.21, 0.29]},
    )


def two_versions(stores: Stores, loop: str = "flights") -> Route:
    """A loop with two, and the first of them promoted."""
    for bundle in ("one", "two"):
        stores.versions.add(a_version(f"{loop} {bundle}", loop=loop), [], cause())
    return stores.routes.change(a_route((CHAMPION, 1, 1.0), loop=loop), {CHAMPION: 1}, cause(), None)


def ramp(share: float, loop: str = "flights") -> Route:
    return a_route((CHAMPION, 1, 1 - share), ("challenger", 2, share), loop=loop)
