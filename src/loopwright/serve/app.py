"""The gateway's HTTP application: the doors of every protocol, and what meets each request before them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect

from loopwright.errors import StoreError
from loopwright.gateway.gateway import Gateway
from loopwright.gateway.refused import Refused
from loopwright.protocols import door
from loopwright.protocols.bodies import Limits
from loopwright.protocols.labelling import Labelling
from loopwright.protocols.v1 import Api
from loopwright.protocols.v2 import V2
from loopwright.protocols.work import WORKERS


def create(gateway: Gateway, labels: Labelling, limits: Limits) -> Starlette:
    """The application, for any ASGI server. The gateway follows the route table by itself."""
    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="predict")
    api = Api(gateway, labels, limits, pool)

    @asynccontextmanager
    async def life(_app: Starlette) -> AsyncIterator[None]:
        yield
        pool.shutdown()

    app = Starlette(
        routes=[*api.routes(), *V2(gateway, limits, pool).routes()],
        middleware=[Middleware(door.Door)],
        lifespan=life,
        exception_handlers={
            Refused: door.on_refused,
            StoreError: door.on_store,
            HTTPException: door.on_http,
            ClientDisconnect: door.on_gone,
            Exception: door.on_failure,
        },
    )
    app.router.redirect_slashes = False
    return app
