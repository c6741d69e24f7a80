"""Several that do the same thing at once, and what each of them got."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from loopwright.errors import Conflict, LoopwrightError

RACES = 200
"""As many as show a race that is lost now and then."""


def outcome(call: Callable[[], object]) -> object:
    """What it returns, or the error it raises."""
    try:
        return call()
    except LoopwrightError as error:
        return error


def at_once(*calls: Callable[[], object]) -> list[object]:
    """The outcomes of calls that begin together, each in a thread of its own."""
    got: dict[int, object] = {}
    together = threading.Barrier(len(calls))

    def run(number: int, call: Callable[[], object]) -> None:
        together.wait()
        got[number] = outcome(call)

    threads = [threading.Thread(target=run, args=one) for one in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [got[number] for number in range(len(calls))]


def one_wins(outcomes: Sequence[object]) -> object:
    """The outcome of the one that came first, when all others were told of it by a Conflict."""
    won = [one for one in outcomes if not isinstance(one, Conflict)]
    assert len(won) == 1, outcomes
    assert not isinstance(won[0], LoopwrightError), won[0]
    for lost in outcomes:
        if isinstance(lost, Conflict):
            assert "tester" in str(lost), lost
    return won[0]
