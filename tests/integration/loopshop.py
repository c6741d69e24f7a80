"""A workshop with tables, in which loops are run in this process; for tests."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.pipeline import Pipeline as SkPipeline  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder  # type: ignore[import-untyped]
from tests.unit.builders import Walked, Workshop

import loopwright as lw
from loopwright.data.tables import Tables
from loopwright.pipeline import plan as plans

visits = lw.Table("visits", key="id", time="at", label="bought", never=["paid"])


def rows(n: int = 600, *, start: int = 0, seed: int = 0, unlabelled: int = 0) -> pl.DataFrame:
    """Visits an hour apart; the last `unlabelled` have no label yet, and so were not paid either."""
    draw = np.random.default_rng(seed)
    pages, channel = draw.poisson(4, n), draw.choice(["mail", "search"], n)
    bought = draw.random(n) < 1 / (1 + np.exp(4 - 0.8 * pages - 2 * (channel == "mail")))
    known = np.arange(n) < n - unlabelled
    return pl.DataFrame(
        {
            "id": [f"v{start + i}" for i in range(n)],
            "at": [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=start + i) for i in range(n)],
            "channel": channel,
            "pages": pages,
            "paid": [float(b) * 9.5 if k else None for b, k in zip(bought, known, strict=True)],
            "bought": [bool(b) if k else None for b, k in zip(bought, known, strict=True)],
        }
    )


def train(data: lw.TrainingData, C: float = 1.0) -> SkPipeline:  # noqa: N803
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), data.categorical),
        (lw.Calendar("hour"), data.timestamps),
        remainder="passthrough",
    )
    return make_pipeline(encode, LogisticRegression(C=C, max_iter=500)).fit(data.X, data.y)


class LoopShop(Workshop):
    """Tables in `folder`, and loops over them."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.clock.advance(timedelta(days=365).total_seconds())  # the visits of the year have come
        self.tables = Tables(folder / "tables", self.clock)
        object.__setattr__(self.runner, "open_tables", lambda: self.tables)

    def loop(self, **changed: Any) -> lw.Loop:
        declared: dict[str, Any] = {
            "name": "buys",
            "table": visits,
            "train": train,
            "judge": lw.Judge("roc_auc", gates=[lw.at_least("roc_auc", 0.6), lw.not_worse("roc_auc", by=0.05)]),
        }
        return lw.Loop(**(declared | changed))

    def run(self, loop: lw.Loop, /, *, seed: int = 0, **given: Any) -> Walked:
        """To its end."""
        file = Path(__file__)
        ready = plans.prepare(loop.as_pipeline(), file, given, root=file.parent, seed=seed)
        walk = self.walk(ready)
        walk.go()
        self.clock.advance(1)
        return Walked(self, self.stores.runs.get(walk._run.id))
