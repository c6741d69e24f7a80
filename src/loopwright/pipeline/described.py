"""What a loop file comes to when it is loaded: what it declares, its code, and what it was loaded with.

Runs in a process of its own, for the file is the user's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from loopwright.errors import LoadError
from loopwright.pipeline import environments, plan, provenance
from loopwright.pipeline.code import is_project_file, project_root
from loopwright.pipeline.load import load_declared, load_pipeline

CODE, LOCK = "code.zip", "environment.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A loop, ready to be deployed; its code and its lock lie beside, as files."""

    loop: str
    file: str
    """Relative to the root of the code."""
    root: str
    spec: dict[str, Any]
    reached: tuple[str, ...]
    """Files of the project that its steps need."""
    git_commit: str | None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Described:
        values = json.loads(text)
        return cls(**(values | {"reached": tuple(values["reached"])}))


def describe(file: Path, name: str, *, project: Path, into: Path) -> Described:
    """Load the file, and write its code and lock into a folder. Raises LoadError, and what the declaration raises."""
    file, before = file.resolve(), list(sys.path)
    (into / LOCK).write_text(json.dumps(environments.lock(), indent=1), encoding="utf-8")
    name, loop = load_declared(file, name)
    if not hasattr(loop, "spec"):
        raise LoadError(
            f"{name!r} in {file} is a pipeline of steps, and no loop: there is no model to keep right",
            fix=f"run it as it is: lw run {file.name}",
        )
    root = project_root(file)
    ready = plan.prepare(load_pipeline(file, name), file, {}, root=root)
    reached = sorted(filter(is_project_file, ready.reached))
    (into / CODE).write_bytes(provenance.snapshot(root, reached))
    paths = [provenance.name_in(root, folder) for folder in _roots(root, file, reached, before)]
    place = {"folder": _relative(project, file.parent), "paths": paths}
    return Described(
        loop=name,
        file=file.relative_to(root).as_posix(),
        root=str(root),
        spec=loop.spec() | {"place": place},
        reached=tuple(map(str, reached)),
        git_commit=provenance.git_state(root)[0],
    )


def _roots(root: Path, file: Path, reached: Iterable[Path], searched: Iterable[str]) -> list[Path]:
    """Folders that modules of the project are imported from, the loop file's first.

    Where a module was loaded, its name tells; of others, imported only when they are called, the folders around them.
    """
    loaded = {Path(str(module.__file__)).resolve(): name for name, module in _modules()}
    folders = [Path(folder).resolve() for folder in searched if folder and Path(folder).is_dir()]
    found = dict.fromkeys([_above(path, loaded[path]) for path in (file, *reached) if path in loaded])
    found |= dict.fromkeys(one for one in folders if one.is_relative_to(root) and is_project_file(one / "any.py"))
    for path in reached:
        if not any(path.is_relative_to(one) for one in found):
            found[_package_root(path)] = None
    return list(found)


def _modules() -> Iterator[tuple[str, ModuleType]]:
    return ((name, module) for name, module in [*sys.modules.items()] if getattr(module, "__file__", None))


def _above(path: Path, name: str) -> Path:
    """
    >>> _above(Path("/shop/src/late/parts.py"), "late.parts"), _above(Path("/shop/src/late/__init__.py"), "late")
    (PosixPath('/shop/src'), PosixPath('/shop/src'))
    """
    return path.parents[len(name.split(".")) - (path.name != "__init__.py")]


def _package_root(path: Path) -> Path:
    folder = path.parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


def _relative(project: Path, folder: Path) -> str:
    """Of another place than the project, the place itself."""
    return folder.relative_to(project).as_posix() if folder.is_relative_to(project) else folder.as_posix()
