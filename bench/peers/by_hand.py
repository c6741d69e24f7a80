"""What one would write by hand, from the least there is up: the floors of serving, and what most people write.

The bare ones decode with msgspec, check nothing, and make the feed with one call of NumPy a kind, the quickest way we
know. None gives an id or records what it answered.
"""
# These are installed in an environment of their own, out of the type checker's sight.
# mypy: ignore-errors

import os
import sys
from functools import cache
from pathlib import Path

from bench.peers import served
from bench.peers.served import HOST, NUMBERS, TEXTS

JSON = [(b"content-type", b"application/json")]
STATIC = b'{"label":true,"probability":0.123456789}'


@cache
def predict():
    """From a row to the chance of the second class."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    graph = served.folder() / "model.onnx"
    session = ort.InferenceSession(graph.read_bytes(), options, providers=["CPUExecutionProvider"])
    asked = ["probabilities"]

    def run(row):
        numbers = np.array([row[name] for name in NUMBERS], dtype=np.float32).reshape(-1, 1, 1)
        texts = np.array([row[name] or "" for name in TEXTS], dtype=object).reshape(-1, 1, 1)
        feed = dict(zip(NUMBERS, numbers, strict=True))
        feed.update(zip(TEXTS, texts, strict=True))
        return float(session.run(asked, feed)[0][0, 1])

    return run


@cache
def coders():
    import msgspec

    return msgspec.json.Decoder().decode, msgspec.json.Encoder().encode


def told(body: bytes) -> bytes:
    decode, encode = coders()
    chance = predict()(decode(body)["row"])
    return encode({"label": chance > 0.5, "probability": chance})


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message.get("more_body", False)
    content = told(body)
    headers = [*JSON, (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def rsgi(_, protocol):
    protocol.response_bytes(200, [("content-type", "application/json")], told(await protocol()))


async def static(_, protocol):
    protocol.response_bytes(200, [("content-type", "application/json")], STATIC)


def fastapi_app(ask):
    """With the row declared, as FastAPI wants it."""
    from fastapi import FastAPI
    from pydantic import create_model

    fields = dict.fromkeys(NUMBERS, (float | None, ...)) | dict.fromkeys(TEXTS, (str | None, ...))
    row = create_model("Row", **fields)
    asked = create_model("Asked", row=(row, ...))
    app = FastAPI()

    @app.post("/predict")
    async def predict_row(request: asked):
        chance = ask(request.row.model_dump())
        return {"label": chance > 0.5, "probability": chance}

    return app


def uvicorn(app, port: int) -> None:
    import uvicorn

    uvicorn.run(app, host=HOST, port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning")


def granian(target: str, port: int) -> None:
    """In the place of this process, for it is started by its command."""
    words = [sys.executable, "-m", "granian", "--interface", "rsgi", "--host", HOST, "--port", str(port)]
    words += ["--workers", "1", "--runtime-threads", "1", "--loop", "uvloop", "--no-log", "--no-ws"]
    os.execv(sys.executable, [*words, f"bench.peers.by_hand:{target}"])


def joblib_way(folder: Path, port: int) -> None:
    model = served.fitted(folder)
    uvicorn(fastapi_app(lambda row: served.answer(model, [row])[0]), port)


if __name__ == "__main__":
    served.serve(
        {
            "uvicorn": lambda _, port: uvicorn(asgi, port),
            "granian": lambda _, port: granian("rsgi", port),
            "static": lambda _, port: granian("static", port),
            "fastapi": lambda _, port: uvicorn(fastapi_app(predict()), port),
            "joblib": joblib_way,
        }
    )
