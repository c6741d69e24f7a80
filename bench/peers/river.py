"""River: streams by its own generators, and what its drift detectors, with default settings, say of errors.

`python -m bench.peers.river draw FOLDER SEED ...` writes `SEED.npz`, two arrays a stream. `... detect FILE` reads
`before` and `after`, runs by labels, and `calm`: told are, of each detector, the labels after the first of `after`
until an alarm, and how many alarms `calm` has.
"""
# River is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

import json
import sys
from itertools import islice
from pathlib import Path

import numpy as np
from river import drift
from river.datasets import synth

ROWS, CHANGES = 40_000, (10_000, 20_000, 30_000)
DETECTORS = {"ADWIN": drift.ADWIN, "DDM": drift.binary.DDM, "EDDM": drift.binary.EDDM}


def draw(folder: Path, seed: int) -> None:
    """Each concept is a generator of its own, a quarter of the rows each."""
    streams = {
        "sine, reversed": _parts([synth.Sine(one, seed=_seed(seed, part)) for part, one in enumerate((0, 1, 0, 1))]),
        "stagger": _parts([synth.STAGGER(one, seed=_seed(seed, part)) for part, one in enumerate((0, 1, 2, 0))]),
        "agrawal": _parts([synth.Agrawal(one, seed=_seed(seed, part)) for part, one in enumerate((0, 1, 2, 3))]),
        "hyperplane, slow": _rows(synth.Hyperplane(seed=seed, n_drift_features=10, mag_change=0.001), ROWS),
        "rbf, no drift": _rows(_rbf(seed), ROWS),
        "harmless shift of inputs": _shifted(*_rows(_rbf(seed), ROWS), seed),
    }
    arrays = {f"{name} {what}": array for name, pair in streams.items() for what, array in zip("xy", pair, strict=True)}
    np.savez(folder / f"{seed}.npz", **arrays)


def _rbf(seed):
    return synth.RandomRBF(seed_model=seed, seed_sample=seed)


def _seed(seed, part):
    return seed * 10 + part


def _parts(generators):
    parts = [_rows(one, ROWS // 4) for one in generators]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _rows(generator, count):
    rows = list(islice(generator, count))
    return np.array([list(x.values()) for x, _ in rows], dtype=float), np.array([int(y) for _, y in rows])


def _shifted(x, y, seed):
    """A column that decides nothing moves at every change: River has no such stream of its own."""
    moved = np.asarray([0.0, 1.0, -0.5, 1.5])[np.searchsorted(CHANGES, np.arange(len(x)), side="right")]
    return np.column_stack([x, np.random.default_rng(seed).normal(size=len(x)) + moved]), y


def detect(path: Path) -> dict:
    found = np.load(path)
    return {name: _told(kind, found) for name, kind in DETECTORS.items()}


def _told(kind, found) -> dict:
    runs = zip(found["before"], found["after"], strict=True)
    return {
        "labels": [_until(kind, *run) for run in runs],
        "alarms": sum(_alarms(kind(), one) for one in found["calm"]),
    }


def _until(kind, before, after):
    """None where it never alarms. What alarmed before begins anew, as River's detectors do."""
    detector = kind()
    _alarms(detector, before)
    for count, error in enumerate(after, 1):
        detector.update(int(error))
        if detector.drift_detected:
            return count
    return None


def _alarms(detector, errors):
    count = 0
    for error in errors:
        detector.update(int(error))
        count += detector.drift_detected
    return count


if __name__ == "__main__":
    what, place, *seeds = sys.argv[1:]
    if what == "draw":
        for one in seeds:
            draw(Path(place), int(one))
        print(json.dumps(seeds), flush=True)
    else:
        print(json.dumps(detect(Path(place))), flush=True)
