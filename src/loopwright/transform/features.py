"""What scikit-learn lacks for serving, as transformers whose ONNX converters stand in `converters`.

Each is a proper estimator for polars and pandas frames and for arrays, and gives float32 (`Cross`: strings), rounded as
the graph rounds. Missing is "" for strings, NaN for numbers, null for timestamps.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Self

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator, TransformerMixin  # type: ignore[import-untyped]
from sklearn.utils.validation import check_is_fitted  # type: ignore[import-untyped]

from loopwright.errors import DataError, DeclarationError, did_you_mean
from loopwright.transform.inputs import MISSING_TIME, Array, Frame, microseconds, polars_frame

PARTS = (
    "year quarter month day dayofyear weekday is_weekend hour minute second minute_of_day".split()  # noqa: SIM905
)
DAY = 86_400_000_000
EARTH_KM = 6371.0088
LARGEST = float(np.finfo(np.float32).max)
WEIGHTS = ("count", "tfidf")
LIMIT_TIME = 2**62  # about 146,000 years: beyond, arithmetic on microseconds would overflow


class _Feature(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Remembers the columns' names and count; children say how columns become features."""

    def fit(self, X: Frame, y: object = None) -> Self:  # noqa: N803
        names = _names(X)
        self._check(names)
        self.feature_names_in_ = np.asarray(names, dtype=object)
        self.n_features_in_ = len(names)
        self._learn(X)
        return self

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> Array:
        check_is_fitted(self, "n_features_in_")
        names = self.feature_names_in_ if input_features is None else input_features
        return np.asarray(self._named([str(name) for name in names]), dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_in_")

    def _check(self, names: list[str]) -> None:
        """Refuse columns that make no sense."""

    def _learn(self, X: Frame) -> None:  # noqa: N803
        """Keep what `transform` needs."""

    def _named(self, names: list[str]) -> list[str]:
        return names


class Calendar(_Feature):
    """Parts of timestamps in UTC as numbers; missing gives NaN. Columns come part by part for each timestamp.

    `weekday` counts from Monday = 0. Years follow the proleptic Gregorian calendar, before 1970 too.

    >>> at = pl.DataFrame({"at": ["1969-12-31T23:30:00", None]}).with_columns(pl.col("at").str.to_datetime())
    >>> Calendar("hour", "weekday", "year").fit_transform(at).tolist()
    [[23.0, 2.0, 1969.0], [nan, nan, nan]]
    """

    def __init__(self, *parts: str) -> None:
        self.parts = parts
        for part in parts:
            if part not in PARTS:
                raise DeclarationError(
                    f"{part!r} is no part of a timestamp", where="Calendar", fix=did_you_mean(part, PARTS)
                )
        if not parts:
            raise DeclarationError("no parts are named", where="Calendar", fix='write Calendar("hour", "weekday")')

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return ["parts"]

    def __sklearn_clone__(self) -> Calendar:
        return Calendar(*self.parts)

    def transform(self, X: Frame) -> Array:  # noqa: N803
        check_is_fitted(self)
        times = _times(X)
        missing = times == MISSING_TIME
        parts = calendar(np.where(missing, 0, np.clip(times, -LIMIT_TIME, LIMIT_TIME)))
        found = np.stack([parts[part] for part in self.parts], axis=2).astype(np.float32)
        found[missing] = np.nan
        return np.asarray(found.reshape(len(times), -1))

    def _named(self, names: list[str]) -> list[str]:
        return [f"{name}_{part}" for name in names for part in self.parts]


class Log1p(_Feature):
    """log(1 + x) for x >= 0, mirrored below zero (-log(1 - x)), so that every number has one and order is kept."""

    def transform(self, X: Frame) -> Array:  # noqa: N803
        check_is_fitted(self)
        values = _numbers(X).astype(np.float64)
        return np.asarray(np.copysign(np.log1p(np.abs(values)), values).astype(np.float32))


class Cross(_Feature):
    """The combination of string columns as one string column; combinations unseen at fit give "" (missing).

    The combinations seen at fit are kept as a vocabulary, for what comes after knows no others.

    >>> Cross().fit_transform(pl.DataFrame({"from": ["JFK", "LGA"], "to": ["LAX", ""]})).tolist()
    [['JFK|LAX'], ['LGA|']]
    """

    def _check(self, names: list[str]) -> None:
        _needs(self, len(names) >= 2, "two or more string columns", names)

    def _learn(self, X: Frame) -> None:  # noqa: N803
        rows = _strings(X)
        self.combinations_ = sorted({tuple(row) for row in rows.tolist()})

    def transform(self, X: Frame) -> Array:  # noqa: N803
        check_is_fitted(self)
        known = {row: joined(row) for row in self.combinations_}
        return np.asarray([[known.get(tuple(row), "")] for row in _strings(X).tolist()], dtype=object).reshape(-1, 1)

    def _named(self, names: list[str]) -> list[str]:
        return ["|".join(names)]


class HashBuckets(_Feature):
    """The bucket (0 to n - 1) of each string by a stable hash; n for strings unseen at fit, n + 1 for missing ones.

    No standard ONNX operator looks into a string, so the hash (BLAKE2b) is taken at fit of every string seen, and the
    graph carries that table: memory grows with the distinct strings, the number of features does not.
    """

    def __init__(self, n: int = 256) -> None:
        self.n = n

    def _check(self, names: list[str]) -> None:
        _needs(self, 1 <= self.n <= 2**24, "n from 1 to 2**24", names)

    def _learn(self, X: Frame) -> None:  # noqa: N803
        self.buckets_ = [
            {text: bucket(text, self.n) if text else self.n + 1 for text in sorted({*column, ""})}
            for column in _strings(X).T.tolist()
        ]

    def transform(self, X: Frame) -> Array:  # noqa: N803
        check_is_fitted(self)
        columns = _strings(X).T.tolist()
        found = [
            [table.get(text, self.n) for text in column] for table, column in zip(self.buckets_, columns, strict=True)
        ]
        return np.asarray(found, dtype=np.float32).T


class Words(_Feature):
    """How often each of the `n` words that were most frequent at fit stands in a text; one column a word, by name.

    Words are separated by spaces (U+0020). Every other character is part of a word, as tabs, line breaks and full stops
    are, because the one standard operator that splits texts agrees everywhere on nothing else: replace them before,
    for training and serving alike. Unseen words count nothing, nor does a missing text.

    With `lowercase`, words that differ in case alone are one word, known by the forms met at fit and as "word", "WORD",
    "Word"; any other mix is unseen. The graph carries the forms: the case that an operator makes hangs on the machine's
    locale. ÿ is not y: accents stay.

    `weight="tfidf"`: as scikit-learn's TfidfTransformer by default (smooth idf, l2 norm). A column that gives n words
    is n float32 a row, dense, in training too: 1,000 words on a million rows are 4 GB.

    >>> notes = pl.DataFrame({"note": ["Late again", "late LATE", "", "lAtE tonight"]})
    >>> Words(2).fit(notes.head(2)).transform(notes).tolist()
    [[1.0, 1.0], [0.0, 2.0], [0.0, 0.0], [0.0, 0.0]]
    """

    def __init__(self, n: int = 1000, *, weight: str = "count", lowercase: bool = True) -> None:
        self.n = n
        self.weight = weight
        self.lowercase = lowercase
        if weight not in WEIGHTS:
            raise DeclarationError(
                f"{weight!r} is no weight of a word", where="Words", fix=did_you_mean(weight, WEIGHTS)
            )

    def _check(self, names: list[str]) -> None:
        _needs(self, 1 <= self.n <= 2**16, "n from 1 to 2**16", names)

    def _learn(self, X: Frame) -> None:  # noqa: N803
        columns = _strings(X).T.tolist()
        found = [vocabulary(column, self.n, lowercase=self.lowercase) for column in columns]
        self.words_, self.forms_ = [words for words, _ in found], [forms for _, forms in found]
        for name, words in zip(_names(X), self.words_, strict=True):
            if not words:
                raise DataError(f"no text of the column {name!r} holds a word", where="Words", fix="leave it out")
        self.idf_ = [_idf(column, forms, len(words)) for column, (words, forms) in zip(columns, found, strict=True)]

    def transform(self, X: Frame) -> Array:  # noqa: N803
        check_is_fitted(self)
        each = zip(_strings(X).T.tolist(), self.forms_, self.words_, strict=True)
        found = [_counts(column, forms, len(words)) for column, forms, words in each]
        if self.weight == "tfidf":
            found = [_normed(counts * idf) for counts, idf in zip(found, self.idf_, strict=True)]
        return np.hstack(found)

    def _named(self, names: list[str]) -> list[str]:
        return [f"{name}_{word}" for name, words in zip(names, self.words_, strict=True) for word in words]


class Distance(_Feature):
    """Great-circle distance in km (haversine, mean Earth radius) of columns latitude, longitude, latitude, longitude.

    Degrees. NaN where one is missing, a latitude is beyond 90 or a longitude beyond 360. Coordinates are float32 in the
    graph (about 1 m), the arithmetic is double but for the last arcsine (relative error below 2e-5, near the antipode
    about 5 km).
    """

    def _check(self, names: list[str]) -> None:
        _needs(self, len(names) == 4, "four columns: latitude, longitude, latitude, longitude", names)

    def transform(self, X: Frame) -> Array:  # noqa: N803
        check_is_fitted(self)
        degrees = _numbers(X).astype(np.float64)
        inside = np.all(np.abs(degrees) <= np.array([90, 360, 90, 360]), axis=1)
        lat1, lon1, lat2, lon2 = np.deg2rad(np.where(inside.reshape(-1, 1), degrees, 0)).T
        half = np.sin((lat2 - lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
        km = 2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))
        return np.asarray(np.where(inside, km, np.nan).astype(np.float32).reshape(-1, 1))

    def _named(self, names: list[str]) -> list[str]:
        return [f"{names[0]}_distance_km"]


class Ratio(_Feature):
    """First column over the second: NaN where either is missing or the second is zero; never infinite.

    >>> Ratio().fit_transform(pl.DataFrame({"a": [1.0, 1.0], "b": [4.0, -0.0]})).tolist()
    [[0.25], [nan]]
    """

    def _check(self, names: list[str]) -> None:
        _needs(self, len(names) == 2, "two columns: numerator, denominator", names)

    def transform(self, X: Frame) -> Array:  # noqa: N803
        check_is_fitted(self)
        top, bottom = _numbers(X).T
        with np.errstate(all="ignore"):
            ratio = top / np.where(bottom == 0, np.float32(np.nan), bottom)
        return np.asarray(np.clip(ratio, -LARGEST, LARGEST).astype(np.float32).reshape(-1, 1))

    def _named(self, names: list[str]) -> list[str]:
        return [f"{names[0]}_per_{names[1]}"]


def calendar(times: Array) -> dict[str, Array]:
    """Every part of microseconds since 1970, by integer arithmetic alone (H. Hinnant, "chrono-compatible dates").

    >>> {part: int(found) for part, found in calendar(np.array(951_782_400_000_000)).items()}["day"]
    29
    """
    days, seconds = times // DAY, times % DAY // 1_000_000
    shifted = days + 719_468
    era, of_era = shifted // 146_097, shifted % 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    march = (5 * of_year + 2) // 153
    month = np.where(march < 10, march + 3, march - 9)
    year = year + era * 400 + (month <= 2)
    leap = ((year % 4 == 0) & (year % 100 != 0)) | (year % 400 == 0)
    weekday = (days + 3) % 7
    return {
        "year": year,
        "quarter": (month + 2) // 3,
        "month": month,
        "day": of_year - (153 * march + 2) // 5 + 1,
        "dayofyear": np.where(month <= 2, of_year - 305, of_year + 60 + leap),
        "weekday": weekday,
        "is_weekend": (weekday >= 5).astype(np.int64),
        "hour": seconds // 3600,
        "minute": seconds // 60 % 60,
        "second": seconds % 60,
        "minute_of_day": seconds // 60,
    }


def joined(row: Sequence[str]) -> str:
    """One string for a combination; two combinations never share one."""
    return "|".join(text.replace("\\", "\\\\").replace("|", "\\|") for text in row)


def vocabulary(texts: Sequence[str], n: int, *, lowercase: bool) -> tuple[list[str], dict[str, int]]:
    """The `n` most frequent words by name, and the place of each by every form that stands for it.

    >>> vocabulary(["b B a", "b c"], 2, lowercase=True)
    (['a', 'b'], {'A': 0, 'B': 1, 'a': 0, 'b': 1})
    """
    seen = Counter(word for text in texts for word in split(text))
    counts: Counter[str] = Counter()
    for form, count in seen.items():
        counts[form.lower() if lowercase else form] += count
    words = sorted(sorted(counts, key=lambda word: (-counts[word], word))[:n])
    places = {word: place for place, word in enumerate(words)}
    if not lowercase:
        return words, places
    made = {form for word in words for form in (word, word.upper(), word.capitalize())}
    return words, {form: places[form.lower()] for form in sorted(made.union(seen)) if form.lower() in places}


def split(text: str) -> list[str]:
    return [word for word in text.split(" ") if word]


def bucket(text: str, n: int) -> int:
    """The same on every machine and version.

    >>> bucket("UA", 16)
    10
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % n


def _counts(texts: list[str], forms: dict[str, int], width: int) -> Array:
    """Shape (texts, words), float32."""
    found = np.zeros(len(texts) * width, dtype=np.float32)
    at = (row * width + forms[word] for row, text in enumerate(texts) for word in split(text) if word in forms)
    np.add.at(found, np.fromiter(at, dtype=np.int64), np.float32(1))
    return found.reshape(len(texts), width)


def _idf(texts: list[str], forms: dict[str, int], width: int) -> Array:
    """Of each word, shape (words,), float32: log((1 + texts) / (1 + texts that hold it)) + 1."""
    holding = Counter(place for text in texts for place in {forms[word] for word in split(text) if word in forms})
    held = np.array([holding[place] for place in range(width)])
    return np.asarray(np.log((1 + len(texts)) / (1 + held)) + 1, dtype=np.float32)


def _normed(rows: Array) -> Array:
    """Each row by its length, which is summed in double; rows of zeros stay."""
    squares = np.square(rows, dtype=np.float64).sum(axis=1, keepdims=True)
    return np.asarray(rows / np.sqrt(np.where(squares == 0, 1, squares)).astype(np.float32))


def _needs(feature: _Feature, given: bool, needed: str, names: list[str]) -> None:
    if not given:
        raise DeclarationError(f"{feature!r} needs {needed}; it got {names}", where=type(feature).__name__)


def _names(rows: Frame) -> list[str]:
    if hasattr(rows, "columns"):
        return [str(name) for name in rows.columns]
    return [f"x{index}" for index in range(np.asarray(rows).shape[1])]


def _times(rows: Frame) -> Array:
    if isinstance(rows, np.ndarray) and rows.dtype != object:
        whole = rows if rows.dtype.kind == "i" else rows.astype("datetime64[us]").astype(np.int64)
        return np.asarray(whole, dtype=np.int64)  # NaT is the smallest int64: MISSING_TIME
    frame = pl.DataFrame(rows) if isinstance(rows, np.ndarray) else polars_frame(rows)
    return np.stack([microseconds(series) for series in frame], axis=1)


def _numbers(rows: Frame) -> Array:
    if isinstance(rows, pl.DataFrame):
        rows = rows.cast(pl.Float32).to_numpy()
    elif hasattr(rows, "iloc"):
        rows = rows.to_numpy(dtype=np.float32, na_value=np.nan)
    return np.asarray(rows, dtype=np.float32)


def _strings(rows: Frame) -> Array:
    array = np.asarray(rows if isinstance(rows, np.ndarray) else polars_frame(rows).to_numpy(), dtype=object)
    for cell in array.flat:
        if cell is not None and not isinstance(cell, str) and cell == cell:
            raise DeclarationError(
                f"{cell!r} is not a string", fix="cast the column to string: numbers enter the graph as float32"
            )
    return np.asarray(np.frompyfunc(lambda cell: cell if isinstance(cell, str) else "", 1, 1)(array), dtype=object)
