"""The root of the command line: how every command is declared, and what becomes of errors.

Exit codes: 0 succeeded, 1 failed, 2 wrong usage, 3 rejected by a gate, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from loopwright import __version__, system
from loopwright.data.printable import printable_lines
from loopwright.errors import LoopwrightError, NotFound, UsageError, did_you_mean
from loopwright.system import System

FAILED, WRONG_USAGE, REJECTED = 1, 2, 3
F = TypeVar("F", bound=Callable[..., Any])
_ORDER = """
    demo init run resume runs show logs cancel events deploy up models why compare promote rollback release bundle
    serve keys dashboards predictions labels predict precompute monitor findings why-not retrain retrainings
    alerts data tables gc settings
""".split()  # noqa: SIM905
"""The order in which people meet them."""


class Words(click.Group):
    """A group that offers the closest command for one that it does not have, and imports no command to list them."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"there is no command {args[0]!r}; {did_you_mean(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.commands, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))


@click.group(
    cls=Words,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="\b\nExample:\n  lw init shop && lw run shop/loop.py",
)
@click.version_option(__version__, prog_name="lw", message="%(prog)s %(version)s")
def root() -> None:
    """Loopwright keeps machine-learning models right in production."""


def command(
    parent: click.Group, name: str, *, example: str, workspace: bool = True, json: bool = True
) -> Callable[[F], click.Command]:
    """Declare a command; its help ends with an example that works. `workspace`: whether it works on one; `json`:
    whether its answer can be had as JSON."""

    def declare(function: F) -> click.Command:
        epilog = f"\b\nExample:\n  {example}"
        for option in [*([_PROJECT, _SETTINGS] if workspace else []), *([_JSON] if json else [])]:
            function = option(function)
        return parent.command(name, epilog=epilog)(function)

    return declare


_PROJECT = click.option(
    "--project",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="Folder of the project [default: here or above].",
)
_SETTINGS = click.option(
    "--set", "flags", multiple=True, metavar="NAME=VALUE", help="Override a setting; see: lw settings."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


def opened(project: Path | None, flags: tuple[str, ...], *, create: bool = False) -> System:
    """The workspace a command works on."""
    folder = project or system.find_project(Path.cwd())
    return system.open(folder, flags=pairs(flags, "--set"), create=create)


def pairs(given: tuple[str, ...], option: str) -> dict[str, str]:
    """NAME=VALUE options as a dict. Raises UsageError."""
    split = [text.partition("=") for text in given]
    for name, equals, value in split:
        if not equals or not name:
            raise UsageError(f"{option} {name}{value} is no NAME=VALUE", fix=f"write: {option} name=value")
    return {name: value for name, _, value in split}


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=None if isinstance(value, Mapping) else 1, default=str))


def main() -> None:
    """The console script. Errors are told in words, never as a traceback of ours."""
    import loopwright.cli.alerts
    import loopwright.cli.bundle
    import loopwright.cli.dashboards
    import loopwright.cli.data
    import loopwright.cli.demo
    import loopwright.cli.deploy
    import loopwright.cli.housekeeping
    import loopwright.cli.keys
    import loopwright.cli.labels
    import loopwright.cli.models
    import loopwright.cli.monitor
    import loopwright.cli.predict
    import loopwright.cli.predictions
    import loopwright.cli.release
    import loopwright.cli.retrain
    import loopwright.cli.run
    import loopwright.cli.runs
    import loopwright.cli.serve
    import loopwright.cli.tables
    import loopwright.cli.up  # noqa: F401 - importing a module declares its commands

    as_json = "--json" in sys.argv
    try:
        code = root.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        code = WRONG_USAGE
    except click.ClickException as error:
        _tell_usage(error, as_json=as_json)
        code = WRONG_USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = 130
    except LoopwrightError as error:
        tell(error, as_json=as_json)
        code = WRONG_USAGE if isinstance(error, UsageError | NotFound) else FAILED
    except OSError as error:
        _tell_refusal(error, as_json=as_json)
        code = FAILED
    sys.exit(code if isinstance(code, int) else 0)


def tell(error: LoopwrightError, *, as_json: bool) -> None:
    """An error, to people on stderr, or to machines on stdout."""
    if as_json:
        told = {"kind": type(error).__name__, "what": error.what, "where": error.where, "fix": error.fix}
        print_json({"error": told})
    else:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {printable_lines(str(error))}", err=True)


def _tell_refusal(error: OSError, *, as_json: bool) -> None:
    """Of the system. Where nothing can be written to stdout, people are told, and nothing more is tried there."""
    told = LoopwrightError(f"the system refused: {error}", fix="check the path, its room and your rights to it")
    try:
        sys.stdout.flush()
        tell(told, as_json=as_json)
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        tell(told, as_json=False)


def _tell_usage(error: click.ClickException, *, as_json: bool) -> None:
    if as_json:
        print_json({"error": {"kind": "UsageError", "what": error.format_message(), "where": None, "fix": None}})
        return
    ctx = getattr(error, "ctx", None)
    click.echo(f"{click.style('error:', fg='red', bold=True)} {error.format_message()}", err=True)
    if ctx is not None:
        click.echo(f"  to do: {ctx.command_path} --help", err=True)
