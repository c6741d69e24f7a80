"""What is approximate in statistics is as near to the truth as its docstring says; weights, labels, distributions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from loopwright.data.association import Label, information
from loopwright.data.histogram import FloatHistogram, IntegerHistogram
from loopwright.data.profile import Profile, merged
from loopwright.data.summary import equal_width
from loopwright.errors import DataError

ROWS = 200_000
SHARES = np.array([0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999])
Floats = NDArray[np.float64]
DISTRIBUTIONS: dict[str, Callable[[np.random.Generator], Floats]] = {
    "normal": lambda draw: draw.normal(size=ROWS),
    "offset": lambda draw: draw.normal(1e9, 1.0, ROWS),
    "negative": lambda draw: -draw.lognormal(3, 2, ROWS),
    "zeros and a tail": lambda draw: draw.pareto(1.1, ROWS) * (draw.random(ROWS) < 0.6),
    "uniform": lambda draw: draw.random(ROWS),
    "denormal": lambda draw: draw.random(ROWS) * 1e-310,
    "enormous": lambda draw: draw.normal(size=ROWS) * 1e300,
}


def profiled(kind: Any, values: Any) -> Profile:
    profile = Profile({"x": kind})
    profile.update({"x": values})
    return profile


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_quantiles_of_floats_are_off_in_rank_by_less_than_a_thousandth(name: str) -> None:
    """On smooth data; at most by the rows of one bin on any."""
    values = DISTRIBUTIONS[name](np.random.default_rng(1))
    histogram = FloatHistogram()
    histogram.add(values, float(values.min()), float(values.max()))
    assert off_in_rank(histogram.cells().quantiles(SHARES), values) < 1e-3


@pytest.mark.parametrize("scale", [10_000, 10**9, 10**17])
def test_quantiles_of_whole_numbers_are_off_in_rank_by_less_than_a_thousandth(scale: int) -> None:
    values = (np.random.default_rng(1).gamma(2, scale, ROWS)).astype(np.int64)
    histogram = IntegerHistogram()
    histogram.add(values, int(values.min()), int(values.max()))
    assert off_in_rank(histogram.cells().quantiles(SHARES), values) < 1e-3


def off_in_rank(quantiles: Floats, values: NDArray[Any]) -> float:
    """The largest distance between a share and the shares that lie below and up to its quantile."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, quantiles, side="left") / len(values)
    upto = np.searchsorted(ordered, quantiles, side="right") / len(values)
    return float(np.maximum(np.maximum(below - SHARES, SHARES - upto), 0).max())


@pytest.mark.parametrize("name", [name for name in DISTRIBUTIONS if name != "zeros and a tail"])
def test_a_histogram_of_equal_widths_is_off_by_less_than_its_fine_bins(name: str) -> None:
    values = DISTRIBUTIONS[name](np.random.default_rng(2))
    histogram = FloatHistogram()
    histogram.add(values, float(values.min()), float(values.max()))
    edges, counts = equal_width(histogram.cells(), 20)
    truth, _ = np.histogram(values, bins=np.array(edges))
    assert np.abs(np.array(counts) - truth).max() < 0.005 * ROWS
    assert sum(counts) == pytest.approx(ROWS)


@pytest.mark.parametrize("distinct", [300, 3000, 30_000, 150_000])
@pytest.mark.parametrize("kind", ["float", "integer", "string"])
def test_the_number_of_different_values_is_off_by_less_than_five_percent(kind: str, distinct: int) -> None:
    """Three standard errors of 1.6 %."""
    values = np.random.default_rng(distinct).permutation(distinct).astype(np.int64) * 1_000_003
    made: dict[str, Any] = {"float": values / 7, "integer": values, "string": [f"v{value}" for value in values]}
    assert profiled(kind, made[kind]).column("x").distinct == pytest.approx(distinct, rel=0.048)


def test_up_to_256_different_numbers_are_counted_exactly_however_far_apart() -> None:
    values = np.random.default_rng(0).choice(np.random.default_rng(1).normal(size=256), 50_000)
    found = profiled("float", values).column("x")
    known, counts = np.unique(values, return_counts=True)
    assert found.distinct == 256
    assert found.values is not None
    assert list(found.values.values()) == sorted(counts.tolist(), reverse=True)[:100]
    assert all(
        found.values[value] == dict(zip(map(repr, known.tolist()), counts, strict=True))[value]
        for value in found.values
    )


def test_frequent_strings_are_found_among_many_and_never_counted_too_high() -> None:
    codes = np.random.default_rng(0).zipf(1.3, ROWS).clip(max=10**7)
    texts = np.array([f"v{code}" for code in codes], dtype=object)
    profile = merged(profiled("string", part) for part in np.array_split(texts, 7))
    found = profile.column("x")
    truth = dict(zip(*np.unique(codes, return_counts=True), strict=True))
    assert found.values is not None
    assert {f"v{code}" for code, count in truth.items() if count > ROWS / 512} <= set(found.values)
    assert found.values_error <= ROWS / 512
    for text, count in found.values.items():
        assert 0 <= truth[int(text[1:])] - count <= found.values_error
    assert [found.values[f"v{code}"] for code in range(1, 11)] == [truth[code] for code in range(1, 11)]


def test_the_deviation_of_numbers_with_an_offset_keeps_its_digits() -> None:
    values = np.random.default_rng(0).normal(1e9, 1.0, ROWS)
    deviation = (values - 1e9).std(ddof=1)
    assert profiled("float", values).column("x").deviation == pytest.approx(deviation, rel=1e-9)


def test_weights_weigh() -> None:
    draw = np.random.default_rng(0)
    values, weights = draw.normal(size=ROWS), draw.integers(0, 4, ROWS).astype(float)
    profile = Profile({"x": "float", "n": "integer", "w": "float"}, weight="w")
    profile.update({"x": values, "n": np.arange(ROWS), "w": weights})
    repeated = np.repeat(values, weights.astype(int))
    found = profile.column("x")
    assert found.weighted_mean == pytest.approx(repeated.mean(), rel=1e-9)
    assert found.weighted_deviation == pytest.approx(repeated.std(), rel=1e-9)
    assert profile.column("n").weighted_mean == pytest.approx(np.average(np.arange(ROWS), weights=weights))
    quantiles = profile.settled().sketches["x"].cells().quantiles(SHARES, by=1)
    assert np.abs(np.searchsorted(np.sort(repeated), quantiles) / len(repeated) - SHARES).max() < 1e-3
    assert Profile.from_json(profile.to_json()).column("x") == found


def test_the_label_is_told_by_value_and_bin() -> None:
    draw = np.random.default_rng(0)
    hour, carrier = draw.random(ROWS) * 24, draw.choice(["AA", "UA"], ROWS).astype(object)
    late = draw.random(ROWS) < hour / 48
    profile = Profile(
        {"hour": "float", "carrier": "string", "late": "boolean"}, label=Label(name="late", values=("true", "false"))
    )
    for at in range(0, ROWS, 30_000):
        rows = slice(at, at + 30_000)
        profile.update({"hour": hour[rows], "carrier": carrier[rows].tolist(), "late": late[rows]})
    profile = Profile.from_json(profile.to_json())
    by_hour, by_carrier = profile.association("hour"), profile.association("carrier")
    for group in by_hour.groups:
        assert group.low is not None
        assert group.high is not None
        assert group.mean == pytest.approx((group.low + group.high) / 2 / 48, abs=0.04)
    assert sum(group.rows for group in by_hour.groups) == ROWS
    assert {group.value: group.rows for group in by_carrier.groups} == {
        name: int((carrier == name).sum()) for name in ("AA", "UA")
    }
    assert by_carrier.information < 1e-4
    binned = (hour * 64 / 24).astype(int)
    table = np.stack(
        [np.bincount(binned, weights=late == truth, minlength=64) for truth in (True, False)], axis=1
    ).astype(float)
    assert by_hour.information == pytest.approx(information(table), rel=0.02)


def test_a_label_of_numbers_is_told_by_its_mean() -> None:
    hour = np.random.default_rng(0).integers(0, 24, ROWS)
    profile = Profile({"hour": "integer", "delay": "float"}, label=Label(name="delay", edges=(10.0, 30.0)))
    profile.update({"hour": hour, "delay": hour * 2.0})
    found = profile.association("hour")
    assert {group.low: group.mean for group in found.groups} == {float(one): 2.0 * one for one in range(24)}
    assert found.information > 1


def test_without_a_label_there_is_no_association() -> None:
    with pytest.raises(DataError, match="without a label"):
        profiled("integer", [1]).association("x")
