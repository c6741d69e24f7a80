"""The journal of failures: requests that an arm's model failed, one line each, beside those of what was predicted.

    <workspace>/failures/<loop>/<writer>.jsonl

A model fails a request when it raises, takes longer than it may, or gives no number. What a client did wrong, and what
was refused for want of room, is none. No row and no message of a library stands here, for that may hold a value of one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from loopwright.core.clock import Clock, moment_of
from loopwright.core.version import Arm, Version
from loopwright.errors import StoreError
from loopwright.predictions import journal
from loopwright.predictions.journal import Journal, Terms

_logger = logging.getLogger(__name__)
FOLDER = "failures"
"""Of a workspace: the root of these journals."""
CLOSE_SECONDS = 3600.0
"""The age at which a file is closed, so that days that are too old can go."""
KEPT_DAYS = 90
"""The age at which they go where predictions are kept for good: nothing looks further back."""
_SLACK = timedelta(minutes=1)
"""By which the clocks of two machines may differ."""
Kind = Literal["error", "timeout", "invalid"]
"""It raised; it took too long, or is not called any more because it did; it gave no number."""


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request that a model failed, as it lies in the journal."""

    id: str
    """The ULID of the request; a shadow's bears that of the request that was answered."""
    at: datetime
    """When the request came, to the millisecond: whoever chose its arm did so then."""
    loop: str
    version: int
    digest: str
    arm: str
    kind: Kind
    reason: str
    """Without any value of a row."""
    rows: int = 1
    """Of the request."""
    unit: str | None = None
    route: int | None = None
    """The revision of the route by which its arm was chosen."""
    shadow: bool = False


class Failures:
    """Where models' failures are written down. It never keeps an answer: what cannot be written is left out."""

    def __init__(self, workspace: Path, clock: Clock, terms: Terms = Terms()) -> None:  # noqa: B008 - frozen
        """Of the terms, the share and the patience hold: failures are as many, beside predictions, as they were."""
        kept = Terms(patience_seconds=terms.patience_seconds, when_full="answer", close_seconds=CLOSE_SECONDS)
        self._journal = Journal(workspace / FOLDER, clock, terms=kept)
        self._shares = Journal(workspace / FOLDER, clock, terms=terms)
        self._clock = clock

    def note(
        self,
        version: Version,
        arm: Arm,
        ulid: str,
        kind: Kind,
        reason: str,
        *,
        rows: int = 1,
        unit: str | None = None,
        route: int | None = None,
    ) -> None:
        """Write one down, where its request belongs to the share that is recorded: as of when its request came, which
        for one that took too long is long before."""
        if not self._shares.takes(ulid):
            return
        failure = Failure(
            id=ulid,
            at=min(moment_of(ulid), self._clock.now()),
            loop=version.loop,
            version=version.number,
            digest=version.digest,
            arm=arm.name,
            kind=kind,
            reason=reason,
            rows=rows,
            unit=unit,
            route=route,
            shadow=arm.shadow,
        )
        try:
            self._journal.append(version.loop, [failure])
        except StoreError as error:
            _logger.warning("a failure of %s could not be recorded: %s", version.name, error)

    def close_old(self) -> None:
        """Close files that are old enough to be dropped one day. Call it now and then."""
        self._journal.close_old()

    def close(self) -> None:
        self._journal.close()


def of_request(workspace: Path, ulid: str) -> Failure | None:
    """What became of a request that no prediction was recorded of; None where no model failed it. Not of shadows."""
    root, named = workspace / FOLDER, ulid[:26].encode()
    decoder = msgspec.json.Decoder(Failure)
    for loop in journal.loops(root):
        for line in journal.lines(root, loop):
            if named in line:
                try:
                    found = decoder.decode(line)
                except msgspec.MsgspecError:  # torn by a power cut
                    continue
                if found.id == ulid[:26] and not found.shadow:
                    return found
    return None


def since(workspace: Path, loop: str, moment: datetime) -> Iterator[Failure]:
    """Those of a loop from a moment on. A file is passed by where nobody has written to it since."""
    root, decoder = workspace / FOLDER, msgspec.json.Decoder(Failure)
    for file in journal.files(root, loop):
        with suppress(FileNotFoundError):
            if _is_before(file, moment):
                continue
            with file.open("rb") as opened:
                for line in opened:
                    with suppress(msgspec.MsgspecError):  # torn by a power cut
                        one = decoder.decode(line)
                        if one.at >= moment:
                            yield one


def _is_before(file: Path, moment: datetime) -> bool:
    """Whether its last line was written before, by a clock that goes with the system's: one that is turned by hand may
    say that a file was begun after it was last written to."""
    written_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    return moment_of(file.stem) <= written_at < moment - _SLACK


def drop_old(workspace: Path, before: datetime) -> list[str]:
    """Delete the files that nobody has written to since, of every loop; their names."""
    root = workspace / FOLDER
    return [name for loop in journal.loops(root) for name in journal.drop_old(root, loop, before)]
