"""Every error Loopwright raises on purpose, as one tree.

An error is a stop, told to a person: what happened (with the values), where, and what to do.
What a check merely *finds* is a value, never an exception.

    LoopwrightError
    ├── UsageError                the caller asked for something that cannot be
    │   ├── SettingsError         an unknown or malformed setting
    │   ├── DeclarationError      a step, pipeline or table declared wrongly
    │   ├── LoadError             a pipeline file that cannot be loaded
    │   └── MissingExtra          an optional part that is not installed
    ├── NotFound
    │   ├── RunNotFound
    │   ├── TableNotFound
    │   ├── ArtifactNotFound
    │   ├── VersionNotFound
    │   ├── PredictionNotFound
    │   ├── ReleaseNotFound
    │   ├── DeploymentNotFound
    │   └── KeyNotFound           an API key that nobody made
    ├── DataError                 data that is refused; the table stays as it was
    │   ├── BadSource             a file or query that cannot be read as a table
    │   ├── SchemaMismatch        columns that do not fit the table
    │   └── DuplicateKeys         a key that repeats
    ├── StoreError                the memory of the system
    │   ├── ArtifactCorrupted     content that no longer is what its digest says
    │   ├── StoreTooNew           written by a newer Loopwright
    │   ├── StoreUnavailable      cannot be opened, read or written (disk full, no rights, locked)
    │   ├── LeaseLost             another worker holds the run now
    │   └── Conflict              somebody else changed the same thing first
    ├── EnvironmentFailed         the environment of a deployment that cannot be made
    ├── ModelError
    │   ├── ParityFailed          the graph and the Python model do not agree
    │   └── BundleRefused         a bundle that is not whole, not safe or not what it says it is
    └── StepError                 a step that did not produce its value
        ├── NotStorable           a value that cannot be stored or hashed safely
        ├── WrongType             a step returned something else than it declares
        ├── FragmentFailed        one fragment of a map failed
        ├── StepTimedOut
        └── WorkerDied            the process running the step ended under it
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class LoopwrightError(Exception):
    """Root of the tree.

    `what` names the values; `where` the file, step or row; `fix` what to do next.

    >>> print(LoopwrightError("3 is not a share", where="release=", fix="write a number from 0 to 1"))
    3 is not a share
      where: release=
      to do: write a number from 0 to 1
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(what, where, fix)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.fix:
            lines.append(f"  to do: {self.fix}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        """Cross process borders whole: the default would drop the keyword-only parts."""
        return _rebuild, (type(self), self.what, self.where, self.fix)


def _rebuild(kind: type[LoopwrightError], what: str, where: str | None, fix: str | None) -> LoopwrightError:
    return kind(what, where=where, fix=fix)


class UsageError(LoopwrightError): ...


class SettingsError(UsageError): ...


class DeclarationError(UsageError): ...


class LoadError(UsageError): ...


class MissingExtra(UsageError): ...


class NotFound(LoopwrightError): ...


class RunNotFound(NotFound): ...


class TableNotFound(NotFound): ...


class ArtifactNotFound(NotFound): ...


class VersionNotFound(NotFound): ...


class PredictionNotFound(NotFound): ...


class ReleaseNotFound(NotFound): ...


class DeploymentNotFound(NotFound): ...


class KeyNotFound(NotFound): ...


class DataError(LoopwrightError): ...


class BadSource(DataError): ...


class SchemaMismatch(DataError): ...


class DuplicateKeys(DataError): ...


class StoreError(LoopwrightError): ...


class ArtifactCorrupted(StoreError): ...


class StoreTooNew(StoreError): ...


class StoreUnavailable(StoreError): ...


class LeaseLost(StoreError): ...


class Conflict(StoreError): ...


class EnvironmentFailed(LoopwrightError): ...


class ModelError(LoopwrightError): ...


class ParityFailed(ModelError): ...


class BundleRefused(ModelError): ...


class StepError(LoopwrightError): ...


class NotStorable(StepError): ...


class WrongType(StepError): ...


class FragmentFailed(StepError): ...


class StepTimedOut(StepError): ...


class WorkerDied(StepError): ...


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question naming the closest known word, or the known words when none is close.

    >>> did_you_mean("cleand", ["load", "clean"])
    "did you mean 'clean'?"
    >>> did_you_mean("zzz", ["load", "clean"])
    'known: clean, load'
    """
    words = sorted(known)
    close = get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(words)}" if words else "none is known"
