"""An ONNX graph that somebody else made is taken where it fits the columns and the target, or told what it lacks."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper
from tests.unit.exporting import compared

from loopwright.errors import DeclarationError, ParityFailed
from loopwright.transform.assembly import session
from loopwright.transform.export import export
from loopwright.transform.exported import Exported
from loopwright.transform.inputs import Array
from loopwright.transform.parity import answers

FLOAT, STRING, INT64, DOUBLE = TensorProto.FLOAT, TensorProto.STRING, TensorProto.INT64, TensorProto.DOUBLE
ROWS = pl.DataFrame({"a": [0.5, -1.0, 2.0, 0.0], "b": [1, 2, 3, 4], "c": ["x", "y", "", "x"]})
NUMBERS = ROWS.select("a", "b")
LATE = ["late", "on time", "late", "on time"]
THREE = [0, 1, 2, 0]


def value(name: str, element: int, shape: list[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, shape)


def graph(
    nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: dict[str, Any] | None = None, **more: Any
) -> onnx.ModelProto:
    made = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()]
    opset = more.get("opset", 18)
    return helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, made),
        opset_imports=[helper.make_opsetid(domain, one) for domain, one in more.get("opsets", {"": opset}).items()],
        ir_version=8,
    )


def linear(output: str, width: int, *, activation: str = "", opset: int = 18, element: int = FLOAT) -> onnx.ModelProto:
    """From the matrix `features` (two columns) to `width` numbers."""
    weights = {"w": np.linspace(-1, 1, 2 * width, dtype=np.float32).reshape(2, width)}
    last = "scores" if activation else output
    nodes = [helper.make_node("MatMul", ["features", "w"], [last])]
    if activation:
        nodes.append(helper.make_node(activation, ["scores"], [output]))
    given = [value("features", element, ["rows", 2])]
    return graph(nodes, given, [value(output, FLOAT, ["rows", width])], weights, opset=opset)


def answer(found: Exported, rows: pl.DataFrame) -> list[Array]:
    return [np.asarray(one) for one in session(found.graph).run(None, found.inputs.feed(rows))]


@pytest.mark.parametrize("opset", [13, 18, 22])
@pytest.mark.parametrize(
    ("target", "model", "task"),
    [
        (LATE, ("probabilities", 2, "Softmax"), "binary"),
        (LATE, ("probabilities", 1, "Sigmoid"), "binary"),
        (LATE, ("logits", 1, ""), "binary"),
        ([True, False, True, False], ("logits", 2, ""), "binary"),
        (THREE, ("logits", 3, ""), "multiclass"),
        (THREE, ("probabilities", 3, "Softmax"), "multiclass"),
        ([0.5, 1.5, 2.5, 3.0], ("value", 1, ""), "regression"),
        ([0.5, 1.5, 2.5, 3.0], ("anything", 1, ""), "regression"),
    ],
)
def test_a_graph_of_one_matrix_gets_the_usual_inputs_and_outputs(
    target: list[Any], model: tuple[str, int, str], task: str, opset: int
) -> None:
    name, width, activation = model
    given = linear(name, width, activation=activation, opset=opset)
    for form in (given, given.SerializeToString()):
        found = export(form, NUMBERS, target)
        assert found.task == task
        report = compared(found, NUMBERS)
        assert (report.rows, report.worst, report.refuses_missing) == (4, 0, ("a", "b"))
    assert [one.name for one in found.graph.graph.input] == ["a", "b"]
    scores = NUMBERS.to_numpy().astype(np.float32) @ np.linspace(-1, 1, 2 * width, dtype=np.float32).reshape(2, width)
    found_answers = answer(found, NUMBERS)
    if task == "regression":
        np.testing.assert_allclose(found_answers[0], scores[:, 0], rtol=1e-6)
        return
    powers = np.exp(np.hstack([np.zeros((4, 1)), scores]) if width == 1 else scores)
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found_answers[1], expected, rtol=1e-5)
    assert found_answers[0].tolist() == [found.classes[at] for at in expected.argmax(axis=1)]


def by_name(label: int = STRING) -> onnx.ModelProto:
    """Two columns by name; the label is its own."""
    nodes = [
        helper.make_node("LabelEncoder", ["c"], ["code"], domain="ai.onnx.ml", keys_strings=["x"], values_floats=[1.0]),
        helper.make_node("Add", ["a", "code"], ["b"]),
        helper.make_node("Sigmoid", ["b"], ["p"]),
        helper.make_node("Sub", ["one", "p"], ["q"]),
        helper.make_node("Concat", ["p", "q"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["best"], axis=1, keepdims=0),
        helper.make_node("Gather", ["names", "best"], ["label"]),
    ]
    names = np.array(["late", "on time"], dtype=object) if label == STRING else np.array([0, 1])
    return graph(
        nodes,
        [value("a", FLOAT, [None, 1]), value("c", STRING, ["n", 1])],
        [value("label", label, [None]), value("probabilities", FLOAT, [None, 2])],
        {"one": np.float32([[1]]), "names": names},  # type: ignore[arg-type]
        opsets={"": 18, "ai.onnx.ml": 3},
    )


def test_a_graph_of_named_columns_keeps_its_label_and_takes_every_column() -> None:
    found = export(by_name(), ROWS, LATE)
    assert [one.name for one in found.graph.graph.input] == ["a", "b", "c"]  # b is a column and was a name within
    label, probabilities = answer(found, ROWS)
    assert label.tolist() == np.where(probabilities[:, 0] >= probabilities[:, 1], "late", "on time").tolist()
    assert compared(found, ROWS).refuses_missing == ("a",)


def test_a_graph_that_answers_no_row_with_numbers_is_refused() -> None:
    found = export(linear("logits", 1), NUMBERS, LATE)
    with pytest.raises(ParityFailed, match="refuses each of the 4"):
        answers(found, NUMBERS.with_columns(a=None))


def changed(model: onnx.ModelProto, change: Any) -> onnx.ModelProto:
    change(model)
    return model


def outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")


FOREIGN = helper.make_node("Gelu", ["features"], ["value"], domain="com.microsoft")
WIDE = [value("features", FLOAT, ["rows", 2])]
REFUSED: list[tuple[Any, Any, str]] = [
    (linear("probabilities", 3, activation="Softmax"), LATE, "has the shape .4, 3. for 4 rows.*each of the 2 classes"),
    (linear("probabilities", 2), LATE, "do not sum to 1.*call the output 'logits'"),
    (linear("score", 2), LATE, "its outputs are score .FLOAT.*'probabilities' or 'logits'"),
    (linear("value", 2), [0.5, 1.5, 2.5, 3.0], "have the shapes .8,. for 4 rows"),
    (linear("value", 1, element=DOUBLE), [0.5, 1, 2, 3], "it is not valid|'features' is DOUBLE"),
    (linear("logits", 1, opset=12), LATE, "operator sets ai.onnx 12.*for ai.onnx 13 to 22"),
    (by_name(INT64), LATE, "label is INT64, the target's STRING.*leave the label out"),
    (by_name(), ["late", "early", "late", "early"], "labels that the target does not hold: .'on time'"),
    (graph([FOREIGN], WIDE, [value("value", FLOAT, [None, 2])], opsets={"": 18, "com.microsoft": 1}), LATE, "soft"),
    (changed(linear("logits", 1), outside), LATE, "weights in other files|not valid"),
    (graph([helper.make_node("Identity", ["d"], ["value"])], [value("d", FLOAT, [None, 1])],
           [value("value", FLOAT, [None, 1])]), LATE, "'d', which is no column.*name its inputs as the columns .a, b"),
    (graph([helper.make_node("Identity", ["a"], ["value"])], [value("a", FLOAT, [1, 1])],
           [value("value", FLOAT, [1, 1])]), LATE, r"'a' is FLOAT \[1, 1\].*any number of rows"),
    (graph([helper.make_node("Cast", ["a"], ["value"], to=1)], [value("a", INT64, [None, 1])],
           [value("value", FLOAT, [None, 1])]), LATE, r"'a' is INT64.*must enter as FLOAT"),
    (b"no graph", LATE, "no ONNX graph|not valid"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "target", "why"), REFUSED, ids=range(len(REFUSED)))
def test_a_graph_that_does_not_fit_is_told_what_is_needed(given: Any, target: Any, why: str) -> None:
    rows = ROWS if "a, b" in why or (isinstance(given, onnx.ModelProto) and "c" in names(given)) else NUMBERS
    with pytest.raises(DeclarationError, match=f"(?s){why}"):
        export(given, rows, target)


def names(model: onnx.ModelProto) -> list[str]:
    return [one.name for one in model.graph.input]


def test_strings_cannot_enter_as_one_matrix() -> None:
    with pytest.raises(DeclarationError, match="cannot take the string column 'c'"):
        export(linear("logits", 1), ROWS.select("a", "c"), LATE)
