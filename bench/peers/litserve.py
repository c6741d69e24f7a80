"""LitServe: one API with one worker, plain and with batches of up to 64 that wait for five milliseconds."""
# It is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

import litserve
from litserve import LitAPI, LitServer

from bench.peers import served


class Plain(LitAPI):
    def setup(self, device) -> None:
        self.model = served.fitted(served.folder())

    def decode_request(self, request):
        return request["row"]

    def predict(self, row):
        return served.answer(self.model, [row])[0]

    def encode_response(self, chance):
        return {"probability": chance}


class Batching(Plain):
    def batch(self, rows):
        return rows

    def predict(self, rows):
        return served.answer(self.model, rows)

    def unbatch(self, chances):
        return chances


def start(api: LitAPI, port: int) -> None:
    assert litserve.__version__
    server = LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host=served.HOST, port=port, generate_client_file=False, log_level="warning", num_api_servers=1)


if __name__ == "__main__":
    served.serve(
        {
            "plain": lambda _, port: start(Plain(), port),
            "batching": lambda _, port: start(Batching(max_batch_size=64, batch_timeout=0.005), port),
        }
    )
