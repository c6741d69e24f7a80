"""A PyTorch module, bare or behind a transform, gives in ONNX what it gives in Python. Skipped without PyTorch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
from sklearn.impute import SimpleImputer  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import OneHotEncoder, StandardScaler  # type: ignore[import-untyped]
from tests.unit.exporting import compared, flights, score

from loopwright.errors import DeclarationError, ParityFailed
from loopwright.transform.export import export
from loopwright.transform.features import Calendar
from loopwright.transform.inputs import Inputs
from loopwright.transform.parity import answers

torch: Any = pytest.importorskip("torch")
nn = torch.nn
ROWS = flights(200).select("distance", "value", "weekend").cast(pl.Float32).fill_null(1)
SCORE = score(flights(200))


def layers(inputs: int, outputs: int) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.BatchNorm1d(inputs), nn.Linear(inputs, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, outputs)
    )


class Flat(nn.Module):  # type: ignore[misc, name-defined]
    """Gives (rows,)."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.inner = layers(inputs, 1)

    def forward(self, features: Any) -> Any:
        return self.inner(features).squeeze(1)


TARGETS: list[tuple[str, Any, str, Any]] = [
    ("one logit", layers(3, 1), "binary", SCORE > 3),
    ("flat logit", Flat(3), "binary", np.where(SCORE > 3, "late", "on time")),
    ("two logits", layers(3, 2), "binary", (SCORE > 3) + 7),
    ("three logits", layers(3, 3), "multiclass", np.array(["a", "b", "c"])[np.digitize(SCORE, [2, 4])]),
    ("value", layers(3, 1), "regression", SCORE),
    ("flat value", Flat(3), "regression", SCORE),
]


@pytest.mark.parametrize(("name", "module", "task", "target"), TARGETS, ids=[one[0] for one in TARGETS])
def test_a_bare_modules_graph_is_the_module(name: str, module: Any, task: str, target: Any) -> None:
    found = export(module.train(), ROWS, target)
    report = compared(found, ROWS)
    assert (found.task, report.refused) == (task, len(ROWS.columns) + 1)  # a missing number gives no number
    assert report.refuses_missing == tuple(ROWS.columns)
    assert all(part.training for part in module.modules())
    if task != "regression":
        assert found.classes == tuple(sorted(set(target.tolist())))


def test_a_module_stands_behind_a_transform() -> None:
    frame = flights(300)
    before = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["carrier", "origin"]),
        (make_pipeline(Calendar("hour", "weekday"), SimpleImputer()), ["at"]),
        (make_pipeline(SimpleImputer(), StandardScaler()), ["distance", "value", "weekend"]),
    )
    width = before.fit_transform(Inputs.of(frame).frame(frame)).shape[1]
    module = layers(width, 1).eval()
    module[0].train()
    found = export((before, module), frame, score(frame) > 3)
    report = compared(found, flights(200, seed=1))
    assert (report.refused, report.labels_differ) == (0, 0)
    assert [part.training for part in module] == [True, False, False, False, False]
    number = export((before, layers(width, 1)), frame, np.digitize(score(frame), [2, 4]), task="regression")
    assert (number.task, number.classes) == ("regression", ())
    compared(number, frame)


class Rowwise(nn.Module):  # type: ignore[misc, name-defined]
    """Looks at the other rows."""

    def forward(self, features: Any) -> Any:
        return features.sum(dim=1) - features.mean()


class Twice(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, features: Any) -> Any:
        return features, features


REFUSED = [
    (layers(3, 4), SCORE > 3, r"gives the shape \(2, 4\).*each of the 2 classes.*or the second one's"),
    (layers(3, 1), np.digitize(SCORE, [2, 4]), 'each of the 3 classes.*say task="regression"'),
    (layers(3, 2), SCORE, r"one number a row"),
    (layers(5, 1), SCORE, r"does not take float32 of shape \(2, 3\)"),
    (layers(3, 1).double(), SCORE, "does not take float32.*with float32 weights"),
    (Twice(), SCORE, "gives a tuple.*one tensor"),
    (layers(3, 1).state_dict(), SCORE, "no fitted model|torch"),
    ((StandardScaler(), layers(3, 1)), SCORE, "StandardScaler is not fitted"),
]


@pytest.mark.parametrize(("model", "target", "why"), REFUSED, ids=range(len(REFUSED)))
def test_a_module_that_does_not_fit_is_told_what_is_needed(model: Any, target: Any, why: str) -> None:
    with pytest.raises(DeclarationError, match=f"(?s){why}"):
        export(model, ROWS, target)


def test_a_module_takes_no_weights_and_no_strings() -> None:
    with pytest.raises(DeclarationError, match="only an estimator is fitted again"):
        export(layers(3, 1), ROWS, SCORE, sample_weight=SCORE)
    with pytest.raises(DeclarationError, match="cannot take the string column 'carrier'"):
        export(layers(3, 1), flights(9), SCORE[:9])


class Branching(nn.Module):  # type: ignore[misc, name-defined]
    """Its path depends on the numbers: a trace keeps one of the two."""

    def forward(self, features: Any) -> Any:
        return features.sum(dim=1) if float(features[0, 0]) > 700 else features.sum(dim=1) * 2


def test_a_module_that_a_trace_cannot_hold_is_found_by_parity() -> None:
    found = export(Branching(), ROWS, SCORE)
    assert answers(found, ROWS.filter(pl.col("distance") > 700)).predictions.shape[1] == 1
    with pytest.raises(ParityFailed, match="differ on"):
        compared(found, ROWS.filter(pl.col("distance") > 700))


def test_no_export_of_an_estimator_imports_pytorch() -> None:
    code = "import sys, loopwright.transform.export as e; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
