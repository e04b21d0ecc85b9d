"""Text in Polars: ASCII letters only change case, positions count code points."""

from __future__ import annotations

import polars as pl

from gateway_lab.events.regex import translate
from gateway_lab.rules import patterns
from gateway_lab.rules.polars_numbers import bound

_UPPER = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LOWER = [letter.lower() for letter in _UPPER]


def lower(text: pl.Expr) -> pl.Expr:
    """Make A-Z lower case."""
    return text.str.replace_many(_UPPER, _LOWER)


def upper(text: pl.Expr) -> pl.Expr:
    """Make a-z upper case."""
    return text.str.replace_many(_LOWER, _UPPER)


def like(text: pl.Expr, pattern: str, escape: str = "") -> pl.Expr:
    """Say whether the whole text fits a pattern."""
    return text.str.contains(patterns.like_regex(patterns.like_parts(pattern, escape)))


def ilike(text: pl.Expr, pattern: str, escape: str = "") -> pl.Expr:
    """Do the same without regard to the case of ASCII letters."""
    parts = patterns.lower_parts(patterns.like_parts(pattern, escape))
    return lower(text).str.contains(patterns.like_regex(parts))


def replace(text: pl.Expr, old: str, new: str) -> pl.Expr:
    """Replace every occurrence of a text by another."""
    return text.str.replace_all(old, new, literal=True)


def strpos(text: pl.Expr, part: str) -> pl.Expr:
    """Count the characters before the part; Polars' own `find` counts bytes."""

    def position(text: pl.Expr) -> pl.Expr:
        before = text.str.splitn(part, 2).struct.field("field_0").str.len_chars()
        found = text.str.contains(part, literal=True)
        return pl.when(found).then(before.cast(pl.Int64) + 1).when(~found).then(0)

    return bound(position, text)


def split_part(text: pl.Expr, separator: str, index: int) -> pl.Expr:
    """Give a part between separators, from 1; empty if there are fewer."""

    def part(text: pl.Expr) -> pl.Expr:
        found = text.str.split(separator).list.get(index - 1, null_on_oob=True)
        return pl.when(text.is_not_null()).then(found.fill_null(""))

    return bound(part, text)


def regexp_extract(text: pl.Expr, pattern: str, group: int = 0) -> pl.Expr:
    """Give what a group of the first match holds, or an empty text."""

    def extract(text: pl.Expr) -> pl.Expr:
        found = text.str.extract(translate(pattern), group)
        return pl.when(text.is_not_null()).then(found.fill_null(""))

    return bound(extract, text)
