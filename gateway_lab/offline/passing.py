"""Keys and headers that pass from a source to a target, and what the target cannot carry.

Most of what passes is plain text that every protocol carries. Columns find the few messages
that could be refused, and `routing/render.py` judges just those.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from gateway_lab.config.plan import TargetPlan
from gateway_lab.offline.cache import CACHE
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
    frame = part.read("key", "headers")[rows]
    reasons = [
        render.refuse_passing(
            key, tuple((each["name"], each["value"] or b"") for each in headers or ())
        )
        for key, headers in frame.rows()
    ]
    judged = pl.DataFrame({"row": rows, "reason": reasons}, schema={**ROW, "reason": pl.String})
    return judged.drop_nulls("reason")


def _suspects(part: Part, target: TargetPlan, render: Render) -> pl.Series:
    is_binary = PROTOCOLS[target.protocol].carries.binary
    found = [pl.Series("row", dtype=pl.UInt32)]
    if target.key is None and not is_binary:
        found.append(_unclean_keys(part))
    if target.pass_headers:
        headers = _headers(part)
        refused = [name for name in headers.names if render.refuse_passing(None, ((name, b""),))]
        if refused:
            found.append(_rows_with(part, refused))
        if not is_binary:
            found.append(headers.unclean)
    return pl.concat(found).unique().sort()


def _unclean_keys(part: Part) -> pl.Series:
    def make() -> pl.Series:
        keys = part.read("key").with_row_index("row").drop_nulls("key")
        return keys["row"].filter(_is_unclean(keys["key"]))

    return CACHE.get(("keys", part.key), make)


def _headers(part: Part) -> _Headers:
    def make() -> _Headers:
        items = _items(part)
        unclean = items["row"].filter(_is_unclean(items["value"].fill_null(b"")))
        return _Headers(tuple(items["name"].unique()), unclean)

    return CACHE.get(("headers", part.key), make)


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
    try:
        return values.cast(pl.String).str.contains(_CONTROL)
    except pl.exceptions.ComputeError:
        return pl.Series([not _is_clean(value) for value in values], dtype=pl.Boolean)


def _is_clean(value: bytes) -> bool:
    try:
        return not re.search(_CONTROL, value.decode())
    except UnicodeDecodeError:
        return False
