"""Labels that come in: checked, matched with what was predicted, and recorded. All of a loop, or none.

The label of a prediction nobody made is counted as unknown and not kept; one for a key is kept, for its row may be
predicted yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from loopwright.core.clock import Clock
from loopwright.predictions import finding, journal
from loopwright.predictions.journal import Journal
from loopwright.predictions.labels import Label
from loopwright.serve.decode import LISTED, Problem, Problems
from loopwright.serve.gateway import Gateway
from loopwright.serve.refused import unfit

FORM = '{"labels": [{"prediction_id": "...", "label": true}]}'


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One label as it comes: of a prediction, or of a key of a loop."""

    label: Any
    prediction_id: str | None = None
    loop: str | None = None
    key: dict[str, Any] | None = None


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    labels: list[Told]
    origin: str = "HTTP"
    """Where they come from, for people."""


@dataclass(frozen=True, slots=True)
class Accepted:
    accepted: int
    unknown: int


class Labelling:
    """Takes labels for the predictions in a workspace."""

    def __init__(self, *, workspace: Path, journal: Journal, gateway: Gateway, clock: Clock) -> None:
        self._workspace = workspace
        self._journal = journal
        self._gateway = gateway
        self._clock = clock

    def take(self, body: Body) -> Accepted:
        """Record what is known. Raises `Refused` for labels that cannot be, `StoreUnavailable`."""
        _refuse([problem for row, told in enumerate(body.labels) for problem in _form(row, told)])
        loops = self._loops(body.labels)
        facts = self._facts()
        _refuse([p for row, told in enumerate(body.labels) for p in _fit(row, told, facts.get(loops[row] or ""))])
        lines: dict[str, list[Label]] = {}
        for told, loop in zip(body.labels, loops, strict=True):
            if loop is not None:
                lines.setdefault(loop, []).append(self._line(told, body))
        for loop, labels in lines.items():
            self._journal.append(loop, labels)
        accepted = sum(map(len, lines.values()))
        return Accepted(accepted, len(loops) - accepted)

    def _loops(self, labels: Sequence[Told]) -> list[str | None]:
        """The loop of each, None for what nobody predicted."""
        known = finding.known(self._workspace, (told.prediction_id for told in labels if told.prediction_id))
        names = {state.loop for state in self._gateway.states()}
        names |= set(journal.loops(self._workspace / journal.FOLDER))
        return [
            known.get(told.prediction_id) if told.prediction_id else told.loop if told.loop in names else None
            for told in labels
        ]

    def _facts(self) -> Mapping[str, _Facts]:
        facts = {}
        for state in self._gateway.states():
            if state.served:
                model = state.served.champion
                kinds = tuple({type(one) for one in model.predictor.classes}) or (int, float)
                facts[state.loop] = _Facts(kinds, model.schema.key)
        return facts

    def _line(self, told: Told, body: Body) -> Label:
        return Label(
            label=told.label, at=self._clock.now(), origin=body.origin, prediction_id=told.prediction_id, key=told.key
        )


@dataclass(frozen=True, slots=True)
class _Facts:
    """What labels of a loop look like."""

    kinds: tuple[type, ...]
    key: tuple[str, ...]


def _form(row: int, told: Told) -> Iterator[Problem]:
    """What is wrong with a label, whatever its loop."""
    if not _is_scalar(told.label):
        yield Problem(row, "label", None, "text, a number of 64 bits, true or false")
    if (told.prediction_id is None) == (told.key is None):
        yield Problem(row, None, None, "either prediction_id, or loop and key")
    if told.prediction_id is not None and finding.parse(told.prediction_id) is None:
        yield Problem(row, "prediction_id", told.prediction_id[:100], "an id as the answer gave it")
    if told.key is not None and (not told.key or not all(map(_is_scalar, told.key.values()))):
        yield Problem(row, "key", None, "an object of text, numbers, true or false")
    if told.key is not None and told.loop is None:
        yield Problem(row, "loop", None, "the name of the loop that the key belongs to")


def _fit(row: int, told: Told, facts: _Facts | None) -> Iterator[Problem]:
    """What is wrong with a label of this loop. A class that is new is right: the world may have it."""
    if facts is None:
        return
    if type(told.label) not in facts.kinds:
        yield Problem(row, "label", told.label, " or ".join(sorted(_NOUNS[kind] for kind in facts.kinds)))
    if told.key is not None and facts.key and set(told.key) != set(facts.key):
        yield Problem(row, "key", ", ".join(told.key)[:100], f"the columns {', '.join(facts.key)}")


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise unfit(Problems(tuple(problems[:LISTED]), len(problems)), "what a label is")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool | float) or (type(value) is int and -(2**63) <= value < 2**63)


_NOUNS: Mapping[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
