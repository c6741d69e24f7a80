"""Versions: registered, promoted, rolled back, fetched, compared, explained, carried elsewhere. In memory."""

from __future__ import annotations

import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.bundles import Works, a_bundle, a_verdict, an_evaluation

from loopwright.core.stores import Stores
from loopwright.core.version import PROMOTED, ROLLED_BACK, Arm, Route, Version, VersionStatus, position
from loopwright.errors import (
    ArtifactCorrupted,
    BundleRefused,
    Conflict,
    DataError,
    LoopwrightError,
    ModelError,
    UsageError,
    VersionNotFound,
)
from loopwright.registry import names
from loopwright.registry.archive import export_bundle, import_bundle
from loopwright.registry.compare import Change, changes, code_diff, compare, slice_pairs
from loopwright.registry.evidence import sources
from loopwright.registry.fetch import fetch
from loopwright.registry.promote import promote, rollback, rollback_target
from loopwright.registry.register import register
from loopwright.registry.why import explain, render
from loopwright.store import gc
from loopwright.store.blobs import LocalBlobs
from loopwright.testing import memory_stores
from loopwright.testing.clock import START
from loopwright.testing.conformance import a_route, a_version, at, cause, refusal
from loopwright.transform import bundle


@pytest.fixture
def stores() -> Stores:
    return memory_stores()


@pytest.fixture
def works(stores: Stores, tmp_path: Path) -> Works:
    return Works(stores, tmp_path / "made")


def champion(stores: Stores) -> int | None:
    """By the route; alias and route must agree."""
    route = stores.routes.current("flights")
    found = route.champion if route else None
    assert found is None or stores.versions.get("flights", "champion").number == found
    return found


def test_a_route_whose_shares_do_not_sum_to_one_cannot_be_made() -> None:
    a_route(("champion", 1, 0.9), ("challenger", 2, 0.1))
    a_route(*((f"arm-{number}", 1, 0.1) for number in range(10)))
    for arms in ([], [("champion", 1, 0.9)], [("champion", 1, 1.1), ("challenger", 2, -0.1)]):
        assert "sum to 1" in refusal(UsageError, a_route, *arms)
    assert "one name" in refusal(UsageError, a_route, ("champion", 1, 0.5), ("champion", 2, 0.5))


def test_units_are_spread_by_the_shares_and_each_stays_where_it_is() -> None:
    units = [f"unit-{number}" for number in range(20_000)]
    met: list[set[str]] = []
    for share in (0.01, 0.05, 0.5):
        route = a_route(("champion", 1, 1 - share), ("challenger", 2, share))
        met.append({unit for unit in units if route.choose(unit).version == 2})
        assert len(met[-1]) / len(units) == pytest.approx(share, rel=0.2)
        assert {unit for unit in units if route.choose(unit).version == 2} == met[-1]
    assert met[0] < met[1] < met[2]
    other = a_route(("champion", 1, 0.5), ("challenger", 2, 0.5), loop="trains")
    assert 0.4 < len({unit for unit in met[2] if other.choose(unit).version == 2}) / len(met[2]) < 0.6


def test_an_arm_without_a_share_never_answers_and_a_single_one_always() -> None:
    shadow = a_route(("shadow", 2, 0.0), ("champion", 1, 1.0))
    alone = a_route(("champion", 1, 1.0))
    short = Route(loop="flights", arms=tuple(Arm(name=n, version=1, share=1 / 3) for n in "abc"), at=START, actor="me")
    for number in range(2000):
        assert shadow.choose(f"{number}").name == alone.choose(f"{number}").name == "champion"
        assert 0 <= position("flights", f"{number}") < 1
        short.choose(f"{number}")


def route(number: int, version: int, kind: str = PROMOTED, *more: tuple[str, int, float]) -> Route:
    rest = 1 - sum(arm[2] for arm in more)
    return replace(a_route(("champion", version, rest), *more), number=number, kind=kind)


STORIES: list[tuple[str, list[tuple[int, str]], int | None]] = [
    ("the first champion", [(1, PROMOTED)], None),
    ("a second one", [(1, PROMOTED), (2, PROMOTED)], 1),
    ("taken back", [(1, PROMOTED), (2, PROMOTED), (1, ROLLED_BACK)], None),
    ("further back", [(1, PROMOTED), (2, PROMOTED), (3, PROMOTED), (2, ROLLED_BACK)], 1),
    ("all the way", [(1, PROMOTED), (2, PROMOTED), (3, PROMOTED), (2, ROLLED_BACK), (1, ROLLED_BACK)], None),
    ("promoted after a rollback", [(1, PROMOTED), (2, PROMOTED), (1, ROLLED_BACK), (3, PROMOTED)], 1),
    ("promoted again on purpose", [(1, PROMOTED), (2, PROMOTED), (1, PROMOTED)], 2),
    ("the same champion through stages", [(1, PROMOTED), (2, PROMOTED), (2, "RampWidened")], 1),
]


@pytest.mark.parametrize(("told", "story", "target"), STORIES, ids=[told for told, _, _ in STORIES])
def test_a_rollback_goes_to_the_champion_before_and_never_forward(
    told: str, story: list[tuple[int, str]], target: int | None
) -> None:
    history = [route(number, version, kind) for number, (version, kind) in enumerate(story, 1)][::-1]
    assert rollback_target(history) == target


def test_a_rollback_beside_a_challenger_goes_to_the_champion_alone() -> None:
    history = [route(2, 1, "CanaryStarted", ("challenger", 2, 0.1)), route(1, 1)]
    assert rollback_target(history) == 1
    assert rollback_target([route(3, 1, ROLLED_BACK), *history]) is None


def test_a_registered_version_says_what_its_bundle_says(works: Works, stores: Stores) -> None:
    version = works.version()
    assert (version.name, version.status, version.task) == ("flights v1", VersionStatus.ACCEPTED, "regression")
    assert version.files.keys() == {"manifest.json", "model.onnx", "schema.json", "evaluation.json", "verdict.json"}
    manifest = bundle.verify(works.folder / "bundle-1")
    assert (version.digest, dict(version.lineage)) == (manifest.digest, dict(manifest.lineage))
    for name, digest in version.files.items():
        assert stores.blobs.read(digest) == (works.folder / "bundle-1" / name).read_bytes()
        assert stores.artifacts.get(digest).kind == "bundle"


def test_the_same_bundle_of_another_run_is_the_same_version(works: Works, stores: Stores, tmp_path: Path) -> None:
    first = works.version()
    again = a_bundle(
        tmp_path / "again", 1.0, verdict=a_verdict(), evaluation=an_evaluation(),
        lineage=dict(first.lineage) | {"run": "run-99"},
    )  # fmt: skip
    assert again.digest == first.digest
    facts: dict[str, Any] = {"run_id": "run-99", "metric": "r2", "value": 0.71, "reason": ""}
    same = register(stores, tmp_path / "again", again, cause(), status=VersionStatus.ACCEPTED, **facts)
    assert same == first
    assert len(stores.versions.list()) == 1


def test_a_file_changed_after_sealing_is_not_registered(stores: Stores, tmp_path: Path) -> None:
    manifest = a_bundle(tmp_path / "made")
    (tmp_path / "made" / "schema.json").write_text("{}")
    facts: dict[str, Any] = {"run_id": "r", "metric": "r2", "value": None, "reason": ""}
    call = (stores, tmp_path / "made", manifest, cause())
    assert "schema.json" in refusal(BundleRefused, register, *call, status=VersionStatus.ACCEPTED, **facts)
    assert stores.versions.list() == []


def test_what_a_version_needs_survives_every_collection(works: Works, stores: Stores) -> None:
    version = works.version()
    gc.collect(stores, cause(10**9), grace=timedelta(0), older_than=timedelta(0))
    for digest in version.files.values():
        stores.blobs.read(digest)


def test_the_first_promotion_takes_the_newest_accepted_version(works: Works, stores: Stores) -> None:
    for accepted in (True, True, False):
        works.version(accepted=accepted)
    done = promote(stores, "flights", None, cause(5, "lw promote"))
    assert (done.version.number, done.previous, done.is_change, champion(stores)) == (2, None, True, 2)
    assert done.version.aliases == ("champion",)
    current = stores.routes.current("flights")
    assert current
    assert current.arms == (Arm(name="champion", version=2, share=1.0),)
    assert (current.actor, current.at, current.reason) == ("tester", at(5), "lw promote")


def test_a_promotion_of_the_champion_changes_nothing(works: Works, stores: Stores) -> None:
    works.version()
    promote(stores, "flights", "1", cause())
    before = stores.events.list()
    done = promote(stores, "flights", "newest", cause(1))
    assert (done.is_change, done.version.number) == (False, 1)
    assert stores.events.list() == before


def test_a_promoted_challenger_answers_alone_and_its_alias_ends(works: Works, stores: Stores) -> None:
    for _ in range(2):
        works.version()
    promote(stores, "flights", "1", cause())
    both = a_route(("champion", 1, 0.9), ("challenger", 2, 0.1))
    stores.routes.change(both, {"challenger": 2}, cause(), 1, "CanaryStarted")
    assert promote(stores, "flights", "challenger", cause()).is_change
    assert [version.aliases for version in stores.versions.list("flights")] == [("champion",), ()]


def test_a_rejected_version_is_promoted_only_over_a_name_and_a_reason(works: Works, stores: Stores) -> None:
    works.version(accepted=False)
    assert "0 of 1 gates passed" in refusal(ModelError, promote, stores, "flights", "1", cause())
    for because in ("", "  "):
        told = refusal(UsageError, promote, stores, "flights", "1", cause(), override=True, because=because)
        assert "--because" in told
    assert champion(stores) is None
    promote(stores, "flights", "1", cause(3, "lw promote"), override=True, because="the gate was wrong")
    event = stores.events.list(subject="loop:flights")[-1]
    assert (event.cause.reason, event.cause.actor) == ("the gate was wrong", "tester")
    assert (event.data["override"], event.data["verdict"]) == (True, "0 of 1 gates passed")
    assert "override" not in stores.events.list()[0].data


def test_an_override_of_an_accepted_version_is_none(works: Works, stores: Stores) -> None:
    works.version()
    promote(stores, "flights", "1", cause(), override=True)
    assert "override" not in stores.events.list()[-1].data


def test_nothing_becomes_the_champion_that_no_gateway_could_load(works: Works, stores: Stores) -> None:
    version = works.version()
    kept = stores.blobs.read(version.files["model.onnx"])
    stores.blobs.overwrite(version.files["model.onnx"], b"zeros")  # type: ignore[attr-defined]
    refusal(ArtifactCorrupted, promote, stores, "flights", "1", cause())
    assert stores.routes.current("flights") is None
    stores.blobs.overwrite(version.files["model.onnx"], kept)  # type: ignore[attr-defined]
    assert promote(stores, "flights", "1", cause()).is_change


def test_an_imported_version_is_promoted_by_its_name_alone(works: Works, tmp_path: Path) -> None:
    _, archive = exported(works, tmp_path)
    there = memory_stores()
    import_bundle(there, archive, tmp_path / "scratch", cause())
    assert "lw promote flights 1" in refusal(UsageError, promote, there, "flights", None, cause())
    assert champion(there) is None
    assert promote(there, "flights", "1", cause()).is_change
    own = Works(there, tmp_path / "own", made=5).version()
    assert promote(there, "flights", None, cause()).version == replace(own, aliases=("champion",))


def test_a_promotion_says_when_it_was_judged_beside_another_champion(works: Works, stores: Stores) -> None:
    first = works.version(lineage={"champion": None})
    second = works.version(lineage={"champion": first.digest})
    works.version(lineage={"champion": first.digest})
    works.version(lineage={"champion": None})
    works.version(lineage={"champion": "ab" * 32})
    works.version()
    told = [promote(stores, "flights", f"{number}", cause()).note for number in range(1, 7)]
    assert told == [
        "",
        "",
        "judged beside v1; the champion until now was v2",
        "judged beside no champion; the champion until now was v3",
        "judged beside a version that is not known here, abababababab; the champion until now was v4",
        "",
    ]
    assert second.number == 2


def test_a_loop_with_rejected_versions_alone_has_none_to_promote(works: Works, stores: Stores) -> None:
    works.version(accepted=False)
    assert "lw why flights:1" in refusal(VersionNotFound, promote, stores, "flights", None, cause())
    assert "did you mean 'flights'?" in refusal(VersionNotFound, promote, stores, "flihgts", None, cause())


class Meeting:
    """Routes that are looked at by two before either changes them."""

    def __init__(self, stores: Stores) -> None:
        self._routes, self._together = stores.routes, threading.Barrier(2)

    def current(self, loop: str) -> Route | None:
        found = self._routes.current(loop)
        self._together.wait(5)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._routes, name)


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(works: Works, stores: Stores) -> None:
    for _ in range(2):
        works.version()
    meeting, ended = replace(stores, routes=Meeting(stores)), dict[str, object]()

    def go(name: str) -> None:
        try:
            ended[name] = promote(meeting, "flights", name, cause()).version.number
        except LoopwrightError as error:
            ended[name] = error

    threads = [threading.Thread(target=go, args=(name,)) for name in "12"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [lost] = [name for name, end in ended.items() if isinstance(end, Conflict)]
    won = "12".replace(lost, "")
    assert ended[won] == champion(stores) == int(won)
    assert "lw models flights" in str(ended[lost])
    assert len(stores.routes.history("flights")) == 1


def test_rollbacks_go_further_back_each_time_and_then_say_that_there_is_no_more(works: Works, stores: Stores) -> None:
    for name in "123":
        works.version()
        promote(stores, "flights", name, cause())
    done = rollback(stores, "flights", cause(9, "lw rollback"), because="false alarms")
    assert (done.version.number, done.previous, champion(stores)) == (2, 3, 2)
    event = stores.events.list()[-1]
    assert (event.kind, event.cause.reason) == (ROLLED_BACK, "false alarms")
    assert rollback(stores, "flights", cause()).version.number == champion(stores) == 1
    assert "before v1" in refusal(UsageError, rollback, stores, "flights", cause())
    assert champion(stores) == 1
    promote(stores, "flights", "3", cause())
    assert rollback(stores, "flights", cause()).version.number == 1  # 2 was taken back


def test_a_rollback_where_nothing_was_promoted_is_told(works: Works, stores: Stores) -> None:
    assert "no loop has a model" in refusal(VersionNotFound, rollback, stores, "flights", cause())
    works.version()
    assert "no champion yet" in refusal(VersionNotFound, rollback, stores, "flights", cause())


def test_a_fetched_bundle_is_whole_and_used_again(works: Works, stores: Stores, tmp_path: Path) -> None:
    version = works.version()
    folder = fetch(stores, version, tmp_path / "bundles")
    assert folder == tmp_path / "bundles" / version.digest
    assert bundle.verify(folder).digest == version.digest
    touched = (folder / "model.onnx").stat()
    assert fetch(stores, version, tmp_path / "bundles") == folder
    assert (folder / "model.onnx").stat() == touched
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == [version.digest]


def test_a_damaged_local_bundle_is_fetched_again(works: Works, stores: Stores, tmp_path: Path) -> None:
    version = works.version()
    folder = fetch(stores, version, tmp_path)
    for damage in (lambda: (folder / "model.onnx").write_bytes(b""), lambda: (folder / "schema.json").unlink()):
        damage()
        fetch(stores, version, tmp_path)
        assert bundle.verify(folder).digest == version.digest


def test_damaged_content_leaves_no_folder(works: Works, stores: Stores, tmp_path: Path) -> None:
    version = works.version()
    stores.blobs.overwrite(version.files["model.onnx"], b"zeros")  # type: ignore[attr-defined]
    refusal(ArtifactCorrupted, fetch, stores, version, tmp_path / "bundles")
    assert list((tmp_path / "bundles").iterdir()) == []


def test_a_row_that_names_other_files_than_its_digest_is_refused(works: Works, stores: Stores, tmp_path: Path) -> None:
    one, two = works.version(), works.version()
    mixed = replace(one, files=two.files)
    assert two.digest in refusal(BundleRefused, fetch, stores, mixed, tmp_path / "bundles")
    assert list((tmp_path / "bundles").iterdir()) == []


def test_several_who_fetch_at_once_get_one_whole_folder(works: Works, stores: Stores, tmp_path: Path) -> None:
    version, found = works.version(), list[Path]()
    together = threading.Barrier(8)

    def go() -> None:
        together.wait(5)
        found.append(fetch(stores, version, tmp_path / "bundles"))

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tmp_path / "bundles" / version.digest] * 8
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == [version.digest]


def test_versions_are_named_by_loop_and_number_or_by_digest(works: Works, stores: Stores) -> None:
    one, trains = works.version(), works.version(loop="trains")
    assert names.find(stores, "flights:1") == names.find(stores, one.digest[:8]) == one
    assert names.find(stores, "trains:newest") == trains
    for name, told in (
        ("flights", "flights:champion"),
        ("flihgts", "did you mean 'flights'?"),
        ("flights:9", "no version '9'"),
        (one.digest[:5], "six digits"),
        ("", "six digits"),
    ):
        assert told in refusal(VersionNotFound, names.find, stores, name)


def test_two_versions_are_compared_by_what_went_in_and_what_came_out(works: Works, stores: Stores) -> None:
    works.version(slices={"AA": 0.6, "UA": 0.7, "B6": 0.8})
    works.version(
        source="x = 1\ny = 2\n", packages={"numpy": "2.3.0", "polars": "2.0"}, parameters={"depth": 5},
        data={"table": "flights", "version": 4}, value=0.75, slices={"AA": 0.65, "UA": 0.4, "DL": 0.9},
    )  # fmt: skip
    first, second = (stores.versions.get("flights", name) for name in "12")
    found = compare(stores, first, second)
    assert found.parameters == (Change(name="depth", first=3, second=5),)
    assert found.data == (Change(name="version", first=3, second=4),)
    assert [(c.name, c.first, c.second) for c in found.environment] == [
        ("numpy", "2.2.0", "2.3.0"), ("polars", None, "2.0"),
    ]  # fmt: skip
    assert "+y = 2" in found.code
    assert "+++ second/flights.py" in found.code
    [pair] = found.metrics
    assert pair.first
    assert pair.second
    assert (pair.first.value, pair.second.value, pair.second.high) == (0.71, 0.75, 0.76)
    assert [(one.slice, round(one.difference, 2)) for one in found.slices] == [
        ("carrier=UA", -0.3),
        ("carrier=AA", 0.05),
    ]
    assert found.is_same_rows is False


def test_a_version_compared_with_itself_differs_in_nothing(works: Works, stores: Stores) -> None:
    version = works.version(slices={"AA": 0.6})
    found = compare(stores, version, version)
    assert (found.parameters, found.data, found.environment, found.code) == ((), (), (), "")
    assert found.is_code_known
    assert found.is_same_rows


def test_a_comparison_says_when_the_code_is_gone(works: Works, stores: Stores) -> None:
    versions = [works.version(), works.version(source="x = 2\n")]
    stores.blobs.delete([str(versions[0].lineage["code"])])
    assert not compare(stores, *versions).is_code_known


def test_changes_of_code_are_told_file_by_file() -> None:
    assert code_diff({"a.py": "x\n"}, {"a.py": "x\n"}) == ""
    told = code_diff({"gone.py": "x = 1\n", "data": None}, {"new.py": "y = 1\n", "data": "text"})
    assert "--- first/gone.py\n+++ /dev/null" in told
    assert "--- /dev/null\n+++ second/new.py" in told
    assert "data: no text" in told


def test_values_that_differ_are_told_by_dotted_names() -> None:
    found = changes({"a": {"b": 1, "c": None}, "d": {}}, {"a": {"b": 1.0, "c": None}, "d": {"e": []}})
    assert [change.name for change in found] == ["d", "d.e"]


def test_slices_without_a_value_in_both_are_left_out() -> None:
    one, two = an_evaluation(slices={"AA": 0.5, "UA": 0.6}), an_evaluation(slices={"AA": 0.5})
    assert [pair.slice for pair in slice_pairs(one, two, "r2")] == ["carrier=AA"]
    assert slice_pairs(one, two, "mae") == slice_pairs(one, None, "r2") == ()


def test_a_snapshot_that_is_no_zip_or_holds_a_giant_is_told_or_left_out(tmp_path: Path) -> None:
    refusal(DataError, sources, b"PK no zip")
    with zipfile.ZipFile(tmp_path / "code.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.py", b"x" * (5 << 20))
        archive.writestr("small.py", "x")
        archive.writestr("binary", b"\xff\xfe")
    assert sources((tmp_path / "code.zip").read_bytes()) == {"big.py": None, "small.py": "x", "binary": None}


def test_why_tells_everything_from_the_verdict_to_the_data(works: Works, stores: Stores) -> None:
    version = works.version()
    promote(stores, "flights", "1", cause(7, "looks good"))
    trail = explain(stores, stores.versions.get("flights", "1"))
    told = render(trail)
    assert told.splitlines()[0] == "version flights v1 (champion): accepted, r2 0.7100"
    for line in (
        'at_least("r2", 0.7): passed, 0.7100 [0.7000, 0.7200] against 0.7000',
        "r2 is 0.71 on 900 rows",
        f"bundle {version.digest}",
        f"model.onnx {version.files['model.onnx'][:12]}",
        "run run-1: succeeded, pipeline flights (/work/flights.py)",
        "train: ran",
        f"code {version.lineage['code']}",
        "git commit c0ffee",
        f"environment {version.lineage['environment']} (Python 3.11.2",
        "version: 3",
        "seed 7",
        "depth=3",
        "VersionPromoted by tester, because looks good",
    ):
        assert line in told
    assert [event.kind for event in trail.changes] == ["VersionRegistered"]


def judged_by_another(works: Works) -> Version:
    """Made by run-1 with one code, judged and registered by run-2 with another."""
    made = works.version(source="x = 1\n")
    return works.version(source="x = 2\n", lineage=dict(made.lineage))


def test_why_tells_the_run_that_made_a_model_from_the_one_that_judged_it(works: Works, stores: Stores) -> None:
    version = judged_by_another(works)
    trail = explain(stores, version)
    told = render(trail)
    assert trail.run
    assert trail.maker
    assert (trail.maker.id, trail.run.id, trail.code) == ("run-1", "run-2", trail.maker.code)
    assert trail.run.code != trail.code
    assert "made by run run-1: succeeded" in told
    assert f"judged by run run-2 (code {str(trail.run.code)[:12]}): succeeded" in told
    assert "judged by" not in render(explain(stores, stores.versions.get("flights", "1")))


def test_a_comparison_tells_the_code_of_the_runs_that_judged_where_the_makers_had_the_same(
    works: Works, stores: Stores
) -> None:
    second = judged_by_another(works)
    first = stores.versions.get("flights", "1")
    found = compare(stores, first, second)
    assert (found.code, found.is_code_known) == ("", True)
    assert "+x = 2" in found.judging_code
    third = works.version(source="x = 3\n")
    found = compare(stores, first, third)
    assert ("+x = 3" in found.code, found.judging_code) == (True, "")


def test_an_exported_version_keeps_both_its_runs(works: Works, tmp_path: Path) -> None:
    version = judged_by_another(works)
    archive = export_bundle(works.stores, version, tmp_path / "flights.zip", tmp_path / "scratch")
    there = memory_stores()
    found = import_bundle(there, archive, tmp_path / "scratch", cause()).version
    here, over = explain(works.stores, version), explain(there, found)
    assert (over.maker, over.run, over.code, found.run_id) == (here.maker, here.run, here.code, "run-2")
    assert "judged by run run-2" in render(over)


def test_what_comes_along_and_no_digest_proves_is_not_kept(works: Works, tmp_path: Path) -> None:
    _, archive = exported(works, tmp_path, lineage={"git_diff": None, "code": None})
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr("lineage/diff.txt", "+ a lie")
    there = memory_stores()
    found = import_bundle(there, archive, tmp_path / "scratch", cause()).version
    assert [name for name in found.files if name.startswith("lineage/")] == [
        "lineage/environment.json",
        "lineage/run.json",
    ]


def test_what_would_steer_a_terminal_is_written_out(works: Works, stores: Stores) -> None:
    version = works.version(data={"table": "\x1b[31mred\x1b]0;title\x07 \u202e\x9b"})
    told = render(explain(stores, version))
    assert "table: \\x1b[31mred\\x1b]0;title\\x07 \\u202e\\x9b" in told
    assert all(one.isprintable() or one == "\n" for one in told)


def test_why_says_what_is_not_known_any_more(stores: Stores) -> None:
    version = stores.versions.add(replace(a_version(), lineage={}), [], cause())
    told = render(explain(stores, version))
    for line in ("the gates are not known here", "run first: not known here", "code not known here", "data: not known"):
        assert line in told


def exported(works: Works, tmp_path: Path, **options: Any) -> tuple[Version, Path]:
    version = works.version(**options)
    return version, export_bundle(works.stores, version, tmp_path / "flights.zip", tmp_path / "scratch")


def test_an_exported_version_is_imported_with_all_that_stands_behind_it(works: Works, tmp_path: Path) -> None:
    version, archive = exported(works, tmp_path)
    works.stores.versions.annotate("flights", 1, cause(), notes="mind the winter", tags={"team": "ops"})
    export_bundle(works.stores, works.stores.versions.get("flights", "1"), archive, tmp_path / "scratch")
    there = memory_stores()
    done = import_bundle(there, archive, tmp_path / "scratch", cause(50, "lw bundle import"))
    assert done.is_new
    found = done.version
    assert (found.digest, found.status, found.metric, found.value) == (version.digest, version.status, "r2", 0.71)
    assert (found.notes, dict(found.tags)) == ("mind the winter", {"team": "ops"})
    assert (found.created_at, dict(found.lineage)) == (at(50), dict(version.lineage))
    assert [event.kind for event in there.events.list()] == ["BundleImported"]
    here, over = explain(works.stores, version), explain(there, found)
    assert (over.run, over.code, over.environment, over.verdict) == (
        here.run,
        here.code,
        here.environment,
        here.verdict,
    )
    assert over.git_diff == here.git_diff
    assert compare(there, found, found).is_code_known
    assert bundle.verify(fetch(there, found, tmp_path / "there")).digest == version.digest
    assert gc.plan(there, at(10**9), grace=timedelta(0), older_than=timedelta(0)).size_bytes == 0
    assert list((tmp_path / "scratch").iterdir()) == []


def test_an_imported_version_can_be_carried_on(works: Works, tmp_path: Path) -> None:
    _, archive = exported(works, tmp_path)
    second, third = memory_stores(), memory_stores()
    found = import_bundle(second, archive, tmp_path / "scratch", cause()).version
    again = export_bundle(second, found, tmp_path / "again.zip", tmp_path / "scratch")
    carried = import_bundle(third, again, tmp_path / "scratch", cause()).version
    assert explain(third, carried).run == explain(second, found).run


def test_a_bundle_that_is_here_already_is_not_imported_twice(works: Works, tmp_path: Path) -> None:
    version, archive = exported(works, tmp_path)
    done = import_bundle(works.stores, archive, tmp_path / "scratch", cause())
    assert (done.version, done.is_new) == (version, False)


def test_whoever_exported_cannot_say_that_a_rejected_version_was_accepted(works: Works, tmp_path: Path) -> None:
    _, archive = exported(works, tmp_path, accepted=False)
    forged = rewritten(archive, tmp_path, "lineage/run.json", lambda text: text.replace(b'"rejected"', b'"accepted"'))
    there = memory_stores()
    assert import_bundle(there, forged, tmp_path / "scratch", cause()).version.status is VersionStatus.REJECTED
    refusal(ModelError, promote, there, "flights", "1", cause())


def test_a_verdict_that_contradicts_its_gates_is_not_believed(stores: Stores, tmp_path: Path) -> None:
    for name, lie in (
        ("one", replace(a_verdict(accepted=False), accepted=True)),
        ("two", replace(a_verdict(), accepted=False)),
        ("three", replace(a_verdict(), accepted="yes")),  # type: ignore[arg-type]
    ):
        a_bundle(tmp_path / name, verdict=lie)
        bundle.pack(tmp_path / name, tmp_path / "lie.zip")
        told = refusal(DataError, import_bundle, stores, tmp_path / "lie.zip", tmp_path / "scratch", cause())
        assert "contradicts itself" in told
    assert stores.versions.list() == []


def test_a_bundle_without_a_verdict_counts_as_rejected(tmp_path: Path, stores: Stores) -> None:
    a_bundle(tmp_path / "made")
    bundle.pack(tmp_path / "made", tmp_path / "plain.zip")
    done = import_bundle(stores, tmp_path / "plain.zip", tmp_path / "scratch", cause())
    assert (done.version.status, done.version.value) == (VersionStatus.REJECTED, None)
    assert "never judged" in done.version.reason
    assert "run-1" in render(explain(stores, done.version))


def rewritten(archive: Path, folder: Path, member: str, change: Any) -> Path:
    """The archive with one member changed."""
    target = folder / "forged.zip"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            new.writestr(info, change(content) if info.filename == member else content)
    return target


FORGERIES: list[tuple[str, Any]] = [
    ("lineage/code.zip", lambda content: content + b"\0"),
    ("lineage/diff.txt", lambda content: content + b"+ another"),
    ("lineage/run.json", lambda content: content.replace(b'"id": "run-1"', b'"id": "run-9"')),
    ("lineage/environment.json", lambda content: content.replace(b"2.2.0", b"2.2.1")),
    ("lineage/run.json", lambda content: content.replace(b'"digest": "', b'"digest": "0')),
    ("lineage/run.json", lambda content: b"[" * 100_000),
    ("lineage/run.json", lambda content: b'{"run": null}'),
    ("lineage/run.json", lambda content: b'{"run": {"steps": [{}]}, "version": {}}'),
    ("lineage/run.json", lambda content: content.replace(b'"notes": "', b'"notes": "\\u0000')),
    ("lineage/run.json", lambda content: content.replace(b'"notes": "', b'"notes": "\\ud800')),
    ("verdict.json", lambda content: content.replace(b"accepted", b"acceptex")),
    ("model.onnx", lambda content: content[:-1]),
    ("manifest.json", lambda content: content.replace(b"flights", b"trains")),
]


@pytest.mark.parametrize("number", range(len(FORGERIES)))
def test_a_forged_archive_is_refused_and_leaves_nothing(works: Works, tmp_path: Path, number: int) -> None:
    _, archive = exported(works, tmp_path)
    member, change = FORGERIES[number]
    there = memory_stores()
    forged = rewritten(archive, tmp_path, member, change)
    with pytest.raises(LoopwrightError) as raised:
        import_bundle(there, forged, tmp_path / "scratch", cause())
    assert raised.value.fix
    assert there.versions.list() == []
    assert list(there.blobs.list()) == []
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_bundle_that_names_files_of_this_machine_as_its_code_reads_none_of_them(
    tmp_path: Path, stores: Stores
) -> None:
    outside = tmp_path / "secret"
    outside.write_text("x = 1")
    a_bundle(tmp_path / "made", lineage={"code": f"ab/{outside}", "environment": ["x"], "data": "none"})
    bundle.pack(tmp_path / "made", tmp_path / "plain.zip")
    local = replace(stores, blobs=LocalBlobs(tmp_path / "blobs"))
    version = import_bundle(local, tmp_path / "plain.zip", tmp_path / "scratch", cause()).version
    assert explain(local, version).code is None
    assert not compare(local, version, version).is_code_known


def test_the_registry_works_where_nothing_heavy_is_installed() -> None:
    code = (
        "import sys\n"
        "for name in ('polars', 'pyarrow', 'deltalake', 'onnx', 'sklearn', 'skl2onnx'): sys.modules[name] = None\n"
        "from loopwright.registry import archive, compare, evidence, fetch, names, promote, register, why\n"
        "import loopwright.cli.models, loopwright.cli.bundle"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
