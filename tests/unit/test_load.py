"""A user's file is imported as Python would, and what is wrong with it is told by its line."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopwright.errors import DeclarationError, LoadError
from loopwright.pipeline.load import load_module, load_pipeline

STEP = "import loopwright as lw\n@lw.step\ndef load() -> int: return 1\n"
ONE = STEP + "pipeline = lw.Pipeline([load])\n"


@pytest.fixture(autouse=True)
def clean_imports(tmp_path: Path) -> Iterator[None]:
    path, known = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(folder: Path, source: str, name: str = "flow_to_load.py") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    return path


def test_the_only_pipeline_is_named_like_the_file(tmp_path: Path) -> None:
    found = load_pipeline(write(tmp_path, ONE))
    assert found.name == "flow_to_load"
    assert [step.name for step in found.steps] == ["load"]


def test_a_pipeline_is_found_by_its_own_name_or_that_of_its_variable(tmp_path: Path) -> None:
    source = STEP + "a = lw.Pipeline([load])\nb = lw.Pipeline([load], name='own')\n"
    file = write(tmp_path, source)
    assert load_pipeline(file, "a").name == "a"
    assert load_pipeline(file, "own").name == "own"
    with pytest.raises(LoadError, match="declares several pipelines: a, own") as raised:
        load_pipeline(file)
    assert raised.value.fix == "say which: --pipeline NAME"
    with pytest.raises(LoadError, match="no pipeline 'owm'") as raised:
        load_pipeline(file, "owm")
    assert raised.value.fix == "did you mean 'own'?"


def test_a_second_variable_for_a_pipeline_is_no_second_pipeline(tmp_path: Path) -> None:
    assert load_pipeline(write(tmp_path, ONE + "same = pipeline\n")).name == "flow_to_load"


def test_two_pipelines_of_one_name_are_refused(tmp_path: Path) -> None:
    source = STEP + "a = lw.Pipeline([load], name='x')\nb = lw.Pipeline([load], name='x')\n"
    with pytest.raises(LoadError, match="several pipelines called 'x'"):
        load_pipeline(write(tmp_path, source))


def test_a_file_without_a_pipeline_is_told_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no pipeline is declared") as raised:
        load_pipeline(write(tmp_path, STEP))
    assert raised.value.fix == "write: pipeline = lw.Pipeline([load])"


WRONG: dict[str, tuple[str, str, int, str]] = {
    "a line that is no Python": ("x = 1\ndef (\n", "def (", 2, "correct the line"),
    "an error": ("x = 1\ny = x / 0\n", "ZeroDivisionError: division by zero", 2, "correct the line"),
    "an exit": ("import sys\nsys.exit(3)\n", "SystemExit: 3", 2, "must not fail or exit"),
    "a module that is missing": (
        "import no_such_module.sub\n", "No module named 'no_such_module'", 1, "pip install no_such_module",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_file_is_refused_by_its_line_for(name: str, tmp_path: Path) -> None:
    source, what, line, fix = WRONG[name]
    file = write(tmp_path, source)
    with pytest.raises(LoadError) as raised:
        load_module(file)
    assert what in raised.value.what
    assert raised.value.where == f"{file}:{line}"
    assert fix in str(raised.value.fix)


def test_an_error_in_a_helper_is_told_by_the_helper_s_line(tmp_path: Path) -> None:
    helper = write(tmp_path, "x = 1\n\ny = 1 / 0\n", "helper_to_load.py")
    with pytest.raises(LoadError) as raised:
        load_module(write(tmp_path, "import helper_to_load\n"))
    assert raised.value.where == f"{helper}:3"


def test_a_wrong_declaration_keeps_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="without steps"):
        load_module(write(tmp_path, "import loopwright as lw\nlw.Pipeline([])\n"))


def test_a_file_that_is_not_there_or_no_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="there is no file"):
        load_module(tmp_path / "none.py")
    with pytest.raises(LoadError, match="is no Python file"):
        load_module(write(tmp_path, "", "notes.txt"))


def test_a_file_imports_what_lies_beside_it(tmp_path: Path) -> None:
    write(tmp_path, "K = 1\n", "beside_to_load.py")
    assert load_module(write(tmp_path, "from beside_to_load import K\n")).K == 1


def test_a_file_in_a_package_is_imported_as_part_of_it(tmp_path: Path) -> None:
    write(tmp_path, "", "pkg_to_load/__init__.py")
    write(tmp_path, "K = 2\n", "pkg_to_load/helper.py")
    module = load_module(write(tmp_path, "from .helper import K\n", "pkg_to_load/flow.py"))
    assert (module.__name__, module.K) == ("pkg_to_load.flow", 2)


@pytest.mark.parametrize("name", ["json.py", "pytest.py", "my-flow.py", "flow.v2.py", "test.py"])
def test_a_file_whose_name_is_taken_or_no_name_is_loaded_all_the_same(tmp_path: Path, name: str) -> None:
    taken = sys.modules.get(name.removesuffix(".py"))
    assert load_pipeline(write(tmp_path, ONE, name)).steps
    assert sys.modules.get(name.removesuffix(".py")) in (taken, load_module(tmp_path / name))


def test_a_file_is_imported_once(tmp_path: Path) -> None:
    file = write(tmp_path, ONE)
    assert load_module(file) is load_module(file)
