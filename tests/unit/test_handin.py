"""Predictions of the edge that are handed in: taken once, whole, under the rules of the workspace, and found again."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit import bundled
from tests.unit.serving import Client
from tests.unit.test_journal import a_line

from loopwright import edge
from loopwright.access.names import Names
from loopwright.core.event import Cause
from loopwright.core.version import VersionStatus
from loopwright.data.schema import Column as SchemaColumn
from loopwright.data.schema import Schema
from loopwright.edge.handing import HandIn
from loopwright.gateway.gateway import Gateway
from loopwright.gateway.guard import Guard
from loopwright.gateway.refused import Refused
from loopwright.predictions import aside, compaction, finding, journal, labels
from loopwright.predictions.concealing import Concealer
from loopwright.predictions.journal import Journal
from loopwright.protocols.bodies import Limits
from loopwright.protocols.door import Entry
from loopwright.protocols.handed import Contract
from loopwright.protocols.handin import HandingIn, Taken, unpacked
from loopwright.protocols.labelling import Labelling
from loopwright.registry.register import register
from loopwright.serve import app
from loopwright.testing import HandClock, memory_stores
from loopwright.transform import bundle

ROW = {"carrier": "UA", "distance": 21, "id": 7}


class Workplace:
    """A workspace with a version, and an edge that runs it."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "workspace"
        self.clock = HandClock()
        self.stores = memory_stores(self.clock)
        sealed = bundled.sealed(folder / "sealed")
        manifest = bundle.verify(sealed)
        self.version = register(
            self.stores, sealed, manifest, Cause(actor="me", at=self.clock.now()),
            status=VersionStatus.ACCEPTED, run_id="run-1", metric="r2", value=0.7, reason="",
        )  # fmt: skip
        self.runner = edge.load(sealed, clock=self.clock)
        self.limits = Limits(body_bytes=1 << 20, rows=5000)
        self.handing_in = self.another()

    def another(self) -> HandingIn:
        """As another process has it."""
        return HandingIn(
            workspace=self.workspace,
            stores=lambda: self.stores,
            clock=self.clock,
            limits=self.limits,
            conceal=lambda schema: Concealer(schema, "drop", b""),
        )

    def made(self, count: int = 3) -> tuple[list[str], bytes]:
        """What the edge recorded."""
        ids = [self.runner.predict([ROW])[0]["id"] for _ in range(count)]
        content = b"".join(file.read_bytes() for file in self.runner.journal.closed())
        return ids, content

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in journal.lines(self.workspace / journal.FOLDER, "delays")]


def nobody(_: str) -> None:
    """Refuses no loop."""


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def test_what_is_handed_in_is_found_as_any_other_prediction(place: Workplace) -> None:
    ids, content = place.made()
    assert place.handing_in.take(content, nobody) == Taken(accepted=3, known=0)
    for identity in ids:
        found = finding.find(place.workspace, identity)
        assert (found["version"], found["arm"], found["value"]) == (1, "edge", 42.0)
        assert (found["row"], found["key"]) == ({"carrier": "UA", "distance": 21}, {"id": 7})


def test_it_is_taken_once_also_after_it_became_part_of_the_table(place: Workplace) -> None:
    _, content = place.made()
    first, rest = content.split(b"\n", 1)
    assert place.handing_in.take(first + b"\n", nobody) == Taken(1, 0)
    assert place.handing_in.take(content, nobody) == Taken(2, 1)
    assert place.handing_in.take(content + rest, nobody) == Taken(0, 3)
    compaction.compact(place.workspace / journal.FOLDER, "delays", kinds=lambda _: {}, clock=place.clock)
    assert place.handing_in.take(content, nobody) == Taken(0, 3)


def test_lines_of_several_edges_are_found_in_whatever_order_they_come(place: Workplace) -> None:
    ids, content = place.made(40)
    lines = content.splitlines(keepends=True)
    for some in (lines[20:], lines[:20][::-1]):
        place.handing_in.take(b"".join(some), nobody)
    assert set(finding.known(place.workspace, ids)) == set(ids)


def test_labels_that_came_before_their_prediction_become_the_loops_own_once(place: Workplace) -> None:
    ids, content = place.made()
    writing = Journal(place.workspace / aside.FOLDER, place.clock)
    for one in (ids[1], "01KE7Z3W1C9N7V0QWJ4S8YH2TX.0"):
        told = labels.Label(label=40.0, at=place.clock.now(), origin="HTTP", prediction_id=one)
        writing.append(aside.NAME, [told])
    writing.close()
    for _ in range(2):
        place.handing_in.take(content, nobody)
    lines = list(journal.lines(place.workspace / labels.FOLDER, "delays"))
    assert [json.loads(line)["prediction_id"] for line in lines] == [ids[1]]


def test_two_processes_that_get_the_same_take_it_once(place: Workplace) -> None:
    _, content = place.made(50)
    start = threading.Barrier(4)

    def hand(_: int) -> int:
        start.wait()
        return place.another().take(content, nobody).accepted

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(hand, range(4))) == [0, 0, 0, 50]
    assert len(place.lines()) == 50


def changed(content: bytes, **given: Any) -> bytes:
    line = json.loads(content.splitlines()[0]) | given
    return json.dumps({name: value for name, value in line.items() if value is not ...}).encode()


WRONG: dict[str, dict[str, Any]] = {
    "another bundle": {"digest": "0" * 64},
    "the start of a digest": {"digest": ""},
    "another loop": {"loop": "other"},
    "a path": {"loop": "../../etc"},
    "no id": {"id": "7"},
    "no zone": {"at": "2026-01-01T00:00:00"},
    "a shadow": {"shadow": True},
    "a list in the row": {"row": {"carrier": [1]}},
    "neither label nor value": {"value": ...},
    "a number in quotes": {"value": "42"},
    "other columns": {"row": {"nonsense": "text"}},
    "a column in large letters": {"row": {"carrier": "UA", "distance": 21, "Distance": 21}},
    "a column too few": {"row": {"carrier": "UA"}},
    "a value of another kind": {"row": {"carrier": "UA", "distance": "21"}},
    "a key that names no row": {"key": {"passenger": 7}},
    "a key that is a list": {"key": {"id": [7]}},
    "a label where there are no classes": {"value": ..., "label": "late"},
    "probabilities where there are no classes": {"probabilities": {"late": 0.5}},
    "a moment of no calendar": {"at": "9999-12-31T23:59:59-12:00"},
    "a moment before all calendars": {"at": "0001-01-01T00:00:00+14:00"},
    "a moment to come": {"at": "2031-01-01T00:00:00Z"},
    "a moment long before its id": {"at": "1990-01-01T00:00:00Z"},
    "an id to come": {"id": "7ZZZZZZZZZZZZZZZZZZZZZZZZZ.0"},
    "a unit without end": {"unit": "u" * 100_000},
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused_with_its_line_and_nothing_is_recorded(place: Workplace, name: str) -> None:
    _, content = place.made()
    given = WRONG[name]
    if name == "the start of a digest":
        given = {"digest": place.version.digest[:12]}
    with pytest.raises(Refused) as refused:
        place.handing_in.take(content + changed(content, **given), nobody)
    assert refused.value.status == 422
    assert {one.row for one in refused.value.problems} == {3}
    assert place.lines() == []


CLASSES = Contract(replace(bundled.SCHEMA, key=("id",)), [True, False])
ANSWER: dict[str, Any] = {"label": True, "probabilities": {"true": 0.75, "false": 0.25}}


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ({}, []),
        ({"probabilities": None}, []),
        ({"label": 1}, ["label"]),
        ({"label": "true"}, ["label"]),
        ({"label": None, "value": 1.0}, ["label"]),
        ({"probabilities": {"true": 5.0, "false": 0.25}}, ["probabilities"]),
        ({"probabilities": {"q": 1.0}}, ["probabilities"]),
    ],
)
def test_an_answer_is_one_that_the_bundle_could_give(answer: dict[str, Any], wrong: list[str]) -> None:
    line = a_line("01KE7Z3W1C9N7V0QWJ4S8YH2TX.0", HandClock(), row={"carrier": "UA", "distance": 3}, value=None)
    given = msgspec.structs.replace(line, **(ANSWER | answer))
    assert [one.column for one in CLASSES.problems(given, 0)] == wrong


def test_a_hidden_column_is_left_out_or_hashed() -> None:
    hidden = SchemaColumn(name="email", kind="integer", missing=False, tags=("pii",))
    contract = Contract(Schema(columns=(hidden, *bundled.SCHEMA.columns)), [])
    for email, wrong in (({}, []), ({"email": "a" * 32}, []), ({"email": 7}, ["email"])):
        line = a_line("01KE7Z3W1C9N7V0QWJ4S8YH2TX.0", HandClock(), row={"carrier": "UA", "distance": 3} | email)
        assert [one.column for one in contract.problems(line, 0)] == wrong


def test_an_arm_cannot_be_made_up(place: Workplace) -> None:
    _, content = place.made(1)
    place.handing_in.take(changed(content, arm="champion", version=77), nobody)
    assert [(line["arm"], line["version"]) for line in place.lines()] == [("edge", 1)]


def test_too_much_is_refused(place: Workplace) -> None:
    bomb = gzip.compress(b"\n" * (50 << 20))
    with pytest.raises(Refused) as refused:
        place.handing_in.take(bomb, nobody, is_gzip=True)
    assert refused.value.status == 413
    with pytest.raises(Refused) as refused:
        place.handing_in.take(b"{}\n" * 5001, nobody)
    assert refused.value.status == 413
    for content in (b"no gzip", gzip.compress(b"x")[:-3], gzip.compress(b"x") + b"more"):
        with pytest.raises(Refused, match=r"no( whole)? gzip"):
            unpacked(content, 100)


def test_a_loop_that_the_key_is_not_for_is_refused(place: Workplace) -> None:
    _, content = place.made()

    def check(loop: str) -> None:
        raise Refused(403, f"the key is not for {loop}")

    with pytest.raises(Refused, match="not for delays"):
        place.handing_in.take(content, check)


@pytest.fixture
def client(place: Workplace) -> Iterator[Client]:
    """The whole application."""
    writing, marking = (Journal(place.workspace / one, place.clock) for one in (journal.FOLDER, labels.FOLDER))
    gateway = Gateway(
        routes=lambda: place.stores.routes,
        load=lambda *_: pytest.fail("nothing is served here"),
        journal=writing,
        clock=place.clock,
    )
    labelling = Labelling(workspace=place.workspace, journal=marking, gateway=gateway, clock=place.clock)
    guard = Guard(lambda: place.stores.keys, place.clock)
    guard.refresh()
    yield Client(app.create(gateway, labelling, place.limits, Entry(guard, Names()), handing_in=place.handing_in))
    gateway.stop()
    guard.stop()
    writing.close()
    marking.close()


def test_an_edge_hands_in_to_a_gateway(place: Workplace, client: Client) -> None:
    ids = [one["id"] for one in place.runner.predict([ROW] * 1500)]

    def post(content: bytes) -> int:
        answer = client.post("/v1/predictions", content, content_encoding="gzip")
        return answer.status

    assert HandIn(place.runner.journal, post, place.clock).once() == 1500
    assert sorted(line["id"] for line in place.lines()) == sorted(ids)  # a file a part, in whatever order
    assert place.runner.journal.standing().waiting_bytes == 0


def test_the_endpoint_tells_what_it_took(place: Workplace, client: Client) -> None:
    _, content = place.made()
    assert client.post("/v1/predictions", content).json == {"accepted": 3, "known": 0}
    assert client.post("/v1/predictions", gzip.compress(content), content_encoding="gzip").json["known"] == 3
    assert client.post("/v1/predictions", b"{").status == 422
