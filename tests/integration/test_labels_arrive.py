"""Labels that came over the gateway and reach the table that a loop learns from: each once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from tests.integration.loopshop import LoopShop, rows, visits
from tests.unit.test_joining import IDS, Log, after, label, line

from loopwright.data.table import Table
from loopwright.data.tables import Tables
from loopwright.predictions import brought, columnar, erasing, journal, logged
from loopwright.predictions.bringing import Arrived, arrive
from loopwright.predictions.following import labels_after
from loopwright.predictions.journal import Journal

T = Table("flights", key=["id", "day"], label="late")
DAY = datetime(2013, 1, 1, 5, tzinfo=UTC)


class Place:
    """A table of three rows, and a log of predictions for them."""

    def __init__(self, folder: Path) -> None:
        self.log = Log(folder)
        self.log.clock.advance(3600 * 24)
        self.tables = Tables(folder / "tables", self.log.clock)
        self.tables.append(
            T, pl.DataFrame({"id": [1, 2, 3], "day": [DAY] * 3, "x": [0.5] * 3, "late": [None, None, True]})
        )

    def arrive(self, **changed: Any) -> Arrived:
        return arrive(self.tables, T, self.log.workspace, "flights")

    def late(self) -> list[bool | None]:
        return self.tables.read("flights").sort("id")["late"].to_list()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def key(number: Any, day: str = "2013-01-01T05:00:00Z") -> dict[str, Any]:
    return {"id": number, "day": day, "scheduled": "whenever"}


def test_labels_by_prediction_and_by_key_reach_their_rows_once(place: Place) -> None:
    assert place.arrive() == Arrived()
    place.log.predict(line(key=key(1)), line(IDS[1], key=key(9)), line(IDS[2]))
    place.log.label(*(label(True, prediction_id=one) for one in IDS[:3]))
    place.log.label(label(False, key={"id": 2.0, "day": "2013-01-01 00:00-05:00"}))
    place.log.label(label(12.5, prediction_id=IDS[0], outcome="revenue"))
    before = place.tables.current("flights")
    assert place.arrive() == Arrived(labelled=2)
    assert place.late() == [True, False, True]
    assert place.arrive() == Arrived()
    assert place.tables.current("flights").version == before.version
    assert place.tables.read("flights", version=before).sort("id")["late"].to_list() == [None, None, True]


def test_the_newest_wins_also_over_what_came_with_its_row_but_not_over_a_later_correction(place: Place) -> None:
    place.log.predict(line(key=key(3)))
    place.log.label(label(True, 2), label(False, 3), label(True, 1))
    assert place.arrive() == Arrived(labelled=1)
    assert place.late() == [None, None, False]
    place.log.clock.advance(60)
    place.tables.label(T, pl.DataFrame({"id": [3], "day": [DAY], "late": [True]}), origin="by hand")
    assert place.arrive() == Arrived()
    place.log.label(label(False, 48))
    assert place.arrive() == Arrived(labelled=1)
    assert place.late() == [None, None, False]


def test_a_label_waits_for_its_row_and_no_line_is_read_twice(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.log.predict(line(key=key(9)))
    place.log.label(label(True), label(True, key=key(1)))
    assert place.arrive() == Arrived(labelled=1)
    read = list[Any]()

    def noted(*given: Any) -> Any:
        found = labels_after(*given)
        read.extend(found.labels)
        return found

    monkeypatch.setattr(brought, "labels_after", noted)
    late = pl.Series("late", [None], dtype=pl.Boolean)
    place.tables.append(T, pl.DataFrame({"id": [9], "day": [DAY], "x": [0.5]}).with_columns(late))
    assert place.arrive() == Arrived(labelled=1)
    assert (place.late(), read) == ([True, None, True, True], [])
    place.log.label(label(False, 2))
    assert place.arrive() == Arrived()  # known before the row was labelled
    place.log.label(label(False, 99))
    assert (place.arrive(), len(read)) == (Arrived(labelled=1), 2)


def test_what_became_true_before_what_is_known_does_not_count_however_late_it_is_told(place: Place) -> None:
    place.log.label(label(False, 30, key=key(1)))
    assert place.arrive() == Arrived(labelled=1)
    place.log.label(label(True, 60, key=key(1), true_at=after(20)))
    assert place.arrive() == Arrived()
    assert place.late()[0] is False


def test_what_was_brought_may_be_lost_torn_erased_or_another_tables(place: Place, tmp_path: Path) -> None:
    place.log.predict(line(key=key(1)), line(IDS[1], key=key(2)))
    place.log.label(label(True), label(True, prediction_id=IDS[1]))
    assert place.arrive() == Arrived(labelled=2)
    (file,) = (tmp_path / brought.FOLDER / "flights").iterdir()
    version = place.tables.current("flights").digest
    for content in (b"", file.read_bytes()[:99], None):
        file.unlink() if content is None else file.write_bytes(content)
        assert place.arrive() == Arrived()
    assert place.tables.current("flights").digest == version
    erasing.erase(tmp_path, "flights", {"id": "1"}, kinds=lambda _: {}, clock=place.log.clock)
    assert not file.exists()
    again = Tables(tmp_path / "again", place.log.clock)
    again.append(T, place.tables.read("flights").with_columns(late=pl.lit(None, pl.Boolean)))
    assert arrive(again, T, tmp_path, "flights") == Arrived(labelled=1)
    assert again.read("flights").sort("id")["late"].to_list() == [None, True, None]


@pytest.mark.parametrize("is_table", [False, True], ids=["journal", "table"])
def test_predictions_are_found_by_their_ids_wherever_they_lie(log: Log, is_table: bool) -> None:
    log.predict(line(key=key(1)), line(IDS[1], key=key(2)), line(IDS[4], key=key(3)))
    log.predict(line(IDS[4], key=key(3), shadow=True))
    facts = columnar.Facts(ulid=IDS[2][:26], at=after(2), loop="flights", version=1, digest="d", arm="champion")
    rows = columnar.recorded(facts, {"x": pa.array([1.0, 2.0])}, keys={"id": pa.array([8, 9])})
    writing = Journal(log.workspace / journal.FOLDER, log.clock)
    writing.append_table("flights", facts.ulid, rows)
    writing.close()
    if is_table:
        log.compact()
    wanted = [IDS[0], IDS[3], IDS[4], IDS[5], "nonsense"]
    found = logged.structured(logged.with_ids(log.workspace, "flights", wanted)).sort("id")
    assert [(one["id"], one["key"]["id"]) for one in found.to_dicts()] == [(IDS[0], 1), (IDS[3], 9), (IDS[4], 3)]
    assert len(logged.with_ids(log.workspace, "flights", [])) == 0


def test_what_is_hidden_or_of_another_kind_stays_where_it_is_and_is_counted(place: Place) -> None:
    place.log.label(label(True, key=key("pii:0123", "2013-01-01T05:00:00Z")))
    place.log.label(label("late", key=key(1)), label(True, key=key(2.5)), label(True, key=key(3, "some day")))
    assert place.arrive() == Arrived(hidden=1, unfit=3)
    assert place.late() == [None, None, True]
    told = Arrived(labelled=1, hidden=1, unfit=3).told("flights")
    assert told.endswith("1 is under a key that is hidden, 3 are of another kind than the table's")


def test_a_table_without_key_or_label_or_that_is_not_there_gets_none(place: Place) -> None:
    place.log.label(label(True, key=key(1)))
    for table in (Table("flights", label="late"), Table("flights", key="id"), Table("trains", key="id", label="late")):
        assert arrive(place.tables, table, place.log.workspace, "flights") == Arrived()
    assert place.late() == [None, None, True]


def test_a_table_whose_label_never_came_gets_its_first_from_the_gateway(tmp_path: Path) -> None:
    log = Log(tmp_path)
    tables, table = Tables(tmp_path / "tables", log.clock), Table("t", key="id", label="late")
    tables.append(table, pl.DataFrame({"id": ["a", "b"], "x": [1.0, 2.0]}))
    log.label(label("yes", key={"id": "b"}))
    assert arrive(tables, table, tmp_path, "flights") == Arrived(labelled=1)
    assert dict(tables.read("t").select("id", "late").rows()) == {"a": None, "b": "yes"}


def test_a_run_learns_from_labels_that_came_over_the_gateway(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, log = LoopShop(tmp_path), Log(tmp_path)
    object.__setattr__(shop.runner, "workspace", tmp_path)
    shop.tables.append(visits, rows(600, unlabelled=20))
    log._write("labels", "buys", [label(True, key={"id": f"v{number}"}) for number in range(580, 590)])
    shop.run(shop.loop())
    told = capsys.readouterr().out
    assert "10 labels from the gateway came to rows of visits\n" in told
    assert "10 have no label" in told
    assert shop.tables.read("visits")["bought"].null_count() == 10
    assert "gateway" not in (shop.run(shop.loop()), capsys.readouterr().out)[1]
