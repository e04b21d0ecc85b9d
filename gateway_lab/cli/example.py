"""`gateway-lab example`: programs to read and to run, one for each feature, on real brokers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Final

from rich.console import Console
from typer import Argument, BadParameter

from gateway_lab.cli.options import Form, Limit
from gateway_lab.cli.report import Format, Report, Table, table
from gateway_lab.errors import MissingExtraError, did_you_mean
from gateway_lab.examples.stage import staged

EXAMPLES = """
`gateway-lab example`  lists them

`gateway-lab example users`  starts brokers, runs it, shows what arrived where, and ends them

`gateway-lab example users --format json`  for programs

`eval "$(gateway-lab brokers up gateway_lab/examples/users.yaml)"`  starts brokers that stay, for
several examples
"""

FOLDER: Final = Path(__file__).parents[1] / "examples"

ABOUT: Final[Mapping[str, str]] = {
    "users": "one function for sources on all four brokers; invalid events are dead letters",
    "conversion": "Kafka to RabbitMQ: key, headers, time and body are mapped",
    "routing": "by content: replayed, explained, diffed, exported, and run with the same result",
    "commands": "a handler with injected services, and middlewares around it",
    "metrics": "batches: rows into a database, aggregates to a topic, the same offline",
    "payments": "retries, dead letters, and sending them back",
    "observability": "one trace across brokers, spans of your own, metrics",
}

EXTRAS: Final[Mapping[str, str]] = {"faststream": "faststream", "opentelemetry": "telemetry"}
"""Package that an example imports to the extra that brings it."""


def example(
    name: Annotated[
        str | None, Argument(help="Which; left out: they are listed.", metavar="NAME")
    ] = None,
    *,
    limit: Limit = 20,
    form: Form = Format.TABLE,
) -> None:
    """Run an example on real brokers, and show what arrived where.

    A broker whose address is set is used and left as it is: `GATEWAY_BROKER_STREAM_URL` is Kafka,
    `…_WORK_URL` RabbitMQ, `…_EDGE_URL` NATS, `…_CACHE_URL` Redis. The others start and end with it.
    """
    if name is None:
        rows = [{"example": each, "shows": about} for each, about in ABOUT.items()]
        Report(tables=[Table(name="examples", columns=["example", "shows"], rows=rows)]).show(form)
        return
    if name not in ABOUT:
        msg = f"there is no example {name!r}: {did_you_mean(name, ABOUT)}"
        raise BadParameter(msg, param_hint="NAME")
    _run(name, limit).show(form)


def _run(name: str, limit: int) -> Report:
    module = _load(name)
    with staged(module.gateway.config, tell=_tell) as stage:
        _tell(f"running {name} …")
        frames = asyncio.run(module.run(stage))
    return Report(
        facts={"program": FOLDER / f"{name}.py", "config": FOLDER / f"{name}.yaml"},
        tables=[table(title, frame, limit=limit) for title, frame in frames.items()],
    )


def _load(name: str) -> ModuleType:
    try:
        return import_module(f"gateway_lab.examples.{name}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in EXTRAS:
            raise MissingExtraError(package, extra=EXTRAS[package]) from None
        raise


def _tell(line: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(line, markup=False)
