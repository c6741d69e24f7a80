"""A decision, decided again from what was stored with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from loopwright.core.plain import plain, restored
from loopwright.errors import DataError
from loopwright.rollout.controller import decide
from loopwright.rollout.decision import Decision
from loopwright.rollout.facts import Facts
from loopwright.rollout.plan import Plan, from_spec
from loopwright.rollout.state import ReleaseState


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One decision with all that led to it."""

    plan: Plan
    before: ReleaseState
    facts: Facts
    decision: Decision

    @classmethod
    def of(cls, plan: Plan, before: ReleaseState, facts: Facts, decision: Decision) -> Record:
        """Without the decisions before, which have records of their own."""
        return cls(plan=plan, before=replace(before, decisions=()), facts=facts, decision=decision)

    def to_dict(self) -> dict[str, Any]:
        told = {name: plain(getattr(self, name)) for name in ("before", "facts", "decision")}
        return {"plan": plan_to_dict(self.plan), **told}

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Record:
        """Raises `DataError` for what `to_dict` did not make."""
        if set(found) != {"plan", "before", "facts", "decision"}:
            raise DataError("this is no record of a decision", fix="give what Record.to_dict() made")
        return cls(
            plan=plan_from_dict(found["plan"]),
            before=restored(ReleaseState, found["before"]),
            facts=restored(Facts, {"skewed": "", **found["facts"]}),
            decision=restored(Decision, found["decision"]),
        )


def replay(record: Record) -> Decision:
    """What the code of today decides: equal to `record.decision`, unless the rules have changed, which `code` tells."""
    return decide(record.plan, record.before, record.facts)[1]


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """
    >>> from loopwright.rollout.plan import Canary
    >>> plan_from_dict(plan_to_dict(Canary(hold="2h"))) == Canary(hold="2h")
    True
    """
    return {"kind": type(plan).__name__, **plain(plan)}


def plan_from_dict(found: dict[str, Any]) -> Plan:
    """Raises `DataError` for what is no plan."""
    rest = dict(found)
    return from_spec({"plan": str(rest.pop("kind", "")), "fields": rest})
