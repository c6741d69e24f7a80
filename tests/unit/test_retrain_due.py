"""When a loop learns again: each trigger, what holds it, and what it says it is waiting for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from tests.unit.retraining import DAY, HOUR, NOON, facts, past

import loopwright as lw
from loopwright.core.retraining import Retraining, RetrainingStatus
from loopwright.errors import DataError, DeclarationError
from loopwright.retrain.due import Due, Waiting, answers, decide, due, held, learns_since, new_code
from loopwright.retrain.facts import Coming, Moved, Quality
from loopwright.retrain.schedule import following, slot
from loopwright.retrain.triggers import Retrain, Trigger, every, from_spec, on_decay, on_drift, on_new_data, to_spec

NEW_YORK, BERLIN = "America/New_York", "Europe/Berlin"
LEARNED = NOON - 10 * DAY
DRIFTED = Moved(at=NOON - DAY, champion="late v1", drifted=("carrier", "hour"))
ON_ITS_WAY = Coming(says="late v2 is on its way", since=NOON - DAY)


def quality(value: float, *, labels: int = 900, **more: float) -> dict[str, Quality]:
    made: dict[str, Any] = {"nearest": None, **more}
    return {
        "roc_auc": Quality(metric="roc_auc", bigger_is_better=True, judged=0.72, value=value, labels=labels, **made)
    }


DECLINED = quality(0.65, nearest=0.68, before=0.66, nearest_before=0.685)


DUE: list[tuple[Trigger, dict[str, Any], str]] = [
    (on_new_data("30d"), {"rows_until": LEARNED + 30 * DAY}, "rows of 30d came since the last training"),
    (on_new_data("30d"), {"trained_until": None}, "the first rows came"),
    (on_drift(), {"moved": DRIFTED, "rows_until": NOON}, "carrier, hour drifted from what late v1 was trained on"),
    (on_decay("roc_auc", by=0.03), {"quality": DECLINED}, "roc_auc 0.650 after 0.660, alarm below 0.690; 900 of"),
    (on_decay("roc_auc", by=0.03), {"quality": quality(0.68), "alarmed_at": NOON}, "900 of 500 labels"),
    (every("10d"), {}, "the last training was on 2026-02-20, 10d ago"),
    (every("0 3 * * 1"), {}, "0 3 * * 1 came at 2026-03-02 03:00 UTC"),
]
WAITING: list[tuple[Trigger, dict[str, Any], str]] = [
    (on_new_data("30d"), {"rows_until": None}, "no rows with a time yet"),
    (on_new_data("30d"), {"rows_until": LEARNED + 29 * DAY}, "rows of 29d came since the last training, up to 2026-03"),
    (on_new_data("30d"), {}, "no rows came since the last training: the newest is of 2026-02-20; 30d are waited for"),
    (on_drift(), {}, "no drift was found since"),
    (on_drift(), {"moved": Moved(at=NOON, champion="late v1", suspected=("hour",))}, "1 of 2 windows in a row drifted"),
    (on_drift(), {"moved": Moved(at=LEARNED, champion="late v1", drifted=("hour",))}, "no drift was found since"),
    (on_drift(), {"moved": Moved(at=NOON, champion="late v0", drifted=("hour",))}, "no drift was found since"),
    (on_drift(), {"moved": DRIFTED}, "no rows came since it learned, and the same ones would make the same model"),
    (on_decay("roc_auc", by=0.03), {}, "not measured on labels"),
    (on_decay("roc_auc", by=0.03), {"quality": quality(0.71)}, "roc_auc 0.710, alarm below 0.690"),
    (on_decay("roc_auc", by=0.03), {"quality": quality(0.68, nearest=0.70)}, "may still be chance"),
    (on_decay("roc_auc", by=0.03), {"quality": quality(0.6, nearest=0.62)}, "0.600, alarm below 0.690; one window bey"),
    (
        on_decay("roc_auc", by=0.03),
        {"quality": quality(0.6, nearest=0.62, before=0.68, nearest_before=0.7)},
        "one window beyond the limit, a second decides",
    ),
    (
        on_decay("roc_auc", by=0.03),
        {"quality": quality(0.68, nearest=0.7, before=0.6, nearest_before=0.62)},
        "0.680, alarm below 0.690; that may still be chance",
    ),
    (
        on_decay("roc_auc", by=0.03),
        {"quality": quality(0.7, nearest=0.72, before=0.6, nearest_before=0.62)},
        "roc_auc 0.700, alarm below 0.690",
    ),
    (
        on_decay("roc_auc", by=0.03),
        {"quality": quality(0.6, nearest=0.62, before=0.61, nearest_before=0.63, labels=312)},
        "roc_auc 0.600 after 0.610, alarm below 0.690; 312 of 500 labels",
    ),
    (every("90d"), {}, "next on 2026-05-21 12:00 UTC"),
    (every("0 3 * * 2"), {"deployed_at": NOON - 2 * DAY}, "next on 2026-03-03 03:00 UTC"),
]


@pytest.mark.parametrize(("trigger", "changed", "says"), DUE, ids=[says for _, _, says in DUE])
def test_a_trigger_is_due(trigger: Trigger, changed: dict[str, Any], says: str) -> None:
    found = due(trigger, facts(**changed))
    assert isinstance(found, Due), found
    assert says in found.reason
    assert decide(Retrain([trigger]), facts(**changed)) == found


@pytest.mark.parametrize(("trigger", "changed", "says"), WAITING, ids=[says for _, _, says in WAITING])
def test_a_trigger_says_what_it_is_waiting_for(trigger: Trigger, changed: dict[str, Any], says: str) -> None:
    found = due(trigger, facts(**changed))
    assert isinstance(found, Waiting), found
    assert says in found.reason
    assert decide(Retrain([trigger]), facts(**changed)) is None


def test_where_smaller_is_better_both_windows_must_lie_above_the_limit() -> None:
    trigger = on_decay("log_loss", by=0.1)
    two = Quality(
        metric="log_loss", bigger_is_better=False, judged=0.4, value=0.6, nearest=0.55, labels=900, before=0.58,
        nearest_before=0.53,
    )  # fmt: skip
    found = due(trigger, facts(quality={"log_loss": two}))
    assert isinstance(found, Due)
    assert found.reason.startswith("log_loss 0.600 after 0.580, alarm above 0.500")
    assert (found.evidence["value"], found.evidence["before"]) == (0.6, 0.58)
    one = due(trigger, facts(quality={"log_loss": replace(two, nearest_before=0.49)}))
    assert isinstance(one, Waiting)
    assert one.reason == "log_loss 0.600, alarm above 0.500; one window beyond the limit, a second decides"


def test_new_code_learns_once() -> None:
    found = new_code(facts(is_learned=False))
    assert isinstance(found, Due)
    assert (found.cause, found.is_fresh) == ("new code:1", True)
    done = facts(is_learned=False, past=(past("new code", at=NOON, cause=found.cause, status=RetrainingStatus.FAILED),))
    assert isinstance(new_code(done), Waiting)
    assert isinstance(new_code(facts()), Waiting)


def test_of_several_that_are_due_one_runs_and_new_code_goes_first() -> None:
    everything = {"moved": DRIFTED, "quality": DECLINED, "rows_until": NOON + 30 * DAY}
    declared = Retrain([every("1d"), on_new_data("30d"), on_drift(), on_decay("roc_auc", by=0.03)])
    names = [decide(declared, facts(**everything, is_learned=False)), decide(declared, facts(**everything))]
    assert [one.trigger for one in names if one] == ["new code", "on_decay"]
    told = [name for name, _ in answers(declared, facts())]
    assert told == ["new code", "on_decay roc_auc by 0.03", "on_drift", "on_new_data 30d", "every 1d"]


HELD: list[tuple[str, dict[str, Any], str]] = [
    ("on_drift", {"past": (past(at=NOON - DAY),)}, "cool-down until 2026-03-03 12:00 UTC: 2d after"),
    (
        "every",
        {"past": (past("every", at=NOON - HOUR, status=RetrainingStatus.CLAIMED, finished_at=None),)},
        "not ende",
    ),
    (
        "every",
        {"past": (past(at=NOON - 3 * DAY), past(at=NOON - 6 * DAY))},
        "budget 2 of 2 this week: free again on 2026-03-03 12:00 UTC",
    ),
    ("on_decay", {"coming": ON_ITS_WAY}, "late v2 is on its way; waited for until 2026-03-03 12:00 UTC at most"),
]


@pytest.mark.parametrize(("trigger", "changed", "says"), HELD, ids=[says for _, _, says in HELD])
def test_what_is_due_waits_for_its_turn(trigger: str, changed: dict[str, Any], says: str) -> None:
    assert says in held(trigger, Retrain(), facts(**changed))


FREE: list[tuple[str, dict[str, Any]]] = [
    ("on_drift", {}),
    ("on_drift", {"past": (past(at=NOON - 2 * DAY),)}),
    ("on_drift", {"past": (past("new code", at=NOON - HOUR), past("by hand", at=NOON - HOUR))}),
    ("new code", {"past": (past(at=NOON - HOUR), past(at=NOON - 2 * HOUR))}),
    ("every", {"coming": ON_ITS_WAY}),
    ("on_drift", {"coming": replace(ON_ITS_WAY, since=NOON - 2 * DAY)}),
    ("on_decay", {"coming": replace(ON_ITS_WAY, to_do="lw release resume late")}),
    ("every", {"past": (past(at=NOON + 365 * DAY),)}),
]


@pytest.mark.parametrize(
    ("trigger", "changed"), FREE, ids=[f"{name} {number}" for number, (name, _) in enumerate(FREE)]
)
def test_what_nothing_holds_runs(trigger: str, changed: dict[str, Any]) -> None:
    assert held(trigger, Retrain(), facts(**changed)) == ""


def test_a_drift_that_a_retraining_answered_makes_no_other_unless_more_drifts() -> None:
    answered = past(
        at=NOON - 5 * DAY,
        status=RetrainingStatus.REJECTED,
        evidence={"champion": "late v1", "columns": ["carrier", "hour"]},
    )
    known = {"past": (answered,), "trained": (answered.created_at,), "rows_until": NOON}
    found = due(on_drift(), facts(moved=DRIFTED, **known))
    assert isinstance(found, Waiting)
    assert "answered already" in found.reason
    more = Moved(at=NOON, champion="late v1", drifted=("carrier", "distance"))
    assert isinstance(due(on_drift(), facts(moved=more, **known)), Due)
    failed = past(at=NOON - 5 * DAY, status=RetrainingStatus.FAILED, evidence=answered.evidence)
    assert isinstance(due(on_drift(), facts(moved=DRIFTED, past=(failed,), rows_until=NOON)), Due)


def test_the_cause_is_the_same_for_all_who_look_until_it_learned_again() -> None:
    moved = {"moved": DRIFTED, "rows_until": NOON}
    first, later = (due(on_drift(), facts(**moved, now=NOON + wait)) for wait in (HOUR, 5 * HOUR))
    assert isinstance(first, Due)
    assert isinstance(later, Due)
    assert first.cause == later.cause
    after = due(on_drift(), facts(**moved, trained=(LEARNED, NOON - 2 * DAY)))
    assert isinstance(after, Due)
    assert after.cause != first.cause


@pytest.mark.parametrize(("trigger", "changed", "says"), DUE, ids=[says for _, _, says in DUE])
def test_what_failed_is_due_again_by_a_name_of_its_own(trigger: Trigger, changed: dict[str, Any], says: str) -> None:
    causes = list[str]()
    tried: tuple[Retraining, ...] = ()
    for status in (RetrainingStatus.FAILED, RetrainingStatus.FAILED, RetrainingStatus.REJECTED):
        found = due(trigger, facts(**changed, past=tried))
        assert isinstance(found, Due)
        assert ("failed" in found.reason) == bool(causes)
        causes.append(found.cause)
        at = NOON - HOUR + len(causes) * HOUR / 4
        tried = (past(found.trigger, at=at, cause=found.cause, evidence=found.evidence, status=status), *tried)
    assert causes == [causes[0], f"{causes[0]}, try 2", f"{causes[0]}, try 3"]
    assert isinstance(due(trigger, facts(**changed, past=tried)), Waiting)
    assert "cool-down" in held("every", Retrain(), facts(past=tried[1:]))


NEVER_WELL: list[tuple[Trigger, dict[str, Any], type]] = [
    (on_new_data("30d"), {"rows_until": LEARNED + DAY}, Waiting),
    (on_new_data("30d"), {"rows_until": LEARNED + 30 * DAY}, Due),
    (every("10d"), {"now": NOON - HOUR}, Waiting),
    (every("10d"), {}, Due),
]


@pytest.mark.parametrize(
    ("trigger", "changed", "answer"), NEVER_WELL, ids=["few rows", "more rows", "not yet", "some time later"]
)
def test_new_code_that_failed_is_tried_again_with_more_rows_or_by_schedule_and_not_as_it_is(
    trigger: Trigger, changed: dict[str, Any], answer: type
) -> None:
    known = {"rows_until": LEARNED.isoformat()}
    failed = past("new code", at=LEARNED, cause="new code:1", status=RetrainingStatus.FAILED, evidence=known)
    never = {"is_learned": False, "champion": None, "trained": (), "trained_until": None, "past": (failed,)}
    assert isinstance(due(trigger, facts(**(never | changed))), answer)
    assert "the retraining of 2026-02-20 failed" in new_code(facts(**never)).reason


def test_a_cron_line_is_named_with_its_zone() -> None:
    told = [name for name, _ in answers(Retrain([every("0 3 * * 1", zone=NEW_YORK), every("2d")]), facts())]
    assert told == ["new code", f"every 0 3 * * 1 {NEW_YORK}", "every 2d"]


class Turned:
    """A schedule under a clock that is turned."""

    def __init__(self, trigger: Trigger, begun: datetime) -> None:
        self.trigger, self.begun = trigger, begun
        self.fired: list[tuple[datetime, str, dict[str, Any]]] = []

    def look(self, now: datetime) -> bool:
        done = tuple(past("every", at=at, cause=cause, evidence=told) for at, cause, told in reversed(self.fired))
        trained = (self.begun, *(one.created_at for one in done))
        found = due(self.trigger, facts(now=now, deployed_at=self.begun, past=done, trained=trained))
        if isinstance(found, Due):
            self.fired.append((now, found.cause, dict(found.evidence)))
        return isinstance(found, Due)


JUMPS: dict[str, tuple[str, str, str, str]] = {
    "as it goes": ("0 3 * * *", "UTC", "26-03-01T00", "26-03-01T02 26-03-01T03+ 26-03-01T04 26-03-02T03+"),
    "an hour ahead and back": (
        *("0 3 * * *", "UTC", "26-03-01T00"),
        "26-03-01T03:30+ 26-03-01T02:30 26-03-01T03:30 26-03-02T03:06+",
    ),
    "a year ahead, where what was missed comes once": (
        *("0 3 * * *", "UTC", "26-03-01T00"),
        "26-03-01T03+ 27-03-01T04+ 27-03-01T05",
    ),
    "a year ahead and back, and then every day again": (
        *("0 3 * * *", "UTC", "26-03-01T00"),
        "26-03-01T03+ 27-03-01T04+ 26-03-01T05 26-03-02T03+ 26-03-02T04 26-03-03T03+",
    ),
    "a spring night that skips it": (
        *("30 2 * * *", NEW_YORK, "26-03-07T12"),
        "26-03-08T06:30 26-03-08T07+ 26-03-08T07:30 26-03-09T06:24 26-03-09T06:30+",
    ),
    "an autumn night that has it twice": (
        *("30 1 * * *", NEW_YORK, "26-10-31T12"),
        "26-11-01T05 26-11-01T05:30+ 26-11-01T06 26-11-01T06:30 26-11-01T09 26-11-02T06:30+",
    ),
    "an interval": ("2d", "UTC", "26-03-01T00", "26-03-02T23 26-03-03T00+ 26-03-03T05 26-03-04T23 26-03-05T00+"),
    "an interval, a year ahead and back": (
        *("2d", "UTC", "26-03-01T00"),
        "27-03-01T00+ 27-03-01T01 26-03-01T01 26-03-03T00+ 26-03-03T01",
    ),
    "an interval, set back before it began": ("2d", "UTC", "26-03-10T00", "26-03-01T00 26-03-11T00 26-03-12T00+"),
}
"""Schedule, zone, when it began, and looks at it; those that fire have a plus."""


@pytest.mark.parametrize("what", JUMPS)
def test_whatever_the_clock_does_each_moment_of_a_schedule_fires_once(what: str) -> None:
    when, zone, begun, looks = JUMPS[what]
    turned = Turned(every(when, zone=zone), _at(begun))
    seen = [one.rstrip("+") + "+" * turned.look(_at(one.rstrip("+"))) for one in looks.split()]
    assert seen == looks.split()
    assert len({cause for _, cause, _ in turned.fired}) == len(turned.fired)


def test_after_a_clock_that_was_ahead_new_data_goes_on_being_learned() -> None:
    """Each training moves on what the next cause counts from, whenever it says that it began."""
    ahead = NOON + 400 * DAY
    wrong = past("on_new_data", at=ahead, cause=f"on_new_data:after {LEARNED.isoformat()}")
    trained, done, until = [LEARNED, ahead], [wrong], LEARNED + 30 * DAY
    causes = {wrong.cause}
    for month in range(1, 4):
        now = NOON + 31 * month * DAY
        known = {"now": now, "trained": tuple(trained), "past": tuple(done), "trained_until": until}
        found = due(on_new_data("30d"), facts(**known, rows_until=until + 30 * DAY))
        assert isinstance(found, Due), found
        causes.add(found.cause)
        until += 30 * DAY
        done.append(past("on_new_data", at=now, cause=found.cause))
        trained.append(now)
        answered = due(on_new_data("30d"), facts(**(known | {"past": tuple(done)}), rows_until=until))
        assert isinstance(answered, Waiting)  # of two that look at once the other sees this
    assert len(causes) == 4


@pytest.mark.parametrize("trigger", [on_drift(), on_decay("roc_auc", by=0.03)], ids=["drift", "decay"])
def test_after_a_clock_that_was_ahead_each_training_makes_another_cause(trigger: Trigger) -> None:
    seen: dict[str, Any] = {"moved": DRIFTED, "quality": DECLINED, "rows_until": NOON}
    ahead = NOON + 400 * DAY
    trainings = [(LEARNED,), (LEARNED, ahead), (LEARNED, ahead, NOON - 3 * DAY), (LEARNED, ahead, NOON - 2 * DAY)]
    found = [due(trigger, facts(**seen, trained=one)) for one in trainings]
    assert len({one.cause for one in found if isinstance(one, Due)}) == len(trainings)
    later = due(trigger, facts(**seen, trained=trainings[1], now=NOON + HOUR))
    assert isinstance(later, Due)
    assert isinstance(found[1], Due)
    assert later.cause == found[1].cause


def test_a_slot_that_was_passed_over_is_not_made_up_for_when_an_hour_comes_twice() -> None:
    ran = {"cron": "30 2 * * *", "zone": BERLIN, "slot": "2026-10-25T02:30:00"}
    done = past("every", at=datetime(2026, 10, 25, 0, 30, tzinfo=UTC), evidence=ran)
    known = {"now": datetime(2026, 10, 25, 1, 10, tzinfo=UTC), "deployed_at": datetime(2026, 10, 1, tzinfo=UTC)}
    found = due(every("30 2 * * *", zone=BERLIN), facts(**known, past=(done,)))
    assert found == Waiting(reason="next on 2026-10-26 01:30 UTC")


def test_one_line_in_two_zones_is_two_schedules() -> None:
    known = {"now": datetime(2026, 3, 3, 8, 0, tzinfo=UTC), "deployed_at": datetime(2026, 3, 2, 12, tzinfo=UTC)}
    berlin, york = every("0 3 * * *", zone=BERLIN), every("0 3 * * *", zone=NEW_YORK)
    first = due(berlin, facts(**known))
    assert isinstance(first, Due)
    at = datetime(2026, 3, 3, 2, 0, tzinfo=UTC)
    done = past("every", at=at, cause=first.cause, evidence=first.evidence)
    assert isinstance(due(berlin, facts(**known, past=(done,))), Waiting)
    second = due(york, facts(**known, past=(done,)))
    assert isinstance(second, Due)
    assert second.reason == "0 3 * * * came at 2026-03-03 03:00 America/New_York"
    older = {name: value for name, value in first.evidence.items() if name != "zone"}
    assert isinstance(due(berlin, facts(**known, past=(replace(done, evidence=older),))), Waiting)


NEXT: list[tuple[str, str, str, str]] = [
    ("30 2 * * *", "Europe/Berlin", "26-10-25T01:10", "26-10-26T01:30"),
    ("30 2 * * *", "Europe/Berlin", "26-10-25T00:10", "26-10-25T00:30"),
    ("30 2 * * *", "Europe/Berlin", "26-03-29T00:50", "26-03-29T01:00"),
    ("0 3 * * *", "Europe/Berlin", "26-03-29T00:50", "26-03-29T01:00"),
    ("*/20 * * * *", "Europe/Berlin", "26-10-25T01:10", "26-10-25T02:00"),
    ("15 2 * * *", "Australia/Lord_Howe", "26-10-03T15:00", "26-10-03T15:30"),
]


@pytest.mark.parametrize(("cron", "zone", "now", "comes"), NEXT, ids=[f"{zone} {now}" for _, zone, now, _ in NEXT])
def test_the_next_moment_is_the_one_at_which_it_fires(cron: str, zone: str, now: str, comes: str) -> None:
    moment = following(cron, zone, _at(now))
    assert moment == _at(comes)
    before = slot(cron, zone, moment - timedelta(seconds=1))
    assert slot(cron, zone, moment) > before


def _at(text: str) -> datetime:
    return datetime.fromisoformat(f"20{text}").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "zone"),
    [
        ("0 3 * * 8", "UTC"),
        ("0 3 30 2 *", "UTC"),
        ("0 0 3 * * 1", "UTC"),
        ("0 3 * * 1", "Mars/Olympus"),
        ("0 3 * * 1", None),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_where_it_is_declared(when: str, zone: Any) -> None:
    with pytest.raises(DeclarationError, match="every"):
        lw.every(when, zone=zone)


REFUSED: list[dict[str, Any]] = [
    {"most_per_week": 0},
    {"least_labels": True},
    {"cool_down": "3 fortnights"},
    {"triggers": ["1d"]},
    {"look_back": "last summer"},
]


LOOKS_BACK: list[tuple[str | None, dict[str, Any], date | None]] = [
    (None, {"rows_until": NOON}, None),
    ("30d", {"rows_until": NOON}, (NOON - 30 * DAY).date()),
    ("30d", {"rows_until": None}, None),
    ("decline", {"declined_at": NOON - 3 * DAY}, (NOON - 3 * DAY).date()),
    ("decline", {"declined_at": None}, None),
]


@pytest.mark.parametrize(
    ("look_back", "changed", "since"), LOOKS_BACK, ids=["all", "span", "no rows", "decline", "no decline"]
)
def test_it_learns_from_as_far_back_as_it_says(
    look_back: str | None, changed: dict[str, Any], since: date | None
) -> None:
    assert learns_since(Retrain(look_back=look_back), facts(**changed)) == since


@pytest.mark.parametrize("by", [0, -0.1, float("inf"), float("nan"), True])
def test_a_decline_that_cannot_be_is_refused(by: float) -> None:
    with pytest.raises(DeclarationError, match="no amount above 0"):
        on_decay("roc_auc", by=by)


@pytest.mark.parametrize("given", REFUSED, ids=[next(iter(one)) for one in REFUSED])
def test_limits_that_cannot_be_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match="Retrain"):
        Retrain(**given)


def test_a_declaration_goes_into_a_spec_and_comes_back() -> None:
    declared = Retrain(
        [on_drift(fine_tune=True), every("0 3 * * 1", zone=NEW_YORK), every("90d", from_scratch=False),
         on_new_data("30d"), on_decay("roc_auc", by=0.03)],
        cool_down="0d", most_per_week=5, least_labels=50, search_again=True,
    )  # fmt: skip
    assert from_spec(to_spec(declared)) == declared
    for look_back in ("90d", "decline"):
        assert from_spec(to_spec(Retrain(look_back=look_back))) == Retrain(look_back=look_back)
    assert from_spec(None) == Retrain()
    assert from_spec(to_spec([on_drift()])).triggers == (on_drift(),)
    with pytest.raises(DataError, match="says not when"):
        from_spec({"triggers": [{"kind": "on_whim"}]})
