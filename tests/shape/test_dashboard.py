"""The dashboard asks only for what a gateway tells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway_lab.gateway.health.metrics import METRICS, expose
from tests.gateway.books import stats

DASHBOARD: dict[str, Any] = json.loads(Path("deploy/grafana-dashboard.json").read_text())
WORDS = {"sum", "max", "count", "by", "rate", "increase", "changes", "or", "unless", "offset"}
FROM_THE_SCRAPE = {"instance"}
"""Labels that Prometheus itself adds."""


def queries() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for each in DASHBOARD["annotations"]["list"]:
        yield each["expr"]
    for each in DASHBOARD["templating"]["list"]:
        if each["type"] == "query":
            yield re.sub(r"label_values\((\w+), (\w+)\)", r"count by (\2) (\1)", each["query"])


def names_of(query: str) -> tuple[set[str], set[str]]:
    """The metrics and the labels that a query names."""
    query = re.sub(r"\[[^]]*\]|offset 1m", "", query)
    grouped = {label for each in re.findall(r"by \(([^)]*)\)", query) for label in each.split(", ")}
    chosen = set(re.findall(r"(\w+)=~?\"", query))
    rest = re.sub(r"by \([^)]*\)|\{[^}]*\}", "", query)
    return set(re.findall(r"[a-z_]{3,}", rest)) - WORDS, grouped | chosen


def scrape() -> dict[str, set[str]]:
    """The labels of each metric that a gateway tells."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(expose(stats(), "shop").decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_a_query_asks_for_what_is_told(query: str) -> None:
    told, (metrics, labels) = scrape(), names_of(query)
    assert metrics
    assert metrics <= told.keys()
    for metric in metrics:
        assert labels <= told[metric] | FROM_THE_SCRAPE


def test_a_legend_names_labels_of_its_query() -> None:
    told = scrape()
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            metrics, _ = names_of(target["expr"])
            assert all(named <= told[metric] | FROM_THE_SCRAPE for metric in metrics)


def test_every_metric_of_ours_is_shown() -> None:
    shown = {metric for query in queries() for metric in names_of(query)[0]}
    assert {each.full_name for each in METRICS} <= shown


def test_panels_do_not_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        assert at["x"] + at["w"] <= 24
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
