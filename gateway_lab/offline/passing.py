"""Keys and headers that pass from a source to a target, and what the target cannot carry.

Most of what passes is plain text that every protocol carries. Columns find the few messages
that could be refused, and `routing/render.py` judges just those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from gateway_lab.config.plan import TargetPlan
from gateway_lab.messages.headers import (
    HOPS_HEADER,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    Headers,
)
from gateway_lab.offline.cache import CACHE
from gateway_lab.offline.combinations import looks_distinct
from gateway_lab.offline.parts import Part
from gateway_lab.protocols.protocol import NOT_PLAIN, is_plain
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.routing.render import Render

_ROW = {"row": pl.UInt32}
_KEYS = {**_ROW, "key": pl.Binary}
_FEW_NAMES = 64


@dataclass(frozen=True, slots=True)
class Odd:
    """Headers that a target may have to refuse.

    Attributes:
        rows: The rows of the part that have such headers, ascending.
        headers: All headers of these rows, one a line: `row`, `name` and `value`.
    """

    rows: pl.Series
    headers: pl.DataFrame

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        return int(self.rows.estimated_size() + self.headers.estimated_size())


def passing_refusals(part: Part, target: TargetPlan, render: Render) -> pl.DataFrame:
    """Find the messages whose key or headers a target cannot carry.

    Returns:
        Columns `row` (of the part, ascending) and `reason`.
    """
    keys, headers = _suspects(part, target, render)
    rows = pl.concat([keys["row"], headers["row"]]).unique().sort()
    key_of = dict(keys.rows())
    headers_of = _by_row(headers)
    reasons = [render.refuse_passing(key_of.get(row), headers_of.get(row, ())) for row in rows]
    judged = pl.DataFrame({"row": rows, "reason": reasons}, schema={**_ROW, "reason": pl.String})
    return judged.drop_nulls("reason")


def look_ahead(part: Part, targets: Iterable[TargetPlan]) -> None:
    """Work out beforehand what the targets will ask for.

    It is done by Polars alone, so it runs beside the decoding of the bodies. Who asks for most
    comes first: what others ask for is found on the way, and headers are read once.
    """
    for target in sorted(targets, key=_asks_little):
        if _is_picky(target):
            odd_keys(part)
        _suspicious(part, target)


def _asks_little(target: TargetPlan) -> bool:
    return not (target.pass_headers and _is_picky(target))


def _is_picky(target: TargetPlan) -> bool:
    """Say whether a target's protocol carries plain text only."""
    return not PROTOCOLS[target.protocol].carries.binary


def _suspects(part: Part, target: TargetPlan, render: Render) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Find keys (`row` and `key`) and headers (`row`, `name`, `value`) that may be refused."""
    keys = pl.DataFrame(schema=_KEYS)
    if target.key is None and _is_picky(target):
        keys = _read_keys(part, odd_keys(part))
    suspicious = _suspicious(part, target)
    if not target.pass_headers:
        return keys, suspicious.headers
    names = header_names(part)
    refused = [name for name in names if render.refuse_passing(None, ((name, b""),))]
    return keys, _headers_of(part, refused, suspicious) if refused else suspicious.headers


def _suspicious(part: Part, target: TargetPlan) -> Odd:
    """Find the messages whose headers may be refused, whatever their names."""
    return bulky_headers(part) if _asks_little(target) else odd_headers(part)


def odd_keys(part: Part) -> pl.Series:
    """Find the rows with a key that is not plain text."""

    def make() -> pl.Series:
        keys = part.read("key").with_row_index("row").drop_nulls("key")
        return keys["row"].filter(_is_odd(keys["key"]))

    return CACHE.get(("odd keys", part.key), make)


def odd_headers(part: Part) -> Odd:
    """Find the rows that have headers with values that are not plain text, or bulky ones."""

    def make() -> Odd:
        items = _items(part)
        CACHE.get(("header names", part.key), lambda: _names(items))
        bulky = CACHE.get(("bulky headers", part.key), lambda: _bulky(items))
        rows = pl.concat([bulky.rows, *_odd_rows(items)]).unique().sort()
        return Odd(rows, items.filter(pl.col("row").is_in(rows.implode())))

    return CACHE.get(("odd headers", part.key), make)


def bulky_headers(part: Part) -> Odd:
    """Find the rows whose headers may be past the bounds, or say how far the message has come."""

    def make() -> Odd:
        items = _items(part)
        CACHE.get(("header names", part.key), lambda: _names(items))
        return _bulky(items)

    return CACHE.get(("bulky headers", part.key), make)


def _bulky(items: pl.DataFrame) -> Odd:
    names = [name for name in _names(items) if name.lower() == HOPS_HEADER]
    far = items["row"].filter(items["name"].is_in(names))
    rows = pl.concat([far, _long_rows(items), _full_rows(items)]).unique().sort()
    return Odd(rows, items.filter(pl.col("row").is_in(rows.implode())))


def _full_rows(items: pl.DataFrame) -> pl.Series:
    """Find the rows with more headers than may pass; rows are in order."""
    rows = items["row"][MAX_HEADERS:]
    return rows.filter(rows == items["row"][:-MAX_HEADERS])


def _long_rows(items: pl.DataFrame) -> pl.Series:
    """Find the rows with more bytes of values than one value may have."""
    size = pl.col("value").bin.size()
    # As many as may pass, none of them longer than this, are within the bound together.
    some = items.filter(size > MAX_HEADER_BYTES // MAX_HEADERS)["row"].unique()
    sums = items.filter(pl.col("row").is_in(some.implode())).group_by("row").agg(size.sum())
    return sums.filter(pl.col("value") > MAX_HEADER_BYTES)["row"]


def header_names(part: Part) -> pl.Series:
    """Find the distinct names of headers."""
    return CACHE.get(("header names", part.key), lambda: _names(_items(part)))


def _names(items: pl.DataFrame) -> pl.Series:
    return items["name"].unique().drop_nulls().sort()


def _odd_rows(items: pl.DataFrame) -> Iterator[pl.Series]:
    """Find the rows of values that are not plain text, name by name.

    The values of one name are of one kind: mostly a few words, or all of them text.
    """
    names = _names(items)
    if len(names) > _FEW_NAMES:
        yield items["row"].filter(_is_odd(items["value"]))
        return
    for name in names:
        here = items["name"] == name
        odd = _is_odd(items["value"].filter(here))
        if odd.any():
            yield items["row"].filter(here).filter(odd)


def _headers_of(part: Part, names: list[str], suspicious: Odd) -> pl.DataFrame:
    """Read the headers of messages that have one of these names, or are suspicious."""
    items = _items(part)
    named = items["row"].filter(items["name"].is_in(names))
    rows = pl.concat([named, suspicious.rows]).unique()
    return items.filter(pl.col("row").is_in(rows.implode()))


def _by_row(items: pl.DataFrame) -> dict[int, Headers]:
    grouped: dict[int, list[tuple[str, bytes]]] = {}
    for row, name, value in items.rows():
        grouped.setdefault(row, []).append((name, value or b""))
    return {row: tuple(headers) for row, headers in grouped.items()}


def _read_keys(part: Part, rows: pl.Series) -> pl.DataFrame:
    if rows.is_empty():
        return pl.DataFrame(schema=_KEYS)
    return part.read("key")[rows].select(row=rows, key="key")


def _items(part: Part) -> pl.DataFrame:
    """Lay the headers out, one a line: `row`, `name` and `value`, in their order."""
    frame = part.read("headers").with_row_index("row")
    return frame.explode("headers", empty_as_null=False, keep_nulls=False).unnest("headers")


def _is_odd(values: pl.Series) -> pl.Series:
    """Say which values are not plain text."""
    texts = _texts(values)
    if texts is None:
        return pl.Series([not is_plain(value or b"") for value in values], dtype=pl.Boolean)
    if not looks_distinct(texts) and not texts.unique().str.contains(NOT_PLAIN).any():
        return pl.repeat(value=False, n=len(texts), dtype=pl.Boolean, eager=True)
    return texts.str.contains(NOT_PLAIN)


def _texts(values: pl.Series) -> pl.Series | None:
    """Read bytes as text; None if some are not UTF-8."""
    try:
        return values.fill_null(b"").cast(pl.String)
    except pl.exceptions.ComputeError:
        return None
