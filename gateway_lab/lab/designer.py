"""The route designer: design routes by hand and eye, and see at once where messages would go."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gateway_lab.captures.capture import Capture, require_capture
from gateway_lab.config.document import require_config
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.errors import GatewayLabError, MissingExtraError, ReplayError
from gateway_lab.findings import Severity
from gateway_lab.lab import pieces
from gateway_lab.lab.completion import hints
from gateway_lab.lab.draft import Draft
from gateway_lab.lab.flows import diff_flow, replay_flow
from gateway_lab.lab.later import Answers, Later
from gateway_lab.lab.still import still
from gateway_lab.offline.progress import told
from gateway_lab.offline.summary import Replay
from gateway_lab.routing.rehearsal import GivenHandlers

try:
    import anywidget
    import traitlets
except ImportError as error:
    raise MissingExtraError("anywidget", extra="lab") from error

_HERE: Final = Path(__file__).parent
VIEW: Final = "application/vnd.jupyter.widget-view+json"
_QUIET: Final[Mapping[str, Any]] = {"busy": None, "said": "", "error": None}

_BUSY: Final = {
    "compare": "comparing with the base",
    "explain": "explaining",
    "release": "comparing with the file",
    "select": "looking for messages",
    "write": "writing",
}
"""What is said while a command is under way; of all others: counting."""

PAUSE_S: Final = 0.6
"""Without a further edit, after which what takes longer than counts is shown."""

TELL_S: Final = 0.1
"""Between two words on how far the counting is."""


def design(
    config: GatewayConfig,
    capture: Capture,
    base: GatewayConfig | None = None,
    *,
    handlers: GivenHandlers | None = None,
) -> Designer:
    """Open the route designer on a config and captured traffic.

    In a notebook it is a panel to click and type in; anywhere else the same designer is a table
    of counts and an object with methods: whatever can be clicked can be called.

    Args:
        config: The config to begin with; nothing of it is changed, see `Designer.config`.
        capture: The traffic that is counted.
        base: What counts are compared with; left out: the config as it is now.
        handlers: A gateway, whose handlers run once on the messages (first on some, then on all),
            and once more on a message that is explained; see `replay`.

    Raises:
        ReplayError: The base has errors, or handlers cannot run.
        CaptureError: It is no capture.
    """
    require_config(config)
    require_capture(capture)
    return Designer(Draft(config, capture, base, handlers))


class Designer(anywidget.AnyWidget):
    """A panel over a draft; two views of one designer show the same.

    Attributes:
        draft: What is designed, with all that can be done to it.
    """

    _esm = _HERE / "designer.js"
    _css = _HERE / "designer.css"

    document = traitlets.Dict().tag(sync=True)
    hints = traitlets.Dict().tag(sync=True)
    counts = traitlets.Dict().tag(sync=True)
    problems: traitlets.List[Any] = traitlets.List().tag(sync=True)
    flow = traitlets.Dict().tag(sync=True)
    times = traitlets.Any(None).tag(sync=True)
    samples = traitlets.Any(None).tag(sync=True)
    why = traitlets.Any(None).tag(sync=True)
    comparison = traitlets.Any(None).tag(sync=True)
    steps = traitlets.Dict().tag(sync=True)
    release = traitlets.Any(None).tag(sync=True)
    code = traitlets.Any(None).tag(sync=True)
    progress = traitlets.Any(None).tag(sync=True)
    status = traitlets.Dict(dict(_QUIET)).tag(sync=True)

    def __init__(self, draft: Draft) -> None:
        super().__init__()
        self.draft = draft
        self._asked: tuple[dict[str, str], int] | None = None
        self._commands: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "type": self._type,
            "window": self._narrow,
            "select": self._select,
            "explain": self._explain,
            "compare": self._compare,
            "undo": lambda _: self.undo(),
            "redo": lambda _: self.redo(),
            "code": self._show_code,
            "release": self._release,
            "write": self._write,
        }
        self._lock = threading.RLock()
        self._later = Later(self._rest, self._take, self._lock)
        self._opening = Later(self._count, self._widen, self._lock)
        self._is_open = False
        self._drawn: Replay | None = None
        self._bars: tuple[Replay, Any] | None = None
        self._show(after_s=0)
        self.on_msg(lambda _widget, content, _buffers: self.hear(content))

    # --- in Python ---

    @property
    def config(self) -> GatewayConfig:
        """The config as it is now; setting another is one step that can be undone."""
        return self.draft.config

    @config.setter
    def config(self, config: GatewayConfig) -> None:
        require_config(config)
        with self._lock:
            self.draft.config = config
            self._show()

    @property
    def base(self) -> GatewayConfig:
        """What counts are compared with."""
        return self.draft.base

    @property
    def replay(self) -> Replay:
        """What the config does, in the window; while it has errors, what the last good one did."""
        return self.draft.replay

    @property
    def window(self) -> tuple[datetime, datetime] | None:
        """From when and until when messages are counted; None: all."""
        return self.draft.window

    @window.setter
    def window(self, window: tuple[datetime | str, datetime | str] | None) -> None:
        with self._lock:
            self.draft.window = window
            self._show()

    @property
    def history(self) -> tuple[str, ...]:
        """The names of all steps; the first is the opening."""
        return self.draft.history

    def undo(self) -> None:
        """Go back a step."""
        with self._lock:
            self.draft.undo()
            self._show()

    def redo(self) -> None:
        """Go forward a step."""
        with self._lock:
            self.draft.redo()
            self._show()

    def to_code(self) -> str:
        """Return Python that makes the config from what was opened."""
        return self.draft.to_code()

    def export(self, path: str | Path | None = None, *, replace: bool = False) -> Path:
        """Write the config, as production loads it.

        Args:
            path: Where; left out: the file that it came from.
            replace: Whether changes that somebody else made to that file may be lost.

        Raises:
            ConfigError: The config has an error, the file was changed meanwhile, or it cannot be
                written.
        """
        with self._lock:
            written = self.draft.write(path, replace=replace)
            self._show()
        return written

    # --- what is shown ---

    def _show(self, *, after_s: float | None = None) -> None:
        """Show everything anew: at once what is waited for, the rest in a pause."""
        draft = self.draft
        self.document = pieces.document(draft)
        self.counts = pieces.counts(draft)
        self.steps = {"names": list(draft.history), "at": draft.at}
        self.problems = self._problems_at_once()
        self.flow = pieces.picture(replay_flow(draft.shown.replay, draft.base))
        self.why = self.release = self.code = None
        self._later.begin(after_s=PAUSE_S if after_s is None else after_s)

    def _problems_at_once(self) -> list[pieces.Json]:
        """Tell errors; warnings need proofs, and stay as they were until there is a pause."""
        if self.draft.is_stale:
            return pieces.problems(self.draft)
        return [each for each in self.problems if each["severity"] != Severity.ERROR]

    def _take(self, answer: Mapping[str, Any]) -> None:
        """Show what was worked out; what was said meanwhile stays."""
        for name, value in answer.items():
            setattr(self, name, {**self.status, **value} if name == "status" else value)

    def _rest(self) -> Answers:
        """Work out what takes longer than counts, of the draft as it is now."""
        return self._look_closer(copy.copy(self.draft))

    def _look_closer(self, seen: Draft) -> Answers:
        yield {"status": {"busy": "looking closer"}}
        try:
            yield {"problems": pieces.problems(seen)}
            yield {"samples": self._samples(seen)}
            yield {"times": self._times(seen)}
            if not self.hints:
                yield {"hints": hints(seen.shown.whole.config, seen.capture)}
            if self.comparison is not None:
                yield {"comparison": _comparison(seen)}
            yield {"status": {"busy": None}}
        except GatewayLabError as error:
            yield {"status": _refusal(error.problem, error.hint)}

    def _times(self, seen: Draft) -> pieces.Json | None:
        """Tell the time chart, once all is counted; a window alone draws no bar anew."""
        if seen.is_partial:
            return None
        if self._bars is None or self._bars[0] is not seen.shown.whole:
            self._bars = (seen.shown.whole, pieces.bars(seen))
        bars = self._bars[1]
        return None if bars is None else {**bars, "window": pieces.window(seen)}

    def _samples(self, seen: Draft) -> pieces.Json | None:
        """Tell samples of the same flow, unless an edit has removed what was asked for."""
        if self._asked is None:
            return None
        try:
            return pieces.samples(seen, *self._asked)
        except ReplayError:
            return None

    # --- a large capture: the first messages at once, all of them when they are counted ---

    def count(self) -> None:
        """Count all messages behind the panel, if so far only the first of them are."""
        if self.draft.is_partial:
            self._opening.begin(after_s=0)

    def _count(self) -> Answers:
        """Count all messages, and tell how far it is."""
        of, counted, next_s = self.draft.capture.count, 0, 0.0

        def tell(messages: int) -> None:
            nonlocal counted, next_s
            counted += messages
            if time.monotonic() >= next_s:
                next_s = time.monotonic() + TELL_S
                self._opening.tell({"progress": {"counted": counted, "of": of}})

        yield {"progress": {"counted": 0, "of": of}}
        yield {"all": self.draft.count_all(tell), "progress": None}

    def _widen(self, answer: Mapping[str, Any]) -> None:
        self.progress = answer["progress"]
        if "all" in answer:
            self.draft.widen(answer["all"])
            self._show(after_s=0)

    # --- what is heard ---

    def hear(self, content: Mapping[str, Any]) -> None:
        """Do what a view asks for; what cannot be is told, never raised."""
        with self._lock, told():
            try:
                self.status = {**_QUIET, "busy": _BUSY.get(content.get("do", ""), "counting")}
                self._do(dict(content))
                if self.status["busy"]:
                    self.status = dict(_QUIET)
            except GatewayLabError as error:
                self.status = _refusal(error.problem, error.hint)
            except Exception as error:  # noqa: BLE001 - who is told nothing would wait for ever
                self.status = _refusal(f"this cannot be done: {type(error).__name__}", "")
            self._later.again(after_s=PAUSE_S)

    def _do(self, asked: dict[str, Any]) -> None:
        do = asked.pop("do")
        if do in self._commands:
            self._commands[do](asked)
        else:
            self.draft.edit(do, *asked.get("arguments", ()), **asked.get("changes", {}))
            self._show()
            self._say(self.history[self.draft.at])

    def _say(self, text: str) -> None:
        self.status = {**_QUIET, "said": text}

    def _type(self, asked: dict[str, Any]) -> None:
        self.draft.type(asked["method"], *asked["arguments"], **asked.get("changes", {}))
        self._show()

    def _narrow(self, asked: dict[str, Any]) -> None:
        whole = asked.get("from_ms") is None
        self.window = (
            None if whole else (pieces.moment(asked["from_ms"]), pieces.moment(asked["to_ms"]))
        )
        self._say(f"{self.counts['messages']:,} messages")

    def _select(self, asked: dict[str, Any]) -> None:
        wanted = (asked["select"], asked.get("page", 0)) if asked.get("select") else None
        self.samples = pieces.samples(self.draft, *wanted) if wanted else None
        self._asked, self.why = wanted, None

    def _explain(self, asked: dict[str, Any]) -> None:
        seq = asked.get("seq")
        self.why = None if seq is None else pieces.why(seq, self.draft.explain(seq))

    def _compare(self, asked: dict[str, Any]) -> None:
        if not asked["on"]:
            self.comparison = None
            return
        self.comparison = _comparison(self.draft)
        self._say(f"{self.comparison['changed']:,} deliveries differ from the base")

    def _show_code(self, asked: dict[str, Any]) -> None:
        self.code = self.to_code() if asked["on"] else None

    def _release(self, asked: dict[str, Any]) -> None:
        if not asked["on"]:
            self.release = None
            return
        found = self.draft.release(asked.get("path") or None)
        self.release = {
            "path": str(found.path),
            "diff": found.diff,
            "digest": found.digest,
            "refused": [str(each) for each in found.refused],
            "is_changed": found.is_changed,
        }

    def _write(self, asked: dict[str, Any]) -> None:
        written = self.export(asked.get("path") or None, replace=asked.get("replace", False))
        self._say(f"written to {written}")

    # --- without a browser ---

    def __repr__(self) -> str:
        steps, shown = self.draft.at, self._drawn or self.replay
        told = f"{steps} step{'s' * (steps != 1)}" if steps else "unchanged"
        return f"<Designer {self.config.name}: {told}, {self.config.digest[:12]}>\n{shown!r}"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Show the panel at once; a large capture is counted behind it.

        What viewers without a browser show is then about the first messages; shown once more it
        is about all.
        """
        self._drawn = self.replay if self._is_open else self.draft.shown.replay
        bundle, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        faces = {"text/plain": repr(self), "text/html": still(self._drawn, self.draft)}
        self._drawn, self._is_open = None, True
        self.count()
        return {**bundle, **faces}, metadata


SHOWN: Final = tuple(
    name for name, trait in vars(Designer).items() if isinstance(trait, traitlets.TraitType)
)
"""The names of all that a view is told."""


def _comparison(draft: Draft) -> pieces.Json:
    found = draft.shown.diff()
    return pieces.comparison(found, diff_flow(found))


def _refusal(problem: str, hint: str) -> pieces.Json:
    return {**_QUIET, "error": {"message": problem, "hint": hint}}
