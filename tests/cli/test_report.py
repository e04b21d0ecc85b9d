from __future__ import annotations

import json

import polars as pl
import pytest

from gateway_lab.cli.report import Format, Report, Table, table

FRAME = pl.DataFrame({"target": ["low", "high|er"], "messages": [12345, None]})
REPORT = Report(
    facts={"config": "shop"}, tables=[table("targets", FRAME, limit=1)], closing="Done."
)


def shown(form: Format, report: Report, capsys: pytest.CaptureFixture[str]) -> str:
    report.show(form)
    return capsys.readouterr().out


def test_a_table_for_people_aligns_numbers_and_says_what_it_leaves_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = shown(Format.TABLE, REPORT, capsys)
    assert "config  shop" in out
    assert "│ low    │   12,345 │" in out
    assert "… and 1 more; --limit shows them" in out
    assert out.endswith("Done.\n")


def test_json_is_one_document_with_plain_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(shown(Format.JSON, REPORT, capsys))
    assert document == {
        "config": "shop",
        "targets": [{"target": "low", "messages": 12345}],
        "targets_left_out": 1,
    }


def test_markdown_keeps_its_columns_whatever_a_value_holds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = Report(tables=[table("targets", FRAME, limit=9)])
    assert shown(Format.MARKDOWN, report, capsys) == (
        "### targets\n\n| target | messages |\n| --- | --- |\n| low | 12,345 |\n| high\\|er |  |\n"
    )


def test_markup_in_a_value_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "[red]x[/red]"}]
    out = shown(Format.TABLE, Report(tables=[Table(name="t", columns=["name"], rows=rows)]), capsys)
    assert "[red]x[/red]" in out


def test_an_empty_table_still_shows_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(Format.TABLE, Report(tables=[table("targets", FRAME.clear(), limit=9)]), capsys)
    assert "messages" in out


def test_a_narrow_terminal_breaks_headings_but_no_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    names = ("deliveries", "delivered", "dropped", "dead_lettered", "bytes")
    row = {"target": "dead_letter", "broker": "stream", **dict.fromkeys(names, 158_429_319)}
    report = Report(tables=[Table(name="targets", columns=tuple(row), rows=[row])])
    out = shown(Format.TABLE, report, capsys)
    assert out.count("158,429,319") == len(names)
