"""Files of every kind read as they are, and every bad one refused with the file, the place and the reason."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event
from typing import ClassVar

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from loopwright.data import delimited, files
from loopwright.data.source import open_source
from loopwright.errors import BadSource, MissingExtra

BLOCK = 1 << 22  # Arrow learns a CSV column's type from this many bytes


def rows_of(location: str | Path, expected: pa.Schema | None = None) -> list[dict[str, object]]:
    source = open_source(location, expected)
    return [row for batch in source.batches() for row in batch.to_pylist()]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(location: str | Path, expected: pa.Schema | None = None) -> str:
    with pytest.raises(BadSource) as refused:
        rows_of(location, expected)
    assert refused.value.where, "a refusal says where"
    assert refused.value.fix, "a refusal says what to do"
    return str(refused.value)


def test_csv_is_read_with_its_types(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.csv", "i,f,s,b,d,t,z\n1,1.5,x,true,2026-01-02,2026-01-02T03:04:05.5,2026-01-02T03:00:00+01:00\n"
    )
    assert rows_of(path) == [
        {
            "i": 1,
            "f": 1.5,
            "s": "x",
            "b": True,
            "d": date(2026, 1, 2),
            "t": datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC),
            "z": datetime(2026, 1, 2, 2, tzinfo=UTC),
        }
    ]


def test_an_empty_csv_field_is_missing_and_a_quoted_one_is_empty_text(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'i,s\n1,\n,""\n3,NA\n')
    assert rows_of(path) == [{"i": 1, "s": None}, {"i": None, "s": ""}, {"i": 3, "s": "NA"}]


def test_newlines_and_delimiters_within_quotes_are_text(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path / "a.csv", 'a,b\n1,"x\ny, ""z"""\n')) == [{"a": 1, "b": 'x\ny, "z"'}]


def test_tsv_gzip_and_byte_order_marks_are_read(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path / "a.tsv", "a\tb\n1\tx,y\n")) == [{"a": 1, "b": "x,y"}]
    assert rows_of(written(tmp_path / "a.csv.gz", gzip.compress(b"a,b\n1,x\n"))) == [{"a": 1, "b": "x"}]
    assert rows_of(written(tmp_path / "b.csv", b"\xef\xbb\xbfa,b\r\n1,x\r\n")) == [{"a": 1, "b": "x"}]


def test_a_csv_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "a,b\n")
    assert open_source(path).schema.names == ["a", "b"]
    assert rows_of(path) == []


def test_expected_types_hold_whatever_the_file_looks_like(tmp_path: Path) -> None:
    expected = pa.schema([("a", pa.float64()), ("b", pa.string()), ("t", pa.timestamp("us", "UTC")), ("n", pa.int64())])
    path = written(tmp_path / "a.csv", "a,b,t,n\n1,007,2026-01-02,\n")
    assert rows_of(path, expected) == [{"a": 1.0, "b": "007", "t": datetime(2026, 1, 2, tzinfo=UTC), "n": None}]
    lines = written(tmp_path / "a.jsonl", '{"a":1,"b":"007","t":"2026-01-02T00:00:00.5Z","n":null}\n')
    assert rows_of(lines, expected)[0]["t"] == datetime(2026, 1, 2, 0, 0, 0, 500_000, tzinfo=UTC)


def test_json_lines_are_read_with_their_types(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", '{"a":1,"b":"x","t":"2026-01-02T03:00:00Z"}\n\n{"a":null,"b":"y"}\n')
    assert rows_of(path) == [
        {"a": 1, "b": "x", "t": datetime(2026, 1, 2, 3, tzinfo=UTC)},
        {"a": None, "b": "y", "t": None},
    ]
    dated = pa.schema([("d", pa.date32())])
    assert rows_of(written(tmp_path / "d.ndjson", '{"d":"2026-01-02"}\n'), dated) == [{"d": date(2026, 1, 2)}]


def test_parquet_and_delta_folders_are_read(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_delta(str(tmp_path / "delta"))
    assert rows_of(tmp_path / "a.parquet") == frame.to_dicts()
    assert rows_of(tmp_path / "delta") == frame.to_dicts()


def test_a_glob_is_read_file_by_file_in_the_order_of_names(tmp_path: Path) -> None:
    written(tmp_path / "b.csv", "a,b\n2.5,y\n")
    written(tmp_path / "a.csv", "b,a\nx,1\n")
    assert rows_of(tmp_path / "*.csv") == [{"b": "x", "a": 1.0}, {"b": "y", "a": 2.5}]


def test_object_store_urls_are_read_through_fsspec() -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/lw/a.csv", b"a,b\n1,x\n")
    store.pipe("/lw/b.csv", b"a,b\n2,y\n")
    try:
        assert rows_of("memory://lw/*.csv") == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
        assert "memory://lw/c.csv" in refusal("memory://lw/c.csv")
    finally:
        store.rm("/lw", recursive=True)


def test_an_object_store_without_its_driver_tells_what_to_install() -> None:
    if "s3" in fsspec.available_protocols() and _installed("s3fs"):
        pytest.skip("s3fs is installed here")
    with pytest.raises(MissingExtra, match=r"loopwright\[s3\]"):
        open_source("s3://bucket/a.csv")


def _installed(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def filler(bytes_wanted: int, line: str = "1,x\n") -> str:
    return line * (bytes_wanted // len(line) + 1)


RAGGED_OR_WORSE: list[tuple[str, str | bytes, list[str]]] = [
    ("long.csv", "a,b\n1,2\n1,2,3\n1,2\n", ["row 2 has 3 fields where the header has 2", "header not counted"]),
    ("short.csv", "a,b\n1,2\n1,2\n1\n", ["row 3 has 1 field where the header has 2"]),
    ("quoted.csv", 'a,b\n1,"x\ny"\n1,"x\n\ny"\n1\n', ["row 3 has 1 field"]),
    ("late.csv", "a,b\n" + "1,x\n" * 2_000_000 + "y,x\n", ["row 2000001, column 'a'", "'y'", "int64"]),
    ("float.csv", "a,b\n" + "1,x\n" * 2_000_000 + "2.5,x\n", ["row 2000001, column 'a'", "'2.5'", "int64"]),
    ("null.csv", "a,b\n" + ",x\n" * 2_000_000 + "7,x\n", ["row 2000001, column 'a'", "'7'", "null"]),
    ("latin.csv", b"a,b\n1,x\n2,caf\xe9\n", ["row 2, column 'b'", "not UTF-8"]),
    ("latin_late.csv", b"a,b\n" + b"1,x\n" * 2_000_000 + b"1,\xe9\n", ["row 2000001, column 'b'", "not UTF-8"]),
    ("latin_header.csv", b"a,\xe9\n1,2\n", ["header", "not UTF-8"]),
    ("empty.csv", "", ["empty: 0 bytes"]),
    ("twice.csv", "a,b,a\n1,2,3\n", ["two columns are named 'a'"]),
    ("unnamed.csv", "a,,b\n1,2,3\n", ["column 2 has no name"]),
    ("cut.csv", 'a,b\n1,x\n2,"cut sho', ["row 2", "never closed"]),
    ("cut.csv.gz", gzip.compress(b"a,b\n" + bytes(range(48, 58)) * 5000)[:60], ["Truncated"]),
    ("not.csv.gz", b"a,b\n1,2\n", ["cannot be read"]),
    ("empty.parquet", b"", ["empty: 0 bytes"]),
    ("text.parquet", "a,b\n1,2\n3,4\n5,6\n", ["cannot be read as Parquet"]),
    ("empty.jsonl", "", ["empty: 0 bytes"]),
    ("blank.jsonl", "\n\n", ["no row"]),
    ("cut.jsonl", '{"a":1}\n{"a":2}\n{"a":', ["row 3", "not JSON"]),
    ("array.json", '[{"a":1}]', ["row 1", "list"]),
    ("latin.jsonl", b'{"a":"x"}\n{"a":"\xe9"}\n', ["row 2", "not UTF-8"]),
    ("type.jsonl", '{"a":1,"b":1}\n{"a":2}\n{"a":"x"}\n', ["row 3, column 'a'", "'x'"]),
    ("late.jsonl", '{"a":1}\n' * 2_200_000 + '{"a":2.5}\n', ["row 2200001, column 'a'", "2.5", "int64"]),
    ("new.jsonl", '{"a":1}\n' * 2_200_000 + '{"a":2,"b":1}\n', ["row 2200001", "'b'", "not in the rows before"]),
    ("notes.txt", "hello", ["suffix", ".parquet"]),
]


@pytest.mark.parametrize(("name", "content", "told"), RAGGED_OR_WORSE, ids=[name for name, _, _ in RAGGED_OR_WORSE])
def test_a_bad_file_is_refused_with_its_name_place_and_reason(
    tmp_path: Path, name: str, content: str | bytes, told: list[str]
) -> None:
    message = refusal(written(tmp_path / name, content))
    assert name in message
    for part in told:
        assert part in message


def test_parquet_cut_short_or_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": range(10_000)}), path, write_page_checksum=True)
    whole = path.read_bytes()
    assert "a.parquet" in refusal(written(path, whole[: len(whole) // 2]))
    assert "a.parquet" in refusal(written(path, whole[:1000] + b"\xff" * 2000 + whole[3000:]))


def test_a_value_of_another_type_than_expected_is_refused_with_its_row(tmp_path: Path) -> None:
    expected = pa.schema([("a", pa.int64()), ("d", pa.date32())])
    assert "row 2, column 'a'" in refusal(written(tmp_path / "a.csv", "a,d\n1,\n2.5,\n"), expected)
    assert "row 2, column 'd': 'soon'" in refusal(
        written(tmp_path / "a.jsonl", '{"a":1,"d":"2026-01-01"}\n{"a":1,"d":"soon"}\n'), expected
    )


def test_missing_files_and_globs_that_match_nothing_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.csv")
    assert "no file matches" in refusal(tmp_path / "*.csv")
    assert "no Delta table" in refusal(tmp_path)


def test_files_of_one_glob_that_differ_are_both_named(tmp_path: Path) -> None:
    written(tmp_path / "a.csv", "a,b\n1,x\n")
    written(tmp_path / "b.csv", "a,c\n1,x\n")
    message = refusal(tmp_path / "*.csv")
    assert "a.csv" in message
    assert "b.csv" in message
    written(tmp_path / "b.csv", "a,b\ny,x\n")
    message = refusal(tmp_path / "*.csv")
    assert "column 'a' is int64 in" in message
    assert "b.csv" in message


def test_a_password_in_a_url_is_never_shown(tmp_path: Path) -> None:
    assert "hunter2" not in refusal("memory://me:hunter2@nowhere/a.csv")


def test_nothing_is_read_beyond_the_first_block_before_it_is_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "a,b\n" + filler(3 * BLOCK) + "broken\n")
    batches = open_source(path).batches()
    assert next(batches).num_rows > 0


class Slow(io.BytesIO):
    """Takes its time from the second read on, and remembers when it was read."""

    reads: ClassVar[list[str]] = []

    def read(self, size: int | None = -1) -> bytes:
        self.reads.append("begun")
        if len(self.reads) > 2:
            Event().wait(0.05)
        block = super().read(min(size or 0, 20_000))
        self.reads.append("done")
        return block


class SlowFiles(MemoryFileSystem):  # type: ignore[misc]
    protocol = "slow"
    store: ClassVar[dict[str, object]] = {}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("slow://")))

    def _open(self, path: str, mode: str = "rb", **given: object) -> io.BytesIO:
        opened: io.BytesIO = super()._open(path, mode, **given)
        return Slow(opened.getvalue()) if mode == "rb" else opened


def test_nothing_reads_on_once_a_file_has_been_refused() -> None:
    """What reads ahead in Arrow's threads, in Python, would abort the process when it ends."""
    fsspec.register_implementation("slow", SlowFiles, clobber=True)
    store = fsspec.filesystem("slow")
    store.pipe("/lw/a.csv", b"a,b\n" + b"1,2\n" * 6000 + b"3\n" + b"1,2\n" * 3_000_000)
    try:
        assert "row 6001 has 1 field" in refusal("slow:///lw/a.csv")
        done = len(Slow.reads)
        assert Slow.reads.count("begun") == Slow.reads.count("done")
        Event().wait(0.3)
        assert len(Slow.reads) == done
    finally:
        store.rm("/lw", recursive=True)


def test_arrow_reads_local_files_by_itself(tmp_path: Path) -> None:
    (file,) = files.find(str(written(tmp_path / "a.csv", "a\n1\n")))
    with file.opened() as data:
        assert isinstance(data, pa.OSFile), "its threads may outlive the interpreter"


def test_json_numbers_and_nested_values_survive(tmp_path: Path) -> None:
    rows = [{"a": {"x": 1}, "b": [1, 2]}, {"a": {"x": 2}, "b": []}]
    path = written(tmp_path / "a.jsonl", "\n".join(json.dumps(row) for row in rows))
    assert rows_of(path) == rows


@pytest.mark.parametrize("sign", [";", "\t", "|"], ids=["semicolon", "tab", "bar"])
def test_what_separates_fields_is_told_by_the_header(tmp_path: Path, sign: str) -> None:
    content = "\n".join([sign.join("abc"), *[sign.join(["1", "x, y", '"q' + sign + 'q"'])] * 3]) + "\n"
    file = written(tmp_path / "rows.csv", content)
    assert rows_of(file) == [{"a": 1, "b": "x, y", "c": f"q{sign}q"}] * 3
    [found] = files.find(str(file))
    assert delimited.delimiter(found) == sign


@pytest.mark.parametrize("header", ["a,b;c", '"a;b"', "one"], ids=["comma first", "quoted", "one column"])
def test_a_comma_separates_where_the_header_has_one_or_nothing(tmp_path: Path, header: str) -> None:
    [found] = files.find(str(written(tmp_path / "rows.csv", f"{header}\n")))
    assert delimited.delimiter(found) == ","
