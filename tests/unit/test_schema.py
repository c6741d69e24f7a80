"""The schema as JSON, as a file that people edit, as a difference in words; and what is wrong with one."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopwright.data import schema_file
from loopwright.data.contradictions import contradictions
from loopwright.data.findings import Finding
from loopwright.data.relax import widened
from loopwright.data.schema import KINDS, MEASURES, Acceptance, Check, Column, Schema, Share
from loopwright.data.schema_diff import diff
from loopwright.errors import DataError

EVERY_FIELD = Schema(
    columns=(
        Column(
            name="a column, with ümlauts",
            kind="string",
            missing=True,
            values=("UA", 'with "quotes"', "back\\slash", "two\nlines", "\x01\x7f"),
            required=False,
            most_missing=0.25,
            least_present=3,
            closed=True,
            most_outside=0.01,
            pattern="[A-Z]{2}|.*",
            shortest=1,
            longest=40,
            least_distinct=1,
            most_distinct=9,
            shares=(Share(value="UA", least=0.1, most=0.9),),
            drift_limits={"l_infinity": 0.1},
            skew_limits={"jensen_shannon": 0.2},
            drift=0.1,
            skew=0.2,
            absent_in=("serving",),
            tags=("pii", "sensitive"),
            unit="km",
            description="Two letters.",
            accepted=("near-constant",),
        ),
        Column(name="x", kind="float", missing=False, low=1.5, high=9.0, least=1, most=2.5, nan=False, infinite=False),
        Column(name="t", kind="time", missing=False, least="2013-01-01", order="rising", unique=True),
        Column(name="legs", kind="list", missing=False),
        Column(name="stops", kind="list", missing=False),
        Column(name="id", kind="string", missing=False),
        Column(name="late", kind="boolean", missing=True),
    ),
    key=("id",),
    time="t",
    label="late",
    never=("arrival",),
    weight="w",
    pii=("email",),
    least_rows=1,
    most_rows=10,
    least_growth=0.5,
    most_growth=2.0,
    same_length=(("legs", "stops"),),
    checks=(Check(name="x is positive", expression="x > 0", most=0.01, severity="warning"),),
    severity={"new column": "error"},
    accepted=("rows grew",),
    acceptances=(
        Acceptance(at="2013-01-01T00:00:00+00:00", who="ana", why="so it is", kind="rows grew", line="x = 1"),
    ),
)
FORMAT_1 = """{"columns": [{"high": null, "kind": "string", "low": null, "missing": true, "name": "carrier",
  "values": ["B6", "UA"]}], "format": 1, "key": ["flight_id"], "label": "late", "never": [], "time": null}"""


def test_every_field_comes_back_from_json_and_from_the_file() -> None:
    assert Schema.from_json(EVERY_FIELD.to_json()) == EVERY_FIELD
    text = schema_file.to_toml(EVERY_FIELD)
    found = schema_file.from_toml(text)
    assert found == EVERY_FIELD
    assert found.digest == EVERY_FIELD.digest
    assert schema_file.to_toml(found) == text


def test_every_field_is_in_that_test() -> None:
    told = EVERY_FIELD.to_dict()
    fields = {name for column in told["columns"] for name in column}
    assert fields == set(Column.__dataclass_fields__)
    assert set(told) == set(Schema.__dataclass_fields__)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
COLUMNS = st.builds(
    Column,
    name=TEXTS,
    kind=st.sampled_from(KINDS),
    missing=st.booleans(),
    values=st.none() | st.lists(TEXTS, max_size=3).map(tuple),
    most_missing=st.none() | st.floats(0, 1),
    least=st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63) | TEXTS,
    shares=st.lists(st.builds(Share, value=TEXTS, least=st.floats(0, 1), most=st.floats(0, 1)), max_size=2).map(tuple),
    drift_limits=st.dictionaries(st.sampled_from(MEASURES), st.floats(0, 1)),
    tags=st.lists(TEXTS, max_size=2).map(tuple),
    description=TEXTS,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(COLUMNS, max_size=4, unique_by=lambda column: column.name).map(tuple))
def test_any_schema_comes_back(columns: tuple[Column, ...]) -> None:
    schema = Schema(columns=columns)
    assert Schema.from_json(schema.to_json()) == schema
    assert schema_file.from_toml(schema_file.to_toml(schema)) == schema


def test_the_format_before_is_still_read() -> None:
    found = Schema.from_json(FORMAT_1)
    carrier = Column(name="carrier", kind="string", missing=True, values=("B6", "UA"))
    assert found == Schema(columns=(carrier,), key=("flight_id",), label="late")
    assert found.format == 2


def test_what_is_as_usual_is_not_written() -> None:
    told = json.loads(Schema(columns=(Column(name="x", kind="float", missing=False),)).to_json())
    assert told["columns"] == [
        {"name": "x", "kind": "float", "missing": False, "values": None, "low": None, "high": None}
    ]


REFUSED: list[tuple[str, str, str]] = [
    ("[columns.x]\nkind = 'float'\nmissing = false\nmots = 3", "there is no 'mots' in a schema", "'most'"),
    ("[columns.x]\nkind = 'real'\nmissing = false", "kind = 'real' is not one of string, integer", "column 'x'"),
    ("[columns.x]\nkind = 'float'", "missing is not said", "column 'x'"),
    ("[columns.x]\nkind = 'float'\nmissing = 'no'", "missing = 'no' is not true or false", "column 'x'"),
    (
        "[columns.x]\nkind = 'float'\nmissing = false\nmost_missing = 20",
        "most_missing = 20 is not a share",
        "from 0 to 1",
    ),
    ("[columns.x]\nkind = 'list'\nmissing = false\nshortest = -1", "shortest = -1 is not a whole number", "column 'x'"),
    ("[severity]\n'new column' = 'fatal'", "severity = {'new column': 'fatal'} is not", "error, warning, ignore"),
    ("[columns.x\nkind", "this is no TOML", "mend that line"),
    ("columns = 3", "columns are no tables", "[columns.NAME]"),
    ("columns = [1, 2]", "columns are no tables", "[columns.NAME]"),
    ("columns.x = 3", "columns are no tables", "[columns.NAME]"),
    ("format = '2'", "format = '2' is no whole number", "write format = 2"),
    ("label = 'lat'\n[columns.late]\nkind = 'boolean'\nmissing = true", "label names the column 'lat'", "mean 'late'?"),
    ("key = ['id']\n[columns.x]\nkind = 'float'\nmissing = true", "key names the column 'id'", "[columns.id]"),
    ("time = 'at'\n[columns.x]\nkind = 'float'\nmissing = true", "time names the column 'at'", "take time out"),
    ("[[checks]]\nname = 'a'\nexpresion = 'x'", "is not a list of entries with name, expression", "schema"),
    ("format = 3", "the schema has format 3", "newer"),
]


@pytest.mark.parametrize(("text", "what", "hint"), REFUSED)
def test_a_file_that_is_wrong_is_told_with_the_column_and_the_field(text: str, what: str, hint: str) -> None:
    with pytest.raises(DataError) as told:
        schema_file.from_toml(text)
    assert what in str(told.value)
    assert hint in str(told.value)


def test_a_date_without_quotes_is_a_limit_too() -> None:
    found = schema_file.from_toml("[columns.t]\nkind = 'time'\nmissing = false\nleast = 2013-01-01")
    assert found.column("t").least == "2013-01-01"
    assert contradictions(found) == []


def test_a_file_is_written_whole_and_read_again(tmp_path: Path) -> None:
    schema_file.write(EVERY_FIELD, tmp_path / "schema.toml")
    assert schema_file.read(tmp_path / "schema.toml") == EVERY_FIELD
    assert [path.name for path in tmp_path.iterdir()] == ["schema.toml"]
    with pytest.raises(DataError, match="cannot be read"):
        schema_file.read(tmp_path / "none.toml")


def test_a_file_that_is_replaced_while_one_waits_for_it_is_waited_for_anew(tmp_path: Path) -> None:
    file = tmp_path / "schema.toml"
    schema_file.write(Schema(columns=()), file)
    entered, most = threading.Barrier(8), []

    def widen() -> None:
        entered.wait()
        for _ in range(5):
            with schema_file.held(file):
                rows = (schema_file.read(file).least_rows or 0) + 1
                schema_file.write(Schema(columns=(), least_rows=rows), file)
                most.append(rows)

    threads = [threading.Thread(target=widen) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(most) == list(range(1, 41))
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_to_a_schema_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link.toml").symlink_to(tmp_path / "schema.toml")
    schema_file.write(Schema(columns=(), least_rows=3), tmp_path / "link.toml")
    assert (tmp_path / "link.toml").is_symlink()
    assert schema_file.read(tmp_path / "schema.toml").least_rows == 3


def test_each_change_is_told_in_words() -> None:
    one = Column(name="x", kind="float", missing=False, most_missing=0.0, low=1.0)
    carrier = Column(name="carrier", kind="string", missing=False, values=("B6", "UA"), closed=True)
    old = Schema(columns=(one, carrier, Column(name="gone", kind="time", missing=False)), least_rows=5)
    new = Schema(
        columns=(
            replace(carrier, values=("DL", "UA")),
            replace(one, missing=True, most_missing=0.1, low=0.5),
            Column(name="new", kind="integer", missing=False),
        ),
    )
    assert [str(change) for change in diff(old, new)] == [
        "fewest rows was 5, is not said",
        "carrier: values gained 'DL' and lost 'B6'",
        "x: null allowed was no, is yes",
        "x: share that may be missing was 0.0, is 0.1",
        "new is new (integer)",
        "gone is gone (time)",
        "the columns stand in another order",
    ]
    assert "x: lowest seen was 1.0, is 0.5" in map(str, diff(old, new, seen=True))
    assert diff(old, old) == []


def test_an_acceptance_is_a_change_that_names_who() -> None:
    schema = Schema(columns=())
    accepted = replace(schema, least_rows=3, acceptances=EVERY_FIELD.acceptances)
    assert [str(one) for one in diff(schema, accepted)] == ["fewest rows was not said, is 3", "accepted by ana: x = 1"]


def test_a_line_widens_one_column_and_leaves_the_others() -> None:
    wider = widened(EVERY_FIELD, 'columns."a column, with ümlauts".most_missing = 0.5')
    assert wider.column("a column, with ümlauts").most_missing == 0.5
    assert [one for one in diff(EVERY_FIELD, wider) if one.field != "most_missing"] == []
    assert widened(EVERY_FIELD, 'columns.new = { kind = "float", missing = true }').names[-1] == "new"


def column(kind: Any, **limits: Any) -> Column:
    return Column(name="x", kind=kind, **{"missing": True, **limits})


CONTRADICTIONS: list[tuple[Column, str | None]] = [
    (column("float", least=2, most=1), "least = 2 is more than most = 1"),
    (column("float", least=1, most=1), None),
    (column("time", least="2013-01-02", most="2013-01-01T23:00:00Z"), "is more than most"),
    (column("time", least="2013-01-01T23:00:00Z", most="2013-01-02"), None),
    (column("string", shortest=3, longest=2), "shortest = 3 is more than longest = 2"),
    (column("string", closed=True), "lists no values"),
    (column("string", values=(), closed=True), "lists no values"),
    (column("string", values=("a",), closed=True, least_distinct=2), "needs 2 different values, and lists 1"),
    (column("string", missing=False, most_missing=0.1), "nothing may be missing"),
    (column("string", missing=False, most_missing=0.0), None),
    (column("integer", unique=True, most_distinct=5), "unique"),
    (column("string", shares=(Share(value="a", least=0.5, most=0.4),)), "share of 'a'"),
    (column("string", shares=(Share(value="a", least=0.6), Share(value="b", least=0.6))), "add up to more than 1"),
    (column("string", values=("b",), closed=True, shares=(Share(value="a", least=0.1),)), "not among its values"),
    (column("string", values=("b",), pattern="[A-Z]"), "does not match its pattern"),
    (column("float", drift=5), "drift = 5 is no distance"),
    (column("float", skew=-0.1), "skew = -0.1 is no distance"),
    (column("float", drift_limits={"l_infinity": 1.5}), "l_infinity of drift_limits = 1.5 is no distance"),
    (column("float", drift=1.0, skew=0.0), None),
    (column("string", values=("b",), pattern="[A-Z]", accepted=("pattern not matched",)), None),
    (column("string", accepted=("too mny missing",)), "there is none"),
]
UNFIT: list[tuple[Column, str | None]] = [
    (column("string", least=1), "least = 1 is no limit of a string column"),
    (column("float", pattern="a"), "no limit of a float column"),
    (column("integer", closed=True, values=("1",)), "no limit of a integer column"),
    (column("boolean", longest=2), "no limit of a boolean column"),
    (column("string", order="rising"), "no limit of a string column"),
    (column("time", least=3), "is no time"),
    (column("time", least="in May"), "is no time"),
    (column("float", most="3"), "is no number"),
    (column("string", pattern="[A-Z"), "no regular expression"),
    (column("list", shortest=2, longest=2), None),
]


@pytest.mark.parametrize(("one", "told"), [*CONTRADICTIONS, *UNFIT])
def test_a_schema_that_no_data_can_meet_is_found(one: Column, told: str | None) -> None:
    found = contradictions(Schema(columns=(one,)))
    assert [told is not None and told in each.message for each in found][:1] == ([True] if told else [])
    kind = "domain does not fit the type" if (one, told) in UNFIT else "schema contradicts itself"
    assert {each.kind for each in found} <= {kind, "schema contradicts itself"}
    if told:
        assert kind in {each.kind for each in found}


def test_the_roles_of_a_schema_may_contradict_it_too() -> None:
    lists = Column(name="legs", kind="list", missing=False)
    one = Column(name="id", kind="integer", missing=True)

    def told(**more: Any) -> list[str]:
        return [each.message for each in contradictions(Schema(columns=(lists, one), **more))]

    assert told() == []
    assert told(key=("id",)) == ["'id': it is the key, and may be missing"]
    assert told(same_length=(("legs", "stops"),)) == [
        "same_length names the column 'stops', which the schema does not have"
    ]
    assert "holds no lists" in told(same_length=(("legs", "id"),))[0]
    assert told(least_rows=3, most_rows=2) == ["least_rows = 3 is more than most_rows = 2"]
    assert told(severity={"new colum": "error"}) == [
        "the schema speaks of findings of the kind 'new colum', and there is none"
    ]
    check = Check(name="a", expression="id > 0")
    assert told(checks=(check, check)) == ["two checks are called 'a'"]


def test_a_finding_tells_itself_as_json() -> None:
    found: Finding = contradictions(Schema(columns=(column("float", least=2, most=1),)))[0]
    assert json.loads(json.dumps(found.to_dict()))["kind"] == "schema contradicts itself"
