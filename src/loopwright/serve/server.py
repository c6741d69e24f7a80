"""A gateway of a workspace: what answers, lets in, records and watches, wired together in one process."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from loopwright.access.names import Names
from loopwright.core.clock import Clock
from loopwright.core.stores import Stores
from loopwright.data.schema import Schema
from loopwright.errors import MissingExtra
from loopwright.gateway.at_work import AtWork
from loopwright.gateway.cache import Cache, remembering
from loopwright.gateway.gateway import Gateway
from loopwright.gateway.guard import Guard
from loopwright.gateway.lanes import Patience
from loopwright.gateway.model import LoadedModel, load
from loopwright.gateway.notices import Notices
from loopwright.gateway.precomputed import Precomputed
from loopwright.gateway.watch import Watch
from loopwright.predictions import aside, by_key, health, journal, labels
from loopwright.predictions.concealing import Concealer, Mode, secret_of
from loopwright.predictions.failures import CLOSE_SECONDS, Failures
from loopwright.predictions.journal import Journal, Terms
from loopwright.protocols.bodies import Limits
from loopwright.protocols.door import Entry
from loopwright.protocols.handin import HandingIn
from loopwright.protocols.labelling import Labelling
from loopwright.protocols.platforms import Platform
from loopwright.protocols.watching import Calls
from loopwright.registry.fetch import clean
from loopwright.serve import app, hot_path
from loopwright.serve.hot import Sockets
from loopwright.serve.hot_path import HotPath
from loopwright.serve.listening import is_loopback
from loopwright.serve.overseeing import Overseer, Oversight
from loopwright.serve.probing import FOLDER as PROBES
from loopwright.serve.probing import Bounds, Probing
from loopwright.serve.worker import DRAIN_SECONDS, STUCK

if TYPE_CHECKING:
    from loopwright.protocols.grpc_door import Server as GrpcServer

_logger = logging.getLogger(__name__)
_TIDY_SECONDS = 600.0
RECYCLED = "WorkerRecycled"
"""The event of a worker that ended though nobody told it to."""
CRASHED = "VersionCrashed"
"""The event of the version that one died of."""
BUNDLES = "bundles"
"""Of a workspace: the bundles that were fetched to be served."""


def give_up(reason: str) -> None:
    """Ends the process at once: a thread of it cannot be ended otherwise."""
    _logger.critical("this process ends: %s", reason)
    os._exit(STUCK)


class Gate:
    """A gateway with its journals, wired to a workspace. Close it at the end."""

    def __init__(
        self,
        *,
        stores: Callable[[], Stores],
        workspace: Path,
        clock: Clock,
        limits: Limits,
        host: str,
        allowed_hosts: Sequence[str] = (),
        patience: Patience = Patience(),  # noqa: B008 - frozen
        sockets: Sockets = Sockets(),  # noqa: B008 - frozen
        on_stuck: Callable[[str], None] = give_up,
        at_work: AtWork | None = None,
        oversight: Oversight = Oversight(),  # noqa: B008 - frozen
        platform: Platform = Platform(),  # noqa: B008 - frozen
        memory_bytes: int = 0,
        probing: Probing | None = None,
        workers: int = 1,
        cache_answers: int = 0,
        terms: Terms = Terms(),  # noqa: B008 - frozen
        pii: Mode = "hash",
    ) -> None:
        """Models may take `memory_bytes` together, 0 for no limit; the gateway is one of so many `workers`, and says
        `at_work` which versions it runs.

        So many answers to equal inputs are remembered; predictions are kept on these `terms`, and values tagged `pii`
        hashed or dropped before anything is written.
        """
        self.cache = Cache(cache_answers) if cache_answers else None
        self._workspace, self._pii = workspace, pii
        self._probing = probing or Probing(workspace / PROBES, clock, Bounds.of(memory_bytes))
        self.notices = Notices(lambda: stores().events, clock)
        self._clock, self._tidy_at = clock, clock.monotonic() + _TIDY_SECONDS
        self._limits = limits
        self._grpc: GrpcServer | None = None
        self._predictions = Journal(workspace / journal.FOLDER, clock, terms=terms)
        whole = Terms(patience_seconds=terms.patience_seconds, close_seconds=max(terms.close_seconds, CLOSE_SECONDS))
        self._labels = Journal(workspace / labels.FOLDER, clock, terms=whole)  # a label told is there, or refused
        self._aside = Journal(workspace / aside.FOLDER, clock, terms=whole)
        self._failures = Failures(workspace, clock, terms)
        self._precomputed = Precomputed(workspace / by_key.FOLDER)
        watch = Watch(clock, recycle_seconds=patience.recycle_seconds, on_stuck=on_stuck, at_work=at_work)
        self.gateway = self._gateway(stores, memory_bytes, (watch, patience.deadline_seconds))
        self.guard = Guard(lambda: stores().keys, clock, is_required=not is_loopback(host), processes=workers)
        self.guard.refresh()
        self.entry = Entry(self.guard, Names([host, *allowed_hosts]))
        self._overseer = Overseer(oversight, clock)
        self.app = self._application(stores, platform, patience)
        self._hot = HotPath(
            gateway=self.gateway,
            journal=self._predictions,
            entry=self.entry,
            clock=clock,
            bounds=hot_path.Bounds(limits=limits, patience=patience, sockets=sockets),
            tally=self._overseer.tally,
            tracer=self._overseer.tracer,
            watch=watch,
        )
        self._patience = patience
        self.hub = self._hot.hub
        self._overseer.watch(self._hot.lanes.waiting, lambda: len(self.hub.connections))
        self._hot.start()

    def _application(self, stores: Callable[[], Stores], platform: Platform, patience: Patience) -> Starlette:
        labelling = Labelling(
            workspace=self._workspace,
            journal=self._labels,
            aside=self._aside,
            gateway=self.gateway,
            clock=self._clock,
            concealer=lambda loop, version: self._predictions.concealers.get((loop, version)),
        )
        operations = self._overseer.operations(self.gateway, self._predictions.health, self._workspace / journal.FOLDER)
        return app.create(
            self.gateway,
            labelling,
            self._limits,
            self.entry,
            operations=operations,
            tracer=self._overseer.tracer,
            platform=platform,
            patience=patience,
            handing_in=HandingIn(
                workspace=self._workspace,
                stores=stores,
                clock=self._clock,
                limits=self._limits,
                conceal=self._concealer,
            ),
        )

    def _gateway(self, stores: Callable[[], Stores], memory_bytes: int, watched: tuple[Watch, float]) -> Gateway:
        def loaded(loop: str, number: int) -> LoadedModel:
            model = load(stores(), self._workspace / BUNDLES, loop, number, self._probing)
            self._predictions.conceal(loop, number, self._concealer(model.schema))
            return remembering(model, self.cache)

        return Gateway(
            routes=lambda: stores().routes,
            load=loaded,
            journal=self._predictions,
            clock=self._clock,
            budget_bytes=memory_bytes,
            notices=self.notices,
            watched=watched,
            precomputed=self._precomputed,
            failures=self._failures,
        )

    def _concealer(self, schema: Schema) -> Concealer:
        """The workspace's key is made when it is needed first."""
        concealer = Concealer(schema, self._pii, b"")
        return Concealer(schema, self._pii, secret_of(self._workspace)) if concealer.columns else concealer

    def follow(self, seconds: float, beside: Callable[[], None]) -> None:
        """Take up the routes, and follow them and the keys from now on, asking the store so often; `beside` is called
        each time after."""
        self._precomputed.refresh()
        self.gateway.refresh()
        work = (self._keep_journals, self.notices.write, self._tidy, self._precomputed.refresh, beside)
        self.gateway.start(seconds, *work)
        self.guard.start(seconds)

    def tell_recycled(self, worker: int, reason: str, crashed: str | None = None) -> None:
        """Another process takes the place of one that ended though nobody told it to, and died of that version. Written
        at once, where the store is there: this one may die of it too."""
        data = {"worker": worker, "reason": reason}
        self.notices.note(RECYCLED, f"worker:{worker}", reason, data)
        if crashed is not None:
            self.notices.note(CRASHED, f"version:{crashed}", reason, data)
        self.notices.write()

    def open_grpc(self, host: str, port: int) -> int:
        """Answer calls of gRPC too, on the port that comes back: 0 takes a free one. Raises `MissingExtra`,
        `StoreUnavailable`."""
        try:
            from loopwright.protocols import grpc_door
        except ModuleNotFoundError as error:
            raise MissingExtra(
                f"gRPC needs {error.name}, which is not installed", fix='pip install "loopwright[grpc]"'
            ) from None
        authorise = self.guard.check_waiting
        calls = Calls("grpc", self._overseer.tally, self._clock, self.gateway.knows)
        self._grpc = grpc_door.Server(
            self.gateway, self._limits, host=host, port=port, authorise=authorise, calls=calls, patience=self._patience
        )
        return self._grpc.port

    def _keep_journals(self) -> None:
        """Close files that are due for the table, and tell how the recording of predictions goes."""
        for one in (self._predictions, self._labels, self._aside, self._failures):
            one.close_old()
        health.tell(self.notices.note, self._predictions.changes())

    def _tidy(self) -> None:
        """Now and then: bundles that no route names any more are let go."""
        now = self._clock.monotonic()
        if now >= self._tidy_at:
            self._tidy_at = now + _TIDY_SECONDS
            clean(self._workspace / BUNDLES, self.gateway.loading.digests(), self._clock.now())

    def close(self) -> None:
        if self._grpc is not None:
            self._grpc.stop(DRAIN_SECONDS)
        self._hot.stop()
        self._overseer.stop()
        self.gateway.stop()
        self._probing.stop()
        self.guard.stop()
        self._predictions.close()
        self._labels.close()
        self._aside.close()
        self._failures.close()
