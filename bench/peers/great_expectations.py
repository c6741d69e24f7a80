"""Great Expectations: one expectation for each figure of each column, so wide that all hold."""
# Great Expectations is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

from pathlib import Path

import great_expectations as gx
import pandas as pd
from great_expectations import expectations as expect

from bench.peers.asked import answer

_QUANTILES = [0.05, 0.25, 0.5, 0.75, 0.95]


def describe(path: Path):
    frame = pd.read_parquet(path)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(name="figures", expectations=[one for name in frame for one in expected(frame, name)])
    result = batch.validate(suite)
    errors = [one for one in result.results if one.exception_info.get("raised_exception")]
    assert not errors, errors[0].exception_info
    return result.to_json_dict()


def expected(frame: pd.DataFrame, name: str):
    """Missing and distinct of all; what the kind has besides."""
    kind = frame[name].dtype
    yield expect.ExpectColumnValuesToNotBeNull(column=name, mostly=0.01)
    yield expect.ExpectColumnUniqueValueCountToBeBetween(column=name, min_value=0)
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind):
        wide = {"column": name, "min_value": -1e300, "max_value": 1e300}
        yield expect.ExpectColumnMinToBeBetween(**wide)
        yield expect.ExpectColumnMaxToBeBetween(**wide)
        yield expect.ExpectColumnMeanToBeBetween(**wide)
        yield expect.ExpectColumnStdevToBeBetween(column=name, min_value=0, max_value=1e300)
        ranges = {"quantiles": _QUANTILES, "value_ranges": [[None, 1e300]] * len(_QUANTILES)}
        yield expect.ExpectColumnQuantileValuesToBeBetween(column=name, quantile_ranges=ranges)
    elif pd.api.types.is_datetime64_any_dtype(kind):
        yield expect.ExpectColumnMinToBeBetween(column=name, min_value=pd.Timestamp(0, tz="UTC"))
        yield expect.ExpectColumnMaxToBeBetween(column=name, min_value=pd.Timestamp(0, tz="UTC"))
    elif not pd.api.types.is_bool_dtype(kind):
        yield expect.ExpectColumnValueLengthsToBeBetween(column=name, min_value=0, max_value=10_000)


if __name__ == "__main__":
    answer(describe)
