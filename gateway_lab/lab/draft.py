"""A draft: a config under change, what it does to captured traffic, and the way back.

It is the route designer without a browser: every interaction is a method here, and the widget
only calls them. A draft changes; the configs that it holds never do.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gateway_lab.captures.capture import Capture, as_utc
from gateway_lab.config.check import check
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.write import to_text
from gateway_lab.errors import ConfigError, did_you_mean
from gateway_lab.findings import Findings
from gateway_lab.lab.counted import Counted, Window
from gateway_lab.lab.steps import (
    EDITS,
    OPENED,
    Step,
    code_of,
    replacement,
    shortened,
    step_of,
)
from gateway_lab.offline.diff import RouteDiff
from gateway_lab.offline.progress import told
from gateway_lab.offline.summary import Replay
from gateway_lab.routing.explanation import Explanation, explain
from gateway_lab.routing.rehearsal import GivenHandlers

MAX_STEPS: Final = 500
"""Steps that can be undone; older ones are forgotten."""

AT_ONCE: Final = 50_000
"""Messages that are counted before anybody waits; of more, at first the first few are."""

FIRST_FEW: Final = 20_000


@dataclass(frozen=True, slots=True)
class Release:
    """What writing a draft to a file would do.

    Attributes:
        path: The file.
        diff: A unified diff from the file as it is now; empty if nothing would change.
        digest: Of the config that would be written.
        refused: Errors of the config; while there are any, nothing is written.
        is_changed: Whether somebody else changed the file since it was opened or written here.
    """

    path: Path
    diff: str
    digest: str
    refused: Findings
    is_changed: bool


class Draft:
    """A config under change, beside a base and captured traffic.

    Attributes:
        capture: The traffic.
        base: What counts are compared with.
        path: The file that the config came from; None if it was made in Python.
        shown: What is counted so far, see `is_partial`; `replay` and `diff` count the rest first.
    """

    def __init__(
        self,
        config: GatewayConfig,
        capture: Capture,
        base: GatewayConfig | None = None,
        handlers: GivenHandlers | None = None,
    ) -> None:
        """Open a config.

        Raises:
            ReplayError: The base has errors, or handlers cannot run.
        """
        self.capture, self.base = capture, config if base is None else base
        self._handlers = handlers
        origin = config.origin
        self.path = Path(origin.file) if origin and origin.file else None
        self._known: dict[Path, str | None] = {}
        if origin and self.path:
            self._known[self.path.resolve()] = origin.text
        self._steps, self._written = [Step(OPENED, config)], config
        self._at = 0
        self._typed: GatewayConfig | None = None
        self._window: Window | None = None
        few = capture if capture.count <= AT_ONCE else capture.head(FIRST_FEW)
        self.shown = Counted(self.base, few, handlers)
        self._counting, self._all = threading.Lock(), self.shown
        self._look()

    # --- what it is ---

    @property
    def config(self) -> GatewayConfig:
        """The config as it is now, what is being typed included."""
        return self._typed or self._steps[self._at].config

    @config.setter
    def config(self, config: GatewayConfig) -> None:
        self._take(replacement(config))

    @property
    def replay(self) -> Replay:
        """What the last config without errors does, in the window."""
        return self._settled().replay

    @property
    def base_replay(self) -> Replay:
        """What the base does, in the window."""
        return self._settled().base_replay

    @property
    def is_stale(self) -> bool:
        """Whether `replay` is of an earlier config, since this one has errors."""
        return self.shown.is_stale

    @property
    def is_partial(self) -> bool:
        """Whether `shown` is about the first messages only: the rest is not counted yet."""
        return self.shown.capture is not self.capture

    def problems(self) -> Findings:
        """Return all findings of the config as it is now."""
        return check(self.config)

    # --- edits ---

    def edit(self, method: str, *arguments: Any, **changes: Any) -> None:
        """Make a step: call an edit method of the config.

        Args:
            method: `edit_route`, `add_target` and so on, as a `GatewayConfig` has them.
            *arguments: Its arguments.
            **changes: Its named arguments.

        Raises:
            ConfigError: It cannot be so; the draft is as it was.
        """
        self._require_edit(method)
        step = step_of(self._steps[self._at].config, method, arguments, changes)
        self._take(step)

    def type(self, method: str, *arguments: Any, **changes: Any) -> None:
        """Try an edit that is not finished: it counts, but is no step until `edit` makes it one.

        Raises:
            ConfigError: It cannot be so; the draft is as it was.
        """
        self._require_edit(method)
        self._typed = step_of(self._steps[self._at].config, method, arguments, changes).config
        self._look()

    def _require_edit(self, method: str) -> None:
        if method not in EDITS:
            raise ConfigError(f"there is no edit {method!r}", hint=did_you_mean(method, EDITS))

    def _take(self, step: Step) -> None:
        self._typed = None
        if step.config != self._steps[self._at].config:
            self._steps = shortened([*self._steps[: self._at + 1], step], MAX_STEPS)
            self._at = len(self._steps) - 1
        self._look()

    # --- steps ---

    @property
    def history(self) -> tuple[str, ...]:
        """The names of all steps, also of those that were undone; the first is the opening."""
        return tuple(step.name for step in self._steps)

    @property
    def at(self) -> int:
        """The place in `history` of the config as it is now."""
        return self._at

    def undo(self) -> None:
        """Go back a step, or drop what is being typed; nothing happens at the first."""
        if self._typed is None:
            self._at = max(0, self._at - 1)
        self._typed = None
        self._look()

    def redo(self) -> None:
        """Go forward a step; nothing happens at the last."""
        self._typed = None
        self._at = min(len(self._steps) - 1, self._at + 1)
        self._look()

    def to_code(self) -> str:
        """Return Python that makes the config from what was opened."""
        return code_of(self._steps[: self._at + 1], self.path)

    # --- traffic ---

    @property
    def window(self) -> Window | None:
        """From when and until when messages are looked at; None: all."""
        return self._window

    @window.setter
    def window(self, window: tuple[datetime | str, datetime | str] | None) -> None:
        self._window = None if window is None else (as_utc(window[0]), as_utc(window[1]))
        self.shown.narrow(self._window)

    def count_all(self, tell: Callable[[int], None] = lambda _: None) -> Counted:
        """Count all messages, for `widen`; a thread may, while others go on with the draft.

        Args:
            tell: Is told how many more messages are decoded, from time to time.
        """
        with self._counting:
            if self._all.capture is not self.capture:
                with told(tell):
                    self._all = Counted(self.base, self.capture, self._handlers)
        return self._all

    def widen(self, counted: Counted) -> None:
        """Show what `count_all` found instead of the first messages."""
        if self.is_partial:
            self.shown = counted
            self.shown.narrow(self._window)
            self._look()

    def diff(self) -> RouteDiff:
        """Compare the base with the last config without errors, over the whole capture."""
        return self._settled().diff()

    def explain(self, seq: int) -> Explanation:
        """Say why a captured message goes where it goes."""
        message = self.capture.message(seq)
        return explain(self.shown.whole.config, message, handlers=self._handlers)

    # --- release ---

    def release(self, path: str | Path | None = None) -> Release:
        """Return what `write` would do.

        Raises:
            ConfigError: No path is given, and the config came from no file.
        """
        file = self._file(path)
        there = _read(file)
        new = to_text(self.config, is_json=file.suffix == ".json")
        lines = difflib.unified_diff(
            (there or "").splitlines(keepends=True),
            new.splitlines(keepends=True),
            f"{file.name} (on disk)",
            f"{file.name} (draft)",
        )
        is_changed = there is not None and there != self._known.get(file.resolve(), there)
        return Release(file, "".join(lines), self.config.digest, self.problems().errors, is_changed)

    def write(self, path: str | Path | None = None, *, replace: bool = False) -> Path:
        """Write the config, as production loads it.

        Args:
            path: Where; left out: the file that it came from.
            replace: Whether changes that somebody else made to that file may be lost.

        Raises:
            ConfigError: The config has an error, the file was changed meanwhile, or it cannot be
                written.
        """
        release = self.release(path)
        if release.is_changed and not replace:
            raise ConfigError(
                "the file was changed since it was opened",
                where=str(release.path),
                hint="look at the difference, then write with replace=True or to another file",
            )
        self.config.write(release.path)
        self._written = self.config
        self.path = self.path or release.path
        self._known[release.path.resolve()] = _read(release.path)
        return release.path

    @property
    def is_written(self) -> bool:
        """Whether the config is as it was opened, or written last."""
        return self.config == self._written

    def _file(self, path: str | Path | None) -> Path:
        if path is not None:
            return Path(path)
        if self.path is None:
            hint = 'name one: designer.export("routes.yaml")'
            raise ConfigError("the config came from no file", hint=hint)
        return self.path

    # --- how ---

    def _look(self) -> None:
        self.shown.look(self.config)

    def _settled(self) -> Counted:
        if self.is_partial:
            self.widen(self.count_all())
        return self.shown


def _read(file: Path) -> str | None:
    """Return a file's text as a config holds it; None: there is none."""
    try:
        return file.read_bytes().decode("utf-8-sig", "replace")
    except OSError:
        return None
