"""Where an answer is worked out: small requests at once in the event loop, where a row takes a tenth of a millisecond,
and what is bigger or reads files in a thread.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from starlette.responses import Response

WORKERS = 2
_SMALL_BYTES, _SMALL_ROWS = 32_768, 256


async def at_work(pool: ThreadPoolExecutor, work: Callable[[], Response], *, is_slow: bool) -> Response:
    """Here at once, or in a thread of the pool."""
    if not is_slow:
        return work()
    here = contextvars.copy_context()  # what is noted of the request goes with it
    return await asyncio.get_running_loop().run_in_executor(pool, here.run, work)


def is_small(content: bytes) -> bool:
    """Whether a body can hold but few rows: each is an object of its own.

    >>> is_small(b'{"row": {"distance": 1400}}'), is_small(b'{"rows": [' + b"{}," * 300 + b"{}]}")
    (True, False)
    """
    return len(content) <= _SMALL_BYTES and content.count(b"{") <= _SMALL_ROWS + 1
