"""The controller of releases: what takes back, what holds, what goes on, and that it fails closed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.releasing import CALM, HOUR, NOON, at_share, events, seen, started, step

import loopwright as lw
from loopwright.errors import DataError, DeclarationError
from loopwright.evidence.sequence import Moments
from loopwright.rollout.absorb import absorb
from loopwright.rollout.controller import begin, decide
from loopwright.rollout.course import BUDGET, UNHEARD, course
from loopwright.rollout.decision import Verdict
from loopwright.rollout.facts import Asked, Counts, Events, Facts, Move, Outcome, Paired, Row, Split
from loopwright.rollout.plan import AB, Canary, Now, Plan, Shadow
from loopwright.rollout.replay import Record, plan_from_dict, plan_to_dict, replay
from loopwright.rollout.state import SHADOW, Holding, ReleaseState, Status

ASKED = {move: Asked(move=move, actor="ann", reason="because") for move in Move}


def test_a_good_version_goes_through_all_stages_and_the_champion_stays_warm() -> None:
    state, shares = started(), [0.01]
    while state.ended is None:
        state, decision = step(state, hours=24)
        shares.append(decision.share)
    assert shares == [0.01, 0.1, 0.5, 0.99, 1.0]
    assert [one.verdict for one in state.decisions] == [
        *(Verdict.BEGIN, Verdict.RAMP, Verdict.RAMP, Verdict.PROMOTE, Verdict.FINISH)
    ]
    assert state.status is Status.PROMOTED
    assert "v1 stays warm with 1 %" in state.decisions[3].reason


def test_a_release_that_has_ended_stays_as_it_is() -> None:
    state = step(started(), asked=ASKED[Move.ABORT])[0]
    again, decision = step(state, crashes=9)
    assert again == state
    assert (decision.verdict, decision.share) == (Verdict.STAY, 0.0)


def test_the_alpha_budget_is_spent_once() -> None:
    assert sum(BUDGET.values()) == pytest.approx(1)
    follows = course(Canary(alpha=0.05, bigger_is_better=["revenue"], smaller_is_better=["refunds"]))
    shared = [follows.outcome_alpha(stage.share) for stage in follows.stages]
    assert sum(shared) * 2 == pytest.approx(0.005)
    assert [follows.alpha_of(name) for name in BUDGET] == pytest.approx([0.015, 0.01, 0.005, 0.015, 0.005])
    beside = course(Canary(shadow="1d", alpha=0.05))
    assert sum(beside.alpha_of(name) * (2 if name in UNHEARD else 1) for name in BUDGET) == pytest.approx(0.05)
    assert course(Shadow()).alpha_of("mistakes") == pytest.approx(0.015)


def test_the_reason_tells_of_the_moment_at_which_the_evidence_was_enough() -> None:
    """However much else came with the same labels."""
    first, last = events("mistakes", 0.1, canary=5), events("mistakes", 0.1, champion=45)
    both = replace(first, shares=first.shares + last.shares, canary=first.canary + last.canary)
    _, decision = step(at_share(0.1), hours=0.01, events=(both,))
    assert decision.verdict is Verdict.ROLL_BACK
    assert "is wrong more often: 3 events where 0.0 were to be expected" in decision.reason


def test_a_label_of_the_shadow_that_comes_in_the_ramp_counts() -> None:
    late = (Paired(guardrail="mistakes", challenger=40, champion=5),)
    state, decision = step(started(), hours=0.01, paired=late)
    assert (decision.verdict, state.stage) == (Verdict.ROLL_BACK, 0)
    assert "on the same requests: 40 times it alone, 5 times the champion alone" in decision.reason


WORSE: list[tuple[dict[str, Any], str]] = [
    ({"events": (events("errors", 0.01, canary=3, champion=3),)}, "fails more often: 3 events where 0.0"),
    ({"events": (events("slow", 0.01, canary=4, champion=9),)}, "is slow more often"),
    ({"events": (events("invalid", 0.01, canary=4),)}, "invalid predictions more often"),
    ({"events": (events("mistakes", 0.01, canary=30, champion=400),)}, "is wrong more often"),
    ({"row": Row(successes=90, failures=5, longest=5)}, "failed 5 times in a row"),
    ({"row": Row(failures=20, begins=2, ends=2, longest=4)}, "answered none of its first 20"),
    ({"crashes": 3}, "crashed 3 times"),
]


@pytest.mark.parametrize(("changed", "reason"), WORSE, ids=[reason for _, reason in WORSE])
def test_a_worse_version_is_taken_back_at_once_and_the_reason_is_told(changed: dict[str, Any], reason: str) -> None:
    state, decision = step(started(), hours=0.01, **changed)
    assert (decision.verdict, decision.share, state.status) == (Verdict.ROLL_BACK, 0.0, Status.ROLLED_BACK)
    assert reason in decision.reason


def test_evidence_counts_wherever_in_a_batch_it_was_enough() -> None:
    """At the end of this batch the canary looks harmless."""
    one = events("errors", 0.5, canary=12)
    calm = events("errors", 0.5, champion=300)
    batch = events("errors", 0.5, canary=12, champion=0)
    joined = type(batch)(guardrail="errors", shares=one.shares + calm.shares, canary=one.canary + calm.canary)
    assert step(at_share(0.5), hours=0.1, events=(joined,))[1].verdict is Verdict.ROLL_BACK


def test_however_events_are_cut_into_facts_the_evidence_is_the_same() -> None:
    shares, arms = (0.01, 0.01, 0.1, 0.1, 0.5, 0.5) * 9, (True, False, False) * 18
    whole = Events(guardrail="errors", shares=shares, canary=arms)
    parts = [
        Events(guardrail="errors", shares=(share,), canary=(arm,)) for share, arm in zip(shares, arms, strict=True)
    ]
    state = started()
    none: dict[str, Any] = {"now": NOON, "requests": Counts(canary=900, champion=900)}
    at_once = absorb(course(CALM), state, Facts(events=(whole,), **none))
    one_by_one = absorb(course(CALM), state, Facts(events=tuple(parts), **none))
    assert one_by_one.guard("errors").worse == at_once.guard("errors").worse
    assert one_by_one.guard("errors").is_worse == at_once.guard("errors").is_worse
    assert one_by_one.guard("errors").expected == pytest.approx(at_once.guard("errors").expected)


def test_what_is_sure_but_tiny_takes_nothing_back() -> None:
    """Two events, where the share makes them weigh: below three, and below a thousandth of the requests."""
    few = events("errors", 0.01, canary=2)
    assert step(started(), hours=0.1, events=(few,))[1].verdict is Verdict.STAY
    rare = step(started(), hours=0.1, events=(few,), requests=Counts(canary=900, champion=90_000))
    assert rare[1].verdict is Verdict.ROLL_BACK


def test_failures_count_over_batches_and_not_while_the_champion_fails_as_well() -> None:
    failing: dict[str, Any] = {
        "row": Row(failures=3, begins=3, ends=3, longest=3),
        "champion_row": Row(successes=99, failures=1),
    }
    state, decision = step(started(), hours=0.1, **failing)
    assert decision.verdict is Verdict.STAY
    assert step(state, hours=0.2, **failing)[1].reason == "v2 failed 6 times in a row"
    outage = failing | {"champion_row": Row(successes=10, failures=90)}
    assert step(state, hours=0.2, **outage)[1].verdict is Verdict.STAY


def test_one_broken_client_is_no_broken_version() -> None:
    again = Row.of([("ann", True), *[("bob", False)] * 9, ("cid", True)])
    assert (again.longest, again.failures, again.successes) == (1, 1, 2)


def test_nothing_is_proven_without_data() -> None:
    """A year without a request, and one in which nothing could be read."""
    silent = Facts(now=NOON + timedelta(days=3), known_until=NOON + timedelta(days=3))
    state, decision = decide(CALM, started(), silent)
    assert (decision.verdict, state.status) == (Verdict.HOLD, Status.HOLDING)
    assert "no request came to v2" in decision.reason
    unread, decision = decide(CALM, started(), Facts(now=NOON + HOUR))
    assert [hold.kind for hold in unread.holds] == [Holding.SILENCE, Holding.TRAFFIC]


HOLDS: list[tuple[dict[str, Any], Holding]] = [
    ({"known_until": None}, Holding.SILENCE),
    ({"known_until": NOON}, Holding.SILENCE),
    ({"score_drift": "scores of v2 are higher"}, Holding.SCORES),
    ({"units": (Split(share=0.01, units=Counts(canary=300, champion=9_700)),)}, Holding.RATIO),
    ({"asked": ASKED[Move.HOLD]}, Holding.ASKED),
    ({"hours": 24 * 8}, Holding.PATIENCE),
]


@pytest.mark.parametrize(
    ("changed", "kind"), HOLDS, ids=[f"{index} {kind.value}" for index, (_, kind) in enumerate(HOLDS)]
)
def test_what_holds_takes_nothing_back_and_lets_nothing_on(changed: dict[str, Any], kind: Holding) -> None:
    state, decision = step(started(), **changed)
    assert [hold.kind for hold in state.holds] == [kind]
    assert (decision.verdict, decision.share, state.status) == (Verdict.HOLD, 0.01, Status.HOLDING)
    again, decision = step(state, **(changed | {"asked": None, "units": ()}))
    assert (decision.verdict, again.status) == (Verdict.STAY, Status.HOLDING)
    worse = step(state, crashes=3)[1]
    assert worse.verdict is Verdict.ROLL_BACK


def test_a_hold_ends_with_its_cause_or_when_somebody_resumes() -> None:
    silent = step(started(), known_until=None)[0]
    resumed, decision = step(silent)
    assert (decision.verdict, resumed.status) == (Verdict.RESUME, Status.RAMPING)
    assert step(resumed)[1].verdict is Verdict.RAMP
    held = step(started(), asked=ASKED[Move.HOLD])[0]
    state, decision = step(held, asked=ASKED[Move.RESUME])
    assert decision.reason == "resume asked by ann: because"
    assert step(state)[1].verdict is Verdict.RAMP


def test_what_somebody_resumed_in_spite_of_is_overlooked_in_this_stage() -> None:
    drifted = step(started(), score_drift="higher")[0]
    state = step(drifted, score_drift="higher", asked=ASKED[Move.RESUME])[0]
    state, decision = step(state, score_drift="higher")
    assert decision.verdict is Verdict.RAMP
    assert step(state, score_drift="higher")[1].verdict is Verdict.HOLD


def test_a_stage_is_left_by_proof_or_where_events_are_too_rare_by_requests() -> None:
    few: dict[str, Any] = {"requests": Counts(canary=150, champion=15_000)}
    assert step(started(), **few)[1].reason == "50 more requests in this stage"
    proof = events("errors", 0.01, champion=150)
    none = [events(name, 0.01, champion=150) for name in ("slow", "invalid", "mistakes")]
    assert step(started(), **few, events=(proof, *none))[1].verdict is Verdict.RAMP
    undecided = events("errors", 0.01, canary=7, champion=300)
    decision = step(started(), events=(undecided,))[1]
    assert decision.reason == "errors: that they are 5 times as many is not refuted yet"


def test_a_proof_from_before_leaves_no_stage_that_saw_nothing() -> None:
    proofs = tuple(events(name, 0.01, champion=5_000) for name in ("errors", "slow", "invalid", "mistakes"))
    state = step(started(), events=proofs)[0]
    assert step(state, requests=Counts(canary=19, champion=99))[1].reason == "1 more request in this stage"
    assert step(state, requests=Counts(canary=20, champion=99))[1].verdict is Verdict.RAMP


def test_time_alone_and_a_clock_that_jumps_move_nothing() -> None:
    state = started()
    assert step(state, hours=0.99)[1].verdict is Verdict.STAY
    assert step(state, hours=-1)[1].verdict is Verdict.STAY
    assert step(state, hours=-24 * 365)[1].verdict is Verdict.HOLD
    assert step(state, hours=24 * 365)[1].verdict is Verdict.HOLD


def test_the_shadow_is_compared_on_the_same_requests() -> None:
    plan = Canary(shadow="1d", hold="1h")
    state = started(plan)
    assert (state.status, state.stage, state.share) == (Status.SHADOW, SHADOW, 0.0)
    unheard = {"requests": Counts(champion=5_000), "scored": 5_000, "row": Row()}
    worse = Paired(guardrail="mistakes", challenger=120, champion=60)
    ended, decision = step(state, plan, 3, **unheard, paired=(worse,))
    assert "120 times it alone, 60 times the champion alone" in decision.reason
    assert (ended.status, decision.shadows) == (Status.ROLLED_BACK, False)
    alike = Paired(guardrail="mistakes", challenger=60, champion=62)
    state, decision = step(state, plan, 3, **unheard, paired=(alike,))
    assert (decision.verdict, decision.shadows) == (Verdict.STAY, True)
    assert step(state, plan, 24, **unheard)[1].share == 0.01


def test_a_shadow_nobody_asked_anything_is_not_left() -> None:
    plan = Canary(shadow="1d")
    few: dict[str, Any] = {"requests": Counts(), "row": Row()}
    assert step(started(plan), plan, 24, **few)[1].verdict is Verdict.HOLD
    assert step(started(plan), plan, 24, **few, scored=199)[1].reason == "1 more request, scored unheard"


def test_labels_that_come_after_the_promotion_still_take_it_back() -> None:
    state = started()
    while not state.watches:
        state = step(state)[0]
    late = events("mistakes", 0.5, canary=120, champion=40)
    state, decision = step(state, events=(late,))
    assert (decision.verdict, state.status, decision.share) == (Verdict.ROLL_BACK, Status.ROLLED_BACK, 0.0)


def test_an_ab_test_tells_and_asks_and_its_guardrails_take_back() -> None:
    plan = AB(share=0.5, lasts="2d", bigger_is_better=["revenue"])
    alike = Outcome(
        name="revenue",
        share=0.5,
        challenger=Moments(count=5_000, mean=10.0, squares=5_000.0),
        champion=Moments(count=5_000, mean=10.0, squares=5_000.0),
    )
    state, decision = step(started(plan), plan, 48, outcomes=(alike,))
    assert [hold.kind for hold in state.holds] == [Holding.OVER]
    (told,) = decision.intervals
    assert told.low is not None
    assert told.high is not None
    assert told.low < 0 < told.high
    assert step(state, plan, 49, asked=ASKED[Move.PROMOTE])[0].status is Status.PROMOTED
    lower = Outcome(
        name="revenue", share=0.5, challenger=Moments(count=5_000, mean=9.0, squares=5_000.0), champion=alike.champion
    )
    assert "revenue is lower with v2" in step(started(plan), plan, 1, outcomes=(lower,))[1].reason
    assert step(started(plan), plan, 1, crashes=3)[1].verdict is Verdict.ROLL_BACK


def test_outcomes_of_arms_unlike_in_size_and_of_other_stages_conclude_nothing() -> None:
    plan = Canary(hold="1h", shares=[0.01, 0.5, 1.0], smaller_is_better=["refunds"])
    worse = {
        "challenger": Moments(count=5_000, mean=9.0, squares=5_000.0),
        "champion": Moments(count=5_000, squares=5_000.0),
    }
    small = Outcome(name="refunds", share=0.01, **worse)
    half = Outcome(name="refunds", share=0.5, **worse)
    state, decision = step(started(plan), plan, outcomes=(small,))
    assert decision.verdict is Verdict.RAMP
    state, decision = step(state, plan, hours=0.5, outcomes=(small,))
    assert decision.verdict is Verdict.STAY
    assert "refunds is higher" in step(state, plan, outcomes=(half,))[1].reason


def test_a_shadow_alone_touches_nobody_and_now_is_now() -> None:
    state, decision = step(started(Shadow(lasts="1d")), Shadow(lasts="1d"), 24, scored=900)
    assert (decision.verdict, decision.share, state.status) == (Verdict.HOLD, 0.0, Status.HOLDING)
    state, decision = begin(Now(), loop="late", challenger=2, champion=1, at=NOON)
    assert (decision.verdict, decision.share, state.status) == (Verdict.PROMOTE, 1.0, Status.PROMOTED)
    assert decision.reason == "v2 answers at once, on the gates alone"
    warm = begin(Canary(shares=[1.0], watch="1d"), loop="late", challenger=2, champion=1, at=NOON)[1]
    assert warm.reason == "v2 answers at once, on the gates alone; v1 stays warm with 1 %"
    first = begin(CALM, loop="late", challenger=1, champion=None, at=NOON)[1]
    assert (first.verdict, first.reason) == (Verdict.PROMOTE, "there is no champion to compare with")


def test_a_person_may_promote_over_what_is_lacking_but_not_over_evidence() -> None:
    state, decision = step(started(), hours=0.1, asked=ASKED[Move.PROMOTE])
    assert (decision.share, state.status) == (0.99, Status.WATCHING)
    broken = step(started(), hours=0.1, asked=ASKED[Move.PROMOTE], crashes=3)[0]
    assert broken.status is Status.ROLLED_BACK


PLANS: dict[str, Plan] = {
    "canary": Canary(shadow="90min", hold="2h", watch="3d", bigger_is_better=["revenue"]),
    "ab": AB(share=0.3, smaller_is_better=["refunds"], unlike="hold"),
    "shadow": Shadow(lasts="1.5d"),
    "now": Now(),
}


@pytest.mark.parametrize("name", PLANS)
def test_plans_cross_json_and_stand_in_a_loop(name: str) -> None:
    plan = PLANS[name]
    assert plan_from_dict(json.loads(json.dumps(plan_to_dict(plan)))) == plan
    table = lw.Table("flights", key="id", time="at", label="late")

    def train(data: object) -> None: ...

    assert lw.Loop(name="late", table=table, train=train, judge=lw.Judge("roc_auc"), release=plan).release == plan


WRONG: dict[str, Any] = {
    "share=1": lambda: lw.AB(share=1),
    "share=True": lambda: lw.AB(share=True),
    "lasts='2'": lambda: lw.AB(lasts="2"),
    "revenue both ways": lambda: lw.AB(bigger_is_better=["revenue"], smaller_is_better=["revenue"]),
    "outcomes='revenue'": lambda: lw.Canary(bigger_is_better="revenue"),
    "patience before hold": lambda: lw.Canary(hold="2d", patience="1d"),
    "hold_back=0.5": lambda: lw.Canary(hold_back=0.5),
    "alpha=5": lambda: lw.Canary(alpha=5),
    "unlike='wait'": lambda: lw.Canary(unlike="wait"),  # type: ignore[arg-type]
    "unlike=True": lambda: lw.AB(unlike=True),  # type: ignore[arg-type]
    "unlike=None": lambda: lw.Shadow(unlike=None),  # type: ignore[arg-type]
    "lasts=1": lambda: lw.Shadow(lasts=1),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", WRONG)
def test_a_plan_that_cannot_be_is_refused_where_it_is_declared(what: str) -> None:
    with pytest.raises(DeclarationError) as raised:
        WRONG[what]()
    assert raised.value.fix


def test_a_record_is_decided_again_to_the_same() -> None:
    cases: list[tuple[ReleaseState, dict[str, Any]]] = [
        *((started(), changed) for changed, _ in WORSE),
        *((started(), changed) for changed, _ in HOLDS),
        (started(), {}),
        (at_share(0.5), {"outcomes": (Outcome(name="a", share=0.5, challenger=Moments(), champion=Moments()),)}),
    ]
    for before, changed in cases:
        facts = seen(before, **changed)
        record = Record.of(CALM, before, facts, decide(CALM, before, facts)[1])
        stored = Record.from_dict(json.loads(json.dumps(record.to_dict())))
        assert stored == record
        assert replay(stored) == record.decision
        assert replay(stored).code == record.decision.code


def test_what_is_no_state_no_record_and_no_guardrail_is_refused() -> None:
    state = started().to_dict()
    for found in (
        state | {"format": 2},
        state | {"strange": 1},
        {},
        state | {"share": "much"},
        state | {"ended": "so"},
    ):
        with pytest.raises(DataError):
            ReleaseState.from_dict(found)
    with pytest.raises(DataError):
        Record.from_dict({"plan": {}})
    with pytest.raises(DataError, match="no plan 'Wish'"):
        plan_from_dict({"kind": "Wish"})
    with pytest.raises(DataError, match="did you mean 'errors'"):
        step(started(), events=(events("error", 0.01, canary=1),))
