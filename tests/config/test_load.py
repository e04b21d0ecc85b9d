"""Reading a config: what is refused, where, in which words."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config, read_config
from gateway_lab.errors import ConfigError

HEAD = "gateway_lab: 1\nname: x\n"


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, file="routes.yaml")
    return caught.value


def told(text: str) -> list[tuple[str, str]]:
    return [
        (each.where.removeprefix("routes.yaml:"), each.problem) for each in refused(text).problems
    ]


def test_the_whole_example_is_read(business: GatewayConfig) -> None:
    assert list(business.routers) == [
        "by_priority",
        "by_tenant",
        "invoices",
        "by_action",
        "by_webhook",
    ]
    assert business.routers["by_priority"].routes[0].to == ("critical",)
    assert [address.broker for address in business.sources["users"].addresses] == ["stream", "work"]
    assert business.traps == ()


def test_json_is_read_as_yaml_is(business: GatewayConfig) -> None:
    document = json.loads(business.model_dump_json())
    for text in (json.dumps(document), json.dumps(document, indent="\t", ensure_ascii=False)):
        assert parse_config(text) == business


def test_json_text_of_any_character_is_read() -> None:
    config = parse_config(json.dumps({"gateway_lab": 1, "name": "x", "description": "😀 \u0001/"}))
    assert config.description == "😀 \u0001/"
    event = {"type": "object", "properties": {"😀": {"type": "string"}}}
    named = parse_config(json.dumps({"gateway_lab": 1, "name": "x", "events": {"E": event}}))
    assert list(named.events["E"]["properties"]) == ["😀"]
    assert named.digest


@pytest.mark.parametrize(
    ("text", "where", "problem", "hint"),
    [
        ("name: y\n", "3:1", "duplicate key 'name'", "line 2"),
        ("settings: {a: {}, a: {}}\n", "3:19", "duplicate key 'a'", "line 3"),
        ("settings: &a {}\n", "3:11", "anchor &a", "remove it"),
        ("settings: *a\n", "3:11", "alias *a", "write the value out"),
        ("settings: !!map {}\n", "3:11", "tag tag:yaml.org,2002:map", "plain data"),
        ("settings: !python/object:os.system {}\n", "3:11", "tag !python/object:os.system", ""),
        ("<<: {}\n", "3:1", "merge key <<", "write the keys out"),
        ("? [a, b]\n: 1\n", "3:3", "a key is not a text", ""),
        ("rotues: {}\n", "3:1", "unknown key 'rotues'", "did you mean 'routers'?"),
        ("retry: {max: .inf}\n", "3:14", ".inf is not a finite number", ""),
        ("retry: {factor: 1e999}\n", "3:17", "1e999 is not a finite number", ""),
        ("retry: {attempts: " + "9" * 100 + "}\n", "3:19", "more than 40 digits", "quote it"),
        ("description: x: y\n", "3:15", "`: ` cannot stand here", "quote"),
        ("settings: {a\n", "3:11", "what begins here never ends", "close it"),
        ("\tsettings: {}\n", "3:1", "a tab where spaces belong", "spaces"),
        ("--- \nname: y\n", "3:1", "a second document begins", "one config in a file"),
        ('description: "\\ud83d"\n', "3:14", "half of a surrogate pair", ""),
        ('settings: {"\\ud83d": 1}\n', "3:12", "half of a surrogate pair", ""),
        ('description: "\\U00110000"\n', "3:15", "\\U00110000 is no character", "U0010FFFF"),
        ("description: \x07\n", "3:14", "not text", "delete it"),
        (
            "settings: {a: 'x' #5', b: 1\nc: 2\n",
            "4:1",
            "`}` is missing",
            "in line 3 an unquoted ' #'",
        ),
        ("settings: {a: b\nc: 2\n", "4:2", "(opened in line 3)", "quote"),
        ("settings:\n    a: b\n  c: 2\n", "5:3", "indentation", "one column"),
        ("- a\n", "3:1", "a list where a key belongs", "one column"),
        ("settings: [1,,2]\n", "3:14", "a value is missing in front of this", ""),
        ("settings: {}}\n", "3:13", "`}` closes nothing", ""),
        ("description: 'x' and y\n", "3:18", "follows a text that has ended", "doubled"),
        ('description: "\\d+"\n', "3:16", "`\\d` has no meaning", "`\\\\d`"),
        ("description: >x\n", "3:15", "block of text", "quote"),
        ("description: *\n", "3:15", "not followed by a name", "quote"),
        ("description: %x\n", "3:14", "cannot begin with %", "quote"),
    ],
)
def test_what_yaml_allows_and_a_config_does_not(
    text: str, where: str, problem: str, hint: str
) -> None:
    error = refused(HEAD + text)
    assert error.problems[0].where == f"routes.yaml:{where}"
    assert problem in error.problems[0].problem
    assert hint in error.problems[0].hint


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("# nothing\n", "empty"),
        ("- a\n", "not a mapping"),
        ("name: x\n", "the key gateway_lab is missing"),
        ("gateway_lab: 2\n", "format 2 is not known; this version reads format 1"),
        ("gateway_lab: true\n", "format True is not known; this version reads format 1"),
        ("gateway_lab: '1'\n", "format '1' is not known; this version reads format 1"),
        ("%YAML 1.1\n---\ngateway_lab: 1\nname: x\n", "a % directive"),
    ],
)
def test_what_is_no_config_of_this_format(text: str, problem: str) -> None:
    assert refused(text).problem == problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "sources: {s: {broker: k, chanel: c, event: 3}}",
            [
                ("3:26", "unknown key 'chanel'"),
                ("3:44", "sources.s.event: 3 where a text or a mapping belongs"),
            ],
        ),
        (
            "sources: {s: {event: {by: x, typs: {}}}}",
            [("3:22", "sources.s.event: 'types' is missing"), ("3:30", "unknown key 'typs'")],
        ),
        (
            "routers: {r: {source: [s], match: frist, routes: [{name: A, to: x}], unmatched: 3}}",
            [
                ("3:35", "routers.r.match: 'frist' where 'first' or 'all' belongs"),
                ("3:58", "routers.r.routes.0.name: value 'A' is not allowed"),
                ("3:65", "routers.r.routes.0.to: 'x' where a list belongs"),
                ("3:81", "routers.r.unmatched: 3 where 'dead_letter' or 'drop' or a list belongs"),
            ],
        ),
        (
            "routers: {r: {source: s}}",
            [
                ("3:14", "routers.r: 'match' is missing"),
                ("3:14", "routers.r: 'unmatched' is missing"),
            ],
        ),
        ("targets: {T: {broker: b, channel: c}}", [("3:11", "name 'T' is not allowed")]),
        (
            "tests: [{name: a, source: s, message: {}, expect: [{targt: x}, 4]}]",
            [
                ("3:53", "unknown key 'targt'"),
                ("3:64", "tests.0.expect.1: 4 where a text or a mapping belongs"),
            ],
        ),
        ("retry: {initial: 200}", [("3:18", "retry.initial: 200 where a text belongs")]),
        ("retry: {initial: 1.5s}", [("3:18", "retry.initial: value '1.5s' is not allowed")]),
        (
            "retry: {attempts: 0}",
            [("3:19", "retry.attempts: 0 where greater than or equal to 1 belongs")],
        ),
        (
            "brokers: {a: kafak}",
            [
                (
                    "3:14",
                    "brokers.a: 'kafak' where 'kafka', 'rabbitmq', 'nats', 'redis' or 'memory' belongs",
                )
            ],
        ),
    ],
)
def test_all_problems_are_told_each_with_its_place(
    text: str, expected: list[tuple[str, str]]
) -> None:
    assert told(HEAD + text + "\n") == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("brokers: {a: kafak}", "did you mean 'kafka'?"),
        (
            "routers: {r: {source: s, match: all, unmatched: drop, routes: [{name: a, to: [x], enabled: no}]}}",
            "write false",
        ),
        (
            "routers: {r: {source: s, match: all, unmatched: drop, routes: [{name: a, to: x}]}}",
            "write [x]",
        ),
        (
            "routers: {r: {source: s, match: all, routes: [], unmatched: audit}}",
            "write [audit], or dead_letter or drop",
        ),
        (
            "routers: {r: {source: s, match: all, routes: [], unmatched: dorp}}",
            "did you mean 'drop'?",
        ),
        ("targets: {t: {broker: b, channel: 12}}", "quote it"),
        ("targets: {t: {broker: b, channel: c, max_channels: '3'}}", "write it without quotes"),
        ("retry: {initial: 5 s}", "such as 200ms"),
        ("targets: {Big: {broker: b, channel: c}}", "lower-case"),
    ],
)
def test_a_refusal_says_what_to_write(text: str, hint: str) -> None:
    assert hint in refused(HEAD + text).hint


def test_the_text_of_an_error_shows_every_problem_on_its_line() -> None:
    text = str(refused(HEAD + "rotues: {}\nname: z\nevents: &e {}\n"))
    assert text.splitlines() == [
        "2 problems",
        "routes.yaml:4:1: duplicate key 'name'",
        "hint: the first is in line 2: rename or remove one",
        "routes.yaml:5:9: anchor &e",
        "hint: remove it; settings share values, `$ref` shares schemas within an event type",
    ]


def test_deep_nesting_is_refused_and_never_recurses() -> None:
    indented = "".join(" " * level + "a:\n" for level in range(1_000))
    for deep in ("x: " + "[" * 100_000, "x: " + "{a: " * 50_000, indented):
        assert "nested more than 64 levels deep" in refused(HEAD + deep).problem


def test_a_thousand_problems_are_cut_at_fifty() -> None:
    assert len(refused(HEAD + "name: x\n" * 1_000).problems) == 50
    assert len(refused(HEAD + "".join(f"k{n}: 1\n" for n in range(1_000))).problems) == 50


def test_what_a_repeated_key_holds_is_no_second_problem() -> None:
    assert len(refused(HEAD + "settings: {a: {b: 1}, a: {b: 1}}\n").problems) == 1


def test_a_long_value_is_not_shown_whole() -> None:
    assert len(str(refused("gateway_lab: 1\nname: " + "x" * 100_000))) < 300


def test_lines_are_counted_whatever_ends_them() -> None:
    for end in ("\r\n", "\r"):
        assert refused(f"gateway_lab: 1{end}name: x{end}rotues: 1{end}").where == "routes.yaml:3:1"


def test_a_file_of_ten_megabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b"#" * 10_000_000)
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        read_config(path)
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        parse_config("#" * 10_000_000)


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        read_config("/dev/zero")


@pytest.mark.parametrize(
    ("data", "where"),
    [(b"gateway_lab: 1\nname: \xff\n", ":2:7"), ("gateway_lab: 1".encode("utf-16"), "")],
)
def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path, data: bytes, where: str) -> None:
    path = tmp_path / "routes.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        read_config(path)
    assert caught.value.where == f"{path}{where}"


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + HEAD.encode())
    assert read_config(path).name == "x"


@pytest.mark.parametrize("path", ["nowhere.yaml", ".", "nul\0.yaml"])
def test_a_file_that_cannot_be_opened_is_a_config_error(path: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(path)


def test_the_path_may_be_any_path_like(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(HEAD)
    assert read_config(os.fspath(path)) == read_config(path)


def test_plain_scalars_follow_yaml_1_2() -> None:
    event = parse_config(
        HEAD
        + "events: {E: {a: 12:30:45, b: 1_000, c: 0o17, d: 0x1F, e: 1e3, f: ~, g: 2026-01-05, h: 007, i: TRUE, j: .5}}\n"
    ).events["E"]
    assert event == {
        "a": "12:30:45",
        "b": "1_000",
        "c": 15,
        "d": 31,
        "e": 1000.0,
        "f": None,
        "g": "2026-01-05",
        "h": 7,
        "i": True,
        "j": 0.5,
    }


def test_a_config_survives_pickle(business: GatewayConfig) -> None:
    again = pickle.loads(pickle.dumps(business))
    assert again == business
    assert again.digest == business.digest
