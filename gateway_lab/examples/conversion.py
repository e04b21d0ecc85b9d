"""Conversion: a Kafka topic becomes messages of RabbitMQ, without a line of code.

The config says it all: the key becomes the routing key, the value the body, the time a header.
What RabbitMQ could not carry, or what would reach a queue of another key, is a dead letter.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

import gateway_lab as gl
from gateway_lab.examples.live_run import LiveRun, message
from gateway_lab.examples.stage import Stage
from gateway_lab.examples.tables import delivered, letters

gateway = gl.Gateway(gl.read_config(Path(__file__).with_suffix(".yaml")))

LOOKS = {"work": ["user.ada", "user.bob"], "stream": ["dead-letter.kafka_input"]}


async def run(stage: Stage) -> dict[str, pl.DataFrame]:
    """Publish to Kafka, and show what RabbitMQ has."""
    ada = {"key": "ada", "value": {"name": "Ada", "langs": ["de"]}, "timestamp": 1_767_225_600_000}
    bob = {"key": "bob", "value": {}, "timestamp": 1_767_225_600_001}
    wild = {"key": "ada.#", "value": {}, "timestamp": 1_767_225_600_002}
    text = {"key": "ada", "value": "Ada", "timestamp": "today"}
    async with LiveRun(gateway, stage, LOOKS) as live:
        await live.publish(
            "stream",
            "kafka-input-topic",
            [
                message(ada, key="ada", x_request_id="r-1", x_internal="stays with Kafka"),
                *map(message, (bob, wild, text)),
            ],
        )
        messages = await live.arrived()
    return {"arrived": delivered(messages), "dead letters": letters(messages)}
