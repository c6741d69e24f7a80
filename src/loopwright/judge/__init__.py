"""How good a model is, how sure that is, and whether it may go on: metrics, slices, comparison, gates, verdict.

Pure: arrays in, values out, usable in a notebook with no store. Imports nothing by itself, so that
`import loopwright` stays light; the declared words (`declare.py`, `gates.py`, `catalog.py`) load no NumPy.
"""
