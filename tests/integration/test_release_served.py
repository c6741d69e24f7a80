"""A release before a real gateway: what it predicts is read, and what is decided is followed within a second."""

from __future__ import annotations

from pathlib import Path

from tests.integration.released import CLOCK, LOOP, Released, asking

from loopwright.rollout.asking import ask
from loopwright.rollout.facts import Move
from loopwright.rollout.plan import Canary
from loopwright.rollout.replaying import replayed
from loopwright.rollout.state import Status

PLAN = Canary(hold="1h", shares=[0.5, 1.0])


def test_a_version_that_gives_no_numbers_is_taken_back_before_a_gateway(tmp_path: Path) -> None:
    with Released.serving(tmp_path) as served, asking(served.url) as asked:
        served.begin(1e30, PLAN)
        controller, begun = served.controller(), CLOCK.monotonic()
        while served.standing().state.ended is None and CLOCK.monotonic() - begun < 30:
            CLOCK.sleep(0.1)
            controller.reconcile()
        decided = CLOCK.monotonic()
        CLOCK.sleep(1.5)
    state = served.standing().state
    assert state.ended is Status.ROLLED_BACK
    assert "no number" not in state.decisions[-1].reason
    assert "v2" in state.decisions[-1].reason
    failed = [at for at, status, _ in asked.answers if status != 200]
    assert len(failed) > 20, "for three seconds after a change of route nothing counts"
    assert max(failed) - decided <= 1
    assert state.guard("errors").worse.champion == state.guard("invalid").worse.champion == 0
    assert all(one.is_same for one in replayed(served.opened.stores, served.opened.stores.releases.get(LOOP)))


def test_the_last_answer_of_a_version_that_is_taken_back_comes_within_a_second(tmp_path: Path) -> None:
    with Released.serving(tmp_path) as served, asking(served.url) as asked:
        served.begin(2.0, PLAN)
        begun = CLOCK.monotonic()
        while not any(version == 2 for _, _, version in asked.answers) and CLOCK.monotonic() - begun < 20:
            CLOCK.sleep(0.05)
        CLOCK.sleep(0.5)
        decided = CLOCK.monotonic()
        ask(served.opened.stores, LOOP, Move.ABORT, served.opened.cause("enough"))
        CLOCK.sleep(1.5)
    answered = [at for at, _, version in asked.answers if version == 2]
    assert len(answered) > 10
    assert max(answered) - decided <= 1
    assert {version for at, _, version in asked.answers if at > decided + 1} == {1}
