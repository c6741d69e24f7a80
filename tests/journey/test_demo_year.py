"""The year of the demo, as a user runs it, on a sample of the flights: nine months of a loop that nobody touches."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import lw

import loopwright
from loopwright import demo
from loopwright.demo import flights
from loopwright.predictions.joining import joined

ROWS = 2_000
PLAYED = range(4, 13)


def quick(loop: str) -> str:
    """Without a search, with gates and stages that so few flights can pass, and with fewer retrainings."""
    hard = ("search=", "slice_gap")
    changed = "\n".join(line for line in loop.splitlines() if not any(word in line for word in hard)) + "\n"
    for strict, easy in (
        ("0.6)", "0.5)"),
        ("by=0.02)", "by=0.2)"),
        ("shares=[0.25, 1.0]", "shares=[1.0]"),
        ('patience="21d"', 'patience="60d"'),
        ('lw.on_decay("roc_auc", by=0.05), lw.on_new_data("60d")', 'lw.on_new_data("120d")'),
    ):
        assert strict in changed
        changed = changed.replace(strict, easy)
    return changed


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("year")
    (folder / "flights-year").mkdir()
    (folder / "flights-year" / "flights.py").write_text(quick(demo.loop_file().read_text()))
    done = lw("demo", "--rows", str(ROWS), "--json", "story.json", cwd=folder, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "said.txt").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def story(played: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((played / "story.json").read_text())
    return found


def test_the_wheel_turned_by_itself_and_the_mistake_was_taken_back(story: dict[str, Any]) -> None:
    summary = story["summary"]
    assert summary["retrains"] >= 1
    assert summary["promotions"] >= 1
    assert summary["rollbacks"] >= 1
    assert summary["touched_by_broken"] > 0
    assert summary["versions"] > summary["served_version"] >= 2 or summary["versions"] >= 3


def test_the_summary_has_what_the_short_story_says_too(story: dict[str, Any]) -> None:
    short = "months rows versions served_version metric offline online predictions labels_joined seconds"
    assert set(short.split()) <= set(story["summary"])
    assert story["summary"]["rows"] > 12 * ROWS * 0.9


def test_every_month_is_there_with_all_three_ways(story: dict[str, Any]) -> None:
    months = story["summary"]["year"]
    assert [month["number"] for month in months] == list(PLAYED)
    for month in months:
        assert all(0.4 < month[way] < 1 for way in ("loop", "alone", "monthly"))
        assert month["versions"]
        assert 0 < month["labels"] < month["predictions"]
    assert months[0]["alone"] == months[0]["monthly"]


def test_every_flight_was_asked_about_once_and_labelled_if_it_arrived(played: Path, story: dict[str, Any]) -> None:
    asked, arrived = 0, 0
    for month in PLAYED:
        rows = flights.serving_rows(month)
        sample = rows[:: len(rows) // ROWS]
        landed = flights.arrivals(month)
        asked += len(sample)
        arrived += sum(row[flights.KEY] in landed for row in sample)
    assert (story["summary"]["predictions"], story["summary"]["labels_joined"]) == (asked, arrived)
    with loopwright.open(played / "flights-year") as system:
        found = joined(system.workspace, "late-arrivals")
    assert len(found) == asked
    assert found["id"].n_unique() == asked


def test_each_event_is_told_once_and_in_order(story: dict[str, Any]) -> None:
    moves = [event for event in story["events"] if event["event"] == "ReleaseMoved"]
    told = Counter((event["at"], event["subject"], event["reason"]) for event in moves)
    assert set(told.values()) == {1}
    assert [event["at"] for event in moves] == sorted(event["at"] for event in moves)
    begun = [event["month"] for event in story["events"] if event["event"] == "MonthBegun"]
    assert begun == list(PLAYED)


def test_only_the_answers_of_the_mistake_are_counted_as_touched(played: Path, story: dict[str, Any]) -> None:
    mistake = next(event["version"] for event in story["events"] if event["event"] == "MistakeMade")
    with loopwright.open(played / "flights-year") as system:
        found = joined(system.workspace, "late-arrivals", versions=[mistake])
        release = next(one for one in system.stores.releases.list("late-arrivals") if one.challenger == mistake)
        route = system.stores.routes.current("late-arrivals")
    assert story["summary"]["touched_by_broken"] == len(found)
    assert release.status == "rolled back"
    assert route is not None
    assert route.champion != mistake
    assert release.ended_at is not None
    assert found.filter(found["at"] > release.ended_at).is_empty()


def test_an_answer_of_each_arm_leads_back_to_code_and_data(played: Path, story: dict[str, Any]) -> None:
    traced = {event["arm"]: event for event in story["events"] if event["event"] == "Traceable"}
    assert {"champion", "challenger, unheard", "mistake"} <= traced.keys()
    done = lw("why", traced["mistake"]["prediction"], "--json", cwd=played / "flights-year")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["prediction"]["version"] == traced["mistake"]["version"]
    assert "flights_km" in done.stdout


def test_the_story_is_told_to_people(played: Path) -> None:
    said = (played / "said.txt").read_text()
    for words in ("lw deploy flights.py", "December", "learns again", "TAKEN BACK", "kilometres", "gain a retrain"):
        assert words in said
