"""A model that becomes worse: labels until the detector says so, and false alarms, beside River's detectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.environment import ask_peer
from bench.figure import Figure, Limits, Section
from bench.timing import Failed
from loopwright.evidence.detector import Detector

RUNS, BEFORE, AFTER, CALM = 100, 2_000, 8_000, 50_000
MILLION = 1_000_000
GOOD, BAD = 0.1, 0.2
"""Errors by label, before and after."""


def measure(work: Path, river: Path | None, failures: Mapping[str, str], *, runs: int = RUNS) -> list[Section]:
    """All see the same errors. Watched for is more than 10 %, and, as loops do, more than a little over it; and more
    than 10 % with as many labels between false alarms as River's ADWIN is said to have, 0.01 alarms in 10,000."""
    errors = drawn(runs)
    found: dict[str, tuple[Sequence[float], float]] = {
        _named(one): (_delays(one, errors), _alarms(one, errors)) for one in _DETECTORS
    }
    told = dict(failures)
    if river is not None:
        np.savez(work / "errors.npz", **errors)
        try:
            found |= _of_river(ask_peer(river, "river", work, "detect", str(work / "errors.npz")), runs)
        except Failed as reason:
            told["river"] = str(reason)
    missing = [Figure(what=who, samples=[], failure=reason) for who, reason in told.items()]
    delays = [Figure(what=who, samples=one, unit="", **_target(who, 204.0)) for who, (one, _) in found.items()]
    alarms = [Figure(what=who, samples=[one], unit="", **_target(who, 1.0)) for who, (_, one) in found.items()]
    return [
        Section(title=f"labels until an alarm, {GOOD:.0%} of errors become {BAD:.0%}", figures=[*delays, *missing]),
        Section(title=f"{GOOD:.0%} stay: alarms in 1,000,000 labels", figures=alarms),
    ]


_DETECTORS = (Detector(rate=GOOD), Detector(rate=GOOD, run_length=1_000_000.0), Detector.of(GOOD))


def _named(detector: Detector) -> str:
    return f"above {detector.rate:.0%}, once in {detector.run_length:,.0f}"


def drawn(runs: int, seed: int = 0) -> dict[str, Any]:
    """Of each run, errors before and after the decline, and others without one."""
    draw = np.random.default_rng([seed, 5])
    shares = {"before": (GOOD, BEFORE), "after": (BAD, AFTER), "calm": (GOOD, CALM)}
    return {name: (draw.random((runs, labels)) < share).astype(float) for name, (share, labels) in shares.items()}


def _delays(detector: Detector, errors: Mapping[str, Any]) -> list[float]:
    found = []
    for before, after in zip(errors["before"], errors["after"], strict=True):
        first = detector.update(before).first_alarm(after)
        found.append(math.inf if first is None else float(first))
    return found


def _alarms(detector: Detector, errors: Mapping[str, Any]) -> float:
    """In a million labels. After an alarm it begins anew."""
    alarms = 0
    for run in errors["calm"]:
        left = run
        while len(left) and (at := detector.first_alarm(left)) is not None:
            alarms, left = alarms + 1, left[at:]
    return alarms / int(errors["calm"].size) * MILLION


def _of_river(told: Mapping[str, Any], runs: int) -> dict[str, tuple[Sequence[float], float]]:
    return {
        f"River's {name}": (
            [math.inf if one is None else float(one) for one in found["labels"]],
            found["alarms"] / (runs * CALM) * MILLION,
        )
        for name, found in told.items()
    }


def _target(who: str, most: float) -> Limits:
    return {"target": most} if who in (_named(one) for one in _DETECTORS[:2]) else {}
