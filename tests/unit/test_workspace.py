"""Where a command looks for the workspace, and what it says where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from loopwright import system
from loopwright.errors import StoreUnavailable


def test_from_the_folder_above_a_project_the_way_in_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system.open(tmp_path / "flights-demo").close()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreUnavailable, match=r"say which project is meant: --project flights-demo$"):
        system.open(system.find_project(tmp_path), create=False)
    system.open(tmp_path / "my shop").close()
    with pytest.raises(StoreUnavailable, match=r"--project flights-demo or --project 'my shop'$"):
        system.open(tmp_path, create=False)


def test_where_no_project_is_near_a_run_makes_one(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="run a pipeline"):
        system.open(tmp_path, create=False)


def test_another_machine_of_a_project_needs_no_workspace_of_its_own_before(tmp_path: Path) -> None:
    elsewhere = {"metadata_url": f"sqlite:///{tmp_path / 'shared.db'}"}
    with system.open(tmp_path / "here", flags=elsewhere, create=False) as opened:
        assert opened.stores.runs.list() == []
