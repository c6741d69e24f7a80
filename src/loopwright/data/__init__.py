"""Data at rest and at the door: declared tables, sources of every kind, and the versions in between.

Usable in a notebook with no store. Imports nothing by itself, so that `import loopwright` stays light.
"""
