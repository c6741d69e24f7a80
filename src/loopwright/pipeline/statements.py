"""What one statement of a module does, by its source: what it binds and reads, and what it imports.

Nothing here runs or looks for anything.
"""

from __future__ import annotations

import ast
import builtins
import dis
import sys
import warnings
from collections.abc import Iterator
from functools import cached_property
from types import CodeType

_PLAIN_DECORATORS = {
    *("step", "dataclass", "cache", "lru_cache", "wraps", "contextmanager", "total_ordering", "final", "override"),
    *("property", "cached_property", "setter", "staticmethod", "classmethod", "abstractmethod", "overload"),
}  # fmt: skip
_PLAIN_BASES = {
    "Enum",
    "IntEnum",
    "StrEnum",
    "Flag",
    "IntFlag",
    "NamedTuple",
    "TypedDict",
    "Protocol",
    "Generic",
    "ABC",
}
_IMPORTS_BY_NAME = {"import_module", "__import__"}
_RUNS_ANY_FILE = {
    "run_path",
    "run_module",
    "spec_from_file_location",
    "SourceFileLoader",
    "iter_modules",
    "walk_packages",
}


class Statement:
    """A statement at the top of a module; each answer is worked out once."""

    def __init__(self, node: ast.stmt) -> None:
        self.node = node

    @cached_property
    def dump(self) -> str:
        """All but comments and layout."""
        return ast.dump(self.node)

    @cached_property
    def reads(self) -> set[str]:
        """Global names; a parameter or local variable of the same name is not one."""
        loads = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_GLOBALS")
        reads = [_operands(each, *loads) for each in _nested(self._code)]
        return set().union(*reads, *(_named_in(annotation) for annotation in _annotations(self.node)))

    @cached_property
    def stores(self) -> set[str]:
        """Global names that running it binds, or calling what it defines."""
        return _operands(self._code, "STORE_NAME").union(*(_operands(c, "STORE_GLOBAL") for c in _nested(self._code)))

    @cached_property
    def _code(self) -> CodeType:
        with quiet():
            return compile(ast.Module([self.node], []), "<step>", "exec", dont_inherit=True)

    def binds(self, read: set[str]) -> set[str] | None:
        """Names that a plain definition binds; None for a statement that may do more than that.

        What binds only names that the module never reads is there for its effect.
        """
        if _is_main_guard(self.node):
            return set()
        if not _is_plain(self.node):
            return None
        return None if self.stores and not self.stores & read and _has_effect(self.node) else self.stores

    @cached_property
    def functions(self) -> list[ast.FunctionDef]:
        """All that it defines, at any depth."""
        return [node for node in ast.walk(self.node) if isinstance(node, ast.FunctionDef)]

    @cached_property
    def texts(self) -> list[str]:
        return [
            node.value for node in ast.walk(self.node) if isinstance(node, ast.Constant) and type(node.value) is str
        ]

    def imported(self, package: str) -> set[str]:
        """Dotted names that may be modules; `.*` at the end stands for all of `__all__`."""
        return {name for node in ast.walk(self.node) for name in _names_imported(node, package)}

    def aliases(self, package: str) -> dict[str, str]:
        """What the names are that its imports bind."""
        return {alias: name for node in ast.walk(self.node) for alias, name in _aliases(node, package)}

    def attributes(self, aliases: dict[str, str]) -> set[str]:
        """What chains of attributes name, such as `pkg.sub.mod.clean`: a module there may be imported by anybody."""
        found = set()
        for node in ast.walk(self.node):
            if isinstance(node, ast.Attribute):
                head, _, rest = ast.unparse(node).partition(".")
                if head in aliases:
                    found.add(f"{aliases[head]}.{rest}")
        return found

    @cached_property
    def chooses_import(self) -> bool:
        """Whether it imports or runs a file whose name is not written out, or hands on what can."""
        calls = [node for node in ast.walk(self.node) if isinstance(node, ast.Call)]
        written_out = {id(call.func) for call in calls if _literal_import(call, "") is not None}
        for node in ast.walk(self.node):
            match node:
                case ast.Name(id=name) | ast.Attribute(attr=name) if id(node) not in written_out:
                    if name in _IMPORTS_BY_NAME | _RUNS_ANY_FILE:
                        return True
                case ast.alias(name=name, asname=str()) if name in _IMPORTS_BY_NAME | _RUNS_ANY_FILE:
                    return True
        return False


def quiet() -> warnings.catch_warnings[None]:
    """What Python warns of in the user's source, it has said when it imported it."""
    return warnings.catch_warnings(action="ignore")


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _operands(code: CodeType, *operations: str) -> set[str]:
    return {str(each.argval) for each in dis.get_instructions(code) if each.opname in operations}


def _annotations(statement: ast.stmt) -> Iterator[ast.expr]:
    for node in ast.walk(statement):
        annotation = node.returns if isinstance(node, ast.FunctionDef) else getattr(node, "annotation", None)
        if isinstance(annotation, ast.expr):
            yield annotation


def _named_in(annotation: ast.expr) -> set[str]:
    """Names in an annotation, quoted ones too: the type says what methods the step may call on what it is given."""
    found: set[str] = set()
    for node in ast.walk(annotation):
        if isinstance(node, ast.Name):
            found.add(node.id)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                found |= _named_in(ast.parse(node.value, mode="eval").body)
            except (SyntaxError, ValueError):  # the text of an Annotated, or of a Literal
                continue
    return found


def _is_plain(statement: ast.stmt) -> bool:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return _is_plainly_decorated(statement)
        case ast.ClassDef(bases=bases, keywords=keywords):
            return (
                _is_plainly_decorated(statement)
                and all(_is_plain_base(_last_name(base)) for base in bases)
                and all(keyword.arg != "metaclass" for keyword in keywords)
                and all(_is_plain(inner) for inner in statement.body)
            )
        case ast.ImportFrom(names=names):
            return all(alias.name != "*" for alias in names)
        case ast.Assign(targets=targets):
            return all(isinstance(inner, ast.Name) for target in targets for inner in _targets(target))
        case ast.AnnAssign(target=ast.Name()) | ast.Import() | ast.Expr(value=ast.Constant()) | ast.Pass():
            return True
    return sys.version_info >= (3, 12) and isinstance(statement, ast.TypeAlias)


def _has_effect(statement: ast.stmt) -> bool:
    match statement:
        case ast.Import() | ast.ImportFrom():
            return True
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            is_declared = isinstance(value, ast.Call) and _last_name(value) in ("Pipeline", "Loop")
            return not is_declared and any(isinstance(node, ast.Call) for node in ast.walk(value))
    return False


def _is_main_guard(statement: ast.stmt) -> bool:
    """Without an `else`, which runs where the file is imported."""
    return (
        isinstance(statement, ast.If)
        and not statement.orelse
        and ast.unparse(statement.test)
        in (
            "__name__ == '__main__'",
            "'__main__' == __name__",
        )
    )


def _targets(target: ast.expr) -> list[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        return [inner for element in target.elts for inner in _targets(element)]
    return _targets(target.value) if isinstance(target, ast.Starred) else [target]


def _is_plainly_decorated(statement: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return all(_last_name(decorator) in _PLAIN_DECORATORS for decorator in statement.decorator_list)


def _is_plain_base(name: str) -> bool:
    """One that keeps no list of its subclasses."""
    return name in _PLAIN_BASES or isinstance(getattr(builtins, name, None), type)


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Call(func=inner) | ast.Subscript(value=inner):
            return _last_name(inner)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _names_imported(node: ast.AST, package: str) -> Iterator[str]:
    """Dotted names that may be modules, parents included by `_project_files`; `.*` at the end for all of `__all__`."""
    match node:
        case ast.Import(names=aliases):
            yield from (alias.name for alias in aliases)
        case ast.ImportFrom(module=module, names=aliases, level=level):
            base = _absolute(module or "", level, package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in aliases)
        case ast.Call() if (name := _literal_import(node, package)) is not None:
            yield name


def _aliases(node: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Import(names=aliases):
            for alias in aliases:
                top = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (top, top)
        case ast.ImportFrom(module=module, names=aliases, level=level):
            base = _absolute(module or "", level, package)
            yield from ((alias.asname or alias.name, f"{base}.{alias.name}") for alias in aliases)


def _absolute(module: str, level: int, package: str) -> str:
    if not level:
        return module
    parents = package.split(".")
    return ".".join([*parents[: len(parents) - level + 1], *([module] if module else [])])


def _literal_import(call: ast.Call, package: str) -> str | None:
    """The module that an `import_module("...")` names; None where it is not written out."""
    match call:
        case ast.Call(func=function, args=[ast.Constant(value=str(name)), *more], keywords=[]):
            kind = _last_name(function)
        case _:
            return None
    if kind == "__import__":
        return None if more else name
    if kind != "import_module":
        return None
    match more:
        case [ast.Constant(value=str(base))]:
            package = base
        case [ast.Name(id="__package__" | "__name__")]:
            pass
        case _ if more or name.startswith("."):
            return None
    bare = name.lstrip(".")
    return _absolute(bare, len(name) - len(bare), package)
