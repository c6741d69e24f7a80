"""The manifest of a bundle: what it says it is, written one way alone, and covered by digests to the last bit.

The digest stands for the content: equal content made by another run, or with another comment in the code, has an equal
one. The seal also covers which run made it and with which code. Text that is not byte for byte what `Manifest.to_json`
writes is refused, so that nobody reads it in two ways.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NoReturn, TypeVar

from loopwright.errors import BundleRefused
from loopwright.transform.admission import Class, check_classes
from loopwright.transform.columns import Column, Kind
from loopwright.transform.strict_json import NoJson, decoded

FORMAT = 2
"""Version of the JSON; a reader refuses a newer one. In 1 the digest left out no more than the run."""
MANIFEST = "manifest.json"
SEALED_ALONE = frozenset(("run", "code", "git_commit", "git_diff"))
"""Of the lineage, what may differ between equal bundles: an identical model is no other for a comment somewhere."""
NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")

_KEYS = frozenset(
    ("format", "name", "digest", "seal", "files", "inputs", "outputs", "opset", "operators", "parity", "lineage")
)
_FETCH = "fetch the bundle again"
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a bundle holds. Made by `bundle.write` and `Manifest.from_json` alone, which check it."""

    name: str
    """Of the loop."""
    digest: str
    files: Mapping[str, FileEntry]
    """Every other file of the bundle, by name."""
    inputs: tuple[Column, ...]
    task: str
    classes: tuple[Class, ...]
    opset: Mapping[str, int]
    operators: tuple[str, ...]
    parity: Mapping[str, Any]
    lineage: Mapping[str, Any]
    format: int = FORMAT

    def to_json(self) -> str:
        """Equal manifests give equal bytes."""
        said = _said(self)
        said["seal"] = _digest(said)
        return json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Raises `BundleRefused` for whatever `to_json` would not have written."""
        said = _decoded(text)
        if said.keys() != _KEYS:
            _refuse(f"it has the keys {sorted(said)}; expected are {sorted(_KEYS)}")
        found = _converted(said)
        check(found)
        if found.digest != digest_of(found):
            _refuse(f"its digest is {found.digest[:12]}, and its content gives {digest_of(found)[:12]}")
        if found.to_json() != text:
            _refuse("it is not as Loopwright wrote it: a key twice, other spacing, or a changed run")
        return found


def digest_of(manifest: Manifest) -> str:
    """SHA-256 of all it says but the digest itself, and the run and the code that made it."""
    said = _said(manifest)
    del said["digest"]
    sealed_alone = {"run"} if manifest.format == 1 else SEALED_ALONE
    said["lineage"] = {name: value for name, value in manifest.lineage.items() if name not in sealed_alone}
    return _digest(said)


def plain(value: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The value as it reads from JSON again. Raises `BundleRefused` for what JSON cannot say, such as NaN."""
    try:
        found: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise BundleRefused(
            f"{what} cannot be written as JSON: {error}", where=MANIFEST, fix="give numbers, text, lists and dicts"
        ) from None
    return found


def classes_of(classes: Sequence[object]) -> tuple[Class, ...]:
    """Whole floats as the integers that the graph gives for them.

    >>> classes_of([0.0, 1.0])
    (0, 1)
    """
    return tuple(int(one) if isinstance(one, float) and one.is_integer() else one for one in classes)  # type: ignore[misc]


def _said(manifest: Manifest) -> dict[str, Any]:
    """All but the seal, as it goes to JSON."""
    return {
        "format": manifest.format,
        "name": manifest.name,
        "digest": manifest.digest,
        "files": {
            name: {"sha256": one.sha256, "size_bytes": one.size_bytes} for name, one in manifest.files.items()
        },
        "inputs": [{"name": one.name, "kind": one.kind.value} for one in manifest.inputs],
        "outputs": {"task": manifest.task, "classes": list(manifest.classes)},
        "opset": dict(manifest.opset),
        "operators": list(manifest.operators),
        "parity": dict(manifest.parity),
        "lineage": dict(manifest.lineage),
    }  # fmt: skip


def _digest(said: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return sha256(text.encode()).hexdigest()
    except UnicodeEncodeError:
        _refuse("it holds text that is not Unicode")


def _decoded(text: str) -> dict[str, Any]:
    try:
        said = decoded(text)
    except NoJson as error:
        _refuse(f"it is no JSON: {error}")
    if not isinstance(said, dict):
        _refuse(f"it is a {type(said).__name__}, not an object")
    form = said.get("format")
    if type(form) is int and form > FORMAT:
        _refuse(f"it has format {form}, and {FORMAT} is the newest known", "read it with a newer Loopwright")
    return said


def _converted(said: Mapping[str, Any]) -> Manifest:
    try:
        outputs = _as(dict, said["outputs"])
        return Manifest(
            format=_as(int, said["format"]),
            name=_as(str, said["name"]),
            digest=_as(str, said["digest"]),
            files={name: _file(one) for name, one in _as(dict, said["files"]).items()},
            inputs=tuple(Column(name=_as(str, one["name"]), kind=Kind(one["kind"])) for one in said["inputs"]),
            task=_as(str, outputs["task"]),
            classes=tuple(_class(one) for one in _as(list, outputs["classes"])),
            opset={name: _as(int, one) for name, one in _as(dict, said["opset"]).items()},
            operators=tuple(_as(str, one) for one in _as(list, said["operators"])),
            parity=_as(dict, said["parity"]),
            lineage=_as(dict, said["lineage"]),
        )
    except (TypeError, KeyError, ValueError) as error:
        _refuse(f"it is not what a manifest is: {error}")


def _file(said: Any) -> FileEntry:
    return FileEntry(sha256=_as(str, said["sha256"]), size_bytes=_as(int, said["size_bytes"]))


def _class(said: Any) -> Class:
    if type(said) not in (str, int, bool):
        raise TypeError(f"Expected `str | int | bool`, got `{_told(said)}`")
    found: Class = said
    return found


def _as(kind: type[T], value: Any) -> T:
    """The value of exactly that type: true is no integer. Raises TypeError."""
    if type(value) is not kind:
        raise TypeError(f"Expected `{_NAMES.get(kind.__name__, kind.__name__)}`, got `{_told(value)}`")
    return value


def _told(value: Any) -> str:
    """The type as JSON calls it."""
    name = type(value).__name__
    return _NAMES.get(name, name)


_NAMES = {"NoneType": "null", "list": "array", "dict": "object"}


def check(manifest: Manifest) -> None:
    """What does not hang on its digest. Raises `BundleRefused`."""
    if manifest.format not in (1, FORMAT):
        _refuse(f"it has format {manifest.format}; known are 1 and {FORMAT}")
    if not NAME.fullmatch(manifest.name):
        _refuse(f"{manifest.name!r} is no name of a loop", "use a-z, 0-9, _ and -, a letter first, at most 64 of them")
    names = [one.input for one in manifest.inputs]
    if len(set(names)) < len(names) or not names:
        _refuse(f"its inputs are {names}: there is none, or one twice")
    check_classes(manifest.task, manifest.classes)


def _refuse(what: str, fix: str = _FETCH) -> NoReturn:
    raise BundleRefused(what, where=MANIFEST, fix=fix)
