"""Makes docs/metrics.md from the metrics themselves."""

from __future__ import annotations

from gateway_lab.gateway.health.metrics import BUILD_INFO, CONFIG_INFO, METRICS, Metric

HEAD = """\
# Health and metrics

<!-- Made by `make docs` from gateway_lab/gateway/health/metrics.py; change that instead. -->

`gateway-lab run FILE --port 9100` answers on 127.0.0.1, to GET and HEAD:

| path | answer |
| --- | --- |
| `/livez` | 200 while the process does its work. No answer within seconds: it hangs, restart it. |
| `/readyz` | 200 when every source that a router reads runs, else 503; the state of each source, \
and why: the broker that it waits for, or what stopped it. |
| `/metrics` | What is in the tables below, in Prometheus' text format. |

An application of your own serves the same by [`gateway.app.as_asgi()`](faststream.md#asgi).

There is no login, hence loopback only: another host must be allowed, and belongs behind a
firewall. Labels hold names of the config and fixed words, never anything of a message. A request
may have 8 KiB and take 5 seconds, of 32 clients at once.

A source that waits for a broker is alive and not ready: a restart would not bring the broker back.
A red source stays red until a reload or a restart, and others go on; what it read and did not
settle comes again. So let a probe of readiness tell people, and only one of liveness end the process.

The books: `messages_read_total` = `messages_settled_total` + `messages_given_back_total` +
`in_flight_messages`, for each source; `deliveries_decided_total` = the sum of `deliveries_total`
over its outcomes + `pending_deliveries`, for each way. The counters begin at 0 when the process
starts, so alarms use `rate` and `increase`.

## The metrics

"""

ALARMS = """
## The alarms

In PromQL; `…` is the metric's name.

"""

REST = f"""
Besides, `{BUILD_INFO}` and `{CONFIG_INFO}` are 1 and have the version, and the config's name and
digest, as labels: a reload that took effect changes the digest. `process_*` are memory, CPU and
files of the process that answers; with several workers that is not the workers.

The same numbers go out by OpenTelemetry where that is asked for, as `gateway_lab.messages_read` and
so on, with the conventions' own names beside them: see [telemetry](telemetry.md). A dashboard for
Grafana that shows them is in `deploy/grafana-dashboard.json`.
"""


def metrics_page() -> str:
    """Return the page: what each metric means, and when to be told of it."""
    rows = [*map(_row, METRICS)]
    alarms = [f"| `{each.full_name}` | {each.alarm} |\n" for each in METRICS if each.alarm]
    return "".join(
        [
            HEAD,
            *("| metric | kind | labels | meaning |\n", "| --- | --- | --- | --- |\n", *rows),
            REST,
            ALARMS,
            *("| metric | be told when |\n", "| --- | --- |\n", *alarms),
        ]
    )


def _row(metric: Metric) -> str:
    labels = ", ".join(metric.labels)
    return f"| `{metric.full_name}` | {metric.kind} | {labels} | {metric.meaning} |\n"
