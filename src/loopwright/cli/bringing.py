"""The process that brings a deployed loop's source into its table: `python -m loopwright.cli.bringing`. Started by what
lets loops learn again, never by hand: between two runs, so that it sees what is new.

Its input is a lifeline: the first line is the request, and its end means that nobody waits for it any more.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TextIO

from loopwright import system
from loopwright.data.bring import bring
from loopwright.errors import LoopwrightError
from loopwright.pipeline.load import load_declared
from loopwright.pipeline.request import Request


def main() -> None:
    lifeline, answers = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what the user's code prints is no answer
    request = Request.from_line(lifeline.readline())
    threading.Thread(target=_listen, args=(lifeline,), name="lifeline", daemon=True).start()
    answers.write(json.dumps(_answer(request)))
    answers.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that the file may have started are not waited for


def _listen(lifeline: TextIO) -> None:
    lifeline.read()
    os.killpg(0, signal.SIGKILL)  # with all that the source may have started


def _answer(request: Request) -> dict[str, object]:
    try:
        with system.open(request.folder, flags=request.settings) as opened:
            os.chdir(request.place)
            sys.path[:0] = request.snapshot.paths if request.snapshot else ()
            _, loop = load_declared(Path(request.file), request.pipeline)
            return {"told": bring(opened.tables, loop.table, loop.source).told(loop.table.name)}
    except LoopwrightError as error:
        return {"error": {"what": error.what, "where": error.where, "fix": error.fix}}


if __name__ == "__main__":
    main()
