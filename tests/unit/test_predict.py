"""`lw predict`: batches through a bundle, under the same contract as online."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression  # type: ignore[import-untyped]

from loopwright.data.schema import Column, Schema
from loopwright.data.source import open_source
from loopwright.errors import BadSource, SchemaMismatch, UsageError
from loopwright.predictions import batch
from loopwright.transform import bundle
from loopwright.transform.bundle import Bundle
from loopwright.transform.export import export

DRAW = np.random.default_rng(0)
FRAME = pl.DataFrame({"pages": DRAW.poisson(4, 300), "depth": DRAW.normal(size=300)})
BOUGHT = DRAW.random(300) < 1 / (1 + np.exp(2 - 0.5 * FRAME["pages"].to_numpy()))


@pytest.fixture
def made(tmp_path: Path) -> tuple[Any, Bundle]:
    return a_bundle(tmp_path / "bundle", LogisticRegression().fit(FRAME.to_numpy(), BOUGHT), BOUGHT)


def a_bundle(folder: Path, model: Any, target: Any) -> tuple[Any, Bundle]:
    """The model, and its bundle: `depth` may be missing by the contract, `pages` may not."""
    exported = export(model, FRAME, target)
    schema = Schema(
        columns=(Column(name="pages", kind="integer", missing=False), Column(name="depth", kind="float", missing=True)),
        key=("id",),
    )
    folder.mkdir()
    (folder / "model.onnx").write_bytes(exported.graph.SerializeToString())
    (folder / "schema.json").write_text(schema.to_json())
    inputs = exported.inputs.columns
    bundle.write(
        folder, name="buys", inputs=inputs, task=exported.task, classes=exported.classes, parity={}, lineage={}
    )
    return exported.estimator, bundle.read(folder)


def rows(made: Bundle, source: Any) -> pl.DataFrame:
    return pl.concat(list(batch.predict(made, open_source(source, batch.expected(made.schema)))))


def test_rows_come_out_in_order_with_their_key(made: tuple[Any, Bundle]) -> None:
    model, found = made
    given = FRAME.with_columns(id=pl.Series([f"v{i}" for i in range(300)]), extra=pl.lit("left aside"))
    said = rows(found, given)
    assert said.columns == ["id", "label", "probability_false", "probability_true"]
    assert said["id"].to_list() == given["id"].to_list()
    assert np.abs(said["probability_true"].to_numpy() - model.predict_proba(FRAME.to_numpy())[:, 1]).max() < 1e-5
    assert said["label"].dtype == pl.Boolean


def test_a_regression_gives_values(tmp_path: Path) -> None:
    target = FRAME["pages"].to_numpy() * 2.0
    model, found = a_bundle(tmp_path / "numbers", LinearRegression().fit(FRAME.to_numpy(), target), target)
    assert rows(found, FRAME)["value"].to_numpy() == pytest.approx(model.predict(FRAME.to_numpy()), abs=1e-4)


@pytest.mark.parametrize("suffix", batch.SUFFIXES)
def test_every_kind_of_file_holds_the_same(made: tuple[Any, Bundle], tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    assert batch.write(batch.predict(made[1], open_source(FRAME)), target) == 300
    reads: dict[str, Any] = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}
    read = reads[suffix]
    assert read(target)["probability_true"].to_list() == pytest.approx(
        rows(made[1], FRAME)["probability_true"].to_list()
    )
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def test_more_rows_than_a_chunk_are_all_there(made: tuple[Any, Bundle]) -> None:
    many = pl.concat([FRAME] * 500).with_row_index("id")
    found = rows(made[1], many)
    assert found["id"].to_list() == list(range(150_000))
    few = rows(made[1], FRAME)["probability_true"].to_list()
    assert found["probability_true"].to_list() == few * 500


def test_no_rows_give_no_rows(made: tuple[Any, Bundle], tmp_path: Path) -> None:
    none = FRAME.with_columns(id=pl.lit("v")).head(0)
    assert batch.write(batch.predict(made[1], open_source(none)), tmp_path / "out.parquet") == 0
    assert pl.read_parquet(tmp_path / "out.parquet").schema == rows(made[1], FRAME.with_columns(id=pl.lit("v"))).schema


def test_a_csv_is_read_by_the_contract(made: tuple[Any, Bundle], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,pages,depth\n01,3,\n02,4,1\n")
    assert rows(made[1], tmp_path / "rows.csv")["id"].to_list() == [1, 2]


WRONG: list[tuple[pl.DataFrame, type[Exception], str]] = [
    (FRAME.drop("depth"), SchemaMismatch, "needs the column 'depth'"),
    (FRAME.rename({"depth": "deph"}), SchemaMismatch, "did you mean 'deph'?"),
    (pl.DataFrame({"pages": [1, None], "depth": [1.0, 2.0]}), SchemaMismatch, "'pages' is missing in row 2"),
    (pl.DataFrame({"pages": ["a"], "depth": [1.0]}), SchemaMismatch, "'pages'"),
    (pl.DataFrame({"pages": [datetime(2026, 1, 1, tzinfo=UTC)], "depth": [1.0]}), SchemaMismatch, "'pages'"),
]


@pytest.mark.parametrize(("frame", "error", "told"), WRONG)
def test_rows_that_break_the_contract_are_refused_and_nothing_is_written(
    made: tuple[Any, Bundle], tmp_path: Path, frame: pl.DataFrame, error: type[Exception], told: str
) -> None:
    target = tmp_path / "out.csv"
    with pytest.raises(error, match=told.replace("?", r"\?")):
        batch.write(batch.predict(made[1], open_source(frame)), target)
    assert not target.exists()
    assert list(tmp_path.glob(".*")) == []


def test_a_csv_whose_values_do_not_fit_is_told_with_its_line(made: tuple[Any, Bundle], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("pages,depth\n3,1.0\nmany,2.0\n")
    with pytest.raises(BadSource, match="many"):
        rows(made[1], tmp_path / "rows.csv")


def test_an_unknown_kind_of_file_is_refused_before_anything_is_scored(made: tuple[Any, Bundle], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file that can be written"):
        batch.write(batch.predict(made[1], open_source(FRAME)), tmp_path / "out.xls")
