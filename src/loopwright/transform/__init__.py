"""From raw columns to a prediction, as one ONNX graph: features, inputs, export, parity, and the bundle around it.

A pure library: no store, no clock, no network. Heavy libraries (extra `models`) load with the module that needs them,
never with this one; bundle and predictor need only NumPy and ONNX Runtime.
What `export` gives is the model that it was given. Where rounding makes it fit the final model again, that must come
out close to it: whoever fits with sample weights passes them to `export` too.
"""
