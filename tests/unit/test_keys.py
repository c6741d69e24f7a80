"""Equal keys, equal outputs: what makes two parameters the same, and what is refused because nobody can tell."""

import enum
import hashlib
import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwright.errors import NotStorable, UsageError
from loopwright.pipeline.keys import as_json, canonical, digest, execution_key


class Mode(enum.Enum):
    FAST = 1
    SLOW = 2


class Code(enum.IntEnum):
    ONE = 1


class Name(enum.StrEnum):
    A = "a"


class Pair(NamedTuple):
    left: int
    right: int


@dataclass(frozen=True)
class Grid:
    rate: float
    depth: int = 3


@dataclass(frozen=True)
class Other:
    rate: float
    depth: int = 3


class Versioned:
    def __init__(self, version: int) -> None:
        self.version = version

    @property
    def digest(self) -> str:
        return f"version-{self.version}"


def key(value: Any) -> str:
    return execution_key(code="c", parameters={"p": value}, inputs={}, environment="e", seed=None)


MOMENT = datetime(2024, 3, 1, 12, tzinfo=ZoneInfo("Europe/Paris"))
DIFFERENT: list[Any] = [
    1, 1.0, True, "1", Decimal(1), 1 + 0j, Code.ONE, b"1", [1], (1,), {1}, frozenset({1}), {"1": None}, {1: None},
    0, 0.0, -0.0, False, None, "", "None", b"", [], (), {}, set(), float("nan"), "nan", float("inf"), float("-inf"),
    "a", Name.A, Mode.FAST, Mode.SLOW, "FAST", ["a", "b"], ["b", "a"], [["a"], "b"], ["a", ["b"]], Pair(1, 2), (1, 2),
    {"a": 1, "b": 2}, {"a": 2, "b": 1}, {"a": [1]}, [("a", 1)], Grid(0.1), Grid(0.1, 4), Other(0.1),
    {"rate": 0.1, "depth": 3},
    date(2013, 1, 1), "2013-01-01", datetime(2013, 1, 1, tzinfo=UTC), time(1), timedelta(days=1), timedelta(1, 1),
    Decimal("1.0"), Decimal("1.00"), {"float": "1.0"}, {"list": [1]}, Versioned(1), Versioned(2), "version-1",
    MOMENT, MOMENT.astimezone(ZoneInfo("Europe/Berlin")), "\udcff", 10**30, [None], [[]],
]  # fmt: skip


def test_what_differs_has_a_key_of_its_own() -> None:
    keys = [key(value) for value in DIFFERENT]
    twice = {repr(value) for value, each in zip(DIFFERENT, keys, strict=True) if keys.count(each) > 1}
    assert twice == set()


SAME: list[tuple[Any, Any]] = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}), ({1, 2, 3}, {3, 2, 1}), (float("nan"), math.nan),
    ({"x": {"b": 1, "a": (1,)}}, {"x": {"a": (1,), "b": 1}}), (Grid(0.1), Grid(rate=0.1, depth=3)),
    ({1: "a", "b": 2, None: 3}, {None: 3, "b": 2, 1: "a"}),
    (Path(__file__), Path(__file__).parent / "." / Path(__file__).name),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), SAME)
def test_what_is_the_same_has_the_same_key(left: Any, right: Any) -> None:
    assert key(left) == key(right)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.dates(), st.datetimes(),
    st.timedeltas(), st.decimals(), st.sampled_from(Mode), st.sampled_from([1, 1.0, True, "1", 0, 0.0, -0.0, False]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=2), inner, max_size=3), st.builds(Grid, inner, inner),
    ),
    max_leaves=6,
)  # fmt: skip


def same(left: Any, right: Any) -> bool:
    """Equal all the way down, and 1 is not True."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    return bool(left == right)


@given(VALUES, VALUES)
def test_keys_are_equal_just_when_the_canonical_values_are(left: Any, right: Any) -> None:
    assert (key(left) == key(right)) is same(canonical(left, "p"), canonical(right, "p"))
    if type(left) is not type(right):
        assert key(left) != key(right)


@given(st.dictionaries(st.text(max_size=3), SCALARS, max_size=4))
def test_the_order_of_names_does_not_count(value: dict[str, Any]) -> None:
    assert key(value) == key(dict(reversed(value.items())))
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})


@pytest.mark.parametrize("part", ["code", "inputs", "environment", "seed", "parameters"])
def test_each_part_of_a_key_counts(part: str) -> None:
    parts: dict[str, Any] = {
        "code": "c",
        "parameters": {"p": 1},
        "inputs": {"i": "d"},
        "environment": "e",
        "seed": None,
    }
    changed = {"code": "x", "parameters": {"q": 1}, "inputs": {"j": "d"}, "environment": "x", "seed": 0}
    assert execution_key(**parts) != execution_key(**parts | {part: changed[part]})


def test_inputs_are_known_by_name() -> None:
    def swapped(**inputs: str) -> str:
        return execution_key(code="", parameters={}, inputs=inputs, environment="", seed=None)

    assert swapped(a="1", b="2") != swapped(a="2", b="1")


def test_a_path_is_the_name_and_content_of_its_file(tmp_path: Path) -> None:
    file, copy, other = tmp_path / "a.csv", tmp_path / "copies" / "a.csv", tmp_path / "b.csv"
    copy.parent.mkdir()
    for path in (file, copy, other):
        path.write_text("1")
    before = key(file)
    assert before == key(copy)
    assert before != key(other)  # a step may read the name
    file.write_text("2")
    assert key(file) != before


def test_a_folder_is_the_content_and_names_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("1")
    seen = {key(tmp_path)}
    (tmp_path / "sub" / "a").write_text("2")
    seen.add(key(tmp_path))
    (tmp_path / "sub" / "a").rename(tmp_path / "sub" / "b")
    seen.add(key(tmp_path))
    (tmp_path / "c").write_text("")
    seen.add(key(tmp_path))
    (tmp_path / "c").unlink()
    assert key(tmp_path) in seen
    assert len(seen) == 4


def test_a_folder_reached_by_a_link_counts_too(tmp_path: Path) -> None:
    """As data that is kept elsewhere is often linked to: a change there must not go unnoticed."""
    data, store = tmp_path / "data", tmp_path / "store"
    data.mkdir()
    store.mkdir()
    (store / "a.csv").write_text("1")
    (data / "linked").symlink_to(store)
    before = key(data)
    (store / "a.csv").write_text("2")
    assert key(data) != before


def test_a_link_that_leads_back_is_followed_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "self").symlink_to(tmp_path)
    assert key(tmp_path) == key(tmp_path)


def test_a_path_to_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file or folder") as raised:
        key(tmp_path / "none.csv")
    assert raised.value.where == "parameter p"


class Hashlike:
    def digest(self) -> bytes:
        return b""


REFUSED: list[tuple[Any, str]] = [
    (object(), "property `digest`"), (len, "property `digest`"), (lambda: 1, "property `digest`"),
    (np.arange(3), "numpy.ndarray"), (np.float64(1), "numpy.float64"), (pl.DataFrame({"a": [1]}), "polars"),
    ([1, {"a": object()}], "parameter 'p'"), (bytearray(b"x"), "bytearray"), (int, "builtins.type"),
    (hashlib.sha256(), "HASH"), (Hashlike(), "Hashlike"), (Versioned, "builtins.type"), (Grid, "builtins.type"),
    (iter([1]), "list_iterator"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "told"), REFUSED)
def test_what_has_no_safe_identity_is_refused_with_what_to_do(value: Any, told: str) -> None:
    with pytest.raises(NotStorable) as raised:
        key(value)
    assert told in str(raised.value)
    assert raised.value.fix


def test_what_is_recorded_is_json() -> None:
    value = {
        "since": date(2013, 1, 1),
        1: (1, Mode.FAST),
        "path": Path("a"),
        "nan": math.nan,
        "deep": OrderedDict(a=None),
    }
    assert as_json(value) == {
        "since": "2013-01-01", "1": [1, "Mode.FAST"], "path": "a", "nan": "nan", "deep": {"a": None},
    }  # fmt: skip
