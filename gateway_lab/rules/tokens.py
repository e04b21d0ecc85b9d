"""The words of a rule: its text cut into tokens, and everything beyond our characters refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NoReturn, TypeAlias

from gateway_lab.errors import RuleError
from gateway_lab.rules.advice import CHARACTERS
from gateway_lab.rules.tree import Span

MAX_LENGTH = 4096
"""The longest rule, in characters."""

Sort: TypeAlias = Literal["word", "quoted", "number", "string", "symbol", "end"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token.

    Attributes:
        text: The source for words, symbols and numbers, else the content.
        keyword: The word in lower case or the symbol, to compare with; empty for all else.
    """

    sort: Sort
    text: str
    span: Span
    keyword: str = ""


_TOKEN = re.compile(
    r"""[ \t\r\n]+
    |(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
    |(?P<word>[^\W\d]\w*)
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<string>'(?:[^']|'')*')
    |(?P<symbol><=|>=|<>|!=|\|\||//|[-+*/%<>=(),.\[\]])""",
    re.VERBOSE,
)

_WRONG: dict[str, tuple[str, str]] = {
    "==": ("`==` is not an operator", "use `=`, not `==`"),
    "--": ("comments are not allowed in a rule", "put it in the route's `description`"),
    "/*": ("comments are not allowed in a rule", "put it in the route's `description`"),
    "::": ("`::` is not an operator", "write `try_cast(x as integer)`"),
    "=>": ("`=>` is not an operator", "use `>=`"),
    "=<": ("`=<` is not an operator", "use `<=`"),
    "->": ("`->` is not an operator", "fields of objects are named with dots: payload.id"),
    "**": ("`**` is not an operator", "write the multiplication out"),
    "<<": ("`<<` is not an operator", "rules do not count in bits"),
    ">>": ("`>>` is not an operator", "rules do not count in bits"),
    "+=": ("a rule assigns nothing", "compare with `=`"),
    "-=": ("a rule assigns nothing", "compare with `=`"),
    "&&": ("`&&` is not an operator", "use `and`"),
    "{": ("braces are not allowed in a rule", "they belong to templates; write the bare name"),
    "}": ("braces are not allowed in a rule", "they belong to templates; write the bare name"),
    "?": ("placeholders are not allowed in a rule", "use a setting: `settings.name`"),
    "$": ("placeholders are not allowed in a rule", "use a setting: `settings.name`"),
    ";": ("a rule is one expression", "leave the `;` out"),
    "!": ("`!` is not an operator", "use `not`, or `<>` for not equal"),
    "'": ("the string is not closed", "a quote inside a string is doubled: 'it''s'"),
    '"': ("the quoted name is not closed", "strings take single quotes: 'critical'"),
    "`": ("backticks do not quote names", 'names take double quotes: "order"'),
    "~": ("`~` is not an operator", "use `regexp_matches(text, 'pattern')`"),
    "^": ("`^` is not an operator", "write the multiplication out"),
}


def tokenize(text: str) -> list[Token]:
    """Cut a rule into tokens; the last one has the sort "end".

    Raises:
        RuleError: The text is too long or holds something that no rule may hold.
    """
    if len(text) > MAX_LENGTH:
        raise RuleError(
            f"the rule has {len(text)} characters, at most {MAX_LENGTH} are allowed",
            code="rule-too-long",
            text=text,
            start=MAX_LENGTH,
            end=len(text),
            hint="split it into several routes; long lists belong into `in (…)`",
        )
    _refuse_half_pairs(text)
    return [*_tokens(text), Token("end", "", Span(len(text), len(text)))]


def _refuse_half_pairs(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RuleError(
            "half of a surrogate pair",
            code="rule-syntax",
            text=text.encode(errors="replace").decode(),
            start=error.start,
            end=error.start + 1,
            hint="write the character itself",
        ) from None


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or text[at : at + 2] in _WRONG:
            _refuse(text, at)
        span = Span(at, found.end())
        at = found.end()
        match found.lastgroup:
            case "word" | "symbol":
                yield Token(found.lastgroup, found[0], span, found[0].lower())
            case "number":
                yield Token("number", found[0], span)
            case "quoted" | "string":
                quote = found[0][0]
                yield Token(found.lastgroup, found[0][1:-1].replace(quote * 2, quote), span)


def _stray(character: str) -> tuple[str, str]:
    """Say what a character is that no rule holds outside quotes; some cannot be seen."""
    if not character.isprintable():
        problem = f"the character U+{ord(character):04X} has no meaning in a rule"
        return problem, "delete it: it was pasted and cannot be seen"
    hint = CHARACTERS.get(character, 'a name that holds it takes double quotes: "name"')
    return f"{character!r} has no meaning in a rule", hint


_NUMBER_LIKE = re.compile(r"[0-9.][\w.]*")


def _refuse(text: str, at: int) -> NoReturn:
    end = at + 1
    for length in (2, 1):
        if text[at : at + length] in _WRONG:
            problem, hint = _WRONG[text[at : at + length]]
            end = at + length
            break
    else:
        if number := _NUMBER_LIKE.match(text, at):
            problem, end = f"{number[0]!r} is not a number", number.end()
            hint = "numbers are written 12, 1.5 or 2e3"
        else:
            problem, hint = _stray(text[at])
    raise RuleError(problem, code="rule-syntax", text=text, start=at, end=end, hint=hint)
