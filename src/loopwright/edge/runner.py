"""A bundle that answers here: rows read as strictly as by a gateway, each answer recorded before it is given."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loopwright.core.clock import Clock, SystemClock, Ulids
from loopwright.edge.journal import LIMIT_BYTES, Journal, WhenFull
from loopwright.edge.place import Place, look
from loopwright.errors import BundleRefused
from loopwright.gateway.decode import Decoded, Decoder, Problems
from loopwright.gateway.example import example
from loopwright.gateway.refused import no_number, unfit
from loopwright.predictions.concealing import Concealer
from loopwright.transform.predictor import Predictor

ARM = "edge"
"""Of every prediction made here: no evidence in a comparison of versions, for no route chose it."""


class Runner:
    """One version, ready to answer. Threads may share it."""

    def __init__(self, place: Place, journal: Journal, clock: Clock) -> None:
        """Tries the model on a row. Raises `BundleRefused`."""
        self.place = place
        self.journal = journal
        self.decoder = Decoder(place.bundle.schema)
        self.predictor = Predictor.from_bundle(place.bundle)
        self.predictions = self.invalid = 0
        self._clock = clock
        self._ulids = Ulids(clock)
        self._using = threading.Lock()
        self._concealer = Concealer(place.bundle.schema, "drop", b"")  # there is no key to hash them with
        tried = self.decoder.decode([example(place.bundle.schema)])
        if not isinstance(tried, Decoded):
            raise BundleRefused(f"the schema of {place.loop} refuses its own example", fix="run the loop again")
        self.predictor.run(tried.feed)

    def predict(self, rows: Sequence[Mapping[str, Any]], unit: str | None = None) -> list[dict[str, Any]]:
        """The answers in the order of the rows: `id`, `version`, `arm`, and `label` with `probabilities`, or `value`.

        Raises `Refused`, which names the rows that do not fit; `StoreUnavailable` where nothing can be recorded.
        """
        decoded = self.decoder.decode(rows)
        if isinstance(decoded, Problems):
            raise unfit(decoded, "the model's columns")
        found = self.predictor.run(decoded.feed)
        if not found.is_finite:
            self.invalid += 1
            raise no_number(self.place.loop)
        with self._using:  # ids are written in their order
            moment = self._clock.now()
            ulid = self._ulids.at(moment)
            answers = [self._answer(f"{ulid}.{number}", found.take(number)) for number in range(len(rows))]
            at = moment.isoformat().replace("+00:00", "Z")
            facts = {"at": at, "loop": self.place.loop, "digest": self.place.digest} | ({"unit": unit} if unit else {})
            parts = zip(answers, decoded.rows, decoded.keys, strict=True)
            self.journal.append(b"".join(self._line(*part, facts) for part in parts))
            self.predictions += len(rows)
        return answers

    def _answer(self, identity: str, told: Mapping[str, Any]) -> dict[str, Any]:
        return {"id": identity, "version": self.place.version, "arm": ARM, **told}

    def _line(
        self, answer: Mapping[str, Any], row: Mapping[str, Any], key: Mapping[str, Any] | None, facts: Mapping[str, Any]
    ) -> bytes:
        """As a gateway writes it: the id comes first."""
        hidden = self._concealer.key(key)
        line = {**answer, **facts, "row": self._concealer.row(row)} | ({"key": hidden} if hidden else {})
        return json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def load(
    folder: str | Path,
    *,
    journal: str | Path | None = None,
    limit_bytes: int = LIMIT_BYTES,
    when_full: WhenFull = "refuse",
    clock: Clock | None = None,
) -> Runner:
    """The runner of a folder that `lw bundle edge` wrote, or of a bundle; verified. `journal` is where it records.

    Raises `BundleRefused`.
    """
    place, clock = look(Path(folder)), clock or SystemClock()
    where = Path(journal) if journal is not None else place.journal
    return Runner(place, Journal(where, clock, limit_bytes=limit_bytes, when_full=when_full), clock)
