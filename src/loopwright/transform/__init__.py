"""From raw columns to a prediction, as one ONNX graph: features, inputs, export and parity.

A pure library: no store, no clock, no network. Heavy libraries (extra `models`) load with the module that needs them,
never with this one. No command uses it yet. Not there yet: the bundle, ONNX graphs and PyTorch modules as input, text.
Whoever fits with sample weights must pass them to `export` too, because the final model is fitted again there.
"""
