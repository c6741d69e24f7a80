"""From raw columns to a prediction, as one ONNX graph: features, inputs, export, parity, and the bundle around it.

A pure library: no store, no clock, no network. Heavy libraries (extra `models`) load with the module that needs them,
never with this one; bundle and predictor need only NumPy and ONNX Runtime.
Whoever fits with sample weights must pass them to `export` too, because the final model is fitted again there.
"""
