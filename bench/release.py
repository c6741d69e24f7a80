"""Releases: how often a good version is taken back, how soon a bad one, and how often one at the margin goes on.

All is seeded. Sequential tests are measured by when they decide, so the tables tell medians and shares of runs. "The
best possible" is Wald's test by somebody who knows both rates beforehand.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Any, Unpack

import numpy as np

from bench import ranked, releasing, retold
from bench.figure import Figure, Limits, Section
from bench.ramping import BEGAN, SETTINGS, Ramp, Setting, ramp
from loopwright.evidence import ratio
from loopwright.evidence.events import Evidence, Hypothesis, paired
from loopwright.evidence.sequence import Moments, difference
from loopwright.rollout.controller import begin, decide
from loopwright.rollout.course import SAFE_ALPHA, course
from loopwright.rollout.facts import Counts, Events, Facts, Row
from loopwright.rollout.plan import Canary
from loopwright.rollout.state import Status

RAMPS, RUNS = 2_000, 1_000
_SHARE, _BASE = 0.05, 0.01
_DETECTED: Mapping[float, float] = {2.0: 1_200, 5.0: 110, 10.0: 35}
_MARGINS = ((0.01, 5.0), (0.05, 3.0), (0.1, 2.0), (0.25, 2.0), (0.5, 1.5))
_ERRORS_ALPHA = course(Canary()).alpha_of("errors")


def measure(work: Path, *, ramps: int = RAMPS, runs: int = RUNS) -> Iterator[Section]:
    """One by one, for together they take minutes."""
    yield from _no_worse(ramps)
    yield from _worse(runs)
    yield _broken(min(runs, 400))
    yield _margin(3 * runs)
    yield _before_traffic(min(runs, 300))
    yield _arms(min(runs, 1_000))
    yield ranked.section(min(runs, 200))
    yield from retold.measure()
    yield from releasing.measure(work)


def _no_worse(ramps: int) -> Iterator[Section]:
    title = f"{ramps:,} versions no worse, all stages"
    went = {setting.name: ramped(setting, ramps) for setting in SETTINGS}
    taken = {name: sum(one.status is Status.ROLLED_BACK for one in all_) for name, all_ in went.items()}
    bounds = [_share(name, upper_bound(found, ramps), target=5.0) for name, found in taken.items()]
    yield Section(title=f"{title}: taken back, upper 95 % bound", figures=bounds)
    for told, is_so in _TOLD.items():
        figures = [_share(name, sum(map(is_so, all_)) / ramps) for name, all_ in went.items()]
        yield Section(title=f"{title}: {told}", figures=figures)
    touched = [_count(name, [float(one.touched) for one in all_]) for name, all_ in went.items()]
    yield Section(title="requests that the version answered until the end", figures=touched)


_TOLD: Mapping[str, Callable[[Ramp], bool]] = {
    "taken back": lambda one: one.status is Status.ROLLED_BACK,
    "promoted": lambda one: one.status is Status.PROMOTED,
    "alarms of a z test at every error": lambda one: one.z_alarms,
    "alarms of a threshold of 1.5 times": lambda one: one.threshold_alarms,
}


def ramped(setting: Setting, ramps: int, risks: Mapping[str, float] | None = None) -> list[Ramp]:
    """In as many processes as there are cores."""
    one = partial(ramp, setting, risks=risks)
    if ramps < 100:
        return [one(seed) for seed in range(ramps)]
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        return list(processes.map(one, range(ramps), chunksize=25))


def upper_bound(found: int, of: int) -> float:
    """Of a share, one-sided, at 95 %: the highest with which so few are found once in twenty (Clopper and Pearson).

    >>> round(upper_bound(0, 2000), 4), round(upper_bound(60, 2000), 4)
    (0.0015, 0.0371)
    """
    low, high = found / of, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        few = math.fsum(math.comb(of, k) * middle**k * (1 - middle) ** (of - k) for k in range(found + 1))
        low, high = (middle, high) if few > 0.05 else (low, middle)
    return high


def _worse(runs: int) -> Iterator[Section]:
    for alpha, what in ((0.05, "one guardrail at alpha .05"), (_ERRORS_ALPHA, "errors in the controller, alpha .015")):
        figures, best = [], []
        for times, target in _DETECTED.items():
            found = detections(times, alpha, runs)
            figures.append(_count(f"{times:g} times, {what}", found["ours"], target=target))
            ratio_to_best = float(np.median(found["ours"]) / np.median(found["best"]))
            best.append(_count(f"{times:g} times, {what}", [ratio_to_best], target=2.0))
        yield Section(title=f"canary requests until found, {_BASE:.0%} errors, share {_SHARE:.0%}", figures=figures)
        yield Section(title="times the best possible test", figures=best)


def detections(times: float, alpha: float, runs: int, seed: int = 0) -> dict[str, list[float]]:
    """Canary requests until the evidence is enough, and until Wald's test would say so: of each run."""
    draw = np.random.default_rng([seed, int(times * 10)])
    found: dict[str, list[float]] = {"ours": [], "best": []}
    size = int(40_000 / (times - 1) ** 1.5)
    for _ in range(runs):
        canary, champion = _BASE * times, _BASE
        failed = draw.random(size) < canary
        others = np.cumsum(draw.geometric(champion, int(size * champion * (1 - _SHARE) / _SHARE)))
        found["ours"].append(_when(failed, others, alpha))
        known = np.cumsum(np.where(failed, math.log(times), math.log((1 - canary) / (1 - champion))))
        found["best"].append(_first(known >= -math.log(alpha)))
    return found


def _when(failed: Any, others: Any, alpha: float) -> float:
    """Canary requests at the event that was enough; the champion's fall in between as many as its share has."""
    canary, champion = np.flatnonzero(failed) + 1.0, others * _SHARE / (1 - _SHARE)
    at = np.concatenate([canary, champion])
    is_canary = np.concatenate([np.ones(len(canary), dtype=bool), np.zeros(len(champion), dtype=bool)])
    order = np.argsort(at, kind="stable")
    path = Evidence.none(Hypothesis.no_worse()).follow((_SHARE,) * len(at), is_canary[order].tolist())
    place = _first(path >= -math.log(alpha))
    return float(at[order][int(place) - 1]) if math.isfinite(place) else math.inf


def _first(is_so: Any) -> float:
    """Counted from 1; infinite where it never is."""
    places = np.flatnonzero(is_so)
    return float(places[0] + 1) if len(places) else math.inf


def _broken(runs: int) -> Section:
    figures = []
    for share in (0.01, 0.05, 0.1):
        failing = [until_taken_back({"errors": (0.2, _BASE)}, share, seed) for seed in range(runs)]
        what = f"fails 20 % of its requests, share {share:.0%}"
        figures.append(_count(f"{what}, median", failing, target=20.0))
        figures.append(_count(f"{what}, 90 % of runs", [float(np.quantile(failing, 0.9))], target=50.0))
    for sigma in (0.3, 0.4, 0.5):
        slow = [until_taken_back({"slow": (slower(sigma), _BASE)}, _SHARE, seed) for seed in range(runs)]
        what = f"latency + 50 %, log-normal of sigma {sigma}: {slower(sigma):.1%} slow"
        figures.append(_count(what, slow, target=100.0))
    all_fail = [until_taken_back({"errors": (1.0, _BASE)}, _SHARE, seed) for seed in range(20)]
    figures.append(_count("fails always", all_fail, target=5.0))
    return Section(title="canary requests that the controller lets it touch", figures=figures)


def slower(sigma: float, times: float = 1.5) -> float:
    """The share of requests beyond the champion's 99th percentile.

    >>> round(slower(0.4), 3)
    0.095
    """
    usual = NormalDist()
    return 1 - usual.cdf(usual.inv_cdf(0.99) - math.log(times) / sigma)


def until_taken_back(rates: Mapping[str, tuple[float, float]], share: float, seed: int) -> float:
    """Canary requests until the controller says so, looking after each of them. Rates: challenger's, champion's."""
    plan = Canary(shares=[share, 1.0])
    state, _ = begin(plan, loop="simulated", challenger=2, champion=1, at=BEGAN)
    draw = np.random.default_rng([seed, int(share * 1000)])
    while state.ended is None and state.requests.canary < 5_000:
        facts = _one_canary_request(rates, share, draw)
        state, _ = decide(plan, state, facts)
    return float(state.requests.canary) if state.ended is Status.ROLLED_BACK else math.inf


def _one_canary_request(rates: Mapping[str, tuple[float, float]], share: float, draw: np.random.Generator) -> Facts:
    """And those that the champion answered since the one before."""
    others = int(draw.geometric(share)) - 1
    ended = {name: bool(draw.random() < challenger) for name, (challenger, _) in rates.items()}
    events = []
    for name, (_, champion) in rates.items():
        arms = (False,) * int(draw.binomial(others, champion)) + (True,) * ended[name]
        events.append(Events(guardrail=name, shares=(share,) * len(arms), canary=arms))
    return Facts(
        now=BEGAN,
        known_until=BEGAN,
        requests=Counts(canary=1, champion=others),
        events=tuple(events),
        row=Row.of([("", not ended.get("errors", False))]),
        champion_row=Row(successes=others),
    )


def _margin(runs: int) -> Section:
    figures = [
        _share(f"share {share:.0%}, {risk:g} times as many errors", at_the_margin(share, risk, runs), target=5.0)
        for share, risk in _MARGINS
    ]
    return Section(title="as bad as a stage must exclude, 2,000 events: said to be safe", figures=figures)


def at_the_margin(share: float, risk: float, runs: int, events: int = 2_000, seed: int = 0) -> float:
    """The share of runs in which so much risk is ever refuted although it is the truth."""
    draw = np.random.default_rng([seed, int(share * 1000)])
    from_canary = risk * share / (risk * share + 1 - share)
    evidence = Evidence.none(Hypothesis.not_safe(risk))
    said = 0
    for _ in range(runs):
        path = evidence.follow((share,) * events, (draw.random(events) < from_canary).tolist())
        said += bool((path >= -math.log(SAFE_ALPHA)).any())
    return said / runs


def _before_traffic(runs: int) -> Section:
    """10 % against 11 % of errors: of the same requests exactly one is wrong in 5 %, three times in five the worse."""
    shadow, alpha = (course(plan).alpha_of("mistakes") for plan in (Canary(shadow="1d"), Canary()))
    figures = []
    for unheard, one in ((0.05, 0.05), (shadow, alpha)):
        found = [paired_labels(0.05, 0.6, unheard, seed) for seed in range(runs)]
        figures.append(_count(f"in the shadow, alpha {unheard:g}", found))
        live = [live_labels(0.11, 0.10, 0.5, one, seed) for seed in range(min(runs, 100))]
        figures.append(_count(f"half of the units each, alpha {one:g}", live))
        tenth = [live_labels(0.11, 0.10, 0.1, one, seed) for seed in range(min(runs, 100))]
        within = sum(labels <= 100_000 for labels in tenth) / len(tenth)
        figures.append(_share(f"a canary of 10 %, alpha {one:g}: found within 100,000", within))
    return Section(title="labels until 10 % of errors are told from 11 %", figures=figures)


def paired_labels(different: float, worse: float, alpha: float, seed: int, labels: int = 60_000) -> float:
    draw = np.random.default_rng([seed, 1])
    at = np.flatnonzero(draw.random(labels) < different) + 1
    is_challenger = draw.random(len(at)) < worse
    path = Evidence.none(paired()).follow((0.5,) * len(at), is_challenger.tolist())
    place = _first(path >= -math.log(alpha))
    return float(at[int(place) - 1]) if math.isfinite(place) else math.inf


def live_labels(challenger: float, champion: float, share: float, alpha: float, seed: int) -> float:
    """Of both arms together, each request labelled, 200,000 at most."""
    draw = np.random.default_rng([seed, 2])
    is_canary = draw.random(200_000) < share
    at = np.flatnonzero(draw.random(len(is_canary)) < np.where(is_canary, challenger, champion))
    path = Evidence.none(Hypothesis.no_worse()).follow((share,) * len(at), is_canary[at].tolist())
    place = _first(path >= -math.log(alpha))
    return float(at[int(place) - 1] + 1) if math.isfinite(place) else math.inf


def _arms(runs: int) -> Section:
    figures = [
        _share("units come as meant: mismatch told", mismatches(0.5, 0.5, runs), target=0.1),
        _share("50 % meant, 53 % come, 10,000 units: mismatch told", mismatches(0.5, 0.53, min(runs, 300))),
        _share(
            "revenue alike, 10,000 units: an interval leaves it out, alpha .05", revenue(1.0, runs, 0.05), target=5.0
        ),
        _share("revenue alike, alpha .0025 as in a canary", revenue(1.0, runs, 0.0025), target=0.25),
        _share("revenue 10 % lower, alpha .05: found", revenue(0.9, min(runs, 300), 0.05)),
    ]
    return Section(title="arms, looked at a hundred times", figures=figures)


def mismatches(meant: float, come: float, runs: int, units: int = 10_000, seed: int = 0) -> float:
    draw = np.random.default_rng([seed, 3])
    told = 0
    for _ in range(runs):
        canary = np.cumsum(draw.random(units) < come)
        looks = range(99, units, 100)
        found = (ratio.log_e([((meant, 1 - meant), (int(canary[at]), at + 1 - int(canary[at])))]) for at in looks)
        told += any(log_e >= -math.log(ratio.ALPHA) for log_e in found)
    return told / runs


def revenue(times: float, runs: int, alpha: float, units: int = 10_000, seed: int = 0) -> float:
    """The share of runs in which the truth of "alike" is left out: one unit in five buys, log-normal."""
    draw = np.random.default_rng([seed, 4])
    told = 0
    for _ in range(runs):
        arms, step = [Moments(), Moments()], units // 100
        for _ in range(100):
            spent = draw.lognormal(3.0, 1.0, step) * (draw.random(step) < 0.2)
            arms = [
                arms[0].add((times * spent[: step // 2]).tolist()),
                arms[1].add(spent[step // 2 :].tolist()),
            ]
            found = difference(arms[0], arms[1], alpha)
            if found is not None and not found[0] <= 0 <= found[1]:
                told += 1
                break
    return told / runs


def _share(what: str, share: float, **limits: Unpack[Limits]) -> Figure:
    return Figure(what=what, samples=[share], unit="%", **limits)


def _count(what: str, samples: Sequence[float], **limits: Unpack[Limits]) -> Figure:
    return Figure(what=what, samples=samples, unit="", **limits)
