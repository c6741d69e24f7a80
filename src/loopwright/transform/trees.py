"""scikit-learn's own trees, whose converters in skl2onnx need help with two things.

Where a missing number goes: skl2onnx 1.20 sends it right at every split of a forest, whatever the tree has learned. And
histogram boosting: it hands NumPy's integers and booleans to onnx 1.23, which takes Python's integers only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from skl2onnx.common._registration import get_converter, register_converter  # type: ignore[import-untyped]

Skl: TypeAlias = Any  # skl2onnx has no types: its scope, operator and container
Attributes: TypeAlias = dict[str, Any]
Mend: TypeAlias = Callable[[Skl, Attributes], Attributes]

_FORESTS = ("RandomForest", "ExtraTrees", "DecisionTree", "ExtraTree")


def register_trees() -> None:
    for role in ("Classifier", "Regressor"):
        _mend(f"SklearnHistGradientBoosting{role}", _with_plain_integers)
        for kind in _FORESTS:
            _mend(f"Sklearn{kind}{role}", _with_missing)


def _mend(alias: str, mend: Mend) -> None:
    convert = get_converter(alias)

    def converted(scope: Skl, operator: Skl, container: Skl) -> None:
        add = container.add_node

        def mended(*args: Any, **attributes: Any) -> None:
            add(*args, **mend(operator.raw_operator, attributes))

        container.add_node = mended
        try:
            convert(scope, operator, container)
        finally:
            container.add_node = add

    register_converter(alias, converted, overwrite=True, options=convert.get_allowed_options())


def _with_plain_integers(_: Skl, attributes: Attributes) -> Attributes:
    return {name: _plain(value) for name, value in attributes.items()}


def _plain(value: Any) -> Any:
    listed = isinstance(value, list)
    return [int(one) if isinstance(one, np.integer | np.bool | bool) else one for one in value] if listed else value


def _with_missing(model: Skl, attributes: Attributes) -> Attributes:
    if "nodes_missing_value_tracks_true" not in attributes:
        return attributes
    trees = [one.tree_ for one in getattr(model, "estimators_", [model])]
    left = [tree.missing_go_to_left for tree in trees]
    places = zip(attributes["nodes_treeids"], attributes["nodes_nodeids"], attributes["nodes_modes"], strict=True)
    tracks = [int(left[tree][node]) if mode != "LEAF" else 0 for tree, node, mode in places]
    return attributes | {"nodes_missing_value_tracks_true": tracks}
