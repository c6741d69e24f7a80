"""Whether the classes that a model knows are the target's: by name, or by number where labels had to be encoded.

XGBoost learns 0 to k - 1 alone; who has other labels encodes them first, as scikit-learn's LabelEncoder does, in sorted
order. Such a model gives the target's own classes out. That the order is the sorted one is seen on training rows: of
all ways to name the classes it must fit their labels best.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from loopwright.errors import DeclarationError
from loopwright.transform.exported import Target
from loopwright.transform.inputs import Array
from loopwright.transform.refusals import Estimator

_CLOSE = 1e-6


def is_encoded(model: Estimator, target: Target) -> bool:
    """Whether it knows the target's classes by number. Raises `DeclarationError` where it knows others."""
    known = getattr(model, "classes_", None)
    if known is None or target.task == "regression":
        return False
    found, wanted = np.asarray(known).tolist(), list(target.classes)
    if found == wanted:
        return False
    if found == list(range(len(wanted))):
        return True
    raise DeclarationError(
        f"{type(model).__name__} knows the classes {_told(found)}, and the target's are {_told(wanted)}",
        where="what train() returns",
        fix="fit it on data.y as it is; or on 0 to k - 1 for the sorted labels, as LabelEncoder makes them",
    )


def check_order(probabilities: Array, labels: Array, target: Target) -> None:
    """Of a model that knows classes by number: that they are in sorted order. Raises `DeclarationError`.

    `probabilities` (rows, classes) are the model's, `labels` (rows,) the target's, of training rows.
    """
    mean = np.stack([_mean(probabilities[labels == one]) for one in target.classes])
    rows, columns = linear_sum_assignment(mean, maximize=True)
    if mean.trace() >= mean[rows, columns].sum() - _CLOSE:
        return
    fits = {str(target.classes[row]): int(column) for row, column in zip(rows, columns, strict=True)}
    raise DeclarationError(
        f"the model knows its classes as 0 to {len(mean) - 1}, and training rows say that these are {fits}",
        where="what train() returns",
        fix="encode the labels in sorted order, as LabelEncoder does, so that the model's numbers can be named again",
    )


def numbered(target: Target) -> Array:
    """Each label's place among the classes, int64."""
    place = {one: at for at, one in enumerate(target.classes)}
    return np.asarray([place[one] for one in target.values.tolist()], dtype=np.int64)


def _mean(probabilities: Array) -> Array:
    """Of a class that a sample of the rows lacks, nothing is known."""
    width = probabilities.shape[1]
    return np.asarray(probabilities.mean(axis=0) if len(probabilities) else np.full(width, 1 / width))


def _told(classes: Sequence[object]) -> str:
    return f"{classes}" if len(classes) <= 10 else f"{classes[:10]} and {len(classes) - 10} more"
