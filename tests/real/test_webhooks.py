"""Real webhook deliveries, where the file is there: large nested bodies, the type in a header.

What the replay counts is compared with a plain loop over the bodies in each test.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import gateway_lab as gl

FILE = Path(__file__).parents[3] / "shared" / "data" / "github-webhooks.ndjson.gz"
BY = "message.headers['x-github-event']"
CI = ("check_run", "check_suite", "status", "workflow_job", "workflow_run")

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the deliveries are not on this machine")


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    with gzip.open(FILE, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture(scope="module")
def capture() -> gl.Capture:
    return gl.scan_capture(FILE, protocol="kafka", channel="github")


@pytest.fixture(scope="module")
def config(capture: gl.Capture) -> gl.GatewayConfig:
    types = gl.infer_event_type(capture, by=BY)
    names = {name: name.title().replace("_", "") for name in types}
    document: dict[str, Any] = {
        "name": "webhooks",
        "brokers": {"hooks": "kafka", "work": "rabbitmq", "edge": "nats"},
        "events": {names[name]: schema for name, schema in types.items()},
        "sources": {
            "webhooks": {
                "broker": "hooks",
                "channel": "github",
                "event": {"by": BY, "types": names, "otherwise": "invalid"},
            }
        },
        "targets": {
            "merged": {"broker": "hooks", "channel": "merged"},
            "ci": {"broker": "work", "channel": "ci"},
            "triage": {"broker": "edge", "channel": f"triage.{{{BY}}}"},
            "rest": {"broker": "hooks", "channel": "rest"},
            "private": {"broker": "hooks", "channel": "private"},
            "bots": {"broker": "work", "channel": "bots"},
            "notes": {
                "broker": "work",
                "channel": "notes",
                "body": {"repository": "{repository.full_name}", "by": "{sender.login}"},
            },
        },
        "routers": {
            "by_kind": {
                "source": "webhooks",
                "match": "first",
                "routes": [
                    {
                        "name": "merged",
                        "events": ["PullRequest"],
                        "when": "action = 'closed' and pull_request.merged",
                        "to": ["merged"],
                    },
                    {"name": "ci", "when": f"{BY} in {CI}", "to": ["ci"]},
                    {
                        "name": "triage",
                        "events": ["Issues", "PullRequest", "IssueComment"],
                        "when": "action in ('opened', 'created')",
                        "to": ["triage", "notes"],
                    },
                ],
                "unmatched": ["rest"],
            },
            "by_nature": {
                "source": "webhooks",
                "match": "all",
                "routes": [
                    {"name": "private", "when": "repository.private", "to": ["private"]},
                    {"name": "bots", "when": "sender.type = 'Bot'", "to": ["bots"]},
                ],
                "unmatched": "drop",
            },
        },
        "dead_letter": {"broker": "hooks", "channel": "dead-letter.{message.source}"},
    }
    return gl.GatewayConfig.model_validate(document)


@pytest.fixture(scope="module")
def replay(config: gl.GatewayConfig, capture: gl.Capture) -> gl.Replay:
    return gl.replay(config, capture)


def kind(line: dict[str, Any]) -> str:
    return str(line["headers"]["X-GitHub-Event"])


def is_for_triage(line: dict[str, Any]) -> bool:
    triaged = kind(line) in {"issues", "pull_request", "issue_comment"}
    return triaged and line["body"]["action"] in {"opened", "created"}


def test_no_finding_is_an_error(config: gl.GatewayConfig, capture: gl.Capture) -> None:
    assert [each for each in gl.check(config, capture) if each.severity == "error"] == []


def test_every_delivery_is_valid_under_the_type_inferred_for_its_header(
    replay: gl.Replay,
) -> None:
    assert replay.invalid().is_empty()
    assert replay.routers()["messages"].to_list() == [329, 329]


def test_targets_get_what_a_plain_loop_counts(
    replay: gl.Replay, lines: list[dict[str, Any]]
) -> None:
    bodies = [line["body"] for line in lines]
    counts = dict(replay.targets().select("target", "delivered").iter_rows())
    triage = sum(map(is_for_triage, lines))
    assert counts["ci"] == sum(kind(line) in CI for line in lines)
    assert counts["triage"] == counts["notes"] == triage > 0
    assert counts["rest"] == 329 - counts["ci"] - triage - counts["merged"]
    assert counts["private"] == sum(
        (body.get("repository") or {}).get("private") is True for body in bodies
    )
    assert counts["bots"] == sum((body.get("sender") or {}).get("type") == "Bot" for body in bodies)


def test_each_delivery_renders_its_channel_and_body(
    replay: gl.Replay, lines: list[dict[str, Any]]
) -> None:
    deliveries = replay.deliveries(rendered=True).collect()
    channels = deliveries.filter(pl.col("target") == "triage")["channel"]
    expected = Counter(f"triage.{kind(line)}" for line in lines if is_for_triage(line))
    assert Counter(channels) == expected
    for seq, body in deliveries.filter(pl.col("target") == "notes").select("seq", "body").rows():
        event = lines[seq]["body"]
        note = {"repository": event["repository"]["full_name"], "by": event["sender"]["login"]}
        assert json.loads(body) == note


def test_a_diff_finds_just_the_messages_that_an_edit_moves(
    config: gl.GatewayConfig, capture: gl.Capture, lines: list[dict[str, Any]]
) -> None:
    fewer = config.edit_route("by_kind", "ci", when=f"{BY} = 'check_run'")
    moved = gl.diff(config, fewer, capture).messages().collect()
    expected = [i for i, line in enumerate(lines) if kind(line) in CI and kind(line) != "check_run"]
    assert sorted(moved["seq"]) == expected
    assert set(moved.select("old", "new").rows()) == {("ci", "rest")}


def test_an_explanation_names_the_clause_that_kept_a_pull_request_from_merging(
    config: gl.GatewayConfig, capture: gl.Capture, lines: list[dict[str, Any]]
) -> None:
    seq = next(
        i
        for i, line in enumerate(lines)
        if kind(line) == "pull_request"
        and line["body"]["action"] == "closed"
        and not line["body"]["pull_request"]["merged"]
    )
    clauses = gl.explain(config, capture.message(seq)).clauses
    decided = clauses.filter(route="merged", decided=True)
    assert decided["clause"].to_list() == ["pull_request.merged"]
