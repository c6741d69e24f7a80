"""`lw serve`, `lw predictions`: the gateway, and what it predicted."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loopwright.cli import text, words

if TYPE_CHECKING:
    from loopwright.gateway.gateway import State
    from loopwright.predictions.journal import Line
    from loopwright.predictions.labels import Label


@words.command(words.root, "serve", example="lw serve --port 8080")
@click.option("--host", default="127.0.0.1", show_default=True, help="An address of this machine; no other is served.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the URL there once requests are answered.",
)
def serve(
    host: str, port: int, ready_file: Path | None, project: Path | None, flags: tuple[str, ...], as_json: bool
) -> None:
    """Serve the promoted models over HTTP, follow every promotion and rollback, and record every prediction."""
    from loopwright.protocols.bodies import Limits
    from loopwright.serve import server

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("loopwright").setLevel(logging.INFO)
    listening = server.listen(host, port)
    with words.opened(project, flags) as opened:
        gate = server.Gate(
            stores=lambda: opened.stores,
            workspace=opened.workspace,
            clock=opened.clock,
            limits=Limits(
                body_bytes=opened.settings.integer("max_body_bytes"), rows=opened.settings.integer("max_rows")
            ),
        )
        gate.gateway.refresh()
        gate.gateway.start(opened.settings.number("route_poll_seconds"))
        url = server.url(listening)
        try:
            server.serve(gate.app, listening, on_ready=lambda: _ready(url, gate.gateway.states(), ready_file, as_json))
        finally:
            gate.close()


@words.command(words.root, "predictions", example="lw predictions flights --limit 5")
@click.argument("loop")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
def predictions(loop: str, limit: int, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Show the newest predictions of LOOP, and what came true where it is known."""
    from loopwright.predictions import reading

    opened = words.opened(project, flags)
    found = reading.newest(opened.workspace, loop, limit)
    if not found:
        opened.stores.versions.get(loop, "newest")  # which refuses a loop that is not there
    if as_json:
        words.print_json([_prediction_json(line, label) for line, label in found])
    elif not found:
        click.echo(f"{loop} predicted nothing yet; serve it: lw serve")
    else:
        header = ["ID", "MADE (UTC)", "VERSION", "ARM", "PREDICTED", "LABEL"]
        click.echo(text.columns([_prediction_row(line, label) for line, label in found], header))


def _ready(url: str, states: list[State], ready_file: Path | None, as_json: bool) -> None:
    if ready_file is not None:
        temporary = ready_file.with_name(f".{ready_file.name}-{os.getpid()}")
        temporary.write_text(f"{url}\n", encoding="ascii")
        temporary.replace(ready_file)
    if as_json:
        words.print_json({"url": url, "loops": {state.loop: _versions(state) for state in states}})
        return
    click.echo(f"serving on {url}")
    for state in states:
        versions = ", ".join(f"v{version}" for version in _versions(state))
        click.echo(f"  {state.loop} {versions or '(its model cannot be loaded; see the log)'}")
    if not states:
        click.echo("  nothing yet: what is promoted (lw promote LOOP) will be served at once")


def _versions(state: State) -> list[int]:
    return sorted({arm.version for arm in state.served.route.arms}) if state.served else []


def _prediction_json(line: Line, label: Label | None) -> dict[str, Any]:
    import msgspec

    return {"prediction": msgspec.to_builtins(line), "label": msgspec.to_builtins(label)}


def _prediction_row(line: Line, label: Label | None) -> list[str]:
    predicted = line.label if line.value is None else f"{line.value:.6g}"
    if line.probabilities and not isinstance(line.label, float):
        share = max(line.probabilities.values())
        predicted = f"{predicted} ({share:.3f})"
    came_true = "" if label is None else str(label.label)
    return [line.id, text.moment(line.at), f"v{line.version}", line.arm, str(predicted), came_true]
