"""BentoML: a service with one worker, plain and with its adaptive batching."""
# It is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

import os
import sys

import bentoml

from bench.peers import served

SERVICE = {"workers": 1, "traffic": {"timeout": 30}, "logging": {"access": {"enabled": False}}}


@bentoml.service(**SERVICE)
class Plain:
    def __init__(self) -> None:
        self.model = served.fitted(served.folder())

    @bentoml.api
    def predict(self, row: dict) -> float:
        return served.answer(self.model, [row])[0]


@bentoml.service(**SERVICE)
class Batching:
    def __init__(self) -> None:
        self.model = served.fitted(served.folder())

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=20_000)
    def predict(self, rows: list[dict]) -> list[float]:
        return served.answer(self.model, rows)


def start(name: str, port: int) -> None:
    words = [sys.executable, "-m", "bentoml", "serve", f"bench.peers.bentoml:{name}"]
    os.execv(sys.executable, [*words, "--host", served.HOST, "--port", str(port)])


if __name__ == "__main__":
    served.serve(
        {
            "plain": lambda _, port: start("Plain", port),
            "batching": lambda _, port: start("Batching", port),
        }
    )
