"""The rows of a loop on their way to the model: described, held against a schema, set aside, compared with before."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.integration.loopshop import LoopShop, rows, visits

import loopwright as lw
from loopwright.core.event import Cause, Event
from loopwright.data import schema_file
from loopwright.data.against import Drifted
from loopwright.data.declare import Validate
from loopwright.data.described import Described
from loopwright.data.infer import infer
from loopwright.data.statistics import Statistics, describe
from loopwright.data.validated import Validated
from loopwright.registry.evidence import validation
from loopwright.registry.promote import promote
from loopwright.registry.why import explain, render

N = 1600


def odd(n: int = N, **given: Any) -> pl.DataFrame:
    """Visits of which five have a number of pages below zero, and three come from an unknown channel."""
    at = pl.int_range(pl.len())
    pages = pl.when(at.is_in([3, 500, 900, 1200, 1500])).then(-4).otherwise("pages")
    channel = pl.when(at.is_in([3, 40, 1400])).then(pl.lit("??")).otherwise("channel")
    return rows(n, **given).with_columns(pages=pages, channel=channel)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The schema of visits as they should be; what is unlike it is an error."""
    path = tmp_path / "schema.toml"
    made = infer(describe(rows(N).lazy()).profile(), visits)
    text = schema_file.to_toml(made)
    path.write_text(f'{text}\n[severity]\n"number too small" = "error"\n"value out of domain" = "error"\n')
    return path


@pytest.fixture
def shop(tmp_path: Path) -> LoopShop:
    made = LoopShop(tmp_path)
    made.tables.append(visits, odd())
    return made


def events(shop: LoopShop, kind: str) -> list[Event]:
    return [event for event in shop.stores.events.list(subject="loop:buys") if event.kind == kind]


def promoted(shop: LoopShop, version: str) -> None:
    promote(shop.stores, "buys", version, Cause(actor="me", at=shop.clock.now()))


def test_a_schema_file_stops_the_run_and_says_which_line_accepts_it(shop: LoopShop, file: Path) -> None:
    done = shop.run(shop.loop(validate=Validate(str(file))))
    assert done.status == "failed"
    assert done.run.error
    told = done.run.error.message
    for words in ("'pages' goes down to -4", "'??'", "columns.pages.least = -4", "lw data accept", "quarantine=True"):
        assert words in told
    assert "train" not in done.executions


def test_a_changed_schema_file_validates_again_and_trains_nothing_anew(shop: LoopShop, file: Path) -> None:
    loop = shop.loop(validate=Validate(str(file), quarantine=True))
    shop.run(loop)
    again = shop.run(loop)
    assert again.steps["validate"] == "reused"
    file.write_text(
        file.read_text().replace("[columns.channel]\n", '[columns.channel]\ndescription = "how they came"\n')
    )
    changed = shop.run(loop)
    assert changed.status == "succeeded", changed.run.error
    assert changed.steps["validate"] == "ran"
    assert changed.steps["train"] == changed.steps["search"] == "reused"
    told = shop.stores.blobs.read(shop.stores.versions.get("buys", "2").files["schema.json"])
    assert b"how they came" in told


def test_rows_that_fail_are_set_aside_with_their_reasons_where_the_loop_says_so(
    shop: LoopShop, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = shop.run(shop.loop(validate=Validate(str(file), quarantine=True)))
    assert done.status == "succeeded", done.run.error
    found: Validated = done.output("validate")
    assert found.set_aside == {"number too small: pages": 5, "value out of domain: channel": 3}
    assert found.quarantine is not None
    aside = pl.read_parquet(found.quarantine)
    assert aside["id"].to_list() == ["v3", "v40", "v500", "v900", "v1200", "v1400", "v1500"]
    assert aside["reason"][0] == "number too small: pages; value out of domain: channel"
    assert set(visits.never) < set(aside.columns)
    assert "7 rows set aside: number too small: pages (5), value out of domain: channel (3)" in capsys.readouterr().out


def test_no_row_that_was_set_aside_is_trained_on_judged_or_described(shop: LoopShop, file: Path) -> None:
    done = shop.run(shop.loop(validate=Validate(str(file), quarantine=True)))
    parts = done.output("split")
    assert parts.train_rows + parts.held_rows == N - 7
    version = shop.stores.versions.get("buys", "1")
    seen = Statistics.from_json(shop.stores.blobs.read(version.files["statistics.json"]).decode())
    assert seen.rows == N - 7
    assert [column.name for column in seen.columns] == ["at", "channel", "pages", "bought"]
    assert seen.column("pages").low == 0
    assert set(seen.column("channel").values or ()) == {"mail", "search"}


def test_what_was_set_aside_is_part_of_the_lineage(shop: LoopShop, file: Path) -> None:
    shop.run(shop.loop(validate=Validate(str(file), quarantine=True)))
    version = shop.stores.versions.get("buys", "1")
    told = "7 rows set aside: number too small: pages (5), value out of domain: channel (3)"
    assert validation(version.lineage["validation"])[-1] == told
    assert told in render(explain(shop.stores, version))
    assert told in shop.stores.blobs.read(version.files["card.html"]).decode()


def test_more_than_may_be_set_aside_stops_the_run(shop: LoopShop, file: Path) -> None:
    done = shop.run(shop.loop(validate=Validate(str(file), quarantine=True, most_quarantined=0.001)))
    assert done.run.error
    assert "7 of 1,600 rows (0.4%) would be set aside, more than 0.1%" in done.run.error.message
    assert "number too small: pages (5)" in done.run.error.message


def test_only_the_kinds_that_are_named_are_set_aside(shop: LoopShop, file: Path) -> None:
    done = shop.run(shop.loop(validate=Validate(str(file), quarantine=["number too small"])))
    assert done.run.error
    assert "'??'" in done.run.error.message
    assert "pages" not in done.run.error.message


def test_rows_are_set_aside_in_a_table_without_a_key(tmp_path: Path, file: Path) -> None:
    shop = LoopShop(tmp_path)
    table = lw.Table("visits", time="at", label="bought", never=["paid", "id"])
    shop.tables.append(table, odd(800))
    shop.tables.append(table, odd(800, start=800))
    done = shop.run(shop.loop(table=table, validate=Validate(str(file), quarantine=True)), since="2026-01-02")
    assert done.status == "succeeded", done.run.error
    found: Validated = done.output("validate")
    kept = found.rows.scan(shop.tables, ["pages", "channel"]).collect()
    assert len(kept) + found.set_aside_rows == 1600 - 24
    assert kept["pages"].min() == 0
    assert kept["channel"].n_unique() == 2


def test_a_schema_file_that_is_not_there_is_told_before_anything_runs(shop: LoopShop, tmp_path: Path) -> None:
    with pytest.raises(lw.LoopwrightError, match=r"gone\.toml"):
        shop.run(shop.loop(validate=Validate(str(tmp_path / "gone.toml"))))


def test_rows_of_the_future_are_told_by_when_they_came_and_by_no_clock(tmp_path: Path) -> None:
    shop = LoopShop(tmp_path)
    late = rows(300).with_columns(at=pl.col("at") + pl.duration(days=1000))
    shop.tables.append(visits, late)
    shop.clock.advance(2000 * 86400)
    done = shop.run(shop.loop())
    assert done.run.error
    assert "it is 2027-01-01" in done.run.error.message


def test_the_newest_span_stands_beside_the_one_before(tmp_path: Path) -> None:
    shop = LoopShop(tmp_path)
    shop.tables.append(visits, rows(600))
    done = shop.run(shop.loop(validate=Validate(span="10d")))
    found: Described = done.output("describe")
    assert found.span is not None
    assert found.before is not None
    assert (found.rows.rows, found.span.rows, found.before.rows) == (600, 240, 240)
    assert found.rows.column("id").rows == 600
    assert found.span.column("at").low == "2026-01-16T00:00:00+00:00"


def test_a_span_in_another_unit_is_told(tmp_path: Path) -> None:
    shop = LoopShop(tmp_path)
    draw = np.random.default_rng(3)
    grown = rows(1200).with_columns(fare=pl.Series(draw.gamma(4, 20, 1200)))
    grown = grown.with_columns(fare=pl.when(pl.int_range(pl.len()) < 720).then("fare").otherwise(pl.col("fare") * 1000))
    shop.tables.append(visits, grown)
    done = shop.run(shop.loop(validate=Validate(span="20d")))
    found: Validated = done.output("validate")
    assert ("unit jump", "fare") in [(one.kind, one.column) for one in found.findings]


def moved(n: int, start: int) -> pl.DataFrame:
    return rows(n, start=start, seed=start).with_columns(pages=pl.col("pages") + 3)


def test_drift_makes_suspect_and_is_drift_when_two_spans_in_a_row_say_so(tmp_path: Path) -> None:
    shop = LoopShop(tmp_path)
    loop = shop.loop(validate=Validate(span="50d"))
    shop.tables.append(visits, rows(2400))
    shop.run(loop)
    promoted(shop, "1")
    assert events(shop, "DriftFound") == []
    shop.tables.append(visits, moved(1200, 2400))
    first: Drifted = shop.run(loop).output("drift")
    assert first.columns == {"drifted": [], "suspected": ["pages"]}
    assert [(one.kind, one.column) for one in first.findings] == [("drift", "pages")]
    shop.tables.append(visits, moved(1200, 3600))
    second: Drifted = shop.run(loop).output("drift")
    assert second.columns == {"drifted": ["pages"], "suspected": []}
    shop.run(loop)
    told = [(event.data["suspected"], event.data["drifted"]) for event in events(shop, "DriftFound")]
    assert told == [(["pages"], []), ([], ["pages"])]
    assert events(shop, "DriftFound")[0].data["champion"] == "buys v1"


def test_drift_stops_the_run_where_the_schema_calls_it_an_error(tmp_path: Path, file: Path) -> None:
    shop = LoopShop(tmp_path)
    file.write_text(file.read_text().replace("[severity]", '[severity]\ndrift = "error"'))
    loop = shop.loop(validate=Validate(str(file), span="50d"))
    shop.tables.append(visits, rows(2400))
    assert shop.run(loop).status == "succeeded"
    shop.tables.append(visits, moved(1200, 2400))
    done = shop.run(loop)
    assert done.status == "failed"
    assert done.run.error
    assert "pages (integer): suspected" in done.run.error.message
    assert "columns.pages.drift" in done.run.error.message


def test_a_schema_that_changed_since_the_champion_is_an_event_told_once(shop: LoopShop, file: Path) -> None:
    loop = shop.loop(validate=Validate(str(file), quarantine=True))
    shop.run(loop)
    promoted(shop, "1")
    shop.run(loop)
    assert events(shop, "SchemaChanged") == []
    file.write_text(file.read_text().replace("[columns.pages]\n", "[columns.pages]\ndrift = 0.3\n"))
    shop.run(loop)
    shop.run(loop)
    assert [event.data["changes"] for event in events(shop, "SchemaChanged")] == [
        ["pages: drift told from was not said, is 0.3"]
    ]


def test_without_a_schema_file_a_column_that_is_gone_is_a_change_and_limits_that_move_are_none(tmp_path: Path) -> None:
    shop = LoopShop(tmp_path)
    shop.tables.append(visits, rows(600))
    shop.run(shop.loop())
    promoted(shop, "1")
    shop.tables.append(visits, rows(600, start=600).with_columns(pages=pl.col("pages") + 40))
    found: Drifted = shop.run(shop.loop()).output("drift")
    assert found.changes == ()
    assert ("number too big", "pages") in [(one.kind, one.column) for one in found.findings]
    fewer = lw.Table("visits", key="id", time="at", label="bought", never=["paid", "channel"])
    gone: Drifted = shop.run(shop.loop(table=fewer)).output("drift")
    assert "channel is gone (string)" in gone.changes
    assert [change for change in gone.changes if "pages" in change] == []


def test_what_a_run_finds_changes_no_bundle(shop: LoopShop, file: Path) -> None:
    """A model that is made again after it became champion stays the version that it is."""
    loop = shop.loop(validate=Validate(str(file), quarantine=True))
    shop.run(loop)
    promoted(shop, "1")
    again = shop.run(loop)
    assert {name for name, status in again.steps.items() if status == "ran"} == {
        "ingest",
        "drift",
        "champion",
        "previous",
        "register",
    }
    assert len(shop.stores.versions.list("buys")) == 1
    assert json.loads(json.dumps(dict(shop.stores.versions.get("buys", "1").lineage["validation"])))["schema"]


def test_a_leak_can_be_accepted_in_the_schema(tmp_path: Path, file: Path) -> None:
    shop = LoopShop(tmp_path)
    shop.tables.append(visits, rows(N))
    leaky = lw.Table("visits", key="id", time="at", label="bought")
    stopped = shop.run(shop.loop(table=leaky, validate=Validate(str(file)), train=without_paid))
    assert stopped.run.error
    assert "'paid'" in stopped.run.error.message
    file.write_text(file.read_text().replace("[columns.paid]\n", '[columns.paid]\naccepted = ["leak", "constant"]\n'))
    accepted = shop.run(shop.loop(table=leaky, validate=Validate(str(file)), train=without_paid))
    assert accepted.status == "succeeded", accepted.run.error


def without_paid(data: lw.TrainingData) -> Any:
    from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]

    pages = make_column_transformer(("passthrough", ["pages"]))
    return make_pipeline(pages, LogisticRegression()).fit(data.X, data.y)


def test_a_column_of_lists_is_refused_by_name_with_what_to_do(tmp_path: Path) -> None:
    shop = LoopShop(tmp_path)
    shop.tables.append(visits, rows(N).with_columns(tags=pl.concat_list(pl.col("pages"))))
    stopped = shop.run(shop.loop())
    assert stopped.run.error
    assert "a column of lists cannot enter a model" in stopped.run.error.message
    assert "'tags'" in str(stopped.run.error.where)
    assert "split" not in stopped.executions


def test_what_is_infinite_stops_the_run_or_is_set_aside(tmp_path: Path) -> None:
    shop = LoopShop(tmp_path)
    fare = pl.when(pl.int_range(pl.len()) % 400 == 7).then(float("inf")).otherwise(pl.col("pages") * 1.5)
    shop.tables.append(visits, rows(N).with_columns(fare=fare))
    stopped = shop.run(shop.loop())
    assert stopped.run.error
    for words in ("'fare' is infinite in 4 rows", "columns.fare.infinite = true", "quarantine=True"):
        assert words in stopped.run.error.message
    for quarantine in (True, ["infinity"]):
        passed = shop.run(shop.loop(validate=Validate(quarantine=quarantine)))
        assert passed.status == "succeeded", passed.run.error
        found: Validated = passed.output("validate")
        assert found.set_aside == {"infinity: fare": 4}
        assert [one.kind for one in found.findings] == []


def test_rows_that_were_set_aside_leave_no_gap(tmp_path: Path, file: Path) -> None:
    shop = LoopShop(tmp_path)
    at = pl.int_range(pl.len())
    odd_rows = rows(N).with_columns(pages=pl.when(at.is_between(400, 459)).then(-4).otherwise("pages"))
    gone = odd_rows.filter(~at.is_between(1000, 1100))
    shop.tables.append(visits, gone)
    done = shop.run(shop.loop(validate=Validate(str(file), quarantine=True)))
    assert done.status == "succeeded", done.run.error
    found: Validated = done.output("validate")
    assert found.set_aside_rows == 60
    [gap] = [one for one in found.findings if one.kind == "gap in time"]
    assert "'at' has no rows from about 2026-02-11" in gap.message


def test_rows_that_train_and_judge_stop_the_run_until_they_are_accepted(tmp_path: Path, file: Path) -> None:
    shop = LoopShop(tmp_path)
    draw = np.random.default_rng(2)
    once = rows(N - 100).with_columns(fare=pl.Series(draw.random(N - 100)))
    late = rows(N).select("id", "at").tail(100)
    twice = pl.concat([once, once.head(100).with_columns(id=late["id"], at=late["at"])])
    shop.tables.append(visits, twice)
    stopped = shop.run(shop.loop())
    assert stopped.run.error
    assert "100 of 320 rows (31.2%) are both trained on and judged by: equal in channel, pages" in (
        stopped.run.error.message
    )
    assert "train" not in stopped.executions
    file.write_text(
        schema_file.to_toml(replace(infer(describe(twice.lazy()).profile(), visits), accepted=("train-test overlap",)))
    )
    accepted = shop.run(shop.loop(validate=Validate(str(file))))
    assert accepted.status == "succeeded", accepted.run.error
