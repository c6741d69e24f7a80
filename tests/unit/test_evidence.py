"""Evidence that may be looked at at every moment: laws, errors, and seeded streams with bounds that are stable."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopwright.errors import DataError
from loopwright.evidence import ratio
from loopwright.evidence.detector import Detector, tolerated
from loopwright.evidence.events import POINTS, Evidence, Hypothesis, paired
from loopwright.evidence.sequence import LEAST, Moments, difference

HYPOTHESES = {
    "no worse": Hypothesis.no_worse(),
    "not safe at 2": Hypothesis.not_safe(2.0),
    "not safe at 5": Hypothesis.not_safe(5.0),
    "paired": paired(),
}
SHARES = st.sampled_from([0.01, 0.05, 0.25, 0.5, 0.99])
STREAMS = st.lists(st.tuples(SHARES, st.booleans()), max_size=60)


def by_hand(hypothesis: Hypothesis, stream: list[tuple[float, bool]]) -> float:
    """The formula as it is written: the mean over alternatives of products of likelihood ratios."""

    def came(risk: float, share: float) -> float:
        return risk * share / (risk * share + 1 - share)

    total = 0.0
    for risk in hypothesis.alternatives:
        product = 1.0
        for share, is_canary in stream:
            under, other = came(hypothesis.risk, share), came(float(risk), share)
            product *= other / under if is_canary else (1 - other) / (1 - under)
        total += product
    return total / POINTS


@pytest.mark.parametrize("name", HYPOTHESES)
@given(stream=STREAMS)
@settings(max_examples=40, deadline=None)
def test_the_evidence_is_what_the_formula_says(name: str, stream: list[tuple[float, bool]]) -> None:
    evidence = Evidence.none(HYPOTHESES[name])
    for share, is_canary in stream:
        evidence = evidence.add(share=share, canary=is_canary, champion=not is_canary)
    assert math.exp(evidence.log_e) == pytest.approx(by_hand(HYPOTHESES[name], stream), rel=1e-9)


@given(stream=STREAMS, cut=st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_however_a_stream_is_cut_the_evidence_is_the_same_to_the_bit(
    stream: list[tuple[float, bool]], cut: int
) -> None:
    shares, arms = [one for one, _ in stream], [one for _, one in stream]
    evidence = Evidence.none(Hypothesis.no_worse())
    whole = evidence.after(shares, arms)
    first = evidence.after(shares[:cut], arms[:cut])
    assert first.after(shares[cut:], arms[cut:]) == whole
    looked = [*evidence.follow(shares[:cut], arms[:cut]), *first.follow(shares[cut:], arms[cut:])]
    assert looked == evidence.follow(shares, arms).tolist()
    assert not looked or looked[-1] == whole.log_e


@given(first=STREAMS, second=STREAMS)
@settings(max_examples=40, deadline=None)
def test_evidence_merges_by_addition(first: list[tuple[float, bool]], second: list[tuple[float, bool]]) -> None:
    none = Evidence.none(Hypothesis.not_safe(3.0))
    one, other = (none.after([s for s, _ in part], [a for _, a in part]) for part in (first, second))
    both = none.after([s for s, _ in first + second], [a for _, a in first + second])
    merged = one.merge(other)
    assert (merged.canary, merged.champion) == (both.canary, both.champion)
    assert merged.logs == pytest.approx(both.logs, abs=1e-9)


@pytest.mark.parametrize("name", HYPOTHESES)
def test_an_event_is_worth_nothing_on_average_where_the_hypothesis_is_true(name: str) -> None:
    """E of one event at the edge of the hypothesis is 1: what makes it valid at every moment."""
    risk = HYPOTHESES[name].risk
    for share in (0.01, 0.3, 0.5):
        canary = risk * share / (risk * share + 1 - share)
        none = Evidence.none(HYPOTHESES[name])
        one, other = none.after([share], [True]), none.after([share], [False])
        assert canary * math.exp(one.log_e) + (1 - canary) * math.exp(other.log_e) == pytest.approx(1)


def test_evidence_crosses_json_whole() -> None:
    evidence = Evidence.none(paired()).add(share=0.5, canary=7, champion=3)
    assert Evidence.from_dict(json.loads(json.dumps(evidence.to_dict()))) == evidence
    detector = Detector.of(0.1).update([0.0, 1.0])
    assert Detector.from_dict(json.loads(json.dumps(detector.to_dict()))) == detector
    fresh = Detector.of(0.1)
    assert Detector.from_dict(json.loads(json.dumps(fresh.to_dict()))) == fresh


REFUSED: dict[str, Callable[[], object]] = {
    "a share of 0": lambda: Evidence.none(paired()).add(share=0, canary=1, champion=0),
    "a share of 1": lambda: Evidence.none(paired()).after([1.0], [True]),
    "fewer than no events": lambda: Evidence.none(paired()).add(share=0.5, canary=-1, champion=0),
    "shares without arms": lambda: Evidence.none(paired()).after([0.5, 0.5], [True]),
    "unlike hypotheses": lambda: Evidence.none(paired()).merge(Evidence.none(Hypothesis.no_worse())),
    "alternatives on both sides": lambda: Hypothesis(risk=1.0, lowest=0.5, highest=2.0),
    "no evidence": lambda: Evidence.from_dict({"canary": 1}),
    "evidence of few points": lambda: Evidence.from_dict(Evidence.none(paired()).to_dict() | {"logs": [0.0]}),
    "a detector of nothing": lambda: Detector(rate=0.0),
    "an error of 2": lambda: Detector.of(0.1).update([2.0]),
    "no detector": lambda: Detector.from_dict({}),
    "shares that do not add up": lambda: ratio.log_e([((0.5, 0.4), (1, 1))]),
    "a sum that is no number": lambda: Moments().add([math.nan]),
    "an alpha of 1": lambda: difference(Moments(), Moments(), 1.0),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused_and_told_how_it_could(what: str) -> None:
    with pytest.raises(DataError) as raised:
        REFUSED[what]()
    assert raised.value.fix


def crossed(evidence: Evidence, risk: float, share: float, alpha: float, *, runs: int, events: int) -> list[int]:
    """Of each run the event at which the limit was reached; 0: never."""
    draw = np.random.default_rng(7)
    from_canary = risk * share / (risk * share + 1 - share)
    found = []
    for _ in range(runs):
        path = evidence.follow([share] * events, (draw.random(events) < from_canary).tolist())
        over = np.flatnonzero(path >= -math.log(alpha))
        found.append(int(over[0]) + 1 if len(over) else 0)
    return found


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_a_canary_no_worse_is_hardly_ever_called_worse_at_any_of_its_events(share: float) -> None:
    found = crossed(Evidence.none(Hypothesis.no_worse()), 1.0, share, 0.05, runs=300, events=600)
    assert sum(map(bool, found)) <= 0.08 * 300  # alpha is 0.05


@pytest.mark.parametrize(("share", "risk"), [(0.01, 5.0), (0.1, 2.0), (0.5, 1.5)])
def test_a_canary_at_the_margin_is_hardly_ever_called_safe(share: float, risk: float) -> None:
    found = crossed(Evidence.none(Hypothesis.not_safe(risk)), risk, share, 0.05, runs=300, events=600)
    assert sum(map(bool, found)) <= 0.08 * 300


@pytest.mark.parametrize(("risk", "events"), [(2.0, 420), (5.0, 45), (10.0, 16)])
def test_a_worse_canary_is_found(risk: float, events: int) -> None:
    """Events of both arms, of which 1,200, 110 and 35 canary requests at 5 % bring about 252, 27 and 10."""
    found = crossed(Evidence.none(Hypothesis.no_worse()), risk, 0.05, 0.05, runs=200, events=3_000)
    assert all(found)
    assert np.median(found) <= events


def test_ramps_and_nights_change_nothing() -> None:
    """Share and base rate rise together: means that are pooled over stages would be confounded."""
    draw = np.random.default_rng(8)
    shares = [0.01] * 150 + [0.25] * 300 + [0.5] * 300
    evidence = Evidence.none(Hypothesis.no_worse())
    alarms = 0
    for _ in range(300):
        path = evidence.follow(shares, (draw.random(len(shares)) < np.array(shares)).tolist())
        alarms += bool((path >= -math.log(0.05)).any())
    assert alarms <= 0.08 * 300


def test_a_split_as_meant_is_no_mismatch_and_another_is() -> None:
    draw = np.random.default_rng(9)
    alarms = found = 0
    for _ in range(100):
        meant, other = draw.random(4_000) < 0.1, draw.random(4_000) < 0.14
        alarms += ratio.log_e([((0.1, 0.9), (int(meant.sum()), int((~meant).sum())))]) >= -math.log(ratio.ALPHA)
        found += ratio.log_e([((0.1, 0.9), (int(other.sum()), int((~other).sum())))]) >= -math.log(ratio.ALPHA)
    assert alarms <= 1
    assert found >= 95


def test_the_evidence_of_stages_multiplies() -> None:
    stages = [((0.1, 0.9), (20, 90)), ((0.5, 0.5), (60, 40))]
    assert ratio.log_e(stages) == pytest.approx(ratio.log_e(stages[:1]) + ratio.log_e(stages[1:]))
    assert ratio.log_e([]) == 0


@given(values=st.lists(st.floats(-1e3, 1e3), max_size=30), cut=st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_moments_merge_to_what_all_values_give(values: list[float], cut: int) -> None:
    merged = Moments().add(values[:cut]).merge(Moments().add(values[cut:]))
    assert merged.count == len(values)
    assert merged.mean == pytest.approx(np.mean(values) if values else 0.0, abs=1e-9)
    assert merged.variance == pytest.approx(np.var(values) if values else 0.0, abs=1e-6)


def test_an_interval_holds_the_truth_at_every_look_and_finds_a_difference() -> None:
    draw = np.random.default_rng(10)
    left_out = found = 0
    for _ in range(60):
        one, other, more = Moments(), Moments(), Moments()
        is_out = False
        for _ in range(40):
            one, other = one.add(draw.exponential(1.0, 50).tolist()), other.add(draw.exponential(1.0, 50).tolist())
            more = more.add(draw.exponential(1.4, 50).tolist())
            low, high = difference(one, other, 0.05) or (-1.0, 1.0)
            is_out |= not low <= 0 <= high
        left_out += is_out
        found += (difference(more, other, 0.05) or (0.0, 0.0))[0] > 0
    assert left_out <= 5
    assert found >= 55


def test_few_units_give_no_interval() -> None:
    few, many = Moments().add([1.0, 2.0] * (LEAST // 2 - 1)), Moments().add([1.0, 2.0] * LEAST)
    assert difference(few, many, 0.05) is None
    assert difference(many, many, 0.05) is not None


@given(errors=st.lists(st.booleans(), max_size=200), cut=st.integers(0, 200))
@settings(max_examples=40, deadline=None)
def test_a_detector_goes_on_from_where_it_stood(errors: list[bool], cut: int) -> None:
    stream, begun = [float(one) for one in errors], Detector.of(0.1)
    parts = begun.update(stream[:cut]).update(stream[cut:])
    whole = begun.update(stream)
    assert parts.labels == whole.labels == len(stream)
    assert parts.logs == pytest.approx(whole.logs, abs=1e-9)


def test_a_detector_is_the_sum_over_every_moment_of_the_decline() -> None:
    """Shiryaev and Roberts, as it is written: R = (1 + R before) times the likelihood ratio, by alternative."""
    detector, stream = Detector.of(0.2), [1.0, 0.0, 0.0, 1.0, 1.0, 0.0]
    sums = np.zeros(POINTS)
    for error in stream:
        rates = detector._rates
        sums = (1 + sums) * np.where(error, rates / detector.rate, (1 - rates) / (1 - detector.rate))
    assert detector.update(stream).log_statistic == pytest.approx(math.log(sums.mean()))


def test_a_decline_is_found_in_few_labels_and_hardly_ever_one_that_is_not_there() -> None:
    """Median of 25: about 200 labels where 10 % is the most that is tolerated; and 300,000 good ones, of which 200,000
    bring one alarm at most on average."""
    draw = np.random.default_rng(11)
    detector, found, alarms = Detector(rate=0.1), [], 0
    for _ in range(25):
        before = detector.update((draw.random(1_000) < 0.1).astype(float).tolist())
        found.append(before.first_alarm((draw.random(4_000) < 0.2).astype(float).tolist()) or 4_000)
    good = (draw.random(300_000) < 0.1).astype(float).tolist()
    while good and (at := Detector.of(0.1).first_alarm(good)) is not None:
        alarms, good = alarms + 1, good[at:]
    assert np.median(found) <= 300
    assert tolerated(0.1) == pytest.approx(0.12)
    assert alarms <= 2


def test_a_decline_is_said_to_have_begun_where_it_did_whatever_the_parts_it_is_told_in() -> None:
    draw = np.random.default_rng(13)
    for begun in (0, 700, 3_000):
        stream = np.concatenate([draw.random(begun) < 0.1, draw.random(500) < 0.4]).astype(float)
        first = Detector.of(0.1).first_alarm(stream)
        whole = parts = Detector.of(0.1)
        for part in np.split(stream[:first], [1, 2, 650]):
            parts = parts.update(part)
        whole = whole.update(stream[:first])
        assert abs(whole.began - begun) < 40
        assert (parts.began, parts.starts) == (whole.began, whole.starts)
        assert Detector.from_dict(whole.to_dict()) == whole


def test_the_likeliest_beginning_is_that_of_page() -> None:
    """His CUSUM, label by label: a rise that falls to nothing begins anew."""
    detector, stream = Detector.of(0.2), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0]
    rises, starts = np.zeros(POINTS), np.zeros(POINTS)
    for count, error in enumerate(stream, 1):
        rates = detector._rates
        rises += np.log(np.where(error, rates / detector.rate, (1 - rates) / (1 - detector.rate)))
        starts = np.where(rises <= 0, count, starts)
        rises = np.maximum(rises, 0)
    found = detector.update(stream)
    assert found.rises == pytest.approx(rises)
    assert found.starts == tuple(starts)
    assert found.began == 6


def test_a_first_alarm_is_where_label_by_label_alarms_first() -> None:
    draw = np.random.default_rng(12)
    stream = (draw.random(800) < 0.4).astype(float).tolist()
    at = Detector.of(0.1).first_alarm(stream)
    assert at is not None
    assert Detector.of(0.1).update(stream[:at]).alarms
    assert not Detector.of(0.1).update(stream[: at - 1]).alarms
