"""ydata-profiling, minimal: its quickest, without correlations, interactions and the page."""
# ydata-profiling is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

from pathlib import Path

import pandas as pd
from ydata_profiling import ProfileReport

from bench.peers.asked import answer


def describe(path: Path):
    return ProfileReport(pd.read_parquet(path), minimal=True, progress_bar=False).get_description()


if __name__ == "__main__":
    answer(describe)
