"""Statistics as states: what they say of any values, and that neither batches nor the order of merging can be seen."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopwright.data.distinct import hash_texts
from loopwright.data.profile import Profile, duplicates, merged
from loopwright.data.summary import ColumnStatistics
from loopwright.errors import DataError

FLOATS = st.one_of(
    st.none(),
    st.floats(),
    st.floats(-1e-300, 1e-300),
    st.sampled_from([0.0, -0.0, 1.0, 1e308, -1e308, 5e-324, -5e-324, math.inf, -math.inf, math.nan]),
)
INTEGERS = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-10, 10))
TEXTS = st.one_of(st.none(), st.text(max_size=12), st.sampled_from(["", "UA", "🛩️ " * 40, "a" * 300, "\0", "\\0"]))
STRATEGIES = {
    "float": FLOATS,
    "integer": INTEGERS,
    "time": INTEGERS,
    "string": TEXTS,
    "boolean": st.sampled_from([None, True, False]),
    "list": st.one_of(st.none(), st.lists(st.integers(), max_size=5)),
}
EXACT = ("integer", "time", "string", "boolean", "list")


def described(kind: str, values: Any) -> ColumnStatistics:
    return profiled(kind, values).column("x")


def profiled(kind: Any, *batches: Any) -> Profile:
    profile = Profile({"x": kind})
    for batch in batches:
        profile.update({"x": batch})
    return profile


@st.composite
def batches(draw: st.DrawFn, kind: str, count: int = 3) -> list[list[Any]]:
    return [draw(st.lists(STRATEGIES[kind], max_size=30)) for _ in range(count)]


@given(st.lists(FLOATS))
def test_floats_are_described_as_numpy_would(values: list[float | None]) -> None:
    found = described("float", values)
    known = np.array([value for value in values if value is not None], dtype=float)
    finite = known[np.isfinite(known)]
    assert (found.rows, found.nulls, found.missing) == (
        len(values), values.count(None), values.count(None) + np.isnan(known).sum(),
    )  # fmt: skip
    assert found.there == len(finite)
    assert (found.nan, found.plus_infinity, found.minus_infinity) == (
        np.isnan(known).sum(), (known == np.inf).sum(), (known == -np.inf).sum(),
    )  # fmt: skip
    assert (found.zeros, found.negatives) == ((finite == 0).sum(), (finite < 0).sum())
    assert found.distinct == len(set(finite.tolist()))
    if len(finite):
        assert (found.low, found.high) == (finite.min(), finite.max())
        scale = float(np.abs(finite).max())
        assert found.mean is not None
        assert found.mean / 2 == pytest.approx(math.fsum(finite / 2 / len(finite)), abs=1e-14 * scale + 1e-320)
        assert found.quantiles is not None
        assert all(found.low <= value <= found.high for value in found.quantiles.values())  # type: ignore[operator]
        assert found.values == dict(Counter(map(repr, (finite + 0.0).tolist())))


@given(st.lists(INTEGERS))
def test_whole_numbers_are_described_exactly(values: list[int | None]) -> None:
    found = described("integer", values)
    known = [value for value in values if value is not None]
    assert (found.rows, found.missing) == (len(values), len(values) - len(known))
    assert (found.zeros, found.negatives) == (known.count(0), sum(value < 0 for value in known))
    assert found.distinct == len(set(known))
    if known:
        assert (found.low, found.high, found.mean) == (min(known), max(known), sum(known) / len(known))
    if len(known) > 1:
        squares = len(known) * sum(value * value for value in known) - sum(known) ** 2
        assert found.deviation == pytest.approx(math.sqrt(squares / len(known) / (len(known) - 1)), rel=1e-14)


@given(st.lists(st.integers(0, 4000), min_size=1))
def test_quantiles_of_whole_numbers_near_each_other_are_values_of_that_rank(values: list[int]) -> None:
    found = described("integer", values).quantiles
    assert found == {share: np.quantile(values, float(share), method="inverted_cdf") for share in found or {}}


@given(st.lists(TEXTS))
def test_strings_are_counted_and_measured(values: list[str | None]) -> None:
    found = described("string", values)
    known = [value for value in values if value]
    assert (found.nulls, found.empty, found.missing) == (
        values.count(None), values.count(""), len(values) - len(known),
    )  # fmt: skip
    assert found.distinct == len(set(known))
    assert sorted((found.values or {}).values()) == sorted(Counter(known).values())[-100:]
    if known:
        assert (found.shortest, found.longest) == (min(map(len, known)), max(map(len, known)))
        assert found.mean_length == sum(map(len, known)) / len(known)


@given(st.lists(st.sampled_from([None, True, False])))
def test_booleans_are_counted(values: list[bool | None]) -> None:
    found = described("boolean", values)
    known = [value for value in values if value is not None]
    assert (found.rows, found.missing, found.distinct) == (len(values), values.count(None), len(set(known)))
    assert found.mean == (sum(known) / len(known) if known else None)
    assert found.values == {str(value).lower(): count for value, count in Counter(known).items()}


@pytest.mark.parametrize("kind", STRATEGIES)
@given(data=st.data())
def test_how_rows_were_cut_into_batches_cannot_be_seen(kind: str, data: st.DataObject) -> None:
    parts = data.draw(batches(kind))
    assert profiled(kind, *parts).to_json() == profiled(kind, list(chain(*parts))).to_json()


@pytest.mark.parametrize("kind", STRATEGIES)
@given(data=st.data())
def test_merging_in_any_order_gives_the_same_bytes(kind: str, data: st.DataObject) -> None:
    one, two, three = (profiled(kind, part) for part in data.draw(batches(kind)))
    orders = [merged([one, two, three]), merged([three, one, two]), merged([two, merged([three, one])])]
    assert len({exact(profile) for profile in orders}) == 1


@pytest.mark.parametrize("kind", STRATEGIES)
@given(data=st.data())
def test_merged_parts_are_what_one_pass_gives(kind: str, data: st.DataObject) -> None:
    parts = data.draw(batches(kind))
    assert exact(merged(profiled(kind, part) for part in parts)) == exact(profiled(kind, *parts))


@pytest.mark.parametrize("kind", STRATEGIES)
@given(data=st.data())
def test_json_goes_there_and_back(kind: str, data: st.DataObject) -> None:
    profile = profiled(kind, *data.draw(batches(kind)))
    again = Profile.from_json(profile.to_json())
    assert again.to_json() == profile.to_json()
    assert again.column("x") == profile.column("x")


def exact(profile: Profile) -> str:
    """Without the moments of floats, which are rounded."""
    told = json.loads(profile.to_json())
    for column in told["columns"]:
        if column["kind"] == "float":
            del column["moments"]
    return json.dumps(told)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 20_000), min_size=1, max_size=6))
def test_many_rows_give_the_same_bytes_however_they_are_cut(seed: int, sizes: list[int]) -> None:
    draw = np.random.default_rng(seed)
    wide = draw.choice([1.0, 1e3, 1e-9, 1e18])
    columns = {
        "f": draw.normal(draw.choice([0.0, 1e6]), wide, sum(sizes)),
        "i": draw.integers(0, int(wide) + 2, sum(sizes)),
    }
    one, cut = (Profile({"f": "float", "i": "integer"}) for _ in range(2))
    one.update(columns)
    at = 0
    for size in sizes:
        cut.update({name: values[at : at + size] for name, values in columns.items()})
        at += size
    assert one.to_json() == cut.to_json()


def test_looking_changes_nothing() -> None:
    values = np.random.default_rng(0).normal(size=(40, 999))
    looked, undisturbed = profiled("float"), profiled("float", *values)
    for batch in values:
        looked.update({"x": batch})
        looked.column("x")
        looked.to_json()
    assert looked.to_json() == undisturbed.to_json()


def test_means_of_floats_merge_within_rounding() -> None:
    values = np.random.default_rng(0).normal(1e6, 1.0, 100_000)
    parts = merged(profiled("float", part) for part in np.array_split(values, 17)).column("x")
    assert parts.mean == pytest.approx(values.mean(), rel=1e-15)
    assert parts.deviation == pytest.approx(values.std(ddof=1), rel=1e-9)


@pytest.mark.parametrize("kind", STRATEGIES)
@pytest.mark.parametrize("values", [[], [None], [None] * 5000])
def test_nothing_and_all_missing_are_described(kind: str, values: list[None]) -> None:
    found = described(kind, values)
    assert (found.rows, found.missing, found.distinct) == (len(values), len(values), 0)
    assert found.mean is None
    assert found.low is None
    assert found.quantiles is None
    assert not found.is_constant


def test_one_value_is_constant() -> None:
    assert described("integer", [7]).is_constant
    assert described("string", ["x"] * 9000).is_constant
    assert described("float", np.full(9000, 2.5)).is_constant
    assert not described("float", [2.5, math.nan]).is_constant


def test_enormous_numbers_have_a_mean_and_no_deviation_rather_than_infinity() -> None:
    found = described("float", [1e308, 1e308, -1e308])
    assert found.mean == pytest.approx(1e308 / 3)
    assert found.deviation is None
    assert Profile.from_json(profiled("float", [1e308, -1e308]).to_json()).column("x").deviation is None


def test_a_text_of_a_megabyte_takes_little_room_and_is_still_told_from_others() -> None:
    texts = ["🛫" * 250_000 + ending for ending in "abcb"]
    profile = profiled("string", texts)
    assert sorted((profile.column("x").values or {}).values()) == [1, 1, 2]
    assert profile.column("x").longest == 250_001
    assert len(profile.to_json()) < 2000
    assert Profile.from_json(profile.to_json()).to_json() == profile.to_json()
    assert merged([profile, Profile.from_json(profile.to_json())]).column("x").distinct == 3


def test_times_before_1970_are_told_as_such() -> None:
    found = described("time", np.array(["1901-02-03T04:05:06.000007", "NaT", "1969-12-31"], dtype="datetime64[us]"))
    assert (found.low, found.high) == ("1901-02-03T04:05:06.000007+00:00", "1969-12-31T00:00:00+00:00")
    assert (found.missing, found.distinct) == (1, 2)


def test_hashes_are_the_same_on_every_machine_and_version() -> None:
    texts = ["", "UA", "a text of more than eight bytes", "x" * 100]
    assert hash_texts(texts).tolist() == [
        0xE220A8397B1DCDAF, 0xB0B6104A0262F3E, 0xCAAF0A0931BE6D64, 0x21427B9C881EB89A,
    ]  # fmt: skip


def test_columns_that_are_copies_are_found_and_others_are_not() -> None:
    draw = np.random.default_rng(0)
    one, flags = draw.normal(size=10_000), draw.random((2, 10_000)) < 0.001
    flags[1] = np.roll(flags[0], 1)
    near = one.copy()
    near[-1] += 1e-12
    kinds: Any = {"one": "float", "copy": "float", "near": "float", "rare": "boolean", "moved": "boolean"}
    columns = {"one": one, "copy": one, "near": near, "rare": flags[0], "moved": flags[1]}
    parts = [Profile(kinds) for _ in range(3)]
    for part, at in zip(parts, (0, 4000, 8000), strict=True):
        part.update({name: values[at : at + 4000] for name, values in columns.items()})
    assert duplicates(merged(parts)) == [["copy", "one"]]
    assert duplicates(Profile.from_json(merged(reversed(parts)).to_json())) == [["copy", "one"]]
    assert duplicates(Profile(kinds)) == []


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", "null", '{"format": 1}', '{"format": 99}', "[" * 5]
    + [
        profiled("float", [1.0, 2.0, -3.0]).to_json().replace(old, new)
        for old, new in [
            ('"rows":3', '"rows":"x"'), ('"nulls":[0]', '"nulls":[0,1]'), ('"kind":"float"', '"kind":"odd"'),
            ('"odd":[[0],[0],[0]]', '"odd":[]'), ('"values":"', '"values":"z'), ('"columns":[', '"columns":[4,'),
        ]
    ],
)  # fmt: skip
def test_text_that_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        Profile.from_json(text)


def test_profiles_of_other_columns_do_not_merge() -> None:
    with pytest.raises(DataError, match="do not merge"):
        profiled("float").merge(profiled("integer"))


def test_a_batch_of_columns_of_different_lengths_is_refused() -> None:
    with pytest.raises(DataError, match="rows"):
        Profile({"x": "integer", "y": "integer"}).update({"x": [1], "y": [1, 2]})


def test_a_profile_needs_numpy_alone() -> None:
    code = (
        "import sys, loopwright.data.profile; print([m for m in ('polars', 'pyarrow', 'pandas') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
