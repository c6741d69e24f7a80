"""A model that predicts: one graph in ONNX Runtime, for a single row and a million alike. No other heavy library.

The graph is admitted before the runtime sees it, and given as bytes, never as a path: there is no folder from which it
could draw other files in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

from loopwright.transform.admission import Class, admit, expected_outputs
from loopwright.transform.bundle import MODEL, Bundle, read
from loopwright.transform.columns import Column
from loopwright.transform.manifest import Manifest, classes_of
from loopwright.transform.pieces import doubled, multiplies, run, splits

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Feed: TypeAlias = Mapping[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """What the model says of some rows, in their order."""

    task: str
    classes: tuple[Class, ...] = ()
    label: Array | None = None
    """`(rows,)`, of the classes' type; None for regression, as are the probabilities."""
    probabilities: Array | None = None
    """`(rows, classes)`, float32."""
    value: Array | None = None
    """`(rows,)`, float32; regression alone has it."""

    def __len__(self) -> int:
        found = self.label if self.value is None else self.value
        return 0 if found is None else len(found)

    @property
    def scores(self) -> Array:
        """What is judged, as float64: the second class's probability, those of all classes, or the value."""
        if self.probabilities is None:
            return np.asarray(self.value, dtype=np.float64)
        found = self.probabilities[:, 1] if self.task == "binary" else self.probabilities
        return found.astype(np.float64)

    @property
    def is_finite(self) -> bool:
        """Whether every probability and value is a number that JSON can say: no NaN, no infinity."""
        found = (values for values in (self.probabilities, self.value) if values is not None)
        return all(bool(np.isfinite(values).all()) for values in found)

    def take(self, row: int) -> dict[str, Any]:
        """One row for JSON; probabilities by class, whose names are text there."""
        if self.label is None or self.probabilities is None:
            return {"value": self.scores[row].item()}
        told = [class_text(one) for one in self.classes]
        label = self.label[row]
        return {
            "label": label.item() if isinstance(label, np.generic) else label,
            "probabilities": dict(zip(told, self.probabilities[row].tolist(), strict=True)),
        }

    @classmethod
    def joined(cls, parts: Iterable[Predictions]) -> Predictions:
        """Parts one after the other; at least one, all of one model."""
        given = list(parts)
        return cls(
            task=given[0].task,
            classes=given[0].classes,
            label=_joined([one.label for one in given]),
            probabilities=_joined([one.probabilities for one in given]),
            value=_joined([one.value for one in given]),
        )


class Predictor:
    """Runs one graph. Threads may share it: `run` keeps nothing between calls.

    `threads` is how many one call may use. One is fastest for a row, and alone gives a row the same answer to the bit
    whichever rows it comes with: more add trees up in the order that suits their number. A predictor for `batches`
    keeps the memory of one chunk for the next, and never gives it back.
    """

    def __init__(
        self,
        graph: bytes,
        inputs: Sequence[Column],
        task: str,
        classes: Sequence[object],
        *,
        threads: int = 1,
        batches: bool = False,
        manifest: Manifest | None = None,
    ) -> None:
        """The graph is trusted: see `from_folder` and `from_graph`."""
        self.inputs = tuple(inputs)
        self.task = task
        self.classes = classes_of(classes)
        self.manifest = manifest
        self._outputs = [one.name for one in expected_outputs(task, self.classes)]
        self._splits = splits(graph)
        self._doubles = multiplies(graph)
        self._session = _session(graph, threads, batches)

    @classmethod
    def from_folder(cls, folder: Path, *, threads: int = 1, batches: bool = False) -> Predictor:
        """The model of a bundle, verified. Raises `BundleRefused`."""
        return cls.from_bundle(read(folder), threads=threads, batches=batches)

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, threads: int = 1, batches: bool = False) -> Predictor:
        """The model of a bundle that was read already."""
        said = bundle.manifest
        return cls(
            bundle.files[MODEL], said.inputs, said.task, said.classes, threads=threads, batches=batches, manifest=said
        )

    @classmethod
    def from_graph(
        cls,
        graph: bytes,
        inputs: Sequence[Column],
        task: str,
        classes: Sequence[object],
        *,
        threads: int = 1,
        batches: bool = False,
    ) -> Predictor:
        """A graph that is in no bundle yet, admitted as one of a bundle. Raises `BundleRefused`."""
        admit(graph, inputs, task, classes_of(classes))
        return cls(graph, inputs, task, classes, threads=threads, batches=batches)

    def run(self, feed: Feed, options: Any = None) -> Predictions:
        """Predict. `feed` has for each graph input an array (rows, 1): text, float32, or int64 microseconds.

        A graph that splits texts gets the rows in pieces, so that one long text cannot fill the memory. `options` are
        ONNX Runtime's for this run: another thread stops it by them.
        """
        is_lone = self._doubles and len(next(iter(feed.values()))) == 1
        given = doubled(feed) if is_lone else feed
        found = run(self._session, self._outputs, given, in_pieces=self._splits, options=options)
        if is_lone:
            found = [one[:1] for one in found]
        return Predictions(task=self.task, classes=self.classes, **dict(zip(self._outputs, found, strict=True)))


def _session(graph: bytes, threads: int, batches: bool) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.enable_cpu_mem_arena = batches  # it never gives back what one large request took
    options.log_severity_level = 4
    # Otherwise bytes 4 to 8 choose the reader, and what was admitted is not what runs.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _joined(parts: Sequence[Array | None]) -> Array | None:
    there = [one for one in parts if one is not None]
    return np.concatenate(there) if there else None


def class_text(one: Class) -> str:
    """Booleans as JSON writes them."""
    return str(one).lower() if isinstance(one, bool) else str(one)
