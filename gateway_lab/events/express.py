"""A faster reader for texts seen before: in real traffic most of them are.

After some thousand bodies the texts seen at each field become a closed list in a second struct, a
`Literal`: msgspec then looks a text up without making a string and without asking a check. A body
with a text that is not in the lists goes through the first struct, and teaches the second.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from gateway_lab.events.event_type import Path, Schema
from gateway_lab.events.structs import DEC_HOOK, Struct, build_struct

LEARN_BODIES: Final = 8_192
"""Bodies looked at before the lists are made."""

LEARN_MISSES: Final = 500
"""Bodies with a new text before the lists are made again: by then they cost as much as that."""

MOST_TEXTS: Final = 1_000
MOST_LENGTH: Final = 200
"""A field with more texts, or a longer one, is left to the first struct."""


class Express:
    """Learns the texts at some paths; `read` is None until there is something to gain."""

    def __init__(self, schema: Schema, struct: Struct, paths: Sequence[Path]) -> None:
        self._schema = schema
        self._getters = {path: operator.attrgetter(struct.attribute(path)) for path in paths}
        self._texts: dict[Path, set[str | None]] = {path: set() for path in paths}
        self._to_learn = LEARN_BODIES
        self._learning = threading.Lock()
        self.read: Callable[[bytes], Any] | None = None

    def learn(self, rows: Sequence[Any]) -> None:
        """Take rows into account that the first struct read; make the lists anew when it pays."""
        if self._texts and rows:
            with self._learning:  # threads may share a decoder
                self._learn(rows)

    def _learn(self, rows: Sequence[Any]) -> None:
        for path, texts in list(self._texts.items()):
            texts.update(map(self._getters[path], rows))
            if len(texts) > MOST_TEXTS:
                del self._texts[path]
        self._to_learn -= len(rows)
        if self._to_learn <= 0:
            self._to_learn = LEARN_MISSES
            self.read = self._build()

    def _build(self) -> Callable[[bytes], Any] | None:
        known = {path: _closed_list(texts) for path, texts in self._texts.items()}
        closed = {path: texts for path, texts in known.items() if texts}
        if not closed:
            return None
        struct = build_struct(self._schema, closed)
        return msgspec.json.Decoder(struct.type, dec_hook=DEC_HOOK).decode


def _closed_list(texts: set[str | None]) -> tuple[str, ...]:
    """Return the texts in a fixed order, none of them where one is long."""
    known = sorted(text for text in texts if text is not None)
    return () if any(len(text) > MOST_LENGTH for text in known) else tuple(known)
