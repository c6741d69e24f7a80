"""Where a gateway listens."""

from __future__ import annotations

import pytest

from loopwright.serve import listening


@pytest.mark.parametrize("workers", [1, 3])
def test_nobody_waits_at_a_socket_that_nobody_comes_to(workers: int) -> None:
    opened = listening.listen("127.0.0.1", 0, workers)
    assert len({one.getsockname() for one in opened}) == 1
    for one in opened:
        with pytest.raises(BlockingIOError):
            one.accept()
        one.close()
