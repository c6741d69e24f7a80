"""Versions of models: registered, promoted, rolled back, fetched, compared, explained, carried elsewhere.

Everything here works in a gateway's install: no Polars, no ONNX, no scikit-learn.
"""
