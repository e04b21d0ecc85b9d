from __future__ import annotations

import subprocess
import sys

import pytest

import gateway_lab as gl

CONFIG = """\
gateway_lab: 1
name: shop
brokers: {stream: kafka}
events: {Order: {type: object, required: [total], properties: {total: {type: number}}}}
sources: {orders: {broker: stream, channel: orders, event: Order}}
targets: {big: {broker: stream, channel: big-orders}}
routers:
  by_size:
    source: orders
    match: first
    routes: [{name: big, when: "total > 100", to: [big]}]
    unmatched: drop
dead_letter: {broker: stream, channel: dead-letters}
tests:
  - {name: a big one, source: orders, message: {event: {total: 101}}, expect: [big]}
  - {name: a small one, source: orders, message: {event: {total: 99}}, expect: [big]}
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    (pytester.path / "configs").mkdir()
    (pytester.path / "configs" / "shop.yaml").write_text(CONFIG)
    return pytester


def test_a_config_on_the_command_line_is_run_a_test_each(project: pytest.Pytester) -> None:
    result = project.runpytest("-v", "-p", "no:randomly", "configs/shop.yaml")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*shop.yaml::a big one PASSED*", "*shop.yaml::a small one FAILED*"]
    )


def test_a_failure_says_what_happened_instead_and_shows_no_code_of_ours(
    project: pytest.Pytester,
) -> None:
    result = project.runpytest("configs/shop.yaml")
    result.stdout.fnmatch_lines(["*failed: a small one*", "*what happened*"])
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_nobody_who_does_not_ask_gets_items(project: pytest.Pytester) -> None:
    project.makepyfile("def test_own(): pass")
    project.runpytest().assert_outcomes(passed=1)
    project.runpytest("configs").assert_outcomes()


def test_a_setting_names_the_configs_of_a_project(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\ngateway_lab_configs = configs/*.yaml")
    project.runpytest().assert_outcomes(passed=1, failed=1)


def test_yaml_that_is_no_config_is_left_to_others(project: pytest.Pytester) -> None:
    (project.path / "other.yaml").write_text("a: 1\n")
    project.runpytest("other.yaml").assert_outcomes()


def test_a_config_that_cannot_be_read_fails_with_file_and_line(project: pytest.Pytester) -> None:
    (project.path / "bad.yaml").write_text(CONFIG.replace("brokers:", "broker:", 1))
    result = project.runpytest("bad.yaml")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*bad.yaml:3:1*"])


def test_a_config_with_errors_fails_each_test_with_the_first(project: pytest.Pytester) -> None:
    (project.path / "bad.yaml").write_text(CONFIG.replace("total > 100", "totl > 100"))
    result = project.runpytest("bad.yaml")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*totl*"])


def test_the_counts_of_an_export_are_an_item_of_their_own(project: pytest.Pytester) -> None:
    gl.write_traffic("business", project.path / "orders.parquet", n=100)
    draft = gl.parse_config(CONFIG.replace("channel: orders", "channel: business-events"))
    kept = draft.with_parts(tests=draft.tests[:1])
    gl.export(
        kept, project.path / "out.yaml", capture=gl.scan_capture(project.path / "orders.parquet")
    )
    project.runpytest_subprocess("out.yaml").assert_outcomes(passed=2)
    gl.write_traffic("business", project.path / "orders.parquet", n=101)
    result = project.runpytest_subprocess("out.yaml")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*the capture is not the one that the counts were made with*"])


def test_a_project_that_only_has_the_plugin_installed_loads_nothing_heavy() -> None:
    code = (
        "import sys, gateway_lab.testing.pytest_plugin\n"
        "print(sorted({'polars', 'pydantic', 'plotly'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
