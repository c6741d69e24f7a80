"""What every implementation of the stores of the live loops must do. Subclass, with a fixture `stores`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from loopwright.core.finding import Finding, Level
from loopwright.core.progress import Progress
from loopwright.core.release import Release
from loopwright.core.retraining import Retraining, RetrainingStatus
from loopwright.core.stores import Stores
from loopwright.core.version import CHAMPION, Arm
from loopwright.errors import (
    Conflict,
    DeploymentNotFound,
    NotFound,
    ReleaseNotFound,
    VersionNotFound,
)
from loopwright.testing.conformance import a_route, an_artifact, at, cause, refusal
from loopwright.testing.live_nouns import a_deployment, a_finding, a_release, a_retraining, ramp, two_versions
from loopwright.testing.races import RACES, at_once, one_wins


def begin(stores: Stores, release: Release | None = None, seconds: float = 1) -> Release:
    shadow = Arm(name="challenger", version=2, share=0.0, shadow=True)
    route = replace(a_route((CHAMPION, 1, 1.0)), arms=(Arm(name=CHAMPION, version=1, share=1.0), shadow))
    data = {"why": "accepted"}
    return stores.releases.begin(release or a_release(), route, 1, cause(seconds), "ReleaseBegun", data)


class ReleasesConformance:
    def test_a_release_begins_with_its_route_and_one_event(self, stores: Stores) -> None:
        two_versions(stores)
        before = len(stores.events.list())
        begun = begin(stores)
        assert begun == replace(a_release(), number=1, route=2)
        assert stores.releases.get("flights") == stores.releases.get("release-1") == begun
        route = stores.routes.current("flights")
        assert route is not None
        assert (route.number, route.kind, route.shadows[0].version) == (2, "ReleaseBegun", 2)
        assert stores.versions.get("flights", "challenger").number == 2
        [told] = stores.events.list(after=before)
        assert (told.kind, told.subject, told.cause) == ("ReleaseBegun", "loop:flights", cause(1))
        wanted = {"release": "release-1", "challenger": 2, "champion": 1, "status": "shadow", "why": "accepted"}
        assert wanted.items() <= told.data.items()
        assert told.data["route"] == 2

    def test_a_loop_has_one_unended_release(self, stores: Stores) -> None:
        two_versions(stores)
        begin(stores)
        message = refusal(Conflict, begin, stores, a_release("release-2"))
        assert "release-1" in message
        assert "tester" in message
        assert "2026-01-01 00:00:00 UTC" in message

    def test_a_release_begins_upon_the_route_that_was_looked_at(self, stores: Stores) -> None:
        two_versions(stores)
        message = refusal(Conflict, stores.releases.begin, a_release(), ramp(0.1), 7, cause(1), "ReleaseBegun", {})
        assert "revision 1, not 7: tester changed it" in message
        assert stores.releases.list() == []

    def test_a_release_without_a_route_of_its_own_leaves_the_one_in_force(self, stores: Stores) -> None:
        route = two_versions(stores)
        begun = stores.releases.begin(a_release(), None, 1, cause(1), "ReleaseBegun", {})
        assert begun.route == 1
        assert stores.routes.current("flights") == route
        assert stores.events.list(newest_first=True, limit=1)[0].kind == "ReleaseBegun"

    def test_a_release_of_a_version_that_is_not_there_leaves_nothing(self, stores: Stores) -> None:
        two_versions(stores)
        before = len(stores.events.list())
        refusal(VersionNotFound, begin, stores, a_release(challenger=9))
        assert stores.releases.list() == []
        assert len(stores.events.list()) == before
        assert len(stores.routes.history("flights")) == 1

    def test_the_unended_releases_of_all_loops_are_listed_by_loop(self, stores: Stores) -> None:
        for loop in ("flights", "arrivals"):
            two_versions(stores, loop)
            stores.releases.begin(a_release(loop, loop=loop), ramp(0.1, loop), 1, cause(1), "ReleaseBegun", {})
        assert [one.loop for one in stores.releases.unended()] == ["arrivals", "flights"]

    def test_a_release_that_is_not_there_is_told_with_what_is(self, stores: Stores) -> None:
        two_versions(stores)
        refusal(Conflict, stores.routes.change, ramp(0.1), {}, cause(), None)
        assert "none yet" in refusal(ReleaseNotFound, stores.releases.get, "flights")
        begin(stores)
        assert "did you mean 'flights'" in refusal(ReleaseNotFound, stores.releases.get, "fligths")
        refusal(ReleaseNotFound, stores.releases.move, a_release("other"), None, cause(2), None, {})

    def test_of_two_releases_begun_at_once_one_wins_every_time(self, stores: Stores) -> None:
        two_versions(stores)
        for number in range(RACES):
            names = [f"release-{number}-{who}" for who in "ab"]
            won = one_wins(at_once(*(lambda name=name: self.begin_now(stores, name) for name in names)))
            assert isinstance(won, Release)
            assert [one.id for one in stores.releases.unended()] == [won.id]
            stores.releases.move(replace(won, status="aborted", ended_at=at(1)), None, cause(1), "ReleaseAborted", {})
        assert len(stores.releases.list(limit=2 * RACES)) == RACES

    def begin_now(self, stores: Stores, name: str) -> Release:
        current = stores.routes.current("flights")
        assert current is not None
        return stores.releases.begin(a_release(name), None, current.number, cause(), "ReleaseBegun", {})


class MovesConformance:
    def test_a_move_writes_the_release_the_route_and_the_aliases_together(self, stores: Stores) -> None:
        two_versions(stores)
        begun = begin(stores)
        moved = stores.releases.move(
            replace(begun, status="10 %", state={"stage": 1}), ramp(0.1), cause(2), "ReleaseMoved", {"to": 0.1}
        )
        assert (moved.number, moved.route, moved.status) == (2, 3, "10 %")
        assert stores.releases.get("release-1") == moved
        ended = stores.releases.move(
            replace(moved, status="promoted", ended_at=at(3)),
            a_route((CHAMPION, 2, 1.0)),
            cause(3, "better"),
            "VersionPromoted",
            {},
        )
        assert stores.releases.get("flights") == ended
        assert stores.versions.get("flights", CHAMPION).number == 2
        refusal(VersionNotFound, stores.versions.get, "flights", "challenger")
        assert [route.number for route in stores.routes.history("flights")] == [4, 3, 2, 1]
        kinds = [event.kind for event in stores.events.list(subject="loop:flights", after=3)]
        assert kinds == ["ReleaseBegun", "ReleaseMoved", "VersionPromoted"]

    def test_a_move_that_decides_nothing_tells_nothing(self, stores: Stores) -> None:
        two_versions(stores)
        begun = begin(stores)
        before = len(stores.events.list())
        moved = stores.releases.move(replace(begun, state={"read": "x"}), None, cause(2), None, {})
        assert (moved.number, moved.route) == (2, 2)
        assert stores.releases.get("release-1").state == {"read": "x"}
        assert len(stores.events.list()) == before

    def test_a_decision_without_a_route_is_told(self, stores: Stores) -> None:
        two_versions(stores)
        begun = begin(stores)
        stores.releases.move(replace(begun, status="held"), None, cause(2), "ReleaseHeld", {"why": "no data"})
        told = stores.events.list(newest_first=True, limit=1)[0]
        assert (told.kind, told.subject, told.data["status"], told.data["why"]) == (
            "ReleaseHeld",
            "loop:flights",
            "held",
            "no data",
        )

    def test_a_move_upon_what_is_there_no_more_is_a_conflict(self, stores: Stores) -> None:
        two_versions(stores)
        begun = begin(stores)
        stores.releases.move(begun, None, cause(2), None, {})
        message = refusal(Conflict, stores.releases.move, begun, ramp(0.1), cause(3), "ReleaseMoved", {})
        assert "at change 2, not 1: tester changed it at 2026-01-01 00:00:02 UTC" in message
        assert len(stores.routes.history("flights")) == 2

    def test_a_route_that_somebody_else_put_there_is_not_overwritten_but_the_release_can_end(
        self, stores: Stores
    ) -> None:
        two_versions(stores)
        begun = begin(stores)
        stores.routes.change(a_route((CHAMPION, 1, 1.0)), {CHAMPION: 1, "challenger": None}, cause(2), 2)
        message = refusal(Conflict, stores.releases.move, begun, ramp(0.1), cause(3), "ReleaseMoved", {})
        assert "revision 3, not 2" in message
        assert stores.releases.get("release-1") == begun
        ended = replace(begun, status="aborted", ended_at=at(4))
        stores.releases.move(ended, None, cause(4), "ReleaseAborted", {})
        assert stores.releases.unended() == []

    def test_a_release_that_has_ended_moves_no_more_and_makes_room(self, stores: Stores) -> None:
        two_versions(stores)
        ended = replace(begin(stores), status="aborted", ended_at=at(2))
        ended = stores.releases.move(ended, None, cause(2), "ReleaseAborted", {})
        message = refusal(Conflict, stores.releases.move, ended, None, cause(3), "ReleaseMoved", {})
        assert "ended as aborted" in message
        later = stores.releases.begin(a_release("release-2", seconds=3), ramp(0.1), 2, cause(3), "ReleaseBegun", {})
        assert [one.id for one in stores.releases.list()] == ["release-2", "release-1"]
        assert stores.releases.get("flights") == later
        assert [one.id for one in stores.releases.list("flights", limit=1)] == ["release-2"]
        assert stores.releases.list("other") == []

    def test_of_two_moves_at_once_one_wins_every_time(self, stores: Stores) -> None:
        two_versions(stores)
        found = begin(stores)
        for number in range(RACES):
            share = 0.1 + number / 1000
            move = lambda found=found, share=share: stores.releases.move(  # noqa: E731
                found, ramp(share), cause(2), "ReleaseMoved", {}
            )
            won = one_wins(at_once(move, move))
            assert isinstance(won, Release)
            found = won
        assert (found.number, found.route) == (RACES + 1, RACES + 2)
        assert len(stores.routes.history("flights")) == RACES + 2


class DeploymentsConformance:
    def test_deployments_are_numbered_and_the_newest_is_in_force(self, stores: Stores) -> None:
        first = stores.deployments.add(a_deployment(), [an_artifact("code-1")], cause(1))
        assert first == replace(a_deployment(), number=1, is_in_force=True)
        second = stores.deployments.add(a_deployment("code-2"), [], cause(2))
        assert stores.deployments.get("flights") == second
        assert stores.deployments.get("flights", 1) == replace(first, is_in_force=False)
        assert stores.deployments.list("flights") == [second, replace(first, is_in_force=False)]
        assert stores.deployments.history("flights") == [1, 2]
        told = stores.events.list(subject="loop:flights")
        assert [(event.kind, event.data["deployment"], event.data["before"]) for event in told] == [
            ("LoopDeployed", 1, None),
            ("LoopDeployed", 2, 1),
        ]

    def test_equal_deployments_are_one(self, stores: Stores) -> None:
        first = stores.deployments.add(a_deployment(), [], cause(1))
        again = replace(a_deployment(seconds=9), git_commit="other", created_by="another")
        assert stores.deployments.add(again, [], cause(2)) == first
        assert len(stores.events.list()) == 1
        stores.deployments.add(a_deployment("code-2"), [], cause(3))
        assert stores.deployments.add(again, [], cause(4)) == first
        assert stores.deployments.history("flights") == [1, 2, 1]
        for other in (
            replace(again, environment="environment-2"),
            replace(again, settings={"workers": 3}),
            replace(again, spec={"loop": "flights"}),
        ):
            stores.deployments.add(other, [], cause(5))
        assert stores.deployments.get("flights").number == 5

    def test_another_deployment_is_put_in_force_in_place_of_the_one_looked_at(self, stores: Stores) -> None:
        for code in ("code-1", "code-2"):
            stores.deployments.add(a_deployment(code), [], cause(1))
        message = refusal(Conflict, stores.deployments.put_in_force, "flights", 1, cause(2), expected=1)
        assert "deployment 2 of flights is in force, not 1: tester put it there at 2026-01-01 00:00:01" in message
        back = stores.deployments.put_in_force("flights", 1, cause(3, "it was better"), expected=2)
        assert (back.number, back.is_in_force) == (1, True)
        assert stores.deployments.get("flights") == back
        told = stores.events.list(newest_first=True, limit=1)[0]
        assert (told.kind, told.cause.reason) == ("DeploymentRolledBack", "it was better")
        before = len(stores.events.list())
        stores.deployments.put_in_force("flights", 1, cause(4), expected=1)
        assert len(stores.events.list()) == before

    def test_what_is_not_deployed_is_told_with_what_is(self, stores: Stores) -> None:
        assert "none was deployed yet" in refusal(DeploymentNotFound, stores.deployments.get, "flights")
        stores.deployments.add(a_deployment(), [], cause(1))
        assert "did you mean 'flights'" in refusal(DeploymentNotFound, stores.deployments.get, "fligths")
        assert "1 alone" in refusal(DeploymentNotFound, stores.deployments.get, "flights", 7)
        refusal(DeploymentNotFound, stores.deployments.put_in_force, "flights", 7, cause(2), expected=1)
        assert stores.deployments.list("other") == []
        assert stores.deployments.history("other") == []

    def test_those_in_force_are_listed_by_loop(self, stores: Stores) -> None:
        for loop in ("flights", "arrivals", "flights"):
            code = f"{loop} {len(stores.deployments.history(loop))}"
            stores.deployments.add(a_deployment(code, loop=loop), [], cause(1))
        stores.deployments.put_in_force("flights", 1, cause(2), expected=2)
        found = stores.deployments.in_force()
        assert [(one.loop, one.number, one.is_in_force) for one in found] == [
            ("arrivals", 1, True),
            ("flights", 1, True),
        ]

    def test_what_a_deployment_runs_is_never_forgotten(self, stores: Stores) -> None:
        artifacts = [an_artifact("code-1", parts=("part",)), an_artifact("part"), an_artifact("environment-1")]
        stores.deployments.add(a_deployment(), [*artifacts, an_artifact("loose")], cause(1))
        stores.deployments.add(a_deployment("code-2"), [an_artifact("code-2")], cause(2))
        assert [one.digest for one in stores.artifacts.unreferenced(before=at(1e6))] == ["loose"]
        assert stores.artifacts.get("code-1") == artifacts[0]

    def test_of_two_equal_deployments_at_once_one_is_recorded(self, stores: Stores) -> None:
        for number in range(RACES // 10):
            add = lambda number=number: stores.deployments.add(  # noqa: E731
                a_deployment(f"code-{number}"), [an_artifact(f"code-{number}")], cause()
            )
            left, right = at_once(add, add)
            assert left == right
        assert len(stores.deployments.list("flights")) == RACES // 10


class RetrainingsConformance:
    def test_a_cause_is_claimed_once_for_good(self, stores: Stores) -> None:
        claimed = stores.retrainings.claim(a_retraining(), cause(1))
        assert stores.retrainings.list("flights") == stores.retrainings.unfinished() == [claimed]
        stores.retrainings.save(replace(claimed, status=RetrainingStatus.REJECTED, version=2), cause(2))
        message = refusal(Conflict, stores.retrainings.claim, a_retraining("retraining-2"), cause(3))
        assert "drift:2013-06-01" in message
        assert "tester claimed it at 2026-01-01 00:00:00 UTC (retraining-1, rejected)" in message
        stores.retrainings.claim(a_retraining("retraining-2", loop="other"), cause(3))
        stores.retrainings.claim(a_retraining("retraining-3", "every:2013"), cause(4))
        assert [one.id for one in stores.retrainings.list()] == ["retraining-3", "retraining-2", "retraining-1"]
        assert [one.loop for one in stores.retrainings.unfinished()] == ["flights", "other"]

    def test_a_loop_learns_one_thing_at_a_time(self, stores: Stores) -> None:
        stores.retrainings.claim(a_retraining(), cause(1))
        message = refusal(Conflict, stores.retrainings.claim, a_retraining("other", "every:2013"), cause(2))
        assert "because of drift:2013-06-01: tester claimed it at 2026-01-01 00:00:00 UTC" in message

    def test_what_became_of_it_is_saved_and_told(self, stores: Stores) -> None:
        claimed = stores.retrainings.claim(a_retraining(), cause(1))
        begun = stores.retrainings.save(replace(claimed, run_id="run-7", cause="another", loop="flights"), cause(2))
        assert begun == replace(claimed, run_id="run-7")
        stores.retrainings.save(begun, cause(3))
        ended = stores.retrainings.save(
            replace(begun, status=RetrainingStatus.SUCCEEDED, version=4, evidence={"value": 0.71}), cause(4)
        )
        assert ended.finished_at == at(4)
        assert stores.retrainings.list("flights") == [ended]
        assert stores.retrainings.unfinished() == []
        told = stores.events.list(subject="loop:flights")
        assert [event.kind for event in told] == ["RetrainingClaimed", "RetrainingStarted", "RetrainingSucceeded"]
        assert told[2].data["version"] == 4

    def test_what_is_final_stays(self, stores: Stores) -> None:
        claimed = stores.retrainings.claim(a_retraining(), cause(1))
        failed = replace(claimed, status=RetrainingStatus.FAILED, error="no rows", finished_at=at(7))
        assert stores.retrainings.save(failed, cause(9)).finished_at == at(7)
        message = refusal(Conflict, stores.retrainings.save, claimed, cause(10))
        assert "retraining-1 of flights failed at 2026-01-01 00:00:07 UTC already" in message
        refusal(NotFound, stores.retrainings.save, a_retraining("never"), cause(10))

    def test_of_two_that_claim_at_once_one_wins_every_time(self, stores: Stores) -> None:
        for number in range(RACES):
            name = f"every:{number}"
            rivals = [a_retraining(f"{name}-{who}", name) for who in "ab"]
            won = one_wins(at_once(*(lambda one=one: stores.retrainings.claim(one, cause()) for one in rivals)))
            assert isinstance(won, Retraining)
            stores.retrainings.save(replace(won, status=RetrainingStatus.FAILED), cause(1))
        assert len(stores.retrainings.list(limit=2 * RACES)) == RACES


class FindingsConformance:
    def tell(self, stores: Stores, *findings: Finding) -> None:
        there = stores.progress.get("monitor:flights") or Progress(name="monitor:flights", value={})
        stores.progress.put(there, cause(), findings=findings)

    def test_findings_are_listed_by_the_end_of_their_windows_newest_first(self, stores: Stores) -> None:
        self.tell(stores, a_finding(day=0), a_finding(day=2), a_finding(day=1), a_finding(day=1, monitor="skew"))
        self.tell(stores, a_finding(day=5, loop="other"))
        found = stores.findings.list("flights")
        assert [(one.monitor, one.until) for one in found] == [
            ("drift", at(3 * 86400)),
            ("drift", at(2 * 86400)),
            ("skew", at(2 * 86400)),
            ("drift", at(86400)),
        ]
        assert found[0] == a_finding(day=2)
        assert len(stores.findings.list("flights", monitor="drift")) == 3
        assert [one.until for one in stores.findings.list("flights", since=at(2 * 86400))] == [at(3 * 86400)]
        assert len(stores.findings.list("flights", limit=2)) == 2

    def test_told_again_for_the_same_window_the_newer_one_stands(self, stores: Stores) -> None:
        self.tell(stores, a_finding(), a_finding(version=None), a_finding(version=2))
        again = replace(a_finding(version=None), level=Level.FINE, number=None, limit=None, known_at=at(1e6))
        self.tell(stores, again)
        assert stores.findings.list("flights") == [again, a_finding(), a_finding(version=2)]
        wider = replace(a_finding(version=None), since=at(-86400))
        self.tell(stores, wider)
        assert len(stores.findings.list("flights")) == 4
        self.tell(stores, a_finding("carrier"), replace(a_finding("carrier"), number=0.9))
        assert [one.number for one in stores.findings.newest("flights") if one.subject == "carrier"] == [0.9]

    def test_the_newest_of_each_subject_are_those_of_its_last_window(self, stores: Stores) -> None:
        self.tell(stores, a_finding(day=1), a_finding("carrier", day=0), a_finding("carrier", day=0, version=2))
        self.tell(stores, a_finding(day=0), a_finding(day=0, loop="arrivals"))
        late = replace(a_finding(day=1), number=0.9)
        self.tell(stores, late)
        found = stores.findings.newest()
        assert found == [
            a_finding(day=0, loop="arrivals"),
            a_finding("carrier", day=0),
            a_finding("carrier", day=0, version=2),
            late,
        ]
        assert stores.findings.newest("arrivals") == found[:1]
        self.tell(stores, a_finding("carrier", day=1, version=2))
        assert stores.findings.newest("flights") == [a_finding("carrier", day=1, version=2), late]


class ProgressesConformance:
    def test_progress_goes_on_from_where_it_was_read(self, stores: Stores) -> None:
        assert stores.progress.get("alerts") is None
        first = stores.progress.put(Progress(name="alerts", value={"after": 7, "open": [None, 0.1]}), cause(1))
        assert first.number == 1
        assert stores.progress.get("alerts") == first
        second = stores.progress.put(replace(first, value={"after": 9}), cause(2))
        assert stores.progress.get("alerts") == second == Progress(name="alerts", value={"after": 9}, number=2)
        message = refusal(Conflict, stores.progress.put, first, cause(3))
        assert "alerts is at change 2, not 1: tester went on at 2026-01-01 00:00:02 UTC" in message
        refusal(Conflict, stores.progress.put, Progress(name="alerts", value={}), cause(3))
        assert "there is none" in refusal(Conflict, stores.progress.put, replace(second, name="other"), cause(3))
        assert stores.events.list() == []

    def test_progress_is_listed_by_the_beginning_of_its_name(self, stores: Stores) -> None:
        for name in ("monitor:b", "monitor:a", "Monitor:c", "monitor_d", "retrain:a"):
            stores.progress.put(Progress(name=name, value={}), cause())
        assert [one.name for one in stores.progress.list("monitor:")] == ["monitor:a", "monitor:b"]
        assert len(stores.progress.list()) == 5

    def test_findings_and_events_are_written_with_it_or_not_at_all(self, stores: Stores) -> None:
        told = ("DriftFound", "loop:flights", {"drifted": ["hour"]})
        first = stores.progress.put(
            Progress(name="monitor", value={}), cause(1), findings=[a_finding()], events=[told, ("B", "loop:b", {})]
        )
        events = stores.events.list()
        assert [(one.kind, one.subject, one.cause) for one in events] == [
            ("DriftFound", "loop:flights", cause(1)),
            ("B", "loop:b", cause(1)),
        ]
        assert events[0].data == {"drifted": ["hour"]}
        stale = replace(first, number=0)
        refusal(Conflict, stores.progress.put, stale, cause(2), findings=[a_finding(day=1)], events=[told])
        broken = cast("Mapping[str, Any]", {"not JSON": object()})
        try:
            stores.progress.put(first, cause(2), findings=[a_finding(day=1)], events=[("Broken", "loop:b", broken)])
        except Exception as error:  # noqa: BLE001 - each store says in its own way that this is no JSON
            assert "JSON" in str(error)  # noqa: PT017
        assert stores.progress.get("monitor") == first
        assert stores.findings.list("flights") == [a_finding()]
        assert len(stores.events.list()) == 2

    def test_of_two_that_go_on_at_once_one_wins_every_time(self, stores: Stores) -> None:
        found = Progress(name="alerts", value={})
        for number in range(RACES):
            told = ("Counted", "loop:flights", {"number": number})
            put = lambda found=found, told=told: stores.progress.put(found, cause(), events=[told])  # noqa: E731
            won = one_wins(at_once(put, put))
            assert isinstance(won, Progress)
            found = won
        assert len(stores.events.list()) == RACES


class LeadersConformance:
    def test_one_leads_until_its_time_is_over(self, stores: Stores) -> None:
        leaders = stores.leaders
        assert leaders.take("monitor", "a", at(0), 10)
        assert not leaders.take("monitor", "b", at(9), 10)
        assert leaders.take("retrain", "b", at(9), 10)
        assert leaders.take("monitor", "a", at(9), 10)
        assert not leaders.take("monitor", "b", at(18), 10)
        assert leaders.take("monitor", "b", at(19), 10)
        assert not leaders.take("monitor", "a", at(20), 10)
        assert stores.events.list() == []

    def test_who_leaves_makes_room_and_who_does_not_lead_cannot(self, stores: Stores) -> None:
        assert stores.leaders.take("monitor", "a", at(0), 10)
        stores.leaders.leave("monitor", "b")
        assert not stores.leaders.take("monitor", "b", at(1), 10)
        stores.leaders.leave("monitor", "a")
        stores.leaders.leave("monitor", "a")
        assert stores.leaders.take("monitor", "b", at(1), 10)

    def test_a_lease_from_before_the_clock_was_set_back_holds_nobody_up(self, stores: Stores) -> None:
        assert stores.leaders.take("monitor", "a", at(1e6), 10)
        assert stores.leaders.take("monitor", "b", at(0), 10)
        assert not stores.leaders.take("monitor", "a", at(-1), 10)

    def test_of_two_that_take_the_lead_at_once_one_gets_it_every_time(self, stores: Stores) -> None:
        for number in range(RACES):
            take = (lambda who=who, name=f"{number}": stores.leaders.take(name, who, at(0), 10) for who in "ab")
            assert sorted(map(bool, at_once(*take))) == [False, True]


class EventsConformance:
    def test_events_are_listed_by_kind_and_from_either_end(self, stores: Stores) -> None:
        for number, kind in enumerate("ABAC"):
            stores.events.add(kind, "loop:flights", cause(number), {"number": number})
        stores.events.add("A", "loop:other", cause(9), {"number": 9})
        listed = stores.events.list
        assert [event.data["number"] for event in listed(kinds=["A", "C"])] == [0, 2, 3, 9]
        assert [event.data["number"] for event in listed(kinds={"A"}, subject="loop:flights")] == [0, 2]
        assert [event.data["number"] for event in listed(newest_first=True, limit=2)] == [9, 3]
        assert [event.data["number"] for event in listed(kinds=["A"], newest_first=True, limit=1)] == [9]
        assert listed(kinds=[]) == []
        assert [event.data["number"] for event in listed(kinds=["A"], after=1, limit=1)] == [2]


class LiveStoresConformance(
    ReleasesConformance,
    MovesConformance,
    DeploymentsConformance,
    RetrainingsConformance,
    FindingsConformance,
    ProgressesConformance,
    LeadersConformance,
    EventsConformance,
):
    """All of them."""
