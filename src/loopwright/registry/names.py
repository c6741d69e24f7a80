"""How versions are named from outside: `flights:3`, `flights:champion`, or a digest of any loop's."""

from __future__ import annotations

from collections.abc import Collection

from loopwright.core.stores import Stores
from loopwright.core.version import LEAST_DIGITS, Version
from loopwright.errors import VersionNotFound, did_you_mean


def find(stores: Stores, name: str) -> Version:
    """The version that is meant. Raises VersionNotFound."""
    loop, colon, version = name.partition(":")
    if colon:
        return stores.versions.get(loop, version)
    known = stores.versions.list()
    found = [version for version in known if len(name) >= LEAST_DIGITS and name.lower() in version.digest]
    if len(found) == 1:
        return found[0]
    raise _none(name, found, {version.loop for version in known})


def _none(name: str, found: Collection[Version], loops: Collection[str]) -> VersionNotFound:
    if found:
        told = ", ".join(f"{version.loop}:{version.number}" for version in found)
        return VersionNotFound(f"{name!r} fits several versions: {told}", fix="write one of these")
    if name in loops:
        return VersionNotFound(
            f"{name!r} is a loop, not a version", fix=f"write {name}:champion, {name}:newest or {name}:NUMBER"
        )
    fix = "write LOOP:VERSION or six digits of a digest; see them with: lw models"
    if not loops:
        return VersionNotFound(f"nothing is called {name!r}: no loop has a model yet", fix=fix)
    return VersionNotFound(f"no version is called {name!r}; as for loops, {did_you_mean(name, loops)}", fix=fix)
