"""Tables, arrays and tensors of a run folder: parquet, npz without pickle, safetensors."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.runs.files import damaged

if TYPE_CHECKING:
    import torch

_PIECE = 1 << 20
"""Bytes of a file that are read at a time."""


def conform(table: pa.Table, schema: pa.Schema, later: Collection[str] = ()) -> pa.Table:
    """`table` with exactly the columns of `schema`, in its order and types.

    Columns of `later` may lack, and are null then.

    Raises ValueError when another column is missing or unknown, or a value does not fit.
    """
    for name in later:
        if name not in table.column_names:
            table = table.append_column(schema.field(name), pa.nulls(len(table), schema.field(name).type))
    names = set(table.column_names)
    if names != set(schema.names):
        raise ValueError(f"columns are {sorted(names)}, not {sorted(schema.names)}")
    return pa.table([_cast(table[field.name], field.type) for field in schema], schema=schema)


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(kind)


def write_table(file: BinaryIO, table: pa.Table) -> None:
    """Write `table` as compressed parquet."""
    pq.write_table(table, file, compression="zstd")


def read_table(path: Path, schema: pa.Schema, later: Collection[str] = ()) -> pa.Table:
    """The table in `path`; columns of `later` may lack, and are null then.

    Raises UserError when it is missing, damaged or does not have the other columns of `schema`.
    """
    try:
        # Not pq.read_table: that imports pandas.
        with path.open("rb") as file, pq.ParquetFile(file) as table:
            return conform(table.read(), schema, later)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(path, error) from None


def write_arrays(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Write `arrays` as npz. Raises ValueError for arrays of objects, which only pickle could keep."""
    plain: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in plain.items():
        if array.dtype.hasobject:
            raise ValueError(f"array “{name}” holds objects")
    np.savez(file, **plain)


BROKEN_ZIP = (OSError, ValueError, EOFError, NotImplementedError, struct.error, zipfile.BadZipFile)
"""What opening a zip file raises when its bytes are broken; NotImplementedError where they name a version to come."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays in `path`. Raises UserError when the file is missing or damaged, or needs pickle."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # noqa: BLE001  what reads zip and npy raises nearly anything when bytes are broken
        raise damaged(path, error) from None


def names_of_arrays(path: Path) -> tuple[str, ...]:
    """What the arrays in an npz are called; none of them is read. Raises UserError when it is missing or damaged."""
    try:
        with zipfile.ZipFile(path) as stored:
            return tuple(name.removesuffix(".npy") for name in stored.namelist())
    except BROKEN_ZIP as error:
        raise damaged(path, error) from None


def map_array(path: Path, name: str) -> np.ndarray | None:
    """The array called `name` in the npz at `path`, memory-mapped: read-only, and in memory only where it is read.

    None where there is no such array. Its checksum is verified once, a piece at a time.
    Raises UserError when the file is missing or damaged, or needs pickle.
    """
    try:
        with zipfile.ZipFile(path) as stored:
            if f"{name}.npy" not in stored.namelist():
                return None
            entry = stored.getinfo(f"{name}.npy")
            if entry.compress_type != zipfile.ZIP_STORED:
                return read_arrays(path)[name]  # not written by us
            with stored.open(entry) as content:
                while content.read(_PIECE):  # raises at the end where the checksum differs
                    pass
        with path.open("rb") as file:
            file.seek(entry.header_offset)
            lengths = struct.unpack("<26x2H", file.read(30))  # of the name and of the extra field that come next
            file.seek(sum(lengths), os.SEEK_CUR)
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("not as np.savez writes it")
            shape, in_columns, kind = np.lib.format.read_array_header_1_0(file)
            if kind.hasobject:
                raise ValueError("it holds objects")
            return np.memmap(file, kind, "r", file.tell(), shape, "F" if in_columns else "C")
    except Exception as error:  # noqa: BLE001  as above
        raise damaged(path, error) from None


def write_tensors(file: BinaryIO, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write `tensors` as safetensors; views are written as tensors of their own."""
    from safetensors.torch import save

    file.write(save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}))


def read_plain_tensors(path: Path) -> dict[str, np.ndarray]:
    """As `read_tensors`, without torch; not for bfloat16, which numpy does not have."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise damaged(path, error) from None


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors in `path`, on the CPU. Raises UserError when it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Any] = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise damaged(path, error) from None
    return tensors
