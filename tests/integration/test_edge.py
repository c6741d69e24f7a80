"""The edge as a process of its own: where only NumPy and ONNX Runtime are installed, killed, and cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import SOURCE
from tests.unit import bundled

from loopwright.edge import place
from loopwright.edge.handing import PATH

ROW = {"carrier": "UA", "distance": 21}
PINS = Path(__file__).parents[2] / "constraints.txt"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "edge"
    found = place.look(bundled.sealed(made / "bundle"))
    place.write(made, found.loop, 3, found.digest)
    return made


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has NumPy and ONNX Runtime, and Loopwright without what it otherwise needs."""
    venv = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "-c", PINS, "numpy", "onnxruntime"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"pip cannot install here: {done.stderr.strip().splitlines()[-1:]}")
    (packages,) = (venv / "lib").glob("python*/site-packages")
    (packages / "loopwright.pth").write_text(f"{SOURCE}\n")
    return python


@contextmanager
def running(python: Path | str, folder: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its URL once it answers."""
    environ = os.environ | ({} if str(python) != sys.executable else {"PYTHONPATH": str(SOURCE)})
    command = [str(python), "-P", "-m", "loopwright.edge", str(folder), "--port", "0", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().rpartition(" on ")[2].strip(), process
    finally:
        process.kill()
        process.communicate()


def ask(url: str, row: object = ROW) -> Any:
    body = json.dumps({"row": row}).encode()
    with urllib.request.urlopen(f"{url}/v1/loops/delays/predict", body, timeout=10) as answer:
        return json.loads(answer.read())["prediction"]


def test_it_answers_where_nothing_else_is_installed(bare: Path, folder: Path) -> None:
    listed = subprocess.run([bare, "-c", "import msgspec"], capture_output=True, text=True, check=False)
    assert "No module named 'msgspec'" in listed.stderr
    with running(bare, folder) as (url, process):
        assert ask(url)["value"] == 42.0
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_function_call_answers_and_loads_nothing_else(bare: Path, folder: Path) -> None:
    code = (
        "import sys\nfrom loopwright import edge\n"
        f"print(edge.load({str(folder)!r}).predict([{ROW!r}])[0]['value'])\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'onnxruntime', 'numpy', 'msgspec', 'click'}))"
    )
    done = subprocess.run([bare, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["42.0", "['numpy', 'onnxruntime']"]


def test_it_starts_within_a_second(bare: Path, folder: Path) -> None:
    """Of the processor's time, for others use this machine too; the best of three."""
    code = (
        "import time, resource\nfrom loopwright import edge\n"
        f"edge.load({str(folder)!r}).predict([{ROW!r}])\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\nprint(used.ru_utime + used.ru_stime)"
    )
    took = [float(subprocess.run([bare, "-c", code], capture_output=True, check=True).stdout) for _ in range(3)]
    assert min(took) <= 1.0


def test_killed_at_any_moment_it_has_every_answer_that_it_gave(folder: Path) -> None:
    given: list[str] = []
    for _ in range(3):
        with running(sys.executable, folder) as (url, process):
            begun = time.monotonic()

            def clients(url: str = url) -> None:
                try:
                    while True:
                        given.append(ask(url)["id"])
                except OSError:
                    return  # killed

            threads = [threading.Thread(target=clients) for _ in range(3)]
            for thread in threads:
                thread.start()
            while time.monotonic() - begun < 0.5:
                time.sleep(0.05)
            process.kill()
            for thread in threads:
                thread.join()
    recorded = [line for file in (folder / "journal").glob("*.jsonl") for line in file.read_bytes().splitlines()]
    assert len(given) > 20
    assert set(given) <= {json.loads(line)["id"] for line in recorded}


def test_what_is_recorded_while_cut_off_is_handed_in_when_the_gateway_is_there(folder: Path) -> None:
    import gzip
    from http.server import BaseHTTPRequestHandler, HTTPServer

    taken: list[str] = []

    class Gateway(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert (self.path, self.headers["authorization"]) == (PATH, "Bearer secret")
            content = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
            taken.extend(json.loads(line)["id"] for line in content.splitlines())
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Gateway)
    (folder / "key").write_text("secret\n")
    words = [
        "--gateway", f"http://127.0.0.1:{server.server_port}", "--gateway-key-file", str(folder / "key"),
        "--hand-in-seconds", "0.1",
    ]  # fmt: skip
    with running(sys.executable, folder, *words) as (url, _):
        ids = [ask(url)["id"] for _ in range(5)]  # nobody listens yet
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        until = time.monotonic() + 20
        while len(taken) < 5 and time.monotonic() < until:
            time.sleep(0.05)
    server.shutdown()
    server.server_close()
    assert sorted(taken) == sorted(ids)
