"""A version loaded and ready to answer: fetched, verified, its columns checked, and tried on one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from loopwright.core.stores import Stores
from loopwright.core.version import Version
from loopwright.data.schema import Schema
from loopwright.errors import BundleRefused, DataError
from loopwright.gateway.decode import Array, Decoded, Decoder
from loopwright.gateway.example import example
from loopwright.registry.fetch import fetch
from loopwright.transform.bundle import SCHEMA, Bundle, read
from loopwright.transform.predictor import Predictor


class Predicted(Protocol):
    """What a graph gave for some rows."""

    @property
    def label(self) -> Array | None: ...
    @property
    def probabilities(self) -> Array | None: ...
    @property
    def value(self) -> Array | None: ...
    def take(self, row: int, /) -> Mapping[str, Any]:
        """One row's prediction, for JSON: label and probabilities, or value."""
        ...


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

    @property
    def schema(self) -> Schema:
        return self.decoder.schema


def load(stores: Stores, folder: Path, loop: str, number: int) -> LoadedModel:
    """Fetch a version to `folder`, verify it and try it. Raises `BundleRefused`, or what the store raises."""
    version = stores.versions.get(loop, str(number))
    bundle = read(fetch(stores, version, folder))
    decoder = Decoder(_schema(bundle, version))
    if bundle.manifest.inputs != decoder.inputs:
        raise BundleRefused(
            f"the graph of {version.name} takes other columns than its schema names", fix="run the loop again"
        )
    model = LoadedModel(version=version, predictor=Predictor.from_bundle(bundle), decoder=decoder)
    _try(model)
    return model


def _schema(bundle: Bundle, version: Version) -> Schema:
    try:
        return Schema.from_json(bundle.files[SCHEMA].decode())
    except (UnicodeDecodeError, DataError) as error:
        raise BundleRefused(
            f"the schema of {version.name} cannot be read: {error}", fix="run the loop again"
        ) from error


def _try(model: LoadedModel) -> None:
    """One row, so that a graph that cannot run never takes the place of one that can. The first is also the slowest."""
    decoded = model.decoder.decode([example(model.schema)])
    if not isinstance(decoded, Decoded):
        raise BundleRefused(f"the schema of {model.version.name} refuses its own example", fix="run the loop again")
    model.predictor.run(decoded.feed)
