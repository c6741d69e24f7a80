"""The same work in other people's tools, each run in an environment of its own.

A chain of trivial steps (`chain` is how they are asked), or statistics and drift of the same rows (`asked`). A peer's
file may import the peer, what it needs itself, the standard library and these two, for nothing else is installed there.
"""
