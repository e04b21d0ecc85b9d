"""What a config does to captured traffic, beside its base: whole, and in a window."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

from gateway_lab.captures.capture import Capture
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.errors import ReplayError
from gateway_lab.offline.diff import RouteDiff, diff
from gateway_lab.offline.run import replay
from gateway_lab.offline.summary import Replay
from gateway_lab.routing.rehearsal import GivenHandlers

Window: TypeAlias = tuple[datetime, datetime]


class Counted:
    """Two configs over a capture; what is as it was is not counted again.

    Attributes:
        capture: The traffic.
        whole: What the last config without errors does, over the whole capture.
        replay: The same, in the window.
        base_replay: What the base does, in the window.
        is_stale: Whether `replay` is of an earlier config, since this one has errors.
    """

    def __init__(
        self, base: GatewayConfig, capture: Capture, handlers: GivenHandlers | None = None
    ) -> None:
        """Count the base; handlers run once.

        Raises:
            ReplayError: The base has errors, or handlers cannot run.
        """
        self.capture, self.is_stale = capture, False
        self._base_whole = self.base_replay = replay(base, capture, handlers=handlers)
        self.whole = self.replay = self._base_whole
        self._window: Window | None = None

    def look(self, config: GatewayConfig) -> None:
        """Count a config if it can be; else what was found before stays, as stale."""
        self.is_stale = False
        if self.whole.config == config:
            return
        try:
            handled = self._base_whole.handlers
            self.whole = replay(config, self.capture, handlers=handled)
        except ReplayError:
            self.is_stale = True
        else:
            self.replay = self._seen(self.whole)

    def narrow(self, window: Window | None) -> None:
        """Look at a window only; None: at all."""
        self._window = window
        self.base_replay = self._seen(self._base_whole)
        is_base = self.whole is self._base_whole
        self.replay = self.base_replay if is_base else self._seen(self.whole)

    def diff(self) -> RouteDiff:
        """Compare the base with the last config without errors, over the whole capture."""
        handled = self._base_whole.handlers
        return diff(self._base_whole.config, self.whole.config, self.capture, handlers=handled)

    def _seen(self, whole: Replay) -> Replay:
        return whole if self._window is None else whole.between(*self._window)
