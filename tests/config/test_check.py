"""Every finding: a config that has it, at the place that it tells, and one that has not."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_lab.config.check import check
from gateway_lab.config.codes import CODES
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.config.overlap import can_write
from gateway_lab.findings import Finding, Severity

LINES = {
    "name": "name: example",
    "settings": "settings: {limit: {type: number, value: 10}}",
    "brokers": "brokers: {k: kafka, r: rabbitmq}",
    "events": (
        "events: {E: {type: object, required: [kind], properties: {kind: {enum: [a, b]},"
        " n: {type: number}, tags: {type: array, items: {type: string}}}}}"
    ),
    "sources": "sources: {s: {broker: k, channel: in, event: E}}",
    "targets": "targets: {t: {broker: k, channel: out}, u: {broker: k, channel: 'u.{kind}'}}",
    "routers": "routers: {r: {source: s, match: first, unmatched: [t], routes: [{name: one, when: n > settings.limit, to: [u]}]}}",
    "dead_letter": "dead_letter: {broker: r, channel: dead}",
}
"""A small config, a line a section; the tests replace or add lines."""


def findings(**lines: str) -> list[Finding]:
    text = "\n".join(["gateway_lab: 1", *{**LINES, **lines}.values()]) + "\n"
    return list(check(parse_config(text, file="f.yaml")))


def route(*routes: str, match: str = "first", unmatched: str = "[t]") -> dict[str, str]:
    listed = ", ".join(routes)
    return {
        "routers": f"routers: {{r: {{source: s, match: {match}, unmatched: {unmatched}, routes: [{listed}]}}}}"
    }


def when(rule: str) -> dict[str, str]:
    return route(f'{{name: one, when: "{rule}", to: [u]}}')


def target(written: str) -> dict[str, str]:
    return {"targets": f"targets: {{t: {written}, u: {{broker: k, channel: out.u}}}}"}


def source(written: str) -> dict[str, str]:
    return {"sources": f"sources: {{s: {written}}}"}


def test_the_small_config_has_nothing_but_a_note_on_null() -> None:
    assert [each.code for each in findings()] == ["undecided-possible"]


def test_the_whole_example_has_no_error_and_no_warning(business: GatewayConfig) -> None:
    assert {each.severity for each in check(business)} == {Severity.NOTE}


CASES: list[tuple[str, str, dict[str, str], str]] = [
    # code, severity, lines, the text at the place
    ("unknown-broker", "error", source("{broker: kk, channel: in, event: E}"), "kk"),
    ("unknown-broker", "error", {"dead_letter": "dead_letter: {broker: x, channel: dead}"}, "x,"),
    ("unknown-event", "error", source("{broker: k, channel: in, event: F}"), "F}"),
    ("unknown-event", "error", source("{broker: k, channel: in, event: E, handler: {returns: F}}"), "F}"),
    ("unknown-event", "error", route("{name: one, events: [E, F], to: [u]}"), "F]"),
    ("unknown-source", "error", {"routers": LINES["routers"].replace("source: s", "source: z")}, "z,"),
    ("unknown-target", "error", route("{name: one, to: [u, x]}"), "x]"),
    ("unknown-target", "error", route(unmatched="[x]"), "x]"),
    ("reserved-name", "error", {"targets": "targets: {t: {broker: k, channel: out}, u: {broker: k, channel: o}, event: {broker: k, channel: e}}"}, "event:"),
    ("reserved-name", "error", route("{name: drop, to: [u]}"), "drop,"),
    ("reserved-name", "error", {"events": LINES["events"].replace("{E:", "{invalid: {type: object}, E:")}, "invalid"),
    ("duplicate-name", "error", route("{name: one, when: n > 1, to: [u]}", "{name: one, to: [u]}"), "one, to"),
    ("source-address", "error", source("{event: E}"), "{event"),
    ("source-address", "error", source("{broker: k, event: E}"), "{broker"),
    ("source-address", "error", source("{broker: k, channel: in, from: [], pattern: x, event: E}"), "{broker"),
    ("source-address", "error", source("{broker: k, channel: in, from: [{broker: k, channel: b}], event: E}"), "{broker"),
    ("sources-differ", "error", {
        "sources": "sources: {s: {broker: k, channel: in, event: E}, z: {broker: k, channel: z}}",
        "routers": LINES["routers"].replace("source: s", "source: [s, z]"),
    }, "[s, z]"),
    ("empty-targets", "error", route("{name: one, to: []}"), "[]"),
    ("mixed-targets", "error", route("{name: one, to: [u, drop]}"), "drop]"),
    ("repeated-target", "warning", route("{name: one, to: [u, u]}"), "[u, u]"),
    ("event-type", "error", {"events": "events: {E: {type: object, properties: {kind: {enum: [a, b]}, n: {type: number}, x: {oneOf: []}}}}"}, "[]"),
    ("setting-type", "error", {"settings": "settings: {limit: {type: integer, value: 1.5}}"}, "1.5"),
    ("setting-type", "error", {"settings": "settings: {limit: {type: number, value: true}}"}, "true"),
    ("unused", "note", {"settings": "settings: {limit: {type: number, value: 1}, spare: {type: number, value: 1}}"}, "spare"),
    ("unused", "note", {"targets": "targets: {t: {broker: k, channel: out}, u: {broker: k, channel: o}, v: {broker: k, channel: e}}"}, "v:"),
    ("disabled", "note", route("{name: one, to: [u], enabled: false}"), "{name"),
    ("rule-syntax", "error", when("n >"), ""),
    ("rule-too-long", "error", when("n > 1 or " * 600 + "n > 1"), ""),
    ("rule-too-deep", "error", when("(" * 30 + "n > 1" + ")" * 30), ""),
    ("rule-too-deep", "error", {"routers": LINES["routers"].replace("n > settings.limit", '"' + "(" * 1000 + "n > 1" + ")" * 1000 + '"')}, ""),
    ("unsupported-syntax", "error", when("n over ()"), ""),
    ("unsupported-function", "error", when("n > random()"), "random"),
    ("unknown-name", "error", when("kind = 'a' and knid = 'b'"), "knid"),
    ("unknown-name", "error", when("n > settings.limti"), "settings.limti"),
    ("type-mismatch", "error", when("kind = 'a' or n = 'b'"), "n = 'b'"),
    ("type-mismatch", "error", when("n + 1"), "n + 1"),
    ("not-constant", "error", when("kind like kind"), "kind"),
    ("bad-constant", "error", when("n > 99999999999999999999"), "9"),
    ("bad-regex", "error", when("regexp_matches(kind, '(?=a)')"), "'(?=a"),
    ("division-by-zero", "error", when("n / 0 > 1"), ""),
    ("null-comparison", "error", when("n = null"), ""),
    ("always-null", "error", when("n > 9223372036854775807 + 1"), ""),
    ("opaque-object", "error", {
        "events": "events: {E: {type: object, required: [kind], properties: {kind: {enum: [a, b]}, n: {type: object}}}}",
        **when("n.x > settings.limit"),
    }, "n.x"),
    ("ambiguous-name", "error", {
        "events": "events: {E: {type: object, properties: {n: {type: number}}}, F: {type: object, properties: {n: {type: string}}}}",
        "sources": "sources: {s: {broker: k, channel: in, event: {by: message.key, types: {e: E, f: F}}}}",
        "targets": "targets: {t: {broker: k, channel: out}, u: {broker: k, channel: o}}",
    }, "n >"),
    ("template-syntax", "error", target("{broker: k, channel: 'out.{kind'}"), "{kind'"),
    ("template-type", "error", target("{broker: k, channel: 'out.{n}'}"), "n}"),
    ("template-type", "error", target("{broker: k, channel: out, key: '{tags}'}"), "tags"),
    ("unknown-name", "error", target("{broker: k, channel: out, body: {a: [1, 'x {knid}']}}"), "knid"),
    ("channel-start", "error", target("{broker: k, channel: '{kind}.out'}"), "kind"),
    ("channel-start", "error", {"dead_letter": "dead_letter: {broker: k, channel: '{message.source}'}"}, "message"),
    ("value-cannot-occur", "warning", when("kind = 'c' or n > settings.limit"), "'c'"),
    ("route-never-matches", "warning", when("n > settings.limit and n < 5"), '"n >'),
    ("route-shadowed", "warning", route("{name: one, when: n > settings.limit, to: [u]}", "{name: two, when: n > 20, to: [u]}"), "{name: two"),
    ("not-exhaustive", "note", route("{name: one, when: n > settings.limit, to: [u]}", unmatched="drop"), "{source"),
    ("undecided-possible", "note", when("n > settings.limit"), '"n >'),
    ("message-loop", "error", {"targets": "targets: {t: {broker: k, channel: out}, u: {broker: k, channel: in}}", **route("{name: one, to: [u]}")}, "in}"),
    ("message-loop", "warning", {"targets": "targets: {t: {broker: k, channel: out}, u: {broker: k, channel: in}}"}, "in}"),
    ("message-loop", "warning", {"sources": "sources: {s: {broker: k, channel: u.a, event: E}}"}, "'u.{kind}'"),
    ("double-delivery", "warning", {
        "routers": LINES["routers"][:-1] + ", q: {source: s, match: all, unmatched: drop, routes: [{name: one, to: [u]}]}}",
    }, "u]}]}}"),
    ("double-delivery", "warning", {
        "targets": "targets: {t: {broker: k, channel: same}, u: {broker: k, channel: same}}",
        **route("{name: one, to: [t, u]}"),
    }, "u]}"),
    ("duplicate-name", "error", {"batches": "batches: {b: {source: s, size: 5, every: 1s, group_by: {kind: '{kind}'}, aggregates: {kind: count(*)}, to: [t]}}"}, "kind: count"),
    ("batch-incomplete", "warning", {"batches": "batches: {b: {source: s, size: 5, every: 1s}}"}, "{source: s, size"),
    ("batch-incomplete", "warning", {"batches": "batches: {b: {source: s, size: 5, every: 1s, rows: {a: '{n}'}, to: [t]}}"}, "{source: s, size"),
    ("batch-repeats", "warning", {
        **source("{broker: r, channel: in, event: E}"),
        "batches": "batches: {b: {source: s, size: 5, every: 1s, rows: {a: '{n}'}, store: {database: d, table: t}}}",
    }, "s, size"),
    ("test-unknown-name", "error", {"tests": "tests: [{name: a, source: z, message: {}}]"}, "z,"),
    ("test-unknown-name", "error", {"tests": "tests: [{name: a, source: s, message: {}, expect: [x]}]"}, "x]"),
    ("test-unknown-name", "error", {"tests": "tests: [{name: a, source: s, message: {}, expect: [{router: r, route: two}]}]"}, "two"),
    ("test-message", "error", {"tests": "tests: [{name: a, source: s, message: {event: {}, body: x}}]"}, "{event"),
    ("test-message", "error", {"tests": "tests: [{name: a, source: s, message: {timestamp: today}}]"}, "today"),
    ("test-message", "error", {"tests": "tests: [{name: a, source: s, message: {channel: else}}]"}, "else"),
    ("expectations-stale", "warning", {"expectations": "expectations: {capture: c, capture_digest: d, config_digest: e, messages: 1}"}, "e, mess"),
    ("channel-refused", "error", target("{broker: k, channel: 'a b'}"), "'a b'"),
    ("channel-refused", "error", target("{broker: k, channel: '__out.{kind}'}"), "'__out"),
    ("channel-refused", "error", source("{broker: k, channel: 'a*', event: E}"), "'a*'"),
    ("channel-refused", "error", {"dead_letter": "dead_letter: {broker: k, channel: 'a b'}"}, "'a b'"),
    ("pattern-refused", "error", source("{broker: k, pattern: 'a.*', event: E}"), "'a.*'"),
    ("pattern-refused", "error", source("{broker: r, pattern: 'a.*', event: E}"), "'a.*'"),
    ("source-is-template", "error", source("{broker: k, channel: 'in.{kind}', event: E}"), "'in"),
    ("header-refused", "error", target("{broker: k, channel: out, headers: {x-gw-key: a}}"), "x-gw"),
    ("header-refused", "warning", target("{broker: k, channel: out, pass_headers: [x-gw-key]}"), "x-gw"),
    ("option-refused", "error", target("{broker: k, channel: out, options: {gruop: a}}"), "gruop"),
    ("option-refused", "error", source("{broker: r, channel: in, event: E, options: {queue: q}}"), "{queue"),
    ("not-carried", "note", target("{broker: r, channel: out}"), "r,"),
    ("dead-letter-missing", "warning", {"dead_letter": ""}, "{broker"),
    ("dead-letter-missing", "error", {"dead_letter": "", **route("{name: one, to: [dead_letter]}")}, "{broker"),
    ("dead-letter-loop", "error", {"dead_letter": "dead_letter: {broker: k, channel: in}"}, "in}"),
    ("unbounded-channels", "note", target("{broker: k, channel: 'o.{message.key}'}"), "'o."),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: f"{n}-{CASES[n][0]}")
def test_a_config_that_has_it_is_told_where(number: int) -> None:
    code, severity, lines, at = CASES[number]
    found = [each for each in findings(**lines) if each.code == code]
    text = "\n".join(["gateway_lab: 1", *{**LINES, **lines}.values()]).splitlines()
    places = [text[each.line - 1][each.column - 1 :] for each in found if each.line and each.column]
    assert [each.severity for each in found] == [Severity(severity)] * len(found)
    assert any(place.startswith(at) for place in places), (code, places)


def test_every_code_that_check_can_say_has_a_case() -> None:
    said_by_reading = {
        "comment-cut-text",
        "braces-became-mapping",
        "unquoted-yes-or-no",
        "no-value",
    }
    with_a_capture = {
        code for code, each in CODES.items() if each.group == "Compared with a capture"
    }
    cased = {code for code, *_ in CASES}
    while_it_runs = {"restart-needed"}
    left = set(CODES) - cased - said_by_reading - with_a_capture - while_it_runs
    assert left == {"body-template"}


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("unused", {"batches": "batches: {b: {source: s, size: 5, every: 1s, aggregates: {n: count(*)}, to: [t]}}"}),
        ("message-loop", {"targets": "targets: {t: {broker: r, channel: in}, u: {broker: r, channel: in}}"}),
        ("message-loop", {"sources": "sources: {s: {broker: k, channel: u.c, event: E}}"}),
        ("double-delivery", route("{name: one, when: n > 1, to: [u]}", "{name: two, to: [u]}", match="all")),
        ("double-delivery", {
            "targets": "targets: {t: {broker: k, channel: same}, u: {broker: k, channel: same}}",
            **route("{name: one, when: n > 1, to: [t]}", "{name: two, to: [u]}"),
        }),
        ("not-exhaustive", route("{name: one, when: n > 1, to: [u]}")),
        ("route-shadowed", route("{name: one, when: n > 1, to: [u]}", "{name: two, when: n > 20, to: [t]}", match="all")),
        ("unbounded-channels", target("{broker: k, channel: 'o.{message.key}', max_channels: 5}")),
        ("channel-refused", {"sources": "sources: {s: {broker: r, channel: 'a.*', event: E, options: {exchange: x, queue: q}}}"}),
        ("dead-letter-loop", {"dead_letter": "dead_letter: {broker: k, channel: 'in.{message.source}'}"}),
    ],
)  # fmt: skip
def test_a_config_that_only_looks_like_it_is_left_alone(code: str, lines: dict[str, str]) -> None:
    assert code not in {each.code for each in findings(**lines)}


def test_errors_inside_what_is_switched_off_are_warnings() -> None:
    found = findings(**route("{name: one, when: knid = 'a', to: [u], enabled: false}"))
    assert {each.code: each.severity for each in found}["unknown-name"] is Severity.WARNING


def test_a_finding_has_a_hint_an_offset_and_one_line_of_text() -> None:
    (found,) = [
        each for each in findings(**when("n > 1 and knid = 'a'")) if each.code == "unknown-name"
    ]
    assert found.hint == "did you mean 'kind'?"
    assert found.offset == len("n > 1 and ")
    assert found.path == ("routers", "r", "routes", 0, "when")
    assert str(found).splitlines() == [
        f"f.yaml:8:{found.column}: error [unknown-name] {found.text}",
        "  hint: did you mean 'kind'?",
    ]


def test_one_mistake_in_a_target_of_three_sources_is_told_once() -> None:
    sources = (
        "sources: {" + ", ".join(f"{n}: {{broker: k, channel: {n}, event: E}}" for n in "sxy") + "}"
    )
    routers = "routers: {r: {source: [s, x, y], match: all, unmatched: drop, routes: [{name: one, to: [t, u]}]}}"
    lines = {"sources": sources, "routers": routers, **target("{broker: k, channel: 'o.{knid}'}")}
    assert [each.code for each in findings(**lines)].count("unknown-name") == 1


def test_a_longer_loop_is_told_with_its_way() -> None:
    lines = {
        "sources": "sources: {s: {broker: k, channel: in, event: E}, z: {broker: k, channel: out, event: E}}",
        "targets": "targets: {t: {broker: k, channel: out}, u: {broker: k, channel: in}}",
        "routers": "routers: {r: {source: s, match: all, unmatched: drop, routes: [{name: one, to: [t]}]},"
        " q: {source: z, match: all, unmatched: drop, routes: [{name: one, to: [u]}]}}",
    }
    told = [each.text for each in findings(**lines) if each.code == "message-loop"]
    assert told == [
        "messages go round through this target: 's' → 'z' → 's'",
        "messages go round through this target: 'z' → 's' → 'z'",
    ]


def test_channels_that_cannot_meet_are_not_compared_pair_by_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []

    def count(*args: Any, **kwargs: Any) -> bool:
        asked.append(can_write(*args, **kwargs))
        return asked[-1]

    monkeypatch.setattr("gateway_lab.config.check_loops.can_write", count)
    end = "match: all, unmatched: drop, routes: [{name: one, to:"
    many = range(40)
    sources = ", ".join(f"s{n}: {{broker: k, channel: in{n}}}" for n in many)
    targets = ", ".join(f"t{n}: {{broker: k, channel: in{n - 1}}}" for n in many)
    routers = ", ".join(f"r{n}: {{source: s{n}, {end} [t{n}]}}]}}" for n in many)
    found = findings(
        sources=f"sources: {{{sources}}}",
        targets=f"targets: {{{targets}}}",
        routers=f"routers: {{{routers}}}",
    )
    assert asked == [True] * 39
    assert "message-loop" not in {each.code for each in found}


def test_a_witness_is_the_message_of_a_test() -> None:
    (found,) = [each for each in findings() if each.code == "undecided-possible"]
    text = "\n".join(["gateway_lab: 1", *LINES.values()])
    config = parse_config(text)
    document = config.model_dump(mode="json", exclude_unset=True)
    document["tests"] = [{"name": "w", "source": "s", "message": found.witness}]
    assert GatewayConfig.model_validate(document).tests[0].message.event == found.witness["event"]


def test_a_rule_that_cannot_be_read_hides_nothing_of_the_others() -> None:
    found = findings(
        **route(
            "{name: broken, when: nn > 1, to: [u]}",
            "{name: one, when: n > 1, to: [u]}",
            "{name: two, when: n > 20, to: [u]}",
            unmatched="drop",
        )
    )
    codes = {each.code for each in found}
    assert {"unknown-name", "route-shadowed"} <= codes
    assert "not-exhaustive" not in codes  # what the broken one takes is not known


@pytest.mark.parametrize(
    ("protocol", "options"),
    [("nats", "{}"), ("redis", "{}"), ("rabbitmq", "{id_from: message_id}")],
)
def test_rows_of_messages_that_have_a_name_are_not_warned_of(protocol: str, options: str) -> None:
    text = f"""
gateway_lab: 1
name: a
brokers: {{b: {protocol}}}
sources: {{s: {{broker: b, channel: in, options: {options}}}}}
batches:
  load:
    source: s
    size: 5
    every: 1s
    rows: {{a: "{{message.source}}"}}
    store: {{database: d, table: t}}
"""
    assert "batch-repeats" not in {each.code for each in check(parse_config(text))}
