"""Whether bad events come from a canary more often than from the champion: the conditional event e-process.

Lindon and Malek, "Anytime-valid inference for multinomial count data", arXiv 2011.03567. An event is anything bad about
one request. Given that one happened while the canary answered the share w, it came from the canary with probability
q(r, w) = r w / (r w + 1 - w), where r is how many times as often the canary's requests end so. Neither traffic nor the
base rate enters, so ramps, days and nights change nothing.

Count the first event of a unit (a user, an entity), never each request: those of one unit are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from loopwright.errors import DataError

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
POINTS = 24
"""Alternatives mixed over, evenly in the logarithm of the relative risk."""
_WORSE, _SAFE = (1.15, 50.0), (0.3, 0.98)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """What is to be refuted: that the relative risk is at most, or at least, `risk`; and by which alternatives.

    >>> no_worse = Hypothesis.no_worse()
    >>> float(no_worse.alternatives[0]), float(no_worse.alternatives[-1])
    (1.15, 50.0)
    """

    risk: float
    lowest: float
    highest: float

    def __post_init__(self) -> None:
        is_one_sided = self.lowest > self.risk or self.highest < self.risk
        if not (0 < self.risk < math.inf and 0 < self.lowest < self.highest < math.inf and is_one_sided):
            told = f"risk {self.risk:g}, alternatives {self.lowest:g} to {self.highest:g}"
            raise DataError(f"no hypothesis: {told}", fix="put all alternatives on one side of the risk")

    @classmethod
    def no_worse(cls, risk: float = 1.0) -> Hypothesis:
        """H0: at most so many times as often. Refuted, the canary is worse."""
        return cls(risk=risk, lowest=_WORSE[0] * risk, highest=_WORSE[1] * risk)

    @classmethod
    def not_safe(cls, risk: float) -> Hypothesis:
        """H0: at least so many times as often. Refuted, it is safe to ramp up. `risk` is above 1."""
        return cls(risk=risk, lowest=_SAFE[0], highest=_SAFE[1] * risk)

    @property
    def alternatives(self) -> Array:
        """Shape (POINTS,)."""
        return np.geomspace(self.lowest, self.highest, POINTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the events so far say against a hypothesis. Two of the same hypothesis merge by addition.

    >>> evidence = Evidence.none(Hypothesis.no_worse())
    >>> for _ in range(5):
    ...     evidence = evidence.add(share=0.05, canary=1, champion=0)
    >>> evidence.log_e > math.log(1 / 0.015)
    True
    """

    hypothesis: Hypothesis
    canary: int = 0
    """Events of the canary."""
    champion: int = 0
    logs: tuple[float, ...] = field(default=(0.0,) * POINTS)
    """By alternative: the logarithm of how much likelier the events are under it."""

    @classmethod
    def none(cls, hypothesis: Hypothesis) -> Evidence:
        return cls(hypothesis=hypothesis)

    def add(self, *, share: float, canary: int, champion: int) -> Evidence:
        """With these events more, all of them while the canary answered `share` (0 to 1, both excluded)."""
        if canary < 0 or champion < 0:
            raise DataError(f"no events: {canary} of the canary, {champion} of the champion", fix="give counts from 0")
        of_champion, of_canary = _gains(self.hypothesis, share)
        gained = canary * of_canary + champion * of_champion
        logs = tuple((np.asarray(self.logs) + gained).tolist())
        return replace(self, canary=self.canary + canary, champion=self.champion + champion, logs=logs)

    def after(self, shares: Sequence[float], from_canary: Sequence[bool]) -> Evidence:
        """With these events more: of each the share in force, and whether it is the canary's.

        However a stream is cut, the sums are the same to the last bit: they are added in order. Raises `DataError` for
        a share that is not between 0 and 1.
        """
        path = self._path(shares, from_canary)
        canary = sum(map(bool, from_canary))
        champion = self.champion + len(from_canary) - canary
        return replace(self, canary=self.canary + canary, champion=champion, logs=tuple(path[-1].tolist()))

    def follow(self, shares: Sequence[float], from_canary: Sequence[bool]) -> Array:
        """`log_e` after each of these events, shape (events,): what looking at every one would show."""
        return _log_mean(self._path(shares, from_canary)[1:])

    def _path(self, shares: Sequence[float], from_canary: Sequence[bool]) -> Array:
        """The logarithms now and after each event, shape (events + 1, POINTS)."""
        if len(shares) != len(from_canary):
            told = f"{len(shares)} shares and {len(from_canary)} arms"
            raise DataError(f"no events: {told}", fix="give of each event the share in force and its arm")
        different = list(dict.fromkeys(shares))
        tables = np.array([_gains(self.hypothesis, one) for one in different]).reshape(-1, 2, POINTS)
        which = [different.index(one) for one in shares] if len(different) > 1 else 0
        gained = tables[which, np.asarray(from_canary, dtype=np.intp)] if different else np.empty((0, POINTS))
        path: Array = np.cumsum(np.vstack([self.logs, gained]), axis=0)
        return path

    def merge(self, other: Evidence) -> Evidence:
        """Of disjoint events. Raises `DataError` for another hypothesis."""
        if other.hypothesis != self.hypothesis:
            raise DataError("evidence against another hypothesis does not add up", fix="merge like with like")
        logs = tuple(one + two for one, two in zip(self.logs, other.logs, strict=True))
        return replace(self, canary=self.canary + other.canary, champion=self.champion + other.champion, logs=logs)

    @property
    def log_e(self) -> float:
        """Logarithm of the e-value. At most a share `a` of streams under H0 ever reaches log(1 / a) (Ville)."""
        return float(_log_mean(np.asarray(self.logs)[None, :])[0])

    def refutes(self, alpha: float) -> bool:
        """Whether the e-value is at least 1 / alpha."""
        return self.log_e >= -math.log(alpha)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: floats are told in full, so that nothing of `alpha` is lost."""
        told = {name: getattr(self.hypothesis, name) for name in ("risk", "lowest", "highest")}
        return {"hypothesis": told, "canary": self.canary, "champion": self.champion, "logs": list(self.logs)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Evidence:
        """Raises `DataError` for what `to_dict` did not write."""
        try:
            made = cls(
                hypothesis=Hypothesis(**found["hypothesis"]),
                canary=int(found["canary"]),
                champion=int(found["champion"]),
                logs=tuple(map(float, found["logs"])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"this is no evidence: {error!r}", fix="give what Evidence.to_dict() made") from None
        if len(made.logs) != POINTS:
            raise DataError(f"evidence of {len(made.logs)} alternatives", fix=f"give {POINTS}")
        return made


def _log_mean(logs: Array) -> Array:
    """Of each row, the logarithm of the mean."""
    top: Array = logs.max(axis=1)
    found: Array = top + np.log(np.exp(logs - top[:, None]).mean(axis=1))
    return found


@lru_cache(maxsize=512)
def _gains(hypothesis: Hypothesis, share: float) -> Array:
    """Logarithm of the likelihood ratio of one event, by alternative: of the champion's, then of the canary's. Few
    shares are ever in force, so that each is worked out once."""
    if not 0 < share < 1:
        raise DataError(
            f"no event can be weighed at the share {share:g}",
            fix="give the share in force, which both arms had a part in",
        )
    under = _came_from_canary(np.array([hypothesis.risk]), share)
    alternative = _came_from_canary(hypothesis.alternatives, share)
    found = np.stack([np.log((1 - alternative) / (1 - under)), np.log(alternative / under)])
    found.setflags(write=False)
    return found


def _came_from_canary(risk: Array, share: float) -> Array:
    return risk * share / (risk * share + 1 - share)


def paired() -> Hypothesis:
    """For two models on the same labelled rows, of which exactly one is wrong: H0 says that it is the challenger in at
    most half of them. Add each such row at share 0.5, as `canary` where the challenger is the one that is wrong.

    The alternatives are shares of 0.52 to 0.98.
    """
    return Hypothesis(risk=1.0, lowest=0.52 / 0.48, highest=0.98 / 0.02)
