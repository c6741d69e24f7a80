"""What the page of a release tells, and the replay of its moves: by whom it ended, and what is known too little of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.street import LOOP, Street

from loopwright.core.event import Event
from loopwright.evidence.sequence import Moments
from loopwright.rollout import by_hand, replaying
from loopwright.rollout.page import page
from loopwright.rollout.plan import AB, Now
from loopwright.rollout.replaying import replayed
from loopwright.rollout.state import Compared, Status


@pytest.fixture
def street(tmp_path: Path) -> Street:
    return Street(tmp_path / "made")


@pytest.mark.parametrize(("because", "told"), [("", ""), ("the fair is today", ": the fair is today")])
def test_a_release_that_a_promotion_overtook_tells_by_whom_and_why(street: Street, because: str, told: str) -> None:
    third = street.works.version().number
    street.start()
    by_hand.promote(street.stores, LOOP, f"v{third}", street.cause("bob"), because=because)
    found = page(street.standing(), street.clock.now())
    assert found.state.ended is Status.ABORTED
    assert [(one.verdict.value, one.share) for one in found.decisions[1:]] == [("overtaken", 0.0)]
    assert found.decisions[-1].reason == f"bob promoted {LOOP} v{third} by hand{told}"
    assert [one.told for one in replayed(street.stores, found.release)] == ["the same", "by hand"]
    assert found.state.moves == 2


def test_a_release_that_was_overtaken_behind_its_back_tells_who_changed_the_route(street: Street) -> None:
    from loopwright.registry.promote import promote

    street.start()
    promote(street.stores, LOOP, "v1", street.cause("bob"))
    street.reconciler.reconcile()
    assert page(street.standing(), street.clock.now()).decisions[-1].reason.startswith("bob changed the route: ")


def test_every_outcome_of_a_plan_has_a_line_before_its_values_are_enough(street: Street) -> None:
    street.start(AB(share=0.5, bigger_is_better=["revenue"], smaller_is_better=["refunds"]))
    standing = street.standing()
    found = page(standing, street.clock.now())
    assert found.outcomes == [
        "revenue: too few mature values yet (0 of v2, 0 of v1)",
        "refunds: too few mature values yet (0 of v2, 0 of v1)",
    ]
    one = Compared(name="revenue", challenger=Moments().add([2.0]), champion=Moments().add([1.0, 2.0, 3.0]))
    some = page(replace(standing, state=replace(standing.state, outcomes=(one,))), street.clock.now())
    assert some.outcomes == [
        "revenue: too few mature values yet (1 of v2, 3 of v1)",
        "refunds: too few mature values yet (0 of v2, 0 of v1)",
    ]


def test_a_move_that_other_code_told_in_other_words_is_the_same_and_by_the_same_code_it_is_not(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = street.start(Now())
    (moved,) = street.moves()

    def told(code: str, **changed: object) -> str:
        decision = {**moved.data["decision"], "reason": "v2 begins", "code": code, **changed}
        forged: Event = replace(moved, data={**moved.data, "decision": decision})
        monkeypatch.setattr(replaying, "_moves", lambda *_given: [forged])
        return replayed(street.stores, release)[0].difference

    assert told("0" * 16) == ""
    assert told("0" * 16, share=0.5) == "share was 0.5 and is 1.0"
    assert "reason was 'v2 begins'" in told(moved.data["decision"]["code"])
