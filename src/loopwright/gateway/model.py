"""A version loaded and ready to answer: fetched, verified, its columns checked, and tried on one row."""

from __future__ import annotations

import timeit
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from loopwright.core.stores import Stores
from loopwright.core.version import Version
from loopwright.data.schema import Schema
from loopwright.errors import BundleRefused, DataError
from loopwright.gateway.decode import Array, Decoded, Decoder
from loopwright.gateway.example import example
from loopwright.gateway.typed import Typed
from loopwright.registry.fetch import fetched
from loopwright.transform.bundle import MODEL, SCHEMA, Bundle
from loopwright.transform.predictor import Predictor

_TRIED_ROWS, _SLOW_ROW_SECONDS = 32, 0.005


class Predicted(Protocol):
    """What a graph gave for some rows."""

    @property
    def label(self) -> Array | None: ...
    @property
    def probabilities(self) -> Array | None: ...
    @property
    def value(self) -> Array | None: ...
    @property
    def is_finite(self) -> bool:
        """Whether every probability and value is a number that JSON can say."""
        ...

    def take(self, row: int, /) -> Mapping[str, Any]:
        """One row's prediction, for JSON: label and probabilities, or value."""
        ...


def has_shape(predicted: Predicted, count: int, classes: int) -> bool:
    """Whether it says for each of so many rows what a model of so many classes says: 0 of a regression."""
    label, shares, value = predicted.label, predicted.probabilities, predicted.value
    if classes == 0:
        return value is not None and bool(value.shape == (count,))
    if label is None or shares is None:
        return False
    return bool(shares.shape == (count, classes) and label.shape == (count,))


class Pace:
    """What a row takes a model among many, at the least that was seen. From any thread.

    >>> pace = Pace(0.002)
    >>> pace.note(1000, 1.0)
    >>> pace.seconds(50_000)
    50.0
    """

    __slots__ = ("_row_seconds",)

    def __init__(self, row_seconds: float) -> None:
        """0 where it is not known: then nothing is held against a request."""
        self._row_seconds = row_seconds

    def note(self, rows: int, seconds: float) -> None:
        """A run of so many rows took so long."""
        self._row_seconds = min(self._row_seconds, seconds / rows)

    def seconds(self, rows: int) -> float:
        """What so many rows take, at the least."""
        return rows * self._row_seconds


class Predicts(Protocol):
    """What is asked of a predictor."""

    @property
    def task(self) -> str: ...
    @property
    def classes(self) -> Sequence[Any]: ...
    def run(self, feed: Mapping[str, Array]) -> Predicted: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """Answers to rows of its schema."""

    version: Version
    predictor: Predicts
    decoder: Decoder
    typed: Typed = field(init=False)
    is_stoppable: bool = False
    """Whether a run takes options of ONNX Runtime, by which another thread stops it."""

    row_seconds: float = 0.0
    """What one row takes, as it was measured when it was loaded."""

    batch_row_seconds: float = 0.0
    """What a row takes among many, as it was measured then; 0 where it was not."""
    pace: Pace = field(init=False, compare=False)

    memory_bytes: int = 0
    """What it takes of memory, as it was measured when it was tried."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "typed", Typed(self.decoder.schema))
        object.__setattr__(self, "pace", Pace(self.batch_row_seconds))

    @property
    def schema(self) -> Schema:
        return self.decoder.schema


class Probe(Protocol):
    """Tries a bundle where it can do no harm, before it is opened here."""

    def __call__(self, bundle: Path, version: Version, /) -> int:
        """The bytes of memory that its model takes. Raises `BundleRefused` for one that is not to be opened."""
        ...


def load(stores: Stores, folder: Path, loop: str, number: int, probe: Probe | None = None) -> LoadedModel:
    """Fetch a version to `folder`, verify it and try it. Raises `BundleRefused`, or what the store raises."""
    version = stores.versions.get(loop, str(number))
    bundle = fetched(stores, version, folder)
    size = probe(folder / version.digest, version) if probe else len(bundle.files[MODEL])
    decoder, predictor = opened(bundle, version.name)
    row_seconds = tried(predictor, decoder, version.name)
    return LoadedModel(
        version=version,
        predictor=predictor,
        decoder=decoder,
        is_stoppable=True,
        row_seconds=row_seconds,
        batch_row_seconds=_among_many(predictor, decoder, version.name, row_seconds),
        memory_bytes=size,
    )


def opened(bundle: Bundle, name: str) -> tuple[Decoder, Predictor]:
    """What reads rows, and what predicts on them. Raises `BundleRefused`."""
    decoder = Decoder(_schema(bundle, name))
    if bundle.manifest.inputs != decoder.inputs:
        raise BundleRefused(f"the graph of {name} takes other columns than its schema names", fix="run the loop again")
    return decoder, Predictor.from_bundle(bundle, batches=True)  # who runs many rows gives the memory back: `watch`


def _among_many(predictor: Predicts, decoder: Decoder, name: str, row_seconds: float) -> float:
    """What one of many rows takes: of a slow model what it takes alone, for there little is done but once."""
    if row_seconds > _SLOW_ROW_SECONDS:
        return row_seconds
    return min(row_seconds, tried(predictor, decoder, name, _TRIED_ROWS) / _TRIED_ROWS)


def _schema(bundle: Bundle, name: str) -> Schema:
    try:
        return Schema.from_json(bundle.files[SCHEMA].decode())
    except (UnicodeDecodeError, DataError) as error:
        raise BundleRefused(f"the schema of {name} cannot be read: {error}", fix="run the loop again") from error


def tried(predictor: Predicts, decoder: Decoder, name: str, rows: int = 1) -> float:
    """How long it takes on its own example, so that a graph that cannot run never takes the place of one that can.

    In seconds. The first is the slowest, so it is not the one that counts.
    """
    decoded = decoder.decode([example(decoder.schema)] * rows)
    if not isinstance(decoded, Decoded):
        raise BundleRefused(f"the schema of {name} refuses its own example", fix="run the loop again")
    return min(timeit.repeat(lambda: predictor.run(decoded.feed), number=1, repeat=4))
