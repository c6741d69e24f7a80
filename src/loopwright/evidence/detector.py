"""Whether a model has become worse on its labels: a Shiryaev-Roberts e-detector on the stream of its errors.

Shin, Ramdas and Rinaldo, "E-detectors", arXiv 2203.03532. The statistic sums, over every moment at which the decline
may have begun, the evidence since then; an alarm at 200,000 means that without a decline one comes in 200,000 labels
on average, whatever one looks at in between. Errors are mixed over possible rates, as nobody knows the new one.

When a decline began is told as by a CUSUM (Page, "Continuous inspection schemes", 1954): of all moments and rates, by
those that make the errors since then likeliest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from loopwright.errors import DataError

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
RUN_LENGTH = 200_000.0
"""Labels between two false alarms, on average at least."""
POINTS = 24
_NEAREST, _FARTHEST = 1.1, 0.98
_CHUNK = 8_192


def tolerated(error: float) -> float:
    """The rate that counts as no decline, from the error on held-out rows: a little worse is no news.

    >>> round(tolerated(0.1), 3)
    0.12
    """
    return min(error * 1.15 + 0.005, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """State after some labels; `update` gives the next. H0: the error rate is at most `rate`.

    >>> calm = Detector.of(0.1).update(([0.0] * 9 + [1.0]) * 100)
    >>> calm.alarms, calm.update([1.0, 0.0, 0.0] * 50).alarms
    (False, True)
    """

    rate: float
    """Errors by label that are tolerated."""
    labels: int = 0
    logs: tuple[float, ...] = (-math.inf,) * POINTS
    """By alternative: logarithm of the statistic."""
    run_length: float = RUN_LENGTH
    rises: tuple[float, ...] = (0.0,) * POINTS
    """By alternative: logarithm of the evidence since the moment that makes it largest."""
    starts: tuple[int, ...] = (0,) * POINTS
    """By alternative: labels before that moment."""

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise DataError(f"an error rate of {self.rate:g} cannot be watched", fix="give one between 0 and 1")

    @classmethod
    def of(cls, error: float, *, run_length: float = RUN_LENGTH) -> Detector:
        """For a model that erred so often on held-out rows."""
        return cls(rate=tolerated(error), run_length=run_length)

    def update(self, errors: Sequence[float] | Array) -> Detector:
        """After these labels, in their order: 1 for an error, 0 for none, or a loss between. Stops at no alarm."""
        found = np.asarray(errors, dtype=np.float64)
        if found.ndim != 1 or not ((found >= 0) & (found <= 1)).all():
            raise DataError("errors must be numbers from 0 to 1, one a label", fix="give 1 for an error, 0 for none")
        after = self
        for first in range(0, len(found), _CHUNK):
            after = after._after(found[first : first + _CHUNK])
        return after

    def _after(self, errors: Array) -> Detector:
        logs = self._path(errors, np.asarray(self.logs))[-1]
        rises, starts = self._risen(errors)
        return replace(
            self,
            labels=self.labels + len(errors),
            logs=tuple(logs.tolist()),
            rises=tuple(rises.tolist()),
            starts=tuple(starts.tolist()),
        )

    def first_alarm(self, errors: Sequence[float] | Array) -> int | None:
        """After how many of these labels it would alarm first; None if it would not."""
        found, logs = np.asarray(errors, dtype=np.float64), np.asarray(self.logs)
        for first in range(0, len(found), _CHUNK):
            path = self._path(found[first : first + _CHUNK], logs)
            over = np.flatnonzero(_mean_of(path) >= math.log(self.run_length))
            if len(over):
                return first + int(over[0]) + 1
            logs = path[-1]
        return None

    @property
    def log_statistic(self) -> float:
        return float(_mean_of(np.asarray(self.logs)[None, :])[0])

    @property
    def alarms(self) -> bool:
        return self.log_statistic >= math.log(self.run_length)

    @property
    def began(self) -> int:
        """How many labels came before the decline, if there is one, most likely began."""
        return self.starts[int(np.argmax(self.rises))]

    @property
    def errors(self) -> tuple[float, int]:
        """How many errors, among how many labels, since it `began`: what the evidence since then was summed from.

        >>> Detector.of(0.1).update([0.0] * 50 + [1.0, 0.0] * 20).errors
        (20.0, 40)
        """
        at = int(np.argmax(self.rises))
        count, rate = self.labels - self.starts[at], float(self._rates[at])
        wrong, right = math.log(rate / self.rate), math.log((1 - rate) / (1 - self.rate))
        return round((self.rises[at] - count * right) / (wrong - right), 6), count

    def _risen(self, errors: Array) -> tuple[Array, Any]:
        """With S the running sum of log L, the rise is S less its least value so far."""
        upto = np.vstack([np.zeros(POINTS), np.cumsum(self._gained(errors), axis=0)])
        # Of equal ones the last: nothing that came before it speaks for a decline.
        at = len(errors) - np.argmin(upto[::-1], axis=0)
        least, before = upto.min(axis=0), -np.asarray(self.rises)
        is_new = least <= before
        return upto[-1] - np.minimum(least, before), np.where(is_new, self.labels + at, self.starts)

    def _gained(self, errors: Array) -> Array:
        """Log L of each label, shape (labels, POINTS)."""
        gained: Array = errors[:, None] * np.log(self._rates / self.rate)
        gained += (1 - errors)[:, None] * np.log((1 - self._rates) / (1 - self.rate))
        return gained

    def _path(self, errors: Array, logs: Array) -> Array:
        """The logarithms after each label, shape (labels, POINTS): M_n = (1 + M_{n-1}) L_n, in logarithms.

        With S the running sum of log L, log M_n = S_n + log(M_0 + sum over j <= n of exp(-S_{j-1})).
        """
        upto = np.cumsum(self._gained(errors), axis=0)
        begun = np.vstack([np.zeros(POINTS), -upto[:-1]])
        begun[0] = np.logaddexp(logs, begun[0])
        return upto + np.logaddexp.accumulate(begun, axis=0)

    @property
    def _rates(self) -> Array:
        """Evenly in log-odds, from a tenth above the tolerated rate."""
        nearest = min(self.rate * _NEAREST, (1 + self.rate) / 2)
        low, high = (math.log(one / (1 - one)) for one in (nearest, max(_FARTHEST, (1 + nearest) / 2)))
        odds: Array = np.linspace(low, high, POINTS)
        return 1 / (1 + np.exp(-odds))

    def to_dict(self) -> dict[str, Any]:
        logs = [None if one == -math.inf else one for one in self.logs]
        return {
            "rate": self.rate,
            "labels": self.labels,
            "logs": logs,
            "run_length": self.run_length,
            "rises": list(self.rises),
            "starts": list(self.starts),
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Detector:
        """Raises `DataError` for what `to_dict` did not write."""
        try:
            logs = tuple(-math.inf if one is None else float(one) for one in found["logs"])
            made = cls(
                rate=float(found["rate"]),
                labels=int(found["labels"]),
                logs=logs,
                run_length=float(found["run_length"]),
                rises=tuple(float(one) for one in found["rises"]),
                starts=tuple(int(one) for one in found["starts"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"this is no detector: {error!r}", fix="give what Detector.to_dict() made") from None
        if {len(made.logs), len(made.rises), len(made.starts)} != {POINTS}:
            raise DataError(f"a detector of {len(made.logs)} alternatives", fix=f"give {POINTS}")
        return made


def _mean_of(logs: Array) -> Array:
    """Of each row, the logarithm of the mean."""
    top = logs.max(axis=1)
    with np.errstate(invalid="ignore"):
        found = top + np.log(np.exp(logs - top[:, None]).mean(axis=1))
    return np.where(np.isneginf(top), -np.inf, found)
