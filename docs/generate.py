"""Writes the pages that are made from the code: settings, command line, tour. Run it: make docs"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Callable
from pathlib import Path

import click

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
import loopwright.cli.up  # noqa: F401 - imported for the commands they declare
from loopwright import settings
from loopwright.cli import words

HERE = Path(__file__).parent
ROOT = HERE.parent
PACKAGE = ROOT / "src" / "loopwright"
SETTINGS_INTRO = (
    "Each can stand in `loopwright.toml` (beside the pipeline's file or in a folder above), in the environment as "
    "`LW_NAME`, or on the command line as `--set name=value`; the later of these wins. `lw settings` shows every value "
    "and who chose it. Unknown names are refused."
)


def settings_page() -> str:
    rows = [
        f"| `{s.name}` | {s.type.__name__} | {f'`{s.default}`' if s.default != '' else ''} | {s.unit} | {s.help} |"
        for s in settings.TABLE
    ]
    return "\n".join(
        [
            "# Settings",
            "",
            SETTINGS_INTRO,
            "",
            "| name | type | default | unit | what |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def cli_page() -> str:
    parts = ["# The command `lw`", "", "Exit codes: 0 succeeded, 1 failed, 2 wrong usage, 3 rejected by a gate.", ""]
    for path, command in _commands("lw", words.root):
        names = words.root.context_settings["help_option_names"]  # inherited where a command is really called
        context = click.Context(
            command, info_name=path, max_content_width=100, terminal_width=100, help_option_names=names
        )
        parts += [f"## `{path}`", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(parts)


def tour_page() -> str:
    """The map: layers from the top, one line a module."""
    parts = [(HERE / "tour_intro.md").read_text(encoding="utf-8").rstrip(), ""]
    for layer in _layers():
        modules = _modules(layer)
        if modules:
            parts += [f"## {layer}", "", "| module | what it is |", "| --- | --- |"]
            parts += [f"| `{name}` | {first_line} |" for name, first_line in modules]
            parts += [""]
    return "\n".join(parts)


def _commands(path: str, group: click.Group) -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name in group.list_commands(click.Context(group)):
        command = group.commands[name]
        inner = _commands(f"{path} {name}", command) if isinstance(command, click.Group) else []
        found += [(f"{path} {name}", command), *inner]
    return found


def _layers() -> list[str]:
    """As the linter enforces them, top first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    lines = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [name.strip(" ()") for line in lines for name in line.split("|")]


def _modules(layer: str) -> list[tuple[str, str]]:
    folder, file = PACKAGE / layer, PACKAGE / f"{layer}.py"
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [file] if file.exists() else []
    return [(str(path.relative_to(PACKAGE)), _first_line(path)) for path in files]


def _first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


PAGES: dict[str, Callable[[], str]] = {"settings.md": settings_page, "cli.md": cli_page, "tour.md": tour_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
        print(f"wrote docs/{name}")
