"""The model card."""

from html.parser import HTMLParser

from loopwright.judge.card import card
from loopwright.judge.compare import compare
from loopwright.judge.evaluate import evaluate
from loopwright.judge.gates import at_least, not_worse
from loopwright.judge.sample import sample
from loopwright.judge.verdict import judge

LABELS, SCORES = [0, 1] * 300, [0.2, 0.7, 0.4, 0.6] * 150
EVIL = "<script>alert('x')</script>"


def a_card(name: str = "late-arrivals") -> str:
    found = evaluate(LABELS, SCORES, columns={"carrier": ["AA", EVIL] * 300}, slices=["carrier"])
    beside = compare(sample(LABELS, [0.5, 0.6] * 300), sample(LABELS, SCORES))
    verdict = judge(found, beside, [at_least("roc_auc", 0.6), not_worse("brier", by=0.5)])
    columns = [{"name": EVIL, "kind": "string", "missing": True, "values": [EVIL, "b"], "low": None, "high": None}]
    return card(name, verdict, found, beside, columns=columns, facts={"data": {"table": EVIL}})


def test_the_card_says_what_was_found() -> None:
    page = a_card()
    for told in (
        "late-arrivals",
        "accepted",
        "roc_auc",
        "Against the champion",
        "at_least",
        "Inputs",
        "600 held-out rows",
    ):
        assert told in page


def test_nothing_in_it_is_code() -> None:
    """Names of columns, values and whatever else users wrote are shown, and run nothing."""
    assert EVIL not in a_card(EVIL)
    assert "&lt;script&gt;" in a_card(EVIL)


def test_it_asks_nobody_for_anything() -> None:
    class Links(HTMLParser):
        found: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found += [name for name, _ in attrs if name in ("src", "href")] + ([tag] if tag == "script" else [])

    parser = Links()
    parser.feed(a_card())
    assert parser.found == []


def test_equal_values_give_equal_bytes() -> None:
    assert a_card() == a_card()
