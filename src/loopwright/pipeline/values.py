"""How values are stored: by type, without pickle, so that reading one can run no code.

JSON-like values, dataclasses and enums become JSON; frames become Arrow, arrays NumPy files, text and bytes are kept as
they are, a `Path` keeps the file or folder it points to. Those are parts; what stands for a value is always JSON, which
names its parts by format and digest: by content alone, the text "1" would be the number 1. For more, register a
`Format`.
"""

from __future__ import annotations

import base64
import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from loopwright.core.artifact import Artifact, Kind
from loopwright.core.stores import Blobs
from loopwright.errors import ArtifactCorrupted, ArtifactNotFound, NotStorable
from loopwright.pipeline.formats import FORMATS, Format, kept_as

TAG = "$"
"""Marks, in JSON, an object that stands for something that JSON lacks."""


class Types(Protocol):
    """Finds the dataclasses and enums that stored values name."""

    def __call__(self, module: str, qualname: str) -> type: ...


@dataclass(frozen=True, kw_only=True)
class Values:
    """Stores and loads the values of steps."""

    blobs: Blobs
    formats: Callable[[], Mapping[str, Format]] = lambda: FORMATS

    def store(self, value: Any, *, folder: Path, run_id: str, step: str, now: datetime) -> tuple[str, list[Artifact]]:
        """The digest that stands for the value, and all artifacts that it consists of.

        `folder` holds files on their way to the store; it is made when one needs it. Raises NotStorable.
        """
        made: list[Artifact] = []

        def keep(part: Any, form: Format, kind: Kind) -> str:
            folder.mkdir(parents=True, exist_ok=True)
            content = form.write(part, folder)
            blob = self.blobs.put(content)
            if isinstance(content, Path) and content is not part:
                content.unlink()
            made.append(_artifact(blob.digest, kind, form.name, blob.size_bytes, run_id, step, now))
            return blob.digest

        form = kept_as(value, self.formats())
        encoded = _part_of(value, form, keep) if form else self._encode(value, "the value", keep)
        try:
            content = json.dumps(encoded, ensure_ascii=False, separators=(",", ":"))
            blob = self.blobs.put(content.encode())
        except UnicodeEncodeError as error:
            raise NotStorable(f"the value holds text that is not Unicode: {error}", fix="return bytes") from None
        parts = tuple(artifact.digest for artifact in made)
        whole = _artifact(
            blob.digest, "value", "composite" if parts else "json", blob.size_bytes, run_id, step, now, parts
        )
        return blob.digest, [*made, whole]

    def load(self, artifact: Artifact, folder: Path) -> Any:
        """The value again, its content verified. Raises ArtifactCorrupted and ArtifactNotFound, telling the run."""
        where = f"the output of step {artifact.step!r} of run {artifact.run_id}"
        try:
            return self._decode(json.loads(self.blobs.read(artifact.digest)), folder)
        except (ArtifactCorrupted, ArtifactNotFound) as error:
            where = f"{where}; {error.where}" if error.where else where
            raise type(error)(error.what, where=where, fix=error.fix) from error
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            what = f"the stored value cannot be read: {type(error).__name__}: {error}"
            raise ArtifactCorrupted(what, where=where, fix="run with --fresh to make it again") from error

    def fields(self, artifact: Artifact, names: Collection[str], folder: Path) -> dict[str, Any]:
        """Of a dataclass, some fields by name, without its own class being loaded; of another value none. Raises as
        `load`."""
        found = json.loads(self.blobs.read(artifact.digest)) if artifact.kind == "value" else None
        if not isinstance(found, dict) or found.get(TAG) != "dataclass":
            return {}
        return {name: self._decode(found["is"][name], folder) for name in names if name in found["is"]}

    def _part(self, form: str, digest: str, folder: Path) -> Any:
        known = self.formats().get(form)
        if known is None:
            raise NotStorable(f"the format {form!r} is not registered", fix="import the module that registers it")
        folder.mkdir(parents=True, exist_ok=True)
        with self.blobs.local(digest) as path:
            return known.read(path, folder)

    def _encode(self, value: Any, where: str, keep: Callable[[Any, Format, Kind], str]) -> Any:
        if _is_json(value):
            return value if not isinstance(value, float) or math.isfinite(value) else {TAG: "float", "is": repr(value)}
        if isinstance(value, list | tuple | set | frozenset) and type(value) in (list, tuple, set, frozenset):
            encoded = [self._encode(item, f"{where}[{position}]", keep) for position, item in enumerate(value)]
            if isinstance(value, set | frozenset):
                encoded.sort(key=json.dumps)  # the order of a set differs from process to process
            return encoded if type(value) is list else {TAG: type(value).__name__, "is": encoded}
        if type(value) is dict:
            return self._encode_dict(value, where, keep)
        return self._encode_other(value, where, keep)

    def _encode_dict(self, value: dict[Any, Any], where: str, keep: Callable[[Any, Format, Kind], str]) -> Any:
        encoded = [(k, self._encode(v, f"{where}[{k!r}]", keep)) for k, v in value.items()]
        if all(type(k) is str for k in value) and TAG not in value:
            return dict(encoded)
        return {TAG: "dict", "is": [[self._encode(k, f"a key of {where}", keep), v] for k, v in encoded]}

    def _encode_other(self, value: Any, where: str, keep: Callable[[Any, Format, Kind], str]) -> Any:
        for kind, tag, write, _ in _SIMPLE:
            if type(value) is kind:
                return {TAG: tag, "is": write(value)}
        if isinstance(value, Enum) or (is_dataclass(value) and not isinstance(value, type)):
            return self._encode_named(value, where, keep)
        if isinstance(value, Path):
            return self._encode_path(value, keep)
        form = kept_as(value, self.formats())
        if form is not None:
            return _part_of(value, form, keep)
        raise _not_storable(value, where)

    def _encode_named(self, value: Any, where: str, keep: Callable[[Any, Format, Kind], str]) -> Any:
        kind = type(value)
        if "<locals>" in kind.__qualname__:
            raise NotStorable(
                f"{where} is a {kind.__qualname__}, which cannot be found again", fix="define the class in a module"
            )
        named = {TAG: "enum" if isinstance(value, Enum) else "dataclass", "type": [kind.__module__, kind.__qualname__]}
        if isinstance(value, Enum):
            return named | {"is": value.value if isinstance(value, Flag) else value.name}
        if getattr(kind, "__new__") is not object.__new__:  # noqa: B009
            raise NotStorable(f"{where} is a {kind.__qualname__}, which is more than its fields", fix=_instead(value))
        inner = {f.name: self._encode(getattr(value, f.name), f"{where}.{f.name}", keep) for f in fields(value)}
        return named | {"is": inner}

    def _encode_path(self, path: Path, keep: Callable[[Any, Format, Kind], str]) -> Any:
        """A file by its digest; a folder as a tree of them."""
        file, name = self.formats()["file"], Path(os.path.abspath(path)).name  # noqa: PTH100 - keeps the name of a link
        if path.is_file():
            return {TAG: "file", "name": name, "is": keep(path, file, "part")}
        files = {n: keep(entry, file, "part") for n, entry in files_below(path)}
        return {TAG: "tree", "name": name, "is": files, "folders": _folders_below(path)}

    def _decode_path(self, name: str, files: Mapping[str, str], folders: Iterable[str], folder: Path) -> Path:
        """A copy of the files in a fresh folder: what is in the store must not be written to."""
        folder.mkdir(parents=True, exist_ok=True)
        home = Path(tempfile.mkdtemp(dir=folder)).resolve()
        for relative in folders:
            _inside(home, relative).mkdir(parents=True, exist_ok=True)
        for relative, digest in files.items():
            target = _inside(home, relative)
            target.parent.mkdir(parents=True, exist_ok=True)
            with self.blobs.local(digest) as path:
                shutil.copyfile(path, target)
        return _inside(home, name)

    def _decode(self, value: Any, folder: Path) -> Any:
        if isinstance(value, list):
            return [self._decode(item, folder) for item in value]
        if not isinstance(value, dict):
            return value
        if TAG not in value:
            return {name: self._decode(item, folder) for name, item in value.items()}
        return self._decode_tagged(value, folder)

    def _decode_tagged(self, value: dict[str, Any], folder: Path) -> Any:
        tag, content = value[TAG], value["is"]
        simple = {name: read for _, name, _, read in _SIMPLE} | {"float": float}
        match tag:
            case "tuple" | "set" | "frozenset":
                made = {"tuple": tuple, "set": set, "frozenset": frozenset}[tag]
                return made(self._decode(item, folder) for item in content)
            case "dict":
                return {self._decode(k, folder): self._decode(v, folder) for k, v in content}
            case "file":
                return self._decode_path(value["name"], {value["name"]: content}, (), folder)
            case "tree":
                name = value["name"]
                files = {f"{name}/{relative}": digest for relative, digest in content.items()}
                return self._decode_path(
                    name, files, [name, *(f"{name}/{below}" for below in value["folders"])], folder
                )
            case "part":
                return self._part(value["format"], content, folder)
            case "enum":
                kind = _named(value["type"])
                return kind(content) if issubclass(kind, Flag) else kind[content]
            case "dataclass":
                return _remade(_named(value["type"]), {k: self._decode(v, folder) for k, v in content.items()})
        return simple[tag](content)


def files_below(path: Path) -> list[tuple[str, Path]]:
    """The files of a folder by names relative to it, sorted. Raises NotStorable for links and for nothing at all."""
    if not path.is_dir():
        raise NotStorable(f"there is no file or folder {path}", fix="write it before the step returns its Path")
    below = sorted(entry for entry in path.rglob("*") if entry.is_symlink() or not entry.is_dir())
    for entry in below:
        if entry.is_symlink() or not entry.is_file():
            raise NotStorable(f"{entry} is no plain file", fix="return a folder of plain files")
    return [(entry.relative_to(path).as_posix(), entry) for entry in below]


def _is_json(value: Any) -> bool:
    return value is None or type(value) in (bool, int, float, str)


def _folders_below(path: Path) -> list[str]:
    """The empty ones; the others are told by their files."""
    below = (entry for entry in path.rglob("*") if entry.is_dir())
    return sorted(entry.relative_to(path).as_posix() for entry in below if not any(entry.iterdir()))


def _inside(home: Path, relative: str) -> Path:
    target = (home / relative).resolve()
    if not target.is_relative_to(home):
        raise ArtifactCorrupted(f"the stored tree names a file outside itself: {relative!r}")
    return target


def _part_of(value: Any, form: Format, keep: Callable[[Any, Format, Kind], str]) -> dict[str, str]:
    return {TAG: "part", "format": form.name, "is": keep(value, form, "part")}


def _moment(value: datetime | time) -> str | list[Any]:
    """With the rules of its time zone, not just the offset of the moment."""
    zone = getattr(value.tzinfo, "key", None)
    if value.tzinfo is not None and zone is None and not isinstance(value.tzinfo, timezone):
        raise NotStorable(
            f"{value!r} has a time zone that cannot be found again", fix="use zoneinfo.ZoneInfo, or datetime.UTC"
        )
    if zone is None and not value.fold:
        return value.isoformat()
    return [value.replace(tzinfo=None if zone else value.tzinfo).isoformat(), zone, value.fold]


def _moment_again(kind: type[datetime] | type[time], stored: str | list[Any]) -> datetime | time:
    if isinstance(stored, str):
        return kind.fromisoformat(stored)
    text, zone, fold = stored
    naive = kind.fromisoformat(text)
    return naive.replace(tzinfo=ZoneInfo(zone) if zone else naive.tzinfo, fold=fold)


_SIMPLE: tuple[tuple[type, str, Callable[[Any], Any], Callable[[Any], Any]], ...] = (
    (datetime, "datetime", _moment, lambda v: _moment_again(datetime, v)),
    (date, "date", date.isoformat, date.fromisoformat),
    (time, "time", _moment, lambda v: _moment_again(time, v)),
    (timedelta, "timedelta", lambda v: [v.days, v.seconds, v.microseconds], lambda v: timedelta(*v)),
    (Decimal, "decimal", str, Decimal),
    (complex, "complex", lambda v: [v.real, v.imag], lambda v: complex(*v)),
    (bytes, "bytes", lambda v: base64.b64encode(v).decode(), base64.b64decode),
)


def _remade(kind: type, content: dict[str, Any]) -> Any:
    """The dataclass as it was, without running its `__init__`: what that does was done before."""
    if {f.name for f in fields(kind)} != content.keys():
        raise NotStorable(
            f"the stored {kind.__qualname__} has the fields {', '.join(content)}, and the class now has others",
            fix="run with --fresh to make the value again",
        )
    made: Any = object.__new__(kind)
    for name, value in content.items():
        object.__setattr__(made, name, value)
    return made


def _named(named: list[str]) -> Any:
    """A dataclass or enum among the modules that are loaded already: content never makes one be imported."""
    module, qualname = named
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type) and (is_dataclass(found) or issubclass(found, Enum)):
        return found
    raise NotStorable(
        f"the stored value is a {module}.{qualname}, and no such dataclass or enum is loaded",
        fix="import its module in the pipeline's file, or run with --fresh to make the value again",
    )


def _artifact(
    digest: str, kind: Kind, form: str, size: int, run_id: str, step: str, now: datetime, parts: tuple[str, ...] = ()
) -> Artifact:
    return Artifact(
        digest=digest, kind=kind, format=form, size_bytes=size, created_at=now, run_id=run_id, step=step, parts=parts
    )


def _not_storable(value: Any, where: str) -> NotStorable:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    return NotStorable(f"{where} is a {kind}, which cannot be stored", fix=_instead(value))


def _instead(value: Any) -> str:
    if type(value).__name__ == "LazyFrame":
        return "return its result: frame.collect()"
    if type(value).__name__ == "Series":
        return "return a frame: series.to_frame()"
    if callable(value) or hasattr(value, "predict"):
        return (
            "return what it is made from, or write it to a file in a format without code and return the Path; "
            "pickle is not used, because loading one can run anything"
        )
    return (
        "return numbers, text, bytes, lists, dicts, dataclasses, frames, arrays or a Path; or register a format: "
        "loopwright.pipeline.formats.register_format(...)"
    )
