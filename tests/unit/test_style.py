"""The house style, where it can be counted: sizes, exports, layers, weight at import, docs that match the code."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import loopwright

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "loopwright"
FILES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ["alembic", "click", "deltalake", "fsspec", "numpy", "pandas", "polars", "pyarrow", "rich", "sqlalchemy"]
FOUND = re.compile(r"\bhttps?://[^\s\"'<>)]*(pypi|pythonhosted|npmjs|deb\.debian)", re.IGNORECASE)


def definitions(kind: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, kind):
                yield f"{file.relative_to(PACKAGE)}:{getattr(node, 'name', '')}", node


def body_lines(node: ast.AST) -> int:
    """Without the docstring, which explains and does nothing."""
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    body = node.body[1:] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def test_no_function_is_longer_than_forty_lines() -> None:
    found = [*definitions(ast.FunctionDef), *definitions(ast.AsyncFunctionDef)]
    assert len(found) > 300
    assert {name: lines for name, node in found if (lines := body_lines(node)) > 40} == {}


def test_most_functions_are_short() -> None:
    lines = sorted(body_lines(node) for _, node in definitions(ast.FunctionDef))
    assert lines[len(lines) // 2] <= 7
    assert lines[int(len(lines) * 0.95)] <= 20


def test_no_file_is_longer_than_six_hundred_lines() -> None:
    assert {file.name: count for file in FILES if (count := len(file.read_text().splitlines())) > 600} == {}


def test_no_class_has_more_than_twelve_public_methods() -> None:
    exempt = {"testing/conformance.py:StoresConformance"}  # its methods are tests
    counts = {
        name: sum(isinstance(n, ast.FunctionDef) and not n.name.startswith("_") for n in node.body)
        for name, node in definitions(ast.ClassDef)
        if isinstance(node, ast.ClassDef) and name not in exempt
    }
    assert {name: count for name, count in counts.items() if count > 12} == {}


def test_folders_are_flat() -> None:
    """Migrations are numbered scripts, not modules."""
    deep = [file for file in FILES if len(file.relative_to(PACKAGE).parts) > 2]
    assert {file.parent.name for file in deep} == {"migrations"}


def test_every_module_says_what_it_is() -> None:
    for file in FILES:
        assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))), file


def test_what_is_exported_is_there_and_little() -> None:
    assert len(loopwright.__all__) <= 37  # about 25, and the words of the loop file
    assert loopwright.__all__ == sorted(loopwright.__all__)
    for name in loopwright.__all__:
        assert getattr(loopwright, name).__doc__, name


def in_a_fresh_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_loads_nothing_heavy() -> None:
    loaded = in_a_fresh_python("import sys, loopwright, json; print(json.dumps(sorted(sys.modules)))")
    assert set(json.loads(loaded)) & set(HEAVY) == set()


def test_help_loads_nothing_heavy_but_click() -> None:
    code = (
        "import sys, json\nsys.argv = ['lw', '--help']\nfrom loopwright.cli import main\n"
        "try: main()\nexcept SystemExit: pass\nprint(json.dumps(sorted(sys.modules)))"
    )
    loaded = in_a_fresh_python(code).splitlines()[-1]
    assert set(json.loads(loaded)) & set(HEAVY) == {"click"}


def test_importing_costs_little_over_bare_python() -> None:
    """Three tenths of a second are the promise; the median of five measures it, on a machine that others use too."""
    code = "import time; begun = time.process_time(); import loopwright; print(time.process_time() - begun)"
    seconds = sorted(float(in_a_fresh_python(code)) for _ in range(5))
    assert seconds[2] < 0.3


@pytest.mark.parametrize("name", ["settings.md", "cli.md", "tour.md"])
def test_generated_docs_are_up_to_date(name: str) -> None:
    """In a process of its own, as `make docs` makes them: what other tests loaded must not count."""
    asked = f"import sys, generate; sys.stdout.write(generate.PAGES[{name!r}]())"
    made = subprocess.run([sys.executable, "-c", asked], cwd=ROOT / "docs", capture_output=True, text=True, check=True)
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == made.stdout, "run: make docs"


def test_no_file_names_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    named = [
        name for name in listed if (ROOT / name).is_file() and FOUND.search((ROOT / name).read_text(errors="replace"))
    ]
    assert named == []
