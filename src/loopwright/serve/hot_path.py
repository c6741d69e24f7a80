"""The hot path of a process, put together: what runs models under watch, lanes, shadows, and what connections share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from loopwright.core.clock import Clock
from loopwright.gateway.answering import Answering
from loopwright.gateway.gateway import Gateway
from loopwright.gateway.lanes import Lanes, Patience
from loopwright.gateway.metrics import Tally
from loopwright.gateway.note import Tracer
from loopwright.gateway.shadow import Shadows
from loopwright.gateway.watch import Watch
from loopwright.predictions.journal import Journal
from loopwright.protocols import v1, v2
from loopwright.protocols.bodies import Limits
from loopwright.protocols.door import Entry
from loopwright.protocols.infer import Infer
from loopwright.protocols.inference import Inference
from loopwright.protocols.native import Native
from loopwright.serve.hot import Hub, Sockets

_OTHER_FILES = 256
"""Open beside connections: journals, the metadata store, models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a request, a model and a client may take."""

    limits: Limits
    patience: Patience
    sockets: Sockets


class HotPath:
    """Call `start` before the first connection, and `stop` at the end."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        journal: Journal,
        entry: Entry,
        clock: Clock,
        bounds: Bounds,
        tally: Tally,
        tracer: Tracer | None,
        watch: Watch,
    ) -> None:
        """`watch` is started and stopped with it."""
        patience, limits = bounds.patience, bounds.limits
        self._sockets = bounds.sockets
        self._watch = watch
        self._shadows = Shadows(journal=journal, watch=self._watch, clock=clock, tally=tally, failures=gateway.failures)
        gateway.shadows = self._shadows
        answering = Answering(gateway=gateway, journal=journal, watch=self._watch, clock=clock, tally=tally)
        gateway.loading.on_rest = answering.forget
        self.lanes = Lanes(answering, patience=patience, clock=clock, tally=tally, after=self._shadows.offer)
        self.hub = Hub(
            lanes=self.lanes,
            entry=entry,
            clock=clock,
            forms=[
                Native(limits, partial(v1.answer, gateway, limits)),
                Infer(limits, partial(v2.answer, Inference(gateway, limits.rows))),
            ],
            knows=gateway.serves,
            body_bytes=limits.body_bytes,
            deadline_seconds=patience.deadline_seconds,
            sockets=bounds.sockets,
            tracer=tracer,
        )

    def start(self) -> None:
        allow_files(self._sockets.most + _OTHER_FILES)
        self._watch.start()
        self._shadows.start()

    def stop(self) -> None:
        self.lanes.close()
        self._shadows.stop()
        self._watch.stop()


def allow_files(count: int) -> None:
    """Let this process have so many files open, connections among them, as far as the system lets it."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
