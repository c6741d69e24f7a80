"""Will this visitor buy? A loop that runs as it is; change the rows, train() and the gates into your own.

lw run loop.py                       learn, judge and register a version
lw promote will-buy                  make it the champion
lw serve                             answer over HTTP
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

import loopwright as lw

visits = lw.Table("visits", key="visit_id", time="at", label="bought", never=["paid"])


def rows() -> pl.DataFrame:
    """Made up here: return your own frame, or write source="visits/*.csv" below. The same rows are appended once."""
    draw, n = np.random.default_rng(7), 5_000
    pages, is_member = draw.poisson(4, n), draw.random(n) < 0.3
    bought = draw.random(n) < 1 / (1 + np.exp(3 - 0.5 * pages - 1.5 * is_member))
    return pl.DataFrame(
        {
            "visit_id": np.arange(n),
            "at": [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=7 * i) for i in range(n)],
            "channel": draw.choice(["search", "mail", "shop"], n),
            "pages": pages,
            "is_member": is_member,
            "paid": np.where(bought, draw.gamma(2, 30, n), 0.0),
            "bought": bought,
        }
    )


def train(data: lw.TrainingData, learning_rate: float = 0.1) -> Pipeline:
    encode = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), data.categorical),
        (lw.Calendar("hour", "weekday"), data.timestamps),
        remainder="passthrough",
    )
    trees = HistGradientBoostingClassifier(learning_rate=learning_rate, max_iter=50, random_state=data.seed)
    return make_pipeline(encode, trees).fit(data.X, data.y)


loop = lw.Loop(
    name="will-buy",
    table=visits,
    source=rows,
    train=train,
    judge=lw.Judge(
        "roc_auc", slices=["channel"], gates=[lw.at_least("roc_auc", 0.7), lw.not_worse("roc_auc", by=0.01)]
    ),
    release=lw.Canary(),  # once it is deployed: lw deploy loop.py, and lw up
)
