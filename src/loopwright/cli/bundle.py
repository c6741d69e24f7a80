"""`lw bundle`: look at bundles, check them, and carry them between workspaces."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loopwright.cli import text, words
from loopwright.cli.models import version_json
from loopwright.errors import UsageError
from loopwright.registry import names

if TYPE_CHECKING:
    from loopwright.transform.manifest import Manifest


@words.root.group("bundle", cls=words.Words, epilog="\b\nExample:\n  lw bundle show flights:champion")
def bundle() -> None:
    """Look at the sealed files of a version, check them, and carry them elsewhere."""


@words.command(bundle, "show", example="lw bundle show flights:champion")
@click.argument("what")
def show(what: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Show what a bundle holds. WHAT is LOOP:VERSION, a digest, a folder or an archive."""
    with _folder(what, project, flags) as folder:
        manifest = _verified(folder)
        if as_json:
            click.echo(manifest.to_json(), nl=False)
        else:
            click.echo(_told(manifest))


@words.command(bundle, "verify", example="lw bundle verify flights:champion")
@click.argument("what")
def verify(what: str, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Check that a bundle is whole, safe and what it says. WHAT is LOOP:VERSION, a digest, a folder or an archive."""
    with _folder(what, project, flags) as folder:
        manifest = _verified(folder)
    if as_json:
        words.print_json({"name": manifest.name, "digest": manifest.digest, "files": sorted(manifest.files)})
    else:
        click.echo(f"whole: a model of {manifest.name}, {len(manifest.files)} files, digest {manifest.digest}")


@words.command(bundle, "export", example="lw bundle export flights:newest flights.zip")
@click.argument("version")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def export(version: str, file: Path, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Write VERSION (LOOP:VERSION or a digest) with its code, environment and run to one FILE."""
    from loopwright.registry.archive import export_bundle

    if file.exists():
        raise UsageError(f"{file} is there already", fix="name another file")
    if not file.parent.is_dir():
        raise UsageError(f"there is no folder {str(file.parent)!r}", fix="make it first, or name another file")
    opened = words.opened(project, flags)
    found = names.find(opened.stores, version)
    export_bundle(opened.stores, found, file, opened.workspace / "scratch")
    size_bytes = file.stat().st_size
    if as_json:
        words.print_json({"file": str(file), "size_bytes": size_bytes, "version": version_json(found)})
    else:
        click.echo(f"wrote {found.name} to {file}, {text.size(size_bytes)}")


@words.command(bundle, "import", example="lw bundle import flights.zip")
@click.argument("file", type=click.Path(path_type=Path))
def import_(file: Path, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Make a version of a FILE that another workspace exported. It answers to nobody before it is promoted."""
    from loopwright.registry.archive import import_bundle

    if not file.is_file():
        raise UsageError(f"there is no file {str(file)!r}", fix="write the path of what lw bundle export wrote")
    opened = words.opened(project, flags, create=True)
    done = import_bundle(opened.stores, file, opened.workspace / "scratch", opened.cause(f"lw bundle import {file}"))
    version = done.version
    if as_json:
        words.print_json({"is_new": done.is_new, "version": version_json(version)})
    elif done.is_new:
        click.echo(f"imported as {version.name}, {text.status(version.status.value)}: {version.reason}")
    else:
        click.echo(f"the same bundle is here already, as {version.name}")


@words.command(bundle, "edge", example="lw bundle edge flights:champion --output flights-edge")
@click.argument("version")
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="A folder that is not there yet."
)
def edge(version: str, output: Path, project: Path | None, flags: tuple[str, ...], as_json: bool) -> None:
    """Write VERSION (LOOP for its champion, LOOP:VERSION or a digest) as a folder that answers where little is
    installed: ONNX Runtime and NumPy."""
    from loopwright.edge import place
    from loopwright.registry import fetch

    if output.exists():
        raise UsageError(f"{output} is there already", fix="name a folder that is not")
    opened = words.opened(project, flags)
    is_loop = any(one.loop == version for one in opened.stores.versions.list())
    found = names.find(opened.stores, f"{version}:champion" if is_loop else version)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".edge-") as room:
        made = Path(room) / "edge"
        (made / place.BUNDLE).mkdir(parents=True)
        fetch.fill(opened.stores.blobs, found, made / place.BUNDLE)
        place.write(made, found.loop, found.number, found.digest)
        made.rename(output)
    if as_json:
        words.print_json({"folder": str(output), "version": version_json(found)})
        return
    click.echo(f"wrote {found.name} to {output}. Carry it where it is to answer, and there:")
    click.echo("  pip install numpy onnxruntime && pip install --no-deps loopwright")
    click.echo(f"  python -m loopwright.edge {output.name} --port 8080")


@contextmanager
def _folder(what: str, project: Path | None, flags: tuple[str, ...]) -> Iterator[Path]:
    """The bundle as a folder, for as long as it is looked at."""
    from loopwright.registry import fetch
    from loopwright.transform import bundle as bundles

    path = Path(what)
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="loopwright-") as room:
        folder = Path(room) / "bundle"
        if path.is_file():
            bundles.unpack(path, folder)
        else:
            opened = words.opened(project, flags)
            version = names.find(opened.stores, what)
            folder.mkdir()
            fetch.fill(opened.stores.blobs, version, folder)
        yield folder


def _verified(folder: Path) -> Manifest:
    from loopwright.transform import bundle as bundles

    return bundles.verify(folder)


def _told(manifest: Manifest) -> str:
    classes = f", classes {', '.join(map(str, manifest.classes))}" if manifest.classes else ""
    facts = {
        "loop": manifest.name,
        "digest": manifest.digest,
        "task": f"{manifest.task}{classes}",
        "opset": ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in sorted(manifest.opset.items())),
        "operators": ", ".join(manifest.operators),
        "parity": ", ".join(f"{name}={value}" for name, value in sorted(manifest.parity.items())),
        "run": str(manifest.lineage.get("run", "")),
    }
    files = [[name, text.size(one.size_bytes), one.sha256[:12]] for name, one in sorted(manifest.files.items())]
    inputs = [[one.name, one.kind.value] for one in manifest.inputs]
    parts = [
        text.columns([[name, value] for name, value in facts.items() if value]),
        text.columns(files, ["FILE", "SIZE", "DIGEST"]),
        text.columns(inputs, ["INPUT", "KIND"]),
    ]
    return "\n\n".join(parts)
