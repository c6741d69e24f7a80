"""A pipeline made ready to run: arguments bound, code and environment digested. Nothing here reads a store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FunctionType
from typing import Any

from loopwright.data.table import Table
from loopwright.errors import NotStorable
from loopwright.pipeline import keys, provenance
from loopwright.pipeline.code import Code, Reached
from loopwright.pipeline.graph import SEED, AnyStep, Pipeline
from loopwright.pipeline.step import takes_context


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be run, and what its results will be known by."""

    pipeline: Pipeline
    file: Path
    root: Path
    given: Mapping[str, Any]
    """Parameters as the caller gave them."""
    arguments: Mapping[str, Mapping[str, Any]]
    """Parameters of each step, in their types."""
    seed: int
    codes: Mapping[str, Reached | None]
    environment: str
    fresh: bool = False
    """Reuse nothing from other runs."""
    loaded_at: datetime | None = None
    """Just before the file was imported; None: nobody edits it meanwhile."""
    deployment: int | None = None
    """The number of the one whose code this is; None for a working tree's."""

    def key(self, step: AnyStep, inputs: Mapping[str, str]) -> str | None:
        """None for a step typed into a console: what its code reaches cannot be told, so it is never reused."""
        code = self.codes[step.name]
        if code is None:
            return None
        wants_seed = any(entry.name == SEED for entry in step.inputs) or any(
            takes_context(step.function, name) for name in step.function.__annotations__
        )
        return keys.execution_key(
            code=code.digest,
            parameters={name: v for name, v in self.arguments[step.name].items() if not isinstance(v, FunctionType)},
            inputs=inputs,
            environment=self.environment,
            seed=self.seed if wants_seed else None,
        )

    def is_unchanged(self, step: AnyStep) -> bool:
        """Whether what the key was made of is older than the import of it.

        A file saved while it was being imported, or before a step came to import it or read it, may be other than what
        was digested; its results must not be known by that digest.
        """
        code = self.codes[step.name]
        if self.loaded_at is None or code is None:
            return True
        paths = [value for value in self.arguments[step.name].values() if isinstance(value, Path)]
        below = [entry for path in paths for entry in (path.rglob("*") if path.is_dir() else [path])]
        try:
            newest = max(path.stat().st_mtime for path in [*code.modules, *below])
        except FileNotFoundError:
            return False
        return newest < self.loaded_at.timestamp()

    @property
    def request_key(self) -> str:
        """Equal for requests that would do the same."""
        steps = {
            step.name: self.key(step, dict.fromkeys(self.pipeline.needs(step), "")) for step in self.pipeline.steps
        }
        known = {"file": str(self.file), "pipeline": self.pipeline.name, "seed": self.seed, "fresh": self.fresh}
        return keys.digest(known | {"steps": steps})

    @property
    def reached(self) -> frozenset[Path]:
        """All files of the project that any step reaches, and the pipeline's own."""
        return frozenset({self.file}.union(*(code.modules for code in self.codes.values() if code)))


def prepare(
    pipeline: Pipeline,
    file: Path,
    given: Mapping[str, Any],
    *,
    root: Path,
    seed: int = 0,
    fresh: bool = False,
    loaded_at: datetime | None = None,
    deployment: int | None = None,
) -> Plan:
    """Raises UsageError for parameters that are unknown, missing or of the wrong type, NotStorable for those that have
    no safe identity."""
    code = Code(root, file)
    arguments = pipeline.bind(given)
    for step in pipeline.steps:
        _refuse_tables(step, arguments[step.name])
    return Plan(
        pipeline=pipeline,
        file=file,
        root=root,
        given=given,
        arguments=arguments,
        seed=seed,
        codes={step.name: _reached(code, step, arguments[step.name]) for step in pipeline.steps},
        environment=keys.digest(provenance.environment()),
        fresh=fresh,
        loaded_at=loaded_at,
        deployment=deployment,
    )


def _reached(code: Code, step: AnyStep, arguments: Mapping[str, Any]) -> Reached | None:
    """What the step reaches, and what the functions among its parameters do: a changed one runs the step again."""
    own = code.reached(step.function)
    for name, function in sorted(arguments.items()):
        if isinstance(function, FunctionType):
            _refuse_closure(name, function)
            given = code.reached(function)
            if own is None or given is None:
                return None
            joint = hashlib.sha256(f"{own.digest}\0{name}\0{given.digest}".encode()).hexdigest()
            own = Reached(joint, own.modules | given.modules)
    return own


def _refuse_closure(name: str, function: FunctionType) -> None:
    if function.__code__.co_freevars:
        raise NotStorable(
            f"the function {function.__qualname__!r} reads {', '.join(function.__code__.co_freevars)} of the function "
            "around it, and a changed value could go unnoticed",
            where=f"parameter {name!r}",
            fix="write it at the top of the module, and pass values as parameters",
        )


def _refuse_tables(step: AnyStep, arguments: Mapping[str, Any]) -> None:
    for name, value in arguments.items():
        if step.cache and isinstance(value, Table):
            raise NotStorable(
                f"parameter {name!r} is the table {value.name!r}, whose rows may change while its declaration does not",
                where=step.where,
                fix="declare the step @lw.step(cache=False): what follows it is still reused",
            )
