"""Releases over stores and a log: begun, ramped, promoted, taken back, held, asked, killed and resumed."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.street import LOOP, QUICK, Behaviour, Street

from loopwright.core.deployment import Deployment
from loopwright.core.plain import plain
from loopwright.core.version import Arm
from loopwright.errors import Conflict, DataError, LoopwrightError, ModelError, UsageError
from loopwright.predictions.journal import Line
from loopwright.registry.promote import rollback_target
from loopwright.rollout import by_hand, plan_by_hand
from loopwright.rollout.asking import ask
from loopwright.rollout.facts import Counts, Move
from loopwright.rollout.moving import Standing
from loopwright.rollout.page import page
from loopwright.rollout.plan import AB, Canary, Now, Shadow, from_spec, to_spec
from loopwright.rollout.reconciler import Releases
from loopwright.rollout.replaying import replayed
from loopwright.rollout.seen import Open, Seen
from loopwright.rollout.state import SHADOW, ReleaseState, Status
from loopwright.rollout.yardstick import Yardstick
from loopwright.testing.clock import START


@pytest.fixture
def street(tmp_path: Path) -> Street:
    return Street(tmp_path / "made")


def challenger(one_in: int) -> Behaviour:
    """Does badly at one request in so many."""
    return lambda number, arm: arm.version == 2 and number % one_in == 0


def both(one_in: int) -> Behaviour:
    return lambda number, _arm: number % one_in == 0


def ended(street: Street, passes: int = 20, **traffic: object) -> ReleaseState:
    """Hour after hour, until the release has ended."""
    for _ in range(passes):
        street.hour(2_200, **traffic)  # type: ignore[arg-type]
        street.reconciler.reconcile()
        if street.standing().state.ended:
            return street.standing().state
    raise AssertionError(f"it goes on: {street.standing().state.decisions[-1]}")


def test_a_version_that_is_no_worse_goes_from_the_shadow_all_the_way(street: Street) -> None:
    street.start(Canary(shadow="1h", hold="1h", shares=[0.049, 1.0], watch="2h", hold_back=0.05))
    assert street.arms() == [("champion", 1, 1.0), ("challenger", 2, 0.0)]
    seen = []
    for _ in range(9):
        street.hour(2_200, fails=both(50), errs=both(9))
        street.reconciler.reconcile()
        seen.append(street.arms())
    assert street.verdicts() == ["begin", "ramp", "promote", "finish"]
    assert [("champion", 1, 0.951), ("challenger", 2, 0.049)] in seen
    assert [("champion", 2, 0.95), ("former", 1, 0.05)] in seen
    assert street.arms() == [("champion", 2, 1.0)]
    assert street.standing().state.ended is Status.PROMOTED
    assert street.stores.versions.get(LOOP, "champion").number == 2


def test_a_canary_that_fails_is_taken_back_by_one_change_of_the_route(street: Street) -> None:
    street.start()
    begun = street.stores.routes.current(LOOP)
    assert begun is not None
    state = ended(street, fails=challenger(4))
    now = street.stores.routes.current(LOOP)
    assert now is not None
    assert (state.ended, now.number, street.arms()) == (Status.ROLLED_BACK, begun.number + 1, [("champion", 1, 1.0)])
    told = street.moves()[-1]
    assert told.data["verdict"] == "roll back"
    assert told.data["reason"] == told.cause.reason == now.reason
    assert "v2 fails more often" in told.cause.reason
    grounds = {one["name"]: one for one in told.data["decision"]["grounds"]}
    assert grounds["errors"]["canary"] >= 3 > grounds["errors"]["expected"]
    assert grounds["errors"]["log_e"] > 4.19


def test_a_version_that_answers_nothing_is_taken_back_after_a_handful_of_requests(street: Street) -> None:
    street.start()
    answered = 0
    for _ in range(400):
        street.clock.advance(10)
        street.request(f"unit-{street.asked}", fails=challenger(1))
        street.reconciler.reconcile()
        if street.standing().state.ended:
            break
        answered = street.standing().state.requests.canary
    assert "v2 fails more often: 3 events" in street.moves()[-1].cause.reason
    assert answered <= 5


def test_where_the_log_cannot_be_read_nothing_goes_on_and_nothing_is_promoted(street: Street) -> None:
    street.start()
    street.hour(5_000)
    street.log.is_readable = False
    street.reconciler.reconcile()
    street.clock.advance(6 * 3600)
    street.reconciler.reconcile()
    assert street.verdicts() == ["begin", "hold"]
    assert street.moves()[-1].cause.reason.startswith("what happened could not be read")
    street.log.is_readable = True
    street.reconciler.reconcile()
    assert street.verdicts() == ["begin", "hold", "resume"]
    street.reconciler.reconcile()
    assert street.verdicts()[-1] == "promote"


def test_a_release_without_traffic_holds(street: Street) -> None:
    street.start()
    street.clock.advance(3 * 3600)
    street.reconciler.reconcile()
    assert street.standing().state.status is Status.HOLDING
    assert "no request came to v2" in street.moves()[-1].cause.reason


def test_a_release_in_which_each_pass_is_another_process_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    told = []
    for forgets in (False, True):
        street = Street(tmp_path / f"made-{forgets}")
        street.start(Canary(shadow="1h", hold="1h", shares=[0.049, 1.0], watch="1h"))
        for hour in range(40):
            street.hour(900, hours=0.2, fails=both(50), errs=both(9), label=hour % 3 != 0)
            if forgets:
                street.reconciler = street.another()
            street.reconciler.reconcile()
        state = street.standing().state
        told.append((street.verdicts(), state.requests, state.guards, state.units, state.successes, state.scored))
    assert told[0] == told[1]
    assert told[0][0] == ["begin", "ramp", "promote", "finish"]


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
def test_a_controller_killed_around_any_write_goes_on_to_the_same_end(tmp_path: Path, is_before: bool) -> None:
    def run(folder: Path, kill_at: int | None) -> tuple[object, ...]:
        street = Street(folder)
        street.start(Canary(hold="1h", shares=[0.049, 1.0], watch="1h"))
        move, written = street.stores.releases.move, Counter[str]()

        def dying(*given: object) -> object:
            written["all"] += 1
            if written["all"] == kill_at and is_before:
                raise Killed
            found = move(*given)  # type: ignore[arg-type]
            if written["all"] == kill_at:
                raise Killed
            return found

        street.stores.releases.move = dying  # type: ignore[assignment, method-assign]
        for _ in range(5):
            street.hour(2_000, fails=both(40))
            try:
                street.reconciler.reconcile()
            except Killed:
                street.reconciler = street.another()
                street.reconciler.reconcile()
        state = street.standing().state
        return street.verdicts(), street.arms(), state.requests, state.guards, state.units

    whole = run(tmp_path / "whole", None)
    assert whole[1] == [("champion", 2, 1.0)]
    for kill_at in range(1, 6):
        assert run(tmp_path / f"{is_before}-{kill_at}", kill_at) == whole


def test_two_controllers_at_once_move_a_release_once(street: Street) -> None:
    street.start(Canary(hold="1h", shares=[0.049, 1.0], watch="1h"))
    controllers = [street.another() for _ in range(3)]
    for _ in range(6):
        street.hour(2_000)
        threads = [threading.Thread(target=one.reconcile) for one in controllers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert street.verdicts() == ["begin", "promote", "finish"]
    assert street.standing().state.requests.canary + street.standing().state.requests.champion <= street.asked


def test_of_two_hundred_promotions_at_once_one_wins(street: Street) -> None:
    street.start()
    wins, losses = list[Standing](), list[LoopwrightError]()
    barrier = threading.Barrier(200)

    def promote() -> None:
        barrier.wait()
        try:
            wins.append(ask(street.stores, LOOP, Move.PROMOTE, street.cause())[0])
        except (Conflict, UsageError) as error:
            losses.append(error)

    threads = [threading.Thread(target=promote) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(wins), len(losses)) == (1, 199)
    assert street.verdicts() == ["begin", "promote"]
    assert all("meanwhile" in one.what or "taken over already" in one.what for one in losses)


def test_of_two_promotions_at_once_one_wins_two_hundred_times(street: Street) -> None:
    won = Counter[int]()
    for number in range(200):
        street.clock.advance(1)
        street.start()
        barrier = threading.Barrier(2)

        def promote(number: int = number, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            with suppress(Conflict, UsageError):
                ask(street.stores, LOOP, Move.PROMOTE, street.cause())
                won[number] += 1

        threads = [threading.Thread(target=promote) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ask(street.stores, LOOP, Move.ABORT, street.cause())
    assert set(won.values()) == {1}
    assert len(won) == 200


def test_every_move_can_be_decided_again_from_its_event(street: Street) -> None:
    street.start()
    ask(street.stores, LOOP, Move.HOLD, street.cause(reason="lunch"))
    street.hour(200)
    street.reconciler.reconcile()
    ask(street.stores, LOOP, Move.RESUME, street.cause())
    ended(street, errs=both(10))
    again = replayed(street.stores, street.stores.releases.get(LOOP))
    assert [one.verdict for one in again] == street.verdicts()
    assert all(one.is_same and one.is_same_code for one in again)
    event = next(one for one in street.moves() if one.data["verdict"] == "promote")
    changed = {**event.data, "decision": {**event.data["decision"], "share": 0.5}}
    street.stores.events._state.events[event.number - 1] = replace(event, data=changed)  # type: ignore[attr-defined]
    other = replayed(street.stores, street.stores.releases.get(LOOP))
    assert [one.difference for one in other if not one.is_same] == ["share was 0.5 and is 0.95"]


def test_a_mistake_found_after_the_stage_moved_counts_with_the_share_of_its_time(street: Street) -> None:
    street.start(Canary(hold="1h", shares=[0.049, 0.5, 1.0], watch="1h"))
    street.clock.advance(10)
    early = [street.request(f"early-{number}", label=False) for number in range(300)]
    while street.standing().state.share < 0.5:
        street.hour(2_200)
        street.reconciler.reconcile()
    street.reconciler = street.another()
    late = [street.request("at-once", label=False)]
    street.clock.advance(2)
    late.append(street.request("a-moment-later", label=False))
    for ulid in [*early, *late]:
        street.label(ulid, False)
    street.reconciler.reconcile()
    guard = street.standing().state.guard("mistakes").worse
    assert guard.canary + guard.champion == 300
    expected = street.standing().state.guard("mistakes").expected
    assert expected == pytest.approx(guard.champion * 0.049 / 0.951)


def test_of_a_unit_only_the_first_failure_counts_and_who_chose_his_version_does_not(street: Street) -> None:
    street.start()
    street.clock.advance(10)
    for _ in range(30):
        street.request("always-the-same", fails=both(1))
    pinned = Arm(name="pinned", version=2, share=0)
    street._fail(street.ulids.next(), pinned, "another")
    street.reconciler.reconcile()
    state = street.standing().state
    worse = state.guard("errors").worse
    assert (worse.canary + worse.champion, state.requests.canary + state.requests.champion) == (1, 30)
    assert [one.units.canary + one.units.champion for one in state.units] == [1]


def test_labels_by_key_and_labels_that_come_before_their_prediction_count(street: Street) -> None:
    from loopwright.predictions.labels import Label

    street.start()
    street.clock.advance(10)
    early = street.ulids.next()
    street.label(early, False)
    street._answer(early, Arm(name="champion", version=1, share=0.951), "one", lambda *_: False)
    by_key = street.ulids.next()
    street._answer(by_key, Arm(name="champion", version=1, share=0.951), "two", lambda *_: False)
    line = street.log.written[-1]
    street.log.written[-1] = type(line)(**{**{name: getattr(line, name) for name in line.__struct_fields__}, "key": {"flight_id": 7, "day": "x"}})  # fmt: skip  # noqa: E501
    street.log.written.append(Label(label=False, at=street.clock.now(), origin="test", key={"flight_id": 7.0}))
    street.reconciler.reconcile()
    assert street.standing().state.guard("mistakes").worse.champion == 0, "too few to say when labels come"
    street.clock.advance(7 * 86_400)
    street.reconciler.reconcile()
    assert street.standing().state.guard("mistakes").worse.champion == 2


def test_a_challenger_that_errs_on_the_same_requests_is_taken_back_in_the_shadow(street: Street) -> None:
    street.start(Canary(shadow="2h", hold="1h", shares=[0.049, 1.0]))
    state = ended(street, errs=lambda number, arm: number % (4 if arm.version == 2 else 16) == 0)
    assert (state.stage, state.ended, state.requests) == (SHADOW, Status.ROLLED_BACK, Counts())
    assert "v2 is wrong more often on the same requests" in street.moves()[-1].cause.reason


def test_the_limits_of_latency_are_frozen_and_survive_a_restart(street: Street) -> None:
    street.start()
    slow = {1: 0.0, 2: 0.0}

    def hour() -> None:
        place = len(street.log.written)
        street.hour(1_500)
        for at, line in enumerate(street.log.written[place:], place):
            if getattr(line, "latency_ms", None) is not None:
                extra = slow[line.version]  # type: ignore[union-attr]
                kept = {name: getattr(line, name) for name in line.__struct_fields__}
                street.log.written[at] = type(line)(**(kept | {"latency_ms": kept["latency_ms"] + extra}))
        street.reconciler = street.another()
        street.reconciler.reconcile()

    hour()
    frozen = '"slow_ms":9.9'
    assert frozen in street.standing().state.cursor
    slow[2] = 20.0
    hour()
    assert frozen in street.standing().state.cursor
    assert "v2 is slow more often" in street.moves()[-1].cause.reason


def test_the_first_latencies_under_a_new_share_say_nothing() -> None:
    """Of the cold challenger, while as many of the champion say nothing either."""
    from loopwright.rollout.reader import COLD

    seen = Seen()
    told = [seen.is_warm(0, COLD, is_canary=number % 10 == 0) for number in range(400)]
    assert told.index(True) == 10 * COLD
    assert not seen.is_warm(1, COLD, is_canary=False), "a new share begins anew"


def test_three_times_not_loaded_takes_a_version_back(street: Street) -> None:
    street.start()
    for attempt in range(3):
        street.clock.advance(5)
        street.stores.events.add("VersionNotLoaded", f"version:{LOOP}:2", street.cause("gateway"), {"attempt": attempt})
        street.reconciler.reconcile()
    assert street.verdicts()[-1] == "roll back"
    assert "v2 crashed 3 times" in street.moves()[-1].cause.reason


def test_a_route_that_somebody_changes_ends_the_release(street: Street) -> None:
    third = street.works.version().number
    street.start()
    by_hand.promote(street.stores, LOOP, f"v{third}", street.cause())
    assert street.standing().state.ended is Status.ABORTED
    assert street.arms() == [("champion", third, 1.0)]
    assert [one.told for one in replayed(street.stores, street.stores.releases.get(LOOP))] == ["the same", "by hand"]


def test_a_controller_ends_a_release_whose_route_was_changed_behind_its_back(street: Street) -> None:
    from loopwright.registry.promote import promote

    street.start()
    promote(street.stores, LOOP, "v1", street.cause())
    assert street.standing().state.ended is None
    street.reconciler.reconcile()
    assert street.standing().state.ended is Status.ABORTED
    assert street.arms() == [("champion", 1, 1.0)]


def test_promoting_the_challenger_by_hand_keeps_the_former_champion_warm(street: Street) -> None:
    street.start()
    done = by_hand.promote(street.stores, LOOP, "v2", street.cause(), because="the fair is today")
    assert (done.version.number, done.previous) == (2, 1)
    assert street.arms() == [("champion", 2, 0.95), ("former", 1, 0.05)]
    alone = by_hand.promote(street.stores, LOOP, "v2", street.cause())
    assert (alone.version.number, street.arms()) == (2, [("champion", 2, 1.0)])
    assert street.standing().state.ended is Status.PROMOTED


def test_rolling_back_while_a_release_goes_on_leads_to_the_champion_from_before_it(street: Street) -> None:
    street.start()
    by_hand.promote(street.stores, LOOP, None, street.cause())
    done = by_hand.rollback(street.stores, LOOP, street.cause(), because="complaints")
    assert (done.version.number, street.arms()) == (1, [("champion", 1, 1.0)])
    assert street.standing().state.ended is Status.ABORTED
    assert rollback_target(street.stores.routes.history(LOOP)) is None, "v2 was taken back: nobody goes back to it"


def test_what_is_asked_in_vain_is_told(street: Street) -> None:
    street.start()
    with pytest.raises(UsageError, match="nothing holds it"):
        ask(street.stores, LOOP, Move.RESUME, street.cause())
    ask(street.stores, LOOP, Move.HOLD, street.cause())
    with pytest.raises(UsageError, match="held already"):
        ask(street.stores, LOOP, Move.HOLD, street.cause())
    ask(street.stores, LOOP, Move.ABORT, street.cause())
    with pytest.raises(Conflict, match="goes on no more"):
        ask(street.stores, LOOP, Move.PROMOTE, street.cause())


def test_a_hold_is_asked_again_where_the_controller_was_quicker(street: Street) -> None:
    street.start()
    get, seen = street.stores.releases.get, list[str]()

    def late(name: str) -> object:
        found = get(name)
        if not seen:
            seen.append(name)
            street.hour(50)
            street.reconciler.reconcile()
        return found

    street.stores.releases.get = late  # type: ignore[assignment, method-assign]
    standing, decision = ask(street.stores, LOOP, Move.HOLD, street.cause(reason="wait"))
    assert (decision.verdict.value, standing.state.status) == ("hold", Status.HOLDING)
    assert standing.state.requests.canary + standing.state.requests.champion > 0


def deployed(street: Street, plan: object = QUICK) -> None:
    spec = {"loop": LOOP, "release": to_spec(plan), "monitor": {"labels_within": 86_400.0}}  # type: ignore[arg-type]
    street.stores.deployments.add(
        Deployment(loop=LOOP, file="loop.py", code="c" * 64, environment="e" * 64, settings={}, spec=spec,
                   created_at=street.clock.now(), created_by="ann"),
        [], street.cause(),
    )  # fmt: skip


def test_the_newest_version_that_a_deployed_loop_made_is_released_by_itself(street: Street) -> None:
    deployed(street)
    assert street.reconciler.reconcile() == 0, "v2 was made by hand"
    for _ in range(2):
        street.works.version(lineage={"deployment": 1})
    street.works.version(accepted=False, lineage={"deployment": 1})
    assert street.reconciler.reconcile() == 1
    assert street.standing().release.challenger == 4
    skipped = [one for one in street.stores.events.list(subject=f"version:{LOOP}:3") if one.kind == "ReleaseSkipped"]
    assert [one.cause.reason for one in skipped] == ["v4 was accepted since"]
    street.works.version(lineage={"deployment": 1})
    assert street.reconciler.reconcile() == 0, "one at a time"
    ask(street.stores, LOOP, Move.ABORT, street.cause())
    assert street.reconciler.reconcile() == 1
    assert street.standing().release.challenger == 6
    assert street.another().reconcile() == 0


def test_a_plan_of_now_and_a_first_version_take_over_at_once(street: Street) -> None:
    street.start(Now())
    assert (street.verdicts(), street.arms()) == (["promote"], [("champion", 2, 1.0)])
    assert street.stores.releases.unended() == []
    first = street.works.version(loop="trains")
    from loopwright.rollout.starting import start

    start(street.stores, street.log, first, QUICK, street.cause(), street.clock)
    route = street.stores.routes.current("trains")
    assert route is not None
    assert route.champion == 1


def test_what_cannot_be_released_is_refused(street: Street) -> None:
    from loopwright.rollout.starting import start

    rejected, champion = street.works.version(accepted=False), street.stores.versions.get(LOOP, "v1")
    with pytest.raises(ModelError, match="rejected by its gates"):
        start(street.stores, street.log, rejected, QUICK, street.cause(), street.clock)
    with pytest.raises(UsageError, match="champion already"):
        start(street.stores, street.log, champion, QUICK, street.cause(), street.clock)
    street.start()
    with pytest.raises(Conflict, match="goes on: v2"):
        street.start()


def test_an_ab_test_tells_outcomes_beside_quality_and_says_where_they_disagree(street: Street) -> None:
    street.start(AB(share=0.5, lasts="1d", bigger_is_better=["revenue"]))
    for _ in range(6):
        place = len(street.log.written)
        street.hour(1_500, errs=lambda number, arm: number % 14 == 0)
        for line in street.log.written[place:]:
            if hasattr(line, "arm"):
                value = (6.0 if line.version == 2 else 3.0) + sum(line.id.encode()) % 5  # type: ignore[union-attr]
                street.label(line.id[:26], value, outcome="revenue")  # type: ignore[union-attr]
        street.reconciler.reconcile()
    found = page(street.standing(), street.clock.now())
    assert found.outcomes[0].startswith("revenue is higher: between +2.")
    assert [one.name for one in found.intervals] == ["revenue"]
    street.clock.advance(86_400)
    street.reconciler.reconcile()
    assert "promote or abort" in street.moves()[-1].cause.reason


def test_a_page_says_that_revenue_and_quality_disagree(street: Street) -> None:
    from loopwright.evidence.sequence import Moments
    from loopwright.rollout.state import Compared

    street.start(AB(share=0.5, bigger_is_better=["revenue"]))
    standing = street.standing()
    guard = standing.state.guard("mistakes")
    worse = guard.worse.add(share=0.5, canary=40, champion=10)
    paid = Compared(
        name="revenue", challenger=Moments().add([2.0, 3.0] * 300), champion=Moments().add([1.0, 2.0] * 300)
    )
    guards = tuple(replace(one, worse=worse) if one is guard else one for one in standing.state.guards)
    state = replace(standing.state, guards=guards, outcomes=(paid,))
    found = page(replace(standing, state=state), street.clock.now())
    assert found.disagreements == ["they disagree: revenue is better with the challenger, and it is wrong more often"]


def test_scores_that_lie_elsewhere_hold_the_ramp(street: Street) -> None:
    street.start(Canary(hold="1h", shares=[0.25, 1.0]))
    street.hour(4_000, errs=lambda number, arm: arm.version == 2 and number % 8 != 0, label=False)
    street.reconciler.reconcile()
    assert street.verdicts()[-1] == "hold"
    assert "scores lie elsewhere" in street.moves()[-1].cause.reason


def test_a_loop_that_cannot_go_on_is_told_once_and_keeps_no_other_from_going_on(street: Street) -> None:
    release = street.start()
    state = {**release.state, "cursor": "nonsense"}
    street.stores.releases.move(replace(release, state=state), None, street.cause(), None, {})
    for _ in range(3):
        assert street.reconciler.reconcile() == 0
    told = [one for one in street.stores.events.list(subject=f"loop:{LOOP}") if one.kind == "ReconcilerFailed"]
    assert [(one.data["reconciler"], one.data["kind"]) for one in told] == [("release", "DataError")]


@pytest.mark.parametrize("plan", [Canary(shadow="1d", hold="2h"), AB(), Shadow(lasts="3d"), Now()], ids=lambda one: type(one).__name__)  # fmt: skip  # noqa: E501
def test_a_plan_comes_back_from_a_spec(plan: Canary | AB | Shadow | Now) -> None:
    assert to_spec(plan)["fields"] == plain(plan)
    assert from_spec(to_spec(plan)) == plan


def test_a_spec_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="no plan 'Canry'"):
        from_spec({"plan": "Canry", "fields": {}})
    with pytest.raises(DataError, match="no Canary"):
        from_spec({"plan": "Canary", "fields": {"hold": "6h"}})


def test_a_plan_by_hand_keeps_what_is_not_given() -> None:
    deployed = Canary(shadow="1d", hold="2h", patience="3d", bigger_is_better=["revenue"])
    found = plan_by_hand.changed(deployed, None, {"shadow": None, "shares": [0.5, 1.0]})
    assert found == Canary(hold="2h", patience="3d", shares=[0.5, 1.0], bigger_is_better=["revenue"])
    assert plan_by_hand.changed(deployed, "shadow", {"lasts": "2h"}) == Shadow(lasts="2h")
    with pytest.raises(UsageError, match="AB has no shares"):
        plan_by_hand.changed(deployed, "ab", {"shares": [0.5, 1.0]})


def test_passes_with_nothing_new_are_cheap(street: Street) -> None:
    street.start()
    street.hour(500)
    street.reconciler.reconcile()
    number = street.standing().release.number
    for _ in range(50):
        street.clock.advance(1)
        assert street.reconciler.reconcile() == 0
    assert street.standing().release.number == number, "nothing is written where nothing is new"


def test_a_release_looked_at_by_nobody_for_days_holds_by_its_patience(street: Street) -> None:
    street.start(Canary(hold="1h", patience="1d", shares=[0.01, 1.0]))
    street.hour(300)
    street.reconciler.reconcile()
    street.clock.advance(timedelta(days=2).total_seconds())
    street.hour(300)
    street.reconciler.reconcile()
    assert "nothing was proven" in street.moves()[-1].cause.reason
    assert isinstance(street.reconciler, Releases)


def test_numbers_are_wrong_beyond_what_nine_in_ten_of_the_champions_first_ones_were() -> None:
    unknown = Yardstick()
    assert unknown.is_wrong(5.0, 7) is None
    known = unknown.with_errors([float(one) for one in range(101)])
    assert known.wrong_by == 90.0
    assert [known.is_wrong(100.0, label) for label in (10, 9.0, 191, "far", True)] == [False, True, True, None, None]


def test_of_two_classes_the_rare_one_is_said_from_its_share_in_the_training_data_on(street: Street) -> None:
    street.request("one")
    line = street.log.written[0]
    assert isinstance(line, Line)
    assert Yardstick(shares={"true": 0.71}).said(line) == "false"
    assert Yardstick(shares={"true": 0.7}).said(line) == "true"


def test_what_waits_for_its_label_in_vain_is_given_up() -> None:
    seen = Seen()
    for number in range(10):
        seen.keep(f"line-{number}", Open(at=START + number * timedelta(days=1), unit="one"))
    seen.forget(START + timedelta(days=7))
    assert list(seen.open) == ["line-7", "line-8", "line-9"]
