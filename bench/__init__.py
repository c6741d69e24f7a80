"""Benchmarks: `python -m bench [PEER ...]`. Each figure beside its target and a floor or peer of the same run."""
