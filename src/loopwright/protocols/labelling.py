"""Labels that come in: checked, matched with what was predicted, and recorded. All of a loop, or none.

The label of a prediction that is not there is counted as unknown and kept aside, for it may be handed in yet; one for a
key is kept, for its row may be predicted yet. Where its loop is no loop of this workspace, it is not kept.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from loopwright.core.clock import Clock
from loopwright.gateway.decode import LISTED, Problem, Problems, is_scalar
from loopwright.gateway.gateway import Gateway
from loopwright.gateway.refused import Refused, unfit
from loopwright.predictions import aside, finding, journal, reading
from loopwright.predictions.concealing import Concealer
from loopwright.predictions.journal import Journal
from loopwright.predictions.keys import Keys
from loopwright.predictions.labels import Label
from loopwright.protocols.label_bodies import FORM, Body, Contract, Facts, Told, read

_RECENT = 200
"""Predictions that the kinds of key columns are seen from."""
OUTCOME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_FIRST, _APART = datetime(1970, 1, 1, tzinfo=UTC), timedelta(days=1)
"""Of the time when a label became true, and how far the clock that says so may be ahead of ours."""


@dataclass(frozen=True, slots=True)
class Accepted:
    accepted: int
    unknown: int
    """Of predictions that are not there: kept aside. Of loops that are not: not kept."""
    unmatched: int
    """Of those accepted, by keys that no prediction has yet."""


class Labelling:
    """Takes labels for the predictions in a workspace."""

    def __init__(
        self,
        *,
        workspace: Path,
        journal: Journal,
        clock: Clock,
        gateway: Gateway | None = None,
        contracts: Callable[[], Mapping[str, Contract]] | None = None,
        concealer: Callable[[str, int], Concealer | None] = lambda _loop, _version: None,
        aside: Journal | None = None,
    ) -> None:
        """`contracts` tells of the loops that labels are for; of a `gateway` they are those that it serves.

        `concealer` is what hides the values of a version's rows, and so of the keys that labels come by. Labels of
        predictions that are not there go to the journal `aside`; without one they are not kept.
        """
        self._workspace = workspace
        self._concealer = concealer
        self._journal = journal
        self._aside = aside
        self._contracts = contracts or (lambda: _served(gateway))
        self._clock = clock
        self._keys: dict[tuple[str, tuple[str, ...]], Keys] = {}

    def take(self, body: Body, check: Callable[[str], None], *, is_text: bool = False) -> Accepted:
        """Record what is known. `is_text`: labels and keys are text that may stand for a number, true or false.

        Raises `Refused` for labels that cannot be, `StoreUnavailable`, and what `check` does of a loop that whoever
        sends them may not touch; of the loop "" where they may not touch all.
        """
        _refuse(problem for row, told in enumerate(body.labels) for problem in _form(row, told, self._clock.now()))
        contracts = self._contracts()
        placed = self._placed(body.labels, contracts)
        for touched in {one.loop for one in placed if one.loop is not None}:
            check(touched)
        _refuse(problem for row, one in enumerate(placed) for problem in _of_another(row, one))
        facts = self._facts(contracts, {one.loop for one in placed if one.told.key})
        if is_text:
            placed = [replace(one, told=read(one.told, facts.get(one.loop or ""))) for one in placed]
        _refuse(p for row, one in enumerate(placed) for p in _fit(row, one.told, facts.get(one.loop or "")))
        return self._record(placed, body.origin, facts, check)

    def _record(
        self, placed: Sequence[_Placed], origin: str, facts: Mapping[str, Facts], check: Callable[[str], None]
    ) -> Accepted:
        lines, strangers, accepted = dict[str, list[Label]](), list[Label](), 0
        for one in placed:
            line = self._line(one, origin, facts.get(one.loop or ""))
            if line is not None and one.loop is not None:
                lines.setdefault(one.loop, []).append(line)
                accepted += one.is_known
            elif line is not None:
                strangers.append(line)
        if strangers and self._aside is not None and _is_for_all(check):
            self._aside.append(aside.NAME, strangers)
        for loop, found in lines.items():
            self._journal.append(loop, found)
        unmatched = sum(self._unmatched(loop, lines[loop]) for loop in lines.keys() & facts.keys())
        return Accepted(accepted, len(placed) - accepted, unmatched)

    def _unmatched(self, loop: str, labels: Sequence[Label]) -> int:
        """How many are by a key that no prediction has yet."""
        count = 0
        for columns in {tuple(sorted(label.key)) for label in labels if label.key is not None}:
            of = loop, columns
            known = self._keys.get(of) or self._keys.setdefault(of, Keys(self._workspace, loop, columns))
            known.refresh()
            wanted = [label.key for label in labels if label.key is not None and label.key.keys() == set(columns)]
            count += sum(key not in known for key in wanted)
        return count

    def _placed(self, labels: Sequence[Told], contracts: Mapping[str, Contract]) -> list[_Placed]:
        known = finding.known(self._workspace, (told.prediction_id for told in labels if told.prediction_id))
        names = {*contracts, *journal.loops(self._workspace / journal.FOLDER)}
        found = []
        for told in labels:
            said = told.loop if told.loop in names else None
            if told.prediction_id is None:
                found.append(_Placed(told, said, is_known=said is not None))
            else:
                found.append(_Placed(told, known.get(told.prediction_id, said), is_known=told.prediction_id in known))
        return found

    def _facts(self, contracts: Mapping[str, Contract], keyed: Collection[str | None]) -> Mapping[str, Facts]:
        """The kinds of keys only of those that are `keyed`, for they are looked up."""
        facts = {}
        for loop, contract in contracts.items():
            kinds = tuple({type(one) for one in contract.classes}) or (int, float)
            concealer = self._concealer(loop, contract.version)
            key_kinds = self._key_kinds(loop, concealer.columns if concealer else ()) if loop in keyed else {}
            facts[loop] = Facts(kinds, contract.key, contract.time, key_kinds, concealer)
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

    def _line(self, one: _Placed, origin: str, facts: Facts | None) -> Label | None:
        """None of a loop that is not there, and by a key that predictions are not kept under, for its values are
        dropped. Raises `Refused`."""
        told, key = one.told, one.told.key
        if key is not None and one.loop is None:
            return None
        hidden: Any = key  # without a null: `_form` saw to it
        if key is not None:
            if facts is None:
                what = f"no model of {told.loop} is loaded that would say which values of its key must be hidden"
                raise Refused(503, what, fix="see GET /v1/loops, and send it again", retry_seconds=5.0)
            hidden = facts.concealer.label_key(key) if facts.concealer else key
            if hidden is None:
                return None
        label: Any = _as_class(told.label, facts.kinds) if facts and told.outcome is None else told.label
        return Label(
            label=label,
            at=self._clock.now(),
            origin=origin,
            prediction_id=told.prediction_id,
            key=hidden,
            outcome=told.outcome,
            true_at=None if told.at is None else _utc(told.at),
        )


@dataclass(frozen=True, slots=True)
class _Placed:
    """A label, and the loop it is of: None for what nobody predicted and no loop is said of."""

    told: Told
    loop: str | None
    is_known: bool


def _is_for_all(check: Callable[[str], None]) -> bool:
    """Whether whoever sends labels is for every loop: of a prediction that is not there nobody knows whose it is."""
    try:
        check("")
    except Refused:
        return False
    return True


def _served(gateway: Gateway | None) -> Mapping[str, Contract]:
    found = {}
    for state in gateway.states() if gateway else ():
        if state.served:
            model = state.served.champion
            found[state.loop] = Contract(
                version=model.version.number,
                classes=model.predictor.classes,
                key=model.schema.key,
                time=model.schema.time,
            )
    return found


def _of_another(row: int, one: _Placed) -> Iterator[Problem]:
    """That a prediction is of another loop than was said."""
    told = one.told
    if one.is_known and told.prediction_id is not None and told.loop not in (None, one.loop):
        yield Problem(row, "prediction_id", told.prediction_id, f"a prediction of {told.loop}: it is one of {one.loop}")


def _form(row: int, told: Told, now: datetime) -> Iterator[Problem]:
    """What is wrong with a label, whatever its loop."""
    if not _is_known(told.label):
        shown = None if told.label is None else str(told.label)[:100]
        yield Problem(row, "label", shown, "text, a number of 64 bits, true or false")
    if (told.prediction_id is None) == (told.key is None):
        yield Problem(row, None, None, "either prediction_id, or loop and key")
    if told.prediction_id is not None and finding.parse(told.prediction_id) is None:
        yield Problem(row, "prediction_id", told.prediction_id[:100], "an id as the answer gave it")
    if told.key is not None and (not told.key or not all(map(_is_known, told.key.values()))):
        shown = ", ".join(f"{name}={value}" for name, value in told.key.items())[:100]
        yield Problem(row, "key", shown, "an object of text, numbers, true or false")
    if told.key is not None and told.loop is None:
        yield Problem(row, "loop", None, "the name of the loop that the key belongs to")
    if told.outcome is not None and not OUTCOME.fullmatch(told.outcome):
        yield Problem(row, "outcome", told.outcome[:100], "a name: small letters, digits, - and _, a letter first")
    if told.at is not None and not _has_been(told.at, now):
        yield Problem(row, "at", told.at.isoformat(), "a time from 1970 to now, when it became true")


def _has_been(at: datetime, now: datetime) -> bool:
    try:
        return _FIRST <= _utc(at) <= now + _APART
    except OverflowError:
        return False


def _utc(at: datetime) -> datetime:
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def _fit(row: int, told: Told, facts: Facts | None) -> Iterator[Problem]:
    """What is wrong with a label of this loop. A class that is new is right: the world may have it."""
    if facts is None:
        return
    if told.outcome is not None:
        if isinstance(told.label, str):
            yield Problem(row, "label", told.label[:100], "a number, true or false: it is an outcome")
    elif type(_as_class(told.label, facts.kinds)) not in facts.kinds:
        yield Problem(row, "label", told.label, " or ".join(sorted(_NOUNS[kind] for kind in facts.kinds)))
    if told.key is not None and facts.key and set(told.key) - {facts.time} != set(facts.key) - {facts.time}:
        beside = f", and {facts.time} where one key is predicted on again" if facts.time else ""
        yield Problem(row, "key", ", ".join(told.key)[:100], f"the columns {', '.join(facts.key)}{beside}")
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
    return is_scalar(value) and value is not None and not (isinstance(value, float) and not math.isfinite(value))


_NOUNS: Mapping[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
