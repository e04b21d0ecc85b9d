from __future__ import annotations

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from gateway_lab.gateway.counters import State, Stats
from gateway_lab.gateway.health.metrics import METRICS, expose
from tests.gateway.books import source, stats, way

Scrape = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(books: Stats) -> Scrape:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(expose(books, "shop").decode())
        for sample in family.samples
    }


def value(found: Scrape, name: str, /, **labels: str) -> float:
    return found[f"gateway_lab_{name}", frozenset(labels.items())]


def test_every_number_of_a_source_is_shown() -> None:
    found = scrape(stats())
    assert value(found, "messages_read_total", source="orders") == 10
    assert value(found, "messages_redelivered_total", source="orders") == 1
    assert value(found, "messages_settled_total", source="orders") == 7
    assert value(found, "messages_lost_total", source="orders") == 5
    assert value(found, "messages_given_back_total", source="orders") == 1
    assert value(found, "in_flight_messages", source="orders") == 2
    assert value(found, "window_fill_ratio", source="orders") == 0.25
    assert value(found, "delivery_retries_total", source="orders") == 2
    assert value(found, "ambiguous_tries_total", source="orders") == 1
    assert value(found, "order_overtaken_total", source="orders") == 4


def test_a_source_is_in_one_state() -> None:
    found = scrape(stats(source(state=State.RED)))
    states = {each: value(found, "source_state", source="orders", state=each) for each in State}
    assert states.pop(State.RED) == 1
    assert set(states.values()) == {0}


def test_results_of_a_router_are_told_apart() -> None:
    found = scrape(stats())
    results = {"matched": 6, "unmatched": 3, "invalid": 1}
    for result, number in results.items():
        labels = {"source": "orders", "router": "size", "result": result}
        assert value(found, "router_messages_total", **labels) == number


def test_a_way_keeps_the_books() -> None:
    found, of = scrape(stats()), {"source": "orders", "router": "size", "route": "big"}
    of["target"] = "copy"
    outcomes = {"delivered": 3, "dropped": 3, "dead_lettered": 2, "given_back": 1}
    for outcome, number in outcomes.items():
        assert value(found, "deliveries_total", **of, outcome=outcome) == number
    pending = value(found, "pending_deliveries", **of)
    assert value(found, "deliveries_decided_total", **of) == sum(outcomes.values()) + pending


def test_a_way_without_router_and_route_has_empty_labels() -> None:
    of = {"source": "orders", "router": "", "route": "", "target": "dead_letter"}
    assert value(scrape(stats()), "deliveries_decided_total", **of) == 10


def test_the_config_and_the_version_that_run_are_told() -> None:
    found = scrape(stats())
    assert value(found, "config_info", name="shop", digest="abc") == 1
    assert [name for name, _ in found if name == "gateway_lab_build_info"]


def test_a_reload_that_was_refused_is_told() -> None:
    assert value(scrape(stats()), "config_refused") == 0
    assert value(scrape(replace(stats(), refused="it has errors")), "config_refused") == 1


def test_memory_and_cpu_of_the_process_are_shown() -> None:
    names = {name for name, _ in scrape(stats())}
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total"} <= names


def test_only_names_of_the_config_and_fixed_words_are_labels() -> None:
    labels = {label for each in METRICS for label in each.labels}
    assert labels == {"source", "state", "router", "route", "target", "result", "outcome"}


def test_a_name_of_any_letters_comes_back_as_it_was() -> None:
    odd = 'a"b\\c\nd'
    books = Stats(sources=(source(odd),), routers=(), ways=())
    assert value(scrape(books), "messages_read_total", source=odd) == 10


def test_a_metric_of_each_name_is_there_but_once() -> None:
    names = [each.full_name for each in METRICS]
    assert len(names) == len(set(names))
    assert way().pending == 1
