"""A gateway without models: workers that say they are ready and wait, for `test_supervisor` to treat them badly.

    python supervised.py WORKERS FOLDER

Each worker writes a file named for its place and process; the file `crash` makes every new worker end at once, `refuse`
before it is ready, `deaf` makes workers ignore SIGTERM, `fares` makes them answer for one more loop from then on, and
`torn` names loops that new workers cannot answer for. `runs` names versions that new ones are at; which of them the
one before died of is in `crashed`.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path

from loopwright.core.clock import SystemClock
from loopwright.serve.listening import listen
from loopwright.serve.supervisor import Loops, Supervisor
from loopwright.serve.worker import Desk

CLOCK = SystemClock()


def work(folder: Path, desk: Desk) -> int:
    if (folder / "refuse").exists():
        return 3
    desk.hold_on(CLOCK)
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: None if (folder / "deaf").exists() else ended.append(1))
    signal.signal(signal.SIGUSR1, lambda *_: desk.give_up("flights v2 hangs"))
    (folder / f"worker-{desk.number}-{os.getpid()}").write_text(desk.ended or "")
    (folder / "crashed").write_text(desk.crashed or "")
    for name in (folder / "runs").read_text().split() if (folder / "runs").exists() else ():
        desk.at_work.begin(*_version(name))
    torn = (folder / "torn").read_text().split() if (folder / "torn").exists() else []
    loops = {"flights": [1]} | {loop: [] for loop in torn}
    desk.tell_ready(loops)
    tell = desk.telling(lambda: dict(loops))
    if (folder / "crash").exists():
        return 1
    while not ended:
        CLOCK.sleep(0.01)
        if (folder / "fares").exists():
            loops.setdefault("fares", [1])
        tell()
    return 0


def _version(name: str) -> tuple[str, int]:
    loop, _, number = name.partition(":")
    return loop, int(number)


def ready(loops: Loops) -> None:
    print("ready", dict(loops), flush=True)


if __name__ == "__main__":
    sockets = listen("127.0.0.1", 0, int(sys.argv[1]))
    sys.exit(Supervisor(work=partial(work, Path(sys.argv[2])), sockets=sockets, clock=CLOCK, on_ready=ready).run())
