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
from loopwright.gateway.lanes import Patience
from loopwright.gateway.note import Tracer
from loopwright.gateway.refused import Refused
from loopwright.protocols import door
from loopwright.protocols.bodies import Limits
from loopwright.protocols.door import Entry
from loopwright.protocols.handin import HandingIn
from loopwright.protocols.labelling import Labelling
from loopwright.protocols.operations import Operations
from loopwright.protocols.platforms import Platform, Platforms
from loopwright.protocols.v1 import Api
from loopwright.protocols.v2 import V2
from loopwright.protocols.watching import Watching
from loopwright.protocols.work import WORKERS, Desk
from loopwright.serve.waking import Waking


def create(
    gateway: Gateway,
    labels: Labelling,
    limits: Limits,
    entry: Entry,
    platform: Platform | None = None,
    *,
    operations: Operations | None = None,
    tracer: Tracer | None = None,
    handing_in: HandingIn | None = None,
    patience: Patience = Patience(),  # noqa: B008 - frozen
) -> Starlette:
    """The application, for any ASGI server. The gateway follows the route table by itself, the guard the keys.

    Without `operations` nothing is counted, and nobody tells it.
    """
    desk = Desk("predict", clock=gateway.clock, patience=patience)
    aside = ThreadPoolExecutor(WORKERS, thread_name_prefix="aside")
    api = Api(gateway, labels, limits, desk, aside)
    hosted = platform or Platform()
    routes = [*api.routes(), *V2(gateway, limits, desk).routes()]
    routes += handing_in.routes(aside) if handing_in is not None else []
    routes += operations.routes() if operations is not None else []
    routes += Platforms(gateway, limits, desk, hosted).routes(routes)

    guarding = Middleware(door.Door, entry, door.opened(routes), hosted.trusted)
    middleware = [guarding, Middleware(Waking, gateway, hosted.loop)]
    if operations is not None:
        watching = Middleware(
            Watching, tally=operations.tally, clock=operations.clock, routes=routes, knows=gateway.knows, tracer=tracer
        )
        middleware.insert(0, watching)

    @asynccontextmanager
    async def life(_app: Starlette) -> AsyncIterator[None]:
        yield
        desk.stop()
        aside.shutdown()

    app = Starlette(
        routes=routes,
        middleware=middleware,
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
