"""One pass over the lines of a window, for all monitors at once: statistics of inputs and answers, times, scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loopwright.data.schema import Schema
from loopwright.data.statistics import Statistics, TableProfile
from loopwright.judge.catalog import Task
from loopwright.monitor.latency import Latencies
from loopwright.monitor.pieces import answers_of, rows_of, version_of
from loopwright.monitor.scores import Scores
from loopwright.monitor.watched import Known
from loopwright.predictions.batch import expected
from loopwright.predictions.window import same_inputs
from loopwright.transform.predictor import class_text

PREDICTED, SCORE = "predicted", "score"
_ANSWERS = {
    Task.REGRESSION: pa.schema([(PREDICTED, pa.float64())]),
    Task.BINARY: pa.schema([(PREDICTED, pa.string()), (SCORE, pa.float64())]),
    Task.MULTICLASS: pa.schema([(PREDICTED, pa.string()), (SCORE, pa.float64())]),
}


@dataclass(slots=True)
class Said:
    """What one version answered."""

    known: Known
    profile: TableProfile
    scores: Scores | None
    latencies: Latencies = field(default_factory=Latencies)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A window, looked at."""

    rows: Counter[int]
    """By version."""
    inputs: Statistics | None
    """Of the rows whose version takes what the champion takes; None without a contract to read them by."""
    wrong: Counter[str]
    """Rows by column whose values are of another type than the contract's."""
    unlike: int
    """Rows of versions that take other columns."""
    said: dict[int, Said]
    """By version, of those that are known."""

    @property
    def total(self) -> int:
        return self.rows.total()


def look(pieces: Iterable[pa.Table], contract: Schema | None, known: Callable[[int], Known | None]) -> Seen:
    """`contract` is the champion's."""
    inputs = None if contract is None else TableProfile.of_schema(expected(contract))
    rows, wrong, unlike, said = Counter[int](), Counter[str](), 0, dict[int, Said]()
    for piece in pieces:
        version = version_of(piece)
        rows[version] += piece.num_rows
        one = known(version)
        if one is None:
            continue
        if inputs is not None and contract is not None and same_inputs(one.contract, contract):
            batch, of_other_types = rows_of(piece, contract)
            inputs.update(batch)
            wrong.update(dict.fromkeys(of_other_types, piece.num_rows))
        else:
            unlike += piece.num_rows
        _add(said.setdefault(version, _nothing_said(one)), piece)
    if inputs is not None:
        inputs.flush()
    for each in said.values():
        each.profile.flush()
    return Seen(
        rows=rows,
        inputs=None if inputs is None else Statistics.of(inputs),
        wrong=wrong,
        unlike=unlike,
        said=said,
    )


def _nothing_said(known: Known) -> Said:
    has_shares = known.task is not Task.REGRESSION and len(known.classes) >= 2
    return Said(
        known=known,
        profile=TableProfile.of_schema(_ANSWERS[known.task]),
        scores=Scores(len(known.classes)) if has_shares else None,
    )


def _add(said: Said, piece: pa.Table) -> None:
    label, shares, value = answers_of(piece)
    if "latency_ms" in piece.column_names:
        said.latencies.add(piece["latency_ms"].cast(pa.float64()).to_numpy())
    if said.known.task is Task.REGRESSION:
        array = pa.nulls(piece.num_rows, pa.float64()) if value is None else value.cast(pa.float64())
        said.profile.update(pa.record_batch([array], schema=_ANSWERS[Task.REGRESSION]))
        return
    matrix = _matrix(said.known, shares, piece.num_rows)
    predicted = pa.nulls(piece.num_rows, pa.string()) if label is None else texts(label)
    score = matrix[:, 1] if len(said.known.classes) == 2 else matrix.max(axis=1, initial=0.0)
    arrays = [predicted, pa.array(score, from_pandas=True)]
    said.profile.update(pa.record_batch(arrays, schema=_ANSWERS[said.known.task]))
    if said.scores is not None and shares:
        said.scores.add(matrix)


def _matrix(known: Known, shares: dict[str, pa.Array], rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Probabilities `(rows, classes)` in the order of the classes; NaN for what is not there."""
    if not known.classes:
        return np.full((rows, 1), np.nan)
    columns = [
        shares[name].cast(pa.float64()).to_numpy(zero_copy_only=False) if name in shares else np.full(rows, np.nan)
        for name in known.classes
    ]
    return np.column_stack(columns)


def texts(label: pa.Array) -> pa.Array:
    """Labels as the names of classes: a look at each that is different."""
    coded = label.dictionary_encode()
    names = [None if one is None else text_of(one) for one in coded.dictionary.to_pylist()]
    return pc.take(pa.array(names, pa.string()), coded.indices)


def text_of(label: object) -> str:
    """As probabilities are named.

    >>> text_of(True), text_of(1.0), text_of("UA")
    ('true', '1', 'UA')
    """
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    return class_text(label) if isinstance(label, str | bool | int) else str(label)
