"""A journal: the part of a recording that is being written, appended chunk by chunk.

Parquet cannot be read before its end is written, so what is recorded goes here first. Each chunk
is whole or not there, whatever ends the process; a finished journal becomes a Parquet file.

    gateway_lab journal 1␊        then chunks: length u64, CRC-32 u32 (little-endian), content
    first chunk                   what the recording says about itself: JSON, as in Parquet
    every other chunk             rows: a stream of Arrow IPC
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, Final

import msgspec
import polars as pl

from gateway_lab.captures.format import CaptureMetadata, decode_metadata
from gateway_lab.captures.write import PARQUET_ENDING, flush_folder, replaced, write_part
from gateway_lab.errors import CaptureError

JOURNAL_ENDING: Final = ".journal"

_MAGIC: Final = b"gateway_lab journal 1\n"
_HEAD: Final = struct.Struct("<QI")


class Journal:
    """A journal that is written to.

    Attributes:
        path: The file; it is there from the beginning, with what it says about itself.
        rows: Rows appended.
        bytes: Its size.
    """

    def __init__(self, path: Path, metadata: CaptureMetadata) -> None:
        """Begin a journal.

        Raises:
            CaptureError: The file cannot be written.
        """
        self.path, self.rows = path, 0
        head = _MAGIC + _chunk(msgspec.json.encode(metadata))
        with replaced(path) as partial:
            partial.write_bytes(head)
        self.bytes = len(head)
        self._file: IO[bytes] = path.open("ab", buffering=0)

    def append(self, rows: pl.DataFrame) -> None:
        """Write rows, and return when they are on the disk.

        Raises:
            OSError: They are not, or not all of them; nothing more can be appended.
        """
        content = BytesIO()
        rows.write_ipc_stream(content)
        chunk = _chunk(content.getbuffer())
        _write_all(self._file, chunk)
        os.fdatasync(self._file.fileno())
        self.rows += rows.height
        self.bytes += len(chunk)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_journal(path: Path) -> tuple[CaptureMetadata, Iterator[pl.DataFrame]]:
    """Read a journal up to its last whole chunk.

    Returns:
        What it says about itself, and its rows, chunk by chunk.

    Raises:
        CaptureError: It is no journal.
        OSError: It cannot be read.
    """
    chunks = _chunks(path)
    first = next(chunks, None)
    if first is None:
        raise CaptureError(
            "this is no journal of a recording, or it is damaged at its beginning", where=str(path)
        )
    metadata = decode_metadata(first, where=str(path))
    return metadata, (pl.read_ipc_stream(BytesIO(chunk)) for chunk in chunks)


def finish_journal(path: Path) -> Path | None:
    """Put a Parquet file in a journal's place, and return it; None if no row is in it.

    Raises:
        CaptureError: The file cannot be written: the journal stays.
    """
    metadata, chunks = read_journal(path)
    rows = [each for each in chunks if each.height]
    part = path.with_suffix(PARQUET_ENDING)
    if rows:
        write_part(pl.concat(rows, rechunk=False), part, metadata=metadata)
    path.unlink()
    flush_folder(path.parent)
    return part if rows else None


def _chunk(content: bytes | memoryview) -> bytes:
    return _HEAD.pack(len(content), zlib.crc32(content)) + content


def _chunks(path: Path) -> Iterator[bytes]:
    """Read the chunks until one is not whole: what follows it was never told to be written."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, check = _HEAD.unpack(head)
            content = file.read(min(length, path.stat().st_size))
            if len(content) < length or zlib.crc32(content) != check:
                return
            yield content


def _write_all(file: IO[bytes], data: bytes) -> None:
    """Write all of it; the system may take a part, on a disk that fills."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
