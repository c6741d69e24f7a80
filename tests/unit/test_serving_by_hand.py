"""The requests that docs/serving.md shows by hand: each is sent as it stands there, and answered as it says there."""

from __future__ import annotations

import json
import re
import shlex
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from tests.unit.keyed import a_key, added
from tests.unit.serving import Answered, Station

from loopwright.core.access import Scope

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"
SHOWN = re.findall(r"^(curl .*)\n(\{.*\})$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def sent(station: Station, line: str, key: str) -> Answered:
    """What `curl` would send. Its `--json` posts, and names the type."""
    words = shlex.split(line.replace("$KEY", key))
    content, url = words[words.index("--json") + 1], urlsplit(words[-1])
    named = [one.split(": ", 1) for flag, one in pairwise(words) if flag == "-H"]
    headers = {name.lower(): value for name, value in named}
    return station.client.post(url.path, content.encode(), host=url.netloc, content_type="application/json", **headers)


def test_what_the_page_shows_by_hand_is_what_happens(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.promote(1)
    key = ""
    for line, answer in SHOWN:
        if "$KEY" in line:
            key = added(station.stores, a_key(Scope.PREDICT))
            station.guard.refresh()
            assert sent(station, line, "").status == 401
        told = sent(station, line, key)
        assert (told.status, json.loads(ULID.sub("ULID", told.content.decode()))) == (
            200,
            json.loads(ULID.sub("ULID", answer)),
        )
    station.close()
    paths = [urlsplit(line.split()[-1]).path for line, _ in SHOWN]
    predict = "/v1/loops/flights/predict"
    assert paths == [predict, "/v1/labels", "/v2/models/flights/infer", "/invocations", predict]


def test_a_refusal_says_what_to_do_in_the_words_of_the_door_it_came_through(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.promote(1)
    labels = station.client.post("/v1/labels", {"labels": [{"label": True}]}).json["error"]["fix"]
    lines = station.client.post("/v1/predictions", b"{").json["error"]["fix"]
    tensors = station.client.post("/v2/models/flights/infer", {"inputs": []}).json["error"]
    nowhere = station.client.post("/v2/models/delays/infer", {"inputs": []}).json["error"]
    station.close()
    assert "prediction_id" in labels
    assert "lines of JSON" in lines
    assert "GET /" not in labels + lines + tensors + nowhere
    assert "lw promote" in nowhere
