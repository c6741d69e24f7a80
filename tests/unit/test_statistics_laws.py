"""Every statistic of known data beside NumPy or exact arithmetic; and merging, of states too large to be exact."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score  # type: ignore[import-untyped]

from loopwright.data.association import Label, information
from loopwright.data.frequent import SAMPLED, FrequentTexts
from loopwright.data.profile import Profile, merged
from loopwright.data.statistics import describe
from loopwright.data.summary import QUANTILES, ColumnStatistics, equal_width

MICROSECONDS = st.integers(-(2**55), 2**55)
"""From the year 828 to 3111."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def profiled(kind: Any, *batches: Any) -> Profile:
    profile = Profile({"x": kind})
    for batch in batches:
        profile.update({"x": batch})
    return profile


def seen(kind: Any, *batches: Any) -> ColumnStatistics:
    return profiled(kind, *batches).column("x")


# Beside exact arithmetic


@given(st.lists(st.floats(-1e150, 1e150), min_size=2))
def test_the_deviation_of_floats_is_that_of_exact_fractions(values: list[float]) -> None:
    """Within 1e-13, and the mean's rounding where deviation is far smaller than it."""
    exact = math.sqrt(statistics.variance(map(Fraction, values)))
    found = seen("float", values).deviation
    assert found == pytest.approx(exact, rel=1e-13, abs=1e-14 * max(map(abs, values)) + 1e-160)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_quantiles_of_any_floats_lie_in_the_bin_of_their_rank(values: list[float]) -> None:
    """A bin of floats is at most a 64th of its value wide, so that is the most by which a quantile is off; of denormal
    numbers, which lie evenly, 2**46 of their steps."""
    found = seen("float", values).quantiles
    assert found is not None
    for share in QUANTILES:
        exact = float(np.quantile(values, share, method="inverted_cdf"))
        assert found[str(share)] == pytest.approx(exact, rel=1 / 64, abs=2**46 * 5e-324)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_quantiles_of_any_whole_numbers_lie_in_the_bin_of_their_rank(values: list[int]) -> None:
    """A bin is at most a 1,024th of the range wide."""
    found = seen("integer", values).quantiles
    assert found is not None
    within = (max(values) - min(values)) / 1024 + 1e-15 * max(map(abs, values))
    for share in QUANTILES:
        exact = float(np.quantile(np.array(values, dtype=object), share, method="inverted_cdf"))
        assert abs(found[str(share)] - exact) <= within


@given(st.lists(st.integers(-100, 3000), min_size=1), st.integers(1, 40))
def test_a_histogram_of_whole_numbers_is_numpys_where_its_edges_are_whole(values: list[int], bins: int) -> None:
    values = [*values, min(values) + bins * (1 + (max(values) - min(values)) // bins)]
    sketch = profiled("integer", values).settled().sketches["x"]
    edges, counts = equal_width(sketch.cells(), bins)
    truth, at = np.histogram(values, bins=bins)
    assert edges == pytest.approx(at)
    assert counts == pytest.approx(truth)


def test_a_histogram_of_a_column_of_zeros_with_a_tail_holds_the_zeros_in_its_first_bar() -> None:
    values = np.random.default_rng(0).pareto(1.1, 50_000) * (np.random.default_rng(1).random(50_000) < 0.6)
    _, counts = equal_width(profiled("float", values).settled().sketches["x"].cells(), 20)
    truth, _ = np.histogram(values, bins=20)
    assert np.abs(np.array(counts) - truth).max() <= 0.001 * len(values)


@given(st.lists(st.none() | MICROSECONDS))
def test_times_are_described_exactly_before_1970_too(values: list[int | None]) -> None:
    found = seen("time", values)
    known = [value for value in values if value is not None]
    assert (found.rows, found.missing, found.distinct) == (len(values), values.count(None), len(set(known)))
    ends = (
        [(EPOCH + timedelta(microseconds=one)).isoformat() for one in (min(known), max(known))] if known else [None] * 2
    )
    assert [found.low, found.high] == ends


@given(st.lists(st.none() | st.lists(st.integers(), max_size=6)))
def test_lists_are_described_by_their_lengths(values: list[list[int] | None]) -> None:
    found = seen("list", values)
    lengths = [len(value) for value in values if value is not None]
    assert (found.rows, found.missing, found.distinct) == (len(values), values.count(None), len(set(lengths)))
    assert found.zeros == lengths.count(0)
    if lengths:
        assert (found.low, found.high) == (min(lengths), max(lengths))
        assert found.mean == sum(lengths) / len(lengths)


@given(st.lists(st.sampled_from([None, True, False])))
def test_the_deviation_of_booleans_is_that_of_ones_and_zeros(values: list[bool | None]) -> None:
    known = [float(value) for value in values if value is not None]
    expected = statistics.stdev(known) if len(known) > 1 else None
    assert seen("boolean", values).deviation == (expected if expected is None else pytest.approx(expected, abs=1e-15))


def test_the_most_frequent_values_come_first_with_their_counts() -> None:
    draw = np.random.default_rng(0)
    codes = draw.zipf(1.5, 20_000).clip(max=800)
    found = seen("string", [f"v{code}" for code in codes]).values
    values, counts = np.unique(codes, return_counts=True)
    assert found is not None
    assert list(found.values()) == sorted(counts.tolist(), reverse=True)[:100]
    truth = dict(zip((f"v{one}" for one in values.tolist()), counts.tolist(), strict=True))
    assert found == {name: truth[name] for name in found}


# Time


def test_gaps_of_time_are_told_and_usual_pauses_are_not() -> None:
    hours = [START + timedelta(hours=at) for at in range(4000) if not 1000 <= at < 1200]
    nights = [one for one in hours if 6 <= one.hour < 23]
    [gap] = described(nights).gaps or ()
    assert [datetime.fromisoformat(one) for one in gap] == [
        pytest.approx(START + timedelta(hours=at), abs=timedelta(hours=4)) for at in (998, 1206)
    ]
    assert described([START + timedelta(hours=at) for at in range(4000) if 6 <= at % 24 < 23]).gaps == ()


def test_a_date_that_stands_for_no_date_is_a_gap_though_it_hides_all_others() -> None:
    hours = [START + timedelta(hours=at) for at in range(4000)]
    for odd in (datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)):
        [gap] = described([*hours, odd]).gaps or ()
        assert min(abs(datetime.fromisoformat(one).year - odd.year) for one in gap) <= 5
    months = [datetime(2013, month, 1, tzinfo=UTC) for month in (1, 2) for _ in range(100)]
    assert described(months).gaps == ()


START = datetime(2013, 1, 1, tzinfo=UTC)


def described(moments: Sequence[datetime]) -> ColumnStatistics:
    return describe(pl.LazyFrame({"x": moments})).column("x")


# Merging


WHOLE_WEIGHTS = st.sampled_from([0.0, 1.0, 2.0, 7.0])
ROWS_WITH_ROLES = st.lists(
    st.tuples(
        st.none() | st.floats(-1e6, 1e6),
        st.none() | st.integers(-5000, 5000),
        st.none() | st.sampled_from(["", "UA", "🛩️", "B6"]),
        st.none() | st.booleans(),
        st.none() | WHOLE_WEIGHTS,
    ),
    max_size=30,
)  # fmt: skip


def with_roles(rows: list[tuple[Any, ...]]) -> Profile:
    kinds: Any = {"f": "float", "i": "integer", "s": "string", "late": "boolean", "w": "float"}
    profile = Profile(kinds, weight="w", label=Label(name="late", values=("true", "false")))
    profile.update({name: [row[at] for row in rows] for at, name in enumerate(kinds)})
    return profile


def exact(profile: Profile) -> str:
    """Without the moments of floats, and of weights, which are rounded."""
    told = json.loads(profile.to_json())
    for column in told["columns"]:
        column.pop("of_weight", None)
        if column["kind"] == "float":
            del column["moments"]
    return json.dumps(told)


@settings(deadline=None)
@given(st.lists(ROWS_WITH_ROLES, min_size=3, max_size=3))
def test_weights_and_labels_merge_as_one_pass_in_any_order(parts: list[list[tuple[Any, ...]]]) -> None:
    one, two, three = map(with_roles, parts)
    orders = [
        merged([one, two, three]),
        merged([three, merged([two, one])]),
        with_roles([*parts[0], *parts[1], *parts[2]]),
    ]
    assert len(set(map(exact, orders))) == 1
    for name in ("f", "i"):
        means = [order.column(name).weighted_mean for order in orders]
        assert means[0] is None or means == pytest.approx([means[0]] * 3, rel=1e-12, abs=1e-9)
    assert len({order.association("i").information for order in orders}) == 1


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["float", "integer", "time"]), st.sampled_from([3.0, 1e5, 1e17]))
def test_numbers_too_many_to_be_exact_merge_to_the_same_bytes_in_any_order(seed: int, kind: str, scale: float) -> None:
    draw = np.random.default_rng(seed)
    parts = [draw.normal(draw.choice([0.0, 9.0]) * scale, scale, size) for size in draw.integers(0, 9000, 4)]
    values = [part if kind == "float" else part.astype(np.int64) for part in parts]
    made = [profiled(kind, one) for one in values]
    orders = [merged(made), merged(reversed(made)), profiled(kind, np.concatenate(values))]
    assert len(set(map(exact, orders))) == 1
    assert (
        orders[0].column("x").mean is None
        or kind != "float"
        or orders[0].column("x").mean == pytest.approx(np.concatenate(parts).mean(), rel=1e-12, abs=1e-12 * scale)
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([100, 1500, 20_000]))
def test_very_many_texts_merge_to_what_is_the_same_in_any_order(seed: int, distinct: int) -> None:
    """Which are kept may differ, and no more: rows, distinct values, lengths and the sample do not."""
    draw = np.random.default_rng(seed)
    parts = [[f"v{one}" for one in draw.zipf(1.3, size).clip(max=distinct)] for size in draw.integers(0, 9000, 4)]
    made = [profiled("string", part) for part in parts]
    orders = [merged(made), merged(reversed(made)), profiled("string", *parts)]
    told = [order.column("x") for order in orders]
    for field in ("rows", "missing", "distinct", "shortest", "longest", "mean_length"):
        assert len({getattr(one, field) for one in told}) == 1, field
    samples = [order.settled().sketches["x"].frequent.sample.texts.tolist() for order in orders]
    assert samples[0] == samples[1] == samples[2]
    counts: dict[str, int] = {}
    for text in (one for part in parts for one in part):
        counts[text] = counts.get(text, 0) + 1
    for one in told:
        assert one.values_error <= sum(counts.values()) / 512
        for text, count in (one.values or {}).items():
            assert 0 <= counts[text] - count <= one.values_error


def test_the_sample_of_texts_is_fair_and_is_kept_in_json() -> None:
    texts = [f"{at}" if at % 4 else f"text {at}" for at in range(40_000)]
    profile = profiled("string", texts)
    sample: list[str] = profile.settled().sketches["x"].frequent.sample.texts.tolist()
    assert len(sample) == SAMPLED
    assert sum(one.isdigit() for one in sample) / SAMPLED == pytest.approx(0.75, abs=0.2)
    again = Profile.from_json(profile.to_json())
    assert again.to_json() == profile.to_json()
    kept: FrequentTexts = again.sketches["x"].frequent
    assert kept.sample.texts.tolist() == sample
    again.merge(profile)
    assert again.sketches["x"].frequent.sample.texts.tolist() == sample


def test_a_sample_of_long_texts_tells_them_apart() -> None:
    profile = profiled("string", [f"{'a' * 1000}{at}" for at in range(3000)])
    sample = profile.settled().sketches["x"].frequent.sample.texts.tolist()
    assert len(set(sample)) == SAMPLED
    assert all(len(one) < 100 for one in sample)
    assert Profile.from_json(profile.to_json()).to_json() == profile.to_json()


# Size


def twenty(rows: int) -> pl.DataFrame:
    """Twelve numbers with missing values, six strings of cardinality 5 to 50,000, a time and a boolean."""
    draw = np.random.default_rng(0)
    shapes: list[Callable[..., Any]] = [draw.normal, draw.exponential, draw.lognormal, draw.standard_cauchy]
    numbers = {f"n{at}": pl.Series(shapes[at % 4](size=rows) * 10.0**at) for at in range(8)}
    numbers |= {f"i{at}": pl.Series(draw.integers(-(10**at), 10 ** (3 * at) + 2, rows)) for at in range(4)}
    texts = {
        f"s{count}": pl.Series([f"value {one}" for one in draw.integers(0, count, rows)])
        for count in (5, 50, 500, 5000, 20_000, 50_000)
    }
    others = {
        "at": pl.Series(draw.integers(-(2**50), 2**50, rows)).cast(pl.Datetime("us")),
        "flag": pl.Series(draw.random(rows) < 0.3),
    }
    hole = pl.Series(draw.random(rows) < 0.05)
    return pl.DataFrame({name: one.set(hole, None) for name, one in (numbers | texts | others).items()})


def test_statistics_of_twenty_columns_take_at_most_64_kilobytes_and_stay_so() -> None:
    sizes = []
    profile = None
    for rows in (10_000, 100_000):
        found = describe(twenty(rows).lazy())
        assert len(found.columns) == 20
        sizes.append(len(found.to_json().encode()))
        profile = found.profile()
    assert max(sizes) <= 64 * 1024
    assert profile is not None
    profile.merge(profile.settled())
    assert len(profile.to_json().encode()) <= 64 * 1024
    assert json.loads(profile.to_json())["format"] >= 2
    assert all(later <= 1.5 * earlier for earlier, later in pairwise(sizes))


# With a label, and with weights


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1))
def test_the_label_by_value_is_that_of_the_rows(rows: list[tuple[str, bool]]) -> None:
    profile = Profile({"x": "string", "late": "boolean"}, label=Label(name="late", values=("true", "false")))
    profile.update({"x": [value for value, _ in rows], "late": [late for _, late in rows]})
    found = profile.association("x")
    for group in found.groups:
        lates = [late for value, late in rows if value == group.value]
        assert group.rows == len(lates)
        assert group.mean == pytest.approx(sum(lates) / len(lates))
    assert sum(group.rows for group in found.groups) == len(rows)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1))
def test_mutual_information_is_scikit_learns_less_what_chance_gives(rows: list[tuple[int, int]]) -> None:
    one, other = zip(*rows, strict=True)
    counts = np.zeros((4, 3))
    np.add.at(counts, (list(one), list(other)), 1)
    groups, classes = len(set(one)), len(set(other))
    chance = (groups - 1) * (classes - 1) / (2 * len(rows) * math.log(2))
    plain = mutual_info_score(one, other) / math.log(2)
    assert information(counts) == pytest.approx(max(plain - chance, 0.0), abs=1e-9)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), WHOLE_WEIGHTS), min_size=1))
def test_weighted_means_and_deviations_are_numpys(rows: list[tuple[float, float]]) -> None:
    values, weights = (np.array(column) for column in zip(*rows, strict=True))
    profile = Profile({"x": "float", "w": "float"}, weight="w")
    profile.update({"x": values, "w": weights})
    found = profile.column("x")
    if not weights.sum():
        assert found.weighted_mean is None
        return
    mean = np.average(values, weights=weights)
    assert found.weighted_mean == pytest.approx(mean, rel=1e-12, abs=1e-8)
    assert found.weighted_deviation == pytest.approx(
        math.sqrt(np.average((values - mean) ** 2, weights=weights)), rel=1e-9, abs=1e-6
    )


def test_texts_of_a_megabyte_merge_like_all_others() -> None:
    long = ["🛫" * 250_000 + ending for ending in "ab"]
    parts = [profiled("string", one) for one in ([long[0], "UA"], [long[1], long[0], None], ["", long[1]])]
    orders = [merged(parts), merged(reversed(parts)), merged([parts[1], merged([parts[2], parts[0]])])]
    assert len({order.to_json() for order in orders}) == 1
    found = orders[0].column("x")
    assert (found.rows, found.missing, found.distinct, found.longest) == (7, 2, 3, 250_001)
    assert sorted((found.values or {}).values()) == [1, 2, 2]
