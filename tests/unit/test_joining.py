"""What was predicted beside what came true: held against a join by hand, and what was known when."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopwright.errors import UsageError
from loopwright.predictions import aside, columnar, compaction, erasing, joining, journal, labels, reading
from loopwright.predictions.journal import Journal, Line
from loopwright.predictions.labels import Label
from loopwright.testing.clock import HandClock

START = datetime(2026, 1, 1, tzinfo=UTC)
IDS = [f"01KE7Z3W1C9N7V0QWJ4S8YH2T{letter}.{row}" for letter in "ABC" for row in (0, 1)]


class Log:
    """A workspace with predictions and labels, written as a gateway would."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.clock = HandClock()

    def predict(self, *lines: Line) -> None:
        self._write(journal.FOLDER, "flights", sorted(lines, key=lambda line: line.id))

    def label(self, *told: Label) -> None:
        self._write(labels.FOLDER, "flights", told)

    def aside(self, *told: Label) -> None:
        self._write(aside.FOLDER, aside.NAME, told)

    def compact(self) -> None:
        compaction.compact(self.workspace / journal.FOLDER, "flights", kinds=lambda _: {}, clock=self.clock)

    def joined(self, **asked: Any) -> pl.DataFrame:
        return joining.joined(self.workspace, "flights", **asked)

    def _write(self, folder: str, name: str, lines: Sequence[Any]) -> None:
        self.clock.advance(1)  # a later file has a later name
        writing = Journal(self.workspace / folder, self.clock)
        writing.append(name, lines)
        writing.close()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def after(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def line(identity: str = IDS[0], hours: float = 0, **more: Any) -> Line:
    said: dict[str, Any] = {"version": 1, "arm": "champion", "row": {"x": 1.5}, "label": True}
    return Line(id=identity, at=after(hours), loop="flights", digest="d", **said | more)


def label(value: Any, hours: float = 1, **more: Any) -> Label:
    found: dict[str, Any] = more or {"prediction_id": IDS[0]}
    return Label(label=value, at=after(hours), origin="HTTP", **found)


moments = st.integers(0, 4).map(after)
values = st.sampled_from([7.0, 7, 7, "7", 7.5, "a\nb", True])
keys = st.fixed_dictionaries({}, optional={"id": values, "day": st.sampled_from(["2013-01-01 05:00Z", "monday"])})
predicted = st.builds(
    lambda at, key, version, shadow: {"hours": 0, "key": key or None, "version": version, "shadow": shadow, "at": at},
    st.integers(0, 4), keys, st.integers(1, 2), st.booleans(),
)  # fmt: skip
label_keys = st.fixed_dictionaries({"id": values}, optional={"day": st.just("2013-01-01T05:00:00+00:00")})
a_label = st.builds(
    lambda address, value, at, true_at, outcome: Label(
        label=value, at=at, origin="test", true_at=true_at, outcome=outcome, **address
    ),
    st.one_of(
        st.sampled_from([*IDS[:3], "01KE7Z3W1C9N7V0QWJ4S8YH2TX.0"]).map(lambda one: {"prediction_id": one}),
        label_keys.map(lambda key: {"key": key}),
    ),
    st.integers(0, 1000),
    moments,
    st.none() | moments,
    st.sampled_from([None, None, None, "revenue"]),
)
asked = st.fixed_dictionaries(
    {},
    optional={
        "known_at": moments,
        "since": moments,
        "until": moments,
        "outcome": st.just("revenue"),
        "shadows": st.booleans(),
        "versions": st.just([1]),
    },
)


def same(one: Any, other: Any) -> bool:
    """Of two values of a key."""
    if isinstance(one, str) and isinstance(other, str) and one[4:5] == other[4:5] == "-":
        return datetime.fromisoformat(one) == datetime.fromisoformat(other)
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def meets(told: Label, made: Line) -> bool:
    if told.key is None:
        return told.prediction_id == made.id
    return all(name in (made.key or {}) and same(value, (made.key or {})[name]) for name, value in told.key.items())


def by_hand(made: Sequence[Line], told: Sequence[Label], asked: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    found = []
    for one in made:
        if one.shadow and not asked.get("shadows"):
            continue
        if one.version not in asked.get("versions", [1, 2]):
            continue
        if not asked.get("since", after(-1)) <= one.at < asked.get("until", after(99)):
            continue
        known = [
            (each.true_at or each.at, each.at, number, each)
            for number, each in enumerate(told)
            if each.outcome == asked.get("outcome") and each.at <= asked.get("known_at", after(99)) and meets(each, one)
        ]
        newest = max(known)[3] if known else None
        found.append((one.id, one.shadow, newest and newest.label, newest and newest.at, newest and newest.true_at))
    return sorted(found, key=lambda row: row[:2])


def told_of(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    rows = frame.select("id", "shadow", "label", "labelled_at", "true_at").rows()
    return sorted(rows, key=lambda row: row[:2])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(predicted, min_size=2, max_size=len(IDS)),
    st.lists(a_label, min_size=4, max_size=16),
    asked,
    st.integers(0, 12),
    st.integers(0, 9),
)
def test_labels_late_twice_out_of_order_and_conflicting_meet_as_by_hand(
    shapes: Sequence[Mapping[str, Any]], told: Sequence[Label], asked: Mapping[str, Any], half: int, compacted: int
) -> None:
    folder = Path(tempfile.mkdtemp())
    log = Log(folder)
    made = [
        line(identity, shape["at"], **{name: shape[name] for name in ("key", "version", "shadow")})
        for identity, shape in zip(IDS, shapes, strict=False)
    ]
    log.predict(*made[:3])
    if compacted == 0:
        log.compact()
    log.label(*told[:half])
    joiner = joining.Joiner(folder, "flights")
    assert told_of(joiner.joined(**asked)) == by_hand(made[:3], told[:half], asked)
    log.predict(*made[3:])
    log.label(*told[half:])
    expected = by_hand(made, told, asked)
    assert told_of(joiner.joined(**asked)) == expected
    assert told_of(log.joined(**asked)) == expected
    one_by_one = labels.newest(folder, "flights", outcome=asked.get("outcome"), known_at=asked.get("known_at"))
    for identity, is_shadow, value, at, _ in expected:
        key = next(one.key for one in made if one.id == identity and one.shadow == is_shadow)
        met = one_by_one.of(identity, key)
        assert (met and met.label, met and met.at) == (value, at)
    shutil.rmtree(folder)


def test_predictions_read_from_the_table_from_lines_and_from_columns_are_the_same(log: Log) -> None:
    beside: dict[str, Any] = {
        "key": {"flight_id": 7, "scheduled": "2013-01-01T05:00:00Z"},
        "probabilities": {"no": 0.25, "yes": 0.75},
    }
    log.predict(line(**beside, unit="ann"), line(IDS[1], 1, version=2, label="yes", row={"x": "far"}))
    facts = columnar.Facts(ulid=IDS[2][:26], at=after(2), loop="flights", version=1, digest="d", arm="canary")
    batch = columnar.recorded(
        facts, {"x": pa.array([2.5])}, keys={"flight_id": pa.array([8]), "scheduled": pa.array([after(0.001)])},
        value=pa.array([0.5]),
    )  # fmt: skip
    writing = Journal(log.workspace / journal.FOLDER, log.clock)
    writing.append_table("flights", facts.ulid, batch)
    writing.close()
    log.label(label(True), label(False, 2, key={"scheduled": "2013-01-01 05:00", "flight_id": 7.0}))
    log.label(label(True, key={"scheduled": "2026-01-01T00:00:03.6Z", "flight_id": 8}))
    before = log.joined(columns=None, within=timedelta(hours=2), known_at=after(3))
    rows = {row["id"]: row for row in before.to_dicts()}
    assert rows[IDS[0]]["label"] is False
    assert rows[IDS[0]]["key"] == {"flight_id": 7, "scheduled": "2013-01-01T05:00:00Z"}
    assert rows[IDS[0]]["probabilities"] == {"no": 0.25, "yes": 0.75}
    assert (rows[IDS[1]]["row"], rows[IDS[1]]["predicted"]) == ({"x": '"far"'}, '"yes"')
    assert (rows[IDS[2]]["arm"], rows[IDS[2]]["value"], rows[IDS[2]]["label"]) == ("canary", 0.5, True)
    log.compact()
    assert log.joined(columns=None, within=timedelta(hours=2), known_at=after(3)).to_dicts() == before.to_dicts()
    assert log.joined().columns == before.columns
    assert log.joined(columns=["y"])["row"].dtype == pl.Null


def test_a_label_that_never_comes_is_missing_and_never_negative(log: Log) -> None:
    log.predict(line(), line(IDS[1], 3))
    day = timedelta(days=1)
    assert log.joined()["label_status"].to_list() == ["waiting", "waiting"]
    assert log.joined(known_at=after(24), within=day)["label_status"].to_list() == ["missing", "waiting"]
    assert log.joined(known_at=after(27), within=day)["label"].to_list() == [None, None]
    log.label(label(False, 40))  # late, and counts all the same
    assert log.joined(known_at=after(41), within=day)["label_status"].to_list() == ["labelled", "missing"]
    assert log.joined(known_at=after(39), within=day)["label_status"].to_list() == ["missing", "missing"]
    with pytest.raises(UsageError, match="not until when"):
        log.joined(within=day)


def test_coverage_counts_by_version_and_arm(log: Log) -> None:
    log.predict(
        *(line(one, version=1 + (number > 3), arm="a" if number > 3 else "b") for number, one in enumerate(IDS))
    )
    log.label(*(label(True, prediction_id=one) for one in IDS[:3]))
    found = joining.coverage(log.joined(known_at=after(30), within=timedelta(hours=9)))
    assert found.select("version", "arm", "predictions", "labelled", "waiting", "missing", "share").rows() == [
        (1, "b", 4, 3, 0, 1, 0.75),
        (2, "a", 2, 0, 0, 2, 0.0),
    ]
    assert len(joining.coverage(log.joined(until=after(-1)))) == 0


def test_an_outcome_stands_beside_the_label(log: Log) -> None:
    log.predict(line())
    log.label(label(True), label(12.5, 2, prediction_id=IDS[0], outcome="revenue"))
    assert log.joined()["label"].to_list() == [True]
    assert log.joined(outcome="revenue")["label"].to_list() == [12.5]
    assert log.joined(outcome="clicks")["label_status"].to_list() == ["waiting"]
    assert reading.joined(log.workspace, "flights")["label"].to_list() == [True]


def test_a_label_kept_aside_is_met_once_its_prediction_turns_up(log: Log) -> None:
    log.aside(label(True), label(False, prediction_id=IDS[3]))
    assert len(log.joined()) == 0
    log.predict(line())
    assert log.joined()["label"].to_list() == [True]
    adopt: Any = [log.workspace, log.workspace / labels.FOLDER, "flights", [IDS[0], IDS[1]], log.clock]
    assert aside.adopt(*adopt) == 1
    assert [one.label for one in labels.history(log.workspace, "flights", IDS[0], None)] == [True]
    lines = list(journal.lines(log.workspace / labels.FOLDER, "flights"))
    assert [json.loads(one)["prediction_id"] for one in lines] == [IDS[0]]


def test_the_history_of_a_label_stays_whatever_counts(log: Log) -> None:
    key = {"flight_id": 7, "day": "monday"}
    log.predict(line(key=key))
    log.label(label(False, 2), label(True, 1), label(True, 3, key={"flight_id": 7.0}), label(9, 4, outcome="revenue"))
    log.label(label(True, 5, key={"flight_id": 8}), label(True, 6, prediction_id=IDS[1]))
    log.label(label(3.5, 7, prediction_id=IDS[0], outcome="revenue"))
    told = labels.history(log.workspace, "flights", IDS[0], key)
    assert [(one.label, one.outcome) for one in told] == [(True, None), (False, None), (True, None), (3.5, "revenue")]
    assert log.joined()["label"].to_list() == [True]


def test_a_torn_label_is_passed_by_and_one_being_written_comes_later(log: Log) -> None:
    log.predict(line(), line(IDS[1]))
    log.label(label(True))
    (file,) = journal.files(log.workspace / labels.FOLDER, "flights")
    whole = file.read_bytes()
    joiner = joining.Joiner(log.workspace, "flights")
    file.write_bytes(whole + b'{"label":tr\n{"label":[1],"at":"x","origin":"x"}\n' + whole.replace(b"A.0", b"A.1")[:-3])
    assert joiner.joined()["label"].to_list() == [True, None]
    file.write_bytes(file.read_bytes() + whole[-3:])
    assert joiner.joined()["label"].to_list() == [True, True]
    assert log.joined()["label"].to_list() == [True, True]


def test_labels_that_nobody_will_ask_for_are_forgotten_and_read_again_by_who_does(log: Log) -> None:
    log.predict(line(), line(IDS[1], 10), line(IDS[2], 20))
    log.label(label(True, 1), label(True, 11, prediction_id=IDS[1]))
    joiner = joining.Joiner(log.workspace, "flights")
    assert joiner.joined()["label"].to_list() == [True, True, None]
    joiner.forget(after(10))
    joiner.forget(after(9))  # of less than that nothing is known any more
    log.label(label(False, 2, prediction_id=IDS[0]), label(True, 21, prediction_id=IDS[2]))
    assert joiner.joined(since=after(10))["label"].to_list() == [True, True]
    assert sum(map(len, joiner._kept)) == 2
    assert joiner.joined(since=after(0))["label"].to_list() == [False, True, True]
    joiner.forget(after(99))
    assert (joiner.joined(since=after(99))["label"].to_list(), joiner._kept) == ([], [])


def test_erased_labels_are_gone_for_who_had_read_them(log: Log) -> None:
    log.predict(line(key={"flight_id": 7}), line(IDS[1], key={"flight_id": 8}))
    log.label(label(True), label(False, prediction_id=IDS[1]))
    log.aside(label(True))
    joiner = joining.Joiner(log.workspace, "flights")
    assert joiner.joined()["label"].to_list() == [True, False]
    done = erasing.erase(log.workspace, "flights", {"flight_id": "7"}, kinds=lambda _: {}, clock=log.clock)
    assert (done.predictions, done.labels) == (1, 2)
    assert joiner.joined().select("id", "label").rows() == [(IDS[1], False)]
