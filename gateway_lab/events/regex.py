r"""The one regular-expression dialect, for `pattern` in event types and for rules.

A pattern is read once, here, and written again with explicit ASCII classes and anchors, so that
google-re2 (live) and Rust's regex (Polars, offline) answer alike:

    \d \w \s \D \W \S    ASCII only, also inside [...]
    .                    any character but \n
    ^ $                  the begin and the end of the text, never of a line: `\A`, `\z`
    * + ? {n} {n,} {n,m} greedy, or lazy with a `?` behind

What the two engines do not share, or what could take exponential time, is refused with its
offset: look-around, back-references, `\b`, inline flags, possessive quantifiers, named groups.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NoReturn

import re2

from gateway_lab.errors import GatewayLabError

MAX_LENGTH: Final = 1000
MAX_DEPTH: Final = 50
MAX_REPEATS: Final = 1000
"""google-re2's own limit on a count, and on the product of nested counts."""
MAX_COST: Final = 20_000
"""Keeps patterns within the 10 MiB of Rust's regex and the DFA of re2, with room to spare."""

_LAST = 0x10FFFF
_Ranges = tuple[tuple[int, int], ...]
_CLASSES: Final[dict[str, _Ranges]] = {
    "d": ((0x30, 0x39),),
    "w": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)),
    "s": ((0x09, 0x0D), (0x20, 0x20)),
}
_CONTROLS: Final = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_META: Final = frozenset("\\.+*?()|[]{}^$-&~#")
_PLAIN: Final = {"|": "|", "^": r"\A", "$": r"\z"}
_REPEAT = re.compile(r"\{([0-9]{1,4})(?:(,)([0-9]{1,4})?)?\}")
_HEX = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|[xu]\{([0-9A-Fa-f]{1,6})\}")
_GROUPS: Final = {
    "=": "look-ahead is",
    "!": "look-ahead is",
    "<": "look-behind and named groups are",
    "P": "named groups are",
    ">": "atomic groups are",
    "(": "conditions are",
    "#": "comments are",
}
_ESCAPES: Final = {
    "b": (r"\b", r"spell the border out, such as (?:^|[^a-z])"),
    "B": (r"\B", "spell out what stands on both sides"),
    "Z": (r"\Z", r"write $ for the end of the text"),
    "G": (r"\G", "write ^ for the begin of the text"),
    "p": (r"\p{…}", "list the characters, such as [a-zäöü]"),
    "P": (r"\P{…}", "list the characters, such as [^a-zäöü]"),
}


class RegexError(GatewayLabError, ValueError):
    """A pattern is outside the dialect.

    Attributes:
        start: 0-based offset of the first character that is wrong.
        end: 0-based offset behind the last one.
    """

    def __init__(self, problem: str, *, start: int, end: int, hint: str = "") -> None:
        self.start, self.end = start, end
        super().__init__(problem, hint=hint)


def translate(pattern: str, *, whole: bool = False) -> str:
    r"""Write a pattern so that google-re2 and Rust's regex read it alike.

    Args:
        pattern: The pattern as the user wrote it.
        whole: Match the whole text (rules) and not any part of it (JSON Schema's `pattern`).

    Returns:
        A pattern of explicit classes, `\A` and `\z`; groups keep their numbers.

    Raises:
        RegexError: The pattern is outside the dialect, or too large.
    """
    if len(pattern) > MAX_LENGTH:
        problem = f"a pattern has at most {MAX_LENGTH} characters, this one has {len(pattern)}"
        raise RegexError(problem, start=MAX_LENGTH, end=len(pattern), hint="split it up")
    text = _Reader(pattern).read()
    return rf"\A(?:{text})\z" if whole else text


@lru_cache(maxsize=1024)
def compile_search(pattern: str) -> Callable[[str], object]:
    """Return a function that is true of a text in which the pattern is found, in linear time.

    Raises:
        RegexError: The pattern is outside the dialect, or too large.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(translate(pattern), options)
    except re2.error as error:  # the reader's limits come first; this is re2's own memory limit
        problem = f"the pattern is too large: {error}"
        raise RegexError(problem, start=0, end=len(pattern), hint="repeat fewer times") from None
    search: Callable[[str], object] = compiled.search
    return search


@dataclass(slots=True)
class _Group:
    """An open parenthesis: where it began and the cost of what it holds so far."""

    start: int
    cost: int = 0
    longest_repeat: int = 1


@dataclass(slots=True)
class _Reader:
    """Read one pattern from left to right; the open groups are a stack, so depth is no danger."""

    pattern: str
    at: int = 0
    out: list[str] = field(default_factory=list)
    groups: list[_Group] = field(default_factory=lambda: [_Group(0)])
    atom: _Group | None = None

    def read(self) -> str:
        while self.at < len(self.pattern):
            self._step(self.pattern[self.at])
        if len(self.groups) > 1:
            start = self.groups[-1].start
            self._refuse("this ( is never closed", start, start + 1, r"close it, or write \(")
        return "".join(self.out)

    def _step(self, char: str) -> None:
        match char:
            case "(":
                self._open()
            case ")":
                self._close()
            case "|" | "^" | "$":
                self._plain(_PLAIN[char])
            case "*" | "+" | "?" | "{":
                self._repeat()
            case "[":
                self._bracket()
            case "\\":
                self._escape()
            case _:
                self.at += 1
                dot = char == "."
                self._emit_atom(r"[^\n]" if dot else _literal(self._code(char)), 4 if dot else 1)

    def _refuse(self, problem: str, start: int, end: int, hint: str = "") -> NoReturn:
        raise RegexError(problem, start=start, end=end, hint=hint)

    def _plain(self, text: str) -> None:
        self.at += 1
        self.out.append(text)
        self.atom = None

    def _emit_atom(self, text: str, cost: int) -> None:
        """Write what a quantifier may follow."""
        self.out.append(text)
        self.atom = _Group(self.at, cost)
        self._pay(cost)

    def _pay(self, cost: int) -> None:
        self.groups[-1].cost += cost
        if self.groups[-1].cost > MAX_COST:
            hint = "repeat fewer times, or test the length with a function of its own"
            self._refuse("the pattern is too large", 0, len(self.pattern), hint)

    def _open(self) -> None:
        start = self.at
        if self.pattern.startswith("(?:", start):
            text = "(?:"
        elif self.pattern.startswith("(?", start):
            kind = _GROUPS.get(self.pattern[start + 2 : start + 3], "inline flags are")
            hint = "groups are ( … ) and (?: … )"
            self._refuse(f"{kind} not supported", start, start + 3, hint)
        else:
            text = "("
        if len(self.groups) > MAX_DEPTH:
            self._refuse(f"more than {MAX_DEPTH} open groups", start, start + 1, "simplify it")
        self.groups.append(_Group(start))
        self.out.append(text)
        self.atom, self.at = None, start + len(text)

    def _close(self) -> None:
        if len(self.groups) == 1:
            self._refuse("this ) closes nothing", self.at, self.at + 1, r"write \)")
        self.out.append(")")
        self.at += 1
        self.atom = self.groups.pop()
        self.groups[-1].longest_repeat = max(
            self.groups[-1].longest_repeat, self.atom.longest_repeat
        )
        self._pay(self.atom.cost + 1)

    def _repeat(self) -> None:
        """Read a quantifier; counts multiply when nested, and re2 bounds the product."""
        start = self.at
        text, most = self._quantifier()
        if self.atom is None:
            hint = f"write \\{self.pattern[start]} for the character itself"
            self._refuse("there is nothing to repeat here", start, self.at, hint)
        times = most * self.atom.longest_repeat
        if times > MAX_REPEATS:
            problem = f"repeats {times} times, at most {MAX_REPEATS} are possible"
            self._refuse(problem, start, self.at, "write * or + for any number of times")
        lazy = self.pattern.startswith("?", self.at)
        self.at += lazy
        self.out.append(text + "?" * lazy)
        self.groups[-1].longest_repeat = max(self.groups[-1].longest_repeat, times)
        self._pay(self.atom.cost * (most - 1))
        self.atom = None
        if self.pattern[self.at : self.at + 1] in {"+", "*"}:
            hint = "write the quantifier once"
            self._refuse("quantifiers do not follow each other", start, self.at + 1, hint)

    def _quantifier(self) -> tuple[str, int]:
        """Take a quantifier; return it and how many copies the engines make at most."""
        if self.pattern[self.at] != "{":
            self.at += 1
            return self.pattern[self.at - 1], 1
        found = _REPEAT.match(self.pattern, self.at)
        if found is None:
            hint = r"write \{ for the character itself; counts are {n}, {n,}, {n,m}"
            self._refuse("this { is no count", self.at, self.at + 1, hint)
        low, high = int(found[1]), int(found[3] or found[1])
        if high < low:
            self._refuse("the larger count comes second", found.start(), found.end())
        self.at = found.end()
        return found[0], max(high, 1)

    def _escape(self) -> None:
        start = self.at
        found = self._class_escape()
        if found is not None:
            self._emit_atom(_bracket(found), 8)
        elif self.pattern[start + 1 : start + 2] in {"A", "z"}:
            self.at += 1
            self._plain(self.pattern[start : start + 2])
        else:
            code = self._character_escape()
            self._emit_atom(_literal(code), 1)

    def _class_escape(self) -> _Ranges | None:
        r"""Take `\d` and the like; None where something else stands."""
        letter = self.pattern[self.at + 1 : self.at + 2]
        ranges = _CLASSES.get(letter.lower()) if letter else None
        if ranges is None:
            return None
        self.at += 2
        return ranges if letter.islower() else _complement(ranges)

    def _character_escape(self) -> int:
        r"""Take `\n`, `\x41`, `\u0041`, `\.`; return the code point."""
        start, letter = self.at, self.pattern[self.at + 1 : self.at + 2]
        if letter in _CONTROLS:
            self.at += 2
            return _CONTROLS[letter]
        if found := _HEX.match(self.pattern, start + 1):
            self.at = found.end()
            return self._code_point(int(found[1] or found[2] or found[3], 16), start)
        if not letter:
            self._refuse("a \\ stands at the end", start, start + 1, r"write \\")
        if letter.isdigit():
            hint = "write the part out a second time"
            self._refuse("back-references are not supported", start, start + 2, hint)
        if letter.isalpha() or not letter.isascii():
            name, hint = _ESCAPES.get(letter, (f"\\{letter}", f"write {letter} without the \\"))
            self._refuse(f"{name} is not supported", start, start + 2, hint)
        self.at += 2
        return ord(letter)

    def _code(self, char: str) -> int:
        return self._code_point(ord(char), self.at - 1)

    def _code_point(self, code: int, start: int) -> int:
        if code > _LAST or 0xD800 <= code <= 0xDFFF:
            hint = r"write the character itself or \u{…} with its code point"
            self._refuse("half of a surrogate pair", start, max(self.at, start + 1), hint)
        return code

    def _bracket(self) -> None:
        start = self.at
        self.at += 1
        negated = self.pattern.startswith("^", self.at)
        self.at += negated
        if self.pattern.startswith("]", self.at):
            self._refuse("an empty class", start, self.at + 1, r"write \] for the character")
        ranges: list[tuple[int, int]] = []
        while not self.pattern.startswith("]", self.at):
            if self.at >= len(self.pattern):
                self._refuse("this [ is never closed", start, start + 1, r"write \[")
            ranges.extend(self._bracket_item())
        self.at += 1
        merged = _merge(ranges)
        self._emit_atom(_bracket(_complement(merged) if negated else merged), 2 + len(merged) * 2)

    def _bracket_item(self) -> _Ranges:
        r"""Take a character, a range or a class such as `\d` inside brackets."""
        start = self.at
        if self.pattern.startswith(("[:", "[.", "[="), start):
            hint = "write a-z, A-Z, 0-9 instead of [:alpha:] and the like"
            self._refuse("POSIX classes are not supported", start, start + 2, hint)
        ranges = self._class_escape() if self.pattern[start] == "\\" else None
        first = self._bracket_character() if ranges is None else 0
        is_range = self.pattern.startswith("-", self.at) and not self.pattern.startswith(
            "-]", self.at
        )
        if not is_range:
            return ranges or ((first, first),)
        self.at += 1
        if ranges is not None or self.at >= len(self.pattern) or self._class_escape() is not None:
            self._refuse("a range goes from one character to another", start, self.at)
        last = self._bracket_character()
        if last < first:
            self._refuse("the range runs backwards", start, self.at)
        return ((first, last),)

    def _bracket_character(self) -> int:
        if self.pattern[self.at] == "\\":
            return self._character_escape()
        self.at += 1
        return self._code(self.pattern[self.at - 1])


def _merge(ranges: list[tuple[int, int]]) -> _Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def _complement(ranges: _Ranges) -> _Ranges:
    """Return all other code points, the surrogates (which no text holds) among them."""
    edges = [-1, *(edge for pair in ranges for edge in pair), _LAST + 1]
    gaps = zip(edges[::2], edges[1::2], strict=True)
    return tuple((low + 1, high - 1) for low, high in gaps if low + 1 <= high - 1)


def _bracket(ranges: _Ranges) -> str:
    """Write a class; a shorter complement is written as [^…], which both engines read alike."""
    if not ranges:
        return r"[^\x{0}-\x{10FFFF}]"
    if ranges[-1][1] == _LAST and ranges != ((0, _LAST),):
        return f"[^{_items(_complement(ranges))}]"
    return f"[{_items(ranges)}]"


def _items(ranges: _Ranges) -> str:
    return "".join(
        _literal(low) if low == high else f"{_literal(low)}-{_literal(high)}"
        for low, high in ranges
    )


def _literal(code: int) -> str:
    char = chr(code)
    if char in _META:
        return f"\\{char}"
    if 0x20 <= code < 0x7F:
        return char
    return f"\\x{{{code:X}}}" if code != 0x0A else r"\n"
