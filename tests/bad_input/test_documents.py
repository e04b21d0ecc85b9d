"""Documents that are no config: what was wrong, in which line and column, and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gateway_lab as gl
from tests.bad_input.small import CONFIG, FILE, RULE, refused, refused_text, worst

BUSINESS = Path(__file__).parents[2] / "data" / "business.parquet"


def test_a_repeated_key_is_told_once_with_both_lines() -> None:
    error = refused_text(
        CONFIG.replace("targets:\n", "targets:\n  high: {broker: b, channel: c}\n")
    )
    assert str(error) == (
        f"{FILE}:21:3: duplicate key 'high'\nhint: the first is in line 20: rename or remove one"
    )


@pytest.mark.parametrize(
    ("old", "new", "problem", "hint"),
    [
        ("to: [high]", "to: &t [high]", "anchor &t", "remove it"),
        ("to: [high]", "to: *t", "alias *t", "write the value out"),
        ("name: orders", "name: !!python/object/apply:os.system [ls]", "tag tag:", "plain data"),
        ("name: orders", "name: !env NAME", "tag !env", "plain data"),
        ("settings: {", "settings: {<<: {a: 1}, ", "merge key <<", "write the keys out"),
    ],
)
def test_anchors_aliases_and_tags_are_refused(old: str, new: str, problem: str, hint: str) -> None:
    error = refused_text(CONFIG.replace(old, new))
    assert problem in error.problem
    assert hint in error.hint
    assert error.where.startswith(f"{FILE}:")


def test_ten_megabytes_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_text(CONFIG + "#" * 10_000_000)
    error = refused(gl.read_config, path)
    assert "larger than 1 MiB" in error.problem
    assert "split it" in error.hint


@pytest.mark.parametrize(
    "text", ["x: " + "[" * 100_000, "x: " + "{a: " * 50_000, "- " * 100_000, '{"a":' * 50_000]
)
def test_deep_nesting_is_refused_at_its_place(text: str) -> None:
    error = refused_text(text)
    assert "nested more than 64 levels deep" in error.problem
    assert error.where.startswith(f"{FILE}:1:")


def test_a_comment_sign_that_cuts_a_rule_is_found_in_block_style() -> None:
    finding = worst(CONFIG.replace(RULE, "tenant = 'issue #5'"))
    assert (finding.code, finding.line, finding.column) == ("comment-cut-text", 27, 15)
    assert "quote the whole text" in finding.hint


def test_a_comment_sign_that_cuts_a_rule_is_found_in_flow_style() -> None:
    routes = "    routes: [{name: high, when: tenant = 'issue #5', to: [high]}]\n"
    begin, end = CONFIG.index("    routes:"), CONFIG.index("    unmatched:")
    error = refused_text(CONFIG[:begin] + routes + CONFIG[end:])
    assert "missing" in error.problem
    assert "in line 25 an unquoted ' #' begins a comment" in error.hint


@pytest.mark.parametrize(
    ("old", "new", "where", "key", "meant"),
    [
        ("when: ", "wen: ", "27:9", "wen", "when"),
        ("match: first", "macht: first", "24:5", "macht", "match"),
        ("routers:", "router:", "21:1", "router", "routers"),
        ("channel: dead", "chanel: dead", "30:31", "chanel", "channel"),
    ],
)
def test_an_unknown_key_is_named_with_the_one_that_was_meant(
    old: str, new: str, where: str, key: str, meant: str
) -> None:
    error = refused_text(CONFIG.replace(old, new))
    text = str(error)
    assert f"{FILE}:{where}: unknown key '{key}'\nhint: did you mean '{meant}'?" in text


@pytest.mark.parametrize(
    ("old", "new", "code", "hint"),
    [
        ("high: {broker: stream", "high: {broker: steam", "unknown-broker", "'stream'"),
        ("to: [high]", "to: [hihg]", "unknown-target", "'high'"),
        ("source: orders", "source: order", "unknown-source", "'orders'"),
        ("event: Order", "event: Ordr", "unknown-event", "'Order'"),
    ],
)
def test_an_unknown_alias_or_name_is_a_finding_with_the_one_that_was_meant(
    old: str, new: str, code: str, hint: str
) -> None:
    finding = worst(CONFIG.replace(old, new))
    assert finding.code == code
    assert finding.hint == f"did you mean {hint}?"
    assert finding.line is not None


@pytest.mark.parametrize(
    ("old", "new", "problem", "hint"),
    [
        ("match: first", "match: frist", "'frist' where 'first' or 'all'", "'first'"),
        ("stream: kafka", "stream: kafak", "'kafak' where", "'kafka'"),
        ("unmatched: drop", "unmatched: dorp", "'dorp' where", "'drop'"),
        ("to: [high]", "to: high", "'high' where a list belongs", "[high]"),
        ("to: [high]", "to:", "nothing where a list belongs", "[first, second]"),
        (RULE, "true", "true where a text belongs", "quote it"),
        (RULE, "[a, b]", "a list where a text belongs", "write one text"),
        ("name: orders", "name: 2026", "2026 where a text belongs", "quote it"),
        ("name: high\n", "name: 🚀\n", "'🚀' is not allowed", "lower-case letter"),
        ("to: [high]", "to: [high]\n        enabled: no", "where true or false", "write false"),
        ("gateway_lab: 1", "gateway_lab: '1'", "format '1' is not known", "gateway_lab: 1"),
        ("gateway_lab: 1", "gateway_lab: 2", "format 2 is not known", "upgrade"),
        ("value: 1000", "value: .nan", ".nan is not a finite number", "quote it"),
        ("value: 1000", "value: 1e999", "1e999 is not a finite number", "quote it"),
        ("value: 1000", "value: " + "9" * 100, "more than 40 digits", "quote it"),
        ("sources:", "sources: 5\nx:", "5 where a mapping belongs", "{name: value}"),
    ],
)
def test_a_wrong_value_says_what_belongs_there(old: str, new: str, problem: str, hint: str) -> None:
    text = str(refused_text(CONFIG.replace(old, new)))
    assert problem in text
    assert hint in text


@pytest.mark.parametrize("value", ["'1000'", "5_000", "12:30:45", "yes"])
def test_a_setting_that_is_no_number_is_a_finding(value: str) -> None:
    finding = worst(CONFIG.replace("value: 1000", f"value: {value}"))
    assert (finding.code, finding.line) == ("setting-type", 3)
    assert "without quotes" in finding.hint


def test_yes_and_no_of_older_yaml_are_texts_and_told() -> None:
    config = gl.parse_config(CONFIG.replace("[low, high]", "[low, high, no]"), file=FILE)
    (finding,) = [each for each in gl.check(config) if each.code == "unquoted-yes-or-no"]
    assert (finding.line, finding.hint) == (11, 'quote it: "no"')


def test_a_when_with_nothing_behind_it_is_no_route_that_always_matches() -> None:
    finding = worst(CONFIG.replace(f" {RULE}", ""))
    assert (finding.code, finding.line) == ("no-value", 27)
    assert "leave `when` out" in finding.hint


def test_unquoted_braces_are_a_finding() -> None:
    finding = worst(CONFIG.replace("channel: high}", "channel: high, key: {tenant}}"))
    assert (finding.code, finding.hint) == ("braces-became-mapping", 'quote it: "{tenant}"')


@pytest.mark.parametrize(
    ("text", "where", "hint"),
    [
        ("", "1:1", "begin with: gateway_lab: 1"),
        ("# nothing\n", "1:1", "begin with: gateway_lab: 1"),
        ("- a\n- b\n", "1:1", "begin with: gateway_lab: 1"),
        ("hello", "1:1", "begin with: gateway_lab: 1"),
        ("name: x\n", "1:1", "begin with: gateway_lab: 1"),
        (CONFIG.replace("    source:", "\tsource:"), "23:1", "indent with spaces"),
        (CONFIG.replace("to: [high]", "to: [high"), "29:14", "quote"),
        (CONFIG.replace(RULE, "\"priority = 'high'"), "27:15", "close it"),
        (CONFIG.replace("match: first", "match: first: all"), "24:17", "quote"),
        (CONFIG.replace("    match", "   match"), "24:4", "begin in one column"),
        (CONFIG.replace("name: orders", "name: o\x07"), "2:8", "delete it"),
        (CONFIG + "---\n" + CONFIG, "31:1", "one config in a file"),
        ("%YAML 1.1\n---\n" + CONFIG, "2:1", "remove it"),
        ('{"gateway_lab": 1, "name": "\\ud800"}', "1:28", "the character itself"),
    ],
)
def test_what_is_no_yaml_or_no_config_is_told_with_its_place(
    text: str, where: str, hint: str
) -> None:
    error = refused_text(text)
    assert error.where == f"{FILE}:{where}"
    assert hint in error.hint


@pytest.mark.parametrize("quotes", ["\u201c{}\u201d", "\u2018{}\u2019", "`{}`"])
def test_a_rule_in_other_quotes_is_a_finding(quotes: str) -> None:
    finding = worst(CONFIG.replace("'high'\"", quotes.format("high") + '"'))
    assert (finding.code, finding.line) == ("rule-syntax", 27)
    assert "quotes" in finding.hint


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_of_other_systems_keep_their_lines(end: str) -> None:
    assert worst(CONFIG.replace("to: [high]", "to: [hihg]").replace("\n", end)).line == 28


def test_what_windows_and_json_write_is_read(tmp_path: Path) -> None:
    config = gl.parse_config(CONFIG)
    for data in (
        b"\xef\xbb\xbf" + CONFIG.encode(),
        CONFIG.replace("\n", "\r\n").encode(),
        json.dumps(json.loads(config.model_dump_json())).encode(),
    ):
        path = tmp_path / FILE
        path.write_bytes(data)
        assert gl.read_config(path) == config


@pytest.mark.parametrize(
    ("data", "problem", "hint"),
    [
        (CONFIG.encode("utf-16"), "UTF-16", "UTF-8"),
        (CONFIG.encode("utf-16-le"), "U+0000", "UTF-16"),
        (CONFIG.replace("orders", "Ördérs").encode("latin-1"), "not UTF-8: byte 0xd6", "UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "an image", "YAML or JSON"),
        (b"\x1f\x8b\x08\0", "compressed", "unpack"),
        (b"PAR1" + bytes(2_000_000), "a Parquet file", "behind the config"),
    ],
)
def test_a_file_of_another_kind_is_named(
    tmp_path: Path, data: bytes, problem: str, hint: str
) -> None:
    path = tmp_path / FILE
    path.write_bytes(data)
    error = refused(gl.read_config, path)
    assert problem in error.problem
    assert hint in error.hint
    assert error.where.startswith(str(path))


def test_a_path_or_dict_where_a_config_belongs_says_how_to_read_it() -> None:
    capture = gl.scan_capture(BUSINESS)
    for action in (
        lambda: gl.check("routes.yaml"),  # type: ignore[arg-type]
        lambda: gl.replay({}, capture),  # type: ignore[arg-type]
        lambda: gl.explain("routes.yaml", {}, source="orders"),  # type: ignore[arg-type]
        lambda: gl.run_tests(None),  # type: ignore[arg-type]
    ):
        assert "gl.read_config(" in refused(action).hint


def test_thousands_of_problems_are_cut() -> None:
    error = refused_text(CONFIG + "".join(f"k{n}: 1\n" for n in range(3_000)))
    assert isinstance(error, gl.GatewayLabError)
    assert str(error).startswith("50 problems\n")


def test_a_very_long_line_is_not_shown_whole() -> None:
    assert len(str(refused_text(CONFIG.replace("name: orders", "name: " + "x" * 200_000)))) < 400
    assert len(str(worst(CONFIG.replace("'high'\"", "'high' " + "x" * 4_000 + '"')))) < 400


def test_an_empty_config_decides_nothing_and_loses_nothing() -> None:
    config = gl.parse_config("gateway_lab: 1\nname: empty\n")
    assert [each for each in gl.check(config) if each.severity == "error"] == []
    assert gl.run_tests(config) == ()
    books = gl.replay(config, gl.scan_capture(BUSINESS).head(5)).books()
    assert (books.messages, books.no_source) == (5, 5)
    assert "source" in refused(gl.explain, config, {"a": 1}).hint
