"""The verbs on real configs and captures: what they print, and how they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import gateway_lab as gl
from gateway_lab.cli.main import app

CONFIG = """\
gateway_lab: 1
name: shop
brokers: {stream: kafka, work: rabbitmq}
events:
  BusinessEvent:
    type: object
    required: [priority, tenant_id]
    properties:
      priority: {enum: [low, medium, high, critical]}
      tenant_id: {type: string}
sources: {business: {broker: stream, channel: business-events, event: BusinessEvent}}
targets:
  high: {broker: work, channel: high}
  rest: {broker: stream, channel: the-rest}
routers:
  by_priority:
    source: business
    match: first
    routes: [{name: high, when: "priority in ('high', 'critical')", to: [high]}]
    unmatched: [rest]
dead_letter: {broker: stream, channel: dead-letters}
tests:
  - name: high is high
    source: business
    message: {event: {priority: high, tenant_id: acme}}
    expect: [high]
"""


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("captures") / "business.parquet"
    gl.write_traffic("business", path, n=2000, seed=3)
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(CONFIG)
    return path


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == code, result.output
    return result.stdout


def document(*arguments: object, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--format", "json", code=code))


def test_the_books_of_a_replay_balance_on_paper_too(config: Path, capture: Path) -> None:
    books = document("replay", config, capture)
    [router] = books["routers"]
    assert books["messages"] == router["messages"] == 2000
    assert router["matched"] + router["unmatched"] + router["invalid"] == 2000
    assert sum(target["deliveries"] for target in books["targets"]) == 2000


@pytest.mark.parametrize("by", ["routes", "targets", "channels"])
def test_a_replay_counts_by_what_it_is_asked(config: Path, capture: Path, by: str) -> None:
    assert document("replay", config, capture, "--by", by)[by]


def test_a_replay_over_time_has_a_row_a_step_and_target(config: Path, capture: Path) -> None:
    rows = document("replay", config, capture, "--every", "6h", "--limit", "1000")["over_time"]
    assert sum(row["deliveries"] for row in rows) == 2000
    assert {row["time"][11:16] for row in rows} <= {"00:00", "06:00", "12:00", "18:00"}


def test_traffic_captured_elsewhere_is_bound_by_hand(config: Path, capture: Path) -> None:
    config.write_text(CONFIG.replace("channel: business-events", "channel: elsewhere"))
    assert document("replay", config, capture)["no_source"] == 2000
    bound = document("replay", config, capture, "--source", "business=kafka:business-events")
    assert bound["no_source"] == 0


def test_a_binding_to_what_was_not_captured_is_noted(config: Path, capture: Path) -> None:
    out = run("replay", config, capture, "--source", "business=kafka:busines-events")
    assert "note [source-not-captured]" in out
    assert "hint: did you mean 'kafka:business-events'?" in out


def test_lines_that_do_not_say_where_they_are_from_can_be_bound(
    config: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "others.ndjson"
    lines.write_text('{"priority": "high", "tenant_id": "acme"}\n')
    out = run("replay", config, lines)
    assert "they do not say where they are from" in out
    assert "--source NAME=:" in out
    assert document("replay", config, lines, "--source", "business=:")["no_source"] == 0


@pytest.mark.parametrize("verb", ["check", "diff", "export"])
def test_a_capture_that_no_source_reads_is_no_good_news(
    verb: str, config: Path, capture: Path, tmp_path: Path
) -> None:
    arguments: dict[str, tuple[object, ...]] = {
        "check": (config, "--capture", capture),
        "diff": (config, config, capture),
        "export": (config, "-o", tmp_path / "out.yaml", "--capture", capture),
    }
    for name, is_told in (("elsewhere", True), ("business-events", False)):
        config.write_text(CONFIG.replace("channel: business-events", f"channel: {name}"))
        result = CliRunner().invoke(app, [verb, *map(str, arguments[verb])])
        told = "no source of the config reads any of these messages" in result.output
        assert (result.exit_code, told) == (0, is_told)
        assert ("they are from kafka:business-events" in result.output) is is_told
        assert ("--source NAME=kafka:business-events" in result.output) is (told and verb == "diff")


def test_a_binding_that_is_written_wrong_is_refused(config: Path, capture: Path) -> None:
    run("replay", config, capture, "--source", "business", code=2)


def test_a_capture_that_is_not_there_is_named(config: Path) -> None:
    result = CliRunner().invoke(app, ["replay", str(config), "nowhere.parquet"])
    assert result.exit_code == 2
    assert "nowhere.parquet" in result.stderr


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    path = tmp_path / "draft.yaml"
    path.write_text(CONFIG.replace("('high', 'critical')", "('critical')"))
    return path


def test_a_diff_counts_what_moves(config: Path, draft: Path, capture: Path) -> None:
    found = document("diff", config, draft, capture)
    moved = sum(router["moved"] for router in found["summary"])
    assert moved == sum(row["messages"] for row in found["flow"]) > 0
    assert found["moved_share"] == moved / 2000
    assert [row["path"] for row in found["config"]] == ["routers.by_priority.routes.high.when"]


def test_a_config_does_not_differ_from_itself(config: Path, capture: Path) -> None:
    found = document("diff", config, config, capture, "--max-moved", "0", "--keep", "high")
    assert (found["moved_share"], found["flow"], found["config"]) == (0, [], [])


@pytest.mark.parametrize("guard", [("--max-moved", "0.01"), ("--keep", "high")])
def test_a_guard_that_does_not_hold_fails_after_the_report(
    config: Path, draft: Path, capture: Path, guard: tuple[str, str]
) -> None:
    result = CliRunner().invoke(app, ["diff", str(config), str(draft), str(capture), *guard])
    assert result.exit_code == 1
    assert "summary" in result.stdout
    assert "do not stay the same" in result.stderr


def test_an_explanation_names_the_clause_that_decided(config: Path) -> None:
    event = '{"priority": "low", "tenant_id": "acme"}'
    found = document("explain", config, "--source", "business", "--event", event)
    assert [clause["result"] for clause in found["clauses"]] == ["FALSE"]
    assert [target["target"] for target in found["targets"]] == ["rest"]
    shown = run("explain", config, "--event", event)
    assert "rest" in shown
    assert shown.endswith("* a clause that made its route's result\n")


def test_a_captured_message_is_explained_by_its_number(config: Path, capture: Path) -> None:
    assert document("explain", config, capture, "--seq", "1")["source"] == "business"


def test_an_explanation_of_masks_says_that_it_is_one(
    config: Path, capture: Path, tmp_path: Path
) -> None:
    config.write_text(CONFIG.replace("type: string}", "type: string, x-private: true}"))
    masked = tmp_path / "masked.parquet"
    gl.scan_capture(capture).head(5).mask(gl.read_config(config)).write(masked)
    for file, is_told in ((capture, False), (masked, True)):
        given = ["explain", str(config), str(file), "--seq", "1"]
        told = "masked" in CliRunner().invoke(app, given).stderr
        assert told is is_told


def test_an_explanation_of_nothing_asks_for_a_message(config: Path) -> None:
    run("explain", config, code=2)
    run("explain", config, "--source", "business", "--event", "{", code=2)


def test_a_good_config_passes_check(config: Path) -> None:
    assert run("check", config).splitlines()[-1].startswith("0 errors")


def test_an_error_is_shown_with_its_place_and_ends_in_one(config: Path) -> None:
    config.write_text(CONFIG.replace("priority in", "priorty in"))
    shown = run("check", config, code=1)
    assert f"{config}:19:" in shown
    findings = document("check", config, code=1)["findings"]
    assert [each["hint"] for each in findings if each["severity"] == "error"] == [
        "did you mean 'priority'?"
    ]


def test_a_warning_fails_only_when_asked(config: Path) -> None:
    config.write_text(CONFIG.replace("('high', 'critical')", "('high', 'urgent')"))
    severities = {each["severity"] for each in document("check", config)["findings"]}
    assert "warning" in severities
    assert "error" not in severities
    run("check", config, "--strict", code=1)


def test_what_the_traffic_shows_is_checked_too(config: Path, capture: Path) -> None:
    plain, seen = document("check", config), document("check", config, "--capture", capture)
    assert len(seen["findings"]) > len(plain["findings"])


def test_tests_that_hold_pass(config: Path) -> None:
    assert run("test", config).endswith("1 passed, 0 failed\n")


def test_a_config_that_promises_nothing_is_named(config: Path) -> None:
    config.write_text(CONFIG.partition("tests:")[0])
    assert run("test", config).endswith(
        f"{config}: nothing to run; write `tests:`, or export it with --capture\n0 passed, 0 failed\n"
    )


def test_a_test_that_does_not_hold_says_what_happened_instead(config: Path) -> None:
    config.write_text(CONFIG.replace("expect: [high]", "expect: [rest]"))
    [row] = document("test", config, code=1)["tests"]
    assert row["result"] == "failed"
    assert "what happened" in row["why"]


def test_the_schema_describes_the_document() -> None:
    schema = json.loads(run("schema"))
    assert {"sources", "targets", "routers"} <= schema["properties"].keys()
    assert "from" in schema["$defs"]["Source"]["properties"]


def test_generated_traffic_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("generate", "payments", "-n", 50, "--seed", seed, "-o", tmp_path / f"{name}.parquet")
    a, b, c = (gl.scan_capture(tmp_path / f"{name}.parquet").digest for name in "abc")
    assert a == b != c


def test_a_profile_that_does_not_exist_is_met_with_the_right_one(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["generate", "busines", "-o", str(tmp_path / "a.parquet")])
    assert result.exit_code == 2
    assert "did you mean 'business'" in result.stderr


def test_an_export_keeps_its_promises_until_a_route_changes(
    config: Path, capture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "routes.yaml"
    run("export", config, "-o", out, "--capture", capture)
    assert gl.read_config(out).digest == gl.read_config(config).digest
    assert run("test", out).endswith("2 passed, 0 failed\n")
    out.write_text(out.read_text().replace("('high', 'critical')", "('high')"))
    rows = document("test", out, code=1)["tests"]
    assert [row["result"] for row in rows] == ["passed", "failed"]
    assert "promised" in rows[1]["why"]


def test_an_overlay_is_laid_over_an_export(config: Path, tmp_path: Path) -> None:
    overlay, out = tmp_path / "prod.yaml", tmp_path / "routes.prod.yaml"
    overlay.write_text("overlay: 1\ntargets: {rest: {max_channels: 7}}\n")
    run("export", config, "-o", out, "--with", overlay)
    assert gl.read_config(out).targets["rest"].max_channels == 7


def test_a_config_with_an_error_is_not_exported(config: Path, tmp_path: Path) -> None:
    config.write_text(CONFIG.replace("priority in", "priorty in"))
    result = CliRunner().invoke(app, ["export", str(config), "-o", str(tmp_path / "out.yaml")])
    assert result.exit_code == 2
    assert f"{config}:19:" in result.stderr
    assert not (tmp_path / "out.yaml").exists()
