"""`lw events`: the newest, or page by page from a place."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import lw

from loopwright import system


def test_the_newest_are_told_or_those_after_one_and_where_there_are_more(tmp_path: Path) -> None:
    with system.open(tmp_path) as opened:
        for number in range(5):
            opened.stores.events.add("BatchFailed", "loop:flights", opened.cause(), {"number": number})

    def told(*words: str) -> list[int]:
        found = json.loads(lw("events", *words, "--json", cwd=tmp_path, check=True).stdout)
        return [one["data"]["number"] for one in found]

    assert told() == [0, 1, 2, 3, 4]
    assert told("--limit", "2") == [3, 4]
    assert told("--after", "0", "--limit", "2") == [0, 1]
    assert told("--after", "3") == [3, 4]
    newest = lw("events", "--limit", "2", cwd=tmp_path, check=True).stdout.splitlines()
    assert newest[-1] == "2 events, the newest; from the first on: lw events --after 0"
    assert lw("events", "--after", "1", "--limit", "2", cwd=tmp_path, check=True).stdout.endswith("more: --after 3\n")
    assert "more" not in lw("events", "--after", "4", cwd=tmp_path, check=True).stdout
