from __future__ import annotations

import pytest

from gateway_lab.lab.labels import counted, safe, short


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("<a href='https://example.com'>x</a>", "&lt;a href='https://example.com'&gt;x&lt;/a&gt;"),
        ("a<br>b", "a&lt;br&gt;b"),
        ("&amp;", "&amp;amp;"),
        ("$x^2$", "&#36;x^2&#36;"),
        ("مرحبا 🚀", "مرحبا 🚀"),
    ],
)
def test_nothing_in_a_name_is_markup(name: str, written: str) -> None:
    assert safe(name) == written == short(name, most=99)


def test_a_long_name_keeps_its_beginning_and_its_end() -> None:
    assert short("critical.some-tenant.orders", most=12) == "critica…ders"
    assert short("<" * 30, most=4) == "&lt;&lt;…&lt;"


@pytest.mark.parametrize("length", [1, 11, 12, 13, 200])
def test_no_name_is_longer_than_its_place(length: int) -> None:
    assert len(short("n" * length, most=12)) == min(length, 12)


def test_a_number_has_its_noun() -> None:
    told = [counted(number, "batch", "batches") for number in (0, 1, 1200)]
    assert told == ["0 batches", "1 batch", "1,200 batches"]
