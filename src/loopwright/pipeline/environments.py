"""Environments by their lock: the exact versions that a deployment was made with, each made once and kept.

What is installed comes through the user's own pip, by exact pins and nothing else (`--no-deps`: a lock is whole).
Loopwright itself is always the one that is running, linked into the environment with its own dependencies as pinned:
worker and supervisor speak with each other, and share a store. Packages that are installed in place, "editable", are
left out: their code is part of the snapshot, as far as the loop reaches it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loopwright.errors import EnvironmentFailed
from loopwright.pipeline import provenance

FOLDER = "environments"
"""Of the workspace."""
_OWN = "loopwright"
MARK = "complete"
"""A file of an environment that is whole; its time is when it was used last."""
_LINES = 15
"""Of what pip said, as an error tells them."""


def lock() -> dict[str, Any]:
    """What is installed here, exactly, and where from what no index has. JSON holds it."""
    found = provenance.environment()
    return found | {"elsewhere": elsewhere} if (elsewhere := dict(sorted(_elsewhere()))) else found


def is_this(wanted: Mapping[str, Any]) -> bool:
    """Whether this very process has that environment. Of machine and system nothing can be made, so neither counts."""
    return _identity(wanted) == _identity(lock())


def name_of(wanted: Mapping[str, Any]) -> str:
    """Equal for equal environments: the folder's name."""
    return hashlib.sha256(json.dumps(_identity(wanted), sort_keys=True).encode()).hexdigest()[:16]


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs, for people.

    >>> differing({"python": "3.11.4", "packages": {"a": "1"}}, {"python": "3.11.4", "packages": {"a": "2", "b": "1"}})
    ['a 1 -> 2', 'b none -> 1']
    """
    one, two = ({"Python": each["python"], **each["packages"]} for each in (old, new))
    names = sorted(name for name in {*one, *two} if one.get(name) != two.get(name))
    return [f"{name} {one.get(name, 'none')} -> {two.get(name, 'none')}" for name in names]


def interpreter(wanted: Mapping[str, Any], folder: Path) -> Path:
    """The Python that has this environment: this one, or one that is made now, or was. Raises `EnvironmentFailed`.

    Others that want the same one wait meanwhile; one that was left half made is made anew.
    """
    if is_this(wanted):
        return Path(sys.executable)
    home = folder / name_of(wanted)
    with alone(folder / f".{home.name}.lock") as held:
        if not (home / MARK).exists():
            _make(wanted, home, held)
        _link_own(home)
        (home / MARK).touch()  # used just now
    return _python(home)


@contextmanager
def alone(file: Path) -> Iterator[int]:
    """No other process is between here and there with this file. One that is given what it yields, a file descriptor,
    keeps others out until it ends, even if this one is killed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield opened.fileno()


def requirements(wanted: Mapping[str, Any]) -> list[str]:
    """As pip reads them.

    >>> requirements({"packages": {"loopwright": "1.0", "polars": "2.1"}})
    ['polars==2.1']
    """
    elsewhere = wanted.get("elsewhere", {})
    pins = {name: f"{name}=={version}" for name, version in wanted["packages"].items() if name != _OWN}
    return [line for name, pin in pins.items() if (line := elsewhere.get(name, pin))]


def _identity(wanted: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: dict(wanted.get(name, {})) for name in ("packages", "elsewhere")}
    for packages in told.values():
        packages.pop(_OWN, None)
    return {"python": wanted["python"], "implementation": wanted["implementation"], **told}


def _make(wanted: Mapping[str, Any], home: Path, held: int) -> None:
    shutil.rmtree(home, ignore_errors=True)
    _run([str(_base(str(wanted["python"]))), "-m", "venv", str(home)], home, held)
    pins = home / "requirements.txt"
    pins.write_text("\n".join(requirements(wanted)) + "\n", encoding="utf-8")
    _run([str(_python(home)), "-m", "pip", "install", "--no-deps", "--no-input", "-r", str(pins)], home, held)


def _base(version: str) -> Path:
    """A Python of this version, as far as its second part; what follows brings no other packages."""
    if _minor(version) == _minor(".".join(map(str, sys.version_info[:3]))):
        return Path(sys.executable)
    found = shutil.which(f"python{_minor(version)}")
    if found is None:
        raise EnvironmentFailed(
            f"the deployment was made with Python {version}, and no python{_minor(version)} is installed here",
            fix=f"install it, or deploy again with Python {_minor('.'.join(map(str, sys.version_info[:3])))}",
        )
    return Path(found)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _python(home: Path) -> Path:
    return home / "bin" / "python"


def _run(command: Sequence[str], home: Path, held: int) -> None:
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environ,
        check=False,
        pass_fds=(held,),
    )
    if done.returncode != 0:
        said = provenance.masked("\n".join(f"    {line}" for line in done.stdout.strip().splitlines()[-_LINES:]))
        raise EnvironmentFailed(
            f"the environment of the deployment cannot be made: {command[2]} said\n{said}",
            where=str(home),
            fix="see that pip can install these versions here (its settings and its index are your own), "
            "or deploy again from an environment of today",
        )


def _link_own(home: Path) -> None:
    """This Loopwright, wherever it is installed now."""
    (site,) = home.glob("lib/python*/site-packages")
    package = Path(__file__).parents[1]
    about = (entry for folder in sys.path if folder for entry in sorted(Path(folder).glob(f"{_OWN}-*.dist-info")))
    for source in [package, *list(about)[:1]]:
        target = site / source.name
        if not target.is_symlink() or target.readlink() != source:
            begun = site / f".{source.name}-{os.getpid()}"
            begun.unlink(missing_ok=True)
            begun.symlink_to(source)
            begun.replace(target)


def _elsewhere() -> Iterator[tuple[str, str | None]]:
    """Packages that came from no index, and how pip is to be asked for them; None for those that are installed in
    place."""
    for folder in filter(None, sys.path):
        for told in sorted(Path(folder).glob("*.dist-info/direct_url.json")):
            name = told.parent.name.split("-")[0].lower().replace("_", "-")
            if name == _OWN:
                continue
            found = json.loads(told.read_text(encoding="utf-8"))
            yield name, None if found.get("dir_info", {}).get("editable") else _asked(name, found)


def _asked(name: str, found: Mapping[str, Any]) -> str:
    """
    >>> vcs = {"vcs": "git", "commit_id": "ab12"}
    >>> _asked("shop", {"url": "https://host/shop.git", "vcs_info": vcs})
    'shop @ git+https://host/shop.git@ab12'
    """
    url = re.sub(r"://[^/@]*@", "://", str(found["url"]))  # whoever may fetch it says so to pip
    vcs = found.get("vcs_info")
    return f"{name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else f"{name} @ {url}"
