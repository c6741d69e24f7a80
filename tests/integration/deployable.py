"""A small project that can be deployed: a loop file, a module in src/ beside it, a schema, and rows in a file."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

LOOP = """
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import loopwright as lw
from shop.parts import STRENGTH

visits = lw.Table("visits", key="id", time="at", label="bought")


def train(data: lw.TrainingData, C: float = STRENGTH):
    print("trained by {word}")
    chosen = make_column_transformer(("passthrough", ["pages"]))
    return make_pipeline(chosen, LogisticRegression(C=C)).fit(data.X, data.y)


loop = lw.Loop(
    name="buys",
    table=visits,
    source="rows.csv",
    train=train,
    judge=lw.Judge("roc_auc", gates=[lw.at_least("roc_auc", 0.55)]),
    release=lw.Shadow(),
    retrain=[lw.on_drift()],
    monitor=lw.Monitor(window="1h"),
    steps=[],
)
"""


def lay(root: Path, *, word: str = "the first code", strength: float = 1.0) -> Path:
    """The loop file lies in `loops/`, its module in `src/`: as installed in place."""
    (root / "loops").mkdir(parents=True, exist_ok=True)
    (root / "src" / "shop").mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text("[project]\nname = 'shop'\n")
    (root / "src" / "shop" / "__init__.py").touch()
    (root / "src" / "shop" / "parts.py").write_text(f"STRENGTH = {strength}\n")
    loop = root / "loops" / "buys.py"
    loop.write_text(LOOP.replace("{word}", word))
    if not (root / "loops" / "rows.csv").exists():
        rows(600).write_csv(root / "loops" / "rows.csv")
    return loop


def rows(n: int, *, start: int = 0) -> pl.DataFrame:
    draw = np.random.default_rng(start)
    pages = draw.poisson(4, n)
    return pl.DataFrame(
        {
            "id": [f"v{start + i}" for i in range(n)],
            "at": [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=start + i) for i in range(n)],
            "pages": pages.astype(float),
            "bought": (draw.random(n) < 1 / (1 + np.exp(4 - pages))).astype(int),
        }
    )
