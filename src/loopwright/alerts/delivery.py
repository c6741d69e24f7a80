"""How a message goes out: by Apprise, which speaks to mail, chat and pagers, or as plain JSON to a web address.

A way's address may hold a password, so no error and no log names it.
"""

from __future__ import annotations

import http.client
import json
import logging
import threading
from base64 import b64encode
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from loopwright.alerts.declare import WEBHOOK, Recipient
from loopwright.alerts.incident import Message
from loopwright.alerts.urgency import Urgency
from loopwright.errors import MissingExtra

_logger = logging.getLogger(__name__)
PATIENCE_SECONDS, LONGEST_SECONDS = 10.0, 30.0
"""For a word of a receiver, and for all of a delivery."""


class Undelivered(Exception):
    """Why it did not go out. Tried again later."""


def deliver(message: Message, to: Recipient) -> None:
    """Send it now. Raises `Undelivered`, and MissingExtra for a way that needs Apprise where that is not installed.

    A receiver that answers a byte at a time keeps within every timeout of a socket, so the whole is timed, too: what
    takes longer is left to itself, and may still arrive.
    """
    ended = SimpleQueue[Exception | None]()

    def work() -> None:
        try:
            _send(message, to)
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            ended.put(error)
        else:
            ended.put(None)

    threading.Thread(target=work, name="alert", daemon=True).start()
    try:
        error = ended.get(timeout=LONGEST_SECONDS)
    except Empty:
        raise Undelivered(f"it took longer than {LONGEST_SECONDS:g} s") from None
    if error is not None:
        raise error


def _send(message: Message, to: Recipient) -> None:
    if to.url.startswith(WEBHOOK):
        _post(to.url.removeprefix(WEBHOOK), body_of(message))
    else:
        _notify(to.url, message)


def body_of(message: Message) -> Mapping[str, Any]:
    """What a plain webhook receives. `id` is equal for a message that comes twice, `key` for all of one incident."""
    return {
        "id": message.id,
        "key": message.key,
        "urgency": message.urgency.value,
        "title": message.title,
        "body": message.body,
        "at": message.made_at.isoformat(),
    }


def _post(url: str, body: Mapping[str, Any]) -> None:
    parts = urlsplit(url)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = connect(parts.hostname or "", parts.port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **_credentials(parts)})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Undelivered(f"it does not answer: {type(error).__name__}") from None  # the text may hold the address
    finally:
        connection.close()
    if not 200 <= status < 300:  # a redirect is not followed: it may lead anywhere
        raise Undelivered(f"it answered {status}")


def _credentials(parts: SplitResult) -> dict[str, str]:
    """Of an address that names a user (RFC 7617)."""
    if parts.username is None:
        return {}
    told = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {b64encode(told.encode()).decode()}"}


def _notify(url: str, message: Message) -> None:
    try:
        import apprise
    except ModuleNotFoundError:
        raise MissingExtra(
            "alerts other than webhooks go out by apprise, which is not installed",
            fix=f'pip install "loopwright[alerts]", or give a url {WEBHOOK}https://...',
        ) from None
    kinds = {Urgency.PAGE: apprise.NotifyType.FAILURE, Urgency.NOTIFY: apprise.NotifyType.WARNING}
    way = apprise.Apprise(asset=apprise.AppriseAsset(http_redirects=False))  # it may lead anywhere, and lose the rest
    if not way.add(url):
        raise Undelivered(f"Apprise cannot use this {urlsplit(url).scheme}:// address: it wants more of it, or another")
    kind = kinds.get(message.urgency, apprise.NotifyType.INFO)
    if not way.notify(title=message.title, body=message.body, notify_type=kind):
        raise Undelivered(f"{urlsplit(url).scheme}:// did not take it")
