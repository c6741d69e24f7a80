"""Words in texts: the graph counts what Python counts, whatever the texts hold; the whole path takes such a model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from onnx.reference import ReferenceEvaluator
from skl2onnx import to_onnx, update_registered_converter  # type: ignore[import-untyped]
from skl2onnx.common.data_types import Int64TensorType, StringTensorType  # type: ignore[import-untyped]
from sklearn.base import clone  # type: ignore[import-untyped]
from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
from sklearn.feature_extraction.text import TfidfTransformer  # type: ignore[import-untyped]
from sklearn.impute import SimpleImputer  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]

import loopwright as lw
from loopwright.data.schema import Column as SchemaColumn
from loopwright.data.schema import Schema
from loopwright.errors import DataError, DeclarationError
from loopwright.gateway.decode import Decoded, Decoder
from loopwright.transform import bundle, scoring
from loopwright.transform.assembly import OPSET, matrix_of
from loopwright.transform.converters import register
from loopwright.transform.export import export
from loopwright.transform.exported import Exported
from loopwright.transform.features import Words, vocabulary
from loopwright.transform.inputs import Array, Inputs
from loopwright.transform.parity import answers, check_parity
from loopwright.transform.pieces import MOST_ROWS, MOST_WORDS, pieces
from loopwright.transform.predictor import Predictor

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

EXAMPLES = settings(max_examples=60, deadline=None)
ODD = 'aAbBéÉe\u0301ßẞΣ\u03c3ςİ\u0131ǅ😀👩\u200d🚀\u00a0\u3000\u2028\t\n\r\v\x1f|\\"\x00'
WORDS = st.sampled_from(["late", "Late", "LATE", "lAtE", "on", "on\ttime", "straße", "STRASSE", "ΟΔΟΣ", "x" * 5000])
TEXTS = (
    st.lists(WORDS | st.text(ODD, max_size=4), max_size=8).map(" ".join)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(["", " ", "    ", " late  late ", "late " * 3000, "\x00 late", "late\x00 on"])
)
NOTES = ["late late on", "Late bags", "", "bags on time", "   ", "on time"]


def built(words: Words, columns: int = 1) -> Any:
    register()
    model = to_onnx(words, initial_types=[("x", StringTensorType([None, columns]))], target_opset=OPSET)
    assert {one.domain for one in model.opset_import} <= {"", "ai.onnx.ml"}
    return model


def running(words: Words, columns: int = 1) -> Any:
    return ort.InferenceSession(built(words, columns).SerializeToString())


def of(texts: list[str]) -> Array:
    return np.array(texts, dtype=object).reshape(-1, 1)


@EXAMPLES
@given(st.lists(TEXTS, min_size=1), st.lists(TEXTS), st.booleans(), st.sampled_from([1, 3, 1000]))
@example(["ᲐᲑ აბ ÿ Ÿ ŸY"], ["აბ ᲐᲑ ŸY Ÿ"], True, 1000)  # capital letters that come after small ones
def test_the_graph_counts_what_python_counts(seen: list[str], new: list[str], lowercase: bool, n: int) -> None:
    known, rows = of([*seen, "a word"]), of([*seen, *new, *seen])
    for weight in ("count", "tfidf"):
        words = Words(n, weight=weight, lowercase=lowercase).fit(known)
        found = running(words).run(None, {"x": rows})[0]
        assert (found.dtype, found.shape) == (np.float32, (len(rows), len(words.words_[0])))
        np.testing.assert_array_equal(found, words.transform(rows))


@EXAMPLES
@given(st.lists(TEXTS, min_size=1))
def test_texts_as_bytes_of_fixed_width_are_counted_alike(texts: list[str]) -> None:
    words = Words().fit(of(["late on bags straße", *texts]))
    given = scoring.text_array(pl.Series(texts, dtype=pl.String))
    np.testing.assert_array_equal(running(words).run(None, {"x": given})[0], words.transform(of(texts)))


def test_the_standards_own_evaluator_agrees_with_the_runtime() -> None:
    texts = of([*NOTES, "on\ttime", "on\u00a0time LATE  late ", "lAtE", "😀 on"])
    for weight in ("count", "tfidf"):
        words = Words(weight=weight).fit(of([*NOTES, "on\ttime on\u00a0time"]))
        model = built(words)
        other = ReferenceEvaluator(model).run(None, {"x": texts})
        np.testing.assert_array_equal(np.asarray(other[0]), words.transform(texts))  # type: ignore[index]


@EXAMPLES
@given(st.lists(TEXTS, min_size=1))
def test_without_lowercase_words_are_what_stands_between_spaces(texts: list[str]) -> None:
    texts = [*texts, "a"]
    words = Words(lowercase=False).fit(of(texts))
    counted = [Counter(text.split(" ")) for text in texts]
    assert words.words_[0] == sorted(words.words_[0])
    expected = [[float(row[word]) for word in words.words_[0]] for row in counted]
    assert words.transform(of(texts)).tolist() == expected
    if len(words.words_[0]) < 1000:
        assert set(words.words_[0]) == {word for row in counted for word in row if word}


@EXAMPLES
@given(st.lists(TEXTS, min_size=1))
def test_every_form_of_a_word_is_that_word_in_small_letters(texts: list[str]) -> None:
    words, forms = vocabulary(texts, 1000, lowercase=True)
    assert set(forms.values()) == set(range(len(words)))
    assert all(words[place] == form.lower() for form, place in forms.items())
    assert vocabulary(texts[::-1], 1000, lowercase=True) == (words, forms)


def test_the_most_frequent_words_are_kept_and_of_equals_the_first_by_name() -> None:
    frame = pl.DataFrame({"note": ["late LATE b", "late a", "Late c b", None]})
    words = Words(3).fit(frame)
    assert words.get_feature_names_out().tolist() == ["note_a", "note_b", "note_late"]
    assert words.transform(frame).tolist() == [[0, 1, 2], [1, 0, 1], [0, 1, 1], [0, 0, 0]]
    told = Words(9, lowercase=False).fit(frame).get_feature_names_out().tolist()
    assert told == ["note_LATE", "note_Late", "note_a", "note_b", "note_c", "note_late"]


def test_the_weights_are_scikit_learns() -> None:
    counts = Words().fit_transform(of(NOTES))
    expected = TfidfTransformer().fit_transform(counts).toarray()
    np.testing.assert_allclose(Words(weight="tfidf").fit_transform(of(NOTES)), expected, rtol=1e-6)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_any_number_of_rows_and_columns_goes_through_the_graph(rows: int) -> None:
    known = np.array([["a b", "c"], ["b", "C d"]], dtype=object)
    words = Words(weight="tfidf").fit(known)
    given = np.array([["b zz", "c c"], ["", ""], ["a", "d"]], dtype=object)[:rows]
    found = running(words, 2).run(None, {"x": given})[0]
    assert found.shape == (rows, 4)
    np.testing.assert_array_equal(found, words.transform(given))


def test_words_are_a_proper_estimator_that_loopwright_exports() -> None:
    words = lw.Words(7, weight="tfidf", lowercase=False)
    copy = clone(words)
    assert copy.get_params() == {"n": 7, "weight": "tfidf", "lowercase": False}
    assert repr(copy) == repr(words)
    frame = pl.DataFrame({"note": NOTES, "size": [1.0] * 6})
    before = make_column_transformer((Words(2), ["note"]), ("passthrough", ["size"]), verbose_feature_names_out=False)
    for rows in (frame, frame.to_pandas()):
        assert clone(before).fit(rows).get_feature_names_out().tolist() == ["note_late", "note_on", "size"]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"(?s)'tf_idf' is no weight.*did you mean 'tfidf'"):
        Words(weight="tf_idf")
    with pytest.raises(DeclarationError, match="n from 1"):
        Words(0).fit(of(["a"]))
    with pytest.raises(DeclarationError, match="1 is not a string"):
        Words().fit(pl.DataFrame({"note": [1]}))
    with pytest.raises(DataError, match=r"(?s)no text of the column 'note' holds a word.*leave it out"):
        Words().fit(pl.DataFrame({"note": ["", "  ", None]}))


def notes(rows: int, seed: int = 0) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    known = np.array(["late", "Late", "LATE", "bags", "on", "time", "straße", "😀", "gate\tB", "new" + "er" * seed])
    texts = [" ".join(draw.choice(known, draw.integers(0, 12))) for _ in range(rows)]
    frame = pl.DataFrame(
        {"note": texts, "label": draw.choice(["a b", "B c", "d"], rows), "size": draw.gamma(2, 9, rows)}
    )
    return frame.with_columns(pl.when(pl.Series(draw.random(rows) > 0.1)).then(pl.all()).name.keep())


def target(frame: pl.DataFrame) -> Array:
    late = frame["note"].fill_null("").str.to_lowercase().str.count_matches("late")
    return np.asarray((late.cast(pl.Float64) + frame["size"].fill_null(10) / 20 > 2).to_numpy())


MODELS = [
    LogisticRegression(max_iter=2000),
    LGBMClassifier(n_estimators=20, min_child_samples=5, random_state=0, n_jobs=1, verbose=-1),
]


def trained(model: Any, weight: str, frame: pl.DataFrame) -> Exported:
    before = make_column_transformer((Words(50, weight=weight), ["note", "label"]), (SimpleImputer(), ["size"]))
    rows = Inputs.of(frame).frame(frame)
    return export(make_pipeline(before, clone(model)).fit(rows, target(frame)), frame, target(frame))


@pytest.mark.parametrize("weight", ["count", "tfidf"])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_model_on_words_and_numbers_goes_all_the_way(model: Any, weight: str, tmp_path: Path) -> None:
    found, held = trained(model, weight, notes(500)), notes(300, seed=1)
    graph, given = found.graph.SerializeToString(), answers(found, held)
    report = check_parity(graph, found.inputs, found.task, found.classes, given)
    assert (report.refused, report.labels_differ, report.refuses_missing) == (0, 0, ())
    assert report.worst_transform < 1e-7  # the imputer's mean
    (tmp_path / "model.onnx").write_bytes(graph)
    columns = [SchemaColumn(name=one, kind="string", missing=True) for one in ("note", "label")]
    schema = Schema(columns=(*columns, SchemaColumn(name="size", kind="float", missing=True)), key=("id",))
    (tmp_path / "schema.json").write_text(schema.to_json(), encoding="utf-8")
    sealed = bundle.write(
        tmp_path, name="notes", inputs=found.inputs.columns, task=found.task, classes=found.classes,
        parity={"rows": report.rows}, lineage={"run": "r"},
    )  # fmt: skip
    assert sealed.opset == OPSET
    assert {"StringSplit", "TfIdfVectorizer"} <= set(sealed.operators)
    predictor = Predictor.from_folder(tmp_path)
    decoded = Decoder(schema).decode(held.to_dicts())
    assert isinstance(decoded, Decoded)
    online = predictor.run(decoded.feed).scores
    (batch,) = scoring.score(predictor, [held])
    np.testing.assert_array_equal(batch.scores, online)
    for row in range(20):
        np.testing.assert_allclose(predictor.run(found.inputs.feed(held[row])).scores, online[row], atol=1e-6)
    assert np.abs(online - given.predictions[: len(held), 1]).max() <= 1e-5


def test_a_long_text_among_many_rows_is_a_piece_of_its_own_and_changes_no_answer() -> None:
    found = trained(MODELS[0], "count", notes(200))
    predictor = Predictor.from_graph(found.graph.SerializeToString(), found.inputs.columns, found.task, found.classes)
    long = pl.DataFrame({"note": ["late " * MOST_WORDS], "label": ["d"], "size": [1.0]})
    rows = pl.concat([notes(MOST_ROWS + 5, seed=2), long, notes(5, seed=3)])
    feed = scoring.batch_feed(Inputs(predictor.inputs), rows)
    assert [len(one["size"]) for one in pieces(feed)] == [MOST_ROWS, 5, 1, 5]
    together = predictor.run(feed)
    assert len(together) == len(rows)
    for row in (0, MOST_ROWS, MOST_ROWS + 5, MOST_ROWS + 10):
        alone = predictor.run(found.inputs.feed(rows[row])).scores
        np.testing.assert_allclose(together.scores[row], alone[0], atol=1e-6)
    assert len(predictor.run(found.inputs.feed(rows.head(0)))) == 0
    assert found.transform_graph is not None
    assert matrix_of(found.transform_graph, found.inputs, found.inputs.feed(rows)).shape[0] == len(rows)


@EXAMPLES
@given(st.lists(st.integers(0, 40_000), max_size=60))
def test_pieces_are_bounded_and_all_rows_in_their_order(spaces: list[int]) -> None:
    texts = of([" " * count for count in spaces])
    found = pieces({"note": texts, "at": np.arange(len(texts))})
    assert np.concatenate([one["at"] for one in found]).tolist() == list(range(len(texts)))
    for one in found:
        widest = max((text.count(" ") + 1 for text in one["note"].ravel()), default=0)
        assert len(one["at"]) <= 1 or len(one["at"]) * widest <= MOST_WORDS


def test_a_converter_that_writes_for_an_older_operator_set_is_refused() -> None:
    class Older(Words):
        """A transformer of somebody else's, whose converter is not told what to write for."""

    def convert(scope: Any, operator: Any, container: Any) -> None:
        given, wanted = operator.inputs[0].full_name, operator.outputs[0].full_name
        old = {"op_domain": "ai.onnx.ml", "op_version": 1, "classes_strings": ["a"], "default_int64": 0}
        container.add_node("LabelEncoder", [given], [wanted], name="encode", **old)

    def shape(operator: Any) -> None:
        operator.outputs[0].type = Int64TensorType([None, 1])

    update_registered_converter(Older, "TestsOlder", shape, convert)
    frame = notes(60)
    rows = Inputs.of(frame).frame(frame)
    before = make_column_transformer((Older(1), ["note"]))
    fitted = make_pipeline(before, LogisticRegression()).fit(rows, target(frame))
    with pytest.raises(DeclarationError, match=r"(?s)converter writes older \['LabelEncoder'\]"):
        export(fitted, frame, target(frame))
