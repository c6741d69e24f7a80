"""Load a user's file and find the pipeline in it. The same file gives the same module in every process."""

from __future__ import annotations

import sys
import traceback
from dataclasses import replace
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from loopwright.errors import LoadError, LoopwrightError, did_you_mean
from loopwright.pipeline.graph import Pipeline
from loopwright.pipeline.step import Step


def load_pipeline(file: Path, name: str = "") -> Pipeline:
    """The pipeline of that name in the file, or its only one. Raises LoadError, and what the declaration raises."""
    name, value = load_declared(file, name)
    return replace(_pipeline(value), name=name)


def load_declared(file: Path, name: str = "") -> tuple[str, Any]:
    """What is declared under that name in the file, a loop or a pipeline, or its only one. Raises as above."""
    module = load_module(file)
    found = {id(value): (key, value) for key, value in vars(module).items() if _is_declared(value)}
    declared = [value for _, value in found.values()]
    names = [value.name or (file.stem if len(found) == 1 else key) for key, value in found.values()]
    named = dict(zip(names, declared, strict=True))
    if len(named) < len(names):
        twice = next(each for each in names if names.count(each) > 1)
        raise LoadError(f"{file} declares several pipelines called {twice!r}", fix="give each a name of its own")
    if not named:
        raise LoadError(f"no loop and no pipeline is declared in {file}", fix=_declaration(module))
    if not name and len(named) > 1:
        raise LoadError(
            f"{file} declares several pipelines: {', '.join(sorted(named))}", fix="say which: --pipeline NAME"
        )
    name = name or next(iter(named))
    if name not in named:
        raise LoadError(f"{file} declares no pipeline {name!r}", fix=did_you_mean(name, named))
    return name, named[name]


def _is_declared(value: object) -> bool:
    """A pipeline, or what stands for one: a loop."""
    return isinstance(value, Pipeline) or hasattr(type(value), "as_pipeline")


def _pipeline(value: Any) -> Pipeline:
    return value if isinstance(value, Pipeline) else value.as_pipeline()


def load_module(file: Path) -> ModuleType:
    """Import the file, with its folder on the path as when Python runs it. Raises LoadError naming the line."""
    file = file.resolve()
    if not file.is_file():
        raise LoadError(f"there is no file {file}", fix="write the path of a Python file, such as loop.py")
    if file.suffix != ".py":
        raise LoadError(f"{file} is no Python file", fix="write the path of a Python file, such as loop.py")
    folder, name = _place(file)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return _import(file, name)
    except LoopwrightError:
        raise
    except SyntaxError as error:
        raise LoadError(
            f"{error.msg}: {(error.text or '').strip()}",
            where=f"{error.filename}:{error.lineno}",
            fix="correct the line",
        ) from None
    except (Exception, SystemExit) as error:
        raise LoadError(
            f"{type(error).__name__}: {error}", where=_last_line(error, file), fix=_missing(error)
        ) from error


def _place(file: Path) -> tuple[Path, str]:
    """The folder to import from and the dotted name: a file in a package is imported as part of it."""
    folder, parts = file.parent, [file.stem]
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts)


def _import(file: Path, name: str) -> ModuleType:
    if name.split(".")[0] not in sys.stdlib_module_names and "." not in file.stem:
        loaded = sys.modules.get(name)
        module = loaded or import_module(name)
        if getattr(module, "__file__", None) and Path(str(module.__file__)).resolve() == file:
            return module
    # Its name is taken by another module: the file keeps working under one that is not.
    name = f"loopwright_file_{name.replace('.', '_')}"
    spec = spec_from_file_location(name, file)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _declaration(module: ModuleType) -> str:
    steps = [name for name, value in vars(module).items() if isinstance(value, Step)]
    if not steps:
        return "write: loop = lw.Loop(name=..., table=..., train=..., judge=...), or make one with lw init"
    return f"write: pipeline = lw.Pipeline([{', '.join(steps)}])"


def _last_line(error: BaseException, file: Path) -> str:
    lines = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
    return f"{lines[-1].filename}:{lines[-1].lineno}" if lines else str(file)


_PACKAGES = {
    "sklearn": '"loopwright[models]"',
    "lightgbm": '"loopwright[lightgbm]"',
    "xgboost": '"loopwright[xgboost]"',
}
"""Where the package to install is called otherwise, or more than it is needed."""


def _missing(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.split(".")[0]
        return f"pip install {_PACKAGES.get(package, package)}, or correct the import"
    return "correct the line; the file is imported, so it must not fail or exit"
