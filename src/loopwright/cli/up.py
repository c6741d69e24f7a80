"""`lw up`: the gateway and everything that keeps the loops turning, each a process of its own."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click

from loopwright.cli import ready, words
from loopwright.core.clock import SystemClock
from loopwright.errors import LoopwrightError
from loopwright.system import RECONCILERS

GATEWAY = "gateway"
_DOES = {
    "release": "moves releases along by their evidence",
    "monitor": "measures every window of the traffic that is over",
    "retrain": "lets loops learn again when a trigger is due",
    "alerts": "tells people what happened",
}
_FOLLOWS = "follows: another process of this name leads, and is replaced when it falls silent"


@words.command(words.root, "up", example="lw up --port 8080")
@click.option(
    "--only",
    type=click.Choice([GATEWAY, *RECONCILERS]),
    multiple=True,
    help="This part, and no other; once more for another one. Parts may run on several machines with one store.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="An address for the gateway; one that others reach needs API keys.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Of the gateway; 0 takes a free one."
)
@click.option("--grpc-port", type=click.IntRange(0, 65535), help="Of the gateway, for gRPC; 0 takes a free one.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes of the gateway that answer."
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the URL there once all parts are at work; at the end it is taken away.",
)
@click.option("--seat", hidden=True, help="The name under which a part leads; for what starts it.")
@click.option("--lifeline", is_flag=True, hidden=True, help="End when the input does; for what starts it.")
def up(
    only: tuple[str, ...],
    host: str,
    port: int,
    grpc_port: int | None,
    workers: int,
    ready_file: Path | None,
    seat: str | None,
    lifeline: bool,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
) -> int:
    """Serve the promoted models and keep their loops turning: watch, learn again, release, and tell of it.

    Each part is a process of its own, and started again when it ends. The parts work on what is deployed (lw deploy).
    Ctrl-C, or SIGTERM, ends all of them once they have finished what they began; a second one at once.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("loopwright").setLevel(logging.INFO)
    if seat is not None:
        return _keep_one(only[0], seat, project, flags, lifeline=lifeline)
    asked = Gateway(host=host, port=port, grpc_port=grpc_port, workers=workers)
    names = [name for name in (GATEWAY, *RECONCILERS) if not only or name in only]
    return _keep_all(names, asked, ready_file, project, flags, as_json=as_json)


@dataclass(kw_only=True)
class Gateway:
    """How the gateway is asked for."""

    host: str
    port: int
    """The one it got, from its first word on: another process in its place is found there too."""
    grpc_port: int | None
    workers: int

    def words(self) -> list[str]:
        chosen = ["--host", self.host, "--port", str(self.port), "--workers", str(self.workers)]
        return chosen if self.grpc_port is None else [*chosen, "--grpc-port", str(self.grpc_port)]


def _keep_one(name: str, seat: str, project: Path | None, flags: tuple[str, ...], *, lifeline: bool) -> int:
    """The life of one part that is no gateway. Who leads is told on the output, a JSON object a line."""
    from loopwright.processes import Bell
    from loopwright.reconciler import keep

    clock = SystemClock()  # of the processes: also where a replay turns the one of the workspace
    bell = Bell(lifeline=lifeline, clock=clock)
    with words.opened(project, flags) as opened:
        keep(
            opened.reconciler(name),
            leaders=opened.stores.leaders,
            holder=seat,
            clock=clock,
            seconds=opened.settings.number("reconcile_seconds"),
            is_over=bell.is_over,
            on_lead=lambda leads: words.print_json({"leads": leads}),
        )
    return 0


def _keep_all(
    names: Sequence[str],
    asked: Gateway,
    ready_file: Path | None,
    project: Path | None,
    flags: tuple[str, ...],
    *,
    as_json: bool,
) -> int:
    from loopwright.processes import Part, Processes
    from loopwright.reconciler import seat_here

    if ready_file is not None:
        ready.clear(ready_file)
    with words.opened(project, flags) as opened:
        folder, clock = opened.folder, SystemClock()
        opened.stores.events.list(limit=1)  # what is to be migrated is so before several processes want it
    beside = ["--project", str(folder), *(word for flag in flags for word in ("--set", flag))]
    commands = {name: partial(_command, name, asked, beside, seat_here(clock)) for name in names}
    told = Board(asked=asked, waited_for=set(names), ready_file=ready_file, as_json=as_json)
    parts = [Part(name=name, command=command, is_vital=name == GATEWAY) for name, command in commands.items()]
    told.starting(names)
    try:
        return Processes(parts, clock=clock, listener=told).run()
    finally:
        if ready_file is not None:
            ready.take_away(ready_file, told.url)


def _command(name: str, asked: Gateway, beside: Sequence[str], seat: str) -> list[str]:
    """The seat is the same for all that are started in one another's place: what it led it leads again at once."""
    chosen = ["serve", *asked.words()] if name == GATEWAY else ["up", "--only", name, "--seat", seat]
    return [sys.executable, "-m", "loopwright.cli", *chosen, "--lifeline", "--json", *beside]


@dataclass(kw_only=True)
class Board:
    """Says what each process is doing, as it changes."""

    asked: Gateway
    waited_for: set[str]
    """Parts that have not said yet that they are at work."""
    ready_file: Path | None
    as_json: bool
    url: str = ""
    is_over: bool = False
    """From then on nobody is told that all parts are at work."""
    echo: Callable[[str], None] = field(default=click.echo)

    def starting(self, names: Sequence[str]) -> None:
        if not self.as_json:
            self.echo(f"starting {', '.join(names)}")

    def said(self, name: str, pid: int, line: str) -> bool:
        """What a process told: whether it is at work."""
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            self.echo(line)  # what a model, or a library, prints
            return False
        if "error" in found:
            words.tell(LoopwrightError(**_known(found["error"])), as_json=self.as_json)
            return False
        state, does, rest = self._doing(name, found)
        self._tell(name, pid, state, does, rest)
        self._at_work(name)
        return True

    def ended(self, name: str, pid: int, how: str, rest_seconds: float | None) -> None:
        again = f"another is started{f' in {rest_seconds:g} s' if rest_seconds else ''}"
        again = "it is not started again" if rest_seconds is None else again
        self._tell(name, pid, "ended", f"{how}; {again}", {"how": how, "again_in_seconds": rest_seconds})
        if rest_seconds is None:
            self._at_work(name)

    def stopping(self) -> None:
        self.is_over = True
        if self.as_json:
            words.print_json({"stopping": True})
        else:
            self.echo("stopping: what was begun is finished first; once more ends it at once")

    def _doing(self, name: str, found: Mapping[str, Any]) -> tuple[str, str, Mapping[str, Any]]:
        if name == GATEWAY:
            self.url = found["url"]
            self.asked.port = int(self.url.rpartition(":")[2])
            if "grpc" in found:
                self.asked.grpc_port = int(found["grpc"].rpartition(":")[2])
            return "serves", f"serves {_told(found['loops'])} on {self.url}", found
        if found.get("leads"):
            return "leads", _DOES[name], {}
        return "follows", _FOLLOWS, {}

    def _tell(self, name: str, pid: int, state: str, does: str, rest: Mapping[str, Any]) -> None:
        if self.as_json:
            words.print_json({"process": name, "pid": pid, "state": state, **rest})
        else:
            self.echo(f"{name:<8} {pid:>8}  {does}")

    def _at_work(self, name: str) -> None:
        """Once all are, everybody may know."""
        if name not in self.waited_for:
            return
        self.waited_for.discard(name)
        if self.waited_for or self.is_over:
            return
        if self.ready_file is not None:
            ready.write(self.ready_file, self.url)
        if self.as_json:
            words.print_json({"ready": True, "url": self.url or None})
        else:
            self.echo(f"ready{': ' if self.url else ''}{self.url}")


def _known(error: Mapping[str, Any]) -> dict[str, Any]:
    return {"what": str(error.get("what")), "where": error.get("where"), "fix": error.get("fix")}


def _told(loops: Mapping[str, Sequence[int]]) -> str:
    """Which versions of which loops."""
    named = [f"{loop} {', '.join(f'v{one}' for one in found) or 'without a model'}" for loop, found in loops.items()]
    return ", ".join(named) or "what will be promoted"
