"""Which columns a fitted model takes, and in which order: those it was fitted on, by their names where it knows them.

A model fitted on some columns of many takes these alone, whatever else a row holds. A model that knows no names takes
all, in the order of the table; where it was fitted on fewer, which ones they were is not known.
"""

from __future__ import annotations

import re
from typing import Any

from loopwright.errors import DeclarationError, did_you_mean
from loopwright.transform.inputs import Inputs
from loopwright.transform.refusals import Estimator

_MADE_UP = re.compile(r"(?:x|f|Column_)[0-9]+")
_WHERE = "what train() returns"


def taken(first: Estimator, inputs: Inputs) -> tuple[str, ...]:
    """Of what a row meets first: the transform, or a bare model. Raises `DeclarationError` for unknown columns."""
    columns = [column.name for column in inputs.columns]
    names = _names(first, columns)
    count = len(names) or getattr(first, "n_features_in_", len(columns))
    if count != len(columns) and not names:
        raise DeclarationError(
            f"{type(first).__name__} was fitted on {count} columns without names, and the table has {len(columns)}"
            f" ({', '.join(columns)})",
            where=_WHERE,
            fix="fit it on a frame, so that it knows the names: data.X.select(...), without to_numpy()",
        )
    unknown = [name for name in names if name not in columns]
    if unknown:
        raise DeclarationError(
            f"{type(first).__name__} was fitted on {unknown[0]!r}, which is no column of the table",
            where=_WHERE,
            fix=f"make new columns within the pipeline, by transformers; {did_you_mean(unknown[0], columns)}",
        )
    return tuple(names or columns)


def knows_names(first: Estimator, inputs: Inputs) -> bool:
    """Whether it was fitted on a frame, and is to be asked with one."""
    return bool(_names(first, [column.name for column in inputs.columns]))


def _names(first: Estimator, columns: list[str]) -> list[str]:
    """As the table has them; none where the model has but made some up."""
    found = [str(name) for name in _told(first)]
    if all(_MADE_UP.fullmatch(name) for name in found) and not set(found) <= set(columns):
        return []
    plain = {_underscored(name): name for name in columns}
    return [name if name in columns or len(plain) < len(columns) else plain.get(name, name) for name in found]


def _told(first: Estimator) -> Any:
    names = getattr(first, "feature_names_in_", None)
    return () if names is None else names


def _underscored(name: str) -> str:
    """LightGBM knows columns so."""
    return re.sub(r"\s", "_", name)
