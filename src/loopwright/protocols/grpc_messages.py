"""The messages of the Open Inference Protocol over gRPC, made from the compiled `open_inference.proto`.

In a pool of their own: a process that also holds a client of Triton or KServe has messages of the same names already,
and one pool takes no name twice. Needs the extra `grpc`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "inference.GRPCInferenceService"
_COMPILED = resources.files("loopwright.protocols").joinpath("open_inference.binpb")


def _pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(_COMPILED.read_bytes()).file:
        pool.Add(file)
    return pool


_POOL = _pool()


def message(name: str) -> Any:
    """The class of a message, by its name.

    >>> message("ServerLiveResponse")(live=True).SerializeToString()
    b'\\x08\\x01'
    """
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"inference.{name}"))


METHODS: Mapping[str, tuple[Any, Any]] = {
    method.name: (message(method.input_type.name), message(method.output_type.name))
    for method in _POOL.FindServiceByName(SERVICE).methods
}
"""What each method takes and gives."""
InferRequest, InferResponse = METHODS["ModelInfer"]
