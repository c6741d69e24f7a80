"""Formats for values that are no JSON. Each writes one blob, equal bytes for equal values, and runs no code to read.

A type is recognised by the module it comes from, so that no library is imported to find out that a value is not its.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from loopwright.errors import DeclarationError, NotStorable


class Format(Protocol):
    """A way to keep one kind of value."""

    @property
    def name(self) -> str:
        """Recorded with the artifact: never change what a name means."""
        ...

    def accepts(self, value: Any) -> bool: ...

    def write(self, value: Any, folder: Path) -> bytes | Path:
        """The content, or a file with it in `folder`. Raises NotStorable."""
        ...

    def read(self, path: Path, folder: Path) -> Any:
        """The value again. The file at `path` is read-only; `folder` lives as long as the step."""
        ...


class Text:
    name = "text"

    def accepts(self, value: Any) -> bool:
        return type(value) is str

    def write(self, value: str, folder: Path) -> bytes:
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise NotStorable(f"the text is not Unicode: {error}", fix="return bytes") from None

    def read(self, path: Path, folder: Path) -> str:
        return path.read_bytes().decode()


class Bytes:
    name = "bytes"

    def accepts(self, value: Any) -> bool:
        return type(value) is bytes

    def write(self, value: bytes, folder: Path) -> bytes:
        return value

    def read(self, path: Path, folder: Path) -> bytes:
        return path.read_bytes()


class NumpyFile:
    """Arrays and NumPy's scalars, as .npy without pickle."""

    name = "numpy"

    def accepts(self, value: Any) -> bool:
        return _from(value, "numpy", "ndarray", "generic")

    def write(self, value: Any, folder: Path) -> bytes:
        import numpy as np

        if not isinstance(value, np.generic) and type(value) not in (np.ndarray, np.memmap):
            raise NotStorable(
                f"a {type(value).__qualname__} is more than its numbers",
                fix="make it a plain array: np.asarray(...); a masked one: masked.filled(...)",
            )
        content = io.BytesIO()
        try:
            np.lib.format.write_array(content, np.asanyarray(value), allow_pickle=False)
        except ValueError:
            raise NotStorable(
                f"an array of {value.dtype} holds Python objects", fix="convert it: array.astype(float) or .astype(str)"
            ) from None
        return content.getvalue()

    def read(self, path: Path, folder: Path) -> Any:
        import numpy as np

        with path.open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
        return array if array.ndim else array[()]


class PolarsFrame:
    """Polars frames and series, as an Arrow IPC file."""

    name = "arrow/polars"

    def accepts(self, value: Any) -> bool:
        return _from(value, "polars", "DataFrame", "Series")

    def write(self, value: Any, folder: Path) -> Path:
        import polars as pl

        target = folder / "frame.arrow"
        series = isinstance(value, pl.Series)
        try:
            frame = value.to_frame("\0series\0" + value.name) if series else value
            frame.write_ipc(target, compression="lz4")
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise NotStorable(f"the frame cannot be kept as Arrow: {error}", fix="drop or cast the column") from None
        return target

    def read(self, path: Path, folder: Path) -> Any:
        import polars as pl

        frame = pl.read_ipc(path)
        name = frame.columns[0] if frame.width == 1 else ""
        return frame.to_series().alias(name[8:]) if name.startswith("\0series\0") else frame


class ArrowTable:
    """Arrow tables, as an Arrow IPC file."""

    name = "arrow/table"

    def accepts(self, value: Any) -> bool:
        return _from(value, "pyarrow", "Table")

    def write(self, value: Any, folder: Path) -> Path:
        import pyarrow as pa

        target = folder / "table.arrow"
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.OSFile(str(target), "wb") as file, pa.ipc.new_file(file, value.schema, options=options) as writer:
            writer.write_table(value.combine_chunks())  # equal tables, equal bytes, however they were put together
        return target

    def read(self, path: Path, folder: Path) -> Any:
        import pyarrow as pa

        with pa.OSFile(str(path), "rb") as file:
            return pa.ipc.open_file(file).read_all()


class PandasFrame(ArrowTable):
    """Pandas frames with their index, as an Arrow IPC file."""

    name = "arrow/pandas"

    def accepts(self, value: Any) -> bool:
        return _from(value, "pandas", "DataFrame")

    def write(self, value: Any, folder: Path) -> Path:
        import pyarrow as pa

        try:
            table = pa.Table.from_pandas(value)
            _refuse_changed(value, table)
            return super().write(table, folder)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise NotStorable(
                f"the frame cannot be kept as Arrow: {error}", fix="give each column one type: frame.astype(...)"
            ) from None

    def read(self, path: Path, folder: Path) -> Any:
        return super().read(path, folder).to_pandas()


class File:
    """The content of one file, under the name it had. Folders are made of these: see `values`."""

    name = "file"

    def accepts(self, value: Any) -> bool:
        return False  # a Path is kept by `values`, which knows folders too

    def write(self, value: Path, folder: Path) -> Path:
        return value

    def read(self, path: Path, folder: Path) -> Path:
        target = folder / path.name
        shutil.copyfile(path, target)
        return target


FORMATS: dict[str, Format] = {
    form.name: form for form in (File(), Text(), Bytes(), NumpyFile(), PolarsFrame(), PandasFrame(), ArrowTable())
}


def register_format(form: Format) -> None:
    """Teach Loopwright to keep one more kind of value. Raises DeclarationError for a name that is taken."""
    known = FORMATS.get(form.name)
    if known is not None and type(known) is not type(form):
        raise DeclarationError(f"the format {form.name!r} is taken by {type(known).__qualname__}", fix="rename yours")
    FORMATS[form.name] = form


def kept_as(value: Any, formats: Mapping[str, Format]) -> Format | None:
    """The format that accepts the value; registered ones go before those that are built in."""
    return next((form for form in reversed(list(formats.values())) if form.accepts(value)), None)


def _refuse_changed(frame: Any, table: Any) -> None:
    """Raises TypeError for columns of objects that Arrow would hand back as something else: lists as arrays, say."""
    import pyarrow as pa

    for name, kind in zip(frame.columns, frame.dtypes, strict=True):
        if kind.kind == "O":
            written = table.schema.field(str(name)).type
            if pa.types.is_nested(written) or pa.types.is_integer(written) or pa.types.is_floating(written):
                raise TypeError(f"column {name!r} holds Python objects, which would come back as {written}")


def _from(value: Any, library: str, *names: str) -> bool:
    """Whether the value is of one of these classes of the library, without importing it."""
    return any(kind.__module__.split(".")[0] == library and kind.__name__ in names for kind in type(value).__mro__)
