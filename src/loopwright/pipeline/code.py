"""What code a step reaches, as one digest: change it, and the step runs again; change any other, and it does not.

Reached is, by the source (nothing is imported to find out):
- in the step's own module: the function, and every module-level name that it uses, in turn, in annotations too; also
  whatever the module does beside defining names (calls, loops, conditions, imports and calls whose result nobody
  reads), functions under decorators that may register them, and classes whose bases may;
- the packages around it, and from all of these every imported module of the *project*, whole, with all that it imports
  in turn. A helper that imports the step's own module reaches all of that.

The project is all code that is neither the standard library's nor installed in site-packages; installed packages are
part of the environment, by exact version. Comments and layout do not count, docstrings do. Code that chooses what to
import, or looks names up, at run time reaches the whole of what it may choose from.
"""

from __future__ import annotations

import ast
import hashlib
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from loopwright.pipeline.statements import Statement, quiet

_LOOKS_UP_NAMES = {"globals", "locals", "vars", "eval", "exec"}


@dataclass(frozen=True, slots=True)
class Reached:
    """The code behind a step."""

    digest: str
    modules: frozenset[Path]
    """Files of the project that it reaches, its own among them."""


@dataclass
class Code:
    """The source of one project, read once. `root` bounds what run-time imports may choose from."""

    root: Path
    entry: Path | None = None
    """The pipeline's file: what it does beside defining names may set up the modules of its steps."""
    _modules: dict[tuple[Path, str], Module] = field(default_factory=dict)
    _files: dict[str, list[tuple[Path, str]]] = field(default_factory=dict)

    def reached(self, function: Callable[..., Any]) -> Reached | None:
        """What the function reaches; None for one without a file, as typed into a console."""
        path = Path(function.__code__.co_filename)
        if not path.is_file():
            return None
        path = path.resolve()
        module = self._module(path, function.__module__)
        statements = module.reached_from(function.__name__)
        effects, set_up = self._entry_effects(path)
        others = self._follow(module, statements) | set_up
        # Without the definition itself, two steps that reach the same statements would be one.
        digest = hashlib.sha256(f"{function.__qualname__}\0{module.definition_of(function)}".encode())
        digest.update(_digest(statements).encode())
        digest.update(_digest(effects).encode())
        for other in sorted(others):
            digest.update(f"\0{self._name(other)}\0{others[other].digest}".encode())
        read = {self.entry} if effects and self.entry else set()
        return Reached(digest.hexdigest(), frozenset({*others, path, *read}))

    def _entry_effects(self, own: Path) -> tuple[list[Statement], dict[Path, Module]]:
        """For a step of another module than the pipeline's file: `steps.LIMIT = 3`, `configure(...)`."""
        if self.entry is None or self.entry == own or not self.entry.is_file():
            return [], {}
        entry = self._module(self.entry, _dotted(self.entry))
        effects = entry.effects()
        return effects, self._follow(entry, effects)

    def _follow(self, module: Module, statements: Iterable[Statement]) -> dict[Path, Module]:
        """All project modules that importing this one runs and that the statements import, directly or not."""
        found: dict[Path, Module] = {}
        rest = [*self._project_files(module.package), *self._imported(module, statements)]
        while rest:
            path, name = rest.pop()
            if path not in found:
                found[path] = self._module(path, name)
                rest.extend(self._imported(found[path], found[path].statements))
        return found

    def _imported(self, module: Module, statements: Iterable[Statement]) -> Iterator[tuple[Path, str]]:
        for statement in statements:
            for name in module.imported[statement]:
                yield from self._star_imported(name[:-2]) if name.endswith(".*") else self._project_files(name)
            if statement.chooses_import:
                yield from self._any_file

    @cached_property
    def _any_file(self) -> list[tuple[Path, str]]:
        return [(path, _dotted(path)) for path in sorted(python_files(self.root))]

    def _star_imported(self, package: str) -> Iterator[tuple[Path, str]]:
        """Whatever text the package assigns to `__all__` may name a module of it, which is imported then."""
        for path, name in self._project_files(package):
            for statement in self._module(path, name).statements:
                if "__all__" in statement.stores:
                    for text in statement.texts:
                        yield from self._project_files(f"{package}.{text}")

    def _module(self, path: Path, name: str) -> Module:
        if (path, name) not in self._modules:
            self._modules[path, name] = Module.read(path, name)
        return self._modules[path, name]

    def _project_files(self, name: str) -> list[tuple[Path, str]]:
        if name not in self._files:
            self._files[name] = list(_project_files(name))
        return self._files[name]

    def _name(self, path: Path) -> str:
        """Independent of where the project lies, so that a moved or cloned project finds its results again."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name


@dataclass(frozen=True)
class Module:
    """One source file, as statements."""

    package: str
    statements: tuple[Statement, ...]
    digest: str

    @classmethod
    def read(cls, path: Path, name: str) -> Module:
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        content = path.read_bytes()
        try:
            with quiet():
                body = tuple(Statement(node) for node in ast.parse(content).body)
        except (SyntaxError, ValueError):  # a compiled extension, or not Python
            return cls(package, (), hashlib.sha256(content).hexdigest())
        return cls(package, body, _digest(body))

    def reached_from(self, name: str) -> list[Statement]:
        """The statements that a module-level name stands on, in order."""
        if not any(names and name in names for names in self.binds.values()):
            return list(self.statements)  # defined within a function or a condition
        return self._reached({name})

    def effects(self) -> list[Statement]:
        """What the module does beside defining names, and what that stands on."""
        return self._reached(set())

    def _reached(self, wanted: set[str]) -> list[Statement]:
        reached: set[Statement] = set()
        while new := {
            statement
            for statement, names in self.binds.items()
            if statement not in reached and (names is None or names & wanted)
        }:
            reached |= new
            wanted = wanted.union(*(statement.reads for statement in new))
            if wanted & _LOOKS_UP_NAMES:
                return list(self.statements)
        return [statement for statement in self.statements if statement in reached]

    @cached_property
    def binds(self) -> dict[Statement, set[str] | None]:
        anywhere = set().union(*(statement.reads for statement in self.statements))
        return {statement: statement.binds(anywhere) for statement in self.statements}

    @cached_property
    def imported(self) -> dict[Statement, set[str]]:
        """Dotted names that may be modules of the project."""
        aliases = {k: v for statement in self.statements for k, v in statement.aliases(self.package).items()}
        return {each: each.imported(self.package) | each.attributes(aliases) for each in self.statements}

    def definition_of(self, function: Callable[..., Any]) -> str:
        """The very definition, where a condition chooses among several of one name."""
        code = function.__code__
        for node in (node for statement in self.statements for node in statement.functions):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if (node.name, first) == (code.co_name, code.co_firstlineno):
                return ast.dump(node)
        return ""


def python_files(root: Path) -> Iterator[Path]:
    """Source files below a folder, without hidden folders and virtual environments."""
    for entry in root.iterdir():
        if entry.name.startswith(".") or entry.name == "__pycache__" or (entry / "pyvenv.cfg").exists():
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from python_files(entry)
        elif entry.suffix == ".py":
            yield entry.resolve()


def project_root(file: Path) -> Path:
    """The nearest folder above that is marked as a project, else the file's own folder."""
    marks = ("pyproject.toml", "loopwright.toml", "setup.py", ".git")
    return next((above for above in file.parents if any((above / mark).exists() for mark in marks)), file.parent)


def is_project_file(path: Path) -> bool:
    """Whether the code there is somebody's own: not the standard library, not installed, not Loopwright."""
    return not any(path.is_relative_to(folder) for folder in _foreign_folders())


@cache
def _foreign_folders() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [sysconfig.get_paths()[name] for name in names] + site.getsitepackages() + [site.getusersitepackages()]
    own = Path(__file__).parents[1]
    return tuple({Path(folder).resolve() for folder in folders} | {own.resolve()})


def _digest(statements: Iterable[Statement]) -> str:
    dumped = "\n".join(statement.dump for statement in statements)
    return hashlib.sha256(dumped.encode("utf-8", "surrogatepass")).hexdigest()


def _dotted(path: Path) -> str:
    """The name under which the module of a file is imported, by the packages that it lies in."""
    parts = [] if path.name == "__init__.py" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)


def _project_files(name: str) -> Iterator[tuple[Path, str]]:
    """The project's files that importing a dotted name runs: the module's, and those of the packages around it."""
    parts = name.split(".")
    search: list[str] | None = None
    for depth in range(1, len(parts) + 1):
        dotted = ".".join(parts[:depth])
        origin, search = _locate(dotted, search)
        if origin is not None:
            if not is_project_file(origin):
                return
            yield origin, dotted
        if search is None:  # no package: what follows is no module
            return


def _locate(dotted: str, search: list[str] | None) -> tuple[Path | None, list[str] | None]:
    """File and search path of a module, without running anything."""
    loaded = sys.modules.get(dotted)
    if isinstance(loaded, ModuleType) and getattr(loaded, "__file__", None):
        return Path(str(loaded.__file__)).resolve(), list(getattr(loaded, "__path__", [])) or None
    for finder in sys.meta_path:  # editable installs bring finders of their own
        find = getattr(finder, "find_spec", None)
        spec = find(dotted, search) if find and dotted else None
        if spec is not None:
            origin = Path(spec.origin).resolve() if spec.origin and spec.has_location else None
            return origin, list(spec.submodule_search_locations or []) or None
    return None, None
