"""Says in plain words what is wrong with a text that is no YAML, and where it went wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that refuses a document: what, at which offset of the text, and what to do."""

    text: str
    at: int
    hint: str = ""


_QUOTE = "quote a text that holds any of : # { } [ ] , & * ! | > ' \" % @ `"
_INDENT = "the keys of one mapping begin in one column, indented with spaces"
_COMMENT = re.compile(r"[ \t](#.*)")

_PLAIN: tuple[tuple[str, str, str], ...] = (
    (r"mapping values are not allowed", "`: ` cannot stand here", f"{_QUOTE}; {_INDENT}"),
    (r"found character '\\t'", "a tab where spaces belong", "indent with spaces"),
    (r"found character '(.)'", "an unquoted text cannot begin with {0}", "quote it"),
    (r"alphabetic or numeric", "`*` and `&` are not followed by a name", "quote the text"),
    (r"chomping or indentation", "`|` and `>` begin a block of text", "quote the text"),
    (
        r"unknown escape character '(.)'",
        "`\\{0}` has no meaning in double quotes",
        "write `\\\\{0}`, or quote the text with single quotes",
    ),
    (
        r"expected <block end>, but found '<scalar>'",
        "something follows a text that has ended",
        "quote the whole text; a quote inside single quotes is doubled: 'it''s'",
    ),
    (r"expected <block end>, but found '-'", "a list where a key belongs", _INDENT),
    (r"but found '([}\]])'", "`{0}` closes nothing", _QUOTE),
    (r"expected <block end>", "the indentation fits nothing above", _INDENT),
    (r"expected the node content", "a value is missing in front of this", _QUOTE),
)
"""A pattern of ruamel's problem, what we say, and the hint."""


def syntax_problem(error: MarkedYAMLError, text: str) -> Problem:
    """Translate what ruamel could not read."""
    problem, mark = error.problem or error.context or "cannot be read", error.problem_mark
    at = mark.index if mark else 0
    opened = error.context_mark.index if error.context_mark else at
    if "stream end" in problem or "end of stream" in problem:
        return _never_ends(opened, text)
    if found := re.match(r"expected ',' or '(.)'", problem):
        return _not_closed(found[1], opened, at, text)
    for pattern, said, hint in _PLAIN:
        if found := re.search(pattern, problem):
            found_there = found[found.lastindex or 0]
            filled = [each.replace("{0}", found_there) for each in (said, hint)]
            return Problem(f"not YAML: {filled[0]}", at, filled[1])
    return Problem(f"not YAML: {problem}", at, _QUOTE)


def _never_ends(opened: int, text: str) -> Problem:
    hint = _about_comment(text, opened, len(text)) or "close it where it should end"
    return Problem("not YAML: what begins here never ends", opened, hint)


def _not_closed(bracket: str, opened: int, at: int, text: str) -> Problem:
    line = text.count("\n", 0, opened) + 1
    said = f"not YAML: `,` or `{bracket}` is missing in front of this (opened in line {line})"
    return Problem(said, at, _about_comment(text, opened, at) or _QUOTE)


def _about_comment(text: str, start: int, end: int) -> str:
    """Point to a `#` that may have cut off what is missing."""
    line_end = text.find("\n", end)
    found = _COMMENT.search(text, start, end if line_end < 0 else line_end)
    if found is None:
        return ""
    line = text.count("\n", 0, found.start()) + 1
    return f"in line {line} an unquoted ' #' begins a comment: quote the text that holds it"


def character_problem(error: ReaderError) -> Problem:
    """Translate that a character may not stand in YAML."""
    code = error.character if isinstance(error.character, int) else ord(error.character)
    hint = "write it as an escape in double quotes, or delete it"
    if code == 0:
        hint = "save the file as UTF-8; zeros are a sign of UTF-16 or of a file that is no text"
    return Problem(
        f"not text: YAML does not allow the character U+{code:04X}", error.position, hint
    )
