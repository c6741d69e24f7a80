"""Versions of a loop's model, and the route that says which of them answers."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from loopwright.errors import UsageError, VersionNotFound, did_you_mean

CHAMPION, CHALLENGER, FORMER = "champion", "challenger", "former"
"""The arm, and the alias, of the version that is trusted; of one on its way beside it; of the one before, kept warm."""
NEWEST = "newest"
PROMOTED, ROLLED_BACK = "VersionPromoted", "VersionRolledBack"
LEAST_DIGITS = 6
"""A shorter part of a digest names nothing."""


class VersionStatus(Enum):
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    """A gate said no: kept to be looked at; promoted only over somebody's name and reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One sealed bundle of a loop: what was judged, and what would be served."""

    loop: str
    number: int = 0
    """Rises from 1 within the loop; 0 before it is stored."""
    digest: str
    """Of the bundle."""
    files: Mapping[str, str]
    """File of the bundle to the digest of its content; of an imported one also `lineage/...`, what came with it."""
    status: VersionStatus
    run_id: str
    """The run that judged and registered it; the lineage names the one that made it. Of an imported one, a run of
    another workspace."""
    created_at: datetime
    created_by: str
    metric: str
    """The one the loop is judged by first."""
    value: float | None
    reason: str
    """The verdict's."""
    task: str
    lineage: Mapping[str, Any]
    """As in the bundle's manifest: run, data, code, environment, git_commit, git_diff, seed, parameters, champion. Run,
    code, commit and difference are all of the run that made the model."""
    notes: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    """Filled when read."""

    @property
    def name(self) -> str:
        return f"{self.loop} v{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A version that answers, and the share of units it answers to."""

    name: str
    """`champion`, `challenger`, ..."""
    version: int
    share: float
    """0 to 1."""
    shadow: bool = False
    """Predicts beside the arm that answers, and is heard by nobody; it has no share."""

    def plain(self) -> dict[str, Any]:
        """For JSON. What is no shadow says nothing of it, as routes did before there were any."""
        told = {"name": self.name, "version": self.version, "share": self.share}
        return told | {"shadow": True} if self.shadow else told


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which versions of a loop answer, from one moment on. Raises UsageError for arms that cannot be."""

    loop: str
    number: int = 0
    """Revision: rises from 1 with every change; 0 before it is stored."""
    arms: tuple[Arm, ...]
    """Their shares sum to 1; those of shadows are 0."""
    at: datetime
    actor: str
    reason: str = ""
    kind: str = PROMOTED
    """The event that made it."""

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise UsageError(f"two arms have one name: {', '.join(names)}", where=f"the route of {self.loop}")
        heard = next((arm for arm in self.arms if arm.shadow and arm.share), None)
        if heard is not None:
            raise UsageError(
                f"the arm {heard.name} is a shadow and has the share {heard.share:g}",
                where=f"the route of {self.loop}",
                fix="give a shadow the share 0: nobody hears it",
            )
        total = math.fsum(arm.share for arm in self.arms)
        if not all(0 <= arm.share <= 1 for arm in self.arms) or not math.isclose(total, 1, abs_tol=1e-9):
            told = ", ".join(f"{arm.name} {arm.share:g}" for arm in self.arms) or "there is none"
            raise UsageError(
                f"the shares of the arms do not sum to 1: {told}",
                where=f"the route of {self.loop}",
                fix="write shares from 0 to 1",
            )

    @property
    def champion(self) -> int | None:
        """The version in the arm of that name."""
        return next((arm.version for arm in self.arms if arm.name == CHAMPION), None)

    @property
    def answering(self) -> tuple[Arm, ...]:
        """The arms that are heard."""
        return tuple(arm for arm in self.arms if not arm.shadow)

    @property
    def shadows(self) -> tuple[Arm, ...]:
        return tuple(arm for arm in self.arms if arm.shadow)

    def choose(self, unit: str) -> Arm:
        """The arm that answers to a unit: always the same one while the shares stand.

        Challengers come first, so that who meets one at 1 % still meets it at 5 %.

        >>> arms = (Arm(name="champion", version=1, share=0.9), Arm(name="challenger", version=2, share=0.1))
        >>> route = Route(loop="flights", arms=arms, at=datetime(2026, 1, 1), actor="me")
        >>> {unit: route.choose(unit).name for unit in ("UA1545", "AA301")}
        {'UA1545': 'champion', 'AA301': 'challenger'}
        """
        place, reached = position(self.loop, unit), 0.0
        ordered = sorted(self.answering, key=lambda arm: arm.name == CHAMPION)
        for arm in ordered:
            reached += arm.share
            if place < reached:
                return arm
        return next(arm for arm in reversed(ordered) if arm.share > 0)  # shares may sum to a hair less than 1


def position(salt: str, unit: str) -> float:
    """Where a unit lies in [0, 1): even over units, and another for another salt.

    >>> 0 <= position("flights", "UA1545") < 1
    True
    """
    found = hashlib.blake2b(f"{salt}\0{unit}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(found) >> 11) / 2**53  # as many bits as a float holds: 1 itself cannot come out


def resolve(
    loop: str, name: str, digests: Mapping[int, str], aliases: Mapping[str, int], loops: Collection[str]
) -> int:
    """The number of the version that is meant. Raises VersionNotFound, for several too.

    `digests` and `aliases` are the loop's; `loops` are all there are.

    >>> resolve("flights", "v2", {1: "ab12cd34", 2: "cd34ef56"}, {"champion": 1}, ["flights"])
    2
    >>> resolve("flights", "ab12cd", {1: "ab12cd34", 2: "cd34ef56"}, {"champion": 1}, ["flights"])
    1
    """
    if not digests:
        raise no_loop(loop, loops)
    number = re.fullmatch(r"v?(\d{1,9})", name)
    if number and int(number[1]) in digests:
        return int(number[1])
    if name in aliases:
        return aliases[name]
    if name == NEWEST:
        return max(digests)
    found = [number for number, digest in digests.items() if len(name) >= LEAST_DIGITS and name.lower() in digest]
    if len(found) == 1:
        return found[0]
    raise _no_version(loop, name, sorted(found), digests, aliases)


def no_loop(loop: str, loops: Collection[str]) -> VersionNotFound:
    """The error for a loop without versions."""
    if not loops:
        return VersionNotFound(f"no loop has a model yet, so {loop!r} has none", fix="run a loop first: lw run FILE")
    return VersionNotFound(f"no loop is called {loop!r}; {did_you_mean(loop, loops)}", fix="see them with: lw models")


def _no_version(
    loop: str, name: str, fitting: list[int], digests: Mapping[int, str], aliases: Mapping[str, int]
) -> VersionNotFound:
    if fitting:
        told = " and ".join(f"v{number}" for number in fitting)
        return VersionNotFound(f"{name!r} fits several versions of {loop}: {told}", fix="write more of the digest")
    if name == CHAMPION:
        return VersionNotFound(f"{loop} has no champion yet", fix=f"make one with: lw promote {loop}")
    numbers = f"v{min(digests)} to v{max(digests)}" if len(digests) > 1 else f"v{min(digests)} alone"
    known = did_you_mean(name, {NEWEST, *aliases})
    return VersionNotFound(
        f"{loop} has no version {name!r}; there is {numbers}; {known}", fix=f"see them with: lw models {loop}"
    )
