"""How sure one may be, at any moment, of what a stream of requests and labels says. Pure: NumPy and nothing else.

Everything here may be looked at after every event, for as long as one likes: the chance of ever being wrong stays
below the level that was chosen. Accumulators are sums, so that they merge, and so that a controller killed anywhere
carries on from what it stored.
"""
