"""`lw dashboards`: what Grafana and Prometheus are given to watch gateways."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

from loopwright.cli import words

_FILES = {"dashboard.json": "loopwright-dashboard.json", "alerts.yml": "loopwright-alerts.yml"}


@words.command(words.root, "dashboards", example="lw dashboards --output monitoring", workspace=False)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="FOLDER",
    help="Where they are written [default: here]; made if it is not there.",
)
def dashboards(output: Path, as_json: bool) -> None:
    """Write a dashboard for Grafana and alert rules for Prometheus, made for what a gateway tells at /metrics."""
    output.mkdir(parents=True, exist_ok=True)
    packed = resources.files("loopwright.serve") / "prometheus"
    written = []
    for name, called in _FILES.items():
        file = output / called
        file.write_text((packed / name).read_text(encoding="utf-8"), encoding="utf-8")
        written.append(str(file))
    if as_json:
        words.print_json({"files": written})
        return
    for path in written:
        click.echo(f"written: {path}")
    click.echo(
        "Grafana: import the dashboard. Prometheus: name the rules under rule_files, and scrape /metrics as loopwright"
    )
