"""What stands behind a version, read back: verdict, evaluation, manifest, run, code, environment.

Code, environment, commit and difference are those that the lineage names, of the run that made the model; the run that
judged and registered it may be another, of other code. What is not there any more is None, and told as such: a lost log
must not keep anybody from reading the rest.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from loopwright.core.run import Execution, Run
from loopwright.core.stores import Stores
from loopwright.core.version import Version
from loopwright.data.printable import printable
from loopwright.errors import ArtifactNotFound, DataError, RunNotFound
from loopwright.judge.evaluation import Evaluation
from loopwright.judge.verdict import Verdict

CODE, ENVIRONMENT, DIFFERENCE, RUN = "code.zip", "environment.json", "diff.txt", "run.json"
JUDGED, MADE = "run", "made_by"
"""Runs in the text of an export: the one that judged and registered, and the one that made the model."""
LINEAGE = "lineage/"
"""Before the names of what came with an imported version and is no part of its bundle."""
_LARGEST_SOURCE, _MOST_SOURCES = 4 << 20, 10_000  # an imported snapshot may be anybody's
_DIGEST = re.compile("[0-9a-f]{64}")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTold:
    """One step of a run."""

    step: str
    status: str
    reused_from: str | None
    output: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTold:
    """A run behind a version, as far as it is known here."""

    id: str
    pipeline: str
    file: str
    status: str
    created_at: str
    code: str | None
    environment: str | None
    git_commit: str | None
    git_diff: str | None
    steps: tuple[StepTold, ...]


def verdict_of(stores: Stores, version: Version) -> Verdict | None:
    return _parsed(stores, version, "verdict.json", Verdict.from_json)


def evaluation_of(stores: Stores, version: Version) -> Evaluation | None:
    return _parsed(stores, version, "evaluation.json", Evaluation.from_json)


def run_of(stores: Stores, version: Version) -> RunTold | None:
    """The run that judged and registered it."""
    return _run(stores, version, version.run_id, JUDGED)


def maker_of(stores: Stores, version: Version) -> RunTold | None:
    """The run that made the model: often the same."""
    maker = maker_id(version)
    return run_of(stores, version) if maker == version.run_id else _run(stores, version, maker, MADE)


def maker_id(version: Version) -> str:
    named = version.lineage.get("run")
    return named if isinstance(named, str) and named else version.run_id


def code_of(version: Version) -> str | None:
    """Digest of the snapshot of the code: a zip."""
    return digest(version.lineage.get("code"))


def environment_of(version: Version) -> str | None:
    return digest(version.lineage.get("environment"))


def difference_of(version: Version) -> str | None:
    """Digest of what the working tree differed by from the commit."""
    return digest(version.lineage.get("git_diff"))


def digest(named: object) -> str | None:
    """None for what is no digest: an imported bundle may name anything, and a digest becomes a path."""
    return named if isinstance(named, str) and _DIGEST.fullmatch(named) else None


def content_of(stores: Stores, digest: str | None) -> bytes | None:
    """None for no digest, and for content that was collected. Raises ArtifactCorrupted."""
    if digest is None:
        return None
    try:
        return stores.blobs.read(digest)
    except ArtifactNotFound:
        return None


def environment(content: bytes | None) -> dict[str, Any]:
    """What was installed, by name: `python`, `system`, and every package."""
    if content is None:
        return {}
    found = _object(content, "environment")
    packages = found.pop("packages", None)
    return {**found, **(packages if isinstance(packages, dict) else {})}


def sources(content: bytes | None) -> dict[str, str | None]:
    """Files of a snapshot of code; None for one that is no text, or too big to be source. Raises DataError."""
    if content is None:
        return {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = [entry for entry in archive.infolist() if not entry.is_dir()][:_MOST_SOURCES]
            return {entry.filename: _source(archive, entry) for entry in files}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise DataError(f"the snapshot of the code cannot be read: {error}", fix="import the bundle again") from None


def run_from_json(content: bytes, which: str) -> RunTold | None:
    """Of the text that an export writes; None where the exporter knew no such run. Raises DataError."""
    found = _object(content, "run").get(which)
    if found is None:
        return None
    try:
        steps = tuple(StepTold(**step) for step in found.pop("steps"))
        return RunTold(**found, steps=steps)
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(f"the text is no run: {error}", fix="export the bundle again") from None


def parsed(content: bytes, name: str, parse: Callable[[str], T]) -> T:
    """What a file holds. Raises DataError."""
    try:
        return parse(content.decode())
    except (TypeError, KeyError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"{name} is not what it should be: {error!r}", fix="run the loop, or import, again") from None


def validation(told: Mapping[str, Any]) -> list[str]:
    """What a lineage says of how its rows were validated, in lines.

    >>> aside = {"rows": 2, "reasons": {"check failed: positive": 2}}
    >>> validation({"schema": None, "findings": ["warning: constant: year"], "set_aside": aside})
    ['without a schema', 'warning: constant: year', '2 rows set aside: check failed: positive (2)']
    """
    schema, aside = told.get("schema"), told.get("set_aside")
    lines = [f"against schema {str(schema)[:12]}" if schema else "without a schema"]
    lines += [str(one) for one in told.get("findings") or ()]
    if isinstance(aside, Mapping):
        reasons = ", ".join(f"{printable(reason)} ({count:,})" for reason, count in aside["reasons"].items())
        lines.append(f"{aside['rows']:,} {'row' if aside['rows'] == 1 else 'rows'} set aside: {reasons}")
    return lines


def _told(run: Run, executions: Sequence[Execution]) -> RunTold:
    lease = run.lease
    return RunTold(
        id=run.id,
        pipeline=run.pipeline,
        file=run.file,
        status=run.status.value,
        created_at=run.created_at.isoformat(),
        code=lease.code if lease else None,
        environment=lease.environment if lease else None,
        git_commit=lease.git_commit if lease else None,
        git_diff=lease.git_diff if lease else None,
        steps=tuple(_step(run, execution) for execution in executions),
    )


def _step(run: Run, execution: Execution) -> StepTold:
    return StepTold(
        step=execution.step,
        status=run.status_of(execution),
        reused_from=execution.reused_from,
        output=execution.output,
    )


def _run(stores: Stores, version: Version, name: str, which: str) -> RunTold | None:
    """From the store, or from what an imported version brought along."""
    if LINEAGE + RUN in version.files:
        content = content_of(stores, version.files[LINEAGE + RUN])
        return None if content is None else run_from_json(content, which)
    try:
        run = stores.runs.get(name)
    except RunNotFound:
        return None
    return _told(run, stores.executions.of_run(run.id)) if run.id == name else None


def _source(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str | None:
    if entry.file_size > _LARGEST_SOURCE:
        return None
    try:
        return archive.read(entry).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _object(content: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the {what} is no JSON: {error}", fix="import the bundle again") from None
    if not isinstance(found, dict):
        raise DataError(f"the {what} is no JSON object", fix="import the bundle again")
    return found


def _parsed(stores: Stores, version: Version, name: str, parse: Callable[[str], T]) -> T | None:
    content = content_of(stores, version.files.get(name))
    return None if content is None else parsed(content, f"{name} of {version.name}", parse)
