"""`Canary`, `AB`, `Shadow` and `Now`: the declarations of how a version is released. Nothing heavy may be imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from loopwright.core.duration import duration
from loopwright.core.plain import plain, restored
from loopwright.errors import DataError, DeclarationError, did_you_mean

Unlike = Literal["roll back", "hold"]
"""What is done about a version that was trained on rows unlike those it is asked about, where the champion was not."""


@dataclass(frozen=True, slots=True, init=False)
class Canary:
    """A release in stages: beside the champion first (`shadow`), then with rising shares of the traffic.

    `shares` rise to 1.0; each is held for at least `hold`, and one that proved nothing within `patience` holds and
    asks. At 1.0 the champion stays warm for `watch`, answering `hold_back` of the units; without a `watch` for as long
    as a label of the loop may take to come. `alpha` is the chance that a version no worse is ever taken back.
    `bigger_is_better` and `smaller_is_better` name business outcomes that must not be worse. A challenger trained on
    rows `unlike` those it is asked about is taken back, or with `"hold"` held until a person resumes it, once: of that
    `alpha` says nothing, for it is evidence about inputs; and a column that goes with the season may well be unlike
    where a challenger looks back over some weeks alone. Raises `DeclarationError` for what cannot be.

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
    patience: timedelta
    watch: timedelta | None
    hold_back: float
    alpha: float
    bigger_is_better: tuple[str, ...]
    smaller_is_better: tuple[str, ...]
    unlike: str = "roll back"

    def __init__(
        self,
        *,
        shadow: str | None = None,
        shares: Sequence[float] = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0),
        hold: str = "6h",
        patience: str = "7d",
        watch: str | None = None,
        hold_back: float = 0.01,
        alpha: float = 0.05,
        bigger_is_better: Sequence[str] = (),
        smaller_is_better: Sequence[str] = (),
        unlike: Unlike = "roll back",
    ) -> None:
        lengths = {"hold": hold, "patience": patience}
        _set(self, shadow=None if shadow is None else duration(shadow, f"Canary(shadow={shadow!r})"))
        _set(self, watch=None if watch is None else duration(watch, f"Canary(watch={watch!r})"))
        _set(self, shares=_shares(shares))
        _set(self, **{name: duration(text, f"Canary({name}={text!r})") for name, text in lengths.items()})
        _set(self, hold_back=_within("Canary", "hold_back", hold_back, 0.5, 0.01))
        _set(self, alpha=_within("Canary", "alpha", alpha, 0.5, 0.05))
        _set(self, **_outcomes("Canary", bigger_is_better, smaller_is_better), unlike=_unlike("Canary", unlike))
        if self.patience <= self.hold:
            where = f"Canary(hold={hold!r}, patience={patience!r})"
            what = f"patience ends before a stage does: {patience} is not longer than hold, {hold}"
            raise DeclarationError(what, where=where, fix="write a longer patience")


@dataclass(frozen=True, slots=True, init=False)
class AB:
    """A fixed `share` of the units for as long as it `lasts`, to see which version does better by its outcomes.

    Guardrails take the challenger back as in a canary, and rows `unlike` its training rows do, or hold it. At the end
    it holds and tells: a person promotes or aborts. Raises `DeclarationError` for what cannot be.

    >>> AB(bigger_is_better=["revenue"], lasts="14d").share
    0.5
    """

    share: float
    lasts: timedelta
    alpha: float
    bigger_is_better: tuple[str, ...]
    smaller_is_better: tuple[str, ...]
    unlike: str = "roll back"

    def __init__(
        self,
        *,
        share: float = 0.5,
        lasts: str = "14d",
        alpha: float = 0.05,
        bigger_is_better: Sequence[str] = (),
        smaller_is_better: Sequence[str] = (),
        unlike: Unlike = "roll back",
    ) -> None:
        _set(self, share=_within("AB", "share", share, 1, 0.5), lasts=duration(lasts, f"AB(lasts={lasts!r})"))
        _set(self, alpha=_within("AB", "alpha", alpha, 0.5, 0.05))
        _set(self, **_outcomes("AB", bigger_is_better, smaller_is_better), unlike=_unlike("AB", unlike))


@dataclass(frozen=True, slots=True, init=False)
class Shadow:
    """Beside the champion, heard by nobody, for as long as it `lasts`; then it holds and tells. Rows `unlike` its
    training rows end it before, as in a canary, or hold it.

    >>> Shadow(lasts="3d").lasts.days
    3
    """

    lasts: timedelta
    alpha: float
    unlike: str = "roll back"

    def __init__(self, *, lasts: str = "1d", alpha: float = 0.05, unlike: Unlike = "roll back") -> None:
        _set(self, lasts=duration(lasts, f"Shadow(lasts={lasts!r})"), unlike=_unlike("Shadow", unlike))
        _set(self, alpha=_within("Shadow", "alpha", alpha, 0.5, 0.05))


@dataclass(frozen=True, slots=True)
class Now:
    """All the traffic at once, on no evidence but that of the gates."""


Plan = Canary | AB | Shadow | Now
_KINDS: dict[str, type[Plan]] = {kind.__name__: kind for kind in (Canary, AB, Shadow, Now)}


def to_spec(plan: Plan) -> dict[str, Any]:
    """As a deployment says it: the plan's name and its fields.

    >>> to_spec(Shadow(lasts="1h"))
    {'plan': 'Shadow', 'fields': {'lasts': 3600.0, 'alpha': 0.05, 'unlike': 'roll back'}}
    """
    return {"plan": type(plan).__name__, "fields": plain(plan)}


def from_spec(found: Mapping[str, Any]) -> Plan:
    """Raises `DataError` for what `to_spec` did not make.

    >>> from_spec(to_spec(Canary(hold="2h"))) == Canary(hold="2h")
    True
    """
    name = str(found.get("plan"))
    if name not in _KINDS:
        raise DataError(f"no plan {name!r}", fix=did_you_mean(name, _KINDS))
    made: Plan = restored(_KINDS[name], found.get("fields"))
    return made


def _set(plan: object, **values: object) -> None:
    for name, value in values.items():
        object.__setattr__(plan, name, value)


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


def _within(plan: str, name: str, value: object, below: float, right: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < below:
        raise DeclarationError(
            f"{name}={value!r} is not between 0 and {below:g}",
            where=f"{plan}({name}={value!r})",
            fix=f"write {name}={right:g}",
        )
    return float(value)


def _unlike(plan: str, value: object) -> str:
    known = get_args(Unlike)
    if not isinstance(value, str) or value not in known:
        raise DeclarationError(
            f"unlike={value!r} is nothing that can be done",
            where=f"{plan}(unlike={value!r})",
            fix=" or ".join(f'write unlike="{one}"' if one == known[0] else f'"{one}"' for one in known),
        )
    return value


def _outcomes(plan: str, bigger: object, smaller: object) -> dict[str, tuple[str, ...]]:
    given = {"bigger_is_better": bigger, "smaller_is_better": smaller}
    for name, names in given.items():
        if not isinstance(names, list | tuple) or not all(isinstance(one, str) and one for one in names):
            fix = f'write {name}=["revenue"]'
            raise DeclarationError(f"{names!r} is no list of outcomes", where=f"{plan}({name}={names!r})", fix=fix)
    told = {name: tuple(names) for name, names in given.items() if isinstance(names, list | tuple)}
    twice = [one for one in told["bigger_is_better"] if one in told["smaller_is_better"]]
    if twice:
        raise DeclarationError(
            f"the outcome {twice[0]!r} cannot be better both ways", where=f"{plan}(...)", fix="name it once"
        )
    return told
