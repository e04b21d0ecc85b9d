"""What `gateway-lab run` does beside the live way: recording, and comparing with another config."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import gateway_lab as gl
from gateway_lab.brokers.contract import Source
from gateway_lab.cli.run_asked import Asked
from gateway_lab.gateway.gateway import Wrap
from gateway_lab.gateway.handlers.handling import Watcher


class Beside:
    """Records and compares while its block runs; both need polars, so neither is imported unasked.

    Raises:
        CaptureError: Nothing can be recorded there.
        ConfigError: The shadow cannot be compared.
    """

    def __init__(self, config: gl.GatewayConfig, asked: Asked) -> None:
        self._config, self._asked = config, asked
        self._open = ExitStack()
        self._wraps: list[Wrap] = []
        self._watchers: list[Watcher] = []
        self._notes: list[Callable[[], str]] = []

    def __enter__(self) -> Self:
        """Begin."""
        if self._asked.workers == 1:  # several record by themselves
            with ExitStack() as stack:
                self._record(stack)
                self._shadow(stack)
                self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what is left, and end."""
        self._open.__exit__(kind, error, trace)

    def wrap(self, name: str, source: Source) -> Source:
        """Return what is read in place of a source."""
        for each in self._wraps:
            source = each(name, source)
        return source

    def watch(self, gateway: gl.Gateway) -> None:
        """Show what handlers returned to those who look beside a gateway."""
        for each in self._watchers:
            gateway.handlers.watch(each)

    def notes(self) -> list[str]:
        """Say in a few words what was recorded and compared so far."""
        return [each() for each in self._notes]

    def _record(self, stack: ExitStack) -> None:
        if self._asked.record is None:
            return
        from gateway_lab.recording.tap import Tap  # noqa: PLC0415

        if self._asked.show_private:
            gl.show_private()
        tap = stack.enter_context(Tap(self._config, self._asked.record))
        self._wraps.append(tap.wrap)
        self._notes.append(lambda: f"recorded {tap.recorded:,}")

    def _shadow(self, stack: ExitStack) -> None:
        if self._asked.shadow is None:
            return
        from gateway_lab.recording.shadow import Shadow  # noqa: PLC0415

        new = gl.read_config(self._asked.shadow)
        shadow = stack.enter_context(Shadow(self._config, new, out=self._asked.disagreements))
        self._wraps.append(shadow.wrap)
        self._watchers.append(shadow.see)

        def told() -> str:
            seen = shadow.stats()
            said = f"the shadow disagrees with {seen.disagreed:,} of {seen.compared:,}"
            lacking = f", {seen.dropped:,} dropped, {seen.failed:,} failed"
            problem = f": {seen.problem}" if seen.problem else ""
            return said + (lacking if seen.dropped or seen.failed else "") + problem

        self._notes.append(told)
