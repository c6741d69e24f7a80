"""Labels of predictions that are not there (yet): kept aside, counted, and matched when the prediction turns up.

    <workspace>/aside/labels/<writer>.jsonl

What an edge predicted without a network is handed in after its label may have come. Whoever joins labels reads these,
too; once a prediction is handed in, `adopt` puts its labels into the journal of its loop, where those look who follow
only that. The line here stays: it says the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from loopwright.core.clock import Clock
from loopwright.predictions import journal
from loopwright.predictions.journal import Journal

FOLDER = "aside"
NAME = "labels"
_NAMED = re.compile(rb'"prediction_id":"([^"]{28,40})"')


def waiting(workspace: Path) -> dict[str, list[bytes]]:
    """The lines kept aside, by the prediction that each is for."""
    found: dict[str, list[bytes]] = {}
    for line in journal.lines(workspace / FOLDER, NAME):
        named = _NAMED.search(line)
        if named is not None and line.endswith(b"\n"):
            found.setdefault(named[1].decode(), []).append(line)
    return found


def adopt(workspace: Path, labels: Path, loop: str, predictions: Collection[str], clock: Clock) -> int:
    """Put the labels of predictions that turned up into the journal of their loop, under `labels`; how many.

    Those that are there are not put there again: who was killed on the way may ask once more. Raises
    `StoreUnavailable`.
    """
    kept = waiting(workspace) if journal.files(workspace / FOLDER, NAME) else {}
    lines = list(dict.fromkeys(line for one in predictions for line in kept.get(one, ())))
    if lines:
        there = set(lines).intersection(journal.lines(labels, loop))
        lines = [line for line in lines if line not in there]
    if lines:
        writing = Journal(labels, clock)
        try:
            writing.append_encoded(loop, b"".join(lines), len(lines))
        finally:
            writing.close()
    return len(lines)
