"""Reports on data: as text, as a page, as JSON, in a notebook; of known data, and of data that mean harm."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loopwright.data import report_label, spans
from loopwright.data.against import drift_findings
from loopwright.data.bars import bars, blocks, share, short, width
from loopwright.data.check import check
from loopwright.data.drift import drift
from loopwright.data.examine import examine
from loopwright.data.findings import Finding, Findings, Severity
from loopwright.data.infer import infer
from loopwright.data.on_request import labelled
from loopwright.data.printable import printable
from loopwright.data.profile import Profile
from loopwright.data.report import Report, Span
from loopwright.data.report_page import MOST
from loopwright.data.report_text import MOST_COLUMNS, MOST_FINDINGS
from loopwright.data.schema import Check, Schema
from loopwright.data.schema import Severity as Said
from loopwright.data.seen import Seen
from loopwright.data.statistics import TableProfile, describe
from loopwright.errors import BadSource

EVIL = "</td><script src=//evil>alert(1)</script>\x1b[2J\u202e\x00'\"&"


def a_span(columns: dict[str, object], name: str = "rows") -> Span:
    return Span.of(name, describe(pl.LazyFrame(columns)).profile())


def flights(rows: int = 2000, *, shift: float = 0.0, seed: int = 0) -> dict[str, object]:
    draw = np.random.default_rng(seed)
    return {
        "temp": draw.normal(40 + shift, 10, rows),
        "hour": draw.integers(5, 24, rows),
        "carrier": draw.choice(["UA", "B6", "EV"], rows, p=[0.5, 0.3, 0.2]),
        "late": draw.random(rows) < 0.25,
    }


def an_evil_span() -> Span:
    profile = Profile({EVIL: "string", "x": "float"})
    profile.update({EVIL: [EVIL, EVIL], "x": [1.0, 2.0]})
    return Span.of(EVIL, profile, [EVIL])


class Tags(HTMLParser):
    """What a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [name for name, _ in attrs if name in ("src", "href", "srcset") or name.startswith("on")]
        if tag not in ("meta", "br", "path"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


# Bars


def test_whole_numbers_have_a_bar_each_where_there_is_room() -> None:
    drawn = bars("hour", [a_span({"hour": [5, 5, 6, 8]}).seen])
    assert (drawn.names, drawn.counts) == (("5", "6", "7", "8"), ((2.0, 1.0, 0.0, 1.0),))


def test_bars_hold_every_row_also_those_far_out() -> None:
    values = np.append(np.random.default_rng(0).normal(0, 1, 10_000), [1e9, -1e12])
    [counts] = bars("x", [a_span({"x": values}).seen]).counts
    assert counts is not None
    assert sum(counts) == pytest.approx(10_002, abs=0.5)
    assert sum(one > 100 for one in counts) > 8  # an outlier does not leave one bar for all


def test_spans_share_their_bars() -> None:
    drawn = bars("x", [a_span({"x": [0.0, 1.0]}).seen, a_span({"x": [9.0, 10.0]}).seen], 10)
    assert drawn.counts[0] is not None
    assert drawn.counts[1] is not None
    assert (drawn.counts[0][0], drawn.counts[0][-1], drawn.counts[1][0], drawn.counts[1][-1]) == (1, 0, 0, 2)


def test_a_column_of_another_kind_or_not_there_has_no_bars() -> None:
    spans = [a_span({"x": [1.5]}).seen, a_span({"x": ["a"]}).seen, a_span({"y": [1.5]}).seen]
    assert [one is None for one in bars("x", spans).counts] == [False, True, True]


@pytest.mark.parametrize(
    "values",
    [
        [],
        [None],
        [5.0],
        [0.0],
        [float("nan")],
        [float("inf"), 1.0],
        [-1.7e308, 1.7e308],
        [5e-324, 1e-310],
        [2**62, -(2**62)],
        [2**53 + 1],
        [[1, 2], []],
        ["", None],
        [True, None],
    ],
)
def test_bars_of_numbers_at_the_edge_count_every_row(values: list[object]) -> None:
    frame = pl.LazyFrame({"x": pl.Series(values, dtype=pl.Float64 if values in ([], [None]) else None, strict=False)})
    seen = Seen.of(describe(frame).profile())
    drawn = bars("x", [seen])
    assert drawn.counts[0] is not None
    assert sum(drawn.counts[0]) == pytest.approx(seen.columns["x"].there)
    assert len(drawn.names) == len(drawn.counts[0]) <= 20


@pytest.mark.parametrize(
    ("text", "most", "shown"), [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 6, "日本語"), ("日本語", 5, "日本…")]
)
def test_texts_are_cut_to_columns_of_the_terminal(text: str, most: int, shown: str) -> None:
    assert short(text, most) == shown
    assert width(short(text, most)) <= most


def test_a_text_of_a_megabyte_is_cut_before_it_is_looked_at() -> None:
    assert short("x" * 1_000_000, 10) == "xxxxxxxxx…"


def test_nothing_that_steers_a_terminal_is_printable() -> None:
    shown = printable("\x1b[2J\r\n\t\x07\x9b\u202e\ud800\U000e0001é🙂")
    assert shown == "\\u001b[2J\\r\\n\\t\\u0007\\u009b\\u202e\\ud800\\U000e0001é🙂"


def test_shares_that_are_not_nothing_do_not_read_as_nothing() -> None:
    assert [share(1, 10_000), share(0, 10), share(9999, 10_000), share(10, 10), share(0, 0)] == [
        *("<0.1%", "0%", ">99.9%", "100%", "0%")
    ]


def test_blocks_show_a_single_row_beside_a_million() -> None:
    assert blocks([1_000_000, 1, 0]) == "█▁ "
    assert blocks([]) == blocks(None) == blocks([0, 0]) == ""


# Text


def test_a_column_is_a_line_that_tells_its_values() -> None:
    columns = {"carrier": ["UA", "UA", "B6", None], "distance": [100, 200, 300, 400], "late": [True, False, None, None]}
    lines = Report(spans=(a_span(columns, "march.csv"),)).text(100).split("\n")
    assert lines[0] == "march.csv: 4 rows, 3 columns"
    assert lines[2].split() == ["COLUMN", "KIND", "MISSING", "DISTINCT", "VALUES", "HISTOGRAM"]
    assert lines[3].split("  ")[0] == "carrier"
    assert "25.0%" in lines[3]
    assert "UA 50.0%, B6 25.0%" in lines[3]
    assert "mean 250, median 200, 100 to 400" in lines[4]
    assert "true 50.0%" in lines[5]


@pytest.mark.parametrize("columns", [20, 60, 80, 120, 300])
def test_lines_fit_the_terminal(columns: int) -> None:
    wide = {"a_very_long_name_of_a_column_" * 5: ["a value that goes on and on " * 20], **flights(10)}
    wide["carrier"] = ["日本語の長い値" * 9] * 10
    wide = {name: list(values)[:1] for name, values in wide.items()}  # type: ignore[call-overload]
    report = Report(spans=(a_span(wide, "flights"),))
    assert max(map(width, report.text(columns).split("\n"))) <= max(columns, 60)


def test_a_table_of_two_thousand_columns_is_told_in_few_lines() -> None:
    span = a_span({f"c{at}": [at, None] for at in range(2000)})
    finding = Finding(
        kind="constant", severity=Severity.WARNING, message="'c1999' has one value", fix="drop it", column="c1999"
    )
    text = Report(spans=(span,), findings=(finding,)).text(80)
    assert len(text.split("\n")) < 60
    assert f"and {2000 - MOST_COLUMNS:,} more columns: --page FILE and --json show all" in text
    assert "\nc1999 " in text  # of which there is something to say


def test_many_findings_are_told_in_few_lines() -> None:
    one = Finding(kind="constant", severity=Severity.ERROR, message="m", fix="f")
    text = Report(findings=(one,) * 500).text(80)
    assert text.startswith("500 errors\nerror: m [constant]\n    to do: f\n")
    assert f"and {500 - MOST_FINDINGS:,} more findings" in text
    assert text.endswith("\n    error: constant: all rows")


def test_signs_may_be_plain() -> None:
    text = Report(spans=(a_span(flights()),)).text(100, signs=".:-=+*#@")
    assert text.isascii()


def test_names_and_values_cannot_steer_the_terminal() -> None:
    span = an_evil_span()
    found = check(span.seen, spans.plain_schema(span.seen))
    report = Report(spans=(span, span), findings=tuple(found), drift=drift(span.seen.profile, span.seen.profile))
    for text in (report.text(80), Report(spans=(span,), findings=tuple(found)).text(80)):
        assert not [one for one in text if not one.isprintable() and one != "\n"]


SEVERITIES: tuple[Said, ...] = ("error", "warning", "ignore")


def test_what_moved_stands_with_both_histograms() -> None:
    now, before = a_span(flights(shift=20), "june"), a_span(flights(seed=1), "may")
    moved = drift(before.seen.profile, now.seen.profile)
    report = Report(spans=(now, before), drift=moved)
    text = report.text(120)
    assert text.startswith("june: 2,000 rows, 4 columns\nagainst may: 2,000 rows, 4 columns\n\n1 suspected, 3 steady\n")
    [line] = [line for line in text.split("\n") if line.startswith("temp ")]
    assert "suspected" in line
    assert "→" in line
    assert "carrier" not in text
    assert report.is_fine
    assert "\nsuspected is not drift yet: " in text
    again = drift(before.seen.profile, now.seen.profile, previous=moved)
    drifted = replace(report, drift=again)
    assert not drifted.is_fine
    assert "is not drift" not in drifted.text(120)
    told = {one: tuple(drift_findings(again, Schema(columns=(), severity={"drift": one}))) for one in SEVERITIES}
    assert [len(one) for one in told.values()] == [1, 1, 0]
    assert [replace(drifted, findings=one).is_fine for one in told.values()] == [False, False, True]


def test_too_few_rows_say_how_many_are_wanted() -> None:
    now, before = a_span(flights(50), "today"), a_span(flights(seed=1), "may")
    text = Report(spans=(now, before), drift=drift(before.seen.profile, now.seen.profile)).text()
    assert "950 more rows are needed to say that nothing moved" in text


# Pages


def a_full_report(name: str = "june") -> Report:
    now, before = a_span(flights(shift=20), name), a_span(flights(seed=1), "may")
    found = check(now.seen, infer(before.seen), previous=before.seen)
    return Report(spans=(now, before), findings=tuple(found), drift=drift(before.seen.profile, now.seen.profile))


def test_equal_reports_give_equal_pages() -> None:
    assert a_full_report().page("june") == a_full_report().page("june")


def test_a_page_needs_nothing_else_and_says_findings_first() -> None:
    page = a_full_report().page("june")
    seen = Tags(page)
    assert seen.open == []
    assert set(seen.tags) & {"script", "link", "img", "iframe", "object"} == set()
    assert seen.links == []
    assert "url(" not in page
    assert "@import" not in page
    headings = re.findall("<h2>(.*?)</h2>", page)
    assert headings == ["Findings", "Drift", "Columns"]
    assert page.count("<svg") == 4  # two numbers, two spans


def test_a_page_escapes_every_name_and_value() -> None:
    span = an_evil_span()
    finding = Finding(
        kind=EVIL, severity=Severity.ERROR, message=EVIL, fix=EVIL, accept=EVIL, column=EVIL, examples=({EVIL: EVIL},)
    )
    moved = drift(span.seen.profile, span.seen.profile)
    report = Report(spans=(span, span), findings=(finding,), drift=moved)
    for page in (report.page(EVIL), report._repr_html_()):
        seen = Tags(page)
        assert "script" not in seen.tags
        assert seen.links == []
        assert seen.open == []
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert page.encode("utf-8")


def test_a_page_of_very_many_columns_is_bounded() -> None:
    profile = Profile({f"c{at}": "integer" for at in range(MOST + 500)})
    profile.update({name: [1, 2] for name in profile.kinds})
    page = Report(spans=(Span.of("wide", profile),)).page("wide")
    assert "and 500 more columns: --json shows all" in page
    assert len(page) < 3_000_000


def test_a_page_of_nothing_is_a_page() -> None:
    for report in (Report(), Report(findings=()), Report(spans=(a_span({"x": pl.Series([], dtype=pl.Int64)}),))):
        assert Tags(report.page("nothing")).open == []
        assert isinstance(report.text(), str)


# Machines and notebooks


def test_json_is_strict_and_has_every_number() -> None:
    columns = {"x": [1.0, float("nan"), float("inf"), None], "t": ["UA", "", None, "B6"]}
    report = Report(spans=(a_span(columns),), findings=())
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    [x, t] = told["spans"][0]["columns"]
    assert (x["mean"], x["nan"], x["plus_infinity"], x["missing"]) == (1.0, 1, 1, 2)
    assert t["values"] == {"UA": 1, "B6": 1}
    assert t["histogram"] == [{"bar": "B6", "rows": 1.0}, {"bar": "UA", "rows": 1.0}]
    assert told["findings"] == []


def test_statistics_drift_and_findings_show_themselves_in_a_notebook() -> None:
    statistics = describe(pl.LazyFrame(flights()))
    other = describe(pl.LazyFrame(flights(shift=20)))
    moved = drift(statistics.profile(), other.profile())
    found = check(other.profile(), infer(statistics.profile()))
    assert isinstance(found, Findings)
    schema = infer(statistics.profile())
    for shown, told in ((statistics, "temp"), (moved, "suspected"), (found, "Findings"), (schema, "most = ")):
        html = shown._repr_html_()
        assert html.startswith('<div class="lw">')
        assert told in html
        assert Tags(html).open == []


# What a report is made of


def damaged(folder: Path, rows: int = 4000) -> Path:
    """Every kind of damage that a file can have and still be read."""
    draw = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "id": [at % (rows - 5) for at in range(rows)],
            "amount": ["oops" if at == rows - 2 else f"{one:.3f}" for at, one in enumerate(draw.normal(9, 2, rows))],
            "city": draw.choice(["NYC", "NYC ", "nyc", "MÃ¼nchen"], rows),
            "one": [1] * rows,
            "copy": [1] * rows,
            "empty": [None] * rows,
            "fare": np.where(draw.random(rows) < 0.01, -1.0, draw.gamma(2, 5, rows)),
            EVIL.replace("\x00", "").replace('"', ""): ["\x1b[31m"] * rows,
        }
    )
    frame.write_csv(folder / "damaged.csv")
    return folder / "damaged.csv"


def test_a_file_with_every_damage_gives_a_complete_report(tmp_path: Path) -> None:
    looked = spans.of_files(str(damaged(tmp_path)), tmp_path)
    positive = Check(name="positive", expression="fare > 0")
    schema = replace(spans.plain_schema(looked.span.seen), key=("id",), checks=(positive,))
    assert looked.rows is not None
    found = examine(looked.rows, schema, check(looked.span.seen, schema))
    report = Report(spans=(looked.span,), findings=tuple(found))
    told = {(one.kind, one.column) for one in found}
    assert {
        ("duplicate keys", None),
        ("check failed", None),
        ("look-alike categories", "city"),
        ("mojibake", "city"),
        ("constant", "one"),
        ("copies", "one"),
        ("all missing", "empty"),
    } <= told
    assert any(column == "amount" for _, column in told)
    text = report.text(100)
    for name in ("id", "amount", "city", "one", "copy", "empty", "fare"):
        assert f"\n{name} " in text
    assert Tags(report.page("damaged")).open == []


def test_types_are_kept_where_only_one_column_changes_type(tmp_path: Path) -> None:
    path = tmp_path / "mixed.csv"
    rows = 600_000  # beyond the first block, by which Arrow settles types
    lines = (f"{at},{at}.5,2013-01-01T00:00:00,true" for at in range(rows))
    path.write_text("\n".join(["a,b,t,f", *lines, "x,1e3,2013-01-02T00:00:00,false"]))
    looked = spans.of_files(str(path), tmp_path)
    kinds = {name: one.kind for name, one in looked.span.seen.columns.items()}
    assert kinds == {"a": "string", "b": "float", "t": "time", "f": "boolean"}
    assert looked.span.seen.rows == rows + 1
    [note] = looked.span.notes
    assert note.startswith("read as text: 'a'; ")
    assert f"row {rows + 1}, column 'a'" in note


def test_a_ragged_file_is_refused_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "ragged.csv"
    path.write_text("a,b\n1,2\n3\n")
    with pytest.raises(BadSource, match="row 2 has 1 field"):
        spans.of_files(str(path), tmp_path)


def test_what_cannot_be_described_is_left_out_and_said(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2], "s": [{"x": 1}, {"x": 2}], "b": pa.array([b"ok", b"\xff"]), "c": ["u", "v"]})
    table = table.set_column(3, "c", table["c"].dictionary_encode())
    pq.write_table(table, tmp_path / "odd.parquet")
    looked = spans.of_files(str(tmp_path / "odd.parquet"), tmp_path)
    assert list(looked.span.seen.columns) == ["a", "b", "c"]
    assert looked.span.seen.columns["b"].values == {"ok": 1, "\ufffd": 1}
    assert looked.span.notes == ("left out: column 's': a column of type struct<x: int64> cannot be described",)
    assert looked.rows is not None
    assert looked.rows.collect().height == 2


def test_a_damaged_parquet_file_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "cut.parquet"
    pl.DataFrame(flights()).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BadSource) as error:
        spans.of_files(str(path), tmp_path)
    assert (error.value.where or "").endswith("cut.parquet")
    assert error.value.fix


def test_every_kind_of_file_gives_the_same_statistics(tmp_path: Path) -> None:
    frame = pl.DataFrame(flights(500))
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_csv(tmp_path / "a.csv")
    frame.write_ndjson(tmp_path / "a.jsonl")
    told = []
    for at, name in enumerate(("a.parquet", "a.csv", "a.jsonl")):
        room = tmp_path / str(at)
        room.mkdir()
        looked = spans.of_files(str(tmp_path / name), room)
        told.append(
            {one.name: (one.kind, one.low, one.high, one.distinct) for one in looked.span.seen.columns.values()}
        )
        assert looked.rows is not None
        assert looked.rows.collect().height == 500
    assert told[0] == told[1] == told[2]


def test_parquet_files_read_as_one_are_described_where_they_lie(tmp_path: Path) -> None:
    for at in range(3):
        pl.DataFrame(flights(100, seed=at)).write_parquet(tmp_path / f"{at}.parquet")
    room = tmp_path / "room"
    room.mkdir()
    looked = spans.of_files(str(tmp_path / "*.parquet"), room)
    assert looked.span.seen.rows == 300
    assert list(room.iterdir()) == []
    whole = TableProfile.of_schema(pl.DataFrame(flights(1)).to_arrow().schema)
    assert looked.span.seen.profile.kinds == whole.kinds


def test_what_tells_of_a_label_names_times_as_times() -> None:
    at = [datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=one) for one in range(1000)]
    rows = pl.LazyFrame({"at": at, "late": [one >= 500 for one in range(1000)]})
    found = labelled(rows, "late")
    [[name, _, lowest, highest]] = report_label.rows(found, 5)
    assert name == "at"
    assert "2013-01-01 to 2013-01-0" in lowest + highest
    ends = report_label.to_dict(found)["columns"][0]["groups"][0]
    assert ends["low"] == "2013-01-01T00:00:00+00:00"


def test_what_moved_and_rows_that_show_it_cannot_steer_the_terminal() -> None:
    name = "wait\x1b[31m\nred"
    before, now = (describe(pl.LazyFrame({name: [at + more for at in range(2000)]})).profile() for more in (0, 5000))
    found = drift(before, now)
    fails = Finding(kind="NaN", severity=Severity.WARNING, message="m", fix="f", examples=({name: 1},))
    assert all("\x1b" not in text for text in (str(found), str(fails)))
    assert len(str(found).splitlines()) == 2
