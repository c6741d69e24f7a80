"""What a step returns comes back as it was, or is refused with what to do; equal values have equal digests."""

import enum
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwright.core.artifact import Artifact
from loopwright.errors import ArtifactCorrupted, ArtifactNotFound, DeclarationError, NotStorable
from loopwright.pipeline.formats import FORMATS, register_format
from loopwright.pipeline.values import Values
from loopwright.testing import HandClock
from loopwright.testing.clock import START
from loopwright.testing.memory import MemoryBlobs


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Right(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Point:
    x: float
    label: str = ""
    colour: Colour = Colour.RED


@dataclass
class Doubled:
    """Its `__post_init__` must not be run once more by reading it."""

    x: int
    seen: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.x *= 2


@dataclass(frozen=True, slots=True)
class Slotted:
    point: Point
    values: tuple[int, ...]


class Kept:
    """Stores values in memory, and takes them out again."""

    def __init__(self, folder: Path) -> None:
        self.blobs = MemoryBlobs(HandClock())
        self.values = Values(blobs=self.blobs)
        self.folder = folder
        self.artifacts: dict[str, Artifact] = {}

    def put(self, value: Any) -> str:
        digest, made = self.values.store(value, folder=self.folder, run_id="run-1", step="clean", now=START)
        for artifact in made:
            self.artifacts.setdefault(artifact.digest, artifact)  # as the stores do: what is known stays as it is
        return digest

    def get(self, digest: str) -> Any:
        return self.values.load(self.artifacts[digest], self.folder)

    def again(self, value: Any) -> Any:
        return self.get(self.put(value))

    def refusal(self, value: Any) -> str:
        with pytest.raises(NotStorable) as raised:
            self.put(value)
        return str(raised.value)

    def stored(self, content: object) -> str:
        """As if a value had been stored as this JSON."""
        blob = self.blobs.put(json.dumps(content).encode())
        self.artifacts[blob.digest] = Artifact(
            digest=blob.digest, kind="value", format="composite", size_bytes=blob.size_bytes, created_at=START,
            run_id="run-1", step="clean",
        )  # fmt: skip
        return blob.digest


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


SIMPLE: list[Any] = [
    None, True, 0, -1, 10**30, 1.5, -0.0, 1e308, float("inf"), "", "text", "zwölf", "null", "1", "[1]", b"", b"\0\xff",
    [], [1, [2, "x"]], (), (1, (2,)), {}, {"a": [1]}, {"$": "tuple", "is": [1]}, {1: "a", None: "b", (1, 2): "c"},
    {1, 2}, frozenset({"a", "b"}), {frozenset({"a", "b"}), frozenset({"c"})},
    date(2013, 1, 1), datetime.fromisoformat("2013-01-01T12:30:00.000007"), datetime(2013, 1, 1, tzinfo=UTC),
    time(12, 30),
    datetime(2013, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))), timedelta(days=-1, microseconds=3),
    Decimal("1.10"), 1 + 2j, Colour.RED, Level.LOW, Right.READ | Right.WRITE, Right(0), [Colour.RED],
    Point(1.5), Point(0.0, "x"), [Point(1.0)], Slotted(Point(2.0), (1, 2)), {"p": Point(1.0), "b": b"raw"},
]  # fmt: skip


@pytest.mark.parametrize("value", SIMPLE)
def test_a_simple_value_comes_back_equal_and_of_its_type(kept: Kept, value: Any) -> None:
    found = kept.again(value)
    assert found == value
    assert type(found) is type(value)
    assert repr(found) == repr(value) or isinstance(value, set | frozenset)


def test_not_a_number_comes_back_as_such(kept: Kept) -> None:
    assert repr(kept.again([float("nan"), float("-inf"), Decimal("NaN")])) == "[nan, -inf, Decimal('NaN')]"


HASHABLE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(), st.dates(), st.datetimes(), st.times(), st.timedeltas(), st.decimals(allow_nan=False),
    st.sampled_from(Colour),
)  # fmt: skip
NESTED = st.recursive(
    HASHABLE | st.builds(Point, st.floats(allow_nan=False)),
    lambda inner: st.one_of(
        st.lists(inner), st.lists(inner).map(tuple), st.dictionaries(HASHABLE, inner), st.sets(HASHABLE),
        st.dictionaries(st.sampled_from(["$", "is", "a"]), inner),
    ),
    max_leaves=8,
)  # fmt: skip


def same(left: Any, right: Any) -> bool:
    """Equal, and of equal types all the way down: 1 is not 1.0, nor True."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    return bool(left == right)


@given(NESTED)
def test_whatever_is_made_of_simple_values_comes_back(value: Any) -> None:
    kept = Kept(Path("/nowhere"))
    assert same(kept.again(value), value)


@given(NESTED, NESTED)
def test_values_that_differ_in_type_or_content_never_share_a_digest(left: Any, right: Any) -> None:
    """A shared digest would hand a step the other value, and keep what comes after it from running."""
    kept = Kept(Path("/nowhere"))
    assert same(left, right) or left == right or kept.put(left) != kept.put(right)


ALIKE: list[tuple[Any, Any]] = [
    (1, "1"), ("1", b"1"), (None, "null"), ([1], "[1]"), ("", b""), (True, 1), (1, 1.0), ((1,), [1]), ("a", ["a"]),
    (np.float64(1), 1.0), (pd.DataFrame({"a": [1]}), pa.Table.from_pandas(pd.DataFrame({"a": [1]}))),
    (pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [1]}).to_arrow()),
    ('{"$":"tuple","is":[]}', ()),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), [*ALIKE, *[(b, a) for a, b in ALIKE]])
def test_values_that_look_alike_are_kept_apart(kept: Kept, one: Any, other: Any) -> None:
    first, second = kept.put(one), kept.put(other)
    assert first != second
    assert type(kept.get(first)) is type(one)
    assert type(kept.get(second)) is type(other)


def test_a_time_zone_comes_back_with_its_rules(kept: Kept) -> None:
    """As a bare offset, a month later would be an hour off."""
    noon = datetime(2024, 3, 1, 12, tzinfo=ZoneInfo("Europe/Paris"))
    found = kept.again({"at": noon})["at"]
    assert found.tzinfo is noon.tzinfo
    assert (found + timedelta(days=60)).utcoffset() == timedelta(hours=2)
    later = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Paris"), fold=1)
    assert kept.again(later).utcoffset() == later.utcoffset()


def test_reading_a_dataclass_runs_none_of_its_code(kept: Kept) -> None:
    made = Doubled(2)
    made.seen = 7
    found = kept.again(made)
    assert (found.x, found.seen) == (4, 7)


def test_equal_sets_have_equal_digests_in_every_process() -> None:
    program = (
        "from pathlib import Path; from loopwright.pipeline.values import Values;"
        "from loopwright.testing import HandClock; from loopwright.testing.memory import MemoryBlobs;"
        "v = {frozenset({'a', 'b', 'c'}), frozenset({'d', 'e', 'f'}), 'x', 'y'};"
        "values = Values(blobs=MemoryBlobs(HandClock()));"
        "print(values.store(v, folder=Path('.'), run_id='', step='', now=HandClock().now())[0])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "12"
    }
    assert len(told) == 1


ARRAYS = [
    np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(6)[::2], np.array(5.0),
    np.array([], dtype="f4"), np.array([1, 2], dtype=">i8"), np.array(["2013-01-01", "NaT"], dtype="datetime64[ns]"),
    np.array(["a", "zwölf"]), np.array([b"x"]), np.array([True]), np.array([1 + 2j]),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), np.array([1], dtype="timedelta64[s]"), np.zeros((0, 3)),
]  # fmt: skip


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_an_array_comes_back_with_its_type_and_shape(kept: Kept, array: Any) -> None:
    found = kept.again(array)
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)
    assert kept.put(array.copy(order="K")) == kept.put(array)


@pytest.mark.parametrize(
    "scalar", [np.float32(1.5), np.int64(3), np.bool_(1), np.str_("x"), np.datetime64("2013-01-01")]
)
def test_a_scalar_of_numpy_stays_one(kept: Kept, scalar: Any) -> None:
    assert type(kept.again(scalar)) is type(scalar)
    assert kept.again({"metric": scalar})["metric"] == scalar


POLARS: dict[str, Any] = {
    "columns of every kind": pl.DataFrame(
        {
            "i": [1, None], "f": [1.5, float("nan")], "s": ["a", None], "d": [date(2013, 1, 1), None],
            "t": [datetime(2013, 1, 1, tzinfo=UTC), None], "l": [[1, 2], []], "b": [b"x", None],
            "st": [{"a": 1}, {"a": None}], "dec": [Decimal("1.10"), None], "n": [None, None],
        },
        strict=False,
    ),
    "categories": pl.DataFrame({"c": ["a", "b"], "e": ["x", "x"]}, schema={"c": pl.Categorical, "e": pl.Enum(["x"])}),
    "no rows": pl.DataFrame(schema={"a": pl.Int8}),
    "no columns": pl.DataFrame(),
    "a series": pl.Series("name", [1, 2]),
    "a series without a name": pl.Series([1.5]),
    "an empty series": pl.Series("", [], dtype=pl.String),
}  # fmt: skip


@pytest.mark.parametrize("name", POLARS)
def test_a_polars_frame_comes_back(kept: Kept, name: str) -> None:
    value = POLARS[name]
    found = kept.again(value)
    assert type(found) is type(value)
    if isinstance(value, pl.Series):
        assert found.name == value.name
    else:
        assert found.schema == value.schema
    assert found.equals(value, null_equal=True)


PANDAS = {
    "columns of every kind": pd.DataFrame(
        {"i": [1, 2], "f": [1.5, None], "s": ["a", None], "t": pd.to_datetime(["2013-01-01", None])}
    ),
    "an index of dates": pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2013-01-01", periods=2, name="day")),
    "an index of text": pd.DataFrame({"a": [1, 2]}, index=["x", "y"]),
    "several indices": pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([("x", 1)], names=["k", "n"])),
    "numbers as columns": pd.DataFrame([[1, 2]], columns=[0, 1]),
    "categories": pd.DataFrame({"c": pd.Categorical(["a", "b"], categories=["b", "a"], ordered=True)}),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="float64")}),
    "no columns": pd.DataFrame(index=[1, 2]),
    "whole numbers that may lack": pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}),
}  # fmt: skip


@pytest.mark.parametrize("name", PANDAS)
def test_a_pandas_frame_comes_back_with_its_index(kept: Kept, name: str) -> None:
    pd.testing.assert_frame_equal(kept.again(PANDAS[name]), PANDAS[name], check_freq=False)


def test_an_arrow_table_comes_back_with_its_schema(kept: Kept) -> None:
    table = pa.table({"a": pa.array([1, None], pa.int8()), "d": pa.array(["x", "x"]).dictionary_encode()})
    table = table.replace_schema_metadata({"unit": "m"})
    found = kept.again(table)
    assert found.equals(table, check_metadata=True)


SLICED: dict[str, tuple[Any, Any]] = {
    "a polars frame in chunks": (
        pl.DataFrame({"a": [1, 2]}),
        pl.concat([pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2]})], rechunk=False),
    ),
    "a slice of a polars frame": (pl.DataFrame({"s": ["b"]}), pl.DataFrame({"s": ["a", "b"]})[1:]),
    "a polars series in chunks": (pl.Series("a", [1, 2]), pl.Series("a", [1]).append(pl.Series("a", [2]))),
    "an arrow table in chunks": (
        pa.table({"a": [1, 2]}),
        pa.concat_tables([pa.table({"a": [1]}), pa.table({"a": [2]})]),
    ),
    "a slice of an arrow table": (pa.table({"s": ["b"]}), pa.table({"s": ["a", "b"]}).slice(1)),
    "a slice of an array": (np.array([1, 3]), np.array([1, 2, 3])[::2]),
}  # fmt: skip


@pytest.mark.parametrize("name", SLICED)
def test_equal_frames_have_equal_digests_however_they_lie_in_memory(kept: Kept, name: str) -> None:
    whole, pieces = SLICED[name]
    assert kept.put(whole) == kept.put(pieces)


def test_frames_within_a_tuple_are_kept_as_parts(kept: Kept) -> None:
    train, test = kept.again((pl.DataFrame({"a": [1]}), {"test": np.arange(3)}))
    assert train.equals(pl.DataFrame({"a": [1]}))
    assert test["test"].tolist() == [0, 1, 2]
    digest = kept.put((pl.DataFrame({"a": [1]}), 1))
    assert [kept.artifacts[part].format for part in kept.artifacts[digest].parts] == ["arrow/polars"]


def test_a_file_comes_back_as_a_copy_under_its_name(kept: Kept, tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(b"weights")
    found = kept.again(source)
    assert (found.name, found.read_bytes()) == ("model.onnx", b"weights")
    found.write_bytes(b"spoilt")
    assert kept.again(source).read_bytes() == source.read_bytes() == b"weights"


def test_a_folder_comes_back_with_all_that_is_in_it(kept: Kept, tmp_path: Path) -> None:
    source = tmp_path / "out"
    (source / "deep" / "deeper").mkdir(parents=True)
    (source / "deep" / "a.txt").write_text("a")
    (source / "b.txt").write_text("b")
    (source / "empty").mkdir()
    found = kept.again(source)
    assert found.name == "out"
    assert sorted(p.relative_to(found).as_posix() for p in found.rglob("*")) == [
        "b.txt", "deep", "deep/a.txt", "deep/deeper", "empty",
    ]  # fmt: skip
    assert (found / "deep" / "a.txt").read_text() == "a"


def test_an_empty_folder_comes_back_empty(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    found = kept.again(tmp_path / "none")
    assert found.is_dir()
    assert list(found.iterdir()) == []


@pytest.mark.parametrize("path", [".", "..", "deep/.."])
def test_a_folder_named_by_dots_comes_back(
    kept: Kept, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work" / "deep").mkdir(parents=True)
    (tmp_path / "work" / "a.txt").write_text("a")
    monkeypatch.chdir(tmp_path / "work" / ("deep" if path == ".." else ""))
    found = kept.again(Path(path))
    assert (found / "a.txt").read_text() == "a"
    assert found.name == "work"


def test_links_in_a_folder_are_refused(kept: Kept, tmp_path: Path) -> None:
    source = tmp_path / "out"
    source.mkdir()
    (source / "link").symlink_to("/etc")
    assert "no plain file" in kept.refusal(source)


class OwnZone(tzinfo):
    def utcoffset(self, at: datetime | None) -> timedelta:
        return timedelta(0)

    dst = utcoffset

    def tzname(self, at: datetime | None) -> str:
        return "OWN"


@dataclass
class Both(dict[str, int]):
    x: int


class Model:
    def predict(self) -> int:
        return 1


REFUSED: dict[str, tuple[Any, str]] = {
    "a path to nothing": (Path("/nowhere/x"), "write it before"),
    "a model": (Model(), "pickle is not used"),
    "a function": (len, "pickle is not used"),
    "an object": (object(), "register a format"),
    "a generator": ((n for n in [1]), "register a format"),
    "a lazy frame": (pl.LazyFrame({"a": [1]}), "collect()"),
    "a model in a list": ([1, {"m": Model()}], "the value[1]['m']"),
    "an array of objects": (np.array([object()]), "astype"),
    "a frame of objects": (pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}), "cast"),
    "a masked array": (np.ma.masked_array([1, 2], [True, False]), "plain array"),
    "a matrix": (np.rec.array([(1, 2)], dtype=[("a", int), ("b", int)]), "plain array"),
    "a pandas frame of mixed types": (pd.DataFrame({"a": [1, "x"]}, dtype=object), "one type"),
    "a pandas frame of lists": (pd.DataFrame({"a": [[1], [2]]}), "come back as list"),
    "a pandas frame of numbers kept as objects": (pd.DataFrame({"a": [1, None]}, dtype=object), "astype"),
    "a datetime of a zone of its own": (START.replace(tzinfo=OwnZone()), "ZoneInfo"),
    "a dataclass that is a dict too": (Both(1), "more than its fields"),
    "a pandas frame of objects": (pd.DataFrame({"a": [object()]}), "one type"),
    "a pandas frame with a column twice": (pd.DataFrame([[1, 2]], columns=["a", "a"]), "cannot be kept"),
    "a pandas series": (pd.Series([1]), "to_frame()"),
    "text that is no Unicode": ("\udcff", "bytes"),
    "text in a list that is no Unicode": (["\udcff"], "bytes"),
    "a class": (Point, "pickle is not used"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_kept_safely_is_refused_with_what_to_do(kept: Kept, name: str) -> None:
    value, told = REFUSED[name]
    assert told in kept.refusal(value)


def test_a_class_within_a_function_is_refused(kept: Kept) -> None:
    @dataclass
    class Local:
        x: int

    assert "define the class in a module" in kept.refusal(Local(1))


@pytest.mark.parametrize("value", [{"a": 1}, np.arange(3), (1, np.arange(3)), "text"])
def test_damage_is_told_with_the_step_and_run_that_made_it(kept: Kept, value: Any) -> None:
    digest = kept.put(value)
    part = (*kept.artifacts[digest].parts, digest)[0]
    kept.blobs.overwrite(part, b"damaged")
    with pytest.raises(ArtifactCorrupted) as raised:
        kept.get(digest)
    assert "step 'clean' of run run-1" in str(raised.value)
    kept.blobs.delete([part])
    with pytest.raises(ArtifactNotFound, match="step 'clean' of run run-1"):
        kept.get(digest)


EVIL: dict[str, object] = {
    "a file outside": {"$": "file", "name": "../../x", "is": "{blob}"},
    "a file at the root": {"$": "file", "name": "/tmp/x", "is": "{blob}"},
    "a tree outside": {"$": "tree", "name": "t", "is": {"../../x": "{blob}"}},
    "a tree of an evil name": {"$": "tree", "name": "../..", "is": {"x": "{blob}"}},
    "an empty tree of an evil name": {"$": "tree", "name": "../..", "is": {}},
    "a function as a dataclass": {"$": "dataclass", "type": ["os", "system"], "is": {"command": "true"}},
    "a class that is no dataclass": {"$": "dataclass", "type": ["subprocess", "Popen"], "is": {"args": "true"}},
    "a dataclass of a module that is not loaded": {"$": "dataclass", "type": ["antigravity", "X"], "is": {}},
    "an enum that is none": {"$": "enum", "type": ["builtins", "dict"], "is": "fromkeys"},
    "an enum's member that is gone": {"$": "enum", "type": [__name__, "Colour"], "is": "BLUE"},
    "a dataclass of other fields": {"$": "dataclass", "type": [__name__, "Point"], "is": {"__class__": 1}},
    "a tag that is unknown": {"$": "eval", "is": "1"},
    "a tag without content": {"$": "tuple"},
    "a format that is unknown": {"$": "part", "format": "pickle", "is": "{blob}"},
}


@pytest.mark.parametrize("name", EVIL)
def test_stored_json_that_names_what_it_must_not_is_refused(kept: Kept, name: str, tmp_path: Path) -> None:
    blob = kept.blobs.put(b"content").digest
    digest = kept.stored(json.loads(json.dumps(EVIL[name]).replace("{blob}", blob)))
    with pytest.raises((ArtifactCorrupted, NotStorable)):
        kept.get(digest)
    assert "antigravity" not in sys.modules
    assert not (tmp_path.parent / "x").exists()


class Reversed:
    """A format of a user's own."""

    name = "reversed"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Model)

    def write(self, value: Any, folder: Path) -> bytes:
        return b"ledom"

    def read(self, path: Path, folder: Path) -> Any:
        assert path.read_bytes() == b"ledom"
        return Model()


def test_a_registered_format_keeps_what_no_other_does(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.values = Values(blobs=kept.blobs, formats=lambda: FORMATS | {"reversed": Reversed()})
    assert isinstance(kept.again([Model()])[0], Model)
    assert isinstance(kept.again(Model()), Model)


def test_a_format_cannot_take_the_name_of_another() -> None:
    class Text(Reversed):
        name = "text"

    with pytest.raises(DeclarationError, match="taken by Text"):
        register_format(Text())


def test_the_digest_is_that_of_the_content(kept: Kept) -> None:
    digest = kept.put({"a": 1})
    assert digest == hashlib.sha256(kept.blobs.read(digest)).hexdigest()
    assert kept.artifacts[digest].size_bytes == len(kept.blobs.read(digest))


def forgetful(order: Callable[[list[str]], list[str]]) -> str:
    kept = Kept(Path("/nowhere"))
    return kept.put(dict.fromkeys(order(["a", "b"]), 1))


def test_the_order_of_names_is_part_of_a_dict() -> None:
    assert forgetful(sorted) != forgetful(lambda names: names[::-1])
