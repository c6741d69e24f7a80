"""The same chain of trivial steps in other people's runners, each run in an environment of its own.

A peer's file may import the peer, the standard library and `bench.peers.chain`, for nothing else is installed there.
"""
