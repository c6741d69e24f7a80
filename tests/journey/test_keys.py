"""API keys from the command line to the running gateway: made, asked for, revoked, and nowhere to be read."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conftest import lw

from loopwright import system


@pytest.fixture
def project(tmp_path: Path) -> Path:
    system.open(tmp_path).close()
    return tmp_path


@contextmanager
def served(project: Path, *words: str) -> Iterator[str]:
    """The URL of a gateway in a process of its own; what it says ends up in the file `said`."""
    ready = project / "ready"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "loopwright.cli", "serve", "--port", "0", "--ready-file", str(ready)]
    with (project / "said").open("ab") as said:
        process = subprocess.Popen(
            [*command, "--set", "route_poll_seconds=0.1", *words], cwd=project, stdout=said, stderr=said
        )
        try:
            for _ in range(1200):
                if ready.exists() or process.poll() is not None:
                    break
                time.sleep(0.05)
            assert ready.exists(), (project / "said").read_text()
            yield ready.read_text().strip().replace("0.0.0.0", "127.0.0.1")
        finally:
            process.kill()
            process.wait()


def status(url: str, key: str | None = None, **headers: str) -> int:
    shown = headers | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=shown), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def until(wanted: int, url: str, key: str | None, seconds: float = 5) -> None:
    begun = time.monotonic()
    while (found := status(url, key)) != wanted:
        assert time.monotonic() < begun + seconds, found
        time.sleep(0.02)


def make(project: Path, *words: str) -> str:
    done = lw("keys", "make", *words, cwd=project, check=True)
    (key,) = done.stdout.split()
    return key


def test_keys_are_made_asked_for_and_revoked_while_the_gateway_runs(project: Path) -> None:
    with served(project) as url:
        assert status(f"{url}/v1/loops") == 200
        viewer = make(project, "viewer", "--scope", "view", "--expires", "90d")
        until(401, f"{url}/v1/loops", None)
        until(200, f"{url}/v1/loops", viewer)
        assert status(f"{url}/healthz") == 200
        other = make(project, "shop", "--scope", "predict")
        until(403, f"{url}/v1/loops", other)
        listed = json.loads(lw("keys", "list", "--json", cwd=project, check=True).stdout)
        assert [(key["name"], key["scopes"], key["status"]) for key in listed] == [
            ("viewer", ["view"], "active"), ("shop", ["predict"], "active"),
        ]  # fmt: skip
        until(200, f"{url}/v1/loops", viewer)
        lw("keys", "revoke", listed[0]["id"], "--because", "a test", cwd=project, check=True)
        until(401, f"{url}/v1/loops", viewer)
    trail = json.loads(lw("events", "--json", cwd=project, check=True).stdout)
    kinds = [event["kind"] for event in trail if event["kind"].startswith("Key")]
    assert kinds == ["KeyMade", "KeyMade", "KeyRevoked"]
    kept = [path for path in project.rglob("*") if path.is_file()]
    assert project / ".loopwright" / "metadata.db" in kept
    for key in (viewer, other):
        assert [path for path in kept if key.rpartition("_")[2].encode() in path.read_bytes()] == []


def test_another_address_is_served_only_once_there_is_a_key(project: Path) -> None:
    done = lw("serve", "--host", "0.0.0.0", "--port", "0", cwd=project)
    assert done.returncode == 2
    assert "lw keys make" in done.stderr
    key = make(project, "shop", "--scope", "view", "--expires", "never")
    with served(project, "--host", "0.0.0.0", "--set", "allowed_hosts=gateway.example") as url:
        asked = f"{url}/v1/loops"
        assert status(asked) == 401
        assert status(asked, key) == 200
        assert status(asked, key, Host="gateway.example") == 200
        assert status(asked, key, Host="evil.example") == 403
        assert status(asked, key, Origin="https://gateway.example") == 403


def test_what_is_wrong_with_a_key_is_told(project: Path) -> None:
    assert "no API key yet" in lw("keys", cwd=project).stdout
    for words, told in (
        (["make", "shop"], "Missing option '--scope'"),
        (["make", "shop", "--scope", "see"], "'see' is not one of"),
        (["make", "shop", "--scope", "view", "--expires", "soon"], "'soon' is no length of time"),
        (["make", "shop", "--scope", "view", "--expires", "0d"], "'0d' is no length of time"),
        (["make", "shop", "--scope", "view", "--rate", "0"], "0.0 is no rate"),
        (["revoke", "nobody"], "no API key has the id 'nobody'"),
    ):
        done = lw("keys", *words, cwd=project)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr


def test_a_key_that_leaked_can_be_revoked_by_itself(project: Path) -> None:
    key = make(project, "shop", "--scope", "view", "--loop", "flights")
    for told in ("is revoked", "was revoked already"):
        done = lw("keys", "revoke", key, cwd=project, check=True)
        assert told in done.stdout
        assert key not in done.stdout
    assert "revoked" in lw("keys", "list", cwd=project).stdout
