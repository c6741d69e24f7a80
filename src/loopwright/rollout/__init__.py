"""How a version is released: the plan, what was seen, and the controller that decides by evidence. Pure values.

`decide(plan, state, facts)` gives the next state and the decision; who gathers facts and who writes routes stand apart.
Nothing here reads a store, asks the time or starts a thread.
"""
