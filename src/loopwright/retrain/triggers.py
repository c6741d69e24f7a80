"""What makes a loop learn again, as declared. Nothing heavy may be imported."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeAlias

from loopwright.core.duration import duration
from loopwright.core.plain import plain, restored
from loopwright.errors import DataError, DeclarationError
from loopwright.judge.catalog import find_metric
from loopwright.retrain import schedule

FEWEST_LABELS = 500
DECLINE = "decline"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnNewData:
    """New rows over that span of the table's time. Made by `on_new_data`."""

    span: timedelta
    fine_tune: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDrift:
    """Drift of the inputs was found. Made by `on_drift`."""

    fine_tune: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDecay:
    """The metric on labelled predictions fell. Made by `on_decay`."""

    metric: str
    by: float
    fine_tune: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """That long after the last training, or at the moments of a cron line. Made by `every`."""

    interval: timedelta | None = None
    cron: str = ""
    zone: str = "UTC"
    from_scratch: bool = True

    @property
    def fine_tune(self) -> bool:
        return not self.from_scratch


Trigger: TypeAlias = OnNewData | OnDrift | OnDecay | Every


@dataclass(frozen=True, slots=True, init=False)
class Retrain:
    """What makes a loop learn again, and how often at most. A plain list of triggers is one with these defaults.

    After a retraining its triggers rest for `cool_down` (None: as long as labels take), and begin at most
    `most_per_week`. One that failed for technical reasons is tried again then. Drift and decay wait as long, at most,
    for a version that is on its way already and is released by itself. After a decline, retraining waits for
    `least_labels` that came since. A retraining takes the champion's parameters, and does not search again unless
    `search_again`; what is trained from scratch by `every`, by hand or for new code does. Retraining by hand, and for
    new code, waits for nothing of this but the end of the one
    before.

    A retraining learns from the whole table, or only looks back so far: `look_back="90d"` from 90 days before the
    newest row, `"decline"` from the day on which the newest decline began that the detector on labels found, from all
    while it found none. That is for loops in which what was true before a decline is wrong after it; where a decline
    only means a little more of the same, few new rows teach less than all.

    Raises `DeclarationError` for what cannot be.

    >>> Retrain([on_drift(), every("90d")], cool_down="3d").cool_down.days
    3
    >>> Retrain(on_drift())
    Traceback (most recent call last):
    loopwright.errors.DeclarationError: OnDrift(fine_tune=False) is no list
      where: Retrain()
      to do: write Retrain([lw.on_drift()])
    """

    triggers: tuple[Trigger, ...]
    cool_down: timedelta | None
    most_per_week: int
    least_labels: int
    search_again: bool
    look_back: timedelta | Literal["decline"] | None

    def __init__(
        self,
        triggers: object = (),
        *,
        cool_down: str | None = None,
        most_per_week: int = 2,
        least_labels: int = FEWEST_LABELS,
        search_again: bool = False,
        look_back: str | None = None,
    ) -> None:
        right = "write Retrain([lw.on_drift()])"
        if not isinstance(triggers, list | tuple):
            raise DeclarationError(f"{triggers!r} is no list", where="Retrain()", fix=right)
        for one in triggers:
            if not isinstance(one, Trigger):
                raise DeclarationError(f"{one!r} is no trigger", where="Retrain()", fix=right)
        counts: dict[str, object] = {"most_per_week": most_per_week, "least_labels": least_labels}
        for name, count in counts.items():
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise DeclarationError(f"{name}={count!r} is no count", where="Retrain()", fix=f"write {name}=2")
        rest = None if cool_down is None else duration(cool_down, f"Retrain(cool_down={cool_down!r})", may_be_zero=True)
        object.__setattr__(self, "triggers", tuple(triggers))
        object.__setattr__(self, "cool_down", rest)
        object.__setattr__(self, "most_per_week", most_per_week)
        object.__setattr__(self, "least_labels", least_labels)
        object.__setattr__(self, "search_again", search_again)
        object.__setattr__(self, "look_back", _look_back(look_back))


def on_new_data(span: str, *, fine_tune: bool = False) -> OnNewData:
    """Learn again when rows over `span` of the table's time have come since the last training. With `fine_tune`, here
    and below, training starts from the champion: see `TrainingData.previous`.

    >>> on_new_data("30d").span.days
    30
    """
    return OnNewData(span=duration(span, f"on_new_data({span!r})"), fine_tune=fine_tune)


def on_drift(*, fine_tune: bool = False) -> OnDrift:
    """Learn again when the inputs have drifted."""
    return OnDrift(fine_tune=fine_tune)


def on_decay(metric: str, *, by: float, fine_tune: bool = False) -> OnDecay:
    """Learn again when the metric on labelled predictions is worse by more than `by` than it was when judged: in two
    windows of the champion in a row, each with its whole interval (99 %), for of windows that are looked at every day
    some lie beyond any limit by chance. A window without labels enough is passed by. Where the detector of decay has
    alarmed, the newest window's value is enough.

    Raises `UsageError` for an unknown metric, `DeclarationError` for a `by` that is no number above zero.

    >>> on_decay("roc_auc", by=0.03)
    OnDecay(metric='roc_auc', by=0.03, fine_tune=False)
    """
    find_metric(metric)
    if not _is_amount(by):
        raise DeclarationError(
            f"by={by!r} is no amount above 0", where=f"on_decay({metric!r})", fix=f'write on_decay("{metric}", by=0.03)'
        )
    return OnDecay(metric=metric, by=float(by), fine_tune=fine_tune)


def every(when: str, *, zone: str = "UTC", from_scratch: bool = True) -> Every:
    """Learn again that long after the last training, or at the moments of a cron line (minute, hour, day, month,
    weekday) on the clocks of a time zone; without `from_scratch`, training starts from the champion.

    Raises `DeclarationError` for what is neither, and for an unknown zone.

    >>> every("90d").interval.days
    90
    >>> every("0 3 * * 1", zone="America/New_York").cron
    '0 3 * * 1'
    """
    if len(str(when).split()) >= schedule.FIELDS:
        schedule.refuse_wrong(when, zone)
        return Every(cron=" ".join(when.split()), zone=zone, from_scratch=from_scratch)
    return Every(interval=duration(when, f"every({when!r})"), from_scratch=from_scratch)


_KINDS: dict[str, type[Trigger]] = {"on_new_data": OnNewData, "on_drift": OnDrift, "on_decay": OnDecay, "every": Every}


def kind_of(trigger: Trigger) -> str:
    """Its name: `on_drift`."""
    return next(name for name, kind in _KINDS.items() if isinstance(trigger, kind))


def time_wanted_by(retrain: Retrain | Sequence[Trigger]) -> str:
    """What looks at the table's time, as it is written; empty where nothing does.

    >>> time_wanted_by(Retrain([on_drift(), on_new_data("30d")])), time_wanted_by([on_drift()])
    ('on_new_data()', '')
    """
    declared = retrain if isinstance(retrain, Retrain) else Retrain(retrain)
    if any(isinstance(one, OnNewData) for one in declared.triggers):
        return "on_new_data()"
    return "Retrain(look_back=...)" if declared.look_back is not None else ""


def to_spec(retrain: Retrain | Sequence[Trigger]) -> dict[str, Any]:
    """As plain values, for a deployment's spec.

    >>> to_spec([on_drift()])["triggers"]
    [{'kind': 'on_drift', 'fine_tune': False}]
    """
    given = retrain if isinstance(retrain, Retrain) else Retrain(retrain)
    triggers = [{"kind": kind_of(one), **plain(one)} for one in given.triggers]
    return _rest(given) | {"triggers": triggers}


def _rest(given: Retrain) -> dict[str, Any]:
    rest = ("cool_down", "most_per_week", "least_labels", "search_again", "look_back")
    return {name: plain(getattr(given, name)) for name in rest}


def from_spec(spec: Mapping[str, Any] | None) -> Retrain:
    """What `to_spec` was given; of nothing, one without a trigger. Raises `DataError` for what it did not make."""
    made = Retrain()
    if spec is None:
        return made
    try:
        triggers = tuple(_trigger(dict(one)) for one in spec["triggers"])
        rest = spec["cool_down"]
        found = {
            "triggers": triggers,
            "cool_down": None if rest is None else timedelta(seconds=rest),
            "most_per_week": int(spec["most_per_week"]),
            "least_labels": int(spec["least_labels"]),
            "search_again": bool(spec["search_again"]),
            "look_back": _looked_back(spec.get("look_back")),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"this says not when to retrain: {error!r}", fix="give what to_spec() made") from None
    for name, value in found.items():
        object.__setattr__(made, name, value)
    return made


def _look_back(given: str | None) -> timedelta | Literal["decline"] | None:
    if given is None or given == DECLINE:
        return None if given is None else "decline"
    return duration(given, f"Retrain(look_back={given!r})")


def _looked_back(kept: Any) -> timedelta | Literal["decline"] | None:
    """As plain values have it: seconds, or the word."""
    return timedelta(seconds=kept) if isinstance(kept, int | float) else _look_back(kept)


def _trigger(found: dict[str, Any]) -> Trigger:
    kind: Any = _KINDS[found.pop("kind")]
    made: Trigger = restored(kind, found)
    return made


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
