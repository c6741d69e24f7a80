"""What drift is measured by: shared cells, distances, and what chance does to them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]
from scipy.spatial import distance  # type: ignore[import-untyped]

from loopwright.data import chance, distances
from loopwright.data.coarse import LEAST_EXPECTED, MOST_STRETCHES, coarse
from loopwright.data.profile import Profile
from loopwright.data.shared import OTHERS, Shared, at_rest, shared
from loopwright.data.sketch import Described

FLOATS = st.one_of(st.none(), st.floats(), st.sampled_from([0.0, -0.0, 5e-324, -1.7e308, 1.7e308]))
INTEGERS = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-50, 50))


def profile(kind: Described, values: Sequence[object]) -> Profile:
    made = Profile({"one": kind})
    made.update({"one": values})
    return made


def together(kind: Described, reference: Sequence[object], current: Sequence[object]) -> Shared:
    both = [at_rest(profile(kind, values))["one"] for values in (reference, current)]
    return shared(*both)


def totals(cells: Shared) -> list[float]:
    return list((cells.counts.sum(axis=1) + sum(cells.apart.values())).tolist())


@pytest.mark.parametrize("freedom", [1, 2, 3, 19, 200, 1000])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.01, 1e-4, 1e-12])
def test_the_tail_of_chi_square_is_scipys(freedom: int, share: float) -> None:
    assert chance.chi2_above(stats.chi2.isf(share, freedom), freedom) == pytest.approx(share, rel=1e-6)


@pytest.mark.parametrize(("freedom", "within"), [(1, 0.04), (2, 0.01), (19, 0.001), (1000, 0.001)])
def test_a_quantile_of_chi_square_is_near_scipys(freedom: int, within: float) -> None:
    assert chance.chi2_quantile(0.99, freedom) == pytest.approx(stats.chi2.isf(0.01, freedom), rel=within)


def test_what_cannot_be_beyond_chance_is_sure() -> None:
    assert chance.chi2_above(0.0, 5) == chance.chi2_above(5.0, 0) == chance.kolmogorov_above(0.5, 0, 9) == 1.0
    assert chance.chi2_above(1e9, 3) == 0.0


@pytest.mark.parametrize("apart", [0.02, 0.05, 0.1, 0.2])
def test_the_tail_of_kolmogorov_and_smirnov_is_near_the_exact_one(apart: float) -> None:
    found = chance.kolmogorov_above(apart, 1000, 1000)
    assert found == pytest.approx(stats.kstwo.sf(apart, 500), rel=0.05, abs=1e-9)


@pytest.mark.parametrize(("reference", "current"), [(0, 8), (100, 30), (1, 5), (40, 0)])
def test_the_bound_on_a_cells_split_is_above_the_exact_probability(reference: int, current: int) -> None:
    rows = [100_000, 1000]
    [found] = chance.split_above(np.array([[reference], [current]], dtype=float), np.array(rows, dtype=float))
    exact = stats.hypergeom(sum(rows), reference + current, rows[1])
    assert min(exact.sf(current - 1), exact.cdf(current)) <= found <= 1


def test_discoveries_are_scipys_of_benjamini_and_yekutieli() -> None:
    probabilities = np.random.default_rng(0).random(50) ** 4
    expected = stats.false_discovery_control(probabilities, method="by")
    assert chance.discoveries(probabilities.tolist()) == pytest.approx(expected.tolist())
    assert chance.discoveries([]) == []


def test_distances_are_those_of_scipy() -> None:
    counts = np.random.default_rng(1).integers(0, 50, (2, 40)).astype(float)
    both, at = distances.shares(counts), np.arange(40.0) ** 1.5
    upto = distances.apart_upto(both)
    assert math.sqrt(distances.jensen_shannon(both)) == pytest.approx(distance.jensenshannon(*both, base=2))
    assert distances.chi2(counts) == pytest.approx(stats.chi2_contingency(counts, correction=False).statistic)
    deviation = math.sqrt(both[0] @ (at - both[0] @ at) ** 2)
    expected = stats.wasserstein_distance(at, at, *both) / deviation
    assert distances.wasserstein(both, upto, at) == pytest.approx(expected)
    samples = [np.repeat(at, side.astype(int)) for side in counts]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert distances.kolmogorov_smirnov(upto) == pytest.approx(stats.ks_2samp(*samples).statistic)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=2, max_size=9))
def test_plain_distances_are_their_formulas(pairs: list[tuple[int, int]]) -> None:
    counts = np.array(pairs, dtype=float).T
    if (counts.sum(axis=1) == 0).any():
        return
    both = distances.shares(counts)
    p, q = (side / side.sum() for side in counts)
    assert distances.l_infinity(both) == pytest.approx(max(abs(p - q)))
    assert distances.absolute_difference(both) == pytest.approx(sum(abs(p - q)) / 2)
    if counts.min() >= 1:
        assert distances.psi(counts * 1e6) == pytest.approx(sum((q - p) * np.log(q / p)), rel=1e-4, abs=1e-9)


def test_nothing_is_farther_than_one_and_the_same_is_not_apart() -> None:
    opposite = np.array([[1.0, 0.0], [0.0, 1.0]])
    for far in (distances.l_infinity, distances.absolute_difference, distances.jensen_shannon):
        assert far(opposite) == 1.0
        assert far(opposite[[0, 0]]) == 0.0
    assert distances.psi(np.array([[50.0, 50.0], [50.0, 50.0]])) == 0.0
    assert distances.wasserstein(np.ones((2, 1)), np.zeros(1), np.array([7.0])) is None


@settings(max_examples=150, deadline=None)
@given(st.lists(FLOATS, min_size=1), st.lists(FLOATS, min_size=1))
def test_every_row_of_floats_has_one_cell_and_cells_are_in_order(a: list[object], b: list[object]) -> None:
    with np.errstate(all="ignore"):
        cells = together("float", a, b)
    assert totals(cells) == [len(a), len(b)]
    assert cells.low is not None
    assert cells.high is not None
    assert (cells.low[1:] >= cells.low[:-1]).all()
    assert (cells.low <= cells.high).all()


@settings(max_examples=150, deadline=None)
@given(st.lists(INTEGERS, min_size=1), st.lists(INTEGERS, min_size=1))
def test_every_row_of_whole_numbers_has_one_cell_and_cells_are_in_order(a: list[object], b: list[object]) -> None:
    cells = together("integer", a, b)
    assert totals(cells) == [len(a), len(b)]
    assert cells.low is not None
    assert (cells.low[1:] > cells.low[:-1]).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(-1e6, 1e6))
def test_cells_of_floats_hold_what_lies_between_their_ends(values: list[float], other: float) -> None:
    cells = together("float", list(values), [other])
    assert cells.low is not None
    assert cells.high is not None
    for at in range(len(cells.low)):
        inside = sum(cells.low[at] <= value <= cells.high[at] for value in values)
        assert inside >= cells.counts[0, at]


def test_whole_numbers_far_from_each_other_are_compared_in_wide_cells() -> None:
    cells = together("integer", [0, 1], [2**62, 2**62 + 1])
    assert cells.counts.tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]
    cells = together("integer", [0, 2**62], [0, 1, 2])
    assert cells.counts.tolist() == [[1, 1], [3, 0]]


def test_missing_empty_and_odd_values_are_cells_of_their_own() -> None:
    texts = together("string", ["a", "", None], ["", ""])
    assert {name: one.tolist() for name, one in texts.apart.items()} == {
        "missing": [1, 0], "empty": [1, 2], OTHERS: [0, 0],
    }  # fmt: skip
    floats = together("float", [math.nan, math.inf, 1.0], [-math.inf, None])
    assert {name: one.tolist() for name, one in floats.apart.items()} == {
        "missing": [0, 1], "NaN": [1, 0], "infinity": [1, 0], "-infinity": [0, 1],
    }  # fmt: skip


def test_looking_at_a_profile_changes_nothing_and_sees_what_is_put_aside() -> None:
    live = profile("float", [1.0, 2.0])
    before = live.to_json()
    assert at_rest(live)["one"].cells().tallies.sum() == 2
    live.update({"one": [3.0]})
    assert at_rest(live)["one"].cells().tallies.sum() == 3
    live.flush()
    assert at_rest(live) is live.sketches
    assert before != live.to_json()


def test_what_a_sketch_does_not_know_never_looks_like_a_difference() -> None:
    """5,000 texts that all occur equally often: which of them are kept is an accident of the last rows."""
    names = np.array([f"value {number}" for number in range(5000)], dtype=object)
    made = []
    for seed in (1, 2):
        draw = np.random.default_rng(seed)
        one = Profile({"one": "string"})
        for _ in range(6):
            one.update({"one": names[draw.integers(0, 5000, 5000)]})
        made.append(at_rest(one)["one"])
    cells = coarse(shared(*made))
    assert made[0].frequent.error > 0
    assert distances.l_infinity(distances.shares(cells.counts)) < 0.005
    assert cells.uneven > 0.01


def test_cells_have_rows_enough_on_the_smaller_side() -> None:
    draw = np.random.default_rng(0)
    fine = together("float", draw.normal(size=3000).tolist(), draw.normal(size=120).tolist())
    cells = coarse(fine)
    assert 2 < cells.counts.shape[1] <= MOST_STRETCHES
    assert (cells.counts.sum(axis=0) * 120 / 3120 >= LEAST_EXPECTED).all()
    assert cells.counts.sum(axis=1).tolist() == [3000, 120]


def test_a_value_that_many_rows_have_is_a_cell_of_its_own() -> None:
    draw = np.random.default_rng(0)
    values = [0.0] * 900 + draw.exponential(size=100).tolist()
    cells = coarse(together("float", values, values))
    assert [cells.name(0), cells.counts[0, 0]] == ["0", 900]


def test_a_rare_cell_that_chance_cannot_explain_is_kept() -> None:
    cells = coarse(together("string", ["a"] * 100_000, ["a"] * 980 + ["b"] * 20))
    assert {cells.name(at) for at in range(cells.counts.shape[1])} == {"'a'", "'b'"}
    assert cells.uneven < 1e-10
    near_miss = coarse(together("string", ["a"] * 100_000, ["a"] * 999 + ["b"]))
    assert near_miss.counts.shape[1] == 1
    assert near_miss.uneven > 0.001
