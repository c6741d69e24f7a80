"""What is kept with every lease: code, exact versions, and the state of the repository."""

import io
import json
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from loopwright.pipeline import provenance
from loopwright.testing import HandClock
from loopwright.testing.clock import START
from loopwright.testing.memory import MemoryBlobs


def lay(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {name}\n")
    return root


def names(snapshot: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(snapshot)) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def git(root: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *identity, *words], check=True, capture_output=True)


def test_a_snapshot_holds_the_source_and_nothing_else(tmp_path: Path) -> None:
    lay(
        tmp_path,
        "flow.py",
        "pkg/a.py",
        "pkg/q.sql",
        "loopwright.toml",
        "alerts.toml",
        "data.csv",
        ".git/x.py",
        "__pycache__/a.py",
    )
    lay(tmp_path, "env/pyvenv.cfg", "env/lib/numpy.py", ".loopwright/x.json", "node_modules/x.json")
    (tmp_path / "link.py").symlink_to(tmp_path / "flow.py")
    (tmp_path / "big.json").write_bytes(bytes(2 << 20))
    assert names(provenance.snapshot(tmp_path, [])) == ["flow.py", "loopwright.toml", "pkg/a.py", "pkg/q.sql"]


def test_equal_code_gives_equal_bytes_wherever_and_whenever(tmp_path: Path) -> None:
    one, two = lay(tmp_path / "one", "a.py", "b/c.py"), lay(tmp_path / "two", "b/c.py", "a.py")
    assert provenance.snapshot(one, []) == provenance.snapshot(two, [])
    (two / "a.py").write_text("K = 1\n")
    assert provenance.snapshot(one, []) != provenance.snapshot(two, [])


def test_what_steps_reach_outside_of_the_project_is_kept_too_and_kept_apart(tmp_path: Path) -> None:
    root = lay(tmp_path / "project", "flow.py")
    shared = lay(tmp_path / "shared", "one/__init__.py", "two/__init__.py")
    reached = [root / "flow.py", shared / "one" / "__init__.py", shared / "two" / "__init__.py", tmp_path / "gone.py"]
    found = names(provenance.snapshot(root, reached))
    assert found[0] == "flow.py"
    assert [Path(name).parent.name for name in found[1:]] == ["one", "two"]
    assert all(name.startswith("outside/") for name in found[1:])


def test_the_environment_is_told_by_exact_versions() -> None:
    found = json.loads(json.dumps(provenance.environment()))
    assert found["packages"]["numpy"] == np.__version__
    assert found["python"].startswith("3.")
    assert provenance.environment() == found


def test_an_empty_entry_of_the_path_is_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands there in a console and under `python -c`."""
    (tmp_path / "beside-1.2.dist-info").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    packages = provenance.environment()["packages"]
    assert isinstance(packages, dict)
    assert packages["beside"] == "1.2"


def test_outside_a_repository_there_is_neither_commit_nor_difference(tmp_path: Path) -> None:
    assert provenance.git_state(tmp_path) == (None, b"")
    (tmp_path / ".git").write_text("broken")
    assert provenance.git_state(tmp_path) == (None, b"")


def test_the_commit_and_what_differs_from_it(tmp_path: Path) -> None:
    lay(tmp_path, "flow.py", "other/x.py")
    git(tmp_path, "init", "-q")
    assert provenance.git_state(tmp_path) == (None, b"")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit, difference = provenance.git_state(tmp_path)
    assert commit
    assert len(commit) == 40
    assert difference == b""
    (tmp_path / "flow.py").write_text("K = 1\n")
    assert b"+K = 1" in provenance.git_state(tmp_path)[1]
    assert provenance.git_state(tmp_path / "other") == (commit, b"")


def test_all_of_it_is_stored_once_however_often_it_is_taken(tmp_path: Path) -> None:
    root = lay(tmp_path, "flow.py")
    blobs = MemoryBlobs(HandClock())
    first = provenance.take(root, [root / "flow.py"], blobs, "run-1", START)
    second = provenance.take(root, [root / "flow.py"], blobs, "run-2", START)
    assert (first.code, first.environment, first.git_commit) == (second.code, second.environment, None)
    assert [artifact.kind for artifact in first.artifacts] == ["code", "environment"]
    assert {blob.digest for blob in blobs.list()} == {first.code, first.environment}
