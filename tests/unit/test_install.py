"""What the installs bring: few packages, few megabytes, and the numbers that the README gives."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def declared(path: str) -> list[str]:
    dependencies: list[str] = tomllib.loads((ROOT / path).read_text())["project"]["dependencies"]
    return dependencies


def closure(requirements: Iterable[str]) -> dict[str, Distribution]:
    """All that the requirements bring along, as installed here."""
    found: dict[str, Distribution] = {}
    rest = [Requirement(text) for text in requirements]
    while rest:
        wanted = rest.pop()
        name = wanted.name.lower().replace("_", "-")
        if name not in found:
            found[name] = distribution(wanted.name)
            rest.extend(_needs(found[name], wanted.extras))
    return found


def _needs(package: Distribution, extras: set[str]) -> Iterator[Requirement]:
    for text in package.requires or []:
        needed = Requirement(text)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield needed


def megabytes(packages: Iterable[Distribution]) -> float:
    """By the lists that pip keeps, bytecode included."""
    files = [file for package in packages for file in package.files or []]
    return sum(path.stat().st_size for file in files if (path := Path(str(file.locate()))).is_file()) / 2**20


@pytest.mark.parametrize(
    ("path", "most_packages", "most_megabytes"),
    [("pyproject.toml", 75, 850), ("packaging/gateway/pyproject.toml", 75, 250)],
)
def test_an_install_is_as_lean_as_the_readme_says(path: str, most_packages: int, most_megabytes: int) -> None:
    packages = closure(declared(path))
    size = megabytes(packages.values())
    assert len(packages) <= most_packages
    assert size <= most_megabytes
    folder = "." if path == "pyproject.toml" else "./packaging/gateway"
    line = re.search(
        rf"^\| `pip install {re.escape(folder)}`.*\| (\d+) \| (\d+) MB", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert line
    assert int(line[1]) == len(packages) + 1
    assert int(line[2]) == pytest.approx(size, rel=0.15)


def test_constraints_pin_what_is_installed_and_every_extra() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [text for group in project["optional-dependencies"].values() for text in group]
    for text in [*project["dependencies"], *extras]:
        wanted = Requirement(text)
        if wanted.name == "loopwright":
            continue
        assert wanted.specifier.contains(pins[wanted.name.lower()]), text
        try:
            assert distribution(wanted.name).version.partition("+")[0] == pins[wanted.name.lower()], text
        except PackageNotFoundError:
            continue  # an extra that is not for development
