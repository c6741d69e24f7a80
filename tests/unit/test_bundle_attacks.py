"""One attack a refusal. Where a graph or a manifest is bad, every digest is right: who forges one forges the others."""

from __future__ import annotations

import json
import os
import pickle
import stat
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.unit.bundled import INPUTS, changed, forge, model, resign, sealed

from loopwright.errors import BundleRefused
from loopwright.transform import bundle, wire
from loopwright.transform.admission import admit

Archive = zipfile.ZipFile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sealed(tmp_path / "one")


def external() -> onnx.TensorProto:
    """A tensor that lies in another file, such as one with secrets in it."""
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def with_tensor(place: str, tensor: onnx.TensorProto) -> onnx.AttributeProto:
    kinds = {"t": "TENSOR", "tensors": "TENSORS", "sparse_tensor": "SPARSE_TENSOR", "sparse_tensors": "SPARSE_TENSORS"}
    attribute = onnx.AttributeProto(name="value", type=onnx.AttributeProto.AttributeType.Value(kinds[place]))
    match place:
        case "t":
            attribute.t.CopyFrom(tensor)
        case "tensors":
            attribute.tensors.append(tensor)
        case "sparse_tensor":
            attribute.sparse_tensor.values.CopyFrom(tensor)
        case _:
            attribute.sparse_tensors.add().indices.CopyFrom(tensor)
    return attribute


def hide(graph: onnx.GraphProto, operator: str, attribute: str, *, in_list: bool = False) -> Any:
    """A new subgraph in an attribute of a new node."""
    node = graph.node.add(op_type=operator, output=["hidden"])
    given = node.attribute.add(name=attribute)
    if in_list:
        given.type = onnx.AttributeProto.GRAPHS
        return given.graphs.add(name="inner")
    given.type = onnx.AttributeProto.GRAPH
    given.g.name = "inner"
    return given.g


def nest(graph: onnx.GraphProto, levels: int) -> Any:
    for _ in range(levels):
        graph = hide(graph, "If", "then_branch")
    return graph


def custom(graph: onnx.GraphProto, domain: str = "") -> Any:
    return graph.node.add(op_type="ReadFile", domain=domain, name="bad")


def set_shape(value: onnx.ValueInfoProto, *sizes: int | None) -> None:
    value.CopyFrom(helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, sizes))


GRAPHS: list[tuple[str, Callable[[onnx.ModelProto], Any], str]] = [
    ("custom operator", lambda m: custom(m.graph), "'ReadFile' .* is no standard operator"),
    ("operator of a newer set", lambda m: m.graph.node.add(op_type="Attention"), "no standard operator"),
    ("no operator", lambda m: m.graph.node.add(), "no standard operator"),
    ("unknown domain", lambda m: custom(m.graph, "com.evil"), r"'com\.evil\.ReadFile'"),
    ("vendor's domain", lambda m: m.graph.node.add(op_type="Gelu", domain="com.microsoft"), r"com\.microsoft\.Gelu"),
    ("another name of the domain", lambda m: m.graph.node.add(op_type="Mul", domain="ai.onnx"), "no standard operator"),
    ("domain not imported", lambda m: (m.opset_import.pop(), m.graph.node.add(op_type="Scaler", domain="ai.onnx.ml")),
     "no standard operator"),
    ("foreign import", lambda m: m.opset_import.add(domain="com.evil", version=1), "operator set 1 .*com.evil"),
    ("newer import", lambda m: setattr(m.opset_import[0], "version", 23), "operator set 23"),
    ("negative import", lambda m: setattr(m.opset_import[0], "version", -1), "operator set"),
    ("two versions", lambda m: m.opset_import.add(domain="", version=17), "two versions"),
    ("newer file format", lambda m: setattr(m, "ir_version", 11), "IR version 11"),
    ("no file format", lambda m: m.ClearField("ir_version"), "IR version none"),
    ("custom operator in If", lambda m: custom(hide(m.graph, "If", "else_branch")), "ReadFile"),
    ("custom operator in Loop", lambda m: custom(hide(m.graph, "Loop", "body")), "ReadFile"),
    ("custom operator in Scan", lambda m: custom(hide(m.graph, "Scan", "body")), "ReadFile"),
    ("custom operator in a list of graphs", lambda m: custom(hide(m.graph, "Mul", "x", in_list=True)), "ReadFile"),
    ("custom operator ten graphs deep", lambda m: custom(nest(m.graph, 10)), "ReadFile"),
    ("function", lambda m: m.functions.add(name="f", domain=""), "functions of its own"),
    ("training", lambda m: m.training_info.add(), "training steps"),
    ("external initializer", lambda m: m.graph.initializer.append(external()), "another file"),
    ("external entries alone", lambda m: m.graph.initializer[0].external_data.add(key="location"), "another file"),
    ("location alone", lambda m: setattr(m.graph.initializer[0], "data_location", 1), "another file"),
    ("external sparse values", lambda m: m.graph.sparse_initializer.add().values.CopyFrom(external()), "another file"),
    ("external sparse places", lambda m: m.graph.sparse_initializer.add().indices.CopyFrom(external()), "another file"),
    ("external in a subgraph", lambda m: nest(m.graph, 3).initializer.append(external()), "another file"),
    *(
        (f"external in {place}", lambda m, place=place: m.graph.node.add(op_type="Constant", output=["w"])
            .attribute.append(with_tensor(place, external())), "another file")
        for place in ("t", "tensors", "sparse_tensor", "sparse_tensors")
    ),
    ("64 and more messages deep", lambda m: nest(m.graph, 25), "64 deep"),
    ("runtime settings", lambda m: m.metadata_props.add(key="ort_config", value="{}"), "settings for the runtime"),
    ("an input more", lambda m: m.graph.input.append(m.graph.output[0]), "3 inputs, and 2 were promised"),
    ("an input less", lambda m: m.graph.input.pop(), "1 inputs, and 2 were promised"),
    ("inputs in another order", lambda m: m.graph.input.insert(0, m.graph.input.pop()), "not those promised"),
    ("an input of another name", lambda m: setattr(m.graph.input[0], "name", "x"), "carrier: string"),
    ("an input of another type", lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 1), "promised"),
    ("an input of another width", lambda m: set_shape(m.graph.input[0], None, 2), "promised"),
    ("an input of one row alone", lambda m: set_shape(m.graph.input[0], 1, 1), "promised"),
    ("an input without a shape", lambda m: m.graph.input[0].type.tensor_type.ClearField("shape"), "promised"),
    ("an input that is a sequence", lambda m: m.graph.input[0].type.sequence_type.SetInParent(), "no plain tensor"),
    ("an output more", lambda m: m.graph.output.append(m.graph.input[0]), "2 outputs, and 1 were promised"),
    ("an output of another name", lambda m: setattr(m.graph.output[0], "name", "label"), "value: float"),
    ("an output of another shape", lambda m: set_shape(m.graph.output[0], None, 1), "outputs are not those promised"),
    ("no graph", lambda m: m.ClearField("graph"), "0 inputs"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "why"), [one[1:] for one in GRAPHS], ids=[one[0] for one in GRAPHS])
def test_a_graph_that_is_not_plain_data_is_refused(
    tmp_path: Path, change: Callable[[onnx.ModelProto], Any], why: str
) -> None:
    with pytest.raises(BundleRefused, match=why):
        bundle.verify(forge(tmp_path / "bad", changed(change)))


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


GOOD = model().SerializeToString()
TYPES_TWICE = field(7, field(11, field(2, b"\x0a\x02\x08\x01" + b"\x22\x00")))
RAW: list[tuple[str, bytes, str]] = [
    ("empty", b"", "IR version none"),
    ("truncated", GOOD[:-3], "the bytes end before"),
    ("noise", np.random.default_rng(0).bytes(5000), "no ONNX graph"),
    ("pickle", pickle.dumps({"a": 1}), "no ONNX graph"),
    ("zip", b"PK\x03\x04" + GOOD, "no ONNX graph"),
    ("unknown field", GOOD + field(15, b"x"), "Model has a field 15"),
    ("unknown field of a node", GOOD + b"\xd2\x01\x00", "Model has a field 26"),
    ("a second graph, which a runtime merges into the first", GOOD + field(7, b""), r"Model\.graph is given twice"),
    ("a number in more bytes than it needs", b"\x08\x88\x00" + GOOD[2:], "longer than it need be"),
    ("a number beyond 64 bits", b"\x08" + b"\xff" * 9 + b"\x02" + GOOD[2:], "longer than it need be"),
    ("a number without an end", b"\x08" + b"\xff" * 12, "does not end"),
    ("a tag without a value", GOOD + b"\x28", "does not end"),
    ("a number where text is expected", GOOD + b"\x30\x01", "wrong wire type 0"),
    ("text where a number is expected", GOOD + field(5, b"1"), "wrong wire type 2"),
    ("a group", GOOD + b"\x33\x34", "wrong wire type 3"),
    ("text that is not UTF-8", GOOD + field(6, b"\xff"), "not UTF-8"),
    ("a length beyond the end", GOOD + b"\x32\xff\xff\xff\xff\x0f", "the bytes end before"),
    ("external data by a number in many bytes",
     changed(lambda m: m.graph.initializer[0].ClearField("raw_data")) + field(7, b""), "given twice"),
    ("two types of one input, of which a runtime takes the last", b"\x08\x08" + field(8, b"\x10\x12") + TYPES_TWICE,
     "no plain tensor"),
    ("two formats at once", b"\x08\x08\x12\x04ORTM" + GOOD[2:], "two formats at once"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "why"), [one[1:] for one in RAW], ids=[one[0] for one in RAW])
def test_bytes_that_could_be_read_in_two_ways_are_refused(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(BundleRefused, match=why):
        bundle.verify(forge(tmp_path / "bad", content))


def test_every_truncated_model_is_refused() -> None:
    """But for one that only lacks an import which it does not use: that one is another bundle by its digest."""
    unused = field(8, b"\x0a\x0aai.onnx.ml\x10\x03")
    assert GOOD.endswith(unused)
    for length in range(len(GOOD)):
        if length != len(GOOD) - len(unused):
            with pytest.raises(BundleRefused):
                admit(GOOD[:length], INPUTS, "regression", ())


@pytest.mark.parametrize("attribute", ["ints", "floats", "strings"])
def test_a_long_list_that_ends_within_a_value_is_refused(attribute: str) -> None:
    given = onnx.AttributeProto(name="a", doc_string="")
    values: dict[str, list[Any]] = {"ints": [1, -1, 300], "floats": [1.0, 2.0], "strings": [b"", b"ab", b"x" * 300]}
    getattr(given, attribute).extend(values[attribute] * 1000)
    content = given.SerializeToString()
    node = onnx.NodeProto(op_type="Mul")
    node.attribute.append(given)
    assert wire.read(changed(lambda m: m.graph.node.append(node)))["graph"]["node"][-1]["op_type"] == "Mul"
    reader = wire._Reader(content[:-1])
    with pytest.raises(wire.Malformed):
        reader.message("Attribute", 0, len(content) - 1, 1)


def test_the_reader_sees_what_the_reference_reader_sees() -> None:
    """Bytes that both read, both read alike; what only the reference reads is refused, never the other way round."""
    draw = np.random.default_rng(0)
    for _ in range(2000):
        content = bytearray(GOOD)
        for _ in range(draw.integers(1, 4)):
            content[draw.integers(len(content))] = draw.integers(256)
        try:
            seen = wire.read(bytes(content))
        except wire.Malformed:
            continue
        known = onnx.ModelProto.FromString(bytes(content))
        assert [one.get("op_type", "") for one in seen.get("graph", {}).get("node", ())] == [
            one.op_type for one in known.graph.node
        ]
        assert [one.get("name", "") for one in seen.get("graph", {}).get("input", ())] == [
            one.name for one in known.graph.input
        ]


def test_a_file_that_no_bundle_has_is_refused(folder: Path) -> None:
    for name in ("model.pkl", "preprocess.py", "weights.bin", ".hidden", "Model.onnx"):
        (folder / name).write_bytes(pickle.dumps(os.system))
        with pytest.raises(BundleRefused, match="is no file of a bundle"):
            bundle.verify(folder)
        (folder / name).unlink()


def test_a_pickle_under_a_known_name_is_never_unpickled(folder: Path, tmp_path: Path) -> None:
    class Mine:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "owned"),)

    for name in bundle.FILES:
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(pickle.dumps(Mine()))
        with pytest.raises(BundleRefused):
            bundle.verify(folder)
        (folder / name).write_bytes(before)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", list(bundle.FILES))
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleRefused, match=f"{name}"):
        bundle.verify(folder)


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "card.html"])
def test_a_link_is_refused_even_to_the_right_bytes(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(BundleRefused, match="no plain file"):
        bundle.verify(folder)


def test_a_subfolder_and_a_pipe_are_refused(folder: Path) -> None:
    (folder / "card.html").unlink()
    (folder / "card.html").mkdir()
    with pytest.raises(BundleRefused, match="no plain file"):
        bundle.verify(folder)
    (folder / "card.html").rmdir()
    os.mkfifo(folder / "card.html")
    with pytest.raises(BundleRefused, match="no plain file"):
        bundle.verify(folder)
    (folder / "card.html").unlink()
    (folder / "files").mkdir()
    with pytest.raises(BundleRefused, match="'files' is no file of a bundle"):
        bundle.verify(folder)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match="cannot be read"):
        bundle.verify(tmp_path / "nowhere")


def test_a_wrong_digest_and_a_wrong_size_are_refused(folder: Path) -> None:
    content = (folder / "card.html").read_bytes()
    (folder / "card.html").write_bytes(content[:-1] + b"?")
    with pytest.raises(BundleRefused, match="its digest is"):
        bundle.verify(folder)
    (folder / "card.html").write_bytes(content + b"?")
    with pytest.raises(BundleRefused, match=r"has 16 bytes, not 15"):
        bundle.verify(folder)


def test_a_file_beyond_its_limit_is_refused_before_it_is_read(folder: Path) -> None:
    with (folder / "model.onnx").open("wb") as file:
        file.truncate(1 << 41)
    with pytest.raises(BundleRefused, match="the most are"):
        bundle.verify(folder)


def edited(change: Callable[[dict[str, Any]], Any]) -> Callable[[str], str]:
    def edit(text: str) -> str:
        said = json.loads(text)
        change(said)
        return json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False)

    return edit


MANIFESTS: list[tuple[str, Callable[[str], str], str]] = [
    ("not JSON", lambda text: text[:-4], "is no JSON"),
    ("empty", lambda text: "", "is no JSON"),
    ("a list", lambda text: "[]", "is a list"),
    ("null", lambda text: "null", "is a NoneType"),
    ("deep", lambda text: '{"format": ' + "[" * 200_000, "is no JSON"),
    ("newer", edited(lambda m: m.update(format=3)), "3, and 2 is the newest known"),
    ("newer with other keys", lambda text: '{"format": 3, "new": 1}', "newer Loopwright"),
    ("older", edited(lambda m: m.update(format=0)), "format 0"),
    ("format as text", edited(lambda m: m.update(format="1")), r"Expected `int`, got `str`"),
    ("format true", edited(lambda m: m.update(format=True)), r"Expected `int`, got `bool`"),
    ("another digest", edited(lambda m: m.update(digest="0" * 64)), "its digest is 000000000000"),
    ("digest null", edited(lambda m: m.update(digest=None)), r"Expected `str`, got `null`"),
    ("another run", edited(lambda m: m["lineage"].update(run="02RUN")), "a changed run"),
    ("another seal", edited(lambda m: m.update(seal="0" * 64)), "a changed run"),
    ("a key less", edited(lambda m: m.pop("seal")), "expected are"),
    ("a key more", edited(lambda m: m.update(exec="rm")), "expected are"),
    ("a key more within", edited(lambda m: m["files"]["model.onnx"].update(url="x")), "its digest|not as Loopwright"),
    ("a key more within the outputs", edited(lambda m: m["outputs"].update(x=1)), "not as Loopwright wrote it"),
    ("a key twice", lambda text: text.replace("{\n", '{\n "name": "other",\n', 1), "not as Loopwright wrote it"),
    ("other spacing", lambda text: text + "\n", "not as Loopwright wrote it"),
    ("NaN", lambda text: text.replace("1.5e-07", "NaN"), "is no JSON"),
    ("infinity", lambda text: text.replace("1.5e-07", "1e999"), "is no JSON"),
    ("half a character", lambda text: text.replace("01RUN", "\\ud800"), "is no JSON"),
    ("files a list", edited(lambda m: m.update(files=[])), r"Expected `object`, got `array`"),
    ("size as text", edited(lambda m: m["files"]["model.onnx"].update(size_bytes="9")), r"Expected `int`"),
    ("input of an unknown kind", edited(lambda m: m["inputs"][0].update(kind="code")), "not a valid Kind"),
    ("outputs a number", edited(lambda m: m.update(outputs=1)), r"Expected `object`, got `int`"),
    ("classes nested", edited(lambda m: m["outputs"].update(classes=[[1]])), r"Expected `.*`, got `array`"),
]


@pytest.mark.parametrize(("change", "why"), [one[1:] for one in MANIFESTS], ids=[one[0] for one in MANIFESTS])
def test_a_manifest_that_was_touched_is_refused(folder: Path, change: Callable[[str], str], why: str) -> None:
    path = folder / "manifest.json"
    path.write_text(change(path.read_text()), encoding="utf-8")
    with pytest.raises(BundleRefused, match=why):
        bundle.verify(folder)


def test_a_manifest_that_is_not_utf8_is_refused(folder: Path) -> None:
    with (folder / "manifest.json").open("ab") as file:
        file.write(b"\xff")
    with pytest.raises(BundleRefused, match="no UTF-8"):
        bundle.verify(folder)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "lineage/x", "model.onnx\0", "manifest.json", "MODEL.ONNX"])
def test_a_manifest_cannot_make_another_file_be_read(folder: Path, name: str) -> None:
    said = bundle.verify(folder)
    resign(folder, replace(said, files={**said.files, name: said.files["card.html"]}))
    with pytest.raises(BundleRefused, match="the manifest names"):
        bundle.verify(folder)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"operators": ("Mul",)}, "other operators"),
        ({"opset": {"": 17, "ai.onnx.ml": 3}}, "other operators"),
        ({"name": "../delays"}, "no name of a loop"),
        ({"task": "binary"}, "does not fit the classes"),
        ({"task": "binary", "classes": ("a", "b")}, "outputs are not those promised"),
        ({"task": "ranking"}, "is not known"),
        ({"inputs": INPUTS[:1]}, "2 inputs, and 1 were promised"),
        ({"inputs": ()}, "there is none"),
        ({"inputs": INPUTS[:1] * 2}, "one twice"),
        ({"format": 0}, "format 0"),
    ],
)
def test_a_manifest_that_says_other_than_the_graph_is_refused(folder: Path, change: dict[str, Any], why: str) -> None:
    resign(folder, replace(bundle.verify(folder), **change))
    with pytest.raises(BundleRefused, match=why):
        bundle.verify(folder)


SCHEMAS: list[tuple[str, Callable[[str], str], str]] = [
    ("not JSON", lambda text: text[:-4], "not the JSON it must be"),
    ("NaN", lambda text: text.replace("99.0", "NaN"), "not the JSON it must be"),
    ("deep", lambda text: "[" * 200_000, "not the JSON it must be"),
    ("newer", edited(lambda m: m.update(format=9)), "format 9"),
    ("columns in another order", edited(lambda m: m["columns"].reverse()), "distance, carrier"),
    ("a column less", edited(lambda m: m["columns"].pop()), "not the model's inputs"),
    ("another kind", edited(lambda m: m["columns"][0].update(kind="time")), "not the model's inputs"),
    ("an unknown kind", edited(lambda m: m["columns"][0].update(kind="code")), "not the JSON it must be"),
    ("missing as text", edited(lambda m: m["columns"][0].update(missing="no")), "not the JSON it must be"),
    ("no columns", edited(lambda m: m.pop("columns")), "not the JSON it must be"),
    ("a list", lambda text: "[]", "not the JSON it must be"),
]


@pytest.mark.parametrize(("change", "why"), [one[1:] for one in SCHEMAS], ids=[one[0] for one in SCHEMAS])
def test_a_schema_that_is_not_the_models_is_refused(folder: Path, change: Callable[[str], str], why: str) -> None:
    put(folder, "schema.json", change((folder / "schema.json").read_text()).encode())
    with pytest.raises(BundleRefused, match=why):
        bundle.verify(folder)


def put(folder: Path, name: str, content: bytes) -> None:
    """Another file, with its right digest."""
    said = bundle.Manifest.from_json((folder / "manifest.json").read_text())
    entry = bundle.FileEntry(sha256=sha256(content).hexdigest(), size_bytes=len(content))
    (folder / name).write_bytes(content)
    resign(folder, replace(said, files={**said.files, name: entry}))


@pytest.mark.parametrize("name", ["statistics.json", "evaluation.json", "verdict.json"])
@pytest.mark.parametrize("content", [b"{", b'{"a": NaN}', b"[" * 200_000, b"\xff", pickle.dumps(1)])
def test_other_files_must_be_json(folder: Path, name: str, content: bytes) -> None:
    put(folder, name, content)
    with pytest.raises(BundleRefused, match="not the JSON it must be"):
        bundle.verify(folder)


def test_a_card_that_is_no_text_is_refused(folder: Path) -> None:
    put(folder, "card.html", b"\xff\xfe")
    with pytest.raises(BundleRefused, match="no UTF-8"):
        bundle.verify(folder)


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "schema.json"])
def test_one_bit_flipped_anywhere_is_refused(folder: Path, name: str) -> None:
    before = (folder / name).read_bytes()
    draw = np.random.default_rng(0)
    for place in draw.choice(len(before) * 8, min(300, len(before) * 8), replace=False).tolist():
        content = bytearray(before)
        content[place // 8] ^= 1 << place % 8
        (folder / name).write_bytes(content)
        with pytest.raises(BundleRefused):
            bundle.verify(folder)
    (folder / name).write_bytes(before)
    assert bundle.verify(folder).name == "delays"


def test_one_bit_flipped_in_an_archive_never_passes_unseen(folder: Path, tmp_path: Path) -> None:
    """Times and rights of members may change; what comes out is the bundle, or nothing."""
    good, bad = tmp_path / "good.zip", tmp_path / "bad.zip"
    bundle.pack(folder, good, {"run.json": b"{}"})
    known, draw, refused = bundle.read(folder), np.random.default_rng(0), 0
    for number, place in enumerate(draw.integers(0, good.stat().st_size * 8, 300).tolist()):
        content = bytearray(good.read_bytes())
        content[place // 8] ^= 1 << place % 8
        bad.write_bytes(content)
        try:
            beside = bundle.unpack(bad, tmp_path / f"out{number}")
        except BundleRefused:
            refused += 1
            assert not (tmp_path / f"out{number}").exists()
        else:
            assert bundle.read(tmp_path / f"out{number}") == known
            assert list(beside.values()) in ([b"{}"], [])
    assert refused > 200


def member(name: str, **changes: Any) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    for key, value in changes.items():
        setattr(info, key, value)
    return info


LINK = (stat.S_IFLNK | 0o777) << 16
MEMBERS: list[tuple[str, Callable[[Archive], Any], str]] = [
    ("zip slip", lambda z: z.writestr("../../evil", b"x"), "no file of a bundle"),
    ("zip slip below lineage", lambda z: z.writestr("lineage/../../evil", b"x"), "no file of a bundle"),
    ("absolute name", lambda z: z.writestr(member("/tmp/evil"), b"x"), "no file of a bundle"),
    ("backslashes", lambda z: z.writestr(member("lineage\\..\\evil"), b"x"), "no file of a bundle"),
    ("drive", lambda z: z.writestr(member("C:evil"), b"x"), "no file of a bundle"),
    ("folder", lambda z: z.mkdir("files"), "no file of a bundle"),
    ("folder below lineage", lambda z: z.writestr("lineage/a/b", b"x"), "no file of a bundle"),
    ("unknown file", lambda z: z.writestr("model.pkl", b"x"), "no file of a bundle"),
    ("hidden lineage", lambda z: z.writestr("lineage/.bashrc", b"x"), "no file of a bundle"),
    ("duplicate", lambda z: z.writestr("card.html", b"x"), "there twice"),
    ("link", lambda z: z.writestr(member("lineage/a", external_attr=LINK), b"/etc/passwd"), "no plain file"),
    ("packed in another way", lambda z: z.writestr("lineage/a", b"x", zipfile.ZIP_BZIP2), "packed in another way"),
    ("many members", lambda z: list(map(z.mkdir, map(str, range(100)))), "more than a bundle has"),
    ("a bomb", lambda z: z.writestr(member("lineage/a"), bytes(65 << 20)), "more than 67,108,864 bytes"),
    ("a bomb in parts", lambda z: list(map(z.writestr, map(member, ("lineage/a", "lineage/b")), [bytes(40 << 20)] * 2)),
     "more than 25,"),
    ("a bomb for a card", lambda z: z.writestr(member("comparison.json"), bytes(65 << 20)), "there twice|more than"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("add", "why"), [one[1:] for one in MEMBERS], ids=[one[0] for one in MEMBERS])
def test_an_archive_with_a_bad_member_is_refused_and_leaves_nothing(
    folder: Path, tmp_path: Path, add: Callable[[Archive], Any], why: str
) -> None:
    path = tmp_path / "bad.zip"
    bundle.pack(folder, path)
    with zipfile.ZipFile(path, "a") as archive:
        add(archive)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BundleRefused, match=why):
        bundle.unpack(path, tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before


def archived(folder: Path, tmp_path: Path, change: Callable[[bytes], bytes]) -> Path:
    path = tmp_path / "bad.zip"
    bundle.pack(folder, path, {"run.json": b"x" * 50})
    path.write_bytes(change(path.read_bytes()))
    return path


def at_directory(content: bytes, offset: int, value: bytes) -> bytes:
    """Changes a field of the first member in the archive's directory."""
    place = content.index(b"PK\x01\x02") + offset
    return content[:place] + value + content[place + len(value) :]


ARCHIVES: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("not a zip", lambda z: b"x" * 100, "no zip as Loopwright writes it"),
    ("empty", lambda z: b"", "no zip as Loopwright writes it"),
    ("truncated", lambda z: z[:-30], "no zip as Loopwright writes it"),
    ("with a comment", lambda z: z + b"more", "no zip as Loopwright writes it"),
    ("a directory elsewhere", lambda z: z[:-22] + b"PK\x06\x07" + bytes(16) + z[-22:], "no zip as Loopwright writes"),
    ("a directory of gigabytes", lambda z: z[:-10] + struct.pack("<I", 1 << 31) + z[-6:], "more than a bundle has"),
    ("encrypted", lambda z: at_directory(z, 8, b"\x01\x00"), "encrypted"),
    ("a name that ends early", lambda z: z.replace(b"lineage/run.json", b"lineage/run\0json"), "cannot be read|plain"),
    ("another name within", lambda z: z.replace(b"card.html", b"card.htm_", 1), "cannot be read"),
    ("damaged content", lambda z: z.replace(z[100:110], bytes(10), 1), "cannot be read"),
    ("a smaller size than there is", lambda z: at_directory(z, 24, b"\x05\x00\x00\x00"), "cannot be read"),
]


@pytest.mark.parametrize(("change", "why"), [one[1:] for one in ARCHIVES], ids=[one[0] for one in ARCHIVES])
def test_an_archive_that_is_no_plain_zip_is_refused(
    folder: Path, tmp_path: Path, change: Callable[[bytes], bytes], why: str
) -> None:
    with pytest.raises(BundleRefused, match=why):
        bundle.unpack(archived(folder, tmp_path, change), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_packed_beside_is_named_plainly(folder: Path, tmp_path: Path) -> None:
    for name in ("../x", "a/b", "", "lineage/x", "X y"):
        with pytest.raises(BundleRefused, match="no file of a bundle"):
            bundle.pack(folder, tmp_path / "a.zip", {name: b""})
    assert not (tmp_path / "a.zip").exists()


def test_an_archive_whose_bundle_is_forged_is_refused(folder: Path, tmp_path: Path) -> None:
    bundle.pack(folder, tmp_path / "good.zip")
    with zipfile.ZipFile(tmp_path / "good.zip") as good, zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name) if name != "model.onnx" else changed(lambda m: custom(m.graph)))
    with pytest.raises(BundleRefused, match="bytes, not"):
        bundle.unpack(tmp_path / "bad.zip", tmp_path / "out")


def test_msgspec_refuses_what_json_is_not() -> None:
    """The checks above stand on these."""
    for text in ("NaN", "Infinity", "1e999", '"\\ud800"', "[" * 200_000, "01", "[1,]", '"\x01"'):
        with pytest.raises((msgspec.DecodeError, RecursionError)):
            msgspec.json.decode(text)
