"""`lw predict`: batch scoring by the bundle that is served."""

from __future__ import annotations

import glob
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loopwright.cli import words
from loopwright.errors import UsageError
from loopwright.system import System

if TYPE_CHECKING:
    import pyarrow as pa

    from loopwright.data.source import Source


@words.command(words.root, "predict", example="lw predict late-arrivals april.csv --output late.parquet")
@click.argument("loop")
@click.argument("source")
@click.option("--version", default="champion", show_default=True, metavar="NAME", help="Number, alias or digest.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="A .parquet, .csv or .jsonl file; replaced when it is all there.",
)
def predict(
    loop: str, source: str, version: str, output: Path, project: Path | None, flags: tuple[str, ...], as_json: bool
) -> None:
    """Score SOURCE, a file, glob, URL or the name of a table, with a version of LOOP."""
    from loopwright.predictions import batch
    from loopwright.registry.fetch import fetch
    from loopwright.transform import bundle

    if output.exists() and any(Path(one).samefile(output) for one in glob.glob(source)):  # noqa: PTH207 - may be absolute
        raise UsageError(f"{output} is the source itself", fix="name another file: --output scored.parquet")
    opened = words.opened(project, flags)
    chosen = opened.stores.versions.get(loop, version)
    with tempfile.TemporaryDirectory() as folder:
        made = bundle.read(fetch(opened.stores, chosen, Path(folder)))
        rows = batch.write(batch.predict(made, _source(opened, source, batch.expected(made.schema))), output)
    if as_json:
        words.print_json({"version": chosen.number, "digest": chosen.digest, "rows": rows, "output": str(output)})
    else:
        click.echo(f"{chosen.name} predicted {rows:,} rows: {output}")


def _source(opened: System, source: str, expected: pa.Schema) -> Source:
    """A table of the workspace by its name; everything else as a path or URL."""
    from loopwright.data.source import open_source

    if Path(source).suffix == "" and "/" not in source and source in opened.tables.names():
        return open_source(opened.tables.scan(source), expected)
    return open_source(source, expected)
