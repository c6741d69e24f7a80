"""What Python answers is kept between steps without pickle, and the graph is judged by it alone."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
from sklearn.linear_model import LinearRegression, LogisticRegression  # type: ignore[import-untyped]
from sklearn.preprocessing import OneHotEncoder, StandardScaler  # type: ignore[import-untyped]
from tests.unit.exporting import exported, flights, score

from loopwright.errors import ParityFailed
from loopwright.pipeline.values import Values
from loopwright.testing import HandClock
from loopwright.testing.memory import MemoryBlobs
from loopwright.transform.asking import MOST_CALLS
from loopwright.transform.features import Calendar
from loopwright.transform.parity import Answers, answers, check_parity

FRAME = flights(200)
TARGETS: dict[str, Any] = {
    "strings": np.where(score(FRAME) > 3, "late", "on time"),
    "integers": (score(FRAME) > 3) + 4,
    "booleans": score(FRAME) > 3,
    "numbers": score(FRAME),
}


def stored_and_loaded(value: Any, folder: Path) -> Any:
    values = Values(blobs=MemoryBlobs(HandClock()))
    _, made = values.store(value, folder=folder, run_id="r", step="export", now=HandClock().now())
    return values.load(made[-1], folder)


@pytest.mark.parametrize("kind", TARGETS)
def test_answers_go_through_the_store(kind: str, tmp_path: Path) -> None:
    model = LinearRegression() if kind == "numbers" else LogisticRegression(max_iter=500)
    found = exported(model, TARGETS[kind], FRAME)
    given = answers(found, flights(100, seed=1))
    again: Answers = stored_and_loaded(given, tmp_path)
    assert_frame_equal(again.rows, given.rows)
    for field in fields(Answers):
        if field.name != "rows":
            np.testing.assert_array_equal(getattr(again, field.name), getattr(given, field.name))
    assert given.labels is None if kind == "numbers" else given.labels.dtype != object  # type: ignore[union-attr]
    graph = found.graph.SerializeToString()
    before = check_parity(graph, found.inputs, found.task, found.classes, given)
    assert check_parity(found.graph, found.inputs, found.task, found.classes, again) == before
    assert before.worst_transform < 1e-5


@pytest.mark.parametrize("change", ["labels", "predictions", "transform_differs"])
def test_an_answer_that_differs_is_shown_with_its_row(change: str) -> None:
    found = exported(LogisticRegression(max_iter=500), TARGETS["strings"], FRAME)
    given = answers(found, FRAME)
    assert given.labels is not None
    values: dict[str, Any] = {
        "labels": np.where(given.labels == "late", "on time", "late"),
        "predictions": given.predictions + 2e-5,
        "transform_differs": given.transform_differs + 1,
    }
    other = replace(given, **{change: values[change]})
    with pytest.raises(ParityFailed, match=r"(?s)differ on \d+ of \d+ rows; the worst:.*carrier.*allowed"):
        check_parity(found.graph, found.inputs, found.task, found.classes, other)


def test_a_sample_is_taken_of_many_rows_and_is_the_same_each_time() -> None:
    found = exported(LogisticRegression(max_iter=500), TARGETS["booleans"], FRAME)
    many = [answers(found, FRAME, most_rows=50, seed=seed) for seed in (0, 0, 1)]
    assert [one.held_rows for one in many] == [50, 50, 50]
    assert_frame_equal(many[0].rows, many[1].rows)
    assert not many[0].rows.equals(many[2].rows)


def test_rows_that_python_refuses_are_counted_even_where_they_are_many() -> None:
    frame = flights(400).drop_nulls()
    before = make_column_transformer(
        (StandardScaler(), ["distance"]), (Calendar("hour"), ["at"]), (OneHotEncoder(), ["carrier"])
    )
    found = exported(LogisticRegression(max_iter=500), score(frame) > 3, frame, before)
    held = flights(3000, seed=1)
    taken = held.drop_nulls(["distance", "at", "carrier"])
    given = answers(found, held)
    assert given.refuses_missing == ("carrier", "distance", "at")
    assert given.held_rows == 3000
    assert len(given.rows) == len(taken) + given.edge_rows - (given.refused - (3000 - len(taken)))
    check_parity(found.graph, found.inputs, found.task, found.classes, given)


def test_a_model_that_takes_no_held_out_row_is_refused() -> None:
    frame = flights(200).drop_nulls()
    found = exported(
        LogisticRegression(max_iter=500),
        score(frame) > 3,
        frame,
        make_column_transformer((OneHotEncoder(), ["origin"])),
    )
    with pytest.raises(ParityFailed, match="refuses each of the 30 rows"):
        answers(found, frame.head(30).with_columns(origin=pl.lit("EWR")))
    assert MOST_CALLS > 100


def test_a_graph_that_gives_other_shapes_or_does_not_run_is_refused() -> None:
    found = exported(LogisticRegression(max_iter=500), TARGETS["booleans"], FRAME)
    given = answers(found, FRAME)
    with pytest.raises(ParityFailed, match="have the shapes"):
        check_parity(found.graph, found.inputs, "multiclass", (0, 1, 2), given)
