"""`python -m loopwright.edge FOLDER`: a bundle answers over HTTP until it is told to stop."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from loopwright import edge
from loopwright.core.clock import SystemClock
from loopwright.edge.handing import HandIn, poster
from loopwright.edge.journal import LIMIT_BYTES
from loopwright.edge.server import Server
from loopwright.errors import LoopwrightError, UsageError


def main(words: list[str] | None = None) -> int:
    """The exit status: 0 after SIGTERM or an interrupt, 1 for what cannot be, 2 for wrong usage."""
    given = _parser().parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        _serve(given)
    except LoopwrightError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _serve(given: argparse.Namespace) -> None:
    clock = SystemClock()
    runner = edge.load(
        given.folder, journal=given.journal, limit_bytes=given.journal_bytes, when_full=given.when_full, clock=clock
    )
    hand_in = None
    if given.gateway:
        hand_in = HandIn(runner.journal, poster(given.gateway, _key(given.gateway_key_file)), clock)
    server = Server(runner, given.host, given.port, _key(given.key_file))
    if hand_in is not None:
        hand_in.start(given.hand_in_seconds)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    answering = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    answering.start()
    sys.stdout.write(f"serving {runner.place.loop} on {server.url}\n")
    sys.stdout.flush()
    stopped.wait()
    server.shutdown()
    if hand_in is not None:
        hand_in.stop()
    runner.journal.close()


def _key(file: Path | None) -> str | None:
    """Raises `UsageError`."""
    if file is None:
        return None
    try:
        found = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the key cannot be read: {error}", where=str(file)) from None
    if not found:
        raise UsageError("the file of the key is empty", where=str(file), fix="write the key there")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loopwright.edge", description=__doc__)
    add = parser.add_argument
    add("folder", type=Path, help="what lw bundle edge wrote, or a bundle")
    add("--host", default="127.0.0.1", help="an address to bind to; one that others reach needs --key-file")
    add("--port", type=int, default=8080, help="0 takes a free one")
    add("--key-file", type=Path, help="a file with the key that clients must show")
    add("--journal", type=Path, help="where answers are recorded [default: in the folder]")
    add("--journal-bytes", type=int, default=LIMIT_BYTES, help="the most it may take")
    add("--when-full", choices=("refuse", "drop"), default="refuse", help="answer 503, or drop the oldest records")
    add("--gateway", help="URL of a gateway that predictions are handed in to")
    add("--gateway-key-file", type=Path, help="a file with an API key of that gateway, of the scope operate")
    add("--hand-in-seconds", type=float, default=60.0, help="how often")
    return parser


if __name__ == "__main__":
    sys.exit(main())
