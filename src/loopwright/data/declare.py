"""`Validate`: the declaration of what a loop's rows must be. Nothing heavy may be imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from loopwright.core.duration import duration
from loopwright.data.finding_kinds import KINDS, OF_ROWS
from loopwright.errors import DeclarationError, did_you_mean


@dataclass(frozen=True, slots=True, init=False)
class Validate:
    """What the rows of a loop are held against, and what becomes of those that fail. A plain value.

    `schema` is a file that `lw data schema TABLE --output schema.toml` wrote, its path relative to the loop's file;
    without one, only what is wrong in any data is found. `span` is a stretch of the table's time: the newest one is
    compared with the one before it. `quarantine` sets rows aside instead of stopping the run: True, those that fail
    with an error; a list of kinds of findings, those that fail so, warnings too. Where that would be more than
    `most_quarantined` of all rows, a share from 0 to 1, the run stops all the same.

    Raises `DeclarationError` for a kind that is none or about no single rows, a share out of range, and a span that is
    no length of time.

    >>> Validate(schema="schema.toml", quarantine=["number too big"]).span.days
    30
    >>> Validate(quarantine=["numbr too big"])
    Traceback (most recent call last):
    loopwright.errors.DeclarationError: there is no kind of finding 'numbr too big'
      where: Validate(quarantine=['numbr too big'])
      to do: did you mean 'number too big'?
    """

    schema: str | None
    span: timedelta
    quarantine: bool | tuple[str, ...]
    most_quarantined: float

    def __init__(
        self,
        schema: str | None = None,
        *,
        span: str = "30d",
        quarantine: bool | Sequence[str] = False,
        most_quarantined: float = 0.05,
    ) -> None:
        object.__setattr__(self, "schema", _path(schema))
        object.__setattr__(self, "span", duration(span, f"Validate(span={span!r})"))
        object.__setattr__(self, "quarantine", _kinds(quarantine))
        object.__setattr__(self, "most_quarantined", _share(most_quarantined))


def _path(schema: object) -> str | None:
    if schema is None or (isinstance(schema, str) and schema.endswith(".toml")):
        return schema
    raise DeclarationError(
        f"schema={schema!r} is no path of a schema",
        where=f"Validate(schema={schema!r})",
        fix='make one with lw data schema TABLE --output schema.toml, and write schema="schema.toml"',
    )


def _kinds(quarantine: object) -> bool | tuple[str, ...]:
    where = f"Validate(quarantine={quarantine!r})"
    if isinstance(quarantine, bool):
        return quarantine
    if not isinstance(quarantine, list | tuple) or not quarantine:
        fix = 'write quarantine=True, or kinds: quarantine=["number too big"]'
        raise DeclarationError(f"quarantine={quarantine!r} is no list of kinds of findings", where=where, fix=fix)
    for kind in quarantine:
        if kind not in KINDS:
            raise DeclarationError(
                f"there is no kind of finding {kind!r}", where=where, fix=did_you_mean(str(kind), OF_ROWS)
            )
        if kind not in OF_ROWS:
            told = f"the finding {kind!r} is about no single rows, so none can be set aside for it"
            raise DeclarationError(told, where=where, fix=f"rows can be set aside for: {', '.join(sorted(OF_ROWS))}")
    return tuple(sorted(set(quarantine)))


def _share(share: object) -> float:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise DeclarationError(
            f"most_quarantined={share!r} is no share",
            where=f"Validate(most_quarantined={share!r})",
            fix="write a share from 0 to 1: most_quarantined=0.05",
        )
    return float(share)
