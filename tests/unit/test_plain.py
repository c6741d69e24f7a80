"""Dataclasses as JSON and back, also what an older version wrote."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum

import pytest

from loopwright.core.plain import plain, restored
from loopwright.errors import DataError


class Kind(Enum):
    ONE = "one"


@dataclass(frozen=True, kw_only=True)
class Part:
    number: int
    share: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Whole:
    name: str
    at: datetime
    lasts: timedelta
    kind: Kind
    parts: tuple[Part, ...] = ()
    names: list[str] = field(default_factory=list)
    best: Part | None = None


WHOLE = Whole(
    name="it",
    at=datetime(2026, 3, 14, tzinfo=UTC),
    lasts=timedelta(hours=1),
    kind=Kind.ONE,
    parts=(Part(number=1), Part(number=2, share=1)),
)
TOLD = {"name": "it", "at": "2026-03-14T00:00:00+00:00", "lasts": 3600.0, "kind": "one"}


def test_what_was_written_is_read_as_it_was() -> None:
    given = plain(Whole(**{name: getattr(WHOLE, name) for name in ("name", "at", "lasts", "kind", "parts")}))
    assert given == TOLD | {
        "parts": [{"number": 1, "share": 0.5}, {"number": 2, "share": 1}],
        "names": [],
        "best": None,
    }


def test_what_was_written_before_a_field_was_there_gets_its_default() -> None:
    first, second = (restored(Whole, TOLD | {"parts": [{"number": 1}]}) for _ in range(2))
    assert (first.parts, first.names, first.best) == ((Part(number=1, share=0.5),), [], None)
    assert first.names is not second.names


@pytest.mark.parametrize(
    "found", [{"name": "it"}, TOLD | {"more": 1}, TOLD | {"kind": "two"}, TOLD | {"parts": [{"number": "1"}]}, 7]
)
def test_what_is_no_such_thing_is_refused(found: object) -> None:
    with pytest.raises(DataError, match="this is no Whole"):
        restored(Whole, found)
