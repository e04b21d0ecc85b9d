"""What names from traffic look like in figures: never like markup, a link or a template."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import polars as pl
import pytest

from gateway_lab.lab import figures
from gateway_lab.lab.figure import MIME, Figure

NAMES = ["<a href='https://example.com'>x</a>", "a<br>b", "%{x}</extra>", "$x$", "n" * 300]
TIME = datetime(2026, 3, 2)

DRAWN: dict[str, Callable[[str], Figure]] = {
    "flow": lambda name: figures.flow(
        pl.DataFrame({
            "source": [name], "router": [name], "route": [name], "target": [name],
            "outcome": ["delivered"], "deliveries": [3],
        })
    ),
    "over_time": lambda name: figures.over_time(
        pl.DataFrame({
            "time": [TIME], "target": [name], "outcome": ["delivered"], "deliveries": [3],
        })
    ),
    "distribution": lambda name: figures.distribution(
        pl.DataFrame({"channel": [name], "tenant": [name], "n": [3]}),
        x="n", y="channel", colour="tenant",
    ),
    "diff_flow": lambda name: figures.diff_flow(
        pl.DataFrame({"router": [name], "old": [name], "new": [name], "messages": [3]})
    ),
    "batches": lambda name: figures.batches(
        pl.DataFrame({"closed": [TIME], "host": [name], "avg": [3.0], "low": [1.0], "high": [4.0]}),
        y="avg", by="host", band=("low", "high"),
    ),
}  # fmt: skip


def texts(value: object) -> list[str]:
    """Return every text that plotly is given."""
    match value:
        case dict():
            return [text for each in value.values() for text in texts(each)]
        case list():
            return [text for each in value for text in texts(each)]
        case _:
            return [value] if isinstance(value, str) else []


def templates(value: object) -> list[str]:
    """Return the templates of the texts at the pointer."""
    match value:
        case dict():
            own = [value["hovertemplate"]] if "hovertemplate" in value else []
            return own + [text for each in value.values() for text in templates(each)]
        case list():
            return [text for each in value for text in templates(each)]
        case _:
            return []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", DRAWN)
def test_a_name_is_shown_as_it_is(kind: str, name: str) -> None:
    odd, plain = (texts(DRAWN[kind](of)._repr_mimebundle_()[MIME]) for of in (name, "plain"))
    told = set(odd) - set(plain)
    assert told
    assert not [text for text in told if {"<", ">", "$"} & set(text)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", DRAWN)
def test_a_name_is_no_part_of_a_template(kind: str, name: str) -> None:
    odd, plain = (templates(DRAWN[kind](of)._repr_mimebundle_()[MIME]) for of in (name, "plain"))
    assert odd == plain != []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", DRAWN)
def test_the_text_form_has_the_whole_name_and_the_table_escapes_it(kind: str, name: str) -> None:
    figure = DRAWN[kind](name)
    assert name in repr(figure)
    assert "<a" not in figure._repr_html_()
    assert "<br>" not in figure._repr_html_()
