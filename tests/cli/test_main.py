from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import gateway_lab as gl
from gateway_lab.cli.main import app
from gateway_lab.errors import ConfigError, ExpectationError

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
VERBS = list(COMMANDS)
ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
ROOMS = ("captures", "config", "routing", "offline", "gateway", "recording")


def options(verb: str) -> set[str]:
    every = COMMANDS[verb].params
    return {name for each in every for name in (*each.opts, *each.secondary_opts)} | {"--help"}


def test_the_verbs_stand_in_the_order_of_use() -> None:
    assert VERBS == [
        "lab",
        "design",
        "generate",
        "replay",
        "diff",
        "explain",
        "check",
        "test",
        "format",
        "export",
        "schema",
        "run",
        "record",
        "redrive",
        "brokers",
        "example",
    ]


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_teaches_by_example(verb: str) -> None:
    result = CliRunner().invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    assert result.stdout.count(f"gateway-lab {verb}") >= 2


def test_pages_show_only_options_that_there_are() -> None:
    wrong = [
        (page.name, verb, each)
        for page in PAGES
        for verb, rest in re.findall(r"gateway-lab ([a-z]+)\b([^`#|\n]*)", page.read_text())
        for each in re.findall(r"--[a-z][a-z-]*", rest)
        if each not in options(verb)
    ]
    assert wrong == []


def test_a_hint_names_only_options_that_there_are() -> None:
    files = [file for room in ROOMS for file in (ROOT / "gateway_lab" / room).rglob("*.py")]
    named = {each for file in files for each in re.findall(r"--[a-z][a-z-]*", file.read_text())}
    assert named - set().union(*map(options, VERBS)) == set()


def test_the_first_word_on_replay_is_that_it_sends_nothing() -> None:
    shown = CliRunner().invoke(app, ["replay", "--help"]).stdout
    description = [line.strip() for line in shown.splitlines() if line.strip()][1]
    assert description.startswith("Sends nothing")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("no such thing", where="a.yaml:1:2", hint="look again"), 2),
        (ExpectationError("too many moved"), 1),
        (PermissionError(13, "Permission denied", "a.yaml"), 2),
    ],
)
def test_an_error_is_told_without_a_traceback(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(gl, "read_config", fail, raising=False)
    result = CliRunner().invoke(app, ["check", "a.yaml"])
    assert result.exit_code == code
    assert str(error) in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_mistyped_verb_is_met_with_the_right_one() -> None:
    result = CliRunner().invoke(app, ["replya"])
    assert result.exit_code == 2
    assert "replay" in result.stderr


def test_the_version_can_be_asked_for() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == "0.1.0\n"


def test_asking_for_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, gateway_lab.cli.main\n"
        "print(sorted({'polars', 'pydantic', 'plotly'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_a_reader_that_stops_early_is_no_error() -> None:
    code = "import sys; sys.argv[1:] = ['schema']; from gateway_lab.cli.main import app; app()"
    run = subprocess.run(
        ["/bin/sh", "-c", f'"{sys.executable}" -c "{code}" | head -1'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
