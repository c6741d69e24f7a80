"""Alerts as they arrive: by Apprise and as a plain webhook, at servers on this machine."""

from __future__ import annotations

import base64
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from loopwright import system
from loopwright.alerts import declare, delivery
from loopwright.alerts.delivery import Undelivered
from loopwright.alerts.incident import Message
from loopwright.alerts.reconciler import Alerts
from loopwright.alerts.urgency import Urgency
from loopwright.cli import alerts as commands
from loopwright.core.event import Cause
from loopwright.testing import HandClock, memory_stores

pytest.importorskip("apprise", reason="the extra `alerts` is not installed")
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
MESSAGE = Message(
    id="flights/decay@20260314T120000Z:notify:me",
    to="me",
    key="flights/decay",
    urgency=Urgency.NOTIFY,
    title="[notify] flights: decay",
    body="roc_auc fell to 0.61 (look: lw monitor flights)",
    due_at=NOON,
    made_at=NOON,
)


@contextmanager
def web(status: int = 200, to: str = "", users: list[str | None] | None = None) -> Iterator[tuple[int, list[Any]]]:
    """A server that writes down what is posted to it, and by which `users`."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if users is not None:
                users.append(self.headers["Authorization"])
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            if to:
                self.send_header("Location", to)
            self.end_headers()

        def do_GET(self) -> None:
            got.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port, got
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def post_office() -> Iterator[tuple[int, list[str]]]:
    """As much of a mail server as takes a letter."""
    letters: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline():
                word = line[:4].upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    letters.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                self.wfile.write(b"250 well\r\n" if word != b"QUIT" else b"221 bye\r\n")
                if word == b"QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1], letters
        finally:
            server.shutdown()
            thread.join()


def to(url: str) -> declare.Recipient:
    return declare.parse({"to": [{"name": "me", "url": url}]}, {}).recipients[0]


def test_a_plain_webhook_receives_the_whole_message_as_json() -> None:
    with web() as (port, got):
        delivery.deliver(MESSAGE, to(f"webhook+http://127.0.0.1:{port}/hook?team=a"))
    assert got == [
        {
            "id": MESSAGE.id,
            "key": "flights/decay",
            "urgency": "notify",
            "title": MESSAGE.title,
            "body": MESSAGE.body,
            "at": "2026-03-14T12:00:00+00:00",
        }
    ]


def test_apprise_carries_it_with_its_kind() -> None:
    with web() as (port, got):
        delivery.deliver(MESSAGE, to(f"json://127.0.0.1:{port}/"))
    (found,) = got
    assert (found["title"], found["message"], found["type"]) == (MESSAGE.title, MESSAGE.body, "warning")


def test_it_arrives_as_mail() -> None:
    with post_office() as (port, letters):
        delivery.deliver(MESSAGE, to(f"mailto://127.0.0.1:{port}/?from=lw@example.org&to=me@example.org&mode=insecure"))
    (letter,) = letters
    assert "Subject: [notify] flights: decay" in letter
    assert "me@example.org" in letter


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("webhook+http://127.0.0.1:1/", "does not answer"),
        ("json://127.0.0.1:1/", "did not take it"),
        ("nothing://127.0.0.1/", "cannot use this nothing:// address"),
    ],
)
def test_a_way_that_leads_nowhere_is_told_without_its_address(url: str, why: str) -> None:
    with pytest.raises(Undelivered, match=why) as refused:
        delivery.deliver(MESSAGE, to(url.replace("127.0.0.1", "me:secret@127.0.0.1")))
    assert "secret" not in str(refused.value)


def test_a_server_that_refuses_did_not_take_it() -> None:
    with web(500) as (port, _), pytest.raises(Undelivered, match="answered 500"):
        delivery.deliver(MESSAGE, to(f"webhook+http://127.0.0.1:{port}/"))


def test_a_redirect_is_not_followed_by_any_way() -> None:
    with web(200) as (there, lost), web(302, f"http://127.0.0.1:{there}/") as (port, _):
        for url in (f"webhook+http://127.0.0.1:{port}/", f"json://127.0.0.1:{port}/"):
            with pytest.raises(Undelivered):
                delivery.deliver(MESSAGE, to(url))
    assert lost == []


def test_the_user_of_a_webhook_is_told_to_it() -> None:
    users: list[str | None] = []
    with web(users=users) as (port, _):
        delivery.deliver(MESSAGE, to(f"webhook+http://127.0.0.1:{port}/"))
        delivery.deliver(MESSAGE, to(f"webhook+http://u%40x:s3cret@127.0.0.1:{port}/"))
    assert users == [None, "Basic " + base64.b64encode(b"u@x:s3cret").decode()]


@pytest.mark.parametrize("way", ["webhook+http", "json"])
def test_a_server_that_answers_a_byte_at_a_time_holds_nobody_up(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "LONGEST_SECONDS", 0.3)
    done = threading.Event()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
                while not done.wait(0.02):
                    self.wfile.write(b"a")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        with pytest.raises(Undelivered, match=r"longer than 0.3 s"):
            delivery.deliver(MESSAGE, to(f"{way}://127.0.0.1:{server.server_address[1]}/x"))
        done.set()
        server.shutdown()


def test_from_an_event_to_the_server_and_no_second_time(tmp_path: Path) -> None:
    clock, stores = HandClock(NOON), memory_stores()
    with web() as (port, got):
        told = f'[[to]]\nname = "me"\nurl = "webhook+http://127.0.0.1:{port}/"\nevents = ["VersionPromoted"]\n'
        (tmp_path / "alerts.toml").write_text(told, encoding="utf-8")
        alerts = Alerts(stores=stores, workspace=tmp_path / ".loopwright", project=tmp_path, clock=clock)
        alerts.reconcile()
        cause = Cause(actor="release", at=clock.now(), reason="no worse after 5,000 requests")
        stores.events.add("VersionPromoted", "loop:flights", cause, {"route": 3})
        stores.events.add("DecayFound", "loop:flights", cause, {"metric": "roc_auc", "version": 3})
        alerts.reconcile()
        alerts.reconcile()
    assert [(one["urgency"], one["title"]) for one in got] == [
        ("notify", "[notify] flights: decay of v3"),
        ("digest", "flights: VersionPromoted"),
    ]


def lw(folder: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(commands.alerts, [*words, "--project", str(folder)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return -1, str(done.exception)
    return done.exit_code, done.output


def test_the_commands_list_try_and_silence(tmp_path: Path) -> None:
    system.open(tmp_path).close()
    code, said = lw(tmp_path, "silence", "flights/*", "--for", "3h", "--because", "new sensors")
    assert (code, "is silenced until" in said) == (0, True), said
    code, said = lw(tmp_path, "list")
    assert "nothing is open" in said
    assert "flights/*: new sensors" in said
    assert "write alerts.toml" in said
    assert lw(tmp_path, "unsilence", "fares/*")[1].startswith("'fares/*' is not silenced; flights/* is")
    assert lw(tmp_path, "unsilence", "flights/*")[0] == 0
    assert "names nobody" in lw(tmp_path, "test")[1]
    with web() as (port, got):
        (tmp_path / "alerts.toml").write_text(
            f'[[to]]\nname = "me"\nurl = "json://127.0.0.1:{port}"\n[[to]]\nname = "off"\nurl = "json://127.0.0.1:1"\n'
        )
        code, said = lw(tmp_path, "test", "--json")
        assert json.loads(said)["me"] == {"sent": True, "why": ""}
        assert json.loads(said)["off"]["sent"] is False
        assert code == 1
        assert [one["title"] for one in got] == ["Loopwright: a test"]
        assert "did you mean 'me'" in lw(tmp_path, "test", "mee")[1]
