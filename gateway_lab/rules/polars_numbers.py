"""Numbers in Polars: integers in Int128 and back, floats finite or NULL, division exact."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl


def bound(use: Callable[..., pl.Expr], *args: pl.Expr) -> pl.Expr:
    """Use arguments more than once without writing them more than once.

    Constants are repeated to full columns on the way.
    """
    names = [f"x{index}" for index in range(len(args))]
    fields = pl.struct(arg.alias(name) for name, arg in zip(names, args, strict=True))
    used = use(*map(pl.field, names))
    return fields.struct.with_fields(y=used).struct.field("y")


def narrow(value: pl.Expr) -> pl.Expr:
    """Make Int64 of wider integers or floats; NULL out of range."""
    return value.cast(pl.Int64, strict=False)


def finite(value: pl.Expr) -> pl.Expr:
    """Make NULL of infinity and nan."""
    return bound(lambda x: pl.when(x.is_finite()).then(x), value)


def divide(x: pl.Expr, y: pl.Expr) -> pl.Expr:
    """Divide columns: by a constant, Polars multiplies with its inverse, which rounds twice."""

    def divide(x: pl.Expr, y: pl.Expr) -> pl.Expr:
        return x / pl.when(y != 0).then(y)

    return finite(bound(divide, x, y))


def whole_division(x: pl.Expr, y: pl.Expr) -> pl.Expr:
    """Divide integers towards zero; NULL by zero and on overflow."""

    def divide(x: pl.Expr, y: pl.Expr) -> pl.Expr:
        quotient = x.abs() // pl.when(y != 0).then(y.abs())
        return pl.when((x < 0) == (y < 0)).then(quotient).otherwise(quotient * -1)

    return narrow(bound(divide, x.cast(pl.Int128), y.cast(pl.Int128)))


def remainder(x: pl.Expr, y: pl.Expr) -> pl.Expr:
    """Give what `whole_division` leaves, with the sign of x; NULL by zero."""

    def rest(x: pl.Expr, y: pl.Expr) -> pl.Expr:
        left = x.abs() % pl.when(y != 0).then(y.abs())
        return pl.when(x < 0).then(left * -1).otherwise(left)

    return narrow(bound(rest, x.cast(pl.Int128), y.cast(pl.Int128)))
