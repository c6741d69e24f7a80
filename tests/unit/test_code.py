"""Change what a step reaches, and it runs again; change anything else, and it does not.

Every case is a small project, in which § is 1 at first and then 2. The step is always `a` in `pipeline.py`. A change
that goes unnoticed hands back a wrong result, so the first table is the one that matters.
"""

import importlib
import itertools
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from loopwright.pipeline.code import Code, Reached

_numbers = itertools.count()


def lay(root: Path, files: Mapping[str, str]) -> Path:
    for name, source in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return root


@contextmanager
def importable(*roots: Path) -> Iterator[None]:
    """The folders on the path; afterwards nothing that was imported from them is left."""
    known, path = set(sys.modules), list(sys.path)
    sys.path[:0] = [str(root) for root in roots]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - known:
            if any(str(root) in str(getattr(sys.modules[name], "__spec__", "")) for root in roots):
                del sys.modules[name]


def reached(root: Path, step: str = "a", module: str = "pipeline", code: Code | None = None) -> Reached:
    with importable(root):
        function = getattr(importlib.import_module(module), step)
        found = (code or Code(root)).reached(function)
    assert found is not None
    return found


def digest(folder: Path, files: Mapping[str, str], step: str = "a", module: str = "pipeline") -> str:
    """Each in a folder of its own, so that equal digests also show that the place does not count."""
    return reached(lay(folder / f"project{next(_numbers)}", files), step, module).digest


A = "def a(): return {}\n"
VIA = "import helper\n\n" + A.format("helper.value()")
VALUE = "def value(): return {}\n"
ONE, TWO = VALUE.format(1), VALUE.format(2)


def project(text: str) -> dict[str, str]:
    """Files by name: each begins with a line `== name`."""
    pieces = re.split(r"^== (.+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def versions(folder: Path, text: str) -> list[str]:
    """Digests of the project with § as 1, and as 2."""
    return [digest(folder, project(text.replace("§", number))) for number in "12"]


CHANGES: dict[str, str] = {
    "the step itself": """
== pipeline.py
def a(): return §
""",
    "its docstring": """
== pipeline.py
def a(): 'version §'
""",
    "its default argument": """
== pipeline.py
def a(n=§): return n
""",
    "a constant of its module": """
== pipeline.py
K = §
def a(): return K
""",
    "a constant behind a constant": """
== pipeline.py
J = §
K = J + 1
def a(): return K
""",
    "a function of its module": """
== pipeline.py
def value(): return §
def a(): return value()
""",
    "a function passed as a default": """
== pipeline.py
def value(): return §
def a(f=value): return f()
""",
    "a constant used by a nested function": """
== pipeline.py
K = §
def a():
    def inner(): return K
    return inner()
""",
    "a constant used by a lambda": """
== pipeline.py
K = §
def a(): return (lambda: K)()
""",
    "a constant used in a comprehension": """
== pipeline.py
K = §
def a(): return [K for _ in range(2)]
""",
    "a helper": """
== pipeline.py
import helper

def a(): return helper.value()
== helper.py
def value(): return §
""",
    "a helper three imports away": """
== pipeline.py
import helper

def a(): return helper.value()
== helper.py
import second
def value(): return second.value()
== second.py
from third import value
== third.py
def value(): return §
""",
    "the __init__ of the helper's package": """
== pipeline.py
import pkg.helper
def a(): return pkg.helper.value()
== pkg/__init__.py
import os
os.environ.setdefault('X', '§')
== pkg/helper.py
def value(): return 1
""",
    "what the helper's package imports in __init__": """
== pipeline.py
from pkg.helper import value
def a(): return value()
== pkg/__init__.py
from . import other
== pkg/other.py
def value(): return §
== pkg/helper.py
def value(): return 1
""",
    "a relative import": """
== pipeline.py
from pkg.sub.deep import value
def a(): return value()
== pkg/__init__.py
== pkg/sub/__init__.py
== pkg/sub/deep.py
from ..top import value
== pkg/top.py
def value(): return §
""",
    "from . import x as y": """
== pipeline.py
from pkg.deep import value
def a(): return value()
== pkg/__init__.py
== pkg/deep.py
from . import top as t
def value(): return t.value()
== pkg/top.py
def value(): return §
""",
    "from pkg import module": """
== pipeline.py
from pkg import helper
def a(): return helper.value()
== pkg/__init__.py
== pkg/helper.py
def value(): return §
""",
    "from pkg import function": """
== pipeline.py
from pkg import value
def a(): return value()
== pkg/__init__.py
def value(): return §
""",
    "import a.b.c as d": """
== pipeline.py
import p.q.r as d
def a(): return d.value()
== p/__init__.py
== p/q/__init__.py
== p/q/r.py
def value(): return §
""",
    "a chain of attributes after import pkg": """
== pipeline.py
import pkg
def a(): return pkg.sub.mod.value()
== pkg/__init__.py
from pkg.sub import mod
== pkg/sub/__init__.py
== pkg/sub/mod.py
def value(): return §
""",
    "a chain of attributes that another function's import makes work": """
== pipeline.py
import pkg
def other():
    import pkg.sub.mod
def a(): return pkg.sub.mod.value()
== pkg/__init__.py
== pkg/sub/__init__.py
== pkg/sub/mod.py
def value(): return §
""",
    "a chain of attributes under another name": """
== pipeline.py
import pkg as p
def other():
    import pkg.mod
def a(): return p.mod.value()
== pkg/__init__.py
== pkg/mod.py
def value(): return §
""",
    "a constant of another module": """
== pipeline.py
from helper import K
def a(): return K
== helper.py
K = §
""",
    "a namespace package": """
== pipeline.py
import space.helper
def a(): return space.helper.value()
== space/helper.py
def value(): return §
""",
    "an import in the function": """
== pipeline.py
def a():
    import helper
    return helper.value()
== helper.py
def value(): return §
""",
    "an import in a function it calls": """
== pipeline.py
def f():
    from helper import value
    return value()
def a(): return f()
== helper.py
def value(): return §
""",
    "an import under try": """
== pipeline.py
try:
    from helper import value
except ImportError:
    value = None
def a(): return value()
== helper.py
def value(): return §
""",
    "an import under if": """
== pipeline.py
if True:
    from helper import value
def a(): return value()
== helper.py
def value(): return §
""",
    "a star import": """
== pipeline.py
from helper import *
def a(): return value()
== helper.py
def value(): return §
""",
    "a star import of what __all__ names": """
== pipeline.py
from pkg import *
def a(): return mod.value()
== pkg/__init__.py
__all__ = ['mod']
== pkg/mod.py
def value(): return §
""",
    "a module imported for its effect": """
== pipeline.py
import registry
import plugin
def a(): return registry.get()
== registry.py
known = []
def get(): return known[0]()
== plugin.py
import registry
registry.known.append(lambda: §)
""",
    "a base class elsewhere": """
== pipeline.py
from helper import Base
class Own(Base): pass
def a(): return Own().value()
== helper.py
class Base:
    def value(self): return §
""",
    "an attribute of a class": """
== pipeline.py
class C:
    k = §
def a(): return C.k
""",
    "a default of a dataclass": """
== pipeline.py
from dataclasses import dataclass
@dataclass
class C:
    k: int = §
def a(): return C().k
""",
    "a method of a class known only by an annotation": """
== pipeline.py
class C:
    def k(self): return §
def a(c: C) -> int: return c.k()
""",
    "a class known only by a quoted annotation": """
== pipeline.py
class C:
    def k(self): return §
def a(c: 'list[C]') -> int: return c[0].k()
""",
    "a class elsewhere known only by an annotation": """
== pipeline.py
from __future__ import annotations
from helper import C
def a(c: C) -> int: return c.k()
== helper.py
class C:
    def k(self): return §
""",
    "an enum known only by an annotation": """
== pipeline.py
from enum import Enum
class M(Enum):
    X = §
def a(m: M) -> int: return m.value
""",
    "a type behind a field of a dataclass": """
== pipeline.py
from dataclasses import dataclass
class C:
    def k(self): return §
@dataclass
class D:
    c: C
def a(d: D) -> int: return d.c.k()
""",
    "a type alias": """
== pipeline.py
from typing import Annotated
N = Annotated[int, §]
def a(n: N) -> int: return n
""",
    "a subclass that its base finds": """
== pipeline.py
class B: pass
class C(B):
    k = §
def a(): return B.__subclasses__()[0].k
""",
    "a subclass that registers itself": """
== pipeline.py
ALL = []
class B:
    def __init_subclass__(cls): ALL.append(cls)
class C(B):
    k = §
def a(): return ALL[0].k
""",
    "a decorator that registers": """
== pipeline.py
ALL = []
def register(f):
    ALL.append(f)
    return f
@register
def one(): return §
def a(): return ALL[0]()
""",
    "a method under a decorator that registers": """
== pipeline.py
ALL = []
def register(f):
    ALL.append(f)
    return f
class C:
    @register
    def one(self): return §
def a(): return ALL[0](None)
""",
    "what a call for its effect sets": """
== pipeline.py
K = [0]
def setup(n): K[0] = n
_ = setup(§)
def a(): return K[0]
""",
    "what global sets": """
== pipeline.py
K = 0
def setup():
    global K
    K = §
setup()
def a(): return K
""",
    "a patch of another module": """
== pipeline.py
import helper
helper.K = §
def a(): return helper.K
== helper.py
K = 0
""",
    "an entry of a dict": """
== pipeline.py
D = {}
D['k'] = §
def a(): return D['k']
""",
    "an addition in place": """
== pipeline.py
K = 0
K += §
def a(): return K
""",
    "a name bound by for": """
== pipeline.py
for K in [§]: pass
def a(): return K
""",
    "a name bound by with": """
== pipeline.py
import contextlib
with contextlib.nullcontext(§) as K: pass
def a(): return K
""",
    "a name bound by a walrus": """
== pipeline.py
J = (K := §)
def a(): return K
""",
    "a name bound by unpacking": """
== pipeline.py
J, (K, *L) = 0, (0, §)
def a(): return L
""",
    "a constant of functools.partial": """
== pipeline.py
from functools import partial
f = partial(int, '11', base=1§)
def a(): return f()
""",
    "a table of functions": """
== pipeline.py
def value(): return §
F = {'v': value}
def a(): return F['v']()
""",
    "a name looked up in globals()": """
== pipeline.py
def value(): return §
def a(): return globals()['val' + 'ue']()
""",
    "a name looked up by eval": """
== pipeline.py
def value(): return §
def a(): return eval('value()')
""",
    "a definition under a condition": """
== pipeline.py
if True:
    def value(): return §
def a(): return value()
""",
    "what holds where this is not the program": """
== pipeline.py
if __name__ != '__main__':
    K = §
def a(): return K
""",
    "the other branch of a main guard": """
== pipeline.py
if __name__ == '__main__':
    K = 0
else:
    K = §
def a(): return K
""",
    "import_module of a literal": """
== pipeline.py
from importlib import import_module
def a(): return import_module('helper').value()
== helper.py
def value(): return §
""",
    "import_module of a relative literal": """
== pipeline.py
from pkg.sub.mod import value
def a(): return value()
== pkg/__init__.py
== pkg/sub/__init__.py
== pkg/other.py
def value(): return §
== pkg/sub/mod.py
import importlib
def value(): return importlib.import_module('..other', __package__).value()
""",
    "import_module relative to another package": """
== pipeline.py
import importlib
def a(): return importlib.import_module('.mod', 'pkg').value()
== pkg/__init__.py
== pkg/mod.py
def value(): return §
""",
    "import_module of a computed name": """
== pipeline.py
import importlib
def a(): return importlib.import_module('help' + 'er').value()
== helper.py
def value(): return §
""",
    "import_module under another name": """
== pipeline.py
from importlib import import_module as load
def a(): return load('helper').value()
== helper.py
def value(): return §
""",
    "import_module passed on": """
== pipeline.py
import importlib
def a(): return [*map(importlib.import_module, ['helper'])][0].value()
== helper.py
def value(): return §
""",
    "__import__ of a literal": """
== pipeline.py
def a(): return __import__('helper').value()
== helper.py
def value(): return §
""",
    "a file run by runpy": """
== pipeline.py
import runpy
def a(): return runpy.run_module('helper')['value']()
== helper.py
def value(): return §
""",
    "a package that loads lazily": """
== pipeline.py
import pkg
def a(): return pkg.mod.value()
== pkg/mod.py
def value(): return §
== pkg/__init__.py
import importlib
def __getattr__(n): return importlib.import_module(f'.{n}', __name__)
""",
    "a circle of imports": """
== pipeline.py
import helper

def a(): return helper.value()
== helper.py
import second
def value(): return second.value()
== second.py
import helper
def value(): return §
""",
    "a constant that a helper takes from the step's module": """
== pipeline.py
K = §
import helper

def a(): return helper.value()
== helper.py
def value():
    from pipeline import K
    return K
""",
    "a helper that is a syntax error": """
== pipeline.py
def a():
    import helper
== helper.py
def (§
""",
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_step_runs_again_after_a_change_of(name: str, tmp_path: Path) -> None:
    before, after = versions(tmp_path, CHANGES[name])
    assert before != after


STAYS: dict[str, str] = {
    "nothing but the place": """
== pipeline.py
import helper

def a(): return helper.value()
== helper.py
def value(): return 1
""",
    "a comment": """
== pipeline.py
import helper
def a(): return helper.value()  # §
== helper.py
# §
def value(): return 1
""",
    "another step of the file": """
== pipeline.py
def a(): return 1
def b(): return §
""",
    "another step that the pipeline names too": """
== pipeline.py
import datetime
Pipeline = dict
def a(): return 1
def b(): return §
pipeline = Pipeline(steps=[a, b], since=datetime.date(2013, 1, 1))
""",
    "what only another step imports": """
== pipeline.py
import helper
def a(): return 1
def b(): return helper.value()
== helper.py
def value(): return §
""",
    "a constant that only another step reads": """
== pipeline.py
K = §
def a(): return 1
def b(): return K
""",
    "a constant that a parameter hides": """
== pipeline.py
K = §
def a(K: int) -> int: return K
""",
    "a constant that a local name hides": """
== pipeline.py
K = §
def a():
    K = 3
    return K
""",
    "the docstring of the module": """
== pipeline.py
'version §'
def a(): return 1
""",
    "the main guard": """
== pipeline.py
def a(): return 1
if __name__ == '__main__':
    print(§)
""",
    "a module that nothing imports": """
== pipeline.py
import helper

def a(): return helper.value()
== helper.py
def value(): return 1
== other.py
def value(): return §
""",
    "a module named like a function that is imported": """
== pipeline.py
from helper import value
def a(): return value()
== helper.py
def value(): return 1
== value.py
def value(): return §
""",
    "a neighbour of a module named in import_module": """
== pipeline.py
from importlib import import_module
def a(): return import_module('helper').value()
== helper.py
def value(): return 1
== other.py
def value(): return §
""",
    "a class under plain decorators that nothing uses": """
== pipeline.py
class C:
    @property
    def k(self): return §
def a(): return 1
def b(): return C().k
""",
    "an enum that only another step uses": """
== pipeline.py
import enum
class E(enum.Enum):
    K = §
def a(): return 1
def b(): return E.K
""",
    "a test beside it": """
== pipeline.py
import helper
def a(): return helper.value()
== helper.py
def value(): return 1
== tests/test_helper.py
import helper
assert helper.value() == §
""",
}


@pytest.mark.parametrize("name", STAYS)
def test_a_step_does_not_run_again_after_a_change_of(name: str, tmp_path: Path) -> None:
    before, after = versions(tmp_path, STAYS[name])
    assert before == after


def test_layout_does_not_count_but_types_of_numbers_do(tmp_path: Path) -> None:
    first, spread, real = (
        digest(tmp_path, {"pipeline.py": f"{before}def a():\n    return {value}\n"})
        for before, value in [
            ("", "[1, 2]"),
            ("\n\n# why\n", "[\n        1,\n        2,  # two\n    ]"),
            ("", "[1.0, 2]"),
        ]
    )
    assert first == spread != real


TWINS = {
    "at the top": "{}{}",
    "under a condition": "if True:\n{}{}",
    "beside a lookup": "def look(): return globals()\n{}{}",
    "beside a statement that names both": "{}{}\nprint('', end='') if (a, b) else None\n",
    "that know each other": "{}{}",
}


@pytest.mark.parametrize("name", TWINS)
def test_two_steps_of_a_file_never_share_a_digest(name: str, tmp_path: Path) -> None:
    """Else two steps without inputs would be one, and the second be handed the result of the first."""
    indent = "    " if "condition" in name else ""
    bodies = {"a": ("1 or b", 2), "b": ("2 or a", 1)} if "know" in name else {"a": (1, 0), "b": (2, 0)}
    if "lookup" in name:
        bodies = {"a": ("1 or look()", 0), "b": ("2 or look()", 0)}
    one, two = (f"{indent}def {step}() -> int: return {body}\n" for step, (body, _) in bodies.items())
    root = lay(tmp_path, {"pipeline.py": TWINS[name].format(one, two)})
    assert reached(root, "a").digest != reached(root, "b").digest


def test_of_two_definitions_of_a_name_the_one_that_was_chosen_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import os\nif os.environ.get('LOOP_TEST'):\n    def a(): return 1\nelse:\n    def a(): return 2\n"
    without = digest(tmp_path, {"pipeline.py": source})
    monkeypatch.setenv("LOOP_TEST", "1")
    assert digest(tmp_path, {"pipeline.py": source}) != without


def test_the_package_around_a_step_counts_with_what_it_does_on_import(tmp_path: Path) -> None:
    files = {"pkg/__init__.py": "import os\n", "pkg/pipeline.py": A.format(1)}
    first = digest(tmp_path, files, module="pkg.pipeline")
    assert digest(tmp_path, files, module="pkg.pipeline") == first
    assert digest(tmp_path, files | {"pkg/__init__.py": "import os\nos.x = 1\n"}, module="pkg.pipeline") != first


def test_a_step_that_is_imported_into_the_pipeline_is_followed_in_its_own_module(tmp_path: Path) -> None:
    files = {"pipeline.py": "from steps import a\n", "steps.py": "import helper\n" + VIA, "helper.py": ONE}
    assert digest(tmp_path, files) != digest(tmp_path, files | {"helper.py": TWO})
    assert digest(tmp_path, files) == digest(tmp_path, files | {"pipeline.py": "from steps import a\nK = 1\n"})


def test_a_module_read_for_a_computed_import_is_still_read_right_for_the_next_step(tmp_path: Path) -> None:
    source = "import importlib\nfrom pkg.mod import value\n" + A.format("value()")
    source += "def b(n: str) -> object: return importlib.import_module(n)\n"
    files = {
        "pipeline.py": source,
        "pkg/__init__.py": "",
        "pkg/mod.py": "from .deep import value\n",
        "pkg/deep.py": ONE,
    }
    root = lay(tmp_path, files)
    code = Code(root)
    assert root / "pkg/deep.py" in reached(root, "b", code=code).modules
    assert reached(root, "a", code=code) == reached(root, "a")
    assert root / "pkg/deep.py" in reached(root, "a", code=code).modules


def test_the_files_that_are_reached_are_named_for_the_snapshot(tmp_path: Path) -> None:
    root = lay(tmp_path, {"pipeline.py": VIA, "helper.py": "import json, numpy, loopwright\n" + ONE, "other.py": ONE})
    assert reached(root).modules == {root / "pipeline.py", root / "helper.py"}


def test_a_compiled_extension_counts_by_its_content(tmp_path: Path) -> None:
    def with_extension(content: bytes) -> str:
        root = lay(tmp_path / f"c{next(_numbers)}", {"pipeline.py": "def a():\n    import fast\n"})
        (root / f"fast{EXTENSION_SUFFIXES[0]}").write_bytes(content)
        return reached(root).digest

    assert with_extension(b"\x7fELF\0one") == with_extension(b"\x7fELF\0one") != with_extension(b"\x7fELF\0two")


def test_code_on_a_folder_of_the_path_outside_the_project_counts(tmp_path: Path) -> None:
    lay(tmp_path / "project", {"pipeline.py": VIA})
    digests = []
    for source in (ONE, TWO):
        lay(tmp_path / "shared", {"helper.py": source})
        with importable(tmp_path / "shared"):
            digests.append(reached(tmp_path / "project").digest)
    assert digests[0] != digests[1]


class Elsewhere:
    """A finder like those of editable installs: it knows one module, and where it lies."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return spec_from_file_location(name, self.path) if name == self.name else None


def test_a_module_that_an_editable_install_finds_is_followed(tmp_path: Path) -> None:
    lay(tmp_path / "project", {"pipeline.py": "def a():\n    import elsewhere_helper\n"})
    lay(tmp_path / "hidden", {"elsewhere_helper.py": ONE})
    finder: Any = Elsewhere("elsewhere_helper", tmp_path / "hidden" / "elsewhere_helper.py")
    sys.meta_path.append(finder)
    try:
        assert tmp_path / "hidden" / "elsewhere_helper.py" in reached(tmp_path / "project").modules
    finally:
        sys.meta_path.remove(finder)


def test_nothing_is_imported_to_find_out(tmp_path: Path) -> None:
    root = lay(
        tmp_path, {"pipeline.py": "def a():\n    import trap\n", "trap.py": "raise AssertionError('imported')\n"}
    )
    assert root / "trap.py" in reached(root).modules


def test_a_virtual_environment_in_the_project_is_not_chosen_from(tmp_path: Path) -> None:
    files = {"pipeline.py": "import importlib\ndef a(n): return importlib.import_module(n)\n", "helper.py": ONE}
    root = lay(tmp_path, files | {"env/pyvenv.cfg": "", "env/lib/numpy.py": "", ".hidden/x.py": "", "sub/y.py": ""})
    assert {path.relative_to(root).as_posix() for path in reached(root).modules} == {
        "pipeline.py",
        "helper.py",
        "sub/y.py",
    }


def typed_in() -> Callable[[], int]:
    names: dict[str, Any] = {}
    exec(compile("def a() -> int: return 1", "<console>", "exec"), names)
    found: Callable[[], int] = names["a"]
    return found


def test_a_step_typed_into_a_console_has_no_digest(tmp_path: Path) -> None:
    assert Code(tmp_path).reached(typed_in()) is None


def test_what_the_pipeline_file_does_to_the_modules_of_its_steps_counts(tmp_path: Path) -> None:
    (tmp_path / "steps_apart.py").write_text("LIMIT = 0\ndef load(): return LIMIT\n")
    entry = tmp_path / "entry_apart.py"
    sys.path.insert(0, str(tmp_path))
    try:
        function = importlib.import_module("steps_apart").load
        digests = []
        for source in ("steps_apart.LIMIT = 1\n", "steps_apart.LIMIT = 2\n", "steps_apart.LIMIT = 2\nunrelated = 3\n"):
            entry.write_text(f"import steps_apart\n{source}")
            reached = Code(tmp_path, entry).reached(function)
            assert reached
            digests.append(reached.digest)
    finally:
        sys.path.remove(str(tmp_path))
    assert digests[0] != digests[1]
    assert digests[1] == digests[2]
