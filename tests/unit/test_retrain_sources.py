"""Sources that are looked at between two trainings: when, of which loops, and what is told of one that fails."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.retraining import DAY, NOON, Kept

import loopwright as lw
from loopwright.core.deployment import Deployment
from loopwright.core.retraining import RetrainingStatus
from loopwright.core.run import Lease, Run, RunStatus
from loopwright.errors import StepError
from loopwright.retrain.reconciler import Retrainings
from loopwright.retrain.sources import Sources, last_look
from loopwright.retrain.triggers import Retrain, every, on_decay, on_drift, on_new_data, to_spec

HOUR = 3600.0


class Shop:
    """Loops with sources, and what was brought in of them; each brings rows as far as it is told to."""

    def __init__(self) -> None:
        self.kept = Kept()
        self.brought: list[str] = []
        self.until, self.error = NOON, ""
        self.deploy(Retrain([on_new_data("30d")]))

    def deploy(self, retrain: Retrain, *, has_source: bool = True, loop: str = "late") -> None:
        before = self.kept.stores.deployments.get("late")
        spec = {**before.spec, "loop": loop, "retrain": to_spec(retrain), "has_source": has_source}
        code = f"code of {len(list(self.kept.stores.events.list()))}"
        self.kept.stores.deployments.add(replace(before, loop=loop, code=code, spec=spec), [], self.kept.cause())

    def bring(self, deployment: Deployment) -> str:
        self.brought.append(deployment.loop)
        if self.error:
            raise StepError(self.error)
        self.kept.tables.until = self.until
        return "7 new rows were appended to flights"

    def sources(self) -> Sources:
        return Sources(stores=self.kept.stores, clock=self.kept.clock, actor="tester", bring=self.bring)

    def retrainings(self) -> Retrainings:
        kept = self.kept
        return Retrainings(
            stores=kept.stores, tables=kept.tables, clock=kept.clock, actor="tester", run=kept.runs.run,
            lease_clock=kept.lease_clock, sources=self.sources(),
        )  # fmt: skip

    def says(self, loop: str = "late") -> str:
        return last_look(self.kept.stores, self.kept.stores.deployments.get(loop))

    def told(self) -> list[tuple[str, str]]:
        found = self.kept.stores.events.list(kinds=["ReconcilerFailed", "ReconcilerRecovered"])
        return [(one.kind, one.data["reconciler"]) for one in found]


def test_new_rows_in_a_source_make_the_loop_learn_although_nobody_ran_it() -> None:
    shop = Shop()
    retrainings = shop.retrainings()
    assert retrainings.reconcile() == 2  # new code
    shop.until = NOON + 30 * DAY
    shop.kept.clock.advance(30 * 86_400)
    assert retrainings.reconcile() == 2
    assert [one.trigger for one in shop.kept.past] == ["new code", "on_new_data"]


def test_a_source_is_looked_at_once_an_hour_whoever_looks() -> None:
    shop = Shop()
    first = shop.retrainings()
    for _ in range(3):
        first.reconcile()
    assert shop.brought == ["late"]
    shop.kept.clock.advance(HOUR - 1)
    shop.retrainings().reconcile()  # another process, which has seen nothing itself
    assert shop.brought == ["late"]
    shop.kept.clock.advance(1)
    shop.retrainings().reconcile()
    first.reconcile()
    assert shop.brought == ["late"] * 2


def test_a_clock_that_goes_back_a_year_holds_no_look_up() -> None:
    shop = Shop()
    sources, deployment = shop.sources(), shop.kept.stores.deployments.get("late")
    shop.kept.clock.jump(365 * 86_400)
    sources.look(deployment)
    shop.kept.clock.jump(-365 * 86_400)
    sources.look(deployment)
    sources.look(deployment)
    assert len(shop.brought) == 2


@pytest.mark.parametrize(
    ("retrain", "has_source", "count"),
    [
        (Retrain([on_drift()]), True, 1),
        (Retrain([on_new_data("1d")]), False, 0),
        (Retrain([every("1d"), on_decay("roc_auc", by=0.1)]), True, 0),
    ],
    ids=["drift", "no source", "no trigger looks at rows"],
)
def test_a_source_is_looked_at_where_a_trigger_looks_at_its_rows(
    retrain: Retrain, has_source: bool, count: int
) -> None:
    shop = Shop()
    shop.deploy(retrain, has_source=has_source)
    shop.sources().look(shop.kept.stores.deployments.get("late"))
    assert (len(shop.brought), bool(shop.says())) == (count, bool(count))


def test_a_deployment_from_before_sources_were_told_of_has_none() -> None:
    kept = Kept()
    assert "has_source" not in kept.stores.deployments.get("late").spec
    assert last_look(kept.stores, kept.stores.deployments.get("late")) == ""


def test_the_spec_says_whether_there_is_a_source_and_not_which() -> None:
    def train(data: lw.TrainingData) -> None: ...

    @lw.step
    def ingest(loop: str) -> str:
        return loop

    table = lw.Table("flights", key="id", time="at", label="late")
    loop = lw.Loop(name="late", table=table, train=train, judge=lw.Judge("roc_auc"), source="s3://secret/rows.csv")
    assert loop.spec()["has_source"] is True
    assert "secret" not in str(loop.spec())
    assert replace(loop, source=None).spec()["has_source"] is False
    assert replace(loop, steps=[ingest]).spec()["has_source"] is False  # its own step sees to it


def test_while_a_run_of_the_loop_goes_on_its_source_is_left_alone() -> None:
    shop = Shop()
    kept = shop.kept
    sources, deployment = shop.sources(), kept.stores.deployments.get("late")
    asked = Run(id="run-1", pipeline="late", file="/loop.py", parameters={}, seed=0, request_key="one",
                status=RunStatus.RUNNING, created_at=NOON)  # fmt: skip
    kept.stores.runs.request(asked, kept.cause())
    lease = Lease(run_id="run-1", token=0, holder="elsewhere/1/2/3/4", acquired_at=NOON, expires_at=NOON + DAY)
    held = kept.stores.runs.acquire(lease, kept.cause(), [], is_alive=lambda _: None)
    sources.look(deployment)
    assert shop.brought == []
    kept.stores.runs.finish(held, RunStatus.SUCCEEDED, kept.cause())
    sources.look(deployment)
    assert shop.brought == ["late"]


def test_while_a_retraining_has_not_ended_the_source_is_left_alone() -> None:
    shop = Shop()
    shop.kept.runs.status = "running"
    retrainings = shop.retrainings()
    retrainings.reconcile()
    shop.kept.clock.advance(2 * HOUR)
    retrainings.reconcile()
    assert shop.brought == ["late"]
    shop.kept.runs.status = "succeeded"
    retrainings.reconcile()
    assert shop.brought == ["late"] * 2


def test_a_source_that_fails_is_told_once_tried_at_the_next_turn_and_stops_nothing_else() -> None:
    shop = Shop()
    shop.deploy(Retrain([on_new_data("30d")]), loop="other")
    shop.error = "the source cannot be read: no such file"
    retrainings = shop.retrainings()
    retrainings.reconcile()
    assert [one.status for one in shop.kept.stores.retrainings.list()] == [RetrainingStatus.SUCCEEDED] * 2
    for _ in range(3):
        shop.kept.clock.advance(HOUR)
        retrainings.reconcile()
        retrainings.reconcile()
    assert (shop.brought.count("late"), shop.brought.count("other")) == (4, 4)
    assert shop.told() == [("ReconcilerFailed", "source")] * 2
    assert shop.says() == (
        "its source was looked at last on 2026-03-02 15:00 UTC, in vain: the source cannot be read: no such file"
    )
    shop.error = ""
    shop.kept.clock.advance(HOUR)
    retrainings.reconcile()
    assert shop.told()[2:] == [("ReconcilerRecovered", "source")] * 2
    assert shop.says() == ("its source was looked at last on 2026-03-02 16:00 UTC: 7 new rows were appended to flights")


def test_a_trouble_is_over_when_the_loop_has_no_source_any_more() -> None:
    shop = Shop()
    shop.error = "the source cannot be read: no such file"
    retrainings = shop.retrainings()
    retrainings.reconcile()
    shop.deploy(Retrain([on_new_data("30d")]), has_source=False)
    retrainings.reconcile()
    assert shop.told() == [("ReconcilerFailed", "source"), ("ReconcilerRecovered", "source")]


def test_of_two_that_see_that_it_is_time_one_looks() -> None:
    shop = Shop()
    deployment, second = shop.kept.stores.deployments.get("late"), shop.sources()

    def bring(deployment: Deployment) -> str:
        second.look(deployment)
        return shop.bring(deployment)

    first = Sources(stores=shop.kept.stores, clock=shop.kept.clock, actor="tester", bring=bring)
    assert shop.says() == "its source was not looked at yet: lw up does"
    first.look(deployment)
    assert shop.brought == ["late"]


def test_killed_while_it_looks_the_next_one_looks_an_hour_later() -> None:
    shop = Shop()
    deployment = shop.kept.stores.deployments.get("late")

    def killed(_: Deployment) -> str:
        raise KeyboardInterrupt

    dying = Sources(stores=shop.kept.stores, clock=shop.kept.clock, actor="tester", bring=killed)
    with pytest.raises(KeyboardInterrupt):
        dying.look(deployment)
    assert shop.says() == "its source was looked at last on 2026-03-02 12:00 UTC: that has not ended"
    shop.sources().look(deployment)
    assert shop.brought == []
    shop.kept.clock.advance(HOUR)
    shop.sources().look(deployment)
    assert shop.brought == ["late"]
