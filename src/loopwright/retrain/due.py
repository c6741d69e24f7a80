"""Whether a trigger is due: pure, from facts. The name of a cause is the same for all who see the same, and makes one
run, so that of two that look at once one wins.

A cause is answered by the training that begins after it, whatever made that begin. One that fails for technical
reasons answers nothing: its cause is tried again, under a name of its own, once the cool-down is over. New code is not:
the same would fail again, and a person has to look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias, assert_never

from loopwright.core.retraining import Retraining, RetrainingStatus
from loopwright.retrain import schedule
from loopwright.retrain.facts import Facts, Quality
from loopwright.retrain.triggers import Every, OnDecay, OnDrift, OnNewData, Retrain, Trigger, kind_of

NEW_CODE, BY_HAND = "new code", "by hand"
WEEK = timedelta(days=7)
_FREE = (NEW_CODE, BY_HAND)
"""What people do is no automatic retraining: it waits for no cool-down, and takes nothing of the budget."""
_ANSWERED_BY_IT = ("on_drift", "on_decay")
"""What is wrong with a champion may be right with the version that is on its way."""
_TRY = ", try "
"""Between a cause and how often it was tried."""
_NOT_YET = "it has not learned yet: the deployment does that first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A cause of one run."""

    cause: str
    trigger: str
    reason: str
    fine_tune: bool = False
    is_fresh: bool = False
    """Whether the parameters are searched anew."""
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What for, with the numbers."""

    reason: str


Answer: TypeAlias = Due | Waiting


def decide(retrain: Retrain, facts: Facts) -> Due | None:
    """What to run now: of several that are due the first, for one training answers all but schedules."""
    found = [one for _, one in answers(retrain, facts) if isinstance(one, Due)]
    return next((one for one in found if not held(one.trigger, retrain, facts)), None)


def answers(retrain: Retrain, facts: Facts) -> Iterator[tuple[str, Answer]]:
    """Of each trigger in the order in which it is heeded, by its name."""
    yield NEW_CODE, new_code(facts)
    order = (OnDecay, OnDrift, OnNewData, Every)
    for trigger in sorted(retrain.triggers, key=lambda one: order.index(type(one))):
        yield _told(trigger), due(trigger, facts, retrain)


def held(trigger: str, retrain: Retrain, facts: Facts) -> str:
    """Why even what is due has to wait; empty where nothing holds it."""
    going = next((one for one in facts.past if not one.status.is_final), None)
    if going is not None:
        return f"{going.trigger} began a retraining on {_day(going.created_at)}, which has not ended"
    if trigger in _FREE:
        return ""
    behind = _behind(retrain, facts) if trigger in _ANSWERED_BY_IT else ""
    return behind or _cooling(retrain, facts) or _spent(retrain, facts)


def learns_since(retrain: Retrain, facts: Facts) -> date | None:
    """The first day of the table's time that is learned from; None for all of it."""
    if isinstance(retrain.look_back, timedelta):
        return None if facts.rows_until is None else (facts.rows_until - retrain.look_back).date()
    if retrain.look_back is None or facts.declined_at is None:
        return None
    return facts.declined_at.date()


def cool_down(retrain: Retrain, facts: Facts) -> timedelta:
    return facts.labels_within if retrain.cool_down is None else retrain.cool_down


def due(trigger: Trigger, facts: Facts, retrain: Retrain | None = None) -> Answer:
    """Of one trigger alone, whatever else holds it."""
    limits = retrain or Retrain()
    match trigger:
        case OnNewData():
            found = _on_new_data(trigger, facts)
        case OnDrift():
            found = _on_drift(trigger, facts)
        case OnDecay():
            found = _on_decay(trigger, facts, limits.least_labels)
        case Every():
            found = _every(trigger, facts)
        case _:
            assert_never(trigger)
    return _unless_claimed(found, facts)


def new_code(facts: Facts) -> Answer:
    """A deployment that has made no model yet."""
    if facts.is_learned:
        return Waiting(reason=f"a model was made by the code of deployment {facts.deployment}")
    told = Due(
        cause=f"{NEW_CODE}:{facts.deployment}",
        trigger=NEW_CODE,
        reason=f"deployment {facts.deployment} of {_day(facts.deployed_at)} has made no model yet",
        is_fresh=True,
        evidence=_known(facts),
    )
    return _unless_claimed(told, facts)


def _on_new_data(trigger: OnNewData, facts: Facts) -> Answer:
    if facts.rows_until is None:
        return Waiting(reason="the table has no rows with a time yet")
    if facts.last is None and _failed_first(facts) is None:
        return Waiting(reason=_NOT_YET)
    before = facts.trained_until or _tried_until(facts)
    if before is None:
        return _due(trigger, facts, "the first rows", f"the first rows came, up to {_day(facts.rows_until)}", {})
    came = max(facts.rows_until - before, timedelta())
    told = f"rows of {_span(came)} came since the last training, up to {_day(facts.rows_until)}"
    if not came:
        told = f"no rows came since the last training: the newest is of {_day(facts.rows_until)}"
    if came < trigger.span:
        return Waiting(reason=f"{told}; {_span(trigger.span)} are waited for")
    evidence = {"rows": facts.rows, "trained_until": before.isoformat()}
    return _due(trigger, facts, f"after {before.isoformat()}", told, evidence)


def _on_drift(trigger: OnDrift, facts: Facts) -> Answer:
    moved = facts.moved
    if facts.champion is None or moved is None or moved.champion != facts.champion or _is_answered(moved.at, facts):
        return Waiting(reason="no drift was found since the last training")
    if not moved.drifted:
        told = f"1 of 2 windows in a row drifted: {', '.join(moved.suspected)}"
        return Waiting(reason=told if moved.suspected else "no drift was found since the last training")
    known = _answer_to(set(moved.drifted), facts)
    columns = ", ".join(moved.drifted)
    if known is not None:
        word = f"the retraining of {_day(known.created_at)} ({known.status.value})"
        return Waiting(reason=f"{columns} drifted from {moved.champion}, which {word} answered already")
    told = f"{columns} drifted from what {moved.champion} was trained on, found on {_day(moved.at)}"
    if facts.rows_until is not None and facts.rows_until == facts.trained_until:
        return Waiting(reason=f"{told}; no rows came since it learned, and the same ones would make the same model")
    return _due(trigger, facts, f"{facts.champion}:{_since(facts)}", told, {"columns": list(moved.drifted)})


def _on_decay(trigger: OnDecay, facts: Facts, least_labels: int) -> Answer:
    """By two windows in a row, each certain: of windows that are looked at every day, one is by chance at times. The
    detector's alarm is bounded in how often it is wrong, and needs no second."""
    quality = facts.quality.get(trigger.metric)
    if facts.champion is None or quality is None:
        return Waiting(reason=f"{trigger.metric} was not measured on labels of the champion yet")
    sign = 1 if quality.bigger_is_better else -1
    limit = quality.judged - sign * trigger.by
    is_beyond, is_certain, was_certain = (
        one is not None and (one - limit) * sign < 0 for one in (quality.value, quality.nearest, quality.nearest_before)
    )
    side = "below" if quality.bigger_is_better else "above"
    before = f" after {quality.before:.3f}" if is_certain and was_certain else ""
    told = f"{trigger.metric} {quality.value:.3f}{before}, alarm {side} {limit:.3f}"
    if not is_beyond:
        return Waiting(reason=told)
    if not before and facts.alarmed_at is None:
        doubt = "one window beyond the limit, a second decides" if is_certain else "that may still be chance"
        return Waiting(reason=f"{told}; {doubt}")
    told += f"; {quality.labels:,} of {least_labels:,} labels"
    if quality.labels < least_labels:
        return Waiting(reason=told)
    return _due(trigger, facts, f"{facts.champion}:{_since(facts)}", told, _measured(quality, limit))


def _every(trigger: Every, facts: Facts) -> Answer:
    if trigger.interval is not None:
        return _after(trigger, trigger.interval, facts)
    found = schedule.slot(trigger.cron, trigger.zone, facts.now)
    so_far = [one.evidence for one in facts.past if one.created_at <= facts.now and not _is_failed(one)]
    met = [str(told.get("slot")) for told in so_far if _is_of(trigger, told)]
    begun = max([schedule.shown(trigger.zone, facts.deployed_at).isoformat(), *met])
    if found.isoformat() <= begun:
        return Waiting(reason=f"next on {_moment(schedule.following(trigger.cron, trigger.zone, facts.now))}")
    evidence = {"cron": trigger.cron, "zone": trigger.zone, "slot": found.isoformat()}
    told = f"{trigger.cron} came at {found:%Y-%m-%d %H:%M} {trigger.zone}"
    return _due(trigger, facts, f"{trigger.cron} {trigger.zone}:{found.isoformat()}", told, evidence)


def _is_of(trigger: Every, told: Mapping[str, Any]) -> bool:
    """Older retrainings name no zone."""
    return bool(told.get("cron") == trigger.cron and told.get("zone", trigger.zone) == trigger.zone)


def _after(trigger: Every, interval: timedelta, facts: Facts) -> Answer:
    failed = _failed_first(facts)
    since = facts.last_so_far or (failed.created_at if failed else None)
    if since is None:
        return Waiting(reason=_NOT_YET)
    found = schedule.multiple(since, facts.now, interval)
    if found is None:
        return Waiting(reason=f"next on {_moment(since + interval)}")
    told = f"the last training was on {_day(since)}, {_span(facts.now - since)} ago"
    return _due(trigger, facts, f"{_span(interval)}:{found.isoformat()}", told, {"slot": found.isoformat()})


def _due(trigger: Trigger, facts: Facts, what: str, reason: str, evidence: Mapping[str, Any]) -> Due:
    kind = kind_of(trigger)
    return Due(
        cause=f"{kind}:{what}",
        trigger=kind,
        reason=reason,
        fine_tune=trigger.fine_tune,
        is_fresh=isinstance(trigger, Every) and trigger.from_scratch,
        evidence={**evidence, **_known(facts)},
    )


def _known(facts: Facts) -> dict[str, Any]:
    """What later triggers count from."""
    return {"champion": facts.champion, "rows_until": facts.rows_until.isoformat() if facts.rows_until else None}


def _unless_claimed(found: Answer, facts: Facts) -> Answer:
    if isinstance(found, Waiting):
        return found
    tries = [one for one in facts.past if one.cause.partition(_TRY)[0] == found.cause]
    if not tries:
        return found
    day = _day(tries[0].created_at)
    if not _is_failed(tries[0]):
        return Waiting(reason=f"{found.reason}; answered by the retraining of {day}")
    if found.trigger in _FREE:
        return Waiting(reason=f"{found.reason}; the retraining of {day} failed: lw retrainings tells why")
    reason = f"{found.reason}; again, for the retraining of {day} failed"
    return replace(found, cause=f"{found.cause}{_TRY}{len(tries) + 1}", reason=reason)


def _answer_to(columns: set[str], facts: Facts) -> Retraining | None:
    """A retraining that knew of the drift of all these columns from this champion."""
    for one in facts.past:
        if one.trigger == "on_drift" and not _is_failed(one):
            known = one.evidence.get("columns") or ()
            if one.evidence.get("champion") == facts.champion and columns <= set(known):
                return one
    return None


def _failed_first(facts: Facts) -> Retraining | None:
    """The newest training of new code that failed."""
    return next((one for one in facts.past if one.trigger == NEW_CODE and _is_failed(one)), None)


def _tried_until(facts: Facts) -> datetime | None:
    """How far the rows reached that new code failed on: with more of them it may not."""
    failed = _failed_first(facts)
    told = failed.evidence.get("rows_until") if failed else None
    return None if told is None else datetime.fromisoformat(told)


def _is_failed(one: Retraining) -> bool:
    return one.status is RetrainingStatus.FAILED


def _behind(retrain: Retrain, facts: Facts) -> str:
    """Never for longer than a cool-down: whatever keeps the version, the champion stays wrong meanwhile."""
    coming = facts.coming
    if coming is None or coming.to_do:
        return ""
    rest = cool_down(retrain, facts)
    if abs(facts.now - coming.since) >= rest:
        return ""
    return f"{coming.says}; waited for until {_moment(coming.since + rest)} at most"


def _cooling(retrain: Retrain, facts: Facts) -> str:
    """A clock that was ahead left moments that are far from now: they hold nothing."""
    rest = cool_down(retrain, facts)
    ended = [one.finished_at or one.created_at for one in facts.past if one.trigger not in _FREE]
    near = [at for at in ended if abs(facts.now - at) < rest]
    if not near:
        return ""
    return f"cool-down until {_moment(max(near) + rest)}: {_span(rest)} after the last retraining"


def _spent(retrain: Retrain, facts: Facts) -> str:
    begun = [one.created_at for one in facts.past if one.trigger not in _FREE]
    near = sorted(at for at in begun if abs(facts.now - at) < WEEK)
    if len(near) < retrain.most_per_week:
        return ""
    frees = near[-retrain.most_per_week] + WEEK
    return f"budget {len(near)} of {retrain.most_per_week} this week: free again on {_moment(frees)}"


def _is_answered(at: datetime, facts: Facts) -> bool:
    return facts.last_so_far is not None and at <= facts.last_so_far


def _since(facts: Facts) -> str:
    """Another one after each training, also where a clock that was ahead left moments that are yet to come."""
    last, ahead = facts.last_so_far, len({at for at in facts.trained if at > facts.now})
    told = f"since {last.isoformat()}" if last else "since the beginning"
    return f"{told}, {ahead} ahead" if ahead else told


def _measured(quality: Quality, limit: float) -> dict[str, Any]:
    told = {"metric": quality.metric, "value": quality.value, "before": quality.before, "judged": quality.judged}
    return {**told, "limit": limit, "labels": quality.labels}


def _told(trigger: Trigger) -> str:
    if isinstance(trigger, OnNewData):
        return f"on_new_data {_span(trigger.span)}"
    if isinstance(trigger, OnDecay):
        return f"on_decay {trigger.metric} by {trigger.by:g}"
    if isinstance(trigger, Every):
        return f"every {f'{trigger.cron} {trigger.zone}' if trigger.cron else _span(trigger.interval or timedelta())}"
    return kind_of(trigger)


def _span(length: timedelta) -> str:
    """As people write it: the largest unit that tells it well.

    >>> _span(timedelta(days=30)), _span(timedelta(hours=36)), _span(timedelta(seconds=90))
    ('30d', '36h', '2min')
    """
    seconds = length.total_seconds()
    for unit, size, least in (("d", 86_400, 2), ("h", 3_600, 2), ("min", 60, 1)):
        if seconds >= least * size or (seconds == size and seconds):
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
