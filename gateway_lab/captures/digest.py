"""The digest of a capture: SHA-256 of what it holds, whatever the file looks like.

Two captures have the same digest when they have the same rows in the same order. Row groups,
compression, the split into files and the metadata do not count. Per column, one hash runs
over the numbers (for text and bytes: the lengths) and one over the text or bytes, so the
batches in which the rows arrive do not count either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import polars as pl

from gateway_lab.captures.format import COLUMNS, INVALID


class Digest:
    """A digest that is fed batch by batch, in the order of the rows."""

    def __init__(self, *, with_verdicts: bool) -> None:
        self._columns = (*COLUMNS, INVALID) if with_verdicts else tuple(COLUMNS)
        leaves = [name for name, _ in _leaves(pl.DataFrame(schema=COLUMNS), tuple(COLUMNS))]
        leaves += [INVALID] if with_verdicts else []
        self._hashes = {name: (hashlib.sha256(), hashlib.sha256()) for name in leaves}

    def update(self, batch: pl.DataFrame) -> None:
        """Take in the next rows."""
        for name, leaf in _leaves(batch, self._columns):
            shape, content = self._hashes[name]
            shape.update(_listed(_shape(leaf)))
            content.update(_content(leaf))

    def hexdigest(self) -> str:
        """Give the digest of all rows so far."""
        whole = hashlib.sha256(b"gateway_lab capture\n")
        for name, (shape, content) in self._hashes.items():
            whole.update(name.encode() + b"\0" + shape.digest() + content.digest())
        return whole.hexdigest()


def digest_of(batches: Iterable[pl.DataFrame], *, with_verdicts: bool) -> str:
    """Digest rows that come in batches."""
    digest = Digest(with_verdicts=with_verdicts)
    for batch in batches:
        digest.update(batch)
    return digest.hexdigest()


def _leaves(batch: pl.DataFrame, columns: Iterable[str]) -> Iterator[tuple[str, pl.Series]]:
    """Yield every column under its name; headers as a list and as its two parts."""
    for name in columns:
        yield name, batch[name]
        if name == "headers":
            items = batch[name].explode(empty_as_null=False).drop_nulls()
            yield "headers.name", items.struct.field("name")
            yield "headers.value", items.struct.field("value").fill_null(b"")


def _shape(leaf: pl.Series) -> pl.Series:
    """Give integers themselves, else the count of bytes or elements; null headers are none."""
    match leaf.dtype:
        case pl.String:
            return leaf.str.len_bytes()
        case pl.Binary:
            return leaf.bin.size()
        case pl.List:
            return leaf.list.len().fill_null(0)
        case _:
            return leaf.to_physical()


def _content(leaf: pl.Series) -> bytes:
    match leaf.dtype:
        case pl.String:
            return _text(leaf.drop_nulls())
        case pl.Binary:
            return b"".join(leaf.drop_nulls().to_list())
        case _:
            return b""


def _listed(numbers: pl.Series) -> bytes:
    """Write integers in decimal, each with a comma behind it; null is nothing."""
    return _text(numbers.cast(pl.String).fill_null(""), ",") + b","[: len(numbers)]


def _text(texts: pl.Series, delimiter: str = "") -> bytes:
    joined: str = texts.str.join(delimiter).item()
    return joined.encode()
