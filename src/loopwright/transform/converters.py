"""The ONNX converters of `features` and of `OneHotEncoder` (skl2onnx's knows no infrequent categories).

Only operators of the sets in `OPSET`. Boosters' converters are onnxmltools', registered here too, as are those
that `trees` and `scalers` mend.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter  # type: ignore[import-untyped]
from skl2onnx.common.data_types import FloatTensorType, StringTensorType  # type: ignore[import-untyped]
from sklearn.preprocessing import OneHotEncoder  # type: ignore[import-untyped]

from loopwright.errors import DeclarationError
from loopwright.transform import features
from loopwright.transform.inputs import MISSING_TIME, Array
from loopwright.transform.nodes import Nodes, Skl
from loopwright.transform.scalers import register_scalers
from loopwright.transform.trees import register_trees


def _calendar(scope: Skl, operator: Skl, container: Skl) -> None:
    nodes = Nodes(scope, operator, container)
    found = [part for column in nodes.columns() for part in _calendar_parts(nodes, column, operator.raw_operator.parts)]
    nodes.finish(found)


def _calendar_parts(nodes: Nodes, column: str, wanted: tuple[str, ...]) -> list[str]:
    missing = nodes("Equal", column, nodes.const(MISSING_TIME, "q"))
    limit = nodes.const(features.LIMIT_TIME, "q"), nodes.const(-features.LIMIT_TIME, "q")
    inside = nodes("Max", nodes("Min", column, limit[0]), limit[1])
    parts = _Integers(nodes).calendar(nodes("Where", missing, nodes.const(0, "q"), inside))
    nan = nodes.const(np.nan)
    return [nodes("Where", missing, nan, nodes.cast(parts[part], TensorProto.FLOAT)) for part in wanted]


class _Integers:
    """Integer arithmetic as in `features.calendar`, line by line; division rounds down as Python's does."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes

    def number(self, value: int) -> str:
        return self.nodes.const(value, "q")

    def add(self, left: str, right: str | int) -> str:
        return self.nodes("Add", left, right if isinstance(right, str) else self.number(right))

    def times(self, left: str, right: int) -> str:
        return self.nodes("Mul", left, self.number(right))

    def minus(self, left: str, *rights: str) -> str:
        for right in rights:
            left = self.nodes("Sub", left, right)
        return left

    def mod(self, left: str, right: int) -> str:
        return self.nodes("Mod", left, self.number(right))

    def div(self, left: str, right: int) -> str:
        return self.nodes("Div", self.minus(left, self.mod(left, right)), self.number(right))

    def where(self, condition: str, left: str, right: str) -> str:
        return self.nodes("Where", condition, left, right)

    def less(self, left: str, right: int) -> str:
        return self.nodes("Less", left, self.number(right))

    def calendar(self, times: str) -> dict[str, str]:
        days = self.div(times, features.DAY)
        seconds = self.div(self.mod(times, features.DAY), 1_000_000)
        weekday = self.mod(self.add(days, 3), 7)
        return {**self._date(days), **self._clock(seconds), **self._week(weekday)}

    def _week(self, weekday: str) -> dict[str, str]:
        return {"weekday": weekday, "is_weekend": self.where(self.less(weekday, 5), self.number(0), self.number(1))}

    def _clock(self, seconds: str) -> dict[str, str]:
        minutes = self.div(seconds, 60)
        return {
            "hour": self.div(seconds, 3600),
            "minute": self.mod(minutes, 60),
            "second": self.mod(seconds, 60),
            "minute_of_day": minutes,
        }

    def _date(self, days: str) -> dict[str, str]:
        shifted = self.add(days, 719_468)
        era, of_era = self.div(shifted, 146_097), self.mod(shifted, 146_097)
        leaps = self.minus(of_era, self.div(of_era, 1460), self.div(of_era, 146_096))
        year = self.div(self.add(leaps, self.div(of_era, 36_524)), 365)
        whole = self.minus(self.add(self.times(year, 365), self.div(year, 4)), self.div(year, 100))
        of_year = self.minus(of_era, whole)
        march = self.div(self.add(self.times(of_year, 5), 2), 153)
        month = self.where(self.less(march, 10), self.add(march, 3), self.add(march, -9))
        early = self.less(month, 3)
        year = self.add(self.add(year, self.times(era, 400)), self.where(early, self.number(1), self.number(0)))
        later = self.add(self.add(of_year, 60), self._leap(year))
        return {
            "year": year,
            "quarter": self.div(self.add(month, 2), 3),
            "month": month,
            "day": self.add(self.minus(of_year, self.div(self.add(self.times(march, 153), 2), 5)), 1),
            "dayofyear": self.where(early, self.add(of_year, -305), later),
        }

    def _leap(self, year: str) -> str:
        one, zero = self.number(1), self.number(0)
        fourth, hundredth, four_hundredth = (self.less(self.mod(year, by), 1) for by in (4, 100, 400))
        return self.where(four_hundredth, one, self.where(hundredth, zero, self.where(fourth, one, zero)))


def _log1p(scope: Skl, operator: Skl, container: Skl) -> None:
    nodes = Nodes(scope, operator, container)
    found = []
    for column in nodes.columns(TensorProto.DOUBLE):
        size = nodes("Abs", column)
        series = nodes("Mul", size, nodes("Sub", nodes.const(1, "d"), nodes("Mul", size, nodes.const(0.5, "d"))))
        log = nodes("Log", nodes("Add", size, nodes.const(1, "d")))
        near = nodes("Where", nodes("Less", size, nodes.const(1e-6, "d")), series, log)
        signed = nodes("Where", nodes("Less", column, nodes.const(0, "d")), nodes("Neg", near), near)
        found.append(nodes.cast(signed, TensorProto.FLOAT))
    nodes.finish(found)


def _cross(scope: Skl, operator: Skl, container: Skl) -> None:
    """Each column to its place in its vocabulary, the places to one number, the number to the joined string."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    tables = [
        {text: place for place, text in enumerate(sorted(set(column)))}
        for column in zip(*model.combinations_, strict=True)
    ]
    code, keys = nodes.const(0, "q"), [0] * len(model.combinations_)
    for index, (column, table) in enumerate(zip(nodes.columns(), tables, strict=True)):
        size = len(table) + 1
        code = nodes("Add", nodes("Mul", code, nodes.const(size, "q")), nodes.lookup(column, table, len(table)))
        keys = [key * size + table[row[index]] for key, row in zip(keys, model.combinations_, strict=True)]
    if max(keys, default=0) >= 2**62:
        raise DeclarationError("too many combinations to number", where="Cross", fix="cross fewer columns")
    values: dict[str, Any] = {
        "keys_int64s": keys,
        "values_strings": [features.joined(row) for row in model.combinations_],
    }
    nodes.finish([nodes("LabelEncoder", code, domain="ai.onnx.ml", default_string="", **values)])


def _hash_buckets(scope: Skl, operator: Skl, container: Skl) -> None:
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    found = [
        nodes.lookup(column, table, model.n) for column, table in zip(nodes.columns(), model.buckets_, strict=True)
    ]
    nodes.finish([nodes.cast(column, TensorProto.FLOAT) for column in found])


def _words(scope: Skl, operator: Skl, container: Skl) -> None:
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    found = [_word_counts(nodes, column, forms) for column, forms in zip(nodes.columns(), model.forms_, strict=True)]
    if model.weight == "tfidf":
        found = [_word_weights(nodes, counts, idf) for counts, idf in zip(found, model.idf_, strict=True)]
    nodes.finish(found)


def _word_counts(nodes: Nodes, column: str, forms: dict[str, int]) -> str:
    """Several forms count in one place. A last row without a text is added and taken off: none alone are refused."""
    guarded = nodes("Concat", column, nodes.texts("", [1, 1]), axis=0)
    flat = nodes("Squeeze", guarded, nodes.const(np.array([1]), "q"))
    split = nodes("StringSplit", flat, delimiter=" ", unread=1)
    single: dict[str, Any] = {"min_gram_length": 1, "max_gram_length": 1, "max_skip_count": 0, "ngram_counts": [0]}
    pool: dict[str, Any] = {"pool_strings": list(forms), "ngram_indexes": list(forms.values())}
    counts = nodes("TfIdfVectorizer", split, mode="TF", **single, **pool)
    return nodes("Slice", counts, *(nodes.const(np.array([one]), "q") for one in (0, -1, 0)))


def _word_weights(nodes: Nodes, counts: str, idf: Array) -> str:
    """As `features._normed`, line by line: the length is summed in double, or the order of summing would show."""
    rows = nodes("Mul", counts, nodes.const(idf.reshape(1, -1)))
    squares = nodes("ReduceSumSquare", nodes.cast(rows, TensorProto.DOUBLE), nodes.const(np.array([1]), "q"))
    empty = nodes("Equal", squares, nodes.const(0, "d"))
    length = nodes("Sqrt", nodes("Where", empty, nodes.const(1, "d"), squares))
    return nodes("Div", rows, nodes.cast(length, TensorProto.FLOAT))


def _distance(scope: Skl, operator: Skl, container: Skl) -> None:
    nodes = Nodes(scope, operator, container)
    columns = nodes.columns(TensorProto.DOUBLE)
    limits = [nodes.const(limit, "d") for limit in (90, 360, 90, 360)]
    bounds = [nodes("LessOrEqual", nodes("Abs", one), limit) for one, limit in zip(columns, limits, strict=True)]
    inside = nodes("And", nodes("And", bounds[0], bounds[1]), nodes("And", bounds[2], bounds[3]))
    radian = nodes.const(np.pi / 180, "d")
    lat1, lon1, lat2, lon2 = (nodes("Mul", nodes("Where", inside, one, nodes.const(0, "d")), radian) for one in columns)
    across = nodes("Mul", nodes("Mul", nodes("Cos", lat1), nodes("Cos", lat2)), _half_sine(nodes, lon2, lon1))
    half = nodes("Add", _half_sine(nodes, lat2, lat1), across)
    root = nodes("Min", nodes("Sqrt", half), nodes.const(1, "d"))
    angle = nodes("Asin", nodes.cast(root, TensorProto.FLOAT))
    km = nodes("Mul", nodes.cast(angle, TensorProto.DOUBLE), nodes.const(2 * features.EARTH_KM, "d"))
    nodes.finish([nodes("Where", inside, nodes.cast(km, TensorProto.FLOAT), nodes.const(np.nan))])


def _half_sine(nodes: Nodes, left: str, right: str) -> str:
    sine = nodes("Sin", nodes("Div", nodes("Sub", left, right), nodes.const(2, "d")))
    return nodes("Mul", sine, sine)


def _ratio(scope: Skl, operator: Skl, container: Skl) -> None:
    nodes = Nodes(scope, operator, container)
    top, bottom = nodes.columns(TensorProto.FLOAT)
    nan, largest, lowest = nodes.const(np.nan), nodes.const(features.LARGEST), nodes.const(-features.LARGEST)
    ratio = nodes("Div", top, nodes("Where", nodes("Equal", bottom, nodes.const(0)), nan, bottom))
    below = nodes("Where", nodes("Greater", ratio, largest), largest, ratio)
    nodes.finish([nodes("Where", nodes("Less", below, lowest), lowest, below)])


def _one_hot(scope: Skl, operator: Skl, container: Skl) -> None:
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    strings = [text for one in operator.inputs for text in [isinstance(one.type, StringTensorType)] * one.type.shape[1]]
    found = []
    for index, (column, is_string) in enumerate(zip(nodes.columns(), strings, strict=True)):
        places, unknown, kept = _places(model, index)
        if is_string:
            table = {str(text): int(place) for text, place in zip(model.categories_[index], places, strict=True)}
            place = nodes.lookup(column, table, unknown)
        else:
            place = _place_of_number(
                nodes, nodes.cast(column, TensorProto.FLOAT), model.categories_[index], places, unknown
            )
        hot = nodes("Equal", place, nodes.const(kept.reshape(1, -1), "q"))
        found.append(nodes.cast(hot, TensorProto.FLOAT))
    nodes.finish(found)


def _places(model: Skl, index: int) -> tuple[Array, int, Array]:
    """The output column of each category before dropping, that of an unknown one (-1: none), and the columns kept."""
    mapping = model._default_to_infrequent_mappings[index] if model._infrequent_enabled else None
    places = np.arange(len(model.categories_[index])) if mapping is None else np.asarray(mapping)
    rare = model.handle_unknown in ("infrequent_if_exist", "warn") and mapping is not None
    unknown = int(places.max()) if rare else -1
    kept = np.unique(places)
    dropped = None if model.drop_idx_ is None else model._drop_idx_after_grouping[index]
    return places, unknown, kept if dropped is None else kept[kept != dropped]


def _place_of_number(nodes: Nodes, column: str, categories: Array, places: Array, unknown: int) -> str:
    """First match among the categories, NaN matching NaN."""
    place = nodes.const(unknown, "q")
    missing = nodes("IsNaN", column)
    for category, found in zip(categories.astype(np.float64), places, strict=True):
        same = missing if np.isnan(category) else nodes("Equal", column, nodes.const(category))
        place = nodes("Where", same, nodes.const(int(found), "q"), place)
    return place


def _shape(operator: Skl) -> None:
    model = operator.raw_operator
    width = len(model.get_feature_names_out())
    tensor = StringTensorType if isinstance(model, features.Cross) else FloatTensorType
    operator.outputs[0].type = tensor([None, width])


def register() -> None:
    """Tell skl2onnx about every converter; about a booster's once it is loaded: before, there is no model of it."""
    _register_own()
    for name in ("lightgbm", "xgboost"):
        if name in sys.modules:
            _register_booster(name)


@cache
def _register_own() -> None:
    table = {
        features.Calendar: _calendar,
        features.Log1p: _log1p,
        features.Cross: _cross,
        features.HashBuckets: _hash_buckets,
        features.Words: _words,
        features.Distance: _distance,
        features.Ratio: _ratio,
        OneHotEncoder: _one_hot,
    }
    for kind, convert in table.items():
        alias = "SklearnOneHotEncoder" if kind is OneHotEncoder else f"Loopwright{kind.__name__}"
        update_registered_converter(kind, alias, _shape, convert, overwrite=True)
    register_trees()
    register_scalers()


@cache
def _register_booster(name: str) -> None:
    from loopwright.transform import boosters

    boosters.REGISTER[name]()
