"""The predictor says what the fitted model says, row by row and in batches, and needs next to nothing for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from onnx import TensorProto
from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder  # type: ignore[import-untyped]
from tests.unit.bundled import changed, forge, sealed

from loopwright.data.schema import Column as SchemaColumn
from loopwright.data.schema import Schema
from loopwright.errors import BundleRefused, SchemaMismatch
from loopwright.transform import bundle, scoring
from loopwright.transform.columns import MISSING_TIME
from loopwright.transform.export import export
from loopwright.transform.features import Calendar
from loopwright.transform.inputs import Inputs
from loopwright.transform.predictor import Predictions, Predictor

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")

TREES: dict[str, Any] = {"n_estimators": 15, "random_state": 0, "verbose": -1, "n_jobs": 1}
Array = np.ndarray[Any, np.dtype[Any]]


def flights(rows: int = 400, seed: int = 0) -> pl.DataFrame:
    """Columns called like outputs, texts beyond ASCII, and every kind of hole."""
    draw = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "label": draw.choice(["UA", "DL", "Łódź", "☃", ""], rows),
            "value": draw.gamma(2, 400, rows),
            "origin": draw.choice(["JFK", "LGA"], rows),
            "weekend": draw.random(rows) < 0.3,
            "at": pl.Series(draw.integers(0, 2 * 10**9, rows) * 1_000_000).cast(pl.Datetime("us", "UTC")),
        }
    )
    holes = [pl.when(pl.Series(draw.random(rows) > 0.1)).then(pl.col(name)).alias(name) for name in frame.columns]
    return frame.with_columns(holes)


def score(frame: pl.DataFrame) -> Array:
    late = frame["value"].fill_null(500) / 400 + (frame["label"] == "UA").fill_null(value=False).cast(pl.Float64)
    return (late + frame["at"].dt.hour().fill_null(12) / 12).to_numpy()


def encoded(model: Any, *, trees: bool) -> Any:
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["label"]),
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["origin"]),
        *([(Calendar("hour"), ["at"])] if trees else []),
        remainder="passthrough" if trees else "drop",
    )
    return make_pipeline(encode, model)


Labels = Callable[[pl.DataFrame], Array]
CASES: list[tuple[str, Any, bool, Labels, str]] = [
    ("binary", LGBMClassifier(**TREES), True, lambda f: (score(f) > 3).astype(int), "binary"),
    ("binary, linear", LogisticRegression(), False, lambda f: (score(f) > 3).astype(int), "binary"),
    ("booleans", LGBMClassifier(**TREES), True, lambda f: score(f) > 3, "binary"),
    ("text", LGBMClassifier(**TREES), True, lambda f: np.where(score(f) > 3, "late", "on time"), "binary"),
    ("text, three classes", LGBMClassifier(**TREES), True,
     lambda f: np.array(["soon", "on time", "späte"])[np.digitize(score(f), [2.0, 4.0])], "multiclass"),
    ("regression", LGBMRegressor(**TREES), True, score, "regression"),
]  # fmt: skip
every_task = pytest.mark.parametrize(
    ("model", "trees", "labels", "task"), [one[1:] for one in CASES], ids=[one[0] for one in CASES]
)


def fitted(model: Any, labels: Labels, *, trees: bool) -> tuple[Any, Inputs, bytes, tuple[Any, ...]]:
    frame = flights()
    pipeline = encoded(model, trees=trees)
    found = export(pipeline.fit(Inputs.of(frame).frame(frame), labels(frame)), frame, labels(frame))
    return pipeline, found.inputs, found.graph.SerializeToString(), tuple(found.classes)


@pytest.mark.parametrize(
    ("model", "trees", "labels", "task"), [one[1:] for one in CASES], ids=[one[0] for one in CASES]
)
def test_a_predictor_is_the_fitted_model(model: Any, trees: bool, labels: Labels, task: str) -> None:
    python, inputs, graph, classes = fitted(model, labels, trees=trees)
    frame = flights(300, seed=1)
    predictor = Predictor.from_graph(graph, inputs.columns, task, classes)
    found = predictor.run(inputs.feed(frame))
    rows = inputs.frame(frame)
    assert (len(found), found.task, predictor.manifest) == (300, task, None)
    if task == "regression":
        np.testing.assert_allclose(found.scores, python.predict(rows), rtol=1e-4)
        assert found.take(7) == {"value": found.scores[7]}
        return
    expected = python.predict_proba(rows)
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
    np.testing.assert_allclose(found.scores, expected[:, 1] if task == "binary" else expected, atol=1e-5)
    assert found.label is not None
    assert found.label.tolist() == python.predict(rows).tolist()
    assert set(found.label.tolist()) <= set(found.classes)


@pytest.mark.parametrize(
    ("model", "trees", "labels", "task"), [one[1:] for one in CASES], ids=[one[0] for one in CASES]
)
def test_one_row_is_told_as_json_would(model: Any, trees: bool, labels: Labels, task: str) -> None:
    _, inputs, graph, classes = fitted(model, labels, trees=trees)
    found = Predictor.from_graph(graph, inputs.columns, task, classes).run(inputs.feed(flights(3)))
    told = [found.take(row) for row in range(3)]
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    if task != "regression":
        assert type(told[0]["label"]) is type(classes[0])
        names = [json.dumps(one).strip('"') if isinstance(one, bool) else str(one) for one in classes]
        assert list(told[0]["probabilities"]) == names
        assert sum(told[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_a_bundle_predicts_as_its_graph_does(tmp_path: Path) -> None:
    _, inputs, graph, classes = fitted(CASES[4][1], CASES[4][3], trees=True)
    kinds: dict[str, Any] = {
        "label": "string",
        "value": "float",
        "origin": "string",
        "weekend": "boolean",
        "at": "time",
    }
    schema = Schema(columns=tuple(SchemaColumn(name=n, kind=k, missing=True) for n, k in kinds.items()))
    (tmp_path / "model.onnx").write_bytes(graph)
    (tmp_path / "schema.json").write_text(schema.to_json(), encoding="utf-8")
    written = bundle.write(
        tmp_path, name="delays", inputs=inputs.columns, task="multiclass", classes=classes, parity={}, lineage={}
    )
    predictor = Predictor.from_folder(tmp_path)
    assert (predictor.manifest, predictor.classes, predictor.inputs) == (written, classes, inputs.columns)
    feed = inputs.feed(flights(50))
    plain = Predictor.from_graph(graph, inputs.columns, "multiclass", classes).run(feed)
    assert np.array_equal(predictor.run(feed).scores, plain.scores)


@pytest.mark.parametrize(("threads", "rounding"), [(1, 0), (2, 1e-6)])
def test_scoring_in_chunks_is_scoring_at_once(threads: int, rounding: float) -> None:
    """With one thread to the bit: more of them add trees up in the order that suits the number of rows."""
    _, inputs, graph, classes = fitted(CASES[4][1], CASES[4][3], trees=True)
    predictor = Predictor.from_graph(graph, inputs.columns, "multiclass", classes, threads=threads, batches=True)
    frame = flights(scoring.CHUNK_ROWS + 1000, seed=2)
    whole = predictor.run(inputs.feed(frame))
    parts = list(scoring.score(predictor, [frame]))
    assert [len(part) for part in parts] == [scoring.CHUNK_ROWS, 1000]
    pieces: list[Any] = [frame[:5], frame[5:5], frame[5:900].to_arrow(), *frame[900:].to_arrow().to_batches()]
    for found in (Predictions.joined(parts), Predictions.joined(scoring.score(predictor, pieces))):
        np.testing.assert_allclose(found.scores, whole.scores, rtol=0, atol=rounding)
        assert found.label is not None
        assert (found.label.shape, found.task, found.classes) == ((len(frame),), "multiclass", classes)


def test_scoring_names_what_does_not_fit() -> None:
    _, inputs, graph, classes = fitted(CASES[5][1], CASES[5][3], trees=True)
    predictor = Predictor.from_graph(graph, inputs.columns, "regression", classes)
    for frame, why in (
        (flights(3).drop("at"), "needs the column 'at'"),
        (flights(3).with_columns(at=1), "'at' is Int"),
    ):
        with pytest.raises(SchemaMismatch, match=why):
            list(scoring.score(predictor, [frame]))
    assert list(scoring.score(predictor, [flights(0)])) == []


TEXTS = ["", "a", "é☃", "x" * 255, "same width", "same widht", "\0", "a\0b", "x" * 256, "🜁" * 100]


@pytest.mark.parametrize("texts", [TEXTS[:6], TEXTS, TEXTS[6:7], TEXTS[7:8], TEXTS[8:], ["", ""], ["a"], []], ids=len)
def test_texts_reach_the_graph_as_they_are(texts: list[str]) -> None:
    def echo(model: Any) -> None:
        """A graph that gives its text back, so that nothing of it can be lost unseen."""
        del model.graph.node[:], model.graph.output[:], model.graph.initializer[:]
        model.graph.node.add(op_type="Identity", input=["carrier"], output=["text"])
        out = model.graph.output.add(name="text")
        out.type.tensor_type.elem_type = TensorProto.STRING

    import onnxruntime as ort  # type: ignore[import-untyped]

    running = ort.InferenceSession(changed(echo), providers=["CPUExecutionProvider"])
    for series in (pl.Series(texts, dtype=pl.String), pl.Series(["cut", *texts], dtype=pl.String)[1:]):
        given = {"carrier": scoring.text_array(series), "distance": np.zeros((len(texts), 1), dtype=np.float32)}
        assert running.run(None, given)[0].ravel().tolist() == texts


def test_a_graph_in_no_bundle_is_admitted_as_one_in_a_bundle(tmp_path: Path) -> None:
    content = changed(lambda m: m.graph.node.add(op_type="ReadFile"))
    with pytest.raises(BundleRefused, match="no standard operator"):
        Predictor.from_folder(forge(tmp_path / "bad", content))
    with pytest.raises(BundleRefused, match="no standard operator"):
        Predictor.from_graph(content, [], "regression", ())


def test_missing_values_are_fed_as_the_contract_says() -> None:
    inputs = Inputs.of(flights())
    nothing = flights(1).select(pl.lit(None, dtype=kind).alias(name) for name, kind in flights(1).schema.items())
    feed = scoring.batch_feed(inputs, nothing)
    assert feed["column:label"].tolist() == [[b""]]
    assert np.isnan(feed["column:value"]).all()
    assert feed["at"].tolist() == [[MISSING_TIME]]
    assert list(scoring.batch_feed(inputs, pl.DataFrame(pl.from_arrow(pa.table(flights(2)))))) != []


def in_a_fresh_python(code: str, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)


def test_the_gateways_half_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, json\nimport loopwright.transform.predictor, loopwright.transform.bundle\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    loaded = set(json.loads(in_a_fresh_python(code, folder=tmp_path).stdout))
    assert loaded & {"polars", "pyarrow", "onnx", "sklearn", "deltalake", "sqlalchemy", "pandas", "scipy"} == set()
    assert "onnxruntime" in loaded


def test_predicting_writes_no_file_and_says_nothing(tmp_path: Path) -> None:
    """Not even when the runtime fails: its complaint is an exception's, not the log's."""
    sealed(tmp_path / "bundle")
    (tmp_path / "empty").mkdir()
    code = (
        "import sys, numpy as np\nfrom pathlib import Path\n"
        "from loopwright.transform.predictor import Predictor\n"
        "predictor = Predictor.from_folder(Path(sys.argv[1]))\n"
        "feed = {'carrier': np.array([['UA']]), 'distance': np.array([[4]], dtype=np.float32)}\n"
        "print(predictor.run(feed).take(0))\n"
        "try: predictor.run({**feed, 'distance': np.zeros((1, 9), dtype=np.float32)})\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    done = in_a_fresh_python(code, str(tmp_path / "bundle"), folder=tmp_path / "empty")
    assert done.stdout.split("\n")[:2] == ["{'value': 8.0}", "InvalidArgument"]
    assert done.stderr == ""
    assert list((tmp_path / "empty").iterdir()) == []
    assert bundle.verify(tmp_path / "bundle").name == "delays"
