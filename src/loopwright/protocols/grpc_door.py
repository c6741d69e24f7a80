"""The Open Inference Protocol over gRPC: the same gateway, limits and refusals as over REST. Needs the extra `grpc`.

Whoever asks is asked who they are through the metadata `authorization` or `x-api-key`, as in the headers of HTTP.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from loopwright.access import keys
from loopwright.core.access import ApiKey, Scope
from loopwright.errors import StoreError, StoreUnavailable
from loopwright.gateway.gateway import Gateway
from loopwright.gateway.lanes import Patience
from loopwright.gateway.refused import Refused
from loopwright.gateway.unit import unit_of
from loopwright.protocols import door, grpc_tensors, inference, told
from loopwright.protocols.bodies import Limits
from loopwright.protocols.grpc_messages import METHODS, SERVICE
from loopwright.protocols.inference import Inference
from loopwright.protocols.watching import Calls
from loopwright.protocols.work import Desk

_logger = logging.getLogger(__name__)
Authorise = Callable[[str | None, Scope, str | None], ApiKey | None]
"""Given what `authorization` says, what is asked for, and of which loop: whose call it is, None while nobody is asked.
Raises `Refused`: `Guard.check_waiting`."""
_WORKERS = 4
_THREADS = 96
"""More than may wait at the desk, so that health is told whatever models do."""
_MOST_WAITING = 256
"""Calls at work and in the queue; more are refused at once."""
_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def nobody_is_asked(_authorization: str | None, _scope: Scope, _loop: str | None) -> None:
    """Everybody may everything: on a machine of one's own, before the first key is made."""


class Service:
    """The methods of the protocol."""

    def __init__(
        self, gateway: Gateway, limits: Limits, authorise: Authorise, desk: Desk, calls: Calls | None = None
    ) -> None:
        """Predictions are answered at the `desk`; `calls` counts what is asked of models."""
        self._desk = desk
        self._gateway = gateway
        self._calls = calls
        self._inference = Inference(gateway, limits.rows)
        self._authorise = authorise

    def handler(self) -> Any:
        """What a server of gRPC is given."""
        methods = {
            "ServerLive": lambda _asked, _context: {"live": True},
            "ServerReady": lambda _asked, _context: {"ready": self._inference.is_ready()},
            "ServerMetadata": self._guarded(Scope.VIEW, self._server, lambda _asked: None),
            "ModelReady": self._guarded(Scope.VIEW, self._model_ready, lambda asked: asked.name),
            "ModelMetadata": self._guarded(Scope.VIEW, self._model, lambda asked: asked.name),
            "ModelInfer": self._counted(self._guarded(Scope.PREDICT, self._infer, lambda asked: asked.model_name)),
            "RepositoryIndex": self._guarded(Scope.VIEW, self._index, lambda _asked: None),
        }
        return grpc.method_handlers_generic_handler(SERVICE, {name: _method(name, of) for name, of in methods.items()})

    def _guarded(
        self, scope: Scope, answer: Callable[[Any, ApiKey | None], Any], loop: Callable[[Any], str | None]
    ) -> Callable[[Any, Any], Any]:
        def call(asked: Any, context: Any) -> Any:
            return answer(asked, self._authorise(_authorization(context), scope, loop(asked)))

        return call

    def _counted(self, answer: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        calls = self._calls
        if calls is None:
            return answer

        def call(asked: Any, context: Any) -> Any:
            with calls.one(asked.model_name):
                return answer(asked, context)

        return call

    def _server(self, _asked: Any, _key: ApiKey | None) -> Any:
        return {"name": inference.NAME, "version": told.release(), "extensions": inference.EXTENSIONS}

    def _model_ready(self, asked: Any, _key: ApiKey | None) -> Any:
        self._gateway.model(asked.name, inference.version(asked.version))
        return {"ready": True}

    def _model(self, asked: Any, _key: ApiKey | None) -> Any:
        model = self._gateway.model(asked.name, inference.version(asked.version))
        return inference.metadata(self._gateway, asked.name, model)

    def _index(self, asked: Any, key: ApiKey | None) -> Any:
        found = inference.index(self._gateway, only_ready=asked.ready)
        return {"models": [one for one in found if key is None or key.is_for(one["name"])]}

    def _infer(self, asked: Any, _key: ApiKey | None) -> Any:
        return self._desk.wait(lambda: self._inferred(asked))

    def _inferred(self, asked: Any) -> Any:
        inferred = self._inference.infer(
            asked.model_name,
            inference.version(asked.model_version),
            grpc_tensors.inputs(asked),
            grpc_tensors.wanted(asked),
            unit_of(grpc_tensors.parameters(asked).get("unit")),
        )
        return grpc_tensors.response(asked, inferred)


class Server:
    """Listens on an address of this machine from the start, and answers until it is stopped."""

    def __init__(
        self,
        gateway: Gateway,
        limits: Limits,
        *,
        host: str,
        port: int,
        authorise: Authorise = nobody_is_asked,
        calls: Calls | None = None,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        """Port 0 takes a free one. Raises `StoreUnavailable` when the port is taken."""
        self._desk = Desk("infer", clock=gateway.clock, patience=patience, workers=_WORKERS)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="grpc")
        self._server = grpc.server(
            self._pool,
            handlers=[Service(gateway, limits, authorise, self._desk, calls).handler()],
            maximum_concurrent_rpcs=_MOST_WAITING,
            options=[("grpc.max_receive_message_length", limits.body_bytes), ("grpc.so_reuseport", 1)],
        )
        self.port = self._listen(host, port)
        self._server.start()

    def stop(self, grace_seconds: float) -> None:
        """Take nothing new, and answer what is at work, for so long at most."""
        self._server.stop(grace_seconds).wait()
        self._pool.shutdown()
        self._desk.stop()

    def _listen(self, host: str, port: int) -> int:
        try:
            return int(self._server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}"))
        except RuntimeError:
            raise StoreUnavailable(
                f"the port {port} cannot be had for gRPC", where=host, fix="choose another with --grpc-port"
            ) from None


def _authorization(context: Any) -> str | None:
    """What a call shows, in the form of that header. Raises `Refused`."""
    metadata = context.invocation_metadata()
    given = [[value for name, value in metadata if name == wanted] for wanted in ("authorization", "x-api-key")]
    if any(len(found) > 1 for found in given):
        raise Refused(401, "there is more than one API key", fix="send one")
    shown = keys.presented(*(found[0] if found else None for found in given))
    return None if shown is None else f"Bearer {shown}"


def _method(name: str, answer: Callable[[Any, Any], Any]) -> Any:
    takes, gives = METHODS[name]

    def call(asked: Any, context: Any) -> Any:
        found = _answered(answer, asked, context)
        return gives(**found) if isinstance(found, dict) else found

    return grpc.unary_unary_rpc_method_handler(call, takes.FromString, gives.SerializeToString)


def _answered(answer: Callable[[Any, Any], Any], asked: Any, context: Any) -> Any:
    """What goes wrong ends the call with a status, and tells nothing of the server."""
    try:
        return answer(asked, context)
    except Refused as refused:
        if refused.retry_seconds is not None:
            context.set_trailing_metadata([("retry-after", str(math.ceil(refused.retry_seconds)))])
        context.abort(_STATUS.get(refused.status, grpc.StatusCode.INTERNAL), door.sentence(refused))
    except StoreError as error:
        context.abort(grpc.StatusCode.UNAVAILABLE, door.sentence(door.unrecorded(error)))
    except Exception:
        _logger.exception("the gateway failed at a call")
        context.abort(grpc.StatusCode.INTERNAL, "the gateway failed at this; see its log")
