"""Ray Serve: one replica, plain and with batches of up to 64 that wait for five milliseconds; one core is Ray's."""
# It is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

import signal
import sys

import ray
from ray import serve

from bench.peers import served


class Plain:
    def __init__(self, folder) -> None:
        self.model = served.fitted(folder)

    async def __call__(self, request):
        return {"probability": served.answer(self.model, [(await request.json())["row"]])[0]}


class Batching:
    def __init__(self, folder) -> None:
        self.model = served.fitted(folder)

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.005)
    async def together(self, rows):
        return served.answer(self.model, rows)

    async def __call__(self, request):
        return {"probability": await self.together((await request.json())["row"])}


def start(kind, folder, port: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    # A worker of Ray's imports this file by its name, not as the program that was started.
    kind.__module__ = "bench.peers.ray"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    try:
        serve.start(http_options={"host": served.HOST, "port": port})
        deployed = serve.deployment(kind).options(num_replicas=1, max_ongoing_requests=100)
        serve.run(deployed.bind(folder), name="credit", route_prefix="/predict", blocking=True)
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    served.serve(
        {
            "plain": lambda folder, port: start(Plain, folder, port),
            "batching": lambda folder, port: start(Batching, folder, port),
        }
    )
