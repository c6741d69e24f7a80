"""A deployment made ready to run: its code laid out safely, its lock, and what is told of the difference."""

import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import loopwright as lw
from loopwright.cli.deploy import rollback_target, told_of, what_changed
from loopwright.cli.deploying import own_tests, refuse_unmeasured, run_tests, settings_of
from loopwright.core.clock import SystemClock
from loopwright.core.deployment import Deployment
from loopwright.core.event import Cause
from loopwright.core.version import Version, VersionStatus
from loopwright.errors import DataError, DeclarationError, EnvironmentFailed, StepError
from loopwright.pipeline import deployed, environments, laid_out, provenance
from loopwright.pipeline.described import Described
from loopwright.pipeline.graph import Pipeline
from loopwright.pipeline.request import Request, Snapshot
from loopwright.pipeline.sampling import Sample, newest, on_a_sample
from loopwright.registry.why import what_is_new
from loopwright.retrain.triggers import to_spec
from loopwright.testing import HandClock, memory_stores

visits = lw.Table("visits", key="id", time="at", label="bought")


def zipped(files: dict[str, bytes], **attributes: int) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = attributes.get("mode", 0) << 16
            archive.writestr(entry, body, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def a_deployment(number: int = 1, **changed: Any) -> Deployment:
    values: dict[str, Any] = {
        "loop": "late",
        "number": number,
        "file": "loop.py",
        "code": "c" * 64,
        "environment": "e" * 64,
        "settings": {},
        "spec": {},
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "created_by": "me",
    }
    return Deployment(**(values | changed))


def test_a_snapshot_is_laid_out_older_than_any_run_of_it(tmp_path: Path) -> None:
    deployed.lay_out(zipped({"loop.py": b"x = 1\n", "shop/parts.py": b""}), tmp_path / "1")
    assert deployed.found(tmp_path / "1") == {"loop.py": b"x = 1\n", "shop/parts.py": b""}
    assert (tmp_path / "1" / "loop.py").stat().st_mtime < datetime(1990, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("damage", ["changed", "gone", "added", "a link"])
def test_code_that_was_changed_where_it_lies_is_laid_out_anew(tmp_path: Path, damage: str) -> None:
    home, content = tmp_path / "1", zipped({"loop.py": b"x = 1\n", "b.py": b""})
    deployed.lay_out(content, home)
    match damage:
        case "changed":
            (home / "loop.py").write_text("x = 2\n")
        case "gone":
            (home / "loop.py").unlink()
        case "added":
            (home / "polars.py").touch()
        case _:
            (home / "b.py").unlink()
            (home / "b.py").symlink_to("loop.py")
    deployed.lay_out(content, home)
    assert deployed.found(home) == {"loop.py": b"x = 1\n", "b.py": b""}
    assert not (home / "b.py").is_symlink()


def test_code_that_is_as_it_was_is_left_alone_with_what_python_made_of_it(tmp_path: Path) -> None:
    home, content = tmp_path / "1", zipped({"loop.py": b""})
    deployed.lay_out(content, home)
    (home / "__pycache__").mkdir()
    (home / "__pycache__" / "loop.cpython-311.pyc").touch()
    before = home.stat().st_ino
    deployed.lay_out(content, home)
    assert home.stat().st_ino == before


@pytest.mark.parametrize(
    "name", ["../out.py", "/etc/out.py", "a/../../out.py", "a\\out.py", "./out.py", "a//b.py", "d/"]
)
def test_a_snapshot_whose_names_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="refused"):
        deployed.lay_out(zipped({"loop.py": b"", name: b"x"}), tmp_path / "in" / "1")
    assert not any(tmp_path.rglob("*.py"))


def test_links_bombs_and_what_is_no_zip_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="refused"):
        deployed.unpacked(zipped({"loop.py": b"/etc/passwd"}, mode=stat.S_IFLNK | 0o777))
    with pytest.raises(DataError, match="refused"):
        deployed.unpacked(b"no zip at all")
    monkeypatch.setattr(deployed, "_LARGEST", 1000)
    with pytest.raises(DataError, match="bytes"):
        deployed.unpacked(zipped({"loop.py": bytes(2000)}))


def test_a_snapshot_taken_and_laid_out_is_taken_again_as_the_same(tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "shop").mkdir(parents=True)
    (root / "loop.py").write_text("import shop.parts\n")
    (root / "shop" / "parts.py").write_text("K = 1\n")
    outside = tmp_path / "other" / "side.py"
    outside.parent.mkdir()
    outside.write_text("K = 2\n")
    content = provenance.snapshot(root, [outside])
    deployed.lay_out(content, tmp_path / "home")
    assert provenance.snapshot(tmp_path / "home", []) == content


def test_a_file_below_the_workspace_names_its_deployment() -> None:
    place = Path("/shop/.loopwright")
    assert deployed.named(place, place / "deployed" / "late" / "12" / "loop.py") == ("late", 12)
    assert deployed.named(place, Path("/shop/deployed/late/12/loop.py")) is None


def test_a_request_crosses_the_pipe_whole() -> None:
    code = Snapshot(root="/a", folder="/b", paths=("/a", "/a/src"), deployment=3, git_commit=None)
    asked = Request(file=Path("/a/loop.py"), snapshot=code, sample=0, new="run-1")
    assert Request.from_line(asked.to_line()) == asked
    assert asked.place == Path("/b")
    plain = Request(file=Path("/a/loop.py"))
    assert Request.from_line(plain.to_line()) == plain
    assert plain.place == Path("/a")


def test_passwords_in_urls_of_settings_are_in_no_snapshot(tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_text("URL = 'postgresql://shop:shown@host'\n")
    (tmp_path / "loopwright.toml").write_text('metadata_url = "postgresql://shop:s3cr3t@host/shop"\nworkers = 2\n')
    files = deployed.unpacked(provenance.snapshot(tmp_path, []))
    assert files["loopwright.toml"] == b'metadata_url = "postgresql://shop:***@host/shop"\nworkers = 2\n'
    assert b"shown" in files["loop.py"]  # code is run as it is


def test_only_numbers_are_kept_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "loopwright.toml").write_text(
        'metadata_url = "sqlite:///p:w@x.db"\nworkers = 2\nlease_seconds = 30.0\nrecycle_seconds = 9.0\n'
    )
    with lw.open(tmp_path) as opened:
        assert settings_of(opened) == {"workers": 2, "recycle_seconds": 9.0}


def test_the_lock_of_this_environment_is_this_python(tmp_path: Path) -> None:
    lock = json.loads(json.dumps(environments.lock()))
    assert environments.is_this(lock)
    assert environments.interpreter(lock, tmp_path) == Path(sys.executable)
    assert list(tmp_path.iterdir()) == []
    other = lock | {"packages": lock["packages"] | {"loopwright": "99.0"}}
    assert environments.is_this(other)  # the one that runs is always the one that is used


def test_another_version_another_python_and_another_origin_are_other_environments() -> None:
    lock = environments.lock()
    others = [
        lock | {"packages": lock["packages"] | {"polars": "0.0.1"}},
        lock | {"python": "3.1.0"},
        lock | {"elsewhere": {"shop": "shop @ https://host/shop-1.whl"}},
    ]
    assert not any(environments.is_this(other) for other in others)
    assert len({environments.name_of(each) for each in [lock, *others]}) == 4


def test_pip_is_asked_for_pins_and_for_origins_and_never_for_what_is_installed_in_place() -> None:
    packages = {"loopwright": "1", "polars": "2", "mine": "3", "wheel-of-mine": "4"}
    elsewhere = {"mine": None, "wheel-of-mine": "wheel-of-mine @ file:///w.whl"}
    asked = environments.requirements({"packages": packages, "elsewhere": elsewhere})
    assert asked == ["polars==2", "wheel-of-mine @ file:///w.whl"]


def test_a_python_that_is_not_there_is_told(tmp_path: Path) -> None:
    lock = environments.lock() | {"python": "3.2.1"}
    with pytest.raises(EnvironmentFailed, match=r"Python 3\.2\.1"):
        environments.interpreter(lock, tmp_path)


def test_the_newest_rows_are_those_that_have_a_label() -> None:
    rows = pl.DataFrame({"id": range(10), "at": [9, 8, 7, 6, 5, 4, 3, 2, 1, 0], "bought": [None] + [1.0] * 9})
    assert newest(rows.lazy(), visits, 3)["id"].to_list() == [3, 2, 1]
    untimed = lw.Table("visits", label="bought")
    assert newest(rows.lazy(), untimed, 3)["id"].to_list() == [7, 8, 9]


def test_a_trial_reads_the_newest_of_the_source_or_only_sees_that_it_can_be_read() -> None:
    rows = pl.DataFrame({"id": range(50), "at": range(50), "bought": [0, 1] * 25})

    @lw.step(cache=False)
    def ingest(table: lw.Table, source: Any) -> int:
        return 1

    declared = Pipeline([ingest], name="late", parameters={"table": visits, "source": lambda: rows})
    sample = on_a_sample(declared, 20).parameters["source"]
    assert isinstance(sample, Sample)
    assert sample()["id"].to_list() == list(range(30, 50))
    assert on_a_sample(declared, 0).parameters["source"] is None

    def broken() -> pl.DataFrame:
        raise FileNotFoundError("rows.csv")

    with pytest.raises(DataError, match=r"rows\.csv"):
        on_a_sample(replace(declared, parameters={"table": visits, "source": broken}), 0)


def test_a_decay_that_the_model_cannot_have_is_refused_with_what_it_has() -> None:
    def told(*metrics: str) -> Described:
        spec = {"retrain": to_spec([lw.on_decay(one, by=0.1) for one in metrics])}
        return Described(loop="late", file="late.py", root="/shop", spec=spec, reached=(), git_commit=None)

    with pytest.raises(DeclarationError, match="the decay of 'rmse', which no evaluation") as raised:
        refuse_unmeasured(told("roc_auc", "rmse"), ["roc_auc", "log_loss"])
    assert raised.value.fix == "known: log_loss, roc_auc"
    refuse_unmeasured(told("roc_auc", "log_loss"), ["roc_auc", "log_loss"])
    refuse_unmeasured(told("rmse"), [])  # nothing was measured, so nothing is known


def test_tests_are_those_beside_the_loop_file_else_those_of_the_project(tmp_path: Path) -> None:
    loops = tmp_path / "loops"
    loops.mkdir()
    assert own_tests(loops, tmp_path) is None
    (tmp_path / "tests").mkdir()
    assert own_tests(loops, tmp_path) == tmp_path
    (loops / "test_late.py").touch()
    assert own_tests(loops, tmp_path) == loops


@pytest.mark.parametrize(
    ("history", "target"), [([1], None), ([1, 2], 1), ([1, 2, 3, 2], 1), ([1, 2, 1, 3], 1), ([1, 2, 3, 2, 4, 2], 1)]
)
def test_going_back_takes_the_newest_off(history: list[int], target: int | None) -> None:
    assert rollback_target(history) == target


def test_what_changed_is_told_by_file_by_package_and_by_setting() -> None:
    stores = memory_stores(HandClock())
    packages = {"polars": "1", "numpy": "2"}
    codes = [stores.blobs.put(zipped({"loop.py": b"1", "train.py": body})).digest for body in (b"1", b"2")]
    locks = [
        stores.blobs.put(json.dumps({"python": "3.11.4", "packages": each}).encode()).digest
        for each in (packages, packages | {"polars": "2"})
    ]
    old = a_deployment(1, code=codes[0], environment=locks[0])
    new = a_deployment(2, code=codes[1], environment=locks[1], settings={"workers": 3})
    changes = what_changed(stores, old, new)
    assert changes == ["code changed: train.py", "environment changed: polars 1 -> 2", "settings changed: workers"]
    assert told_of(old, new, changes[:1]) == (
        "new pipeline: deployment 2 of late, in place of 1 (code changed: train.py)"
    )
    assert told_of(new, new, []) == "nothing changed: deployment 2 of late is in force"
    assert told_of(new, old, []).startswith("a pipeline that was there before: deployment 1 of late")
    assert told_of(None, old, []) == "new pipeline: deployment 1 of late, the first"


def a_version(number: int, **lineage: Any) -> Version:
    return Version(
        loop="late",
        number=number,
        digest=str(number) * 64,
        files={},
        status=VersionStatus.ACCEPTED,
        run_id="r",
        created_at=SystemClock().now(),
        created_by="me",
        metric="roc_auc",
        value=0.8,
        reason="",
        task="binary",
        lineage=lineage,
    )


def test_new_code_is_a_new_pipeline_and_new_data_a_new_model() -> None:
    first = a_version(1, deployment=1, code="a", environment="e", data={"version": 1})
    newer = a_version(2, deployment=1, code="a", environment="e", data={"version": 2})
    other = a_version(3, deployment=2, code="b", environment="e", data={"version": 2})
    upgraded = a_version(4, deployment=3, code="b", environment="f", data={"version": 2})
    assert what_is_new(first, None) == "new code -> new pipeline (deployment 1)"
    assert what_is_new(newer, first) == "same pipeline (deployment 1), new data -> new model"
    assert what_is_new(other, newer) == "new code -> new pipeline (deployment 2)"
    assert what_is_new(upgraded, other) == "new environment -> new pipeline (deployment 3)"
    assert what_is_new(a_version(5, code="b"), upgraded) == ""


def test_folders_of_deployments_that_no_longer_run_go_after_a_grace_period(tmp_path: Path) -> None:
    stores, now = memory_stores(HandClock()), SystemClock().now()
    cause = Cause(actor="me", at=now)
    lock = json.dumps({"python": "3.11.4", "implementation": "cpython", "packages": {}}).encode()
    for code in ("c" * 64, "d" * 64):
        made = a_deployment(0, code=code, environment=stores.blobs.put(lock).digest)
        stores.deployments.add(made, [], cause)
    for name in ("deployed/late/1", "deployed/late/2", f"environments/{environments.name_of(json.loads(lock))}"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "environments" / "abc").mkdir()
    (tmp_path / "environments" / "abc" / "file").write_bytes(bytes(10))
    hour = timedelta(hours=1)
    assert laid_out.unused(stores, tmp_path, now, hour) == []
    found = laid_out.unused(stores, tmp_path, now + 2 * hour, hour)
    assert [one.path.relative_to(tmp_path).as_posix() for one in found] == ["deployed/late/1", "environments/abc"]
    assert found[1].size_bytes == 10
    for one in found:
        laid_out.remove(one)
    assert laid_out.unused(stores, tmp_path, now + 2 * hour, hour) == []
    assert (tmp_path / "deployed" / "late" / "2").is_dir()


def test_modules_are_found_in_a_snapshot_as_they_were_when_it_was_taken(tmp_path: Path) -> None:
    """A package under src/, a folder without __init__.py, a module that is imported only when it is called."""
    loop = """
import shop.parts, bare.random
from tests.unit.test_deployed import visits
import loopwright as lw

def train(data: lw.TrainingData):
    import lazy.late
    return lazy.late.model(shop.parts.K, bare.random.K)

loop = lw.Loop(name="buys", table=visits, train=train, judge=lw.Judge("roc_auc"))
"""
    files = {"loops/buys_.py": loop, "pyproject.toml": "", "src/shop/__init__.py": "", "src/shop/parts.py": "K = 1"}
    files |= {"src/bare/random.py": "K = 2", "src/lazy/__init__.py": "", "src/lazy/late.py": "def model(*k): ..."}
    for name, body in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(body)
    code = (
        "import sys; from pathlib import Path; from loopwright.pipeline.described import describe\n"
        "file, into = map(Path, sys.argv[1:]); found = describe(file, '', project=file.parent, into=into)\n"
        "print(found.to_json())"
    )
    (tmp_path / "into").mkdir()
    places = os.pathsep.join([str(tmp_path / "src"), str(Path(__file__).parents[2])])
    told = subprocess.run(
        [sys.executable, "-P", "-c", code, str(tmp_path / "loops" / "buys_.py"), str(tmp_path / "into")],
        env=os.environ | {"PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = Described.from_json(told)
    assert (found.loop, found.file, found.spec["place"]["folder"]) == ("buys", "loops/buys_.py", ".")
    assert found.spec["place"]["paths"][:2] == ["loops", "src"]
    assert not {"src/bare", "src/shop", "."} & set(found.spec["place"]["paths"])
    kept = set(deployed.unpacked((tmp_path / "into" / "code.zip").read_bytes()))
    assert {"loops/buys_.py", "src/bare/random.py", "src/lazy/late.py", "pyproject.toml"} <= kept
    assert environments.is_this(json.loads((tmp_path / "into" / "environment.json").read_text()))


def test_tests_are_run_where_they_lie_and_what_they_said_is_told(tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text("K = 1\n")
    (tmp_path / "test_parts.py").write_text("from parts import K\n\ndef test_k():\n    assert K == 1\n")
    assert run_tests(tmp_path) == "1 passed"
    (tmp_path / "parts.py").write_text("K = 200\n")
    with pytest.raises(StepError, match="assert 200 == 1"):
        run_tests(tmp_path)
