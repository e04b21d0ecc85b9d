"""From the text of a rule to an untyped tree: SQL's grammar, cut down to the rule language.

Precedence is DuckDB's, from loose to tight: `or`, `and`, `not`, `is`, comparisons (which do not
chain), `between` / `in` / `like`, `||`, `+ -`, `* / // %`, unary `-`. What is nested is bounded,
so neither this parser nor anything that walks a tree can run out of stack.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NoReturn, TypeAlias

from gateway_lab.errors import RuleError
from gateway_lab.rules.tokens import Token, tokenize
from gateway_lab.rules.tree import BOOLEAN, INTEGER, NUMBER, TEXT, TIMESTAMP, Literal, Span

MAX_NESTING = 20
"""How many parentheses, brackets, function calls, `case`, `not` and signs may stand inside
another, and how many operators of one chain may follow each other (`and`, `or` and `||`, whose
chains are one node, apart)."""

RESERVED = frozenset(
    [
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "asymmetric",
        "both",
        "case",
        "cast",
        "check",
        "collate",
        "column",
        "constraint",
        "create",
        "default",
        "deferrable",
        "desc",
        "describe",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "false",
        "fetch",
        "for",
        "foreign",
        "from",
        "group",
        "having",
        "ilike",
        "in",
        "initially",
        "intersect",
        "into",
        "is",
        "isnull",
        "lambda",
        "lateral",
        "leading",
        "like",
        "limit",
        "not",
        "notnull",
        "null",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "pivot",
        "placing",
        "primary",
        "qualify",
        "references",
        "returning",
        "select",
        "show",
        "similar",
        "some",
        "summarize",
        "symmetric",
        "table",
        "then",
        "to",
        "trailing",
        "true",
        "try_cast",
        "union",
        "unique",
        "unpivot",
        "using",
        "variadic",
        "when",
        "where",
        "window",
        "with",
        "between",
        "escape",
    ]
)
"""Words that cannot begin a name unless in double quotes."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name as written, its segments without quotes."""

    parts: tuple[str, ...]
    span: Span
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Apply:
    """An operator or function on its arguments.

    Attributes:
        function: The name in the table; for a call the word in lower case, known or not.
        span: The whole of it.
        written: The place of its own word.
        depth: How many of its kind are inside each other, itself too.
        is_call: Whether it is written `name(…)`.
    """

    function: str
    args: tuple[Syntax, ...]
    span: Span
    written: Span
    depth: int
    is_call: bool = False


Syntax: TypeAlias = Name | Literal | Apply


def parse(text: str) -> Syntax:
    """Read a rule.

    Raises:
        RuleError: It is no rule; the codes rule-syntax, rule-too-long, rule-too-deep,
            unsupported-syntax and bad-constant occur.
    """
    parser = _Parser(text, tokenize(text))
    if parser.next.sort == "end":
        parser.fail("the rule is empty", hint="leave `when` out for a route that always matches")
    tree = parser.expression(0)
    if parser.next.sort != "end":
        parser.unexpected()
    return tree


_OR, _AND, _NOT, _IS, _COMPARE, _RANGE, _CONCAT, _ADD, _MULTIPLY, _SIGN = range(1, 11)

_INFIX = {
    "or": _OR,
    "and": _AND,
    "is": _IS,
    **dict.fromkeys(("=", "<>", "!=", "<", "<=", ">", ">="), _COMPARE),
    **dict.fromkeys(("between", "in", "like", "ilike", "not"), _RANGE),
    "||": _CONCAT,
    **dict.fromkeys("+-", _ADD),
    **dict.fromkeys(("*", "/", "//", "%"), _MULTIPLY),
}
_FLAT = {"or", "and", "||"}
_CAST_TYPES = {
    "integer": "integer",
    "bigint": "integer",
    "number": "number",
    "double": "number",
    "boolean": "boolean",
    "text": "text",
    "varchar": "text",
}


class _Parser:
    """Precedence climbing over the tokens of one rule."""

    def __init__(self, text: str, tokens: tuple[Token, ...]) -> None:
        self.text, self.tokens, self.at, self.nesting = text, tokens, 0, 0

    # --- reading tokens ---

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def peek(self, ahead: int = 1) -> str:
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)].keyword

    def take(self) -> Token:
        token = self.next
        self.at += 1
        return token

    def accept(self, keyword: str) -> bool:
        if self.next.keyword == keyword:
            self.at += 1
            return True
        return False

    def expect(self, keyword: str) -> Token:
        if self.next.keyword != keyword:
            self.fail(f"`{keyword}` is missing here")
        return self.take()

    def fail(self, problem: str, *, hint: str = "", code: str = "rule-syntax") -> NoReturn:
        self.fail_at(self.next.span, problem, hint=hint, code=code)

    def fail_at(self, span: Span, problem: str, *, hint: str = "", code: str) -> NoReturn:
        start = min(span.start, max(len(self.text) - 1, 0))
        raise RuleError(problem, code=code, text=self.text, start=start, end=span.end, hint=hint)

    def unexpected(self) -> NoReturn:
        token = self.next
        if token.sort == "end":
            self.fail("the rule ends too early", hint="something is missing at the end")
        shown = self.text[token.span.start : token.span.end]
        before = self.tokens[self.at - 1].sort if self.at else "symbol"
        if token.keyword in {"over", "filter", "within", "collate", "at"}:
            self.fail(f"`{shown}` is not in the rule language", code="unsupported-syntax")
        if token.sort == before == "string":
            self.fail("two strings in a row", hint="join texts with `||`; a quote is doubled: ''")
        if before != "symbol" and token.sort != "symbol":
            self.fail(f"an operator is missing before `{shown}`", hint=_MISSING_HINT)
        self.fail(f"`{shown}` cannot stand here")

    # --- building nodes ---

    def apply(self, function: str, args: tuple[Syntax, ...], span: Span, word: Span) -> Apply:
        depth = 1 + max((arg.depth for arg in args if isinstance(arg, Apply)), default=0)
        if depth > 2 * MAX_NESTING:
            self.too_deep(word)
        return Apply(function, args, span, word, depth)

    def too_deep(self, span: Span) -> NoReturn:
        self.fail_at(
            span,
            f"the rule nests deeper than {MAX_NESTING} levels",
            hint="split it into several routes, or simplify it",
            code="rule-too-deep",
        )

    def nested(self, power: int) -> Syntax:
        """Read an expression one level deeper."""
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            self.too_deep(self.tokens[self.at - 1].span)
        tree = self.expression(power)
        self.nesting -= 1
        return tree

    # --- operators ---

    def expression(self, power: int) -> Syntax:
        """Read operators that bind at least as tightly as `power`."""
        left = self.operand(power)
        chain = 0
        while (binding := _INFIX.get(self.next.keyword, -1)) >= max(power, 0):
            chain += 1
            if chain > MAX_NESTING and self.next.keyword not in _FLAT:
                self.too_deep(self.next.span)
            left = self.infix(left, binding)
        return left

    def infix(self, left: Syntax, power: int) -> Syntax:
        word = self.take()
        match word.keyword:
            case "and" | "or" | "||":
                return self.chain(left, word, power)
            case "is":
                return self.is_(left, word)
            case "between" | "in" | "like" | "ilike":
                return self.range(left, word)
            case "not":
                return self.not_range(left, word)
        if power == _COMPARE:
            return self.comparison(left, word)
        right = self.expression(power + 1)
        return self.apply(word.keyword, (left, right), _hull(left, right), word.span)

    def chain(self, left: Syntax, word: Token, power: int) -> Syntax:
        args = [left, self.expression(power + 1)]
        while self.accept(word.keyword):
            args.append(self.expression(power + 1))
        return self.apply(word.keyword, tuple(args), _hull(left, args[-1]), word.span)

    def comparison(self, left: Syntax, word: Token) -> Syntax:
        name = "<>" if word.keyword == "!=" else word.keyword
        if self.next.keyword == "any":
            return self.any_(left, word)
        right = self.expression(_COMPARE + 1)
        if _INFIX.get(self.next.keyword) == _COMPARE:
            self.fail("comparisons do not chain", hint="write `1 < x and x < 3`")
        return self.apply(name, (left, right), _hull(left, right), word.span)

    def any_(self, left: Syntax, word: Token) -> Syntax:
        if word.keyword != "=":
            self.fail_at(
                word.span,
                "only `=` works with `any(…)`",
                hint="write `not x = any(list)`",
                code="unsupported-syntax",
            )
        self.take()
        self.expect("(")
        items = self.nested(0)
        span = Span(left.span.start, self.expect(")").span.end)
        return self.apply("= any", (left, items), span, word.span)

    def is_(self, left: Syntax, word: Token) -> Syntax:
        negated = self.accept("not")
        end = self.next
        if end.keyword in {"null", "true", "false"}:
            self.take()
            span = Span(left.span.start, end.span.end)
            tree: Syntax = self.apply(f"is {end.keyword}", (left,), span, word.span)
        else:
            if not self.accept("distinct"):
                self.fail("`is` takes null, true, false or `distinct from`", hint="or use `=`")
            self.expect("from")
            right = self.expression(_IS + 1)
            negated = not negated
            tree = self.apply("is not distinct from", (left, right), _hull(left, right), word.span)
        return self.apply("not", (tree,), tree.span, word.span) if negated else tree

    def not_range(self, left: Syntax, word: Token) -> Syntax:
        if self.next.keyword not in {"between", "in", "like", "ilike"}:
            self.fail("`not` here takes in, like, ilike or between")
        tree = self.range(left, self.take())
        return self.apply("not", (tree,), tree.span, word.span)

    def range(self, left: Syntax, word: Token) -> Syntax:
        args = [left]
        if word.keyword == "between":
            args.append(self.expression(_RANGE + 1))
            self.expect("and")
            args.append(self.expression(_RANGE + 1))
        elif word.keyword == "in":
            self.expect("(")
            args += self.arguments()
        else:
            args.append(self.expression(_RANGE + 1))
            if self.accept("escape"):
                args.append(self.expression(_RANGE + 1))
        span = Span(left.span.start, self.tokens[self.at - 1].span.end)
        return self.apply(word.keyword, tuple(args), span, word.span)

    # --- operands ---

    def operand(self, power: int) -> Syntax:
        tree = self.primary(power)
        while self.next.keyword == "[":
            word = self.take()
            index = self.nested(0)
            span = Span(tree.span.start, self.expect("]").span.end)
            tree = self.apply("[]", (tree, index), span, word.span)
        return tree

    def primary(self, power: int) -> Syntax:
        token = self.next
        match token.sort:
            case "number":
                return self.number(self.take(), sign=1)
            case "string":
                self.take()
                return Literal(token.text, TEXT, token.span)
            case "quoted":
                return self.name()
            case "word":
                return self.word(power)
        match token.keyword:
            case "(":
                return self.parentheses()
            case "-" | "+":
                return self.sign()
        self.unexpected()

    def parentheses(self) -> Syntax:
        start = self.take().span.start
        tree = self.nested(0)
        if self.next.keyword == ",":
            self.fail("a list of values stands behind `in` only", code="unsupported-syntax")
        return replace(tree, span=Span(start, self.expect(")").span.end))

    def sign(self) -> Syntax:
        word = self.take()
        if word.keyword == "+":
            self.fail_at(
                word.span, "a sign `+` has no use", hint="leave it out", code="rule-syntax"
            )
        if self.next.sort == "number":
            number = self.number(self.take(), sign=-1)
            return Literal(number.value, number.type, Span(word.span.start, number.span.end))
        arg = self.nested(_SIGN)
        return self.apply("negate", (arg,), Span(word.span.start, arg.span.end), word.span)

    def number(self, token: Token, sign: int) -> Literal:
        whole = token.text.isdigit()
        value = sign * (int(token.text) if whole else float(token.text))
        if abs(value) == float("inf") or (whole and not -(2**63) <= value < 2**63):
            self.fail_at(
                token.span,
                "the number is out of range",
                hint="integers are within 64 bits, numbers within float64",
                code="bad-constant",
            )
        return Literal(value, INTEGER if whole else NUMBER, token.span)

    def word(self, power: int) -> Syntax:
        token = self.next
        following = self.peek()
        match token.keyword:
            case "true" | "false":
                self.take()
                return Literal(token.keyword == "true", BOOLEAN, token.span)
            case "null":
                self.fail(
                    "the literal NULL cannot stand here",
                    hint="write `x is null`; a `case` without `else` is NULL",
                    code="null-comparison",
                )
            case "not":
                return self.not_(power)
            case "case":
                return self.case()
            case "try_cast":
                return self.try_cast()
        if token.keyword == "timestamp" and self.tokens[self.at + 1].sort == "string":
            return self.timestamp()
        if following == "(":
            return self.call()
        if token.keyword in RESERVED:
            hint = f'if it is a field, write it in double quotes: "{token.text}"'
            self.fail(f"`{token.text}` is a word of SQL and cannot stand here", hint=hint)
        return self.name()

    def not_(self, power: int) -> Syntax:
        word = self.take()
        if power > _NOT:
            self.fail_at(
                word.span,
                "`not` cannot stand behind an operator",
                hint="put it in parentheses: `x = (not y)`",
                code="rule-syntax",
            )
        arg = self.nested(_NOT)
        return self.apply("not", (arg,), Span(word.span.start, arg.span.end), word.span)

    def name(self) -> Syntax:
        first = self.take()
        parts, end, quoted = [first.text], first.span.end, first.sort == "quoted"
        while self.accept("."):
            if self.next.sort not in {"word", "quoted"}:
                self.fail("a name is missing behind the dot")
            end = self.next.span.end
            parts.append(self.take().text)
        if self.next.keyword == "(":
            self.fail("functions have no dots in their names", code="unsupported-function")
        return Name(tuple(parts), Span(first.span.start, end), quoted and len(parts) == 1)

    def call(self) -> Syntax:
        word = self.take()
        name = word.keyword
        if name in {"cast", "any", "all", "some", "in", "exists"}:
            hint = _CALL_HINTS.get(name, "")
            self.fail_at(
                word.span, f"`{name}(…)` cannot stand here", hint=hint, code="unsupported-syntax"
            )
        self.take()
        args: list[Syntax] = []
        if name == "count" and self.accept("*"):
            name = "count(*)"
            self.expect(")")
        elif not self.accept(")"):
            args = self.arguments()
        span = Span(word.span.start, self.tokens[self.at - 1].span.end)
        return replace(self.apply(name, tuple(args), span, word.span), is_call=True)

    def arguments(self) -> list[Syntax]:
        """Read arguments up to the closing parenthesis, which is taken."""
        args = [self.nested(0)]
        while self.accept(","):
            args.append(self.nested(0))
        if self.next.keyword in {"order", "filter", "from", "as", "for", "separator", "ignore"}:
            self.fail(f"`{self.next.text}` is not in the rule language", code="unsupported-syntax")
        self.expect(")")
        return args

    def case(self) -> Syntax:
        word = self.take()
        if self.next.keyword != "when":
            self.fail(
                "`case` without `when`",
                hint="write `case when x = 1 then … else … end`",
                code="unsupported-syntax",
            )
        args: list[Syntax] = []
        while self.accept("when"):
            args.append(self.nested(0))
            self.expect("then")
            args.append(self.nested(0))
        if self.accept("else"):
            args.append(self.nested(0))
        span = Span(word.span.start, self.expect("end").span.end)
        return self.apply("case", tuple(args), span, word.span)

    def try_cast(self) -> Syntax:
        word = self.take()
        self.expect("(")
        arg = self.nested(0)
        self.expect("as")
        target = _CAST_TYPES.get(self.next.keyword)
        if target is None:
            known = "integer, number, boolean and text"
            self.fail(f"try_cast knows {known}", code="unsupported-syntax")
        self.take()
        span = Span(word.span.start, self.expect(")").span.end)
        return self.apply(f"try_cast {target}", (arg,), span, word.span)

    def timestamp(self) -> Syntax:
        word, string = self.take(), self.take()
        span = Span(word.span.start, string.span.end)
        value = read_timestamp(string.text)
        if value is None:
            self.fail_at(
                string.span,
                f"{string.text!r} is not a time",
                hint="write it like 2026-01-31T12:00:00Z, with Z or an offset such as +01:00",
                code="bad-constant",
            )
        return Literal(value, TIMESTAMP, span)


_MISSING_HINT = "strings take single quotes: 'critical'; conditions are joined by `and` or `or`"
_CALL_HINTS = {
    "cast": "write `try_cast(x as integer)`: what is no integer becomes NULL",
    "any": "write `x = any(list)`, the list on the right",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_timestamp(text: str) -> int | None:
    """Return the µs since 1970 UTC of an RFC 3339 time, None where it is none."""
    if len(text) < len("2026-01-31T12:00:00Z") or text[10] not in "Tt ":
        return None
    try:
        value = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    if value.tzinfo is None:
        return None
    past = value - _EPOCH
    return (past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds


def _hull(first: Syntax, last: Syntax) -> Span:
    return Span(first.span.start, last.span.end)
