"""The version that training starts from, as a loop's `train` is given it: numbers and answers, and no code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopwright.transform.bundle import MODEL
from loopwright.transform.inputs import Frame
from loopwright.transform.predictor import Predictions, Predictor
from loopwright.transform.scoring import score

_FITTED = "model/"
"""Before what a graph holds of the fitted model; `transform/` before what it holds of the steps that lead there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """A champion, to go on from."""

    folder: Path
    """Its bundle."""
    parameters: Mapping[str, Any]
    """With which it was trained."""

    def weights(self) -> dict[str, NDArray[Any]]:
        """The numbers in its graph, by name. Those of a PyTorch module have the names of its `state_dict()`:
        `module.load_state_dict({name: torch.tensor(weights[name]) for name in module.state_dict()})`."""
        import onnx

        graph = onnx.load_from_string((self.folder / MODEL).read_bytes()).graph
        return {
            one.name.removeprefix(_FITTED): np.array(onnx.numpy_helper.to_array(one))  # a copy that may be written to
            for one in graph.initializer
        }

    def predict(self, rows: Frame) -> Predictions:
        """What it says of rows such as `TrainingData.X`: to learn what is left, or to begin from its scores.

        Raises `SchemaMismatch` for a column that is missing or of another kind, `BundleRefused` for a damaged bundle.
        """
        return Predictions.joined(score(Predictor.from_folder(self.folder, batches=True), [rows]))
