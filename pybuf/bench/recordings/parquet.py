"""Our schema for Parquet files, through pyarrow; docs/trace-format.md is its specification."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pybuf.bench.recordings import _records
from pybuf.bench.recordings.records import Batch, Source

MAGIC = b"PAR1"
VERSION = 1
VERSION_KEY = b"pybuf.trace.version"
PROGRAM_KEY = b"pybuf.trace.program"
#: Name, type as pyarrow prints it, whether it may be null (and then is in all rows: it was not recorded), meaning.
COLUMNS = (
    ("operation", "uint8", False, "1 allocate, 2 free, 3 reallocate from, 4 reallocate to, 5 fail"),
    ("thread", "uint32", True, "a number that no other thread of the recording has"),
    ("time_ns", "uint64", True, "on a clock that starts anywhere and is the same for all threads"),
    ("address", "uint64", False, "of the block; 0 where there is none"),
    ("size", "uint64", False, "bytes that were asked for; 0 for a free and for reallocate from"),
    ("alignment", "uint8", True, "that was asked for, as a power of two; 0: none beyond malloc's"),
    ("zeroed", "uint8", True, "1: the block was cleared, as calloc does; else 0"),
)
ROW_GROUP_ROWS = 1 << 20
NEEDS = "pyarrow"


class ForeignError(ValueError):
    """A Parquet file of another schema, or one that cannot be read; its text says what was found."""


def _schema(pyarrow: Any, metadata: dict[bytes, bytes] | None = None) -> Any:
    fields = [pyarrow.field(name, getattr(pyarrow, kind)(), nullable) for name, kind, nullable, _ in COLUMNS]
    return pyarrow.schema(fields, metadata=metadata)


def read(path: Path) -> Source:
    """Read a Parquet file. Raises ModuleNotFoundError without pyarrow, ForeignError for a file that is not ours."""
    import pyarrow  # type: ignore[import-untyped]

    try:
        return _source(pyarrow, path)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as damage:
        raise ForeignError(f"cut short or damaged ({str(damage).partition(chr(10))[0]})") from None


def _source(pyarrow: Any, path: Path) -> Source:
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    found = file.schema_arrow
    metadata = found.metadata or {}
    version = metadata.get(VERSION_KEY, b"").decode("utf-8", "replace")
    if not version:
        raise ForeignError(f"a Parquet file, but no trace: its metadata has no {VERSION_KEY.decode()}")
    if version != str(VERSION):
        raise ForeignError(f"version {version} of the schema; this pybuf reads version {VERSION}")
    for field in _schema(pyarrow):
        if field.name not in found.names or found.field(field.name).type != field.type:
            raise ForeignError(f"column {field.name!r} is missing or is no {field.type}")
    recorded = {
        name: not nullable or _is_recorded(file, name, found.names.index(name)) for name, _, nullable, _ in COLUMNS
    }
    program = metadata.get(PROGRAM_KEY, b"").decode("utf-8", "replace")
    return Source(
        "parquet", _batches(pyarrow, file, recorded), has_threads=recorded["thread"], has_times=recorded["time_ns"],
        has_alignments=recorded["alignment"], has_zeroed=recorded["zeroed"],
        notes={"program": program} if program else {},
    )


def _is_recorded(file: Any, name: str, place: int) -> bool:
    """False for a column that is null throughout. Other nulls are found when the rows are read."""
    groups = file.metadata
    for number in range(groups.num_row_groups):
        group = groups.row_group(number)
        statistics = group.column(place).statistics
        if statistics is not None and statistics.has_null_count:
            nulls = statistics.null_count
        else:
            nulls = file.read_row_group(number, columns=[name]).column(0).null_count
        if nulls < group.num_rows:
            return True
    return not groups.num_row_groups


def _batches(pyarrow: Any, file: Any, recorded: dict[str, bool]) -> Iterator[Batch]:
    names = [name for name, *_ in COLUMNS]
    try:
        # One iterator over all row groups would keep what it has read of each to its end.
        for group in range(file.metadata.num_row_groups):
            for rows in file.iter_batches(batch_size=1 << 16, row_groups=[group], columns=names):
                if rows.num_rows:
                    yield _records.from_columns(rows.num_rows, *_columns(rows, recorded))
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as damage:
        raise ForeignError(f"damaged ({str(damage).partition(chr(10))[0]})") from None


def _columns(rows: Any, recorded: dict[str, bool]) -> list[Any]:
    columns: list[Any] = []
    for name, kind, *_ in COLUMNS:
        column = rows.column(name)
        if not recorded[name]:
            columns.append(None)
            continue
        if column.null_count:
            raise ForeignError(f"column {name!r} has nulls")
        width = int(kind.removeprefix("uint")) // 8
        values = memoryview(column.buffers()[1]).cast("B")
        columns.append(values[column.offset * width:(column.offset + len(column)) * width])
    return columns


def write(source: Source, path: Path) -> None:
    """Write a recording as a Parquet file, compressed with zstd. Raises ModuleNotFoundError without pyarrow."""
    import pyarrow
    from pyarrow import parquet

    metadata = {VERSION_KEY: str(VERSION).encode()}
    if source.notes.get("program"):
        metadata[PROGRAM_KEY] = str(source.notes["program"]).encode()
    schema = _schema(pyarrow, metadata)
    recorded = {
        "thread": source.has_threads, "time_ns": source.has_times, "alignment": source.has_alignments,
        "zeroed": source.has_zeroed,
    }
    encodings = {"time_ns": "DELTA_BINARY_PACKED", "address": "PLAIN", "size": "PLAIN"}
    with parquet.ParquetWriter(
        path, schema, compression="zstd", use_dictionary=["operation", "thread", "alignment", "zeroed"],
        column_encoding=encodings,
    ) as file:
        waiting: list[Any] = []
        rows = 0
        for batch in source.batches:
            operations = memoryview(batch)[28::32]
            if not len(operations):
                continue
            arrays = []
            for (name, kind, *_), values in zip(COLUMNS, _records.to_columns(batch), strict=True):
                if recorded.get(name, True):
                    arrays.append(pyarrow.Array.from_buffers(
                        getattr(pyarrow, kind)(), len(operations), [None, pyarrow.py_buffer(values)]))
                else:
                    arrays.append(pyarrow.nulls(len(operations), getattr(pyarrow, kind)()))
            waiting.append(pyarrow.record_batch(arrays, schema=schema))
            rows += len(operations)
            if rows >= ROW_GROUP_ROWS:
                file.write_table(pyarrow.Table.from_batches(waiting, schema=schema))
                waiting, rows = [], 0
        if waiting:
            file.write_table(pyarrow.Table.from_batches(waiting, schema=schema))
