"""Triton through PyTriton: the graph in ONNX Runtime, in batches that Triton makes; numbers and texts as tensors."""
# It is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

import os
import sysconfig
from pathlib import Path

import numpy as np
import onnxruntime as ort
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from bench.peers import served
from bench.peers.served import ABSENT, HOST, NUMBERS, TEXTS


def inference(folder: Path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    graph = (folder / "model.onnx").read_bytes()
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    @batch
    def run(numbers, texts):
        numbers = np.where(numbers <= ABSENT, np.float32("nan"), numbers).astype(np.float32)
        feed = {name: numbers[:, at : at + 1] for at, name in enumerate(NUMBERS)}
        words = np.char.decode(texts.astype("S"), "utf-8").astype(object)
        feed.update({name: words[:, at : at + 1] for at, name in enumerate(TEXTS)})
        return {"probabilities": session.run(["probabilities"], feed)[0]}

    return run


def start(folder: Path, port: int) -> None:
    # Triton's own Python must be this one: with the library of another it does not load a model.
    os.environ["LD_LIBRARY_PATH"] = sysconfig.get_config_var("LIBDIR")
    config = TritonConfig(
        http_address=HOST, http_port=port, grpc_address=HOST, grpc_port=served.free_port(), metrics_address=HOST,
        metrics_port=served.free_port(),
    )  # fmt: skip
    with Triton(config=config) as triton:
        triton.bind(
            model_name="credit",
            infer_func=inference(folder),
            inputs=[
                Tensor(name="numbers", dtype=np.float32, shape=(len(NUMBERS),)),
                Tensor(name="texts", dtype=bytes, shape=(len(TEXTS),)),
            ],
            outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(2,))],
            config=ModelConfig(max_batch_size=64, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()


if __name__ == "__main__":
    served.serve({"onnx": start})
