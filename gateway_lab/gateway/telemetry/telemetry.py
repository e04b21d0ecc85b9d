"""What a gateway lets others see of its work: spans and metrics, by OpenTelemetry.

OpenTelemetry itself is imported only when somebody has set a provider.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway_lab.config.plan import Plan
from gateway_lab.gateway.counters import Stats
from gateway_lab.gateway.telemetry.watch import UNWATCHED, Watch, Watches

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider


class Telemetry:
    """Where the spans and metrics of a gateway go.

        gateway.telemetry = gl.Telemetry(tracer_provider=provider)

    A gateway has one of its own, that takes the providers that are set for the whole process when
    the gateway starts; where none is set, nothing is measured.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        """Choose providers.

        Args:
            tracer_provider: Makes the spans; None: the one of the process, if there is any.
            meter_provider: Likewise, of metrics.
        """
        self._tracers, self._meters = tracer_provider, meter_provider

    def begin(self, name: str, stats: Callable[[], Stats]) -> Callable[[str, Plan], Watch]:
        """Begin to measure a gateway; in its event loop, once.

        Args:
            name: Of the config.
            stats: Returns the books of the gateway at this moment.

        Returns:
            What makes the watch of a source, given its name and the plan.
        """
        makers: list[Callable[[str, Plan], Watch]] = []
        if tracers := self._tracers or global_tracers():
            from gateway_lab.gateway.telemetry.traces import tracing  # noqa: PLC0415

            makers += [made] if (made := tracing(tracers)) else []
        if meters := self._meters or global_meters():
            from gateway_lab.gateway.telemetry.metrics import metering  # noqa: PLC0415

            makers.append(metering(meters, name, stats))
        if not makers:
            return lambda _, __: UNWATCHED
        return lambda source, plan: Watches(*(make(source, plan) for make in makers))


# Whoever set a provider has imported OpenTelemetry; the API's own providers do nothing.


def global_tracers() -> TracerProvider | None:
    """Return the provider that is set for this process, if there is any."""
    api = sys.modules.get("opentelemetry.trace")
    provider: TracerProvider | None = api.get_tracer_provider() if api else None
    return None if _is_idle(provider) else provider


def global_meters() -> MeterProvider | None:
    """Likewise."""
    api = sys.modules.get("opentelemetry.metrics")
    provider: MeterProvider | None = api.get_meter_provider() if api else None
    return None if _is_idle(provider) else provider


def _is_idle(provider: object) -> bool:
    module = type(provider).__module__
    return provider is None or module.startswith(("opentelemetry.trace", "opentelemetry.metrics"))
