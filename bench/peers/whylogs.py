"""whylogs: the default profile of a pandas frame; nothing is uploaded, for no key is given."""
# whylogs is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

from pathlib import Path

import pandas as pd
import whylogs as why

from bench.peers.asked import answer


def describe(path: Path):
    return why.log(pandas=pd.read_parquet(path)).view().to_pandas()


if __name__ == "__main__":
    answer(describe)
