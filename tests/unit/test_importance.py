"""What inputs are worth: found in a model that is known, bounded, the same for the same seed, and read back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper, numpy_helper

from loopwright.judge.evaluate import evaluate
from loopwright.judge.evaluation import Evaluation, Importance, Importances
from loopwright.judge.importance import bounds, importances
from loopwright.transform.columns import Column, Kind
from loopwright.transform.predictor import Predictor

WEIGHTS = {"much": 3.0, "little": 1.0, "nothing": 0.0}


def a_predictor() -> Predictor:
    """The sum of its inputs, by their weights."""
    constants = [
        numpy_helper.from_array(np.array([[weight]], dtype=np.float32), f"w_{name}") for name, weight in WEIGHTS.items()
    ]
    shape = numpy_helper.from_array(np.array([-1], dtype=np.int64), "shape")
    nodes = [helper.make_node("Mul", [name, f"w_{name}"], [f"p_{name}"]) for name in WEIGHTS]
    nodes.append(helper.make_node("Sum", [f"p_{name}" for name in WEIGHTS], ["sum"]))
    nodes.append(helper.make_node("Reshape", ["sum", "shape"], ["value"]))
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in WEIGHTS]
    said = [helper.make_tensor_value_info("value", TensorProto.FLOAT, [None])]
    graph = helper.make_graph(nodes, "sum", given, said, [*constants, shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return Predictor.from_graph(
        model.SerializeToString(), [Column(name=name, kind=Kind.NUMBER) for name in WEIGHTS], "regression", ()
    )


def rows(count: int) -> pl.DataFrame:
    draw = np.random.default_rng(0)
    found = pl.DataFrame({name: draw.normal(size=count) for name in WEIGHTS})
    told = sum((found[name] * weight for name, weight in WEIGHTS.items()), pl.Series(np.zeros(count)))
    return found.with_columns(told.alias("y"))


@pytest.mark.parametrize("metric", ["mae", "r2"])
def test_the_input_that_says_most_comes_first_and_one_that_says_nothing_is_worth_nothing(metric: str) -> None:
    found = importances(a_predictor(), rows(5000), metric, label="y")
    assert found is not None
    assert [one.column for one in found.columns] == ["much", "little", "nothing"]
    assert (found.rows, found.left_out) == (2000, 0)
    shares = found.shares()
    assert shares["much"] == 1.0
    assert 0.05 < shares["little"] < 0.5
    assert shares["nothing"] == 0.0


def test_equal_seeds_find_equal_numbers() -> None:
    predictor, given = a_predictor(), rows(300)
    assert importances(predictor, given, "mae", label="y", seed=3) == importances(
        predictor, given, "mae", label="y", seed=3
    )


def test_a_metric_of_another_task_or_without_a_value_says_nothing() -> None:
    assert importances(a_predictor(), rows(300), "roc_auc", label="y") is None
    same = rows(300).with_columns(y=pl.lit(1.0))
    assert importances(a_predictor(), same, "r2", label="y") is None


@pytest.mark.parametrize("columns", [1, 20, 100, 300, 1000, 5000, 100_000])
def test_however_many_inputs_there_are_the_work_is_bounded(columns: int) -> None:
    most, tried = bounds(columns)
    assert 200 <= most <= 2000
    assert most * tried * columns <= 20_000_000
    assert tried == columns or columns > 300


def test_an_evaluation_keeps_it_and_an_older_one_lacks_it() -> None:
    draw = np.random.default_rng(0)
    plain = evaluate(draw.normal(size=300), draw.normal(size=300), task="regression", draws=20)
    worth = Importances(metric="mae", rows=300, columns=(Importance(column="x", drop=0.5),), left_out=1)
    told = replace(plain, importance=worth)
    assert Evaluation.from_json(told.to_json()) == told
    older = json.loads(plain.to_json())
    del older["importance"]
    assert Evaluation.from_json(json.dumps(older)) == plain
