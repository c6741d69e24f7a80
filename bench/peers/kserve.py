"""KServe's own server for a model of one's own, with its first protocol."""
# It is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

from pathlib import Path

from kserve import Model, ModelServer

from bench.peers import served


class Credit(Model):
    def __init__(self, folder: Path) -> None:
        super().__init__("credit")
        self.model = served.fitted(folder)
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        return {"predictions": served.answer(self.model, payload["instances"])}


def start(folder: Path, port: int) -> None:
    server = ModelServer(http_port=port, workers=1, enable_grpc=False, access_log_format=None)
    server.start([Credit(folder)])


if __name__ == "__main__":
    served.serve({"plain": start})
