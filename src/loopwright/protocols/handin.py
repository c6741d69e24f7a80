"""Predictions made at the edge, handed in once there is a network: each is taken once, however often it comes.

The body is lines of JSON as the edge recorded them, gzipped or plain. All are taken or none: what cannot be read, or
was made by a bundle that is no version of this workspace, or is nothing that bundle could have been asked or have
answered, refuses the body, with the line.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from loopwright.core import access
from loopwright.core.clock import Clock
from loopwright.core.stores import Stores
from loopwright.core.version import Version
from loopwright.data.schema import Schema
from loopwright.errors import VersionNotFound
from loopwright.gateway.decode import LISTED, Problem, Problems, is_scalar
from loopwright.gateway.refused import Refused, unfit
from loopwright.predictions import aside, finding, journal, labels
from loopwright.predictions.concealing import Concealer
from loopwright.predictions.journal import Journal, Line
from loopwright.protocols import door
from loopwright.protocols.bodies import Limits, too_many
from loopwright.protocols.door import Answer, Guarded
from loopwright.protocols.handed import Contract, wrong_moment
from loopwright.protocols.work import at_work
from loopwright.transform.manifest import MANIFEST, Manifest

ARM = "edge"
"""Whatever the line says: it is no evidence in a comparison of versions."""
FORM = "lines of JSON as the edge recorded them"
_DECODER = msgspec.json.Decoder(Line)
_LOCK = ".handing-in"
Conceal = Callable[[Schema], Concealer]
Known: TypeAlias = tuple[Version, Contract, Concealer]


@dataclass(frozen=True, slots=True)
class Taken:
    accepted: int
    known: int
    """That were here already."""


class HandingIn:
    """Takes predictions into the journal of a workspace."""

    def __init__(
        self, *, workspace: Path, stores: Callable[[], Stores], clock: Clock, limits: Limits, conceal: Conceal
    ) -> None:
        self._workspace = workspace
        self._stores = stores
        self._clock = clock
        self._limits = limits
        self._conceal = conceal
        self._versions: dict[tuple[str, str], Known | None] = {}

    def routes(self, pool: ThreadPoolExecutor) -> list[Guarded]:
        """The work is done in threads of the pool."""

        async def predictions(request: Request) -> Response:
            content = await door.body(request, self._limits.body_bytes)
            is_gzip = door.encoding(request) == "gzip"
            return await at_work(pool, lambda: self._answer(request, content, is_gzip=is_gzip))

        made = door.route(
            "/v1/predictions", predictions, ["POST"], scope=access.Scope.OPERATE, sees_loops=True, encodings=("gzip",)
        )
        return [made]

    def take(self, content: bytes, check: Callable[[str], None], *, is_gzip: bool = False) -> Taken:
        """Record what is new. Raises `Refused`, `StoreUnavailable`, and what `check` does of a loop that whoever sends
        them may not touch."""
        plain = unpacked(content, self._limits.body_bytes) if is_gzip else content
        lines = self._read(plain, check)
        with self._alone():
            known = finding.known(self._workspace, lines)
            fresh = [line for identity, line in lines.items() if identity not in known]
            self._record(fresh)
            for loop in {
                line.loop for line in lines.values()
            }:  # also of lines that were known: it may have been killed
                ids = [line.id for line in lines.values() if line.loop == loop]
                aside.adopt(self._workspace, self._workspace / labels.FOLDER, loop, ids, self._clock)
        return Taken(len(fresh), len(lines) - len(fresh))

    def _answer(self, request: Request, content: bytes, *, is_gzip: bool) -> Answer:
        return Answer(self.take(content, lambda loop: door.refuse_loop(request, loop), is_gzip=is_gzip))

    def _read(self, content: bytes, check: Callable[[str], None]) -> Mapping[str, Line]:
        """By id, sorted, as they are to be recorded."""
        texts = content.splitlines()
        if len(texts) > self._limits.rows:
            raise too_many(self._limits.rows, "lines")
        found: dict[str, Line] = {}
        problems: list[Problem] = []
        for number, text in enumerate(texts):
            line = self._line(text, number, problems)
            if line is not None:
                check(line.loop)
                found[line.id] = line
            if len(problems) == LISTED:
                break
        if problems:
            found_out = Problems(tuple(problems), is_all=len(problems) < LISTED)
            raise unfit(found_out, "what a prediction is", fix=f"hand in {FORM}")
        return dict(sorted(found.items(), key=lambda one: _place(one[0])))

    def _line(self, text: bytes, number: int, problems: list[Problem]) -> Line | None:
        try:
            line = _DECODER.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            problems.append(Problem(number, None, None, f"a prediction as it was recorded: {error}"))
            return None
        wrong = _wrong(line) or wrong_moment(line, self._clock.now())
        if wrong is not None:
            problems.append(Problem(number, wrong[0], None, wrong[1]))
            return None
        made = self._version(line.loop, line.digest)
        if made is None:
            problems.append(Problem(number, "digest", line.digest[:64], "the digest of a version of this workspace"))
            return None
        version, contract, concealer = made
        wrong_values = contract.problems(line, number)
        if wrong_values:
            problems += wrong_values[: LISTED - len(problems)]
            return None
        row, key = concealer.row(line.row), concealer.key(line.key)
        mine = {"version": version.number, "arm": ARM, "latency_ms": None, "route": None}
        return msgspec.structs.replace(line, row=row, key=key, **mine)

    def _version(self, loop: str, digest: str) -> Known | None:
        """Remembered where there is one: it never changes."""
        if self._versions.get((loop, digest)) is None:
            stores = self._stores()
            try:
                version = stores.versions.get(loop, digest)
            except VersionNotFound:
                return None
            if version.digest != digest:
                return None
            manifest = Manifest.from_json(stores.blobs.read(version.files[MANIFEST]).decode())
            schema = Schema.from_json(stores.blobs.read(version.files["schema.json"]).decode())
            contract = Contract(schema, manifest.classes)
            self._versions[loop, digest] = (version, contract, self._conceal(schema))
        return self._versions[loop, digest]

    def _record(self, lines: list[Line]) -> None:
        """In a file of their own, whose lines are in the order of their ids."""
        writing = Journal(self._workspace / journal.FOLDER, self._clock)
        try:
            for loop in sorted({line.loop for line in lines}):
                writing.append(loop, [line for line in lines if line.loop == loop])
        finally:
            writing.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Of all processes: two that took the same lines at once would both find them new."""
        root = self._workspace / journal.FOLDER
        root.mkdir(parents=True, exist_ok=True)
        file = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


def unpacked(content: bytes, limit: int) -> bytes:
    """A gzipped body, never more than so many bytes of it. Raises `Refused`."""
    try:
        unpacking = zlib.decompressobj(wbits=31)
        found = unpacking.decompress(content, limit + 1)
    except zlib.error as error:
        raise Refused(400, f"the body is no gzip: {error}", fix=f"send {FORM}") from None
    if len(found) > limit:
        raise Refused(413, f"the body has more than {limit:,} bytes once it is unpacked", fix="send fewer lines")
    if not unpacking.eof or unpacking.unused_data:
        raise Refused(400, "the body is no whole gzip", fix=f"send {FORM}")
    return found


def _place(identity: str) -> finding.Place:
    ulid, _, row = identity.partition(".")
    return ulid, int(row)


def _wrong(line: Line) -> tuple[str, str] | None:
    """The field, and what is expected there; None where all is well."""
    if finding.parse(line.id) is None:
        return "id", "an id as the edge gave it"
    if not journal.LOOP_NAME.fullmatch(line.loop):
        return "loop", "the name of a loop"
    if line.at.tzinfo is None:
        return "at", "a time with its zone"
    if line.shadow:
        return "shadow", "nothing: shadows are not handed in"
    if not all(map(is_scalar, (*line.row.values(), *(line.key or {}).values()))):
        return "row", "text, numbers of 64 bits, true, false and null"
    return None if (line.label is None) != (line.value is None) else ("label", "either label or value")
