"""What every implementation of the stores must do. Subclass a suite and give it a fixture `stores`.

class TestSqlite(StoresConformance):
    @pytest.fixture
    def stores(self, tmp_path): ...
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from loopwright.core.access import ApiKey, Scope
from loopwright.core.artifact import Artifact
from loopwright.core.event import Cause
from loopwright.core.run import Execution, ExecutionStatus, Failure, Lease, Run, RunStatus
from loopwright.core.stores import Blobs, Stores
from loopwright.core.version import ROLLED_BACK, Arm, Route, Version, VersionStatus
from loopwright.errors import (
    ArtifactNotFound,
    Conflict,
    KeyNotFound,
    LeaseLost,
    LoopwrightError,
    RunNotFound,
    VersionNotFound,
)
from loopwright.testing.clock import START


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def cause(seconds: float = 0, reason: str = "a test") -> Cause:
    return Cause(actor="tester", at=at(seconds), reason=reason)


def a_run(name: str = "first", *, request: str | None = None, seconds: float = 0, pipeline: str = "flights") -> Run:
    return Run(
        id=name,
        pipeline=pipeline,
        file="/work/flights.py",
        parameters={"year": 2013, "carriers": ["AA", "ÜA"]},
        seed=7,
        request_key=request or name,
        status=RunStatus.RUNNING,
        created_at=at(seconds),
    )


def a_lease(run_id: str = "first", *, holder: str = "worker-1", seconds: float = 0) -> Lease:
    return Lease(run_id=run_id, token=0, holder=holder, acquired_at=at(seconds), expires_at=at(seconds + 5))


def an_artifact(digest: str, *, parts: tuple[str, ...] = (), run_id: str = "first") -> Artifact:
    return Artifact(
        digest=digest,
        kind="value",
        format="json",
        size_bytes=2,
        created_at=START,
        run_id=run_id,
        step="load",
        parts=parts,
    )


def a_version(bundle: str = "one", *, loop: str = "flights", seconds: float = 0) -> Version:
    """Whose bundle has a digest and a file of its own."""
    return Version(
        loop=loop,
        digest=hashlib.sha256(bundle.encode()).hexdigest(),
        files={"model.onnx": f"model of {bundle}", "manifest.json": f"manifest of {bundle}"},
        status=VersionStatus.ACCEPTED,
        run_id="first",
        created_at=at(seconds),
        created_by="tester",
        metric="roc_auc",
        value=0.71,
        reason="1 of 1 gates passed",
        task="binary",
        lineage={"run": "first", "data": {"flights": {"version": 3}}, "seed": 7, "parameters": {"carriers": ["ÜA"]}},
    )


def a_route(*arms: tuple[str, int, float], loop: str = "flights") -> Route:
    """Of (name, version, share)."""
    made = tuple(Arm(name=name, version=version, share=share) for name, version, share in arms)
    return Route(loop=loop, arms=made, at=START, actor="")


def a_key(name: str = "abcd012345", *, expires_seconds: float | None = None) -> ApiKey:
    return ApiKey(
        id=name,
        name="the shop",
        owner="shop@example",
        scopes=frozenset((Scope.PREDICT, Scope.VIEW)),
        hash="scrypt$16$8$1$c2FsdA==$aGFzaA==",
        created_at=START,
        created_by="",
        expires_at=None if expires_seconds is None else at(expires_seconds),
        loops=frozenset(("flights", "ÜA")),
        rate_per_second=2.5,
    )


def alive(_holder: str) -> bool | None:
    return True


def dead(_holder: str) -> bool | None:
    return False


def refusal(error: type[LoopwrightError], call: object, *args: object, **options: object) -> str:
    """The message of the error that the call must raise."""
    assert callable(call)
    try:
        call(*args, **options)
    except error as raised:
        return str(raised)
    raise AssertionError(f"{call} should have raised {error.__name__}")


def start(stores: Stores, name: str = "first", *, seconds: float = 0, pipeline: str = "flights") -> Lease:
    stores.runs.request(a_run(name, seconds=seconds, pipeline=pipeline), cause(seconds))
    return stores.runs.acquire(a_lease(name, seconds=seconds), cause(seconds), [], is_alive=alive)


def ran(lease: Lease, step: str = "load", *, key: str = "key", output: str = "out", seconds: float = 1) -> Execution:
    return Execution(
        run_id=lease.run_id,
        step=step,
        position=0,
        status=ExecutionStatus.RAN,
        key=key,
        parameters={"limit": 3},
        inputs={"raw": "in"},
        output=output,
        token=lease.token,
        attempt=1,
        started_at=at(seconds),
        finished_at=at(seconds + 1),
        seconds=1.0,
        peak_memory_bytes=1 << 40,
    )


class VersionsConformance:
    """Versions and their aliases."""

    def test_a_version_comes_back_as_it_was_added_under_the_next_number(self, stores: Stores) -> None:
        added = [stores.versions.add(a_version(name), [], cause(5)) for name in ("one", "two")]
        other = stores.versions.add(a_version("one", loop="trains"), [], cause(6))
        assert [version.number for version in [*added, other]] == [1, 2, 1]
        assert stores.versions.get("flights", "1") == replace(a_version("one"), number=1) == added[0]
        assert [version.name for version in stores.versions.list("flights")] == ["flights v2", "flights v1"]
        assert [version.name for version in stores.versions.list()] == ["flights v2", "flights v1", "trains v1"]

    def test_the_same_bundle_is_one_version_however_often_it_is_added(self, stores: Stores) -> None:
        first = stores.versions.add(a_version(), [], cause())
        again = stores.versions.add(replace(a_version(), run_id="second"), [an_artifact("stray")], cause(1))
        assert again == first
        assert len(stores.events.list()) == 1
        assert stores.artifacts.list() == []

    def test_versions_are_found_by_number_alias_age_and_digest(self, stores: Stores) -> None:
        for name in ("one", "two", "three"):
            stores.versions.add(a_version(name), [], cause())
        stores.routes.change(a_route(("champion", 2, 1.0)), {"champion": 2}, cause(), None)
        digest = a_version("one").digest
        found = {"2": 2, "v2": 2, "champion": 2, "newest": 3, digest: 1, digest[:6]: 1, digest[5:20].upper(): 1}
        assert {name: stores.versions.get("flights", name).number for name in found} == found
        assert stores.versions.get("flights", "2").aliases == ("champion",)
        assert stores.versions.get("flights", "3").aliases == ()

    def test_a_version_that_is_not_there_is_told_with_what_is(self, stores: Stores) -> None:
        assert "no loop has a model" in refusal(VersionNotFound, stores.versions.get, "flights", "1")
        stores.versions.add(a_version(), [], cause())
        assert "did you mean 'flights'?" in refusal(VersionNotFound, stores.versions.get, "flight", "1")
        assert "lw promote flights" in refusal(VersionNotFound, stores.versions.get, "flights", "champion")
        assert "did you mean 'newest'?" in refusal(VersionNotFound, stores.versions.get, "flights", "newst")
        for name in ("2", "v0", "-1", "", a_version().digest[:5], "%", "_" * 6):
            assert repr(name) in refusal(VersionNotFound, stores.versions.get, "flights", name)

    def test_a_version_without_a_value_and_with_notes_and_tags_comes_back(self, stores: Stores) -> None:
        version = replace(a_version(), value=None, notes="looks odd", tags={"team": "ops"})
        assert stores.versions.add(version, [], cause()) == replace(version, number=1)

    def test_notes_and_tags_are_written_over_and_the_rest_stays(self, stores: Stores) -> None:
        added = stores.versions.add(a_version(), [], cause())
        stores.versions.annotate("flights", 1, cause(1), notes="for the board", tags={"team": "ops"})
        noted = stores.versions.annotate("flights", 1, cause(2), tags={})
        assert noted == replace(added, notes="for the board") == stores.versions.get("flights", "1")
        stores.versions.annotate("flights", 1, cause(3))
        assert [event.kind for event in stores.events.list(subject="version:flights:1")] == [
            "VersionRegistered", "VersionAnnotated", "VersionAnnotated",
        ]  # fmt: skip
        refusal(VersionNotFound, stores.versions.annotate, "flights", 2, cause(3), notes="")

    def test_the_trail_says_whether_a_version_was_accepted_rejected_or_imported(self, stores: Stores) -> None:
        stores.versions.add(a_version("one"), [], cause(1))
        stores.versions.add(replace(a_version("two"), status=VersionStatus.REJECTED), [], cause(2, "lw run"))
        stores.versions.add(a_version("three"), [], cause(3), is_imported=True)
        trail = stores.events.list()
        assert [event.kind for event in trail] == ["VersionRegistered", "VersionRejected", "BundleImported"]
        assert [event.subject for event in trail] == [f"version:flights:{number}" for number in (1, 2, 3)]
        assert trail[1].cause == cause(2, "lw run")
        assert trail[1].data["digest"] == a_version("two").digest

    def test_the_files_of_a_version_are_never_forgotten(self, stores: Stores) -> None:
        files = a_version().files.values()
        stores.versions.add(a_version(), [an_artifact(digest) for digest in files], cause())
        start(stores)
        assert stores.artifacts.unreferenced(before=at(10_000)) == []
        assert stores.artifacts.forget_unreferenced(cause(), before=at(10_000)) == []
        assert {artifact.digest for artifact in stores.artifacts.list()} == set(files)


class RoutesConformance:
    """Routes and the aliases that move with them."""

    def test_a_loop_without_a_route_has_none(self, stores: Stores) -> None:
        stores.versions.add(a_version(), [], cause())
        assert stores.routes.current("flights") is None
        assert (stores.routes.loops(), stores.routes.newest(), stores.routes.history("flights")) == ([], [], [])

    def test_a_route_is_changed_with_its_aliases_and_event(self, stores: Stores) -> None:
        for name in ("one", "two"):
            stores.versions.add(a_version(name), [], cause())
        first = stores.routes.change(a_route(("champion", 1, 1.0)), {"champion": 1}, cause(1, "the first"), None)
        wider = a_route(("champion", 1, 0.9), ("challenger", 2, 0.1))
        second = stores.routes.change(wider, {"challenger": 2}, cause(2), first.number, "CanaryStarted", {"stage": 1})
        assert (first.number, first.actor, first.at, first.reason) == (1, "tester", at(1), "the first")
        assert (second.number, second.kind, second.arms) == (2, "CanaryStarted", wider.arms)
        assert stores.routes.current("flights") == second
        assert stores.routes.history("flights") == [second, first]
        assert stores.routes.newest() == [second]
        assert stores.routes.loops() == ["flights"]
        assert [v.aliases for v in stores.versions.list("flights")] == [("challenger",), ("champion",)]
        trail = stores.events.list(subject="loop:flights")
        assert [event.kind for event in trail] == ["VersionPromoted", "CanaryStarted"]
        assert trail[0].data == {
            "route": 1, "arms": [{"name": "champion", "version": 1, "share": 1.0}], "aliases": {"champion": 1},
        }  # fmt: skip
        assert trail[1].data["stage"] == 1

    def test_an_alias_moves_and_is_dropped(self, stores: Stores) -> None:
        for name in ("one", "two"):
            stores.versions.add(a_version(name), [], cause())
        stores.routes.change(a_route(("champion", 1, 1.0)), {"champion": 1, "kept": 1}, cause(), None)
        stores.routes.change(a_route(("champion", 2, 1.0)), {"champion": 2, "kept": None}, cause(), 1, ROLLED_BACK)
        assert [v.aliases for v in stores.versions.list("flights")] == [("champion",), ()]
        assert stores.events.list()[-1].kind == ROLLED_BACK

    def test_a_change_of_a_route_that_was_changed_meanwhile_is_refused_whole(self, stores: Stores) -> None:
        for name in ("one", "two"):
            stores.versions.add(a_version(name), [], cause())
        route = a_route(("champion", 1, 1.0))
        assert "revision 0" in refusal(Conflict, stores.routes.change, route, {}, cause(), 1)
        stores.routes.change(route, {"champion": 1}, cause(), None)
        late = a_route(("champion", 2, 1.0))
        for expected in (None, 2, 0):
            assert "tester" in refusal(Conflict, stores.routes.change, late, {"champion": 2}, cause(), expected)
        assert stores.versions.get("flights", "champion").number == 1
        assert len(stores.routes.history("flights")) == 1

    def test_a_route_to_a_version_that_is_not_there_is_refused_whole(self, stores: Stores) -> None:
        stores.versions.add(a_version(), [], cause())
        before = len(stores.events.list())
        for route, aliases in (
            (a_route(("champion", 2, 1.0)), {}),
            (a_route(("champion", 1, 1.0)), {"champion": 1, "challenger": 2}),
        ):
            refusal(VersionNotFound, stores.routes.change, route, aliases, cause(), None)
        assert stores.routes.current("flights") is None
        assert stores.versions.get("flights", "1").aliases == ()
        assert len(stores.events.list()) == before


class KeysConformance:
    """API keys."""

    def test_a_key_comes_back_as_it_was_made_by_whom_and_when(self, stores: Stores) -> None:
        added = stores.keys.add(a_key(expires_seconds=9.5), cause(3))
        assert added == replace(a_key(expires_seconds=9.5), created_at=at(3), created_by="tester")
        assert stores.keys.get("abcd012345") == added
        stores.keys.add(replace(a_key("0000000000"), loops=frozenset(), rate_per_second=None), cause(4))
        assert [key.id for key in stores.keys.list()] == ["abcd012345", "0000000000"]
        assert stores.keys.list()[1].expires_at is None

    def test_the_trail_tells_of_a_key_all_but_its_hash(self, stores: Stores) -> None:
        stores.keys.add(a_key(expires_seconds=60), cause(1))
        stores.keys.revoke("abcd012345", cause(2, "it was on a screen"))
        made, revoked = stores.events.list(subject="key:abcd012345")
        assert (made.kind, made.cause, revoked.kind) == ("KeyMade", cause(1), "KeyRevoked")
        assert revoked.cause == cause(2, "it was on a screen")
        assert made.data == {
            "name": "the shop", "owner": "shop@example", "scopes": ["predict", "view"], "loops": ["flights", "ÜA"],
            "expires_at": at(60).isoformat(), "rate_per_second": 2.5,
        }  # fmt: skip

    def test_an_id_is_taken_once(self, stores: Stores) -> None:
        first = stores.keys.add(a_key(), cause())
        assert "abcd012345" in refusal(Conflict, stores.keys.add, replace(a_key(), name="other"), cause(1))
        assert (stores.keys.list(), len(stores.events.list())) == ([first], 1)

    def test_a_revoked_key_stays_revoked_from_the_first_time_on(self, stores: Stores) -> None:
        stores.keys.add(a_key(), cause())
        revoked = stores.keys.revoke("abcd012345", cause(5))
        assert revoked.revoked_at == at(5)
        assert stores.keys.revoke("abcd012345", cause(6)) == revoked == stores.keys.get("abcd012345")
        assert len(stores.events.list()) == 2
        assert stores.keys.list() == [revoked]

    def test_a_key_that_nobody_made_is_refused_and_a_whole_key_is_not_repeated(self, stores: Stores) -> None:
        for call in (stores.keys.get, lambda name: stores.keys.revoke(name, cause())):
            assert "'zzzz012345'" in refusal(KeyNotFound, call, "zzzz012345")
            assert "secret" not in refusal(KeyNotFound, call, "lw_zzzz012345_secret")

    def test_the_last_use_never_goes_back_and_is_no_event(self, stores: Stores) -> None:
        stores.keys.add(a_key(), cause())
        for seconds in (7200, 3600):
            stores.keys.note_use({"abcd012345": at(seconds), "nobody": at(1)})
        assert stores.keys.get("abcd012345").last_used_at == at(7200)
        assert len(stores.events.list()) == 1


class StoresConformance(VersionsConformance, RoutesConformance, KeysConformance):
    """Runs, executions, artifacts and events; versions, routes and API keys too."""

    def test_a_run_comes_back_as_it_was_requested(self, stores: Stores) -> None:
        run, is_new = stores.runs.request(a_run(), cause())
        assert is_new
        assert stores.runs.get("first") == run == a_run()

    def test_the_same_request_while_one_is_unfinished_gives_the_unfinished_run(self, stores: Stores) -> None:
        stores.runs.request(a_run("first", request="same"), cause())
        run, is_new = stores.runs.request(a_run("second", request="same"), cause())
        assert (run.id, is_new) == ("first", False)

    def test_the_same_request_after_the_first_finished_is_a_new_run(self, stores: Stores) -> None:
        stores.runs.finish(start(stores), RunStatus.SUCCEEDED, cause(1))
        assert stores.runs.request(a_run("second", request="first"), cause(2))[1]

    def test_runs_are_found_by_part_of_the_id_and_by_last(self, stores: Stores) -> None:
        stores.runs.request(a_run("20260101-aa"), cause())
        stores.runs.request(a_run("20260102-ab", seconds=1), cause(1))
        assert stores.runs.get("aa").id == "20260101-aa"
        assert stores.runs.get("last").id == "20260102-ab"
        assert "several" in refusal(RunNotFound, stores.runs.get, "2026")
        assert "'zz'" in refusal(RunNotFound, stores.runs.get, "zz")
        assert "'%'" in refusal(RunNotFound, stores.runs.get, "%")

    def test_runs_are_listed_newest_first(self, stores: Stores) -> None:
        for number, pipeline in enumerate(["a", "b", "a"]):
            stores.runs.request(a_run(str(number), seconds=number, pipeline=pipeline), cause())
        assert [run.id for run in stores.runs.list()] == ["2", "1", "0"]
        assert [run.id for run in stores.runs.list(limit=1)] == ["2"]
        assert [run.id for run in stores.runs.list(pipeline="a")] == ["2", "0"]

    def test_a_held_run_cannot_be_taken(self, stores: Stores) -> None:
        start(stores)
        message = refusal(LeaseLost, stores.runs.acquire, a_lease(holder="worker-2"), cause(1), [], is_alive=alive)
        assert "worker-1" in message

    def test_a_run_whose_lease_expired_is_taken_with_a_higher_token(self, stores: Stores) -> None:
        first = start(stores)
        second = stores.runs.acquire(a_lease(holder="worker-2", seconds=6), cause(6), [], is_alive=alive)
        assert second.token == first.token + 1
        assert stores.runs.get("first").lease == second

    def test_a_run_whose_worker_is_known_to_be_dead_is_taken_at_once(self, stores: Stores) -> None:
        start(stores)
        assert stores.runs.acquire(a_lease(holder="worker-2", seconds=1), cause(1), [], is_alive=dead).token == 2

    def test_a_worker_that_comes_back_late_cannot_write(self, stores: Stores) -> None:
        late = start(stores)
        stores.runs.acquire(a_lease(holder="worker-2", seconds=6), cause(6), [], is_alive=alive)
        refusal(LeaseLost, stores.executions.save, late, [ran(late)], cause(7), [an_artifact("out")])
        refusal(LeaseLost, stores.runs.heartbeat, late, at(20))
        refusal(LeaseLost, stores.runs.finish, late, RunStatus.SUCCEEDED, cause(7))
        assert stores.executions.of_run("first") == []
        assert stores.artifacts.list() == []
        assert stores.runs.get("first").status is RunStatus.RUNNING

    def test_a_finished_run_takes_no_more_writes_from_its_own_worker(self, stores: Stores) -> None:
        lease = start(stores)
        stores.runs.finish(lease, RunStatus.CANCELLED, cause(1))
        assert "finished" in refusal(LeaseLost, stores.executions.save, lease, [ran(lease)], cause(2))

    def test_a_heartbeat_extends_the_lease_and_writes_no_event(self, stores: Stores) -> None:
        lease = start(stores)
        before = len(stores.events.list())
        run = stores.runs.heartbeat(lease, at(60))
        assert run.lease
        assert run.lease.expires_at == at(60)
        assert len(stores.events.list()) == before

    def test_a_finished_run_keeps_its_error_and_can_be_taken_up_again(self, stores: Stores) -> None:
        lease = start(stores)
        error = Failure(kind="ValueError", message="no rows", where="flights.py:3", traceback="...")
        assert stores.runs.finish(lease, RunStatus.FAILED, cause(1), error).error == error
        stores.runs.acquire(a_lease(seconds=2), cause(2), [], is_alive=alive)
        run = stores.runs.get("first")
        assert (run.status, run.error, run.finished_at) == (RunStatus.RUNNING, None, None)

    def test_a_failed_run_is_not_reopened_beside_its_own_repetition(self, stores: Stores) -> None:
        stores.runs.finish(start(stores), RunStatus.FAILED, cause(1))
        stores.runs.request(a_run("second", request="first", seconds=2), cause(2))
        message = refusal(LeaseLost, stores.runs.acquire, a_lease(seconds=3), cause(3), [], is_alive=alive)
        assert "second" in message

    def test_a_cancel_is_told_to_the_worker_by_its_heartbeat(self, stores: Stores) -> None:
        lease = start(stores)
        stores.runs.request_cancel("first", cause(1))
        assert stores.runs.heartbeat(lease, at(9)).cancel_requested_at == at(1)

    def test_a_finished_run_is_not_cancelled(self, stores: Stores) -> None:
        stores.runs.finish(start(stores), RunStatus.SUCCEEDED, cause(1))
        assert stores.runs.request_cancel("first", cause(2)).cancel_requested_at is None

    def test_an_execution_comes_back_as_it_was_saved(self, stores: Stores) -> None:
        lease = start(stores)
        stores.executions.save(lease, [ran(lease)], cause(1), [an_artifact("out")])
        assert stores.executions.of_run("first") == [ran(lease)]
        failed = replace(ran(lease), status=ExecutionStatus.FAILED, error=Failure(kind="E", message="m"), output=None)
        stores.executions.save(lease, [failed], cause(2))
        assert stores.executions.of_run("first") == [failed]

    def test_executions_are_counted_by_status(self, stores: Stores) -> None:
        lease = start(stores)
        steps = [ran(lease, "a"), ran(lease, "b"), replace(ran(lease, "c"), status=ExecutionStatus.FAILED)]
        stores.executions.save(lease, steps, cause(1))
        assert stores.executions.of_runs(["first", "other"]) == {"first": {"ran": 2, "failed": 1}}

    def test_only_what_ran_and_is_still_there_is_reusable(self, stores: Stores) -> None:
        lease = start(stores)
        stores.executions.save(lease, [ran(lease)], cause(1), [an_artifact("out")])
        found = stores.executions.reusable("key")
        assert found
        assert found.output == "out"
        assert stores.executions.reusable("other") is None
        stores.executions.save(lease, [replace(ran(lease), status=ExecutionStatus.FAILED)], cause(2))
        assert stores.executions.reusable("key") is None

    def test_a_reuse_of_a_collected_output_is_refused_whole(self, stores: Stores) -> None:
        lease = start(stores)
        reused = replace(ran(lease), status=ExecutionStatus.REUSED, reused_from="zero")
        refusal(ArtifactNotFound, stores.executions.save, lease, [reused], cause(1))
        assert stores.executions.of_run("first") == []

    def test_artifacts_are_recorded_with_what_names_them(self, stores: Stores) -> None:
        lease = start(stores)
        stores.executions.save(lease, [ran(lease)], cause(1), [an_artifact("out"), an_artifact("out")])
        assert stores.artifacts.get("out") == an_artifact("out")
        refusal(ArtifactNotFound, stores.artifacts.get, "other")

    def test_what_anything_refers_to_is_never_forgotten(self, stores: Stores) -> None:
        stores.runs.request(a_run(), cause())
        code = replace(a_lease(), code="code", environment="environment", git_diff="diff")
        named = [an_artifact(name) for name in ("code", "environment", "diff")]
        lease = stores.runs.acquire(code, cause(), named, is_alive=alive)
        kept = [an_artifact("out", parts=("part",)), an_artifact("part"), an_artifact("log"), an_artifact("loose")]
        stores.executions.save(lease, [replace(ran(lease), log="log")], cause(1), kept)
        assert [artifact.digest for artifact in stores.artifacts.unreferenced()] == ["loose"]
        assert [artifact.digest for artifact in stores.artifacts.forget_unreferenced(cause(2))] == ["loose"]
        remaining = {artifact.digest for artifact in stores.artifacts.list()}
        assert remaining == {"code", "diff", "environment", "log", "out", "part"}

    def test_old_outputs_are_forgotten_but_not_those_of_the_newest_success(self, stores: Stores) -> None:
        for number in range(3):
            lease = start(stores, f"run-{number}", seconds=10 * number)
            output = f"out-{number}"
            stores.executions.save(lease, [ran(lease, output=output)], cause(10 * number), [an_artifact(output)])
            status = RunStatus.FAILED if number == 2 else RunStatus.SUCCEEDED
            stores.runs.finish(lease, status, cause(10 * number + 1))
        old = stores.artifacts.unreferenced(before=at(100))
        assert [artifact.digest for artifact in old] == ["out-0", "out-2"]
        assert [artifact.digest for artifact in stores.artifacts.unreferenced(before=at(5))] == ["out-0"]

    def test_every_change_is_told_in_order_with_who_what_when_and_why(self, stores: Stores) -> None:
        lease = start(stores)
        stores.executions.save(lease, [ran(lease)], cause(1), [an_artifact("out")])
        stores.runs.request_cancel("first", cause(2, "too slow"))
        stores.runs.finish(lease, RunStatus.CANCELLED, cause(3))
        stores.runs.acquire(a_lease(seconds=4), cause(4), [], is_alive=alive)
        trail = stores.events.list(subject="run:first")
        told = ["RunRequested", "RunStarted", "StepRan", "RunCancelRequested", "RunCancelled", "RunResumed"]
        assert [event.kind for event in trail] == told
        assert [event.number for event in trail] == sorted(event.number for event in trail)
        assert trail[3].cause == cause(2, "too slow")
        assert trail[2].data["step"] == "load"
        after = stores.events.list(after=trail[2].number, limit=1)
        assert [event.kind for event in after] == ["RunCancelRequested"]

    def test_what_was_found_is_told_once_until_it_changes(self, stores: Stores) -> None:
        found = {"suspected": ["hour"], "version": 3}
        assert stores.events.add("DriftFound", "loop:flights", cause(1), found)
        assert not stores.events.add("DriftFound", "loop:flights", cause(2), found)
        assert stores.events.add("SchemaChanged", "loop:flights", cause(3), {"changes": ("hour is gone",)})
        assert not stores.events.add("SchemaChanged", "loop:flights", cause(4), {"changes": ["hour is gone"]})
        assert not stores.events.add("DriftFound", "loop:flights", cause(5), found)
        assert stores.events.add("DriftFound", "loop:other", cause(6), found)
        assert stores.events.add("DriftFound", "loop:flights", cause(7), found | {"version": 4})
        told = stores.events.list(subject="loop:flights")
        assert [event.kind for event in told] == ["DriftFound", "SchemaChanged", "DriftFound"]
        assert told[0].data == found
        assert told[0].cause == cause(1)


class BlobsConformance:
    """Content by digest. Give it a fixture `blobs`."""

    def test_content_comes_back_by_its_digest(self, blobs: Blobs, tmp_path: Path) -> None:
        for content in (b"", b"flights", bytes(3_000_000)):
            blob = blobs.put(content)
            assert blob.digest == hashlib.sha256(content).hexdigest()
            assert blob.size_bytes == len(content)
            assert blobs.read(blob.digest) == content
            with blobs.local(blob.digest) as path:
                assert path.read_bytes() == content

    def test_a_file_is_stored_as_its_content(self, blobs: Blobs, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"flights")
        assert blobs.put(source).digest == blobs.put(b"flights").digest
        assert source.read_bytes() == b"flights"

    def test_equal_content_is_stored_once(self, blobs: Blobs, tmp_path: Path) -> None:
        blobs.put(b"same")
        blobs.put(b"same")
        assert [blob.size_bytes for blob in blobs.list()] == [4]

    def test_content_that_is_not_there_is_said_to_be_gone(self, blobs: Blobs, tmp_path: Path) -> None:
        digest = blobs.put(b"gone").digest
        assert blobs.has(digest, 4)
        assert not blobs.has(digest, 5)
        blobs.delete([digest, "f" * 64])
        assert not blobs.has(digest, 4)
        assert digest in refusal(ArtifactNotFound, blobs.read, digest)
        assert list(blobs.list()) == []
