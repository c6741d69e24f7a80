"""A bundle is the same wherever and whenever it is written, and comes back whole from a folder and from an archive."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from onnx import defs
from tests.unit.bundled import INPUTS, LINEAGE, PARITY, SCHEMA, fill, resign, seal, sealed

from loopwright.errors import BundleRefused
from loopwright.transform import bundle
from loopwright.transform.columns import Column, Kind
from loopwright.transform.manifest import SEALED_ALONE, digest_of
from loopwright.transform.operators import KNOWN, OPERATORS


def test_what_was_written_is_verified_field_by_field(tmp_path: Path) -> None:
    found = bundle.verify(sealed(tmp_path / "one"))
    assert (found.format, found.name, found.task, found.classes) == (2, "delays", "regression", ())
    assert found.inputs == INPUTS
    assert found.opset == {"": 18, "ai.onnx.ml": 3}
    assert found.operators == ("Constant", "Mul", "Reshape")
    assert (found.parity, found.lineage) == (PARITY, LINEAGE)
    assert {*found.files, "manifest.json"} == set(bundle.FILES)
    for name, entry in found.files.items():
        content = (tmp_path / "one" / name).read_bytes()
        assert (entry.size_bytes, entry.sha256) == (len(content), sha256(content).hexdigest())


def test_a_manifest_says_in_json_what_the_format_promises(tmp_path: Path) -> None:
    said = json.loads((sealed(tmp_path / "one") / "manifest.json").read_text())
    assert said["inputs"] == [{"name": "carrier", "kind": "string"}, {"name": "distance", "kind": "number"}]
    assert said["outputs"] == {"task": "regression", "classes": []}
    assert said["files"]["model.onnx"]["size_bytes"] == (tmp_path / "one" / "model.onnx").stat().st_size


def test_a_manifest_comes_back_from_its_json(tmp_path: Path) -> None:
    found = bundle.verify(sealed(tmp_path / "one"))
    assert bundle.Manifest.from_json(found.to_json()) == found


def test_reading_gives_the_bytes_and_the_schema(tmp_path: Path) -> None:
    found = bundle.read(sealed(tmp_path / "one"))
    assert found.schema == SCHEMA
    assert found.files["card.html"] == b"<!doctype html>"


def test_three_files_are_enough(tmp_path: Path) -> None:
    seal(fill(tmp_path))
    assert set(bundle.verify(tmp_path).files) == {"model.onnx", "schema.json"}


def test_equal_content_has_an_equal_digest_whichever_run_made_it(tmp_path: Path) -> None:
    one, other = seal(fill(tmp_path / "one")), seal(fill(tmp_path / "other"), lineage={**LINEAGE, "run": "02RUN"})
    assert one.digest == other.digest
    assert one.to_json() != other.to_json()
    assert bundle.verify(tmp_path / "other").lineage["run"] == "02RUN"


def test_the_order_of_writing_does_not_matter(tmp_path: Path) -> None:
    one, other = tmp_path / "one", fill(tmp_path / "other")
    one.mkdir()
    for name in ("schema.json", "model.onnx"):
        (one / name).write_bytes((other / name).read_bytes())
    lineage = dict(reversed(list(LINEAGE.items())))
    assert seal(one, lineage=lineage).to_json() == seal(other).to_json()


@pytest.mark.parametrize("name", [name for name in bundle.FILES if name != "manifest.json"])
def test_other_content_has_another_digest(tmp_path: Path, name: str) -> None:
    one, other = bundle.verify(sealed(tmp_path / "one")), sealed(tmp_path / "other")
    with (other / name).open("ab") as file:
        file.write(b"\n" if name != "model.onnx" else b"\x32\x01x")  # a comment
    assert seal(other).digest != one.digest


@pytest.mark.parametrize("key", ["run", "code", "git_commit", "git_diff"])
def test_a_comment_in_the_code_makes_no_other_bundle_of_an_identical_model(tmp_path: Path, key: str) -> None:
    one, other = seal(fill(tmp_path / "one")), seal(fill(tmp_path / "other"), lineage={**LINEAGE, key: "another"})
    assert one.digest == other.digest
    manifest = tmp_path / "other" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"another"', '"a lie"'))
    with pytest.raises(BundleRefused, match="not as Loopwright wrote it"):  # the seal
        bundle.verify(tmp_path / "other")


def test_a_bundle_of_the_format_before_is_read(tmp_path: Path) -> None:
    said = replace(bundle.verify(sealed(tmp_path)), format=1)
    assert digest_of(said) != said.digest
    resign(tmp_path, said)
    assert bundle.verify(tmp_path) == replace(said, digest=digest_of(said))


@pytest.mark.parametrize("key", [key for key in LINEAGE if key not in SEALED_ALONE])
def test_other_lineage_has_another_digest(tmp_path: Path, key: str) -> None:
    assert seal(fill(tmp_path)).digest != seal(tmp_path, lineage={**LINEAGE, key: "another"}).digest


def test_a_bundle_may_be_completed_and_sealed_again(tmp_path: Path) -> None:
    first = seal(fill(tmp_path))
    (tmp_path / "verdict.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BundleRefused, match=r"there are .*verdict"):
        bundle.verify(tmp_path)
    assert seal(tmp_path).digest != first.digest
    assert "verdict.json" in bundle.verify(tmp_path).files


def test_sealing_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / ".manifest.json.new").write_text('{"form', encoding="utf-8")
    with pytest.raises(BundleRefused, match=r"manifest\.json is missing"):
        bundle.verify(tmp_path)
    seal(tmp_path)
    assert bundle.verify(tmp_path).name == "delays"


def test_sealing_refuses_what_verifying_would(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BundleRefused, match=r"'notes\.txt' is no file of a bundle"):
        seal(tmp_path)
    (tmp_path / "notes.txt").unlink()
    with pytest.raises(BundleRefused, match=r"cannot be written as JSON"):
        seal(tmp_path, lineage={**LINEAGE, "worst": float("nan")})
    with pytest.raises(BundleRefused, match=r"inputs are not those promised"):
        seal(tmp_path, inputs=[INPUTS[0], Column(name="distance", kind=Kind.TIME)])
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(BundleRefused, match=r"model\.onnx is missing"):
        seal(tmp_path)
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize(
    ("task", "classes"),
    [("binary", ["a"]), ("binary", [1, "b"]), ("multiclass", [1, 2]), ("regression", [0, 1]), ("binary", [0.5, 1.0]),
     ("binary", ["a", "a"]), ("ranking", [])],
)  # fmt: skip
def test_classes_that_do_not_fit_the_task_are_refused(tmp_path: Path, task: str, classes: list[object]) -> None:
    with pytest.raises(BundleRefused, match=r"does not fit|is not known"):
        bundle.write(
            fill(tmp_path), name="delays", inputs=INPUTS, task=task, classes=classes, parity={}, lineage={}
        )  # fmt: skip


@pytest.mark.parametrize("name", ["", "Delays", "../delays", "a/b", "a" * 65, "1st", "delays\n"])
def test_a_name_that_is_no_loops_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleRefused, match="no name of a loop"):
        bundle.write(
            fill(tmp_path), name=name, inputs=INPUTS, task="regression", classes=(), parity={}, lineage={}
        )  # fmt: skip


def test_an_archive_brings_the_bundle_and_what_lay_beside_it(tmp_path: Path) -> None:
    folder, beside = sealed(tmp_path / "one"), {"run.json": b"{}", "code.zip": b"PK\0\xff" * 1000}
    bundle.pack(folder, tmp_path / "one.zip", beside)
    assert bundle.unpack(tmp_path / "one.zip", tmp_path / "in" / "there") == beside
    assert bundle.read(tmp_path / "in" / "there") == bundle.read(folder)
    assert [one.name for one in (tmp_path / "in").iterdir()] == ["there"]


def test_equal_bundles_make_equal_archives_of_files_in_order(tmp_path: Path) -> None:
    folder = sealed(tmp_path / "one")
    bundle.pack(folder, tmp_path / "a.zip", {"b.txt": b"b", "a.txt": b"a"})
    bundle.pack(folder, tmp_path / "b.zip", {"a.txt": b"a", "b.txt": b"b"})
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    names = zipfile.ZipFile(tmp_path / "a.zip").namelist()
    assert names == [*bundle.FILES, "lineage/a.txt", "lineage/b.txt"]


def test_unpacking_never_writes_over_what_is_there(tmp_path: Path) -> None:
    folder = sealed(tmp_path / "one")
    bundle.pack(folder, tmp_path / "one.zip")
    with pytest.raises(BundleRefused, match="there already"):
        bundle.unpack(tmp_path / "one.zip", folder)
    assert bundle.verify(folder).name == "delays"


def test_the_operators_are_those_of_the_standard() -> None:
    schemas = defs.get_all_schemas_with_history()
    for domain, newest in KNOWN.items():
        named = {one.name for one in schemas if one.domain == domain and one.since_version <= newest}
        assert named == OPERATORS[domain]
