"""Columns may be called anything: what is no identifier, what skl2onnx calls its own, what a graph calls its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler  # type: ignore[import-untyped]
from tests.unit.exporting import compared

from loopwright.errors import DeclarationError
from loopwright.transform.export import export
from loopwright.transform.features import Calendar, Cross, HashBuckets, Log1p, Ratio, Words
from loopwright.transform.inputs import Inputs
from loopwright.transform.predictor import Predictor

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")

NAMES = [
    *("sepal length (cm)", "a b", "a_b", "1", "a:b", "a/b", "a,b", "a-b", "a.b", 'a"b', "a'b", "a%b", "{c}", "a\\b"),
    *(
        "a\nb",
        " ",
        "",
        "😀",
        "数",
        "x" * 300,
        "label",
        "value",
        "probabilities",
        "column:label",
        "column_1",
        "column_0",
    ),
    *("variable", "variable1", "input", "float_input", "scaled_input", "merged_columns", "transformed_column"),
    *("features", "transform/as_float", "model/label", "loopwright/0.0", "loopwright/features", "__a", "column_0"),
]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
RANDOM = np.random.default_rng(0)
COUNT = 60
NUMBERS = RANDOM.normal(size=(COUNT, 3))
YES = NUMBERS[:, 0] > 0


def check(model: Any, frame: pl.DataFrame) -> None:
    found = export(model.fit(Inputs.of(frame).frame(frame), YES), frame, YES)
    assert compared(found, frame).refused <= len(frame.columns) + 1
    columns = found.inputs.columns
    predictor = Predictor.from_graph(found.graph.SerializeToString(), columns, found.task, found.classes)
    assert len(predictor.run(found.inputs.feed(frame))) == COUNT


def numbers(names: list[str]) -> pl.DataFrame:
    return pl.DataFrame({name: NUMBERS[:, at % 3] for at, name in enumerate(names)})


@pytest.mark.parametrize("name", NAMES)
def test_a_column_may_have_any_name(name: str) -> None:
    for names in ([name, "other"], ["other", name]):
        frame = numbers(names)
        check(make_pipeline(StandardScaler(), LogisticRegression()), frame)
        one = make_column_transformer((StandardScaler(), [name]), remainder="passthrough")
        check(make_pipeline(one, LogisticRegression()), frame)
        check(LogisticRegression(), frame)


def test_all_of_these_names_stand_beside_one_another() -> None:
    check(make_pipeline(StandardScaler(), LogisticRegression()), numbers(NAMES))


@settings(max_examples=25, deadline=None)
@given(st.lists(TEXT, min_size=7, max_size=7, unique=True))
def test_every_feature_takes_columns_of_any_name(names: list[str]) -> None:
    a, b, c, s, t, at, note = names
    frame = pl.DataFrame(
        {
            **{name: NUMBERS[:, place] for place, name in enumerate((a, b, c))},
            s: ["x", "y", "z"] * 20,
            t: ["u", "v"] * 30,
            at: pl.Series(RANDOM.integers(0, 2 * 10**9, COUNT) * 1_000_000).cast(pl.Datetime("us", "UTC")),
            note: ["late again", "on time"] * 30,
        }
    )
    inner = make_column_transformer((StandardScaler(), [b]), (Log1p(), [a]), remainder="passthrough")
    before = make_column_transformer(
        (inner, [a, b, c]),
        (Ratio(), [a, c]),
        (OneHotEncoder(handle_unknown="ignore"), [s, t]),
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), [t]),
        (make_pipeline(Cross(), OneHotEncoder(handle_unknown="ignore")), [s, t]),
        (HashBuckets(7), [s]),
        (Calendar("hour", "year"), [at]),
        (Words(3, weight="tfidf"), [note]),
    )
    check(make_pipeline(before, LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1, min_child_samples=5)), frame)


def test_columns_may_be_chosen_by_number_mask_or_slice() -> None:
    frame = numbers(["a b", "a_b", "variable"])
    for columns in ([2, 0], [True, False, True], slice(1, 3), [-1]):
        one = make_column_transformer((StandardScaler(), columns), remainder="passthrough")
        check(make_pipeline(one, LogisticRegression()), frame)


def test_a_name_that_the_runtime_cannot_hold_is_refused() -> None:
    with pytest.raises(DeclarationError, match="has a NUL in its name"):
        Inputs.of(pl.DataFrame({"a\0b": [1.0]}))


def test_lightgbm_knows_columns_with_blanks() -> None:
    frame = numbers(["a b", "c d", "e"])
    fitted = LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1).fit(frame.select("e", "a b").cast(pl.Float32), YES)
    assert export(fitted, frame, YES).taken == ("e", "a b")
