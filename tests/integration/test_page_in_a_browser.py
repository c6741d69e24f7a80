"""The page of `lw data`, opened by a real Chromium: what it makes of the file, and what it complains of."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from loopwright.data.check import check
from loopwright.data.drift import drift
from loopwright.data.infer import infer
from loopwright.data.on_request import labelled
from loopwright.data.report import Report, Span
from loopwright.data.statistics import describe

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
EVIL = "<script>document.title = 'stolen'</script><img src=x onerror=alert(1)>\"'&"
pytestmark = pytest.mark.skipif(not BROWSER, reason="Chromium is not installed: apt-get install chromium")


class Seen(HTMLParser):
    """What the browser holds, of the DOM that it wrote out."""

    def __init__(self, dom: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(dom)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def count(self, tag: str) -> int:
        return sum(one == tag for one, _ in self.tags)


def a_month(rows: int = 2000, shift: float = 0.0) -> pl.LazyFrame:
    draw = np.random.default_rng(0)
    return pl.LazyFrame(
        {
            "temp": draw.normal(50 + shift, 10, rows),
            "carrier": draw.choice(["UA", "B6", EVIL], rows),
            EVIL: draw.integers(0, 9, rows),
            "late": draw.random(rows) < 0.2,
        }
    )


def opened(file: Path, room: Path) -> tuple[Seen, list[str]]:
    """The DOM, and what came to the console."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={room}"]
    done = subprocess.run(
        [BROWSER, *options, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=60, check=True
    )
    return Seen(done.stdout), re.findall(r":CONSOLE[:(].*", done.stderr)


def test_a_browser_shows_the_page_whole_and_complains_of_nothing(tmp_path: Path) -> None:
    january, june = describe(a_month()).profile(), describe(a_month(shift=100)).profile()
    report = Report(
        spans=(Span.of("june", june), Span.of("january", january)),
        findings=tuple(check(june, infer(january), previous=january)),
        drift=drift(january, june),
        labelled=labelled(a_month(), "late"),
    )
    assert report.findings
    file = tmp_path / "page.html"
    file.write_text(report.page(f"June {EVIL}"), encoding="utf-8")
    seen, console = opened(file, tmp_path / "browser")
    assert console == []
    assert [text for text in seen.texts if text in ("Findings", "Drift", "Label", "Columns")] == [
        "Findings", "Drift", "Label", "Columns",
    ]  # fmt: skip
    assert {"script", "img"}.isdisjoint(tag for tag, _ in seen.tags)
    assert any(text.startswith("June <script>") for text in seen.texts), "names are shown as they are"
    assert seen.count("svg") == 4, "two columns of numbers, in two spans"
    assert seen.count("li") == len(report.findings)
    assert "suspected" in seen.texts


def test_a_script_in_a_page_would_have_been_seen_and_is_not_run(tmp_path: Path) -> None:
    """What the other test goes by: the console tells, and the page's own policy forbids."""
    file = tmp_path / "page.html"
    page = Report().page("A page").replace("</body>", "<script>document.title = 'stolen'</script></body>")
    file.write_text(page, encoding="utf-8")
    seen, console = opened(file, tmp_path / "browser")
    assert "stolen" not in " ".join(seen.texts[:2])
    assert len(console) == 1
    assert "Content Security Policy" in console[0]
