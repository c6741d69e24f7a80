"""One table of settings: who wins, and what is refused with where it was written."""

from pathlib import Path

import pytest

from loopwright import settings
from loopwright.errors import SettingsError
from loopwright.settings import load, parse


def project(folder: Path, text: str) -> Path:
    (folder / "loopwright.toml").write_text(text, encoding="utf-8")
    return folder


def test_the_file_beats_the_default_the_environment_the_file_and_a_flag_all(tmp_path: Path) -> None:
    project(tmp_path, "workers = 2\n")
    flags, environ = {"workers": "4"}, {"LW_WORKERS": "3"}
    assert load(tmp_path / "none", {}, {}).integer("workers") == 2
    assert load(tmp_path, {}, {}).integer("workers") == 2
    assert load(tmp_path, {}, environ).integer("workers") == 3
    assert load(tmp_path, flags, environ).integer("workers") == 4
    assert load(Path("/"), {}, {}).integer("workers") == 0


def test_each_value_tells_who_chose_it(tmp_path: Path) -> None:
    found = load(project(tmp_path, "workers = 2\n"), {"lease_seconds": "9"}, {"LW_TABLES_URL": "s3://t", "PATH": "x"})
    origins = {name: chosen.origin for name, chosen in found.chosen.items() if chosen.origin != "default"}
    assert origins == {
        "workers": str(tmp_path / "loopwright.toml"), "lease_seconds": "--set", "tables_url": "LW_TABLES_URL",
    }  # fmt: skip
    assert found.overrides() == {"workers": 2, "lease_seconds": 9.0, "tables_url": "s3://t"}
    assert (
        load(Path("/"), {name: str(value) for name, value in found.overrides().items()}, {}).number("lease_seconds")
        == 9
    )


def test_the_nearest_file_counts_and_no_other(tmp_path: Path) -> None:
    project(tmp_path, "workers = 2\nlease_seconds = 9\n")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert load(inner, {}, {}).integer("workers") == 2
    project(tmp_path / "a", "workers = 3\n")
    found = load(inner, {}, {})
    assert (found.integer("workers"), found.number("lease_seconds")) == (3, 20.0)


def test_the_folders_above_a_relative_one_are_looked_through_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, "workers = 2\n")
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    assert load(Path(), {}, {}).integer("workers") == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("wrokers = 2", "there is no setting 'wrokers'; did you mean 'workers'?"),
        ("[loopwright]\nworkers = 2", "there is no setting 'loopwright'"),
        ("workers = 'many'", "workers = 'many' is no whole number"),
        ("workers = 2.5", "workers = 2.5 is no whole number"),
        ("workers = true", "workers = True is no whole number"),
        ("workers = inf", "workers = inf is no whole number"),
        ("workers = [2]", "workers = [2] is no whole number"),
        ("workers = -1", "workers = -1 is below 0"),
        ("workspace = 5", "workspace = 5 is no text"),
        ("lease_seconds = nan", "lease_seconds = nan is no number"),
        ("lease_seconds = inf", "lease_seconds = inf is no number"),
        ("lease_seconds = 0.1", "lease_seconds = 0.1 is below 0.5"),
        ("lease_seconds = 2013-01-01", "is no number"),
        ("workers 2", "the settings cannot be read"),
        ("workers = 1\nworkers = 2", "the settings cannot be read"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_its_path(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(project(tmp_path, text), {}, {})
    assert told in raised.value.what
    assert raised.value.where == str(tmp_path / "loopwright.toml")
    assert raised.value.fix


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loopwright.toml").write_bytes(b"workers = \xff")
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path, {}, {})


@pytest.mark.parametrize(
    ("flags", "environ", "where"),
    [
        ({"wrokers": "2"}, {}, "--set"), ({"workers": "x"}, {}, "--set"), ({"workers": ""}, {}, "--set"),
        ({}, {"LW_WROKERS": "2"}, "LW_WROKERS"), ({}, {"LW_WORKERS": "x"}, "LW_WORKERS"), ({}, {"LW_": "x"}, "LW_"),
    ],
)  # fmt: skip
def test_what_is_wrong_elsewhere_is_refused_by_its_origin(
    flags: dict[str, str], environ: dict[str, str], where: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        load(Path("/"), flags, environ)
    assert raised.value.where == where


def test_a_lease_must_outlast_two_heartbeats() -> None:
    with pytest.raises(SettingsError, match="leaves no room for heartbeat_seconds = 30") as raised:
        load(Path("/"), {"heartbeat_seconds": "30"}, {})
    assert raised.value.where == "default, --set"


@pytest.mark.parametrize("setting", settings.TABLE, ids=lambda setting: setting.name)
def test_every_default_passes_its_own_check(setting: settings.Setting) -> None:
    assert parse(setting.name, setting.default, "default") == setting.default
    assert parse(setting.name, str(setting.default), "--set") == setting.default
    assert setting.help
    assert setting.unit
