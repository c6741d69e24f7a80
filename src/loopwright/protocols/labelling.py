"""Labels that come in: checked, matched with what was predicted, and recorded. All of a loop, or none.

The label of a prediction nobody made is counted as unknown and not kept; one for a key is kept, for its row may be
predicted yet.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from loopwright.core.clock import Clock
from loopwright.gateway.decode import LISTED, Problem, Problems, is_scalar
from loopwright.gateway.gateway import Gateway
from loopwright.gateway.refused import Refused, unfit
from loopwright.predictions import finding, journal, reading
from loopwright.predictions.concealing import Concealer
from loopwright.predictions.journal import Journal
from loopwright.predictions.keys import Keys
from loopwright.predictions.labels import Label
from loopwright.protocols.bodies import Scalar

_RECENT = 200
"""Predictions that the kinds of key columns are seen from."""
FORM = '{"labels": [{"prediction_id": "...", "label": true}]}'


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One label as it comes: of a prediction, or of a key of a loop."""

    label: Scalar
    prediction_id: str | None = None
    loop: str | None = None
    key: dict[str, Scalar] | None = None


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    labels: list[Told]
    origin: str = "HTTP"
    """Where they come from, for people."""


@dataclass(frozen=True, slots=True)
class Accepted:
    accepted: int
    unknown: int
    """Of predictions or loops that are not there: not kept."""
    unmatched: int
    """Of those accepted, by keys that no prediction has yet."""


class Labelling:
    """Takes labels for the predictions in a workspace."""

    def __init__(
        self,
        *,
        workspace: Path,
        journal: Journal,
        gateway: Gateway,
        clock: Clock,
        concealer: Callable[[str, int], Concealer | None] = lambda _loop, _version: None,
    ) -> None:
        """`concealer` is what hides the values of a version's rows, and so of the keys that labels come by."""
        self._workspace = workspace
        self._concealer = concealer
        self._journal = journal
        self._gateway = gateway
        self._clock = clock
        self._keys: dict[tuple[str, tuple[str, ...]], Keys] = {}

    def take(self, body: Body, check: Callable[[str], None]) -> Accepted:
        """Record what is known. Raises `Refused` for labels that cannot be, `StoreUnavailable`, and what `check` does
        of a loop that whoever sends them may not touch."""
        _refuse(problem for row, told in enumerate(body.labels) for problem in _form(row, told))
        loops = self._loops(body.labels)
        for touched in {loop for loop in loops if loop is not None}:
            check(touched)
        facts = self._facts({loop for told, loop in zip(body.labels, loops, strict=True) if told.key})
        _refuse(p for row, told in enumerate(body.labels) for p in _fit(row, told, facts.get(loops[row] or "")))
        lines: dict[str, list[Label]] = {}
        for told, loop in zip(body.labels, loops, strict=True):
            line = self._line(told, body, facts.get(loop)) if loop is not None else None
            if loop is not None and line is not None:
                lines.setdefault(loop, []).append(line)
        for loop, labels in lines.items():
            self._journal.append(loop, labels)
        accepted = sum(map(len, lines.values()))
        unmatched = sum(self._unmatched(loop, facts[loop].key, lines[loop]) for loop in lines.keys() & facts.keys())
        return Accepted(accepted, len(loops) - accepted, unmatched)

    def _unmatched(self, loop: str, columns: tuple[str, ...], labels: Sequence[Label]) -> int:
        """How many are by a key that no prediction has yet."""
        wanted = [label.key for label in labels if label.key is not None and label.key.keys() == set(columns)]
        if not wanted:
            return 0
        of = loop, columns
        known = self._keys.get(of) or self._keys.setdefault(of, Keys(self._workspace, loop, columns))
        known.refresh()
        return sum(key not in known for key in wanted)

    def _loops(self, labels: Sequence[Told]) -> list[str | None]:
        """The loop of each, None for what nobody predicted."""
        known = finding.known(self._workspace, (told.prediction_id for told in labels if told.prediction_id))
        names = {state.loop for state in self._gateway.states()}
        names |= set(journal.loops(self._workspace / journal.FOLDER))
        return [
            known.get(told.prediction_id) if told.prediction_id else told.loop if told.loop in names else None
            for told in labels
        ]

    def _facts(self, keyed: Collection[str | None]) -> Mapping[str, _Facts]:
        """Of the loops that are served; the kinds of keys only of those that are `keyed`, for they are looked up."""
        facts = {}
        for state in self._gateway.states():
            if state.served:
                model = state.served.champion
                kinds = tuple({type(one) for one in model.predictor.classes}) or (int, float)
                concealer = self._concealer(state.loop, model.version.number)
                hidden = concealer.columns if concealer else ()
                key_kinds = self._key_kinds(state.loop, hidden) if state.loop in keyed else {}
                facts[state.loop] = _Facts(kinds, model.schema.key, key_kinds, concealer)
        return facts

    def _key_kinds(self, loop: str, hidden: Collection[str]) -> Mapping[str, str]:
        """By the newest predictions: the schema has but the names. Of a column of several kinds nothing is said, nor of
        one whose values are hidden."""
        found: dict[str, set[str]] = {}
        for line in reading.recent(self._workspace, loop, _RECENT):
            for name, value in (line.key or {}).items():
                if value is not None and name not in hidden:
                    found.setdefault(name, set()).add(_key_kind(value))
        return {name: kinds.pop() for name, kinds in found.items() if len(kinds) == 1}

    def _line(self, told: Told, body: Body, facts: _Facts | None) -> Label | None:
        """None by a key that predictions are not kept under, for its values are dropped. Raises `Refused`."""
        key: Any = told.key  # without a null: `_form` saw to it
        if key is not None:
            if facts is None:
                what = f"no model of {told.loop} is loaded that would say which values of its key must be hidden"
                raise Refused(503, what, fix="see GET /v1/loops, and send it again", retry_seconds=5.0)
            key = facts.concealer.label_key(key) if facts.concealer else key
            if key is None:
                return None
        return Label(
            label=_as_class(told.label, facts.kinds if facts else ()),
            at=self._clock.now(),
            origin=body.origin,
            prediction_id=told.prediction_id,
            key=key,
        )


@dataclass(frozen=True, slots=True)
class _Facts:
    """What labels of a loop look like."""

    kinds: tuple[type, ...]
    key: tuple[str, ...]
    key_kinds: Mapping[str, str]
    """Of its columns, as far as they are known."""
    concealer: Concealer | None


def _form(row: int, told: Told) -> Iterator[Problem]:
    """What is wrong with a label, whatever its loop."""
    if not _is_known(told.label):
        yield Problem(row, "label", None, "text, a number of 64 bits, true or false")
    if (told.prediction_id is None) == (told.key is None):
        yield Problem(row, None, None, "either prediction_id, or loop and key")
    if told.prediction_id is not None and finding.parse(told.prediction_id) is None:
        yield Problem(row, "prediction_id", told.prediction_id[:100], "an id as the answer gave it")
    if told.key is not None and (not told.key or not all(map(_is_known, told.key.values()))):
        yield Problem(row, "key", None, "an object of text, numbers, true or false")
    if told.key is not None and told.loop is None:
        yield Problem(row, "loop", None, "the name of the loop that the key belongs to")


def _fit(row: int, told: Told, facts: _Facts | None) -> Iterator[Problem]:
    """What is wrong with a label of this loop. A class that is new is right: the world may have it."""
    if facts is None:
        return
    if type(_as_class(told.label, facts.kinds)) not in facts.kinds:
        yield Problem(row, "label", told.label, " or ".join(sorted(_NOUNS[kind] for kind in facts.kinds)))
    if told.key is not None and facts.key and set(told.key) != set(facts.key):
        yield Problem(row, "key", ", ".join(told.key)[:100], f"the columns {', '.join(facts.key)}")
    for name, value in (told.key or {}).items():
        kind = facts.key_kinds.get(name)
        if kind is not None and _key_kind(value) != kind:
            expected = f"{kind}, as {name[:100]} is in the newest predictions: else they would never meet"
            yield Problem(row, "key", value[:100] if isinstance(value, str) else value, expected)


def _as_class(label: Any, kinds: Collection[type]) -> Any:
    """A whole float as the integer that the model's classes are: a table may hold its labels as 0.0 and 1.0."""
    is_whole = isinstance(label, float) and label.is_integer() and int in kinds and float not in kinds
    return int(label) if is_whole else label


def _key_kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "text" if isinstance(value, str) else "a number"


def _refuse(problems: Iterator[Problem]) -> None:
    listed = tuple(islice(problems, LISTED))
    if listed:
        raise unfit(Problems(listed, is_all=next(problems, None) is None), "what a label is", fix=f"send {FORM}")


def _is_known(value: Any) -> bool:
    return value is not None and is_scalar(value)


_NOUNS: Mapping[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
