"""Answers to equal inputs, remembered: the same version, the same values to the bit, the same answer. Off unless asked.

It stands where the model stands, so that whoever asks, each answer still has its own id and its own line in the
journal. Nothing that is no number is remembered; of many rows at once nothing is looked up, for the model is faster.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from loopwright.gateway.decode import Array
from loopwright.gateway.model import LoadedModel, Predicts
from loopwright.transform.predictor import Predictions

MOST_ROWS = 64
"""In one call; a bigger one goes to the model as it is."""
Key = tuple[str, bytes, tuple[Any, ...]]
"""The version's digest, the numbers of the row, its texts."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a cache does."""

    hits: int
    misses: int
    entries: int


class Cache:
    """The answers asked for last, at most so many, of all versions together. Threads share it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[Key, Predictions] = OrderedDict()
        self._using = threading.Lock()
        self._hits = self._misses = 0

    def standing(self) -> Standing:
        return Standing(self._hits, self._misses, len(self._found))

    def take(self, keys: Sequence[Key]) -> list[Predictions | None]:
        """Of one row each; None for what is not there."""
        with self._using:
            found = [self._found.get(key) for key in keys]
            for key, one in zip(keys, found, strict=True):
                if one is not None:
                    self._found.move_to_end(key)
            known = sum(one is not None for one in found)
            self._hits, self._misses = self._hits + known, self._misses + len(keys) - known
        return found

    def put(self, keys: Sequence[Key], answers: Sequence[Predictions]) -> None:
        with self._using:
            self._found.update(zip(keys, answers, strict=True))
            while len(self._found) > self._most:
                self._found.popitem(last=False)


class Remembering:
    """A predictor that asks the cache first."""

    def __init__(self, predictor: Predicts, digest: str, cache: Cache) -> None:
        self._predictor = predictor
        self._digest = digest
        self._cache = cache
        self.task = predictor.task
        self.classes = predictor.classes

    def run(self, feed: Mapping[str, Array], options: Any = None) -> Any:
        """As the predictor's own; `options` are ONNX Runtime's, for what is not remembered."""
        keys = _keys(self._digest, feed)
        if keys is None:
            return self._ask(feed, options)
        found = self._cache.take(keys)
        missing = [place for place, one in enumerate(found) if one is None]
        if not missing:
            return _joined([one for one in found if one is not None])
        some = feed if len(missing) == len(keys) else {name: array[missing] for name, array in feed.items()}
        asked = self._ask(some, options)
        rows = _rows(asked, len(missing))
        if rows is None:
            return asked if len(missing) == len(keys) else self._ask(feed, options)
        self._cache.put([keys[place] for place in missing], rows)
        for place, row in zip(missing, rows, strict=True):
            found[place] = row
        return asked if len(missing) == len(keys) else _joined([one for one in found if one is not None])

    def _ask(self, feed: Mapping[str, Array], options: Any) -> Any:
        if options is None:
            return self._predictor.run(feed)
        return self._predictor.run(feed, options)  # type: ignore[call-arg]


def remembering(model: LoadedModel, cache: Cache | None) -> LoadedModel:
    """The model with a cache before it; without one, itself."""
    if cache is None:
        return model
    return replace(model, predictor=Remembering(model.predictor, model.version.digest, cache))


def _keys(digest: str, feed: Mapping[str, Array]) -> list[Key] | None:
    """None where there are too many rows to look up."""
    arrays = list(feed.values())
    count = len(arrays[0])
    if not 0 < count <= MOST_ROWS:
        return None
    texts = [array[:, 0].tolist() for array in arrays if array.dtype.kind not in "fi"]
    numbers = [np.ascontiguousarray(array).tobytes() for array in arrays if array.dtype.kind in "fi"]
    widths = [len(one) // count for one in numbers]
    return [
        (
            digest,
            b"".join(one[row * width : (row + 1) * width] for one, width in zip(numbers, widths, strict=True)),
            tuple(column[row] for column in texts),
        )
        for row in range(count)
    ]


def _rows(found: Any, count: int) -> list[Predictions] | None:
    """An answer of one row each; None where some are no numbers, or not as many as there must be."""
    parts = {"label": found.label, "probabilities": found.probabilities, "value": found.value}
    there = {name: part for name, part in parts.items() if part is not None}
    if any(len(part) != count for part in there.values()):
        return None
    if not all(np.isfinite(part).all() for name, part in there.items() if name != "label"):
        return None
    return [
        Predictions(
            task=found.task, classes=found.classes, **{n: part[row : row + 1].copy() for n, part in there.items()}
        )
        for row in range(count)
    ]


def _joined(rows: Sequence[Predictions]) -> Predictions:
    return rows[0] if len(rows) == 1 else Predictions.joined(rows)
