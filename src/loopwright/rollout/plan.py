"""`Canary`: the declaration of how a version is released. Nothing heavy may be imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from loopwright.core.duration import duration
from loopwright.errors import DeclarationError


@dataclass(frozen=True, slots=True, init=False)
class Canary:
    """A release in stages: beside the champion first (`shadow`), then with rising shares of the traffic.

    `shares` rise to 1.0; each is held for at least `hold`. Raises `DeclarationError` for shares that do not rise, or
    that are none.

    >>> Canary(shadow="1d", shares=[0.01, 0.1, 1.0], hold="6h").shares
    (0.01, 0.1, 1.0)
    >>> Canary(shares=[10, 50, 100])
    Traceback (most recent call last):
    loopwright.errors.DeclarationError: 10 is no share
      where: Canary(shares=[10, 50, 100])
      to do: write shares from 0 to 1: shares=[0.1, 0.5, 1.0]
    """

    shadow: timedelta | None
    shares: tuple[float, ...]
    hold: timedelta

    def __init__(
        self,
        *,
        shadow: str | None = None,
        shares: Sequence[float] = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0),
        hold: str = "6h",
    ) -> None:
        object.__setattr__(self, "shadow", None if shadow is None else duration(shadow, f"Canary(shadow={shadow!r})"))
        object.__setattr__(self, "shares", _shares(shares))
        object.__setattr__(self, "hold", duration(hold, f"Canary(hold={hold!r})"))


def _shares(shares: Sequence[float]) -> tuple[float, ...]:
    where = f"Canary(shares={shares!r})"
    if not isinstance(shares, list | tuple) or not shares:
        raise DeclarationError(f"{shares!r} is no list of shares", where=where, fix="write shares=[0.1, 0.5, 1.0]")
    for share in shares:
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            right = [one / 100 for one in shares] if all(isinstance(one, int | float) for one in shares) else []
            fits = bool(right) and all(0 < one <= 1 for one in right)
            raise DeclarationError(
                f"{share!r} is no share",
                where=where,
                fix=f"write shares from 0 to 1: shares={right if fits else [0.1, 0.5, 1.0]}",
            )
    if list(shares) != sorted(set(shares)) or shares[-1] != 1:
        raise DeclarationError("the shares do not rise to 1.0", where=where, fix="write shares=[0.1, 0.5, 1.0]")
    return tuple(float(share) for share in shares)
