"""`lw tables`: list, show, append, label, compact."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from loopwright.cli import text, words
from loopwright.data.table import Table
from loopwright.errors import TableNotFound
from loopwright.system import System


@words.root.group("tables", cls=words.Words, invoke_without_command=True, epilog="\b\nExample:\n  lw tables list")
@click.pass_context
def tables(ctx: click.Context) -> None:
    """Work with the named, versioned tables of the workspace; alone: list them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_tables)


@words.command(tables, "list", example="lw tables list")
def list_tables(project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """List the tables with their newest versions."""
    opened = words.opened(project, flags)
    found = [opened.tables.current(name) for name in opened.tables.names()]
    if as_json:
        words.print_json([_told(version) for version in found])
    elif not found:
        click.echo("no tables yet; make one: lw tables append NAME FILE")
    else:
        rows = [_row(version) for version in found]
        click.echo(text.columns(rows, ["TABLE", "VERSION", "ROWS", "SIZE", "APPENDED (UTC)", "BATCH"]))


@words.command(tables, "show", example="lw tables show flights")
@click.argument("name")
def show_table(name: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Show a table: what was declared, its columns, its versions."""
    opened = words.opened(project, flags)
    declared, versions = opened.tables.declared(name), opened.tables.versions(name)
    schema = opened.tables.scan(name).collect_schema()
    if as_json:
        columns = {column: str(kind) for column, kind in schema.items()}
        versions_told = [_told(version) for version in versions]
        words.print_json({"table": asdict(declared), "columns": columns, "versions": versions_told})
        return
    facts = {"key": ", ".join(declared.key), "time": declared.time, "label": declared.label}
    facts["never"] = ", ".join(declared.never)
    click.echo(text.columns([["table", declared.name], *([k, v] for k, v in facts.items() if v)]))
    click.echo("\n" + text.columns([[column, str(kind)] for column, kind in schema.items()], ["COLUMN", "TYPE"]))
    header = ["TABLE", "VERSION", "ROWS", "SIZE", "APPENDED (UTC)", "BATCH"]
    click.echo("\n" + text.columns([_row(version) for version in versions], header))


@words.command(tables, "append", example="lw tables append flights january.csv --key flight_id --batch january")
@click.argument("name")
@click.argument("sources", nargs=-1, required=True)
@click.option("--key", multiple=True, metavar="COLUMN", help="Identifies a row; may be given several times.")
@click.option("--time", metavar="COLUMN", help="When a row came to be.")
@click.option("--label", metavar="COLUMN", help="What is to be predicted.")
@click.option("--never", multiple=True, metavar="COLUMN", help="Not known at prediction time; never in training.")
@click.option("--batch", "batch_id", metavar="ID", help="The same batch is appended once, however often it is tried.")
def append(
    name: str,
    sources: tuple[str, ...],
    key: tuple[str, ...],
    time: str | None,
    label: str | None,
    never: tuple[str, ...],
    batch_id: str | None,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
) -> None:
    """Append files (CSV, JSON lines, Parquet, Delta; also globs and URLs) to a table, making it at first use."""
    opened = words.opened(project, flags, create=True)
    options: dict[str, Any] = {"key": key or None, "time": time, "label": label, "never": never}
    given = {option: value for option, value in options.items() if value}
    table = _table(opened, name, given)
    for number, source in enumerate(sources):
        batch = f"{batch_id}/{number}" if batch_id and len(sources) > 1 else batch_id
        version = opened.tables.append(table, source, batch_id=batch)
        if as_json:
            words.print_json(_told(version))
        else:
            click.echo(f"{name} is at version {version.version}: {version.rows:,} rows")


@words.command(tables, "label", example="lw tables label flights labels.csv")
@click.argument("name")
@click.argument("source")
@click.option(
    "--origin", default="lw tables label", show_default=True, metavar="TEXT", help="Where the labels come from."
)
def label_rows(
    name: str, source: str, origin: str, project: Path | None, flags: tuple[str, ...], as_json: bool
) -> None:
    """Add labels that came later: a file with the table's key and label columns."""
    opened = words.opened(project, flags)
    version = opened.tables.label(opened.tables.declared(name), source, origin=origin)
    if as_json:
        words.print_json(_told(version))
    else:
        click.echo(f"{name} is at version {version.version} with labels at {version.labels_version}")


@words.command(tables, "compact", example="lw tables compact flights")
@click.argument("name")
def compact(name: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Join the small files of a table into big ones; older versions stay readable."""
    opened = words.opened(project, flags)
    version = opened.tables.compact(name)
    if as_json:
        words.print_json(_told(version))
    else:
        click.echo(f"{name} is at version {version.version}: {version.rows:,} rows, {text.size(version.size_bytes)}")


def _table(opened: System, name: str, given: dict[str, Any]) -> Table:
    """As declared by the first append; what is given now must agree with it."""
    if given:
        return Table(name, **given)
    try:
        return opened.tables.declared(name)
    except TableNotFound:
        return Table(name)


def _row(version: Any) -> list[str]:
    number = str(version.version) + (f"+{version.labels_version}" if version.labels_version is not None else "")
    size = text.size(version.size_bytes)
    return [version.name, number, f"{version.rows:,}", size, text.moment(version.appended_at), version.batch_id or ""]


def _told(version: Any) -> dict[str, Any]:
    return asdict(version) | {"digest": version.digest}
