"""Lines read as columns say what the same lines say one by one, or nothing at all; blocks leave out what is torn."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from loopwright.predictions import layout, quick
from loopwright.predictions.blocks import Rowless, Wanted, blocks, decoded
from loopwright.predictions.journal import Line

KINDS = {"carrier": "string", "distance": "float", "seats": "integer", "is_full": "boolean", "due": "time"}
ROW: Mapping[str, Any] = {"carrier": "AA", "distance": 1.5, "seats": 7, "is_full": True, "due": "2026-03-02T00:00:00Z"}
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def a_line(place: int = 0, row: Mapping[str, Any] = ROW, **more: Any) -> bytes:
    given = {"label": "late", "probabilities": {"late": 0.75, "on time": 0.25}, "latency_ms": 2.5, **more}
    return msgspec.json.encode(
        Line(id=f"A.{place}", at=NOON + timedelta(microseconds=place), loop="l", version=1, digest="d", arm="champion",
             row=row, **given)
    )  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"carrier": None, "distance": None, "due": None},
        {"distance": 2},
        {"due": "2026-03-02T02:00:00+02:00"},
        {"due": "2026-03-02"},
        {"carrier": "2026-03-02"},
        {"further": [1, 2]},
    ],
    ids=str,
)
def test_what_is_read_quickly_is_what_is_read_line_by_line(changed: Mapping[str, Any]) -> None:
    texts = [a_line(0, {**ROW, **changed}), a_line(1)]
    piece = quick.columns(texts, KINDS)
    assert piece is not None
    slow = layout.assemble(layout.of_lines(decoded(texts, msgspec.json.Decoder(Line)), "f", lambda _: KINDS))
    found = layout.assemble([piece])
    for name in ("id", "at", "version", "arm", "latency_ms", "label", "probability_late",
                 *(f"row_{column}" for column in KINDS)):  # fmt: skip
        assert sorted(map(str, found[name].to_pylist())) == sorted(map(str, slow[name].to_pylist())), name


@pytest.mark.parametrize(
    "changed",
    [{"carrier": 7}, {"distance": "far"}, {"seats": 1.5}, {"is_full": "yes"}, {"due": "soon"}, {"seats": 2**70}],
    ids=str,
)
def test_what_is_of_another_type_is_not_read_quickly(changed: Mapping[str, Any]) -> None:
    assert quick.columns([a_line(), a_line(1, {**ROW, **changed})], KINDS) is None


def test_labels_of_several_types_are_not_read_quickly() -> None:
    assert quick.columns([a_line(), a_line(1, label=7)], KINDS) is None
    assert quick.columns([a_line(label="2026-03-02")], KINDS) is None


def test_blocks_give_what_is_wanted_and_leave_out_what_is_torn() -> None:
    file = io.BytesIO(b"\n".join([a_line(0), a_line(1)[:40], b"", a_line(2), a_line(3)[:-9]]))
    (found,) = blocks(file, Wanted(since=NOON - timedelta(days=1)), msgspec.json.Decoder(Rowless))
    assert [(one.id, one.row) for one in found] == [("A.0", {}), ("A.2", {})]
    file.seek(0)
    (found,) = blocks(file, Wanted(since=NOON + timedelta(microseconds=1)), msgspec.json.Decoder(Line))
    assert [(one.id, one.row) for one in found] == [("A.2", ROW)]
