"""`lw serve`: the gateway."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loopwright.cli import ready, words
from loopwright.errors import LoopwrightError, NotFound, UsageError

if TYPE_CHECKING:
    from loopwright.gateway.served import State
    from loopwright.predictions.journal import Terms
    from loopwright.protocols.platforms import Host
    from loopwright.serve.overseeing import Oversight
    from loopwright.serve.probing import Probing
    from loopwright.serve.server import Gate
    from loopwright.serve.worker import Desk
    from loopwright.settings import Settings
    from loopwright.system import System


@words.command(words.root, "serve", example="lw serve --port 8080")
@click.option(
    "--host",
    default=None,
    show_default="127.0.0.1",
    help="An address to bind to; one that others reach needs API keys.",
)
@click.option(
    "--platform",
    type=click.Choice(["sagemaker", "vertex"]),
    help="Answer this platform on its own paths without a key, on every address: it sees to it who asks. Everything "
    "else needs a key.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    envvar=["AIP_HTTP_PORT", "SAGEMAKER_BIND_TO_PORT"],
    help="0 takes a free one; hosting platforms say which by AIP_HTTP_PORT or SAGEMAKER_BIND_TO_PORT.",
)
@click.option(
    "--grpc-port",
    type=click.IntRange(0, 65535),
    help="Serve the Open Inference Protocol over gRPC there too; 0 takes a free one.",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that answer, side by side."
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the URL there once requests are answered; at the end it is taken away.",
)
@click.option("--lifeline", is_flag=True, hidden=True, help="End when the input does; for what starts a gateway.")
def serve(
    host: str | None,
    platform: Host | None,
    port: int,
    grpc_port: int | None,
    workers: int,
    ready_file: Path | None,
    lifeline: bool,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
) -> int:
    """Serve the promoted models over HTTP, follow every promotion and rollback, and record every prediction."""
    from loopwright.predictions import background
    from loopwright.serve import listening
    from loopwright.serve.supervisor import Supervisor

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("loopwright").setLevel(logging.INFO)
    if ready_file is not None:
        ready.clear(ready_file)
    address = host or (listening.EVERYWHERE if platform else "127.0.0.1")
    with words.opened(project, flags) as opened:
        if platform is None and not listening.is_loopback(address):
            # Else no store is opened here: a worker must not begin with one.
            listening.refuse_without_keys(address, has_keys=bool(opened.stores.keys.list()))
        settings, clock, workspace = opened.settings, opened.clock, opened.workspace
        compacting = background.command(opened.folder, settings.overrides(), settings.number("compact_seconds"))
    sockets = listening.listen(address, port, workers)
    place = Place(
        host=address,
        platform=platform,
        grpc_socket=None if grpc_port is None else listening.reserve(address, grpc_port, option="--grpc-port"),
        board=_board(workspace) if workers > 1 else None,
    )
    url, grpc = listening.url(sockets), place.grpc
    supervisor = Supervisor(
        work=lambda desk: _work(desk, place, project, flags, as_json=as_json),
        sockets=sockets,
        clock=clock,
        on_ready=lambda loops: _ready(url, grpc, loops, ready_file, as_json),
        companions=[background.Compactor(compacting, clock)] if settings.number("compact_seconds") else [],
        lifeline=sys.stdin.fileno() if lifeline else None,
    )
    try:
        return supervisor.run()
    finally:
        if ready_file is not None:
            ready.take_away(ready_file, url)
        if place.board is not None:
            shutil.rmtree(place.board, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the workers of a gateway share, beside the sockets they answer on."""

    host: str
    platform: Host | None
    """That alone reaches it."""
    grpc_socket: socket.socket | None
    """Kept for the port."""
    board: Path | None

    @property
    def grpc(self) -> str | None:
        return None if self.grpc_socket is None else f"{self.host}:{self.grpc_socket.getsockname()[1]}"


def _work(desk: Desk, place: Place, project: Path | None, flags: tuple[str, ...], *, as_json: bool) -> int:
    """The life of a worker: its exit code."""
    try:
        with words.opened(project, flags) as opened:
            _answer(desk, place, opened)
    except LoopwrightError as error:
        words.tell(error, as_json=as_json)
        return words.WRONG_USAGE if isinstance(error, UsageError | NotFound) else words.FAILED
    return 0


def _answer(desk: Desk, place: Place, opened: System) -> None:
    from loopwright.serve import probing

    desk.hold_on(opened.clock)
    bounds = probing.Bounds.of(opened.settings.integer("memory_budget_bytes"))
    trial = probing.Probing(opened.workspace / probing.FOLDER, opened.clock, bounds)
    trial.start_early()  # it has as much to load as this process
    gate = _gate(desk, place, opened, trial)

    def loops() -> Mapping[str, Sequence[int]]:
        return {state.loop: _versions(state) for state in gate.gateway.states()}

    try:
        if desk.ended is not None:
            gate.tell_recycled(desk.number, desk.ended, desk.crashed)
        gate.follow(opened.settings.number("route_poll_seconds"), desk.telling(loops))
        if place.grpc_socket is not None:
            gate.open_grpc(place.host, place.grpc_socket.getsockname()[1])
        from loopwright.serve import http_server

        http_server.serve(
            gate.app,
            gate.hub,
            desk.own,
            desk.others,
            on_ready=lambda: desk.tell_ready(loops()),
        )
    finally:
        gate.close()


def _gate(desk: Desk, place: Place, opened: System, trial: Probing) -> Gate:
    from loopwright.access import names
    from loopwright.gateway.lanes import Patience
    from loopwright.protocols.bodies import Limits
    from loopwright.protocols.platforms import Platform
    from loopwright.serve import server
    from loopwright.serve.hot import Sockets

    return server.Gate(
        stores=lambda: opened.stores,
        workspace=opened.workspace,
        clock=opened.clock,
        limits=Limits(body_bytes=opened.settings.integer("max_body_bytes"), rows=opened.settings.integer("max_rows")),
        host=place.host,
        allowed_hosts=names.listed(opened.settings.text("allowed_hosts")),
        patience=Patience(
            deadline_seconds=opened.settings.number("deadline_seconds"),
            queue_share=opened.settings.number("queue_share"),
            recycle_seconds=opened.settings.number("recycle_seconds"),
        ),
        sockets=Sockets(most=opened.settings.integer("max_connections")),
        on_stuck=desk.give_up,
        at_work=desk.at_work,
        oversight=_oversight(opened.settings, desk, place.board),
        platform=Platform.of(opened.settings.text("platform_loop"), os.environ, place.platform),
        probing=trial,
        memory_bytes=opened.settings.integer("memory_budget_bytes"),
        workers=len(desk.sockets),
        cache_answers=opened.settings.integer("cache_answers"),
        terms=_terms(opened.settings),
        pii=opened.settings.text("pii"),  # type: ignore[arg-type]
    )


def _terms(settings: Settings) -> Terms:
    from loopwright.predictions.journal import Terms

    return Terms(
        share=settings.number("predictions_share"),
        patience_seconds=settings.number("journal_patience_seconds") or None,
        when_full=settings.text("journal_full"),  # type: ignore[arg-type]
        close_seconds=settings.number("journal_close_seconds"),
    )


def _board(workspace: Path) -> Path:
    """A folder for the numbers of the workers of one gateway, empty."""
    folder = workspace / "gateways"
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="numbers-", dir=folder))


def _oversight(settings: Settings, desk: Desk, board: Path | None) -> Oversight:
    from loopwright.serve.overseeing import Oversight

    file = settings.text("access_log_file")
    return Oversight(
        worker=str(desk.number),
        board=board,
        access_log=settings.text("access_log"),  # type: ignore[arg-type]
        access_log_file=Path(file) if file else None,
        otel_endpoint=settings.text("otel_endpoint"),
        otel_share=settings.number("otel_share"),
    )


def _ready(
    url: str, grpc: str | None, loops: Mapping[str, Sequence[int]], ready_file: Path | None, as_json: bool
) -> None:
    if ready_file is not None:
        ready.write(ready_file, url)
    if as_json:
        told = {"url": url} | ({"grpc": grpc} if grpc else {})
        words.print_json(told | {"loops": loops})
        return
    click.echo(f"serving on {url}" + (f", gRPC on {grpc}" if grpc else ""))
    for loop, served in loops.items():
        versions = ", ".join(f"v{version}" for version in served)
        click.echo(f"  {loop} {versions or '(its model cannot be loaded; see the log)'}")
    if not loops:
        click.echo("  nothing yet: what is promoted (lw promote LOOP) will be served at once")


def _versions(state: State) -> list[int]:
    return sorted({arm.version for arm in state.served.route.arms}) if state.served else []
