"""A gateway of fakes: models that multiply, a route table in a dict, and a client that calls the application itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from starlette.types import ASGIApp, Message

from loopwright.access.names import Names
from loopwright.core.version import Arm, Route, Version, VersionStatus
from loopwright.data.schema import Column, Schema
from loopwright.errors import BundleRefused, StoreUnavailable
from loopwright.gateway.decode import Array, Decoder
from loopwright.gateway.gateway import Gateway
from loopwright.gateway.guard import Guard
from loopwright.gateway.model import LoadedModel
from loopwright.gateway.note import Tracer
from loopwright.predictions import aside, journal, labels
from loopwright.predictions.concealing import Concealer
from loopwright.predictions.journal import Journal, Terms
from loopwright.protocols.bodies import Limits
from loopwright.protocols.door import Entry
from loopwright.protocols.handin import HandingIn
from loopwright.protocols.labelling import Labelling
from loopwright.protocols.platforms import Platform
from loopwright.serve import app
from loopwright.serve.overseeing import Overseer, Oversight
from loopwright.testing import HandClock, memory_stores
from loopwright.transform.predictor import Predictions

SCHEMA = Schema(
    columns=(
        Column(name="carrier", kind="string", missing=True, values=("AA", "UA")),
        Column(name="distance", kind="float", missing=False, low=96.0, high=4983.0),
        Column(name="departure", kind="time", missing=False, low="2013-01-01T05:00:00+00:00"),
    ),
    key=("flight_id",),
    time="scheduled",
    label="late",
    never=("arr_time",),
)
ROW = {"carrier": "UA", "distance": 1400, "departure": "2013-01-01T05:15:00Z"}


@dataclass
class Multiplier:
    """Gives distance times weight: as a value, or as the share of the class True in a thousand."""

    weight: float = 1.0
    classes: Sequence[Any] = ()

    @property
    def task(self) -> str:
        return "binary" if self.classes else "regression"

    def run(self, feed: Mapping[str, Array]) -> Predictions:
        value = (feed["distance"][:, 0] * np.float32(self.weight)).astype(np.float32)
        if not self.classes:
            return Predictions(task=self.task, value=value)
        share = value / np.float32(10_000)
        return Predictions(
            task=self.task,
            classes=tuple(self.classes),
            label=np.array([self.classes[int(one > 0.5)] for one in share]),
            probabilities=np.column_stack([1 - share, share]),
        )


def a_model(number: int, predictor: Any = None, *, loop: str = "flights", schema: Schema = SCHEMA) -> LoadedModel:
    version = Version(
        loop=loop,
        number=number,
        digest=f"{number:064x}",
        files={},
        status=VersionStatus.ACCEPTED,
        run_id="run-1",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        created_by="me",
        metric="r2",
        value=0.7,
        reason="",
        task="regression",
        lineage={},
    )
    return LoadedModel(version=version, predictor=predictor or Multiplier(float(number)), decoder=Decoder(schema))


class RouteTable:
    """Routes by loop; away when `is_away`."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.earlier: list[Route] = []
        """Newest first."""
        self.is_away = False

    def put(self, *arms: tuple[str, int, float], loop: str = "flights") -> None:
        before = self.routes.get(loop)
        if before is not None:
            self.earlier.insert(0, before)
        self.routes[loop] = Route(
            loop=loop,
            number=before.number + 1 if before else 1,
            arms=tuple(Arm(name=name, version=version, share=share) for name, version, share in arms),
            at=datetime(2026, 1, 1, tzinfo=UTC),
            actor="me",
        )

    def current(self, loop: str) -> Route | None:
        return self.routes.get(loop)

    def loops(self) -> Sequence[str]:
        if self.is_away:
            raise StoreUnavailable("the metadata store does not answer", where="/srv/metadata.db")
        return sorted(self.routes)

    def newest(self) -> Sequence[Route]:
        return [self.routes[loop] for loop in self.loops()]

    def history(self, loop: str) -> Sequence[Route]:
        if self.is_away:
            raise StoreUnavailable("the metadata store does not answer", where="/srv/metadata.db")
        return [self.routes[loop], *(route for route in self.earlier if route.loop == loop)]

    def change(self, *_: object, **__: object) -> Route:
        raise NotImplementedError


class Station:
    """A gateway whose surroundings are at hand: what it loads, what it follows, and where it writes."""

    def __init__(
        self,
        workspace: Path,
        *,
        max_body_bytes: int = 1 << 20,
        max_rows: int = 50_000,
        platform: Platform | None = None,
        oversight: Oversight = Oversight(),  # noqa: B008 - frozen
        tracer: Tracer | None = None,
        terms: Terms | None = None,
        **more: Any,
    ) -> None:
        """What is `more` goes to the gateway."""
        self.workspace = workspace
        self.clock = HandClock()
        self.table = RouteTable()
        self.models: dict[tuple[str, int], LoadedModel | Exception] = {}
        self.loaded: list[tuple[str, int]] = []
        self.journal = Journal(workspace / journal.FOLDER, self.clock, terms=terms)
        self.label_journal = Journal(workspace / labels.FOLDER, self.clock)
        self.gateway = Gateway(
            routes=lambda: self.table, load=self.load, journal=self.journal, clock=self.clock, **more
        )
        self.aside_journal = Journal(workspace / aside.FOLDER, self.clock)
        labelling = Labelling(
            workspace=workspace,
            journal=self.label_journal,
            aside=self.aside_journal,
            gateway=self.gateway,
            clock=self.clock,
        )
        self.limits = Limits(body_bytes=max_body_bytes, rows=max_rows)
        self.stores = memory_stores(self.clock)
        self.guard = Guard(lambda: self.stores.keys, self.clock)
        self.guard.refresh()
        self.overseer = Overseer(oversight, self.clock)
        handing_in = HandingIn(
            workspace=workspace,
            stores=lambda: self.stores,
            clock=self.clock,
            limits=self.limits,
            conceal=lambda schema: Concealer(schema, "drop", b""),
        )
        self.client = Client(
            app.create(
                self.gateway,
                labelling,
                self.limits,
                Entry(self.guard, Names()),
                platform,
                operations=self.overseer.operations(self.gateway, self.journal.health, workspace / journal.FOLDER),
                tracer=tracer,
                handing_in=handing_in,
            )
        )

    def load(self, loop: str, number: int) -> LoadedModel:
        self.loaded.append((loop, number))
        found = self.models.get((loop, number), BundleRefused(f"{loop} v{number} is torn", where="/srv/bundles"))
        if isinstance(found, Exception):
            raise found
        return found

    def promote(
        self, number: int = 1, predictor: Any = None, *, loop: str = "flights", schema: Schema = SCHEMA
    ) -> None:
        self.models[loop, number] = a_model(number, predictor, loop=loop, schema=schema)
        self.table.put(("champion", number, 1.0), loop=loop)
        self.gateway.refresh()

    def lines(self, loop: str = "flights") -> list[dict[str, Any]]:
        return [json.loads(line) for line in journal.lines(self.workspace / journal.FOLDER, loop)]

    def close(self) -> None:
        self.overseer.stop()
        self.gateway.stop()
        self.guard.stop()
        self.journal.close()
        self.label_journal.close()
        self.aside_journal.close()


@dataclass(frozen=True)
class Answered:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Client:
    """Speaks to an application without a network, one request at a time."""

    def __init__(self, application: ASGIApp) -> None:
        self.served = application
        self._going: list[Message] = []
        self.also: list[tuple[bytes, bytes]] = []
        """Headers of every request, beside its own."""
        self.query = b""
        """Of every request."""

    def get(self, path: str, **headers: str) -> Answered:
        return self.send("GET", path, b"", 1, **headers)

    def post(self, path: str, body: object, **headers: str) -> Answered:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", path, content, 1, **headers)

    @property
    def last(self) -> Answered:
        """What went out for the last request, also where the application failed after it."""
        answered = {name.decode(): value.decode() for name, value in self._going[0]["headers"]}
        content = b"".join(one.get("body", b"") for one in self._going[1:])
        return Answered(self._going[0]["status"], answered, content)

    def send(self, method: str, path: str, content: bytes, parts: int = 1, **headers: str) -> Answered:
        named = {"host": "127.0.0.1:8080"} | headers
        given = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]
        return asyncio.run(self._send(method, path, content, parts, [*given, *self.also]))

    async def _send(
        self, method: str, path: str, content: bytes, parts: int, headers: Sequence[tuple[bytes, bytes]]
    ) -> Answered:
        size = -(-len(content) // parts) or 1
        coming: list[Message] = [
            {"type": "http.request", "body": content[i : i + size], "more_body": i + size < len(content)}
            for i in range(0, len(content) or 1, size)
        ]
        self._going = []

        async def receive() -> Message:
            return coming.pop(0) if coming else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            self._going.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": self.query,
            "root_path": "",
            "headers": list(headers),
            "server": ("127.0.0.1", 8080),
            "client": ("127.0.0.1", 50000),
        }
        await self.served(scope, receive, send)
        return self.last
