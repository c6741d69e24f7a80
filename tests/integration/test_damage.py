"""A file with every kind of damage at once: the report is complete and readable, and what is right can be accepted."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loopwright.cli import words
from loopwright.data import schema_file
from loopwright.data.finding_kinds import KINDS
from loopwright.data.infer import infer
from loopwright.data.schema import Check, Column, Schema, Share
from loopwright.data.statistics import describe
from loopwright.data.table import Table

ROWS = 3000
START = datetime(2013, 1, 1)  # noqa: DTZ001 - naive is UTC
EVIL = "</td><script>alert(1)</script>\x1b[2J\u202e"
LONG = "🛩️" * 250_000
"""A megabyte of text, in UTF-8 more than that."""


def good(seed: int = 0) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    number = np.arange(ROWS)
    return pl.DataFrame(
        {
            "id": [f"r{at:05}" for at in number],
            "at": [START + timedelta(hours=int(at)) for at in number],
            "carrier": draw.choice(["UA", "B6", "DL"], ROWS),
            "city": draw.choice(["Zürich", "New York", "Łódź"], ROWS),
            "miles": draw.gamma(3, 300, ROWS),
            "celsius": draw.normal(15, 8, ROWS),
            "hour": number % 24,
            "delay": draw.normal(5, 20, ROWS),
            "ratio": draw.random(ROWS),
            "gate": [f"{at % 40}A" for at in number],
            "ticket": [f"T{at:012}" for at in number],
            "code": [f"c{at % 90}" for at in number],
            "paid": number % 2 == 0,
            "legs": [[1, 2, 3]] * ROWS,
            "stops": [["a", "b"]] * ROWS,
            "waits": [[at % 2] * 2 for at in number],
            "route": [[1] * (1 + at % 3) for at in number],
            "seats": number % 180,
            "born": [datetime(1950, 1, 1) + timedelta(days=int(at)) for at in number],  # noqa: DTZ001
            "due": [START + timedelta(hours=int(at) + 2) for at in number],
            "booked": [START - timedelta(hours=int(at)) for at in number],
            "plane": [f"N{at % 700}" for at in number],
            "raw": [b"ok", "café".encode()] * (ROWS // 2),
            "weight": draw.integers(1, 4, ROWS),
            "old": draw.normal(size=ROWS),
            "twin": draw.normal(size=ROWS),
            "fixed": draw.normal(size=ROWS),
            "rare": draw.choice(["one", "two", "three"], ROWS),
            "gone": draw.normal(size=ROWS),
            "status": draw.choice(["on time", "cancelled"], ROWS, p=[0.9, 0.1]),
            "late": draw.random(ROWS) < 0.25,
        }
    )


def damaged() -> pl.DataFrame:
    row = pl.int_range(pl.len())

    def some(condition: pl.Expr, value: Any, others: str | pl.Expr) -> pl.Expr:
        kept = value if isinstance(value, pl.Expr) else pl.lit(value)
        return pl.when(condition).then(kept).otherwise(others)

    carrier = some(row % 7 == 0, "ua ", "carrier")
    carrier = pl.when(row == 12).then(pl.lit(EVIL)).when(row == 13).then(pl.lit(LONG)).otherwise(carrier)
    delay = pl.when(row % 51 == 1).then(float("inf")).when(row == 7).then(5e-324).when(row == 8).then(1.7e308)
    return (
        good(1)
        .with_columns(
            id=some(row < 10, "r00005", "id"),
            at=pl.when(row > 2990).then(datetime(2999, 1, 1)).otherwise(pl.col("at") - timedelta(days=200)),  # noqa: DTZ001
            carrier=carrier,
            city=pl.when(row % 5 == 0).then(pl.lit("ZÃ¼rich")).otherwise(some(row % 17 == 0, "Z\ufffdrich", "city")),
            miles=pl.col("miles") * 1.609344,
            celsius=pl.col("celsius") * 1.8 + 32,
            hour=pl.when(row == 3).then(-99).otherwise(some(row == 4, 9999, "hour")),
            delay=pl.when(row % 50 == 0).then(float("nan")).otherwise(delay.otherwise("delay")),
            ratio=some(row % 2 == 0, None, "ratio"),
            gate=pl.when(row == 0).then(pl.lit("a long name")).otherwise(some(row == 1, "A", "gate")),
            ticket=some(row % 2 == 0, "n/a", row.cast(pl.String)),
            code=(row % 90).cast(pl.String),
            paid=pl.col("paid").cast(pl.Int8).cast(pl.String),
            legs=some(row == 9, [1], "legs"),
            waits=some(row == 11, [1], "waits"),
            route=pl.when(row == 20).then([1] * 9).otherwise(some(row == 21, pl.lit([], pl.List(pl.Int64)), "route")),
            seats=pl.concat_list("seats"),
            born=some(row == 14, datetime(1601, 1, 1), "born"),  # noqa: DTZ001
            due=some(row == 14, datetime(2100, 1, 1), "due"),  # noqa: DTZ001
            booked=some(row == 18, pl.lit(2**62).cast(pl.Datetime("us")), "booked"),
            plane=pl.lit("N1"),
            raw=some(row % 100 == 0, b"caf\xe9", "raw"),
            weight=pl.when(row == 15).then(-1).otherwise(some(row == 16, None, "weight")),
            twin=pl.col("fixed"),
            rare=some(row == 0, "two", pl.lit("one")),
            gone=pl.lit(None, dtype=pl.Float64),
            status=some(row % 2 == 0, "cancelled", "status"),
            late=pl.lit(value=True),
            new=row,
            **{EVIL: pl.lit("\x1b[31m")},
        )
        .drop("old")
    )  # fmt: skip


def a_schema(rows: pl.DataFrame) -> Schema:
    """What the good rows teach, and all that only a person can know."""
    told: dict[str, dict[str, Any]] = {
        "gate": {"pattern": "[0-9]+[A-Z]", "shortest": 2, "longest": 5},
        "ticket": {"pattern": "T[0-9]{12}"},
        "status": {
            "shares": (Share(value="cancelled", most=0.2), Share(value="on time", least=0.8)),
            "drift_limits": {"l_infinity": 0.1, "jensen_shannon": 0.05},
        },
        "delay": {"skew_limits": {"jensen_shannon": 0.1}},
        "born": {"least": "1900-01-01"},
        "due": {"most": "2020-01-01"},
        "plane": {"least_distinct": 100},
        "city": {"most_distinct": 3},
        "route": {"shortest": 1, "longest": 3},
        "ratio": {"least_present": 2000, "tags": ("pii",)},
        "legs": {"least": 3},
    }
    text = rows.with_columns(raw=pl.col("raw").map_elements(bytes.decode, return_dtype=pl.String))
    found = infer(describe(text.lazy()).profile(), Table("flights", key="id", time="at", label="late"))
    columns = [replace(one, **told.get(one.name, {})) for one in found.columns]
    columns.append(Column(name="planned", kind="float", missing=True, absent_in=("training",)))
    checks = (Check(name="an hour", expression="hour between 0 and 23"), Check(name="odd", expression="nowhere > 1"))
    growth: dict[str, Any] = {"least_growth": 1.5, "most_growth": 0.5, "most_rows": 2500, "least_rows": 5000}
    return replace(
        found, columns=tuple(columns), checks=checks, weight="weight", same_length=(("stops", "waits"),), **growth
    )


EXPECTED = set(KINDS) - {
    # where there is anything else, there are rows
    "no rows",
    # of what is trained on, and by what runs of a loop add: tests/unit/test_leaks, tests/integration/test_loop
    "no columns", "no labels", "one label", "leak", "train-test overlap", "drift", "differs from training",
}  # fmt: skip
NO_LINE = {
    "comparison data missing",
    "weights missing",
    "weights mismatched",
    "domain does not fit the type",
    "schema contradicts itself",
}
"""Which no schema can accept."""
WITHOUT_ROWS = {
    "too few rows", "too many rows", "rows shrank", "rows grew", "comparison data missing", "missing column",
    "column not expected", "copies", "constant", "all missing", "too few distinct", "too many distinct",
    "share too small", "share too large", "goes back in time", "unit jump", "differs from the last span", "gap in time",
    "drift", *NO_LINE,
}  # fmt: skip
"""Which are about no single row."""


@dataclass(frozen=True)
class Done:
    code: int
    out: str


Lw = Callable[..., Done]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage")
    good().write_parquet(folder / "good.parquet")
    rows = damaged().with_columns(planned=pl.lit(1.0)).to_arrow()
    rows = rows.append_column("place", pa.array([{"x": 1}] * ROWS))
    pq.write_table(rows, folder / "bad.parquet")
    schema_file.write(a_schema(good()), folder / "schema.toml")
    return folder


@pytest.fixture
def lw(made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lw:
    monkeypatch.chdir(made)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*line: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["lw", "data", *line])
        with pytest.raises(SystemExit) as end:
            words.main()
        return Done(int(end.value.code or 0), capsys.readouterr().out)

    return run


VALIDATE = ("validate", "bad.parquet", "--schema", "schema.toml", "--against", "good.parquet")


class Page(HTMLParser):
    """What a browser would show."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.tags.append(tag)
        if tag not in ("meta", "br", "path"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_damage_is_found_each_with_what_to_do_and_rows_that_show_it(lw: Lw) -> None:
    told = json.loads(lw(*VALIDATE, "--json").out)
    found = told["findings"]
    kinds = {one["kind"] for one in found}
    assert EXPECTED - kinds == set()
    assert kinds <= set(KINDS)
    assert not told["is_fine"]
    for one in found:
        assert one["message"]
        assert one["fix"]
        assert ("accept" in one) is (one["kind"] not in NO_LINE), one
        assert ("examples" in one) or one["kind"] in WITHOUT_ROWS, one
        assert all("id" in row for row in one.get("examples", ())), one
    assert "least_rows = 5000 is more than most_rows = 2500" in {one["message"] for one in found}
    assert [one["severity"] for one in found] == sorted(one["severity"] for one in found)
    assert told["spans"][0]["notes"] == [
        "left out: column 'place': a column of type struct<x: int64> cannot be described"
    ]
    assert {one["name"] for one in told["spans"][0]["columns"]} == {*damaged().columns, "planned"}


def test_the_terminal_names_every_kind_and_no_line_is_too_long(lw: Lw) -> None:
    done = lw(*VALIDATE)
    assert done.code == words.REJECTED
    lines = done.out.split("\n")
    assert [line for line in lines if len(line) > 100 and "to accept:" not in line] == []
    assert [one for one in done.out if not one.isprintable() and one != "\n"] == []
    flat = " ".join(done.out.split())
    for kind in EXPECTED:
        assert f"[{kind}]" in flat or f": {kind}:" in flat, kind
    assert re.search(r"\b1 (rows|values|keys|groups|items)\b", flat) is None
    assert len(lines) < 300
    assert len(done.out) < 40_000


def test_the_page_shows_every_finding_and_every_column(lw: Lw, made: Path) -> None:
    found = json.loads(lw(*VALIDATE, "--json", "--page", "page.html").out)["findings"]
    page = (made / "page.html").read_text(encoding="utf-8")
    seen = Page(page)
    assert seen.open == []
    assert "script" not in seen.tags
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert seen.tags.count("li") == len(found)
    for kind in EXPECTED:
        assert f"{kind}: " in seen.text, kind
    for name in [*(one for one in damaged().columns if one != EVIL), "</td><script>alert(1)</script>", "planned"]:
        assert name in seen.text
    assert len(page) < 300_000


def test_what_is_right_after_all_is_accepted_at_once_with_who_and_why(lw: Lw, made: Path, tmp_path: Path) -> None:
    wider = tmp_path / "schema.toml"
    wider.write_text((made / "schema.toml").read_text(encoding="utf-8"), encoding="utf-8")
    told = (*VALIDATE[:3], str(wider), *VALIDATE[4:], "--json")
    for _ in range(3):  # lists that are too long and too short take two; what became text may be told as such
        lines = [one["accept"] for one in json.loads(lw(*told).out)["findings"] if "accept" in one]
        if lines:
            assert lw("accept", *lines, "--schema", str(wider), "--because", "the new feed").code == 0
    left = {one["kind"] for one in json.loads(lw(*told).out)["findings"]}
    assert left == NO_LINE
    accepted = schema_file.read(wider).acceptances
    assert {one.why for one in accepted} == {"the new feed"}
    assert all(one.who and one.line and one.at for one in accepted)


def test_without_a_schema_what_is_wrong_in_any_data_is_told(lw: Lw) -> None:
    done = lw("describe", "bad.parquet", "--json")
    found = {(one["kind"], one.get("column")) for one in json.loads(done.out)["findings"]}
    assert found >= {
        ("look-alike categories", "carrier"), ("mojibake", "city"), ("invalid text", "city"), ("invalid text", "raw"),
        ("mixed types", "ticket"), ("looks like another type", "paid"), ("copies", "twin"), ("constant", "plane"),
        ("near-constant", "rare"), ("all missing", "gone"),
    }  # fmt: skip


def test_a_file_whose_bytes_are_no_text_is_told_of_all_the_same(lw: Lw, made: Path) -> None:
    rows = [f"{at},{'n/a' if at % 2 else at * 1.5},Z\xfcrich" for at in range(2000)]
    (made / "latin.csv").write_bytes("\n".join(["id,amount,city", *rows]).encode("latin-1"))
    done = lw("describe", "latin.csv", "--json")
    told = json.loads(done.out)
    assert (done.code, told["spans"][0]["name"], told["spans"][0]["rows"]) == (0, "latin.csv", 2000)
    assert told["spans"][0]["notes"] == [
        "latin.csv: row 1, column 'city': the bytes are not UTF-8; what is none is shown as \ufffd"
    ]
    assert {(one["kind"], one.get("column")) for one in told["findings"]} >= {
        ("invalid text", "city"), ("mixed types", "amount"),
    }  # fmt: skip


def test_a_file_of_wide_characters_is_refused_in_words(made: Path, lw: Lw, capsys: pytest.CaptureFixture[str]) -> None:
    (made / "wide.csv").write_bytes("a,b\n1,2\n".encode("utf-16"))
    assert lw("describe", "wide.csv").code == words.FAILED


def test_the_good_file_has_none_of_it(lw: Lw) -> None:
    """Near misses all of them: each finding above is owed to the damage."""
    assert lw("describe", "good.parquet").out.endswith("\n\nnothing was found\n")
    assert lw("validate", "good.parquet", "--against", "good.parquet").out.endswith("\n\nnothing was found\n")
