"""Annotations at work: what fits, what is what it says, and what text becomes."""

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, Protocol, TypedDict, TypeVar

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwright.errors import UsageError
from loopwright.pipeline import types

T = TypeVar("T")
UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Animal: ...


class Dog(Animal): ...


class Barks(Protocol):
    def bark(self) -> str: ...


class Row(TypedDict):
    a: int


class Pair(NamedTuple):
    a: int


class Box(Generic[T]): ...


FITS: list[tuple[Any, Any, bool]] = [
    (int, int, True), (int, str, False), (bool, int, True), (int, float, True), (float, int, False),
    (int, bool, False),
    (Any, int, True), (int, Any, True), (int, object, True), (object, int, True), (None, None, True),
    (None, int, False),
    (int, int | None, True), (int | None, int, False), (int | None, int | str | None, True),
    (None, Optional[int], True),  # noqa: UP045
    (int | str, int, False), (bool | int, int, True), (str, int | float, False),
    (Literal["a"], str, True), (Literal["a"], int, False), (Literal["a"], Literal["a", "b"], True),
    (Literal["a", "c"], Literal["a", "b"], False), (str, Literal["a"], True),
    (Literal[1], Literal[True], False),
    (list[int], list[int], True), (list[int], list[str], False), (list[int], list[float], True),
    (list, list[int], True),
    (list[int], Sequence[int], True), (list[int], Iterable[str], True),
    (tuple[int, str], tuple[int, str], True),
    (tuple[int, str], tuple[str, int], False), (tuple[int, ...], tuple[int, int], True),
    (dict[str, int], dict[str, int], True),
    (dict[str, int], dict[str, str], False), (dict[str, int], Mapping[str, int], True),
    (list[int], dict[str, int], False),
    (list[list[int]], list[list[str]], False), (UserId, int, True), (UserId, str, False),
    (Annotated[int, "unit"], int, True),
    (int, Annotated[float, "unit"], True), (T, int, True), (Dog, Animal, True), (Animal, Dog, False),
    (Dog, Barks, True),
    (datetime, date, True), (date, datetime, False), (Path, str, False), (pl.DataFrame, pl.DataFrame, True),
    (pl.DataFrame, pl.LazyFrame, False), (np.ndarray, pl.DataFrame, False), (Row, dict, True),
    (dict, Row, True), (Row, str, False),
    (Pair, tuple, True), (Box[int], Box[str], False), (Colour, Colour, True), (Colour, str, False),
    (Callable[[int], str], Callable[[str], str], True), (type[int], type, True),
]  # fmt: skip


@pytest.mark.parametrize(("given_", "wanted", "expected"), FITS)
def test_whether_a_producer_fits_a_consumer(given_: Any, wanted: Any, expected: bool) -> None:
    assert types.fits(given_, wanted) is expected


@pytest.mark.parametrize("annotation", [each for row in FITS for each in row[:2]])
def test_everything_fits_itself_and_anything(annotation: Any) -> None:
    assert types.fits(annotation, annotation)
    assert types.fits(annotation, Any)
    assert types.fits(Any, annotation)


IS_A: list[tuple[Any, Any, bool]] = [
    (1, int, True), (True, int, True), (1, bool, False), (1, float, True), (True, float, False),
    (1.0, int, False),
    ("1", int, False), (None, None, True), (None, int, False), (None, int | None, True), (0, None, False),
    ("a", Literal["a"], True), ("c", Literal["a"], False), (1, Literal[True], False),
    (True, Literal[1], False),
    ([1], list[str], True), ((1,), list, False), ([], Sequence[int], True), ({}, Mapping[str, int], True),
    (3, UserId, True), ("3", UserId, False), (3, Annotated[int, "unit"], True), (object(), Any, True),
    (3, T, True),
    (Dog(), Animal, True), (Animal(), Barks, True), ({"a": 1}, Row, True), ([], Row, False),
    (Pair(1), tuple, True),
    (Colour.RED, Colour, True), ("r", Colour, False), (Path("a"), Path, True), ("a", Path, False),
    (datetime(2013, 1, 1, tzinfo=UTC), date, True), (date(2013, 1, 1), datetime, False),
    (np.float64(1), float, True), (pl.DataFrame(), pl.DataFrame, True), (np.zeros(2), Literal["a"], False),
    (np.zeros(2), Literal["a"] | np.ndarray, True), (len, Callable[..., int], True), (int, type[int], True),
    (Box(), Box[int], True),
]  # fmt: skip


@pytest.mark.parametrize(("value", "annotation", "expected"), IS_A)
def test_whether_a_value_is_what_was_promised(value: Any, annotation: Any, expected: bool) -> None:
    assert types.is_a(value, annotation) is expected


CONVERTED: list[tuple[Any, Any, Any]] = [
    ("5", int, 5), ("-5", int, -5), ("0.5", float, 0.5), ("1", float, 1.0), ("1e-3", float, 0.001),
    ("x", str, "x"), ("5", str, "5"),
    ("true", bool, True), ("No", bool, False), ("1", bool, True), ("0", bool, False), ("5", Any, "5"),
    ("5", object, "5"),
    ("none", int | None, None), ("", int | None, None), ("5", int | None, 5), ("x", int | str, "x"),
    ("5", int | str, 5),
    ("null", Optional[float], None), ("x", str | None, "x"), ("a", Literal["a", "b"], "a"),  # noqa: UP045
    ("2", Literal[1, 2], 2),
    ("a/b", Path, Path("a/b")), ("2013-01-01", date, date(2013, 1, 1)), ("12:30", time, time(12, 30)),
    ("2013-01-01T00:00:00+00:00", datetime, datetime(2013, 1, 1, tzinfo=UTC)),
    ("1.10", Decimal, Decimal("1.10")),
    ("RED", Colour, Colour.RED), ("r", Colour, Colour.RED), ("[1, 2]", list[int], [1, 2]),
    ("[1, 2]", tuple[int, ...], (1, 2)),
    ("[1, 1]", set[int], {1}), ("[1]", frozenset[int], frozenset({1})),
    ('{"a": 1}', dict[str, int], {"a": 1}),
    ('{"a": 1}', Mapping[str, int], {"a": 1}), ("[1]", Sequence[int], [1]), ("7", UserId, 7),
    ("7", Annotated[int, "unit"], 7),
    ('{"a": 1}', Row, {"a": 1}), (5, int, 5), (1, float, 1), (None, int | None, None), ([1], list[int], [1]),
    ([1, 2], tuple[int, int], (1, 2)), ([1], set[int], {1}), ([1, 2], tuple[int, int] | None, (1, 2)),
    ("b", Colour | None, Colour.BLUE),
    ("abc", T, "abc"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "annotation", "expected"), CONVERTED)
def test_a_parameter_is_read_as_its_annotation(value: Any, annotation: Any, expected: Any) -> None:
    found = types.convert(value, annotation, "parameter p")
    assert found == expected
    assert type(found) is type(expected)


BAD: list[tuple[Any, Any]] = [
    ("x", int), ("1.5", int), ("", int), ("x", float), ("maybe", bool), ("c", Literal["a", "b"]),
    ("2013-13-01", date),
    ("GREEN", Colour), ("[1", list[int]), ('{"a": 1}', list[int]), ("x", dict), ("x", int | None),
    ("x", Decimal),
    (1.5, int), ("5", Dog), (None, int), (True, float), ([1], dict), ("x", datetime),
    ({"a": 1}, tuple[int, int]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "annotation"), BAD)
def test_what_cannot_be_read_is_refused_with_its_place_and_type(value: Any, annotation: Any) -> None:
    with pytest.raises(UsageError) as raised:
        types.convert(value, annotation, "parameter p")
    assert f"{value!r} is no {types.name(annotation)}" in raised.value.what
    assert raised.value.where == "parameter p"
    assert types.name(annotation) in str(raised.value.fix)


@given(st.text())
def test_text_is_read_or_refused_whatever_it_says(text: str) -> None:
    for annotation in (
        int,
        float,
        bool,
        Path,
        date,
        datetime,
        Colour,
        Decimal,
        list[int],
        dict,
        Literal["a"],
        int | None,
    ):
        try:
            assert types.is_a(types.convert(text, annotation, "p"), annotation)
        except UsageError:
            continue


@given(st.one_of(st.integers(), st.floats(allow_nan=False), st.dates(), st.booleans(), st.decimals(allow_nan=False)))
def test_the_text_of_a_value_is_read_as_the_value(value: Any) -> None:
    assert types.convert(str(value), type(value), "p") == value


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (int, "int"), (None, "None"), (type(None), "None"), (list[int], "list[int]"), (int | None, "int | None"),
        (Optional[int], "Optional[int]"), (Literal["a"], "Literal['a']"), (pl.DataFrame, "DataFrame"), (Any, "Any"),  # noqa: UP045
    ],
)  # fmt: skip
def test_a_type_is_called_as_a_person_writes_it(annotation: Any, name: str) -> None:
    assert types.name(annotation) == name
