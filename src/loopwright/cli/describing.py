"""The process that loads a file to be deployed: `python -m loopwright.cli.describing`. Started by `lw deploy`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from loopwright.errors import LoopwrightError
from loopwright.pipeline.described import describe


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the file prints while it is imported is no answer
    file = Path(asked["file"])
    os.chdir(file.parent)
    answers.write(json.dumps(_answer(file, asked)))
    answers.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that the file may have started are not waited for


def _answer(file: Path, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        found = describe(file, asked["loop"], project=Path(asked["project"]), into=Path(asked["into"]))
    except LoopwrightError as error:
        return {"error": {"what": error.what, "where": error.where, "fix": error.fix}}
    return {"described": found.to_json()}


if __name__ == "__main__":
    main()
