"""Writing: comments stay, what is written reads back, and an old file is never half gone."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config, read_config
from gateway_lab.config.model import Expectations
from gateway_lab.config.write import format_config, to_text
from gateway_lab.errors import ConfigError
from tests.examples import examples

SMALL = """\
# On top.
gateway_lab: 1
name: small   # the name
brokers: {b: memory}

# What comes in.
sources:
  s: {broker: b, channel: in}   # a source

targets:
  # first
  t: {broker: b, channel: 'out'}
  u: {broker: b, channel: out.u}   # second

routers:
  r:
    source: s
    match: first
    routes:
      # the first route
      - name: one
        when: message.key = 'a'   # only a
        to: [t]
      # the second route
      - {name: two, to: [u]}
    unmatched: drop
dead_letter: {broker: b, channel: dead}
# The end.
"""


@pytest.fixture
def small() -> GatewayConfig:
    return parse_config(SMALL)


def changed_lines(config: GatewayConfig) -> list[str]:
    before, after = SMALL.splitlines(), to_text(config).splitlines()
    return [f"-{line}" for line in before if line not in after] + [
        f"+{line}" for line in after if line not in before
    ]


def test_an_unchanged_config_is_written_letter_by_letter(small, business) -> None:
    assert to_text(small) == SMALL
    assert to_text(business) == (Path(__file__).parent / "business.yaml").read_text()


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_an_edit_keeps_comments_whatever_the_lines_end_with(end: str) -> None:
    edited = parse_config(SMALL.replace("\n", end)).edit_route("r", "one", enabled=False)
    text = to_text(edited)
    assert parse_config(text) == edited
    assert text.count("#") == SMALL.count("#")


def test_an_edited_rule_changes_its_line_alone(small: GatewayConfig) -> None:
    assert changed_lines(small.edit_route("r", "one", when="message.key = 'b'")) == [
        "-        when: message.key = 'a'   # only a",
        "+        when: \"message.key = 'b'\" # only a",
    ]


def test_comments_survive_adding_renaming_and_removing(small: GatewayConfig) -> None:
    config = (
        small.add_route("r", "three", when="message.key = 'no # b'", to="t", before="two")
        .rename_target("u", "v")
        .rename_source("s", "input")
        .add_target("w", broker="b", channel="w.{message.key}")
    )
    text = to_text(config)
    for comment in (
        "# On top.",
        "# the name",
        "# What comes in.",
        "# a source",
        "# first",
        "# second",
        "# only a",
        "# The end.",
    ):
        assert comment in text
    assert parse_config(text) == config
    assert parse_config(text).traps == ()


def test_the_same_config_is_always_the_same_text(business: GatewayConfig) -> None:
    def edited() -> str:
        return to_text(
            business.rename_target("low", "rest").add_setting("x", value=1, type="integer")
        )

    assert edited() == edited()


def test_a_moved_router_is_moved_in_the_file(business: GatewayConfig) -> None:
    config = business.move_router("by_webhook", before="by_priority")
    assert next(iter(parse_config(to_text(config)).routers)) == "by_webhook"


def test_a_config_without_a_file_is_written_in_one_style(business: GatewayConfig) -> None:
    config = GatewayConfig.model_validate(json.loads(business.model_dump_json(exclude_unset=True)))
    text = to_text(config)
    assert text.startswith("gateway_lab: 1\nname: business-events\ndescription: ")
    assert (
        '  high: {broker: stream, channel: "{settings.prefix}high-priority.{event_type}"}\n' in text
    )
    assert max(map(len, text.splitlines())) <= 110
    assert parse_config(text) == business
    assert parse_config(text).traps == ()


@settings(max_examples=examples(40))
@given(st.text(), st.text(min_size=1))
def test_any_text_is_written_so_that_it_reads_back(text: str, other: str) -> None:
    config = parse_config(SMALL)
    try:
        config = config.edit_target("t", description=text).edit_route("r", "one", when=other)
    except ConfigError:
        return
    if "\ud800" <= max(text + other) <= "\udfff":
        return
    assert parse_config(to_text(config)) == config


@pytest.mark.parametrize(
    "word",
    [
        "no",
        "Yes",
        "on",
        "null",
        "~",
        "1",
        "1e3",
        "0x1F",
        "12:30:45",
        "- a",
        "a: b",
        "a #b",
        "{x}",
        "'",
        "",
        " a",
        "é",
        "!x",
        "&x",
        "*x",
    ],
)
def test_doubtful_text_is_quoted(small: GatewayConfig, word: str) -> None:
    again = parse_config(to_text(small.edit_target("t", description=word, headers={word: word})))
    assert again.targets["t"].description == word
    assert again.targets["t"].headers == {word: word}
    assert again.traps == ()


def test_expectations_are_appended_and_the_rest_stays(small: GatewayConfig) -> None:
    promised = Expectations(
        capture="a.parquet",
        capture_digest="c" * 64,
        config_digest=small.digest,
        messages=3,
        routers={"r": {"matched": 3}},  # type: ignore[dict-item]
    )
    text = to_text(small.with_parts(expectations=promised))
    assert text.startswith(SMALL)
    assert "expectations:\n  capture: a.parquet\n" in text
    assert parse_config(text).expectations == promised
    assert parse_config(text).digest == small.digest


def test_a_json_file_is_written_as_json(small: GatewayConfig, tmp_path: Path) -> None:
    small.write(tmp_path / "routes.json")
    document = json.loads((tmp_path / "routes.json").read_text())
    assert list(document)[:2] == ["gateway_lab", "name"]
    assert read_config(tmp_path / "routes.json") == small
    edited = read_config(tmp_path / "routes.json").edit_route("r", "two", to="t")
    edited.write(tmp_path / "routes.yaml")
    assert read_config(tmp_path / "routes.yaml") == edited


def test_a_config_with_an_error_is_refused_and_all_errors_are_told(small, tmp_path: Path) -> None:
    config = small.edit_route("r", "one", when="message.kee = 'a'").edit_route(
        "r", "two", to="nowhere"
    )
    with pytest.raises(ConfigError) as caught:
        config.write(tmp_path / "routes.yaml")
    assert [each.problem.split("]")[0] for each in caught.value.problems] == [
        "[unknown-target",
        "[unknown-name",
    ]
    assert not (tmp_path / "routes.yaml").exists()


def test_a_trap_of_the_file_refuses_too(tmp_path: Path) -> None:
    config = parse_config(SMALL.replace("channel: 'out'", "channel: {x}"))
    with pytest.raises(ConfigError, match="braces-became-mapping"):
        config.write(tmp_path / "routes.yaml")


def test_a_link_stays_a_link_and_rights_stay(small: GatewayConfig, tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text("old")
    (tmp_path / "real.yaml").chmod(0o640)
    (tmp_path / "link.yaml").symlink_to("real.yaml")
    small.write(tmp_path / "link.yaml")
    assert (tmp_path / "link.yaml").is_symlink()
    assert (tmp_path / "real.yaml").read_text() == SMALL
    assert stat.S_IMODE((tmp_path / "real.yaml").stat().st_mode) == 0o640


def test_a_new_file_gets_the_rights_of_any_new_file(small: GatewayConfig, tmp_path: Path) -> None:
    small.write(tmp_path / "a.yaml")
    (tmp_path / "b").touch()
    assert (tmp_path / "a.yaml").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize("path", ["missing/routes.yaml", "folder"])
def test_a_path_that_cannot_be_written_is_a_config_error(small, tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        small.write(tmp_path / path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder"]


WRITE = """
import os, signal, sys
from gateway_lab.config.load import read_config
config = read_config(sys.argv[1]).edit_route("r", "two", to="t")
if sys.argv[2] == "kill":
    os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
config.write(sys.argv[1])
"""


def run(path: Path, how: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-c", WRITE, str(path), how],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def test_a_kill_between_writing_and_replacing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(SMALL)
    assert run(path, "kill").returncode == -signal.SIGKILL
    assert path.read_text() == SMALL
    (left,) = tmp_path.glob(".routes.yaml.*.new")
    assert read_config(left).routers["r"].routes[1].to == ("t",)
    assert run(path, "write").returncode == 0
    assert read_config(path).routers["r"].routes[1].to == ("t",)


def test_a_full_disk_leaves_the_old_file_and_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(SMALL)
    result = run(path, "write", limit=100)
    assert f"ConfigError: {path}: cannot be written: File too large" in result.stderr
    assert "hint: the file is as it was" in result.stderr
    assert path.read_text() == SMALL
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    config = parse_config(SMALL)
    with pytest.raises(ConfigError, match=f"hint: make the folder {tmp_path / 'out'} first"):
        config.write(tmp_path / "out" / "routes.yaml")


def test_formatting_an_edited_config_keeps_the_edit_and_the_comments() -> None:
    edited = parse_config(SMALL).edit_target("u", channel="elsewhere")
    text = format_config(edited)
    assert parse_config(text) == edited
    assert "# On top." in text


@pytest.mark.parametrize(
    ("body", "ending"),
    [({"a" * 2000: "x"}, "json"), ({"x": "\ud800"}, "json"), ({"x": "\ud800"}, "yaml")],
)
def test_what_no_file_can_hold_is_refused_and_the_old_file_stays(
    body: dict[str, str], ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"small.{ending}"
    path.write_text("old")
    config = parse_config(SMALL).edit_target("u", body=body)
    with pytest.raises(ConfigError):
        config.rename_target("u", "v").write(path)
    assert path.read_text() == "old"
