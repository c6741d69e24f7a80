"""A plan as one asks for it in words: another plan with some of its parts changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from typing import Any

from loopwright.errors import UsageError
from loopwright.rollout.plan import AB, Canary, Now, Plan, Shadow

KINDS: Mapping[str, type[Plan]] = {"canary": Canary, "ab": AB, "shadow": Shadow, "now": Now}


def changed(plan: Plan, kind: str | None, given: Mapping[str, Any]) -> Plan:
    """The plan with what is given, which is checked as in a loop file; of another kind, that kind's own defaults.

    Raises UsageError for a part that the kind has not, DeclarationError for what cannot be.

    >>> changed(Canary(hold="2h"), None, {"shares": [0.5, 1.0]}).hold.total_seconds()
    7200.0
    """
    wanted = KINDS[kind] if kind else type(plan)
    parts = {one.name for one in fields(wanted)}
    for name in given:
        if name not in parts:
            raise UsageError(
                f"a plan of the kind {wanted.__name__} has no {name.replace('_', '-')}",
                fix=f"leave it out, or choose another plan: --plan {' or '.join(KINDS)}",
            )
    kept = {name: _as_written(getattr(plan, name)) for name in parts} if isinstance(plan, wanted) else {}
    making: Any = wanted
    made: Plan = making(**(kept | dict(given)))
    return made


def _as_written(value: object) -> object:
    if not isinstance(value, timedelta):
        return value
    return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
