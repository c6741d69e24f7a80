"""Precomputed answers: what a batch run predicted for a key is told for that key, as long as the same version answers.

A row may then be its key alone. A row that has the model's columns too is read as strictly as ever. A key that is not
there, and a version that is another than the one that made the answers, go to the model.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from loopwright.errors import StoreUnavailable
from loopwright.gateway.decode import Array, Decoded, Decoder, Problems, microseconds
from loopwright.gateway.model import LoadedModel
from loopwright.predictions import by_key
from loopwright.predictions.by_key import Answers
from loopwright.transform.predictor import Predictions

_logger = logging.getLogger(__name__)
ARM = "precomputed"
"""Of such an answer: no evidence in a comparison, for it was not made from what was sent."""
_PLACE = "place"


class Precomputed:
    """Call `refresh` now and then: what is newest in the workspace is taken up."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._answers: Mapping[str, Answers] = MappingProxyType({})
        self._paths: dict[str, Path] = {}
        self._models: dict[str, tuple[LoadedModel, LoadedModel]] = {}

    def refresh(self) -> None:
        """What cannot be read is logged, and counts as not there."""
        try:
            paths = by_key.newest(self._root)
        except OSError:
            return
        if paths != self._paths:
            kept = {loop: found for loop, found in self._answers.items() if paths.get(loop) == self._paths.get(loop)}
            self._answers = MappingProxyType({loop: kept.get(loop) or _opened(path) for loop, path in paths.items()})
            self._paths = paths

    def has(self, model: LoadedModel, rows: Sequence[Any]) -> bool:
        """Whether some of these rows, of the model's type, are answered from here."""
        answers = self._of(model)
        if answers is None:
            return False
        return any(_place(answers, model.typed.parts(row)[1]) is not None for row in rows)

    def split(
        self, model: LoadedModel, rows: Sequence[Any], numbers: Sequence[int]
    ) -> tuple[LoadedModel, list[int], list[int]]:
        """What answers from here as if it were a model, the rows of `numbers` that it answers to, and the others."""
        answers = self._of(model)
        if answers is None:
            return model, [], list(numbers)
        taken: list[int] = []
        rest: list[int] = []
        for number in numbers:
            row = rows[number]
            (taken if isinstance(row, dict) and _place(answers, row) is not None else rest).append(number)
        return (self._standing_in(model, answers) if taken else model), taken, rest

    def _of(self, model: LoadedModel) -> Answers | None:
        answers = self._answers.get(model.version.loop)
        return answers if answers is not None and answers.about.digest == model.version.digest else None

    def _standing_in(self, model: LoadedModel, answers: Answers) -> LoadedModel:
        known = self._models.get(model.version.loop)
        if known is None or known[0] is not model or known[1].predictor.answers is not answers:  # type: ignore[attr-defined]
            made = replace(
                model, predictor=LookUp(model, answers), decoder=Keys(model.decoder, answers), is_stoppable=False
            )
            known = self._models[model.version.loop] = (model, made)
        return known[1]


class Keys(Decoder):
    """Reads rows whose keys are known: each becomes the place of its answer."""

    def __init__(self, strict: Decoder, answers: Answers) -> None:
        super().__init__(strict.schema)
        self._strict = strict
        self._answers = answers
        sole = frozenset(answers.about.key)
        self._sole = None if sole >= set(strict.schema.names) else sole  # there a key says all that the model takes

    def decode(self, rows: Sequence[Any], numbers: Sequence[int] | None = None) -> Decoded | Problems:
        named = list(numbers or range(len(rows)))
        whole = [index for index, row in enumerate(rows) if row.keys() != self._sole]
        checked = self._strict.decode([rows[index] for index in whole], [named[index] for index in whole])
        if isinstance(checked, Problems):
            return checked
        told = dict(zip(whole, zip(checked.rows, checked.keys, strict=True), strict=True))
        parts = [told.get(index, ({}, row)) for index, row in enumerate(rows)]
        places = np.array([_place(self._answers, row) for row in rows], dtype=np.int64)
        return Decoded({_PLACE: places}, [row for row, _ in parts], [key for _, key in parts])


class LookUp:
    """Answers by place, as a predictor does by values."""

    def __init__(self, model: LoadedModel, answers: Answers) -> None:
        self.answers = answers
        self.task = model.predictor.task
        self.classes = tuple(model.predictor.classes)
        self._labels = np.array(self.classes, dtype=object if isinstance((*self.classes, 0)[0], str) else None)

    def run(self, feed: Mapping[str, Array]) -> Predictions:
        places, columns = feed[_PLACE], self.answers.columns
        if "value" in columns:
            return Predictions(task=self.task, value=np.asarray(columns["value"][places]))
        return Predictions(
            task=self.task,
            classes=self.classes,
            label=self._labels[columns["label"][places]],
            probabilities=np.asarray(columns["probabilities"][places]),
        )


def _place(answers: Answers, key: Mapping[str, Any] | None) -> int | None:
    if key is None:
        return None
    for name in answers.about.times:
        found = microseconds(key.get(name))
        if found is None:
            return None
        key = {**key, name: by_key.moment(found)}
    try:
        return answers.place(key)
    except (TypeError, ValueError):  # a key that is none: the model's reader tells why
        return None


def _opened(path: Path) -> Any:
    try:
        return Answers(path)
    except StoreUnavailable as error:
        _logger.warning("%s", error)
        return None
