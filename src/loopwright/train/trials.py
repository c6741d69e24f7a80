"""A search carried out: train on one part of the training rows, compare on the other, keep the best parameters.

The held-out rows that the model will be judged on are never seen here. Which values to try next is Optuna's business
(tree-structured Parzen estimator, Bergstra et al. 2011), seeded: the same search gives the same trials.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loopwright.core.clock import Clock
from loopwright.errors import DeclarationError, LoopwrightError, MissingExtra
from loopwright.train.search import Choice, Range, Search

if TYPE_CHECKING:
    import optuna

Value = Callable[[Mapping[str, Any]], float]
"""Of parameters: the metric on the validation rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One set of parameters, and how it did."""

    parameters: Mapping[str, Any]
    value: float | None
    """Of the metric; None where it failed."""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What a search found: `parameters` of its best trial, and all trials in order."""

    parameters: Mapping[str, Any]
    trials: tuple[Trial, ...] = ()


def carry_out(search: Search, value: Value, *, bigger_is_better: bool, seed: int, clock: Clock) -> Searched:
    """Try the search's parameters. A trial that fails is recorded and left behind; raises when every one does."""
    study = _study(seed, bigger_is_better=bigger_is_better)
    begun, trials = clock.monotonic(), list[Trial]()
    while len(trials) < search.trials and not _is_over(search, clock.monotonic() - begun, trials):
        asked = study.ask()
        parameters = {name: _suggested(asked, name, of) for name, of in search.space.items()}
        trial = _tried(value, parameters)
        study.tell(asked, trial.value, state=None if trial.value is not None else _failed())
        trials.append(trial)
    return Searched(parameters=_best(trials, bigger_is_better=bigger_is_better).parameters, trials=tuple(trials))


def _study(seed: int, *, bigger_is_better: bool) -> optuna.Study:
    try:
        import optuna
    except ModuleNotFoundError:
        raise MissingExtra(
            "a search needs Optuna, which is not installed", fix='pip install "loopwright[models]"'
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.TPESampler(seed=seed)
        return optuna.create_study(sampler=sampler, direction="maximize" if bigger_is_better else "minimize")


def _failed() -> Any:
    import optuna

    return optuna.trial.TrialState.FAIL


def _is_over(search: Search, seconds: float, trials: list[Trial]) -> bool:
    return search.seconds is not None and seconds > search.seconds and any(t.value is not None for t in trials)


def _suggested(asked: optuna.Trial, name: str, of: Range | Choice) -> Any:
    if not isinstance(of, Range):
        return asked.suggest_categorical(name, of)
    if of.is_whole:
        return asked.suggest_int(name, int(of.low), int(of.high), log=of.is_logarithmic)
    return asked.suggest_float(name, of.low, of.high, log=of.is_logarithmic)


def _tried(value: Value, parameters: Mapping[str, Any]) -> Trial:
    try:
        return Trial(parameters=parameters, value=value(parameters))
    except DeclarationError:
        raise  # the loop file is wrong, whatever the parameters
    except (ArithmeticError, LoopwrightError, LookupError, RuntimeError, ValueError) as error:
        return Trial(parameters=parameters, value=None, error=f"{type(error).__name__}: {error}")


def _best(trials: list[Trial], *, bigger_is_better: bool) -> Trial:
    done = [trial for trial in trials if trial.value is not None]
    if not done:
        raise DeclarationError(
            f"every one of {len(trials)} trials failed, the first with: {trials[0].error}",
            where="search=",
            fix="correct train(), or the values that the search tries",
        )
    return (max if bigger_is_better else min)(done, key=lambda trial: trial.value or 0.0)
