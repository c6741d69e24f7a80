"""Which share of the units was to go to the challenger when a request was answered: by the routes of its release.

A line says by which revision of the route its arm was chosen, so its share is certain, however late its gateway
followed and whatever the clocks say. What was answered by a route that is none of this release's gives no evidence.

A line of an older gateway does not say it. Gateways follow a new route within a moment, and in that moment some answer
by the old one still; and to choose the route by the arm would be to choose the share by the outcome. So of such lines
those within `FOLLOWING` of a change of share give no evidence, whichever arm answered them: they are left out by their
time alone, which says nothing of the versions.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from loopwright.core.version import Route

if TYPE_CHECKING:
    from loopwright.predictions.failures import Failure
    from loopwright.predictions.journal import Line

FOLLOWING = timedelta(seconds=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A time in which one share was in force."""

    number: int
    """From 0, in order."""
    share: float


class Shares:
    """Of the challenger, from the routes of its release, oldest first.

    >>> from datetime import UTC
    >>> from loopwright.core.version import Arm
    >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> arms = (Arm(name="champion", version=1, share=0.9), Arm(name="challenger", version=2, share=0.1))
    >>> shares = Shares([Route(loop="late", arms=arms, at=noon, actor="me")], challenger=2)
    >>> [found and found.share for found in map(shares.at, (noon, noon + FOLLOWING, noon + 2 * FOLLOWING))]
    [None, None, 0.1]
    """

    def __init__(self, routes: Sequence[Route], challenger: int) -> None:
        told = [sum(arm.share for arm in route.answering if arm.version == challenger) for route in routes]
        changes = [0, *(place for place, (one, next_) in enumerate(pairwise(told), 1) if one != next_)][: len(told)]
        self._shares = [told[place] for place in changes]
        self._begun = list(accumulate((routes[place].at for place in changes), max))
        stretches = [Stretch(number=number, share=share) for number, share in enumerate(self._shares)]
        self._by_route = {
            route.number: stretches[bisect_right(changes, place) - 1]
            for place, route in enumerate(routes)
            if any(arm.version == challenger for arm in route.arms)
        }

    @property
    def newest(self) -> int:
        """The number of the stretch in force."""
        return len(self._shares) - 1

    def of(self, one: Line | Failure, *, again: bool = False) -> Stretch | None:
        """The one by which its arm was chosen; None where that is none of the release, or not certain.

        One that does not say its route is judged by its moment, as `at` does.
        """
        return self.at(one.at, again=again) if one.route is None else self._by_route.get(one.route)

    def at(self, moment: datetime, *, again: bool = False) -> Stretch | None:
        """None before the release, and where it is not certain.

        What was answered at the very moment of a change, which only a clock that stands still lets happen, came before
        it where it is read `again`: the change was made after all until then was read. Read first after a change that
        is known it may have come after it, so it is left out.
        """
        place = bisect_left(self._begun, moment)
        is_at_a_change = place < len(self._begun) and self._begun[place] == moment
        if not place or (is_at_a_change and not again) or moment - self._begun[place - 1] <= FOLLOWING:
            return None
        return Stretch(number=place - 1, share=self._shares[place - 1])
