"""One bundle, answering where little is installed: ONNX Runtime, NumPy and the standard library, nothing else.

>>> from loopwright import edge
>>> edge.load(getfixture("tmp_path"))
Traceback (most recent call last):
loopwright.errors.BundleRefused: manifest.json is missing
...
"""

from loopwright.edge.runner import Runner, load

__all__ = ["Runner", "load"]
