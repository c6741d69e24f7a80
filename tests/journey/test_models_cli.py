"""`lw models`, `promote`, `rollback`, `compare`, `why`, `bundle`: as users type them, within this process."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from tests.conftest import lw as in_a_process
from tests.unit.bundles import Works

import loopwright
from loopwright.cli import bundle as bundle_commands
from loopwright.cli import models as model_commands
from loopwright.cli import words
from loopwright.predictions.journal import FOLDER, Journal, Line
from loopwright.registry.promote import promote
from loopwright.testing import HandClock


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Lw = Callable[..., Done]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 1 and 2 of flights were accepted, 3 was rejected; 1 and then 2 were promoted."""
    folder = tmp_path_factory.mktemp("made")
    with loopwright.open(folder) as system:
        works = Works(system.stores, folder / ".made")
        works.version(slices={"AA": 0.6, "UA": 0.7})
        works.version(source="x = 2\n", parameters={"depth": 5}, slices={"AA": 0.65, "UA": 0.4}, value=0.75)
        works.version(accepted=False)
        for number in "12":
            promote(system.stores, "flights", number, system.cause("lw promote"))
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A copy of one's own."""
    return Path(shutil.copytree(made, tmp_path / "project"))


@pytest.fixture
def lw(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lw:
    monkeypatch.chdir(project)
    capsys.readouterr()

    def run(*line: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["lw", *line])
        with pytest.raises(SystemExit) as end:
            words.main()
        told = capsys.readouterr()
        return Done(int(end.value.code or 0), told.out, told.err)

    return run


def test_loops_are_listed_with_what_answers(lw: Lw) -> None:
    [header, row] = lw("models").out.splitlines()
    assert header.split()[:2] == ["LOOP", "CHAMPION"]
    assert row.split()[:2] == ["flights", "v2"]
    assert "v3 rejected" in row
    [told] = lw("models", "--json").json
    assert (told["loop"], told["champion"], told["newest"], told["versions"]) == ("flights", 2, 3, 3)
    assert told["route"]["arms"] == [{"name": "champion", "version": 2, "share": 1.0, "shadow": False}]


def test_versions_are_listed_newest_first_with_who_and_why(lw: Lw) -> None:
    lines = lw("models", "flights").out.splitlines()
    assert [line.split()[0] for line in lines] == ["VERSION", "v3", "v2", "v1"]
    for word in ("accepted", "r2", "0.7500", "champion", "tester", "1 of 1 gates passed", "2026-01-01"):
        assert word in lines[2]
    told = lw("models", "flights", "--json").json
    assert [(version["number"], version["status"]) for version in told] == [
        (3, "rejected"),
        (2, "accepted"),
        (1, "accepted"),
    ]


def test_an_empty_workspace_says_how_to_make_a_model(tmp_path: Path) -> None:
    loopwright.open(tmp_path).close()
    done = in_a_process("models", cwd=tmp_path)
    assert (done.returncode, "lw run" in done.stdout) == (0, True)
    assert json.loads(in_a_process("models", "--json", cwd=tmp_path).stdout) == []


def test_a_promotion_and_its_repetition_are_told(lw: Lw) -> None:
    done = lw("promote", "flights", "v1", "--because", "the old one was better")
    assert (done.code, done.out) == (0, "flights v1 is the champion now; before it was v2\n")
    again = lw("promote", "flights", "1")
    assert (again.code, again.out) == (0, "flights v1 is the champion already; nothing was changed\n")
    assert lw("promote", "flights", "champion", "--json").json["is_change"] is False
    assert lw("promote", "flights", "--json").json["version"] == 2
    assert "the old one was better" in lw("why", "flights:1").out


def test_a_version_whose_bundle_is_damaged_is_not_promoted(lw: Lw, project: Path) -> None:
    digest = lw("models", "flights", "--json").json[2]["files"]["model.onnx"]
    [blob] = [path for path in (project / ".loopwright").rglob(f"*{digest[2:]}*") if path.is_file()]
    blob.chmod(0o644)
    blob.write_bytes(b"zeros")
    done = lw("promote", "flights", "1")
    assert (done.code, done.out) == (1, "")
    assert lw("models", "--json").json[0]["champion"] == 2


def test_a_promotion_says_beside_whom_it_was_judged(lw: Lw, project: Path) -> None:
    with loopwright.open(project) as system:
        first = system.stores.versions.get("flights", "1")
        Works(system.stores, project / ".more", made=9).version(lineage={"champion": first.digest})
    assert "judged beside v1; the champion until now was v2" in lw("promote", "flights", "4").out


def test_a_rejected_version_needs_a_name_and_a_reason(lw: Lw) -> None:
    refused = lw("promote", "flights", "3")
    assert (refused.code, "0 of 1 gates passed" in refused.err) == (3, True)
    assert "--override --because" in refused.err
    assert lw("promote", "flights", "3", "--json").json["error"]["kind"] == "ModelError"
    assert lw("promote", "flights", "3", "--override").code == 2
    assert lw("promote", "flights", "3", "--override", "--because", "the gate is wrong").code == 0
    trail = lw("events", "--json").json
    assert trail[-1]["data"]["override"] is True
    assert trail[-1]["cause"]["reason"] == "the gate is wrong"


def test_rollbacks_go_back_until_there_is_no_more(lw: Lw) -> None:
    assert lw("rollback", "flights", "--json").json["version"] == 1
    ended = lw("rollback", "flights")
    assert ended.code == 2
    assert "nothing to roll flights back to" in ended.err
    assert "to do:" in ended.err


def test_versions_are_compared(lw: Lw) -> None:
    told = lw("compare", "flights", "1", "champion").out
    for word in ("depth", "PARAMETER", "-x = 1", "+x = 2", "[0.7400, 0.7600]", "carrier=UA", "-0.3000"):
        assert word in told
    assert "environment: no difference" in told
    as_json = lw("compare", "flights", "1", "2", "--json").json
    assert as_json["parameters"] == [{"name": "depth", "first": 3, "second": 5}]
    assert (as_json["first"]["number"], as_json["second"]["status"]) == (1, "accepted")


def test_why_leads_from_a_version_to_what_made_it(lw: Lw) -> None:
    told = lw("why", "flights:3").out
    for word in ("version flights v3: rejected", 'at_least("r2", 0.7): failed', "run run-3", "train: ran", "depth=3"):
        assert word in told
    as_json = lw("why", "flights:champion", "--json").json
    assert (as_json["prediction"], as_json["version"]["number"]) == (None, 2)
    assert as_json["verdict"]["gates"][0]["outcome"] == "passed"
    assert [step["step"] for step in as_json["run"]["steps"]] == ["train", "judge"]
    assert lw("why", as_json["version"]["digest"][:10], "--json").json == as_json


def test_why_leads_from_a_prediction_to_its_version(lw: Lw, project: Path) -> None:
    digest = lw("models", "flights", "--json").json[1]["digest"]
    clock = HandClock()
    journal = Journal(project / ".loopwright" / FOLDER, clock)
    name = f"{journal.new_id()}.0"
    line = Line(
        id=name, at=clock.now() + timedelta(seconds=1), loop="flights", version=2, digest=digest, arm="champion",
        row={"x": 3.0}, value=6.0,
    )  # fmt: skip
    journal.append("flights", [line])
    journal.close()
    told = lw("why", name).out
    for word in (name, '{"x": 3.0}', "6.0", "champion, flights v2", "version flights v2 (champion)", "run run-2"):
        assert word in told
    assert lw("why", name, "--json").json["prediction"]["row"] == {"x": 3.0}
    unknown = lw("why", "01KE7Z3W1C9N7V0QWJ4S8YH2TX.0")
    assert (unknown.code, "no prediction" in unknown.err) == (2, True)


def test_a_bundle_is_shown_verified_exported_and_imported(lw: Lw, project: Path, tmp_path_factory: Any) -> None:
    assert "model.onnx" in lw("bundle", "show", "flights:champion").out
    assert lw("bundle", "show", "flights:1", "--json").json["name"] == "flights"
    assert lw("bundle", "export", "flights:champion", "flights.zip").code == 0
    assert "there already" in lw("bundle", "export", "flights:champion", "flights.zip").err
    for what in ("flights.zip", ".made/bundle-2", "flights:2"):
        done = lw("bundle", "verify", what)
        assert (done.code, done.out.startswith("whole:")) == (0, True), done.err
    assert "here already, as flights v2" in lw("bundle", "import", "flights.zip").out
    other = str(tmp_path_factory.mktemp("other"))
    assert "imported as flights v1, accepted" in lw("bundle", "import", "flights.zip", "--project", other).out
    assert lw("bundle", "import", "flights.zip", "--project", other, "--json").json["is_new"] is False
    assert "run run-2: succeeded" in lw("why", "flights:1", "--project", other).out
    unnamed = lw("promote", "flights", "--project", other)
    assert (unnamed.code, "lw promote flights 1" in unnamed.err) == (2, True)
    assert lw("promote", "flights", "1", "--project", other).code == 0


def test_a_damaged_bundle_is_told_and_nothing_is_printed_as_whole(lw: Lw, project: Path) -> None:
    model = project / ".made" / "bundle-1" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    done = lw("bundle", "verify", ".made/bundle-1")
    assert (done.code, done.out) == (1, "")
    assert "model.onnx" in done.err


WRONG = [
    (["models", "flihgts"], "did you mean 'flights'?"),
    (["promote", "flihgts"], "did you mean 'flights'?"),
    (["promote", "flights", "9"], "v1 to v3"),
    (["promote", "flights", "champoin"], "did you mean 'champion'?"),
    (["promote"], "LOOP"),
    (["rollback", "trains"], "no loop is called 'trains'"),
    (["compare", "flights", "1", "newst"], "did you mean 'newest'?"),
    (["why", "flights"], "flights:champion"),
    (["why", "nothing"], "LOOP:VERSION"),
    (["why", "x.0"], "no prediction 'x.0'"),
    (["bundle", "show", "nothing.zip"], "LOOP:VERSION"),
    (["bundle", "shwo", "x"], "did you mean 'show'?"),
    (["bundle", "import", "nothing.zip"], "nothing.zip"),
    (["bundle", "export", "flights:1", "none/flights.zip"], "none"),
    (["promte", "flights"], "did you mean 'promote'?"),
]


@pytest.mark.parametrize(("line", "told"), WRONG, ids=[" ".join(line) for line, _ in WRONG])
def test_wrong_use_is_told_in_a_line_with_what_to_do(lw: Lw, line: list[str], told: str) -> None:
    done = lw(*line)
    assert done.code == 2
    assert told in done.err
    assert "to do:" in done.err
    assert "error" in lw(*line, "--json").json


def commands() -> Iterator[tuple[list[str], click.Command]]:
    for module in (model_commands, bundle_commands):
        for found in vars(module).values():
            if isinstance(found, click.Group):
                yield [str(found.name)], found
                yield from (([str(found.name), name], command) for name, command in found.commands.items())
            elif isinstance(found, click.Command) and words.root.commands.get(str(found.name)) is found:
                yield [str(found.name)], found


EVERY = list(commands())


@pytest.mark.parametrize(("line", "command"), EVERY, ids=[" ".join(line) for line, _ in EVERY])
def test_every_help_ends_with_an_example_that_works(lw: Lw, line: list[str], command: click.Command) -> None:
    if line == ["bundle", "import"]:
        lw("bundle", "export", "flights:newest", "flights.zip")
    example = lw(*line, "--help").out.rstrip().splitlines()[-1].strip()
    assert example.startswith(f"lw {' '.join(line)}")
    done = lw(*shlex.split(example)[1:])
    assert done.code == 0, done.err
