"""Reads YAML 1.2 or JSON into plain values, with the place of every key and value.

The reader walks ruamel's events with a stack of its own: nothing recurses, nothing is built from
tags, and what a config may not use is collected as problems rather than raised at the first.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from gateway_lab.config.places import DocumentPath, Origin, Place
from gateway_lab.config.yaml_errors import Problem, character_problem, syntax_problem

MAX_BYTES = 1024 * 1024
SHARED = "settings share values, `$ref` shares schemas within an event type"
MAX_DEPTH = 64
MAX_PROBLEMS = 50

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NO_CHARACTER = re.compile(r"\\U(?!00(0[0-9a-fA-F]|10))[0-9a-fA-F]{8}")
_MAX_DIGITS = 40
_FINITE = "write a number up to 1.7e308, or quote it, if it is a text"


@dataclass(slots=True)
class _Frame:
    """A mapping or sequence that is being read; `key` waits for its value."""

    value: dict[str, Any] | list[Any]
    path: DocumentPath
    start: int
    style: str
    key: str | None = None


@dataclass(slots=True)
class Reading:
    """What was read: the value (None where there is none), the places, the problems."""

    value: Any = None
    values: dict[DocumentPath, Place] = field(default_factory=dict)
    keys: dict[DocumentPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def origin(self, file: str | None, text: str) -> Origin:
        """Return the places together with the text."""
        return Origin(file, text, self.values, self.keys)


def read_text(text: str) -> Reading:
    """Read one document; problems are in the result, nothing is raised.

    Args:
        text: YAML 1.2 or JSON, without a byte order mark.
    """
    reader = _Reader(text)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            reader.take(event)
            if reader.is_stopped:
                break
    except MarkedYAMLError as error:
        reader.reading.problems.append(syntax_problem(error, text))
    except ReaderError as error:
        reader.reading.problems.append(character_problem(error))
    except YAMLError as error:
        reader.refuse(f"not YAML: {error}", 0)
    except ValueError:  # of `chr`: ruamel looks at the digits alone
        found = _NO_CHARACTER.search(text)
        at, shown = (found.start(), found[0]) if found else (0, "an escape")
        reader.refuse(f"not YAML: {shown} is no character", at, "the last one is \\U0010FFFF")
    return reader.reading


class _Reader:
    """Takes events one by one and fills a `Reading`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.reading = Reading()
        self.is_stopped = False
        self._frames: list[_Frame] = []
        self._documents = 0
        self._skipped = 0  # depth inside a key that is no text

    def refuse(self, text: str, at: int, hint: str = "") -> None:
        self.reading.problems.append(Problem(text, at, hint))
        self.is_stopped |= len(self.reading.problems) >= MAX_PROBLEMS

    def take(self, event: Event) -> None:
        if isinstance(event, DocumentStartEvent):
            self._begin_document(event)
        elif self._skipped:
            self._skipped += isinstance(event, MappingStartEvent | SequenceStartEvent)
            self._skipped -= isinstance(event, CollectionEndEvent)
        elif isinstance(event, CollectionEndEvent):
            self._close(event)
        elif isinstance(event, MappingStartEvent | SequenceStartEvent):
            self._open(event)
        elif isinstance(event, ScalarEvent | AliasEvent):
            self._scalar(event)

    def _begin_document(self, event: DocumentStartEvent) -> None:
        self._documents += 1
        at = event.start_mark.index
        if self._documents > 1:
            self.refuse("a second document begins", at, "keep one config in a file")
            self.is_stopped = True
        if event.version or event.tags:
            self.refuse("a % directive", at, "remove it: configs are YAML 1.2 without tags")

    def _open(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        self._refuse_marks(event)
        at = event.start_mark.index
        if self._awaits_key():
            self.refuse("a key is not a text", at, "keys are names")
            self._set_key(f"?{at}", event)
            self._skipped = 1
            return
        if len(self._frames) >= MAX_DEPTH:
            hint = "no config is; a list or mapping is not closed, or the file is another"
            self.refuse(f"nested more than {MAX_DEPTH} levels deep", at, hint)
            self.is_stopped = True
            return
        value: dict[str, Any] | list[Any] = {} if isinstance(event, MappingStartEvent) else []
        path = self._place_of_next()
        self._put(value)
        self._frames.append(_Frame(value, path, at, "flow" if event.flow_style else "block"))

    def _close(self, event: CollectionEndEvent) -> None:
        frame = self._frames.pop()
        self.reading.values[frame.path] = Place(frame.start, event.end_mark.index, frame.style)

    def _scalar(self, event: ScalarEvent | AliasEvent) -> None:
        self._refuse_marks(event)
        if self._awaits_key():
            self._set_key(self._joined(getattr(event, "value", ""), event.start_mark.index), event)
            return
        path = self._place_of_next()
        self.reading.values[path] = _place(event)
        self._put(self._resolve(event) if isinstance(event, ScalarEvent) else None)

    def _refuse_marks(self, event: Any) -> None:
        at = event.start_mark.index
        if isinstance(event, AliasEvent):
            self.refuse(f"alias *{event.anchor}", at, f"write the value out; {SHARED}")
        elif event.anchor:
            self.refuse(f"anchor &{event.anchor}", at, f"remove it; {SHARED}")
        if getattr(event, "tag", None):
            self.refuse(f"tag {event.tag}", at, "remove it: a config is plain data")

    def _awaits_key(self) -> bool:
        return bool(self._frames) and (
            isinstance(self._frames[-1].value, dict) and self._frames[-1].key is None
        )

    def _set_key(self, key: str, event: Any) -> None:
        frame, at = self._frames[-1], event.start_mark.index
        path = (*frame.path, key)
        if key == "<<" and event.style is None:
            self.refuse("merge key <<", at, "write the keys out")
        elif path in self.reading.keys:
            line = self._text.count("\n", 0, self.reading.keys[path].start) + 1
            hint = f"the first is in line {line}: rename or remove one"
            self.refuse(f"duplicate key {key!r}", at, hint)
            key = f"{key} {at}"  # what it holds is no duplicate
        else:
            self.reading.keys[path] = _place(event)
        frame.key = key

    def _place_of_next(self) -> DocumentPath:
        if not self._frames:
            return ()
        frame = self._frames[-1]
        return (*frame.path, len(frame.value) if frame.key is None else frame.key)

    def _put(self, value: Any) -> None:
        if not self._frames:
            self.reading.value = value
            return
        frame = self._frames[-1]
        if isinstance(frame.value, list):
            frame.value.append(value)
        elif frame.key is not None:
            frame.value.setdefault(frame.key, value)
            frame.key = None

    def _resolve(self, event: ScalarEvent) -> Any:
        """Give a plain scalar its type by YAML 1.2's core schema; all other text is text."""
        text, at = event.value, event.start_mark.index
        if event.style is not None:
            return self._joined(text, at)
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _NOT_FINITE.fullmatch(text):
            self.refuse(f"{text} is not a finite number", at, _FINITE)
        elif _INTEGER.fullmatch(text):
            return self._integer(text, at)
        elif _NUMBER.fullmatch(text):
            return self._number(text, at)
        return text

    def _integer(self, text: str, at: int) -> int:
        if len(text) > _MAX_DIGITS:
            self.refuse("an integer of more than 40 digits", at, "quote it, if it is a text")
            return 0
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))

    def _number(self, text: str, at: int) -> float:
        value = float(text)
        if math.isfinite(value):
            return value
        self.refuse(f"{text[:40]} is not a finite number", at, _FINITE)
        return 0.0

    def _joined(self, text: str, at: int) -> str:
        r"""Join surrogate pairs: JSON writes characters beyond U+FFFF as `\ud83d\ude00`."""
        try:
            text.encode()
        except UnicodeEncodeError:
            try:
                return text.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError:
                self.refuse("half of a surrogate pair", at, "write the character itself")
                return ""
        return text


def _place(event: Any) -> Place:
    style = getattr(event, "style", None) or "plain"
    return Place(event.start_mark.index, event.end_mark.index, style)
