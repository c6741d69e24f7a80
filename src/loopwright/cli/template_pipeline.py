"""A pipeline of three steps. Run it:  lw run pipeline.py

A step's parameter names are what it depends on: `summarise` takes the output of `squares`, which takes that of
`numbers`. Change a line and run it again: only what the change reaches is run again.
"""

import loopwright as lw


@lw.step
def numbers(limit: int = 10) -> list[int]:
    """`limit` is no step, so it is a parameter:  lw run pipeline.py --param limit=100"""
    return list(range(1, limit + 1))


@lw.step
def squares(numbers: list[int]) -> list[int]:
    return [number**2 for number in numbers]


@lw.step
def summarise(squares: list[int]) -> dict[str, float]:
    summary = {"count": len(squares), "mean": sum(squares) / len(squares), "largest": max(squares)}
    print(summary)  # what a step prints is kept:  lw logs last
    return summary


pipeline = lw.Pipeline([numbers, squares, summarise])
