"""Keys and headers that pass from a source to a target, and what the target cannot carry.

Most of what passes is plain text that every protocol carries. Columns find the few messages
that could be refused, and `routing/render.py` judges just those.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from gateway_lab.config.plan import TargetPlan
from gateway_lab.offline.cache import CACHE
from gateway_lab.offline.combinations import looks_distinct
from gateway_lab.offline.parts import Part
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.routing.render import Render

ROW = {"row": pl.UInt32}
_CONTROL = r"[\x00-\x1f\x7f]"


@dataclass(frozen=True, slots=True)
class _Headers:
    """The headers of a part.

    Attributes:
        names: The distinct names.
        unclean: Rows with a value that is not plain text.
    """

    names: tuple[str, ...]
    unclean: pl.Series

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        return int(self.unclean.estimated_size())


def passing_refusals(part: Part, target: TargetPlan, render: Render) -> pl.DataFrame:
    """Find the messages whose key or headers a target cannot carry.

    Returns:
        Columns `row` (of the part, ascending) and `reason`.
    """
    rows = _suspects(part, target, render)
    if rows.is_empty():
        return pl.DataFrame(schema={**ROW, "reason": pl.String})
    frame = part.read("key", "headers")[rows]
    reasons = [
        render.refuse_passing(
            key, tuple((each["name"], each["value"] or b"") for each in headers or ())
        )
        for key, headers in frame.rows()
    ]
    judged = pl.DataFrame({"row": rows, "reason": reasons}, schema={**ROW, "reason": pl.String})
    return judged.drop_nulls("reason")


def look_ahead(part: Part, targets: Iterable[TargetPlan]) -> None:
    """Work out beforehand what the targets will ask for.

    It is done by Polars alone, so it runs beside the decoding of the bodies.
    """
    pickier = [each for each in targets if not PROTOCOLS[each.protocol].carries.binary]
    if any(each.key is None for each in pickier):
        unclean_keys(part)
    if any(each.pass_headers for each in pickier):
        headers_of(part)


def _suspects(part: Part, target: TargetPlan, render: Render) -> pl.Series:
    is_binary = PROTOCOLS[target.protocol].carries.binary
    found = [pl.Series("row", dtype=pl.UInt32)]
    if target.key is None and not is_binary:
        found.append(unclean_keys(part))
    if target.pass_headers:
        headers = headers_of(part)
        refused = [name for name in headers.names if render.refuse_passing(None, ((name, b""),))]
        if refused:
            found.append(_rows_with(part, refused))
        if not is_binary:
            found.append(headers.unclean)
    return pl.concat(found).unique().sort()


def unclean_keys(part: Part) -> pl.Series:
    """Find the rows with a key that is not plain text."""

    def make() -> pl.Series:
        keys = part.read("key").with_row_index("row").drop_nulls("key")
        return keys["row"].filter(_is_unclean(keys["key"]))

    return CACHE.get(("keys", part.key), make)


def headers_of(part: Part) -> _Headers:
    """Find the names of headers, and the rows with values that are not plain text."""

    def make() -> _Headers:
        items = _items(part)
        unclean = pl.concat([items["row"].clear(), *_unclean_rows(items)])
        return _Headers(tuple(items["name"].unique().drop_nulls()), unclean)

    return CACHE.get(("headers", part.key), make)


def _unclean_rows(items: pl.DataFrame) -> Iterator[pl.Series]:
    """Find the rows of values that are not plain text; header by header if some are bytes."""
    pieces = [items] if _texts(items["value"]) is not None else items.partition_by("name")
    for each in pieces:
        yield each["row"].filter(_is_unclean(each["value"]))


def _rows_with(part: Part, names: list[str]) -> pl.Series:
    items = _items(part)
    return items["row"].filter(items["name"].is_in(names))


def _items(part: Part) -> pl.DataFrame:
    """Lay the headers out, one a line: `row`, `name` and `value`."""
    filled = pl.col("headers").list.len() > 0
    frame = part.read("headers").with_row_index("row").filter(filled)
    return frame.explode("headers").unnest("headers")


def _is_unclean(values: pl.Series) -> pl.Series:
    """Say which values are not UTF-8, or hold control characters."""
    texts = _texts(values)
    if texts is None:
        return pl.Series([not _is_clean(value or b"") for value in values], dtype=pl.Boolean)
    if not looks_distinct(texts) and not texts.unique().str.contains(_CONTROL).any():
        return pl.repeat(value=False, n=len(texts), dtype=pl.Boolean, eager=True)
    return texts.str.contains(_CONTROL)


def _texts(values: pl.Series) -> pl.Series | None:
    """Read bytes as text; None if some are not UTF-8."""
    try:
        return values.fill_null(b"").cast(pl.String)
    except pl.exceptions.ComputeError:
        return None


def _is_clean(value: bytes) -> bool:
    try:
        return not re.search(_CONTROL, value.decode())
    except UnicodeDecodeError:
        return False
