"""`lw data`: describe, validate, drift, schema, accept, quarantined."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from loopwright import system
from loopwright.cli import sources, words
from loopwright.core.clock import SystemClock
from loopwright.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from loopwright.data.report import Report
    from loopwright.data.schema import Schema

F = TypeVar("F", bound=Callable[..., Any])
_TFDV = ".pbtxt"
"""How TensorFlow Data Validation names its schemas."""
_WIDTH = 120
"""Where there is no terminal."""
_COLOURS = {"error": "red", "warning": "yellow"}


@words.root.group("data", cls=words.Words, epilog="\b\nExample:\n  lw data describe flights")
def data() -> None:
    """Describe data, hold it against a schema, and see what moved."""


def _spans(function: F) -> F:
    """Which rows of a table, and of the one it is compared with."""
    for prefix, whose in (("against-", " of --against"), ("", "")):
        for name, told in (
            ("version", "Version of the table"),
            ("until", "Only rows before this time"),
            ("since", "Only rows from this time on"),
        ):
            metavar = "NUMBER" if name == "version" else "TIME"
            kind = int if name == "version" else str
            function = click.option(f"--{prefix}{name}", type=kind, metavar=metavar, help=f"{told}{whose}.")(function)
    return function


def _page(function: F) -> F:
    path = click.Path(path_type=Path, dir_okay=False)
    told = "Write all of it as one HTML page."
    return click.option("--page", type=path, metavar="FILE.html", callback=_writable, help=told)(function)


def _writable(ctx: click.Context, parameter: click.Parameter, page: Path | None) -> Path | None:
    """Told before the work, and so that no slip writes over the data."""
    del ctx, parameter
    if page is not None and page.suffix not in (".html", ".htm"):
        raise UsageError(
            f"{page} is no name of a page", where="--page", fix=f"write --page {page.with_suffix('.html')}"
        )
    if page is not None and not page.parent.is_dir():
        raise UsageError(f"there is no folder {str(page.parent)!r}", fix="make it first, or name another file")
    return page


_SCHEMA = click.option("--schema", "schema_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
_AGAINST = click.option("--against", metavar="SOURCE", help="Rows to compare with: an earlier span, another file.")


@words.command(data, "describe", example="lw data describe flights --since 2013-02-01 --page flights.html")
@click.argument("source")
@_AGAINST
@click.option("--by", metavar="COLUMN", help="Side by side for each value of a column, the most frequent ones.")
@click.option("--weight", metavar="COLUMN", help="Describe numbers by the weights in a column, too.")
@click.option("--label", metavar="COLUMN", help="Tell also what every column tells of this one.")
@_spans
@_page
def describe(
    source: str,
    against: str | None,
    by: str | None,
    weight: str | None,
    label: str | None,
    page: Path | None,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
    **spans: Any,
) -> int:
    """Tell what every column holds. SOURCE is a table, a file, a glob, a URL, a version (LOOP:3, for the rows it was
    trained on), or LOOP:predictions, for the rows that its versions were asked about."""
    from loopwright.data import on_request
    from loopwright.data.check import check
    from loopwright.data.report import Report
    from loopwright.data.spans import plain_schema

    with sources.desk(project, flags) as desk:
        looked = desk.look(sources.asked(source, spans))
        other = desk.beside(against, spans)
        seen = looked.span.seen
        found = tuple(check(seen, plain_schema(seen, desk.declared(source))))
        told = (*on_request.spans(looked, by=by, weight=weight), *([other.span] if other else []))
        labelled = None if label is None else on_request.label_told(looked, label)
        return _show(Report(spans=told, findings=found, labelled=labelled), source, page, as_json=as_json)


@words.command(data, "validate", example="lw data validate april.csv --schema schema.toml --against flights")
@click.argument("source")
@_SCHEMA
@_AGAINST
@click.option(
    "--environment", metavar="NAME", help="Where the rows are used [default: training; of predictions: serving]."
)
@_spans
@_page
def validate(
    source: str,
    schema_file: Path | None,
    against: str | None,
    environment: str | None,
    page: Path | None,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
    **spans: Any,
) -> int:
    """Say what is wrong with SOURCE: a table, a file, a glob, a URL or LOOP:predictions. Exit code 3 when there are
    errors, or drift; what is only suspected is a warning.

    Without --schema, rows are held against what --against looks like; without both, only what is wrong in any data is
    found. With a version (LOOP:3) as --against, its training rows are compared with, and its contract holds.
    """
    from loopwright.data.against import drift_findings
    from loopwright.data.check import check
    from loopwright.data.examine import examine
    from loopwright.data.findings import ranked
    from loopwright.data.report import Report
    from loopwright.data.schema import SERVING, TRAINING

    with sources.desk(project, flags) as desk:
        given = _read_schema(schema_file)
        looked = desk.look(sources.asked(source, spans), given)
        other = desk.beside(against, spans, given)
        schema = desk.schema(source, looked, against, other, given)
        is_skew = desk.is_skew(source, against)
        before, trained = (other.span.seen if other and is_skew is wanted else None for wanted in (False, True))
        where = _environment(environment, schema) or (SERVING if desk.is_served(source) else TRAINING)
        now = SystemClock().now()
        found = check(looked.span.seen, schema, environment=where, now=now, previous=before, training=trained)
        if looked.rows is not None:
            found = examine(looked.rows, schema, found)
        moved = desk.compared(looked, other, schema, source=source, against=against) if other else None
        if moved is not None:
            found = ranked([*found, *drift_findings(moved, schema, is_skew=is_skew)])
        told = (looked.span, *([other.span] if other else []))
        return _show(Report(spans=told, findings=tuple(found), drift=moved), source, page, as_json=as_json)


@words.command(
    data, "drift", example="lw data drift flights --since 2013-06-01 --against flights --against-until 2013-06-01"
)
@click.argument("source")
@click.option("--against", metavar="SOURCE", required=True, help="Rows to compare with; LOOP:3 for its training rows.")
@_SCHEMA
@_spans
@_page
def drift(
    source: str,
    against: str,
    schema_file: Path | None,
    page: Path | None,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
    **spans: Any,
) -> int:
    """Say which columns of SOURCE moved, from statistics alone.

    SOURCE and --against are tables, files, globs, URLs, versions (LOOP:3) or what was asked of them: LOOP:predictions,
    with --since and --until. One comparison can only make suspect: a column has drifted when two windows in a row say
    so, as a loop asks. Exit code 0 for what is suspected; 3 for what has drifted, and for either where the schema says
    `drift = "error"` under [severity].
    """
    from loopwright.data.against import drift_findings
    from loopwright.data.report import Report

    with sources.desk(project, flags) as desk:
        given = _read_schema(schema_file)
        looked = desk.look(sources.asked(source, spans), given)
        other = desk.look(sources.asked(against, spans, "against_"), given)
        schema = given or desk.roles(source, against, other)
        moved = desk.compared(looked, other, schema, source=source, against=against)
        told = tuple(drift_findings(moved, schema, is_skew=desk.is_skew(source, against)))
        spans_told = (looked.span, other.span)
        return _show(Report(spans=spans_told, drift=moved, findings=told), source, page, as_json=as_json)


@words.command(data, "schema", example="lw data schema flights --output schema.toml")
@click.argument("source")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it here [default: print]."
)
@click.option("--diff", "only_diff", is_flag=True, help="Only say what would change in the file that is there.")
@click.option("--force", is_flag=True, help="Replace the file, and with it what was edited.")
@click.option("--label", metavar="COLUMN", help="What is to be predicted, where SOURCE is no table.")
@_spans
def schema(
    source: str,
    output: Path | None,
    only_diff: bool,
    force: bool,
    label: str | None,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
    **spans: Any,
) -> None:
    """Infer a schema from SOURCE (a table, a file, a glob or a URL): a TOML file to be read, edited and kept.

    SOURCE may also be a schema.pbtxt of TensorFlow Data Validation, which is then turned into one.
    """
    from loopwright.data import schema_file
    from loopwright.data.infer import infer

    if Path(source).suffix == _TFDV:
        inferred = _imported(Path(source), label)
    else:
        with sources.desk(project, flags) as desk:
            looked = desk.look(sources.asked(source, spans))
            inferred = infer(looked.span.seen, desk.declared(source), label=label)
    if label is not None and label not in inferred.names:
        raise UsageError(f"there is no column {label!r}", where=source, fix=did_you_mean(label, inferred.names))
    if output is None:
        text = schema_file.to_toml(inferred)
        click.echo(inferred.to_json() if as_json else text, nl=as_json)
    else:
        _write_schema(inferred, output, source, only_diff=only_diff, force=force, as_json=as_json)


@words.command(
    data,
    "accept",
    example="lw data accept 'columns.carrier.values = [\"UA\", \"ZZ\"]' --schema schema.toml --because 'a new carrier'",
    workspace=False,
)
@click.argument("findings", nargs=-1, required=True, metavar="LINE...")
@click.option("--schema", "schema_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", required=True)
@click.option("--because", required=True, metavar="TEXT", help="Why this is right; it is kept in the file.")
def accept(findings: tuple[str, ...], schema_file: Path, because: str, as_json: bool) -> None:
    """Widen a schema by what was found and is right after all: each LINE as `lw data validate` tells it. A line that
    narrows a limit, or changes anything else, is refused. Several at once, also by several people, are all kept."""
    from loopwright.data import schema_file as files
    from loopwright.data.schema_diff import diff

    _refuse_none(schema_file)
    with files.held(schema_file):
        before = after = files.read(schema_file)
        for line in findings:
            after = _accepted(after, line, because, before)
        files.write(after, schema_file)
    changes = [str(change) for change in diff(before, after) if change.field != "acceptances"]
    if as_json:
        words.print_json({"schema": str(schema_file), "digest": after.digest, "changes": changes})
    else:
        click.echo("\n".join([*changes, f"wrote {schema_file}"]))


@words.command(data, "quarantined", example="lw data quarantined last --output rows.parquet")
@click.argument("run_id", metavar="RUN")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write them here, as Parquet."
)
def quarantined(run_id: str, output: Path | None, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Show the rows that a run of a loop set aside, with their reasons."""
    from loopwright.cli import quarantined as rows

    aside = rows.of_run(words.opened(project, flags), run_id)
    if output is not None:
        aside.write_parquet(output)
    if as_json:
        words.print_json({"rows": rows.as_values(aside), "output": None if output is None else str(output)})
    else:
        click.echo(rows.as_text(aside) if output is None else f"wrote {output}: {len(aside):,} rows")


def _read_schema(file: Path | None) -> Schema | None:
    from loopwright.data import schema_file

    if file is None:
        return None
    _refuse_none(file)
    return _imported(file) if file.suffix == _TFDV else schema_file.read(file)


def _refuse_none(file: Path) -> None:
    if not file.is_file():
        raise UsageError(f"there is no schema {str(file)!r}", fix=f"make one: lw data schema SOURCE --output {file}")


def _environment(name: str | None, schema: Schema) -> str | None:
    """Raises `UsageError` for one that no column speaks of: every check of it would be switched off."""
    from loopwright.data.schema import SERVING, TRAINING

    known = {TRAINING, SERVING, *(one for column in schema.columns for one in column.absent_in)}
    if name is not None and name not in known:
        raise UsageError(
            f"there is no environment {name!r}",
            where="--environment",
            fix=f"{did_you_mean(name, known)}; one is made by naming it in absent_in of a column",
        )
    return name


def _imported(file: Path, label: str | None = None) -> Schema:
    """What is left out goes to stderr, so that the schema can be piped on."""
    from loopwright.data.tfdv import from_tfdv

    if not file.is_file():
        raise UsageError(f"there is no file {str(file)!r}", fix="name what tfdv.write_schema_text() wrote")
    imported = from_tfdv(file.read_text(encoding="utf-8"), label=label)
    for one in imported.left_out:
        click.echo(f"left out: {one}", err=True)
    return imported.schema


def _show(report: Report, title: str, page: Path | None, *, as_json: bool) -> int:
    """In the form that was asked for; the exit code tells whether all is well."""
    if page is not None:
        draft = page.with_name(f"{page.name}.new")
        draft.write_text(report.page(title), encoding="utf-8")
        draft.replace(page)
    if as_json:
        words.print_json({"is_fine": report.is_fine, **report.to_dict()})
    else:
        signs = _signs()
        shown = report.text(_width(), signs=signs)
        shown = shown if signs is None else shown.replace("…", "~")  # as wide, where there is no ellipsis
        click.echo("\n".join(map(_coloured, shown.split("\n"))))
        if page is not None:
            click.echo(f"\nwrote {page}")
    return 0 if report.is_fine else words.REJECTED


def _width() -> int:
    return shutil.get_terminal_size((_WIDTH, 24)).columns if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH


def _signs() -> str | None:
    from loopwright.data.bars import BLOCKS, PLAIN_BLOCKS

    try:
        BLOCKS.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return PLAIN_BLOCKS
    return None


def _coloured(line: str) -> str:
    """The words that matter; click takes the colours away where there is no terminal."""
    first, colon, rest = line.partition(":")
    if colon and first in ("error", "warning"):
        return f"{click.style(first, fg=_COLOURS[first], bold=True)}:{rest}"
    return line


def _write_schema(inferred: Schema, output: Path, source: str, *, only_diff: bool, force: bool, as_json: bool) -> None:
    """Never over what a person may have edited, unless told to."""
    from loopwright.data import schema_file
    from loopwright.data.schema_diff import diff

    before = schema_file.read(output) if output.is_file() else None
    changes = [] if before is None else [str(change) for change in diff(before, inferred)]
    is_written = not only_diff and (before is None or force or not changes)
    if not only_diff and not is_written:
        again = f"lw data schema {shlex.quote(source)} --output {shlex.quote(str(output))}"
        raise UsageError(
            f"{output} is there already, and says otherwise in {len(changes):,} points",
            fix=f"see them: {again} --diff; replace it: {again} --force",
        )
    if is_written and (before is None or force):
        schema_file.write(inferred, output)
    if as_json:
        words.print_json({"schema": str(output), "is_written": is_written, "changes": changes})
    elif only_diff:
        click.echo("\n".join(changes) or f"{output} would stay as it is")
    else:
        click.echo(
            f"wrote {output}: {len(inferred.columns):,} columns"
            if changes or before is None
            else f"{output} stays as it is"
        )


def _accepted(schema: Schema, line: str, because: str, before: Schema) -> Schema:
    """With one line more."""
    from loopwright.data.finding_kinds import finding
    from loopwright.data.relax import accept

    found = replace(finding("check failed", line, ""), kind="by its line", accept=line)
    return accept(schema, found, who=system.whoami(), why=because, at=SystemClock().now(), before=before)
