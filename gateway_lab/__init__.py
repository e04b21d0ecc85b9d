"""Design, replay, explain and diff message routes on captured traffic.

    import gateway_lab as gl

    config = gl.read_config("data/business.yaml")
    capture = gl.scan_capture("data/business.parquet")
    gl.replay(config, capture).routers()

Every name is loaded when it is first used, so that a gateway in production loads no polars.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway_lab.batches.cost import StoreCost as StoreCost
    from gateway_lab.captures.capture import Capture as Capture
    from gateway_lab.captures.generate import generate_traffic as generate_traffic
    from gateway_lab.captures.generate import write_traffic as write_traffic
    from gateway_lab.captures.inference import infer_event_type as infer_event_type
    from gateway_lab.captures.read import scan_capture as scan_capture
    from gateway_lab.config.gateway_config import GatewayConfig as GatewayConfig
    from gateway_lab.config.json_schema import json_schema as json_schema
    from gateway_lab.config.load import parse_config as parse_config
    from gateway_lab.config.load import read_config as read_config
    from gateway_lab.config.overlay import with_overlay as with_overlay
    from gateway_lab.config.write import format_config as format_config
    from gateway_lab.errors import ExpectationError as ExpectationError
    from gateway_lab.errors import GatewayLabError as GatewayLabError
    from gateway_lab.events.event_type import EventType as EventType
    from gateway_lab.events.pydantic_model import event_type as event_type
    from gateway_lab.findings import Finding as Finding
    from gateway_lab.findings import Findings as Findings
    from gateway_lab.gateway.asyncapi.document import asyncapi as asyncapi
    from gateway_lab.gateway.gateway import Gateway as Gateway
    from gateway_lab.gateway.stores.cost import measure_store as measure_store
    from gateway_lab.gateway.telemetry.telemetry import Telemetry as Telemetry
    from gateway_lab.lab import figures as figures
    from gateway_lab.lab import live as live
    from gateway_lab.lab.designer import Designer as Designer
    from gateway_lab.lab.designer import design as design
    from gateway_lab.messages.mask import show_private as show_private
    from gateway_lab.messages.message import Message as Message
    from gateway_lab.offline.check import check as check
    from gateway_lab.offline.diff import RouteDiff as RouteDiff
    from gateway_lab.offline.diff import diff as diff
    from gateway_lab.offline.expectations import check_expectations as check_expectations
    from gateway_lab.offline.expectations import export as export
    from gateway_lab.offline.run import replay as replay
    from gateway_lab.offline.summary import Replay as Replay
    from gateway_lab.offline.tune import tune as tune
    from gateway_lab.offline.tuning import Tuning as Tuning
    from gateway_lab.recording.record import record as record
    from gateway_lab.recording.redrive import Redriven as Redriven
    from gateway_lab.recording.redrive import Wish as Wish
    from gateway_lab.recording.redrive import redrive as redrive
    from gateway_lab.recording.tap import Tap as Tap
    from gateway_lab.routing.explanation import Explanation as Explanation
    from gateway_lab.routing.explanation import explain as explain
    from gateway_lab.routing.tests import run_tests as run_tests
    from gateway_lab.testing.gateway_test import GatewayTest as GatewayTest

_HOMES = {
    "Capture": "captures.capture",
    "Designer": "lab.designer",
    "EventType": "events.event_type",
    "ExpectationError": "errors",
    "Explanation": "routing.explanation",
    "Finding": "findings",
    "Findings": "findings",
    "Gateway": "gateway.gateway",
    "GatewayConfig": "config.gateway_config",
    "GatewayLabError": "errors",
    "GatewayTest": "testing.gateway_test",
    "Message": "messages.message",
    "Redriven": "recording.redrive",
    "Replay": "offline.summary",
    "RouteDiff": "offline.diff",
    "StoreCost": "batches.cost",
    "Tap": "recording.tap",
    "Telemetry": "gateway.telemetry.telemetry",
    "Tuning": "offline.tuning",
    "Wish": "recording.redrive",
    "asyncapi": "gateway.asyncapi.document",
    "check": "offline.check",
    "check_expectations": "offline.expectations",
    "design": "lab.designer",
    "diff": "offline.diff",
    "event_type": "events.pydantic_model",
    "explain": "routing.explanation",
    "export": "offline.expectations",
    "format_config": "config.write",
    "generate_traffic": "captures.generate",
    "infer_event_type": "captures.inference",
    "json_schema": "config.json_schema",
    "measure_store": "gateway.stores.cost",
    "parse_config": "config.load",
    "read_config": "config.load",
    "redrive": "recording.redrive",
    "record": "recording.record",
    "replay": "offline.run",
    "run_tests": "routing.tests",
    "scan_capture": "captures.read",
    "show_private": "messages.mask",
    "tune": "offline.tune",
    "with_overlay": "config.overlay",
    "write_traffic": "captures.generate",
}
_MODULES = {"figures": "lab.figures", "live": "lab.live"}

__all__ = sorted([*_HOMES, *_MODULES])  # noqa: PLE0605 - one list of names is enough
__version__ = "0.1.0"

if not TYPE_CHECKING:  # a checker knows the names above, and that there are no others

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            value: Any = import_module(f"{__name__}.{_MODULES[name]}")
        elif name in _HOMES:
            value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return list(__all__)
