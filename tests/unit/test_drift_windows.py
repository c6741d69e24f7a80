"""Windows that fill, are compared, and remember what was said."""

from __future__ import annotations

import numpy as np
import pytest

from loopwright.data.drift import drift
from loopwright.data.drifted import Drift, Standing
from loopwright.data.profile import Profile
from loopwright.data.windows import Windows
from loopwright.errors import DataError


def piece(share: float, rows: int) -> Profile:
    made = Profile({"late": "boolean"})
    made.update({"late": np.arange(rows) < round(share * rows)})
    return made


def test_a_window_is_compared_when_it_is_full_and_not_before() -> None:
    windows = Windows(piece(0.2, 5000), rows=1000)
    assert [windows.add(piece(0.2, 400)) for _ in range(2)] == [None, None]
    full = windows.add(piece(0.2, 400))
    assert full is not None
    assert (full.current_rows, full.standing, windows.open) == (1200, Standing.STEADY, None)


def test_two_full_windows_in_a_row_are_drift() -> None:
    windows = Windows(piece(0.2, 5000))
    answers = [windows.add(piece(share, 1000)) for share in (0.2, 0.4, 0.4, 0.2)]
    assert [str(one and one.standing) for one in answers] == ["steady", "suspected", "drifted", "steady"]


def test_looking_at_the_open_window_is_not_remembered() -> None:
    windows = Windows(piece(0.2, 5000))
    assert windows.look() is None
    windows.add(piece(0.2, 100))
    looked = windows.look()
    assert looked is not None
    assert (looked.standing, looked.more_rows, windows.last) == (Standing.NOT_ENOUGH, 900, None)


def test_a_piece_is_not_changed_by_being_added() -> None:
    one, windows = piece(0.2, 100), Windows(piece(0.2, 5000))
    windows.add(one)
    windows.add(one)
    assert one.rows == 100
    assert windows.open is not None
    assert windows.open.rows == 200


def test_windows_go_on_after_a_restart_as_if_there_had_been_none() -> None:
    reference = piece(0.2, 5000)
    windows = Windows(reference)
    windows.add(piece(0.4, 1000))
    windows.add(piece(0.4, 600))
    again = Windows.from_json(windows.to_json(), reference)
    assert again.to_json() == windows.to_json()
    answers = [one.add(piece(0.4, 600)) for one in (windows, again)]
    assert answers[0] == answers[1]
    assert answers[0] is not None
    assert answers[0].standing is Standing.DRIFTED


def test_a_comparison_of_ones_own_takes_the_place_of_drift() -> None:
    def compare(reference: Profile, window: Profile, before: Drift | None) -> Drift:
        return drift(reference, window, previous=before, leave_out=("late",))

    answer = Windows(piece(0.2, 10), rows=5, compare=compare).add(piece(0.2, 5))
    assert answer is not None
    assert (answer.reference_rows, answer.current_rows, answer.columns) == (10, 5, ())


def test_what_are_no_windows_is_refused() -> None:
    with pytest.raises(DataError, match="never fills"):
        Windows(piece(0.2, 10), rows=0)
    for text in ("{}", "no", '{"format": 2}'):
        with pytest.raises(DataError):
            Windows.from_json(text, piece(0.2, 10))
