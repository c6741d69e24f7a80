"""Handing in what was answered at the edge, once there is a network: in parts, each of which a gateway takes once.

How far a file was handed in stands in a file beside it, written after the gateway has said so. Killed between the two,
a part is sent again, and the gateway knows its ids.
"""

from __future__ import annotations

import gzip
import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from loopwright.core.clock import Clock
from loopwright.edge.journal import CURSOR, Journal
from loopwright.errors import StoreUnavailable, UsageError

_logger = logging.getLogger(__name__)
PATH = "/v1/predictions"
TYPE = "application/x-ndjson"
_PART_LINES, _PART_BYTES = 1000, 1 << 20
_TIMEOUT_SECONDS = 30.0
_MOST_SECONDS = 600.0
_BAD = (400, 413, 422)
"""Said of what will not be taken the next time either."""
Post = Callable[[bytes], int]
"""Sends lines, gzipped; the status. Raises OSError without a network."""


class HandIn:
    """Call `once` now and then, or `start` to have it called."""

    def __init__(self, journal: Journal, post: Post, clock: Clock) -> None:
        self._journal = journal
        self._post = post
        self._clock = clock
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def once(self) -> int:
        """How many lines were taken. Raises `StoreUnavailable` where the gateway cannot be reached, or will not."""
        return sum(self._hand_in(file) for file in self._journal.closed())

    def start(self, seconds: float) -> None:
        """Every so many seconds in a thread; after a failure, twice as long, up to ten minutes."""
        self._thread = threading.Thread(target=self._follow, args=(seconds,), name="hand-in", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(_TIMEOUT_SECONDS)

    def _follow(self, seconds: float) -> None:
        wait = seconds
        while not self._stopped.wait(wait):
            try:
                taken = self.once()
                wait = seconds
                if taken:
                    _logger.info("%d predictions were handed in", taken)
            except StoreUnavailable as error:
                wait = min(2 * wait, max(_MOST_SECONDS, seconds))
                _logger.info("nothing could be handed in: %s", error.what)

    def _hand_in(self, file: Path) -> int:
        cursor, taken = file.with_suffix(CURSOR), 0
        for content, end in _parts(file, _place(cursor)):
            status = self._send(content)
            if status in _BAD:
                _logger.error("the gateway will never take %s: %d; it is set aside", file.name, status)
                self._journal.set_aside(file)
                return taken
            if status != 200:
                raise StoreUnavailable(f"the gateway answered {status}", fix="look at its log, and at the key")
            temporary = cursor.with_suffix(".new")
            temporary.write_text(str(end), encoding="ascii")
            temporary.replace(cursor)
            taken += content.count(b"\n")
        self._journal.taken(file)
        return taken

    def _send(self, content: bytes) -> int:
        try:
            return self._post(gzip.compress(content, 6, mtime=0))
        except OSError as error:
            raise StoreUnavailable(f"the gateway cannot be reached: {error}", fix="it is tried again") from None


def poster(gateway: str, key: str | None) -> Post:
    """Over HTTP. Raises `UsageError` for what is no URL of a gateway."""
    if not gateway.startswith(("http://", "https://")):
        raise UsageError(f"{gateway!r} is no URL of a gateway", fix="write http://HOST:PORT or https://HOST")
    headers = {"content-type": TYPE, "content-encoding": "gzip"} | ({"authorization": f"Bearer {key}"} if key else {})

    def post(content: bytes) -> int:
        request = urllib.request.Request(gateway.rstrip("/") + PATH, content, headers, method="POST")  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - looked at above
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    return post


def _place(cursor: Path) -> int:
    text = cursor.read_text(encoding="ascii").strip() if cursor.exists() else ""
    return int(text) if text.isdigit() else 0


def _parts(file: Path, place: int) -> Iterator[tuple[bytes, int]]:
    """Whole lines, and where they end; a last line that was torn is left out, for nobody was answered with it."""
    with file.open("rb") as opened:
        opened.seek(place)
        lines: list[bytes] = []
        size = 0
        for line in opened:
            if not line.endswith(b"\n"):
                break
            lines.append(line)
            size += len(line)
            place += len(line)
            if len(lines) == _PART_LINES or size >= _PART_BYTES:
                yield b"".join(lines), place
                lines, size = [], 0
        if lines:
            yield b"".join(lines), place
