"""Versions that answer no more: what alarmed of them is over, and what was kept of them is dropped."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from loopwright.core.finding import Finding, Level
from loopwright.core.version import Route
from loopwright.monitor.state import State, name_of
from loopwright.monitor.view import View

_OF_ALL = ("input", "drift")
"""Monitors that tell of every version together: how a column of theirs is called says nothing of versions."""
_VERSION = re.compile(r" v(\d+)$")
_BESIDE = re.compile(r" beside v(\d+) v\d+$")


def retired(before: State, after: State, route: Route, findings: Sequence[Finding]) -> frozenset[str]:
    """The names of all that was told of versions that neither stand in the route nor answered in a window whose labels
    still come. What is told of them in this very pass, as of an edge that follows late, stays until the next."""
    known = {*before.open, *before.alarmed, *before.settled, *after.settled}
    waited = (*before.pending, *after.pending)
    answering = {*(arm.version for arm in route.arms), *(number for one in waited for number in one.versions)}
    told_now = {name_of(one) for one in findings}
    return frozenset(name for name in known - told_now if versions_of(name) - answering)


def over(view: View, before: State, names: Collection[str]) -> Iterator[Finding]:
    """Of those that were not as they should be, that it is over."""
    for name in sorted({*before.open, *before.alarmed}.intersection(names)):
        monitor, _, about = name.partition("/")
        subject, _, version = about.rpartition(" v")
        gone = ", ".join(f"v{number}" for number in sorted(versions_of(name)) if not _answers(view, number))
        reason = f"{gone or f'v{version}'} answers no more"
        yield view.found(monitor, subject, Level.FINE, reason, measure="none", version=int(version))


def _answers(view: View, number: int) -> bool:
    return any(arm.version == number for arm in view.watched.route.arms)


def versions_of(name: str) -> frozenset[int]:
    """Whose answers it is about, as `state.name_of` writes it; both of two that are compared; empty for all together.

    >>> sorted(versions_of("quality/v2 beside v1 v2")), sorted(versions_of("skew/distance v3"))
    ([1, 2], [3])
    >>> versions_of("operation/errors"), versions_of("drift/engine v8")
    (frozenset(), frozenset())
    """
    if name.partition("/")[0] in _OF_ALL:
        return frozenset()
    found = (pattern.search(name) for pattern in (_VERSION, _BESIDE))
    return frozenset(int(one[1]) for one in found if one is not None)
