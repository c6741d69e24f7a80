"""How a version is released: the plan, what was seen, the controller that decides by evidence, and who acts on it.

`decide(plan, state, facts)` gives the next state and the decision: pure, and all that it stands on reads no store, asks
no time and starts no thread. Around it, `reader` makes facts of the prediction log, `reconciler` reads, decides and
writes, `starting` and `asking` are for people. Everything is written in one transaction, upon what was looked at.
"""
