"""What holds a request back while the models of its loop are loaded, where they were let go for want of memory."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from loopwright.gateway.gateway import Gateway

_NAMED = re.compile(r"/(?:v1/loops|v2/models)/([^/]+)/.+")
_SECONDS = 10.0
"""Who asked waits for so long, and is refused then; the loading goes on."""


class Waking:
    """Costs a request next to nothing while every loop is in memory."""

    def __init__(self, app: ASGIApp, gateway: Gateway, platform_loop: str) -> None:
        """`platform_loop` is what a path without a name means; empty: the only one."""
        self._app = app
        self._loading = gateway.loading
        self._platform_loop = platform_loop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._loading.resting and scope["type"] == "http" and scope["method"] == "POST":
            loop = self._loop(scope["path"])
            if loop in self._loading.resting:
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._loading.wake(loop))), _SECONDS)
        await self._app(scope, receive, send)

    def _loop(self, path: str) -> str:
        named = _NAMED.fullmatch(path)
        if named is not None:
            return named[1]
        return self._platform_loop or (next(iter(self._loading.resting)) if not self._loading.awake else "")
