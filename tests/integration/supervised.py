"""A gateway without models: workers that say they are ready and wait, for `test_supervisor` to treat them badly.

    python supervised.py WORKERS FOLDER

Each worker writes a file named for its place and process; the file `crash` makes every new worker end at once, `refuse`
before it is ready, `deaf` makes workers ignore SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from loopwright.core.clock import SystemClock
from loopwright.serve.listening import listen
from loopwright.serve.supervisor import Loops, Supervisor
from loopwright.serve.worker import Desk

WORKERS, FOLDER = int(sys.argv[1]), Path(sys.argv[2])
CLOCK = SystemClock()


def work(desk: Desk) -> int:
    if (FOLDER / "refuse").exists():
        return 3
    desk.hold_on(CLOCK)
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: None if (FOLDER / "deaf").exists() else ended.append(1))
    signal.signal(signal.SIGUSR1, lambda *_: desk.give_up("flights v2 hangs"))
    (FOLDER / f"worker-{desk.number}-{os.getpid()}").write_text(desk.ended or "")
    desk.tell_ready({"flights": [1]})
    if (FOLDER / "crash").exists():
        return 1
    while not ended:
        CLOCK.sleep(0.01)
    return 0


def ready(loops: Loops) -> None:
    print("ready", dict(loops), flush=True)


if __name__ == "__main__":
    sys.exit(Supervisor(work=work, sockets=listen("127.0.0.1", 0, WORKERS), clock=CLOCK, on_ready=ready).run())
