"""Whether the champion became worse: a detector on the stream of its errors, each label once, in the order of telling.

One detector a version: it alarms once, and stays so until another version is champion.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

import numpy as np

from loopwright.core.finding import Finding, Level
from loopwright.errors import DataError
from loopwright.evidence.detector import Detector
from loopwright.monitor.labelled import Labelled, usual_rate
from loopwright.monitor.view import View, share_bounds
from loopwright.monitor.watched import Known, moment

_logger = logging.getLogger(__name__)
Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
_LEAST = 50
"""Labels before anything is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The detector of one champion."""

    version: int
    detector: Detector | None
    """None where its bundle does not say how often it was wrong."""
    errors: float = 0.0
    alarmed_at: datetime | None = None
    recent: float | None = None
    """The share of errors among the labels that it was given last."""
    moments: Mapping[str, str] = field(default_factory=dict)
    """By how many labels came before: when the prediction after them was made. Of where a decline may have begun."""

    @property
    def began_at(self) -> datetime | None:
        """When the predictions began that are wrong so often, most likely; None before the alarm."""
        if self.alarmed_at is None or self.detector is None:
            return None
        return moment(self.moments.get(str(self.detector.began)))

    @property
    def share(self) -> float | None:
        """Of errors: once it alarmed of those since the decline began, and before among the labels given last."""
        if self.alarmed_at is None or self.detector is None:
            return self.recent
        errors, labels = self.detector.errors
        return errors / labels if labels else self.recent

    @classmethod
    def of(cls, known: Known, kept: Mapping[str, Any] | None) -> Watch:
        """As it was kept, or a new one for another champion, and for what an older version kept otherwise."""
        if kept is not None and kept.get("version") == known.number:
            try:
                return cls._read(kept)
            except (KeyError, TypeError, ValueError, AttributeError, DataError) as error:
                _logger.warning("the detector of %s cannot be read, and begins anew: %s", known.version.name, error)
        return cls(version=known.number, detector=_detector(known))

    @classmethod
    def _read(cls, kept: Mapping[str, Any]) -> Watch:
        return cls(
            version=kept["version"],
            detector=None if kept["detector"] is None else Detector.from_dict(kept["detector"]),
            errors=float(kept["errors"]),
            alarmed_at=moment(kept["alarmed_at"]),
            recent=kept.get("recent"),
            moments=dict(kept.get("moments", {})),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "detector": None if self.detector is None else self.detector.to_dict(),
            "errors": self.errors,
            "alarmed_at": None if self.alarmed_at is None else self.alarmed_at.isoformat(),
            "recent": self.recent,
            "moments": dict(self.moments),
        }

    def fed(self, told: Sequence[tuple[Labelled, Mask]], now: datetime) -> Watch:
        """With the labels that are new. After an alarm they change nothing."""
        mine = [(one, is_new) for one, is_new in told if one.known.number == self.version and is_new.any()]
        if not mine:
            return self
        errors = np.concatenate([one.wrong[is_new] for one, is_new in mine])
        moments = np.concatenate([one.told[is_new] for one, is_new in mine])
        seen = replace(self, errors=self.errors + float(errors.sum()), recent=float(errors.mean()))
        if self.detector is None or self.alarmed_at is not None:
            return seen
        order = np.argsort(moments, kind="stable")
        asked = np.concatenate([one.asked[is_new] for one, is_new in mine])[order]
        first = self.detector.first_alarm(errors[order])
        detector = self.detector.update(errors[order][:first])
        began = _moments(self.moments, detector, self.detector.labels, asked)
        return replace(seen, detector=detector, moments=began, alarmed_at=now if first is not None else None)


def _detector(known: Known) -> Detector | None:
    """For as many errors as the rows that it was judged on leave open: what was rare there by luck alarms nobody."""
    rate = usual_rate(known)
    if rate is None or known.judged is None:
        return None
    rows = known.judged.rows
    _, most = share_bounds(round(min(max(rate, 0.0), 1.0) * rows), rows)
    return Detector.of(min(most, 0.99))


def _moments(known: Mapping[str, str], detector: Detector, before: int, asked: Any) -> dict[str, str]:
    """What is kept of those known, and of the predictions whose labels came after so many."""
    wanted = set(detector.starts)
    new = {str(before + at): _text(one) for at, one in enumerate(asked) if before + at in wanted}
    return {str(one): found for one in sorted(wanted) if (found := known.get(str(one)) or new.get(str(one)))}


def _text(asked: Any) -> str:
    found: datetime = asked.astype("datetime64[us]").item().replace(tzinfo=UTC)
    return found.isoformat()


def decay(view: View, watch: Watch) -> Iterator[Finding]:
    """What the detector says."""
    found, rate = watch.detector, None if watch.detector is None else watch.detector.rate
    level, reason = _said(watch)
    yield view.found(
        "quality", "decay", level, reason, measure="error_share", number=watch.share, limit=rate,
        version=watch.version, **({} if found is None else _evidence(watch, found)),
    )  # fmt: skip


def _said(watch: Watch) -> tuple[Level, str]:
    found = watch.detector
    if found is None:
        return Level.UNKNOWN, "the bundle does not say how often the champion was wrong on held-out rows"
    share, tolerated = f"{watch.share or 0:.1%}", f"{found.rate:.1%} are tolerated"
    if watch.alarmed_at is not None:
        when = f"found {watch.alarmed_at:%Y-%m-%d %H:%M}"
        began = "" if watch.began_at is None else f", and began about {watch.began_at:%Y-%m-%d %H:%M}"
        since = f"{share} of the {found.errors[1]:,} since it declined were wrong, {tolerated}"
        return Level.ALARMED, f"the champion became worse, by {found.labels:,} labels: {since}; {when}{began}"
    if found.labels < _LEAST:
        return Level.UNKNOWN, f"not enough data: {_LEAST - found.labels} more labels are needed"
    return Level.FINE, f"no decline in {found.labels:,} labels: {share} of the newest answers are wrong, {tolerated}"


def _evidence(watch: Watch, found: Detector) -> dict[str, Any]:
    return {"labels": found.labels, "recent": watch.recent,
            "log_statistic": found.log_statistic, "run_length": found.run_length,
            "alarmed_at": None if watch.alarmed_at is None else watch.alarmed_at.isoformat(),
            "began_at": None if watch.began_at is None else watch.began_at.isoformat()}  # fmt: skip


def event(view: View, watch: Watch, known: Known) -> tuple[str, str, dict[str, Any]]:
    """What is told once, when it alarms."""
    assert watch.detector is not None
    told = {
        "champion": known.version.name,
        "version": watch.version,
        "window": str(view.window),
        "metric": "error_share",
        "number": watch.share,
        "limit": watch.detector.rate,
        "labels": watch.detector.labels,
        "log_statistic": watch.detector.log_statistic,
        "began_at": None if watch.began_at is None else watch.began_at.isoformat(),
    }
    return "DecayFound", f"loop:{view.watched.loop}", told
