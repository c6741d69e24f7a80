"""Where things run: our interpreter and command, the peers' environments, and the folders they work in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.timing import time_process

ROOT = Path(__file__).parent.parent
SPACE = ROOT / ".bench"
BY_HAND = "by_hand"
"""The environment of what one would write by hand: no peer, but what is measured against."""
PEERS = tuple(sorted({file.stem for file in (ROOT / "bench" / "peers").glob("*.txt")} - {BY_HAND}))

_QUIET = {
    "DO_NOT_TRACK": "1",
    "DISABLE_TELEMETRY": "1",
    "KEDRO_DISABLE_TELEMETRY": "1",
    "HAMILTON_TELEMETRY_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "GX_ANALYTICS_ENABLED": "false",
    "WHYLOGS_NO_ANALYTICS": "true",
    "YDATA_PROFILING_NO_ANALYTICS": "true",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Whoever calls out all the same finds a proxy that is not there; only loopback is reached without it.
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}


class PeerNotInstalled(Exception):
    """Its environment could not be made; the message says why."""


def ours() -> dict[str, str]:
    """The environment our own processes run in: this checkout, installed or not."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LW_")}
    return plain | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}


def lw(*words: str) -> list[str]:
    """`lw`, as installed, or what its script does."""
    script = Path(sys.executable).parent / "lw"
    start = [str(script)] if script.exists() else [sys.executable, "-c", "from loopwright.cli import main; main()"]
    return [*start, *words]


def of_peer(folder: Path) -> dict[str, str]:
    """Everything a peer keeps goes to the folder, and nothing leaves this machine."""
    homes = {"HOME": folder, "PREFECT_HOME": folder, "DAGSTER_HOME": folder, "PYTHONPATH": ROOT}
    return dict(os.environ) | _QUIET | {name: str(path) for name, path in homes.items()}


def settle_peer(folder: Path) -> None:
    """What only a file can switch off."""
    (folder / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")


def peer_python(peer: str) -> Path:
    """The peer's interpreter, installed at first use at the pinned versions. Raises PeerNotInstalled."""
    home = SPACE / peer
    pins = ROOT / "bench" / "peers" / f"{peer}.txt"
    python, mark = home / "bin" / "python", home / "installed.txt"
    if mark.is_file() and mark.read_bytes() == pins.read_bytes():
        return python
    print(f"installing {peer} in {home.relative_to(ROOT)}", file=sys.stderr, flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(home)], peer)
    _run([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(pins)], peer)
    shutil.copyfile(pins, mark)
    return python


def installed(peers: Iterable[str], failures: dict[str, str]) -> dict[str, Path]:
    """The interpreters of those that install; of the others, why not goes to `failures`."""
    pythons = {}
    for peer in peers:
        try:
            pythons[peer] = peer_python(peer)
        except PeerNotInstalled as reason:
            failures[peer] = str(reason)
    return pythons


def ask_peer(python: Path, peer: str, folder: Path, *words: str) -> Any:
    """What its file in `bench/peers` prints last, as JSON. Raises `Failed`."""
    command = [str(python), "-m", f"bench.peers.{peer}", *words]
    return json.loads(time_process(command, folder, of_peer(folder)).output.strip().splitlines()[-1])


def _run(command: list[str], peer: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise PeerNotInstalled(f"{peer} does not install: {' / '.join(reason)}")


@contextmanager
def work_folder() -> Iterator[Path]:
    """On the disk of the checkout: a temporary folder may lie in memory, where flushing costs nothing."""
    SPACE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="work-", dir=SPACE, ignore_cleanup_errors=True) as name:
        yield Path(name)


def output_of(command: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    """What the command prints. A command that fails is an error that shows what it said."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
