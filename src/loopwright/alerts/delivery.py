"""How a message goes out: by Apprise, which speaks to mail, chat and pagers, or as plain JSON to a web address.

A way's address may hold a password, so no error and no log names it.
"""

from __future__ import annotations

import http.client
import json
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from loopwright.alerts.declare import WEBHOOK, Recipient
from loopwright.alerts.incident import Message
from loopwright.alerts.urgency import Urgency
from loopwright.errors import MissingExtra

_logger = logging.getLogger(__name__)
PATIENCE_SECONDS = 10.0


class Undelivered(Exception):
    """Why it did not go out. Tried again later."""


def deliver(message: Message, to: Recipient) -> None:
    """Send it now. Raises `Undelivered`, and MissingExtra for a way that needs Apprise where that is not installed."""
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
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Undelivered(f"it does not answer: {type(error).__name__}") from None  # the text may hold the address
    finally:
        connection.close()
    if not 200 <= status < 300:  # a redirect is not followed: it may lead anywhere
        raise Undelivered(f"it answered {status}")


def _notify(url: str, message: Message) -> None:
    try:
        import apprise
    except ModuleNotFoundError:
        raise MissingExtra(
            "alerts other than webhooks go out by apprise, which is not installed",
            fix=f'pip install "loopwright[alerts]", or give a url {WEBHOOK}https://...',
        ) from None
    kinds = {Urgency.PAGE: apprise.NotifyType.FAILURE, Urgency.NOTIFY: apprise.NotifyType.WARNING}
    way = apprise.Apprise()
    if not way.add(url):
        raise Undelivered(f"Apprise knows no way like {urlsplit(url).scheme}://")
    kind = kinds.get(message.urgency, apprise.NotifyType.INFO)
    if not way.notify(title=message.title, body=message.body, notify_type=kind):
        raise Undelivered(f"{urlsplit(url).scheme}:// did not take it")
