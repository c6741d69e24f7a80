"""The cheap ways to what the strict ways make: the same feed, the same refusals; ids and arms that keep their order."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from loopwright.core.clock import Ulids
from loopwright.core.version import Arm, Route
from loopwright.data.schema import Column, Schema
from loopwright.errors import UsageError
from loopwright.gateway.decode import Decoded, Decoder
from loopwright.gateway.typed import Misfit, Typed
from loopwright.predictions import finding
from loopwright.store import schema as rows_of
from loopwright.testing import HandClock

SCHEMA = Schema(
    columns=(
        Column(name="carrier", kind="string", missing=True),
        Column(name="flights so far", kind="integer", missing=True),
        Column(name="label", kind="float", missing=True),
        Column(name="holiday", kind="boolean", missing=True),
        Column(name="at", kind="time", missing=True),
        Column(name="origin", kind="string", missing=False),
    ),
    key=("flight_id", "origin"),
    time="scheduled",
)
_VALUES: dict[str, some.SearchStrategy[Any]] = {
    "carrier": some.text(max_size=5),
    "flights so far": some.integers(-(2**65), 2**65) | some.floats(allow_nan=False, allow_infinity=False),
    "label": some.floats(allow_nan=False, allow_infinity=False) | some.integers(-(2**70), 2**70),
    "holiday": some.booleans() | some.integers(0, 1),
    "at": some.sampled_from(
        [
            "2026-01-31",
            "2026-02-31",
            "2026-01-31T10:00:00Z",
            "2026-01-31 10:00:00.5+02:00",
            "9999-12-31T23:59:59-12:00",
            "soon",
        ]
    )
    | some.datetimes().map(datetime.isoformat),
    "origin": some.none() | some.text(max_size=5),
    "flight_id": some.none() | some.text(max_size=3) | some.integers(-(2**65), 2**65) | some.booleans(),
}
ROWS = some.fixed_dictionaries(
    {name: some.none() | values for name, values in _VALUES.items() if name not in ("flight_id", "origin")}
    | {"origin": _VALUES["origin"]},
    optional={"flight_id": _VALUES["flight_id"], "scheduled": some.none() | some.text(max_size=3)},
)


@given(some.lists(ROWS, min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_what_the_type_takes_the_strict_decoder_takes_and_makes_the_same_of(rows: list[dict[str, Any]]) -> None:
    typed, strict = Typed(SCHEMA), Decoder(SCHEMA).decode(rows)
    try:
        read = msgspec.json.decode(msgspec.json.encode(rows), type=list.__class_getitem__(typed.row))
        times = typed.fits(read)
    except (msgspec.DecodeError, Misfit):
        return
    assert isinstance(strict, Decoded)
    feed = typed.feed(read, times)
    assert feed.keys() == strict.feed.keys()
    for name, array in feed.items():
        assert array.dtype == strict.feed[name].dtype
        assert array.shape == strict.feed[name].shape
        assert array.tobytes() == strict.feed[name].tobytes() or array.dtype == object
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, strict.feed[name])
    told = [typed.parts(row) for row in read]
    assert [msgspec.to_builtins(row) for row, _ in told] == list(strict.rows)
    assert [key for _, key in told] == list(strict.keys)


def test_most_rows_are_taken_by_the_type() -> None:
    typed = Typed(SCHEMA)
    row = {"carrier": "UA", "flights so far": 3, "label": 1, "holiday": None, "at": "2026-01-31", "origin": "EWR"}
    read = msgspec.convert([row] * 3, list.__class_getitem__(typed.row))
    assert {name: array.shape for name, array in typed.feed(read).items()} == {
        "carrier": (3, 1), "flights so far": (3, 1), "column:label": (3, 1), "holiday": (3, 1), "at": (3, 1),
        "origin": (3, 1),
    }  # fmt: skip


def test_columns_that_are_hidden_in_the_journal_are_handed_to_it_by_name() -> None:
    email = Column(name="email", kind="string", missing=False, tags=("pii",))
    typed = Typed(Schema(columns=(email,), key=("user",)))
    (read,) = msgspec.convert([{"email": "a@b.c", "user": 1}], list.__class_getitem__(typed.row))
    assert typed.parts(read) == ({"email": "a@b.c"}, {"user": 1})


def test_ids_rise_within_a_millisecond_and_when_the_clock_is_set_back() -> None:
    clock, chance = HandClock(), random.Random(0)
    ulids, found = Ulids(clock), []
    for _ in range(5000):
        found.append(ulids.next())
        clock.jump(chance.choice([0, 0, 0, 0.001, -5]))
    assert found == sorted(set(found))
    assert all(finding.ID.fullmatch(f"{one}.0") for one in found)


def test_ids_do_not_end_with_the_count_of_a_millisecond() -> None:
    ulids, last = Ulids(HandClock()), ""
    for _ in range((1 << 20) + 5):
        found = ulids.next()
        assert found > last
        last = found


def test_writers_draw_places_of_their_own() -> None:
    clock = HandClock()
    found = [writer.next() for writer in [Ulids(clock) for _ in range(100)] for _ in range(100)]
    assert len(set(found)) == 10_000
    assert len({one[:10] for one in found}) == 1


def a_route(*arms: Arm) -> Route:
    return Route(loop="flights", arms=arms, at=datetime(2026, 1, 1, tzinfo=UTC), actor="me")


CHAMPION = Arm(name="champion", version=1, share=1.0)


def test_a_shadow_has_no_share_and_answers_to_nobody() -> None:
    route = a_route(CHAMPION, Arm(name="next", version=2, share=0.0, shadow=True))
    assert {route.choose(f"unit-{number}").name for number in range(500)} == {"champion"}
    assert [arm.name for arm in route.shadows] == ["next"]
    with pytest.raises(UsageError, match="shadow"):
        a_route(Arm(name="champion", version=1, share=0.9), Arm(name="next", version=2, share=0.1, shadow=True))
    with pytest.raises(UsageError, match="sum to 1"):
        a_route(Arm(name="next", version=2, share=0.0, shadow=True))


def test_routes_of_before_there_were_shadows_are_read_and_written_as_they_were() -> None:
    arms = (CHAMPION, Arm(name="next", version=2, share=0.0, shadow=True))
    plain = rows_of.route_row(a_route(*arms))["arms"]
    assert plain[0] == {"name": "champion", "version": 1, "share": 1.0}
    assert tuple(Arm(**one) for one in plain) == arms
    assert math.isclose(sum(one["share"] for one in plain), 1)
