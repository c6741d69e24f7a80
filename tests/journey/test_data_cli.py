"""`lw data`: as users type it, within this process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.conftest import lw as in_a_process
from tests.unit.bundles import Works, a_graph

import loopwright
from loopwright.cli import words
from loopwright.core.stores import Stores
from loopwright.core.version import VersionStatus
from loopwright.data.schema import Column, Schema
from loopwright.data.schema_file import read
from loopwright.data.statistics import describe
from loopwright.data.table import Table
from loopwright.predictions.journal import FOLDER, Journal, Line
from loopwright.registry.register import register
from loopwright.testing import HandClock
from loopwright.testing.conformance import cause
from loopwright.transform import bundle
from loopwright.transform.columns import Column as Input
from loopwright.transform.columns import Kind


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Lw = Callable[..., Done]
CONTRACT = Schema(
    columns=(Column(name="x", kind="float", missing=True, least=-20.0, most=100.0),),
    key=("flight_id",),
    time="at",
    label="late",
    never=("carrier",),
)
START = datetime(2013, 1, 1, tzinfo=UTC)


def flights(rows: int = 3000, *, shift: float = 0.0, seed: int = 0, day: int = 0) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "flight_id": [f"{day}-{at:05}" for at in range(rows)],
            "at": [START + timedelta(days=day, seconds=20 * at) for at in range(rows)],
            "x": draw.normal(40 + shift, 10, rows),
            "carrier": draw.choice(["UA", "B6", "EV"], rows, p=[0.5, 0.3, 0.2]),
            "late": draw.random(rows) < 0.25,
        }
    )


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of three spans, a table of all three (the third moved), and a version that was trained on the first."""
    folder = tmp_path_factory.mktemp("made")
    months = [flights(), flights(seed=1, day=31), flights(seed=2, day=59, shift=15)]
    for name, month in zip(("january", "february", "march"), months, strict=True):
        month.write_csv(folder / f"{name}.csv")
        month.write_parquet(folder / f"{name}.parquet")
    with loopwright.open(folder / "project") as system:
        table = Table("flights", key="flight_id", time="at", label="late")
        for month in months:
            system.tables.append(table, month)
        Works(system.stores, folder / "works").version()
        statistics = describe(months[0].lazy().select("x", "late")).to_json()
        register_version(system.stores, folder / "second", CONTRACT, {"statistics.json": statistics})
        whole = replace(CONTRACT.column("x"), kind="integer", least=None, most=None)
        register_version(system.stores, folder / "third", replace(CONTRACT, columns=(whole,)), {})
        for day, month in enumerate((months[1], months[2])):
            # Whole numbers where the model takes floats; null where a number was not known.
            sent = [None if number % 50 == 0 else round(x) for number, x in enumerate(month["x"])]
            asked(system.workspace, sent, START + timedelta(days=day))
        for version in (2, 3):
            asked(system.workspace, [1, 2.0], START + timedelta(days=31), version=version)
    return folder


def register_version(stores: Stores, folder: Path, contract: Schema, files: dict[str, str]) -> None:
    folder.mkdir()
    (folder / "model.onnx").write_bytes(a_graph(0.5))
    for name, content in {**files, "schema.json": contract.to_json()}.items():
        (folder / name).write_text(content)
    manifest = bundle.write(
        folder, name="flights", inputs=[Input(name="x", kind=Kind.NUMBER)], task="regression", classes=[],
        parity={"rows": 1}, lineage={"run": "run-1"},
    )  # fmt: skip
    register(
        stores, folder, manifest, cause(), status=VersionStatus.ACCEPTED, run_id="run-1", metric="r2", value=0.7,
        reason="",
    )  # fmt: skip


def asked(workspace: Path, values: Iterable[float | None], at: datetime, *, version: int = 2) -> None:
    """As a gateway records it."""
    kept = Journal(workspace / FOLDER, HandClock(at))
    lines = [
        Line(
            id=f"{kept.new_id()}.0", at=at, loop="flights", version=version, digest="d" * 64, arm="champion",
            row={"x": value}, key={"flight_id": f"{number}"}, value=1.0,
        )
        for number, value in enumerate(values)
    ]  # fmt: skip
    kept.append("flights", lines)
    kept.close()


@pytest.fixture
def lw(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lw:
    """In a copy of the project, which has the files beside it."""
    project = Path(shutil.copytree(made / "project", tmp_path / "project"))
    for file in [*made.glob("*.csv"), *made.glob("*.parquet")]:
        (project / file.name).symlink_to(file)
    monkeypatch.chdir(project)
    monkeypatch.setenv("COLUMNS", "100")
    capsys.readouterr()

    def run(*line: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["lw", "data", *line])
        with pytest.raises(SystemExit) as end:
            words.main()
        told = capsys.readouterr()
        return Done(int(end.value.code or 0), told.out, told.err)

    return run


# Describe


@pytest.mark.parametrize("source", ["january.csv", "january.parquet", "./jan*.csv", "flights"])
def test_a_table_and_files_are_described_alike(lw: Lw, source: str) -> None:
    done = lw("describe", source)
    assert (done.code, done.err) == (0, "")
    rows = "9,000" if source == "flights" else "3,000"
    assert f"{rows} rows, 5 columns" in done.out.split("\n")[0]
    assert "carrier" in done.out
    assert "\x1b" not in done.out


def test_a_span_and_a_version_of_a_table_are_described(lw: Lw) -> None:
    june = lw("describe", "flights", "--since", "2013-02-01", "--until", "2013-03-01", "--json").json
    assert june["spans"][0]["name"] == "flights (since 2013-02-01, until 2013-03-01)"
    assert june["spans"][0]["rows"] == 3000
    first = lw("describe", "flights", "--version", "1", "--json").json
    assert first["spans"][0]["rows"] == 3000
    assert first["is_fine"]


def test_the_rows_a_version_was_trained_on_are_described_from_its_bundle(lw: Lw) -> None:
    done = lw("describe", "flights:2")
    assert done.code == 0
    assert done.out.startswith("training rows of flights:2: 3,000 rows, 2 columns")


def test_two_sources_stand_side_by_side_on_a_page(lw: Lw) -> None:
    done = lw("describe", "january.csv", "--against", "march.csv", "--page", "page.html")
    assert done.code == 0
    assert done.out.endswith("wrote page.html\n")
    page = Path("page.html").read_text(encoding="utf-8")
    assert "<th>january.csv</th><th>march.csv</th>" in page
    lw("describe", "january.csv", "--against", "march.csv", "--page", "again.html")
    assert Path("again.html").read_bytes() == Path("page.html").read_bytes()


def test_slices_stand_side_by_side(lw: Lw) -> None:
    told = lw("describe", "january.csv", "--by", "carrier", "--json").json["spans"]
    assert [one["name"] for one in told] == ["carrier = UA", "carrier = B6", "carrier = EV"]
    assert sum(one["rows"] for one in told) == 3000
    whole = pl.read_csv("january.csv").filter(carrier="EV")["x"].mean()
    assert next(one for one in told[2]["columns"] if one["name"] == "x")["mean"] == pytest.approx(whole)
    many = lw("describe", "january.csv", "--by", "flight_id")
    assert "2,992 more values of flight_id" in many.out


def test_numbers_are_described_by_weights(lw: Lw) -> None:
    frame = pl.read_csv("january.csv").with_columns(w=pl.int_range(pl.len()) % 3)
    frame.write_csv("weighted.csv")
    [span] = lw("describe", "weighted.csv", "--weight", "w", "--json").json["spans"]
    x = next(one for one in span["columns"] if one["name"] == "x")
    assert x["weighted_mean"] == pytest.approx(np.average(frame["x"].to_numpy(), weights=frame["w"].to_numpy()))
    assert "weighted mean" in lw("describe", "weighted.csv", "--weight", "w").out
    both = lw("describe", "weighted.csv", "--weight", "w", "--by", "late", "--json").json["spans"]
    assert all("weighted_mean" in one for span in both for one in span["columns"] if one["name"] == "x")


def test_what_tells_of_the_label_is_ranked(lw: Lw) -> None:
    frame = pl.read_csv("january.csv").with_columns(delay=pl.when("late").then(pl.col("x") + 60).otherwise("x"))
    frame.write_csv("delays.csv")
    told = lw("describe", "delays.csv", "--label", "late", "--json").json["label"]
    assert (told["label"], told["of"]) == ("late", "share of 'false'")
    assert told["columns"][0]["name"] == "delay"
    carriers = next(one for one in told["columns"] if one["name"] == "carrier")
    united = next(one for one in carriers["groups"] if one["value"] == "UA")
    assert united["mean"] == pytest.approx(1 - frame.filter(carrier="UA")["late"].mean())  # type: ignore[operator]
    done = lw("describe", "delays.csv", "--label", "late", "--page", "label.html")
    assert "what tells of 'late'" in done.out
    assert "<h2>Label</h2>" in Path("label.html").read_text(encoding="utf-8")
    assert lw("describe", "delays.csv", "--label", "x", "--json").json["label"]["of"] == "mean"


def test_files_are_described_where_there_is_no_workspace(made: Path, tmp_path: Path) -> None:
    done = in_a_process("data", "describe", str(made / "january.csv"), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
    assert "\x1b" not in done.stdout
    done = in_a_process("data", "describe", "flight", cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no table and no file 'flight'" in done.stderr


def test_a_terminal_without_blocks_gets_plain_signs(made: Path, tmp_path: Path) -> None:
    line = ("data", "describe", str(made / "january.csv"))
    done = in_a_process(*line, cwd=tmp_path, PYTHONIOENCODING="ascii", COLUMNS="60")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


# Validate


def test_rows_like_those_before_are_fine(lw: Lw) -> None:
    done = lw("validate", "february.csv", "--against", "january.csv")
    assert done.code == 0, done.out
    assert "nothing was found" in done.out


def test_errors_give_their_own_exit_code(lw: Lw) -> None:
    assert lw("schema", "january.csv", "--output", "schema.toml").code == 0
    pl.read_csv("february.csv").drop("carrier").write_csv("less.csv")
    done = lw("validate", "less.csv", "--schema", "schema.toml")
    assert done.code == 3
    assert "error: 'carrier' is not there" in done.out
    told = lw("validate", "less.csv", "--schema", "schema.toml", "--json")
    assert told.code == 3
    assert [one["kind"] for one in told.json["findings"]] == ["missing column"]


def test_a_table_is_held_against_its_own_roles(lw: Lw) -> None:
    march = pl.read_parquet("march.parquet")
    pl.concat([march, march.head(2)]).write_parquet("twice.parquet")
    done = lw("validate", "twice.parquet", "--against", "flights", "--against-until", "2013-02-01")
    assert done.code == 3
    assert "2 keys ('flight_id') stand for more than one row" in done.out


def test_a_version_brings_its_contract(lw: Lw) -> None:
    pl.read_parquet("january.parquet").with_columns(pl.col("x") + 200).write_parquet("hot.parquet")
    told = lw("validate", "hot.parquet", "--against", "flights:2", "--json").json
    kinds = {one["kind"] for one in told["findings"]}
    assert "number too big" in kinds
    assert told["is_fine"]  # warnings, and one that is suspected
    assert [one["name"] for one in told["drift"]["columns"] if one["standing"] == "suspected"] == ["x"]


def test_without_a_schema_only_what_is_wrong_anywhere_is_found(lw: Lw) -> None:
    pl.read_csv("january.csv").with_columns(one=1).write_csv("one.csv")
    done = lw("validate", "one.csv")
    assert done.code == 0
    assert "1 warning\nwarning: 'one' has one value in every row" in done.out


# Drift


def test_what_did_not_move_is_fine_and_what_did_is_named(lw: Lw) -> None:
    assert lw("drift", "february.csv", "--against", "january.csv").code == 0
    done = lw("drift", "march.parquet", "--against", "january.csv")
    assert done.code == 0
    assert "1 suspected, 3 steady\nsuspected is not drift yet: " in done.out  # times only move on, and are left out
    assert "\nx " in done.out


def test_a_span_of_a_table_against_an_earlier_one(lw: Lw) -> None:
    line = ("drift", "flights", "--since", "2013-03-01", "--against", "flights", "--against-until", "2013-03-01")
    told = lw(*line, "--page", "drift.html", "--json")
    assert told.code == 0
    assert {one["name"]: one["standing"] for one in told.json["drift"]["columns"]} == {
        "x": "suspected", "carrier": "steady", "late": "steady",
    }  # fmt: skip
    assert "<script" not in Path("drift.html").read_text(encoding="utf-8")


def test_a_table_against_the_rows_a_version_was_trained_on(lw: Lw) -> None:
    done = lw("drift", "march.csv", "--against", "flights:2")
    assert done.code == 0
    assert "to accept: columns.x.skew = " in done.out
    assert "against training rows of flights:2: 3,000 rows" in done.out


def test_the_schema_says_what_becomes_of_drift(lw: Lw) -> None:
    lw("schema", "january.csv", "--output", "schema.toml")
    said = Path("schema.toml").read_text().replace("[columns.flight_id]", "[severity]\n{}\n[columns.flight_id]")
    for command in ("drift", "validate"):
        line = (command, "march.csv", "--against", "january.csv", "--schema", "schema.toml", "--json")
        for severity, code, told in (("warning", 0, ["x"]), ("ignore", 0, []), ("error", 3, ["x"])):
            Path("schema.toml").write_text(said.format(f'drift = "{severity}"'))
            done = lw(*line)
            moved = [one for one in done.json["findings"] if one["kind"] == "drift"]
            assert (done.code, [one["column"] for one in moved]) == (code, told)
        assert lw("accept", moved[0]["accept"], "--schema", "schema.toml", "--because", "spring").code == 0
        assert lw(*line).code == 0
        assert read(Path("schema.toml")).column("x").drift == pytest.approx(moved[0]["number"], abs=0.01)


def test_a_part_of_the_time_holds_fewer_rows_and_no_less(lw: Lw) -> None:
    day = ("--since", "2013-02-01T06:00", "--until", "2013-02-01T07:00")  # an hour against a week's rows
    against = ("--against", "flights", "--against-until", "2013-02-01")
    told = lw("validate", "flights", *day, *against, "--json").json["findings"]
    assert not {"rows shrank", "rows grew"} & {one["kind"] for one in told}
    thin = pl.read_parquet("february.parquet").gather_every(10)
    thin.write_parquet("thin.parquet")
    told = lw("validate", "thin.parquet", *against, "--json").json["findings"]
    [shrank] = [one for one in told if one["kind"] == "rows shrank"]
    assert shrank["number"] == pytest.approx(0.1, rel=0.02)


# What a loop's versions were asked about


def test_predictions_are_described_in_the_types_of_the_contract(lw: Lw) -> None:
    told = lw("describe", "flights:predictions", "--until", "2013-01-02", "--json").json["spans"][0]
    assert told["name"] == "flights:predictions (until 2013-01-02)"
    assert (told["rows"], [one["name"] for one in told["columns"]]) == (3000, ["x"])
    assert (told["columns"][0]["kind"], told["columns"][0]["missing"]) == ("float", 60)
    last = lw("describe", "flights:predictions", "--since", "2013-02-01", "--json").json["spans"][0]
    assert (last["rows"], last["columns"][0]["kind"]) == (2, "integer")
    assert last["notes"] == ["left out: 2 rows of versions that took other columns"]
    one = lw("describe", "flights:predictions", "--version", "2", "--json").json["spans"][0]
    assert (one["name"], one["rows"]) == ("flights:predictions (version 2)", 6002)


def test_what_is_served_is_held_against_what_was_trained_on(lw: Lw) -> None:
    like = lw("drift", "flights:predictions", "--until", "2013-01-02", "--against", "flights:2")
    assert "against training rows of flights:2: 3,000 rows" in like.out
    second = ("flights:predictions", "--version", "2", "--since", "2013-01-02")
    moved = lw("drift", *second, "--against", "flights:2", "--json")
    assert moved.code == 0
    assert [(one["name"], one["standing"]) for one in moved.json["drift"]["columns"]][:1] == [("x", "suspected")]


def test_one_window_of_what_is_served_is_held_against_another(lw: Lw) -> None:
    line = ("flights:predictions", "--version", "2", "--since", "2013-01-02", "--against", "flights:predictions")
    assert "1 suspected" in lw("drift", *line, "--against-until", "2013-01-02").out
    same = ("flights:predictions", "--until", "2013-01-02", "--against", "flights:predictions")
    assert lw("drift", *same, "--against-until", "2013-01-02").code == 0


def test_what_is_served_is_validated_where_no_label_is_expected(lw: Lw) -> None:
    served = ("flights:predictions", "--until", "2013-01-02")
    assert lw("validate", *served).code == 0
    lw("schema", "january.csv", "--output", "schema.toml", "--label", "late")
    found = lw("validate", *served, "--schema", "schema.toml", "--json").json["findings"]
    assert {one["column"] for one in found} == {"x"}  # no key, no time, no label is asked for
    assert "too many missing" in {one["kind"] for one in found}


# Schemas


def test_a_schema_is_written_once_and_not_over_what_was_edited(lw: Lw) -> None:
    assert lw("schema", "flights", "--output", "schema.toml").out == "wrote schema.toml: 5 columns\n"
    assert read(Path("schema.toml")).key == ("flight_id",)
    assert lw("schema", "flights", "--output", "schema.toml").out == "schema.toml stays as it is\n"
    edited = Path("schema.toml").read_text().replace("closed = true", "closed = false")
    Path("schema.toml").write_text(edited)
    refused = lw("schema", "flights", "--output", "schema.toml")
    assert refused.code == 2
    assert "--diff" in refused.err
    assert "--force" in refused.err
    assert Path("schema.toml").read_text() == edited
    diff = lw("schema", "flights", "--output", "schema.toml", "--diff")
    assert (diff.code, diff.out) == (0, "carrier: other values a finding was no, is yes\n")
    assert Path("schema.toml").read_text() == edited
    assert lw("schema", "flights", "--output", "schema.toml", "--force").code == 0
    assert read(Path("schema.toml")).column("carrier").closed


def test_a_schema_is_printed_where_no_file_is_named(lw: Lw) -> None:
    done = lw("schema", "january.csv", "--label", "late")
    assert "[columns.carrier]" in done.out
    assert 'label = "late"' in done.out
    assert lw("schema", "january.csv", "--json").json["columns"][0]["name"] == "flight_id"
    assert "did you mean 'late'?" in lw("schema", "january.csv", "--label", "lat").err


def test_what_was_found_is_accepted_by_its_line(lw: Lw) -> None:
    lw("schema", "january.csv", "--output", "schema.toml")
    pl.read_csv("february.csv").with_columns(carrier=pl.lit("ZZ"), late=True).write_csv("odd.csv")
    line = ("validate", "odd.csv", "--schema", "schema.toml", "--json")
    before = lw(*line).json["findings"]
    assert {one["kind"] for one in before} >= {"value out of domain", "constant"}
    lines = [one["accept"] for one in before if "accept" in one]
    done = lw("accept", *lines, "--schema", "schema.toml", "--because", "one airline is left")
    assert done.code == 0, done.err
    assert done.out.endswith("wrote schema.toml\n")
    assert lw(*line).json["findings"] == []
    kept = read(Path("schema.toml")).acceptances
    assert [one.why for one in kept] == ["one airline is left"] * len(lines)
    assert "\x1b" not in done.out


def test_nothing_that_is_accepted_is_lost_when_several_accept_at_once(made: Path, tmp_path: Path) -> None:
    file = tmp_path / "schema.toml"
    columns = "".join(f'[columns.c{at}]\nkind = "integer"\nmissing = false\nmost = 10\n' for at in range(6))
    file.write_text(columns)
    line = [sys.executable, "-m", "loopwright.cli", "data", "accept", "--schema", str(file), "--because", "x"]
    asked = [subprocess.Popen([*line, f"columns.c{at}.most = {20 + at}"], stdout=subprocess.DEVNULL) for at in range(6)]
    assert [one.wait() for one in asked] == [0] * 6
    assert [column.most for column in read(file).columns] == [20, 21, 22, 23, 24, 25]
    assert len(read(file).acceptances) == 6
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_lines_of_one_limit_the_wider_holds_in_any_order(lw: Lw, order: int) -> None:
    Path("schema.toml").write_text('[columns.k]\nkind = "integer"\nmissing = false\nmost = 100\n')
    lines = ["columns.k.most = 110", "columns.k.most = 130"][::order]
    assert lw("accept", *lines, "--schema", "schema.toml", "--because", "x").code == 0
    assert read(Path("schema.toml")).column("k").most == 130


def test_a_line_that_narrows_is_refused_by_its_name(lw: Lw) -> None:
    Path("schema.toml").write_text('[columns.k]\nkind = "integer"\nmissing = false\nmost = 100\n')
    before = Path("schema.toml").read_bytes()
    done = lw("accept", "columns.k.most = 10", "--schema", "schema.toml", "--because", "x")
    assert (done.code, done.out) == (2, "")
    assert "columns.k.most = 10 cannot be accepted: the schema allows more already: most = 100" in done.err
    assert Path("schema.toml").read_bytes() == before


# What goes wrong


@pytest.mark.parametrize(
    ("line", "code", "what", "fix"),
    [
        (("describe", "flight"), 2, "there is no table and no file 'flight'", "did you mean 'flights'?"),
        (("describe", "nothing.csv"), 1, "no such file", "check the path"),
        (("describe", "no*.csv"), 1, "no file matches", "check the pattern"),
        (("describe", "january.csv", "--since", "2013-01-01"), 2, "'january.csv' is no table", "leave --since"),
        (("describe", "flights", "--since", "yesterday"), 2, "'yesterday' is no time", "--since 2013-06-01"),
        (("describe", "flights:9"), 2, "flights", "flights"),
        (("drift", "january.csv", "--against", "flights:1"), 2, "has no statistics", "compare with a table"),
        (("drift", "january.csv"), 2, "--against", "--help"),
        (("describe", "january.csv", "--against-version", "3"), 2, "without --against", "--against SOURCE"),
        (("validate", "january.csv", "--schema", "no.toml"), 2, "there is no schema 'no.toml'", "lw data schema"),
        (("describe", "january.csv", "--page", "no/page.html"), 2, "there is no folder 'no'", "make it first"),
        (("describe", "january.csv", "--page", "january.csv"), 2, "no name of a page", "--page january.html"),
        (("accept", "nonsense", "--schema", "s.toml", "--because", "x"), 2, "no schema 's.toml'", "lw data schema"),
        (("describe", "flight:predictions"), 2, "no predictions of flight", "did you mean 'flights'?"),
        (("describe", "flights:predictions", "--since", "2014-01-01"), 2, "no predictions", "another span"),
        (("describe", "january.csv", "--by", "carier"), 2, "no column 'carier'", "did you mean 'carrier'?"),
        (("describe", "january.csv", "--weight", "carrier"), 2, "the weight 'carrier' is", "a column of numbers"),
        (("describe", "january.csv", "--label", "at"), 2, "the label 'at' is of kind time", "classes or numbers"),
        (("describe", "flights:2", "--by", "x"), 2, "only statistics were kept", "a table or a file"),
        (("descibe", "january.csv"), 2, "describe", "--help"),
        (("validate", "january.csv", "--environment", "servng"), 2, "no environment 'servng'", "mean 'serving'?"),
    ],
)
def test_what_is_wrong_says_what_and_what_to_do(lw: Lw, line: tuple[str, ...], code: int, what: str, fix: str) -> None:
    done = lw(*line)
    assert (done.code, done.out) == (code, "")
    assert what in done.err
    assert fix in done.err


def test_a_line_that_is_none_changes_nothing(lw: Lw) -> None:
    lw("schema", "january.csv", "--output", "schema.toml")
    before = Path("schema.toml").read_bytes()
    for line in ("nonsense", "columns.carrier.closd = true", "columns.carrier.closed = 7", "leest_rows = 3"):
        done = lw("accept", "least_rows = 2", line, "--schema", "schema.toml", "--because", "x")
        assert done.code in (1, 2), line
        assert "to do:" in done.err
    assert lw("accept", "least_rows = 2", "--schema", "schema.toml", "--because", " ").code == 2
    assert Path("schema.toml").read_bytes() == before


def test_errors_are_json_for_machines(lw: Lw) -> None:
    done = lw("describe", "nothing.csv", "--json")
    assert done.json["error"]["what"] == "no such file"


def test_a_schema_of_tensorflow_is_taken_over_and_what_is_left_out_is_named(lw: Lw) -> None:
    Path("schema.pbtxt").write_text(
        'feature { name: "x" type: FLOAT float_domain { min: 50 } image_domain { } }\n'
        'feature { name: "late" type: INT bool_domain { } not_in_environment: "SERVING" }\n'
    )
    done = lw("schema", "schema.pbtxt", "--label", "late", "--output", "taken.toml")
    assert (done.code, done.err) == (0, "left out: x: image_domain\n")
    assert (read(Path("taken.toml")).column("x").least, read(Path("taken.toml")).label) == (50, "late")
    for file in ("taken.toml", "schema.pbtxt"):
        found = lw("validate", "january.csv", "--schema", file, "--json").json["findings"]
        assert ("number too small", "x") in {(one["kind"], one.get("column")) for one in found}
    assert lw("schema", "none.pbtxt").code == 2


def test_a_schema_file_of_another_editor_is_read(lw: Lw) -> None:
    lw("schema", "january.csv", "--output", "schema.toml")
    Path("schema.toml").write_bytes(b"\xef\xbb\xbf" + Path("schema.toml").read_bytes().replace(b"\n", b"\r\n"))
    assert lw("validate", "january.csv", "--schema", "schema.toml").code == 0


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs a device that is full")
@pytest.mark.parametrize("more", [["--output", "/dev/full"], ["--json"], []])
def test_where_nothing_can_be_written_one_plain_error_is_told(made: Path, more: list[str]) -> None:
    line = [sys.executable, "-m", "loopwright.cli", "data", "schema", str(made / "january.csv"), *more]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the system refused: [Errno 28] No space left on device\n  to do: ")
    assert len(done.stderr.splitlines()) == 2
    assert Path("/dev/full").is_char_device()
