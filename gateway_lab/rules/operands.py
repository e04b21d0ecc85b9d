"""The grammar's operands: constants, names, calls, `case`, casts, parentheses and signs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway_lab.events.timestamps import parse_date_time
from gateway_lab.rules.advice import RESERVED_WORDS
from gateway_lab.rules.reader import Reader
from gateway_lab.rules.syntax import Name, Syntax
from gateway_lab.rules.tokens import Token
from gateway_lab.rules.tree import BOOLEAN, INTEGER, NUMBER, TEXT, TIMESTAMP, Literal, Span

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

NOT, SIGN = 3, 10
"""How tightly the prefixes bind, see `parse.py`."""

_CAST_TYPES = {
    "integer": "integer",
    "bigint": "integer",
    "number": "number",
    "double": "number",
    "boolean": "boolean",
    "text": "text",
    "varchar": "text",
}


class Operands(Reader):
    """Reads what stands between operators."""

    def operand(self, power: int) -> Syntax:
        """Read an operand and the list indexes behind it."""
        tree = self.primary(power)
        while self.next.keyword == "[":
            word = self.take()
            index = self.nested(0)
            span = Span(tree.span.start, self.expect("]").span.end)
            tree = self.apply("[]", (tree, index), span, word.span)
        return tree

    def primary(self, power: int) -> Syntax:
        """Read what begins here; `power` is that of the operator in front."""
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
        raise self.unexpected()

    def parentheses(self) -> Syntax:
        """Read `(…)`; its place includes the parentheses."""
        start = self.take().span.start
        tree = self.nested(0)
        if self.next.keyword == ",":
            raise self.error("a list of values stands behind `in` only", code="unsupported-syntax")
        return replace(tree, span=Span(start, self.expect(")").span.end))

    def sign(self) -> Syntax:
        """Read `-x`; before a number, the sign is the number's."""
        word = self.take()
        if word.keyword == "+":
            raise self.error_at(
                word.span, "a sign `+` has no use", hint="leave it out", code="rule-syntax"
            )
        if self.next.sort == "number":
            number = self.number(self.take(), sign=-1)
            return Literal(number.value, number.type, Span(word.span.start, number.span.end))
        arg = self.nested(SIGN)
        return self.apply("negate", (arg,), Span(word.span.start, arg.span.end), word.span)

    def number(self, token: Token, sign: int) -> Literal:
        """Make a number of a token."""
        whole = token.text.isdigit()
        value = sign * (int(token.text) if whole else float(token.text))
        if abs(value) == float("inf") or (whole and not -(2**63) <= value < 2**63):
            raise self.error_at(
                token.span,
                "the number is out of range",
                hint="integers are within 64 bits, numbers within float64",
                code="bad-constant",
            )
        return Literal(value, INTEGER if whole else NUMBER, token.span)

    def word(self, power: int) -> Syntax:
        """Read what begins with a word."""
        token = self.next
        if token.keyword == "not":
            return self.not_(power)
        if read := _WORDS.get(token.keyword):
            return read(self)
        if token.keyword == "timestamp" and self.peek().sort == "string":
            return self.timestamp()
        if self.peek().keyword == "(" and token.keyword not in RESERVED:
            return self.call()
        if token.keyword in RESERVED:
            problem = f"`{token.text}` is a word of SQL and cannot stand here"
            hint = RESERVED_WORDS.get(
                token.keyword, f'a field is written in double quotes: "{token.text}"'
            )
            raise self.error(problem, hint=hint)
        return self.name()

    def boolean(self) -> Syntax:
        """Read `true` or `false`."""
        token = self.take()
        return Literal(token.keyword == "true", BOOLEAN, token.span)

    def null(self) -> Syntax:
        """Refuse the literal NULL."""
        raise self.error(
            "the literal NULL cannot stand here",
            hint="write `x is null` or `x is not null`; a `case` without `else` is NULL",
            code="null-comparison",
        )

    def not_(self, power: int) -> Syntax:
        """Read `not x`."""
        word = self.take()
        if power > NOT:
            raise self.error_at(
                word.span,
                "`not` cannot stand behind an operator",
                hint="put it in parentheses: `x = (not y)`",
                code="rule-syntax",
            )
        arg = self.nested(NOT)
        return self.apply("not", (arg,), Span(word.span.start, arg.span.end), word.span)

    def name(self) -> Syntax:
        """Read `a.b."c"`."""
        first = self.take()
        parts, end, quoted = [first.text], first.span.end, first.sort == "quoted"
        while self.accept("."):
            if self.next.sort not in {"word", "quoted"}:
                raise self.error("a name is missing behind the dot")
            end = self.next.span.end
            parts.append(self.take().text)
        if self.next.keyword == "(":
            raise self.error(
                "functions have no dots in their names",
                hint="they stand in front: starts_with(name, 'a')",
                code="unsupported-function",
            )
        return Name(tuple(parts), Span(first.span.start, end), quoted and len(parts) == 1)

    def call(self) -> Syntax:
        """Read `name(…)`."""
        word = self.take()
        name = word.keyword
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
        if self.next.keyword == ")":
            raise self.error("a value is missing here", hint="write `x in ('a', 'b')`")
        args = [self.nested(0)]
        while self.accept(","):
            args.append(self.nested(0))
        if self.next.keyword != ")":
            raise self.unexpected()
        self.take()
        return args

    def case(self) -> Syntax:
        """Read `case when … end`."""
        word = self.take()
        if self.next.keyword != "when":
            raise self.error(
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
        """Read `try_cast(x as type)`."""
        word = self.take()
        self.expect("(")
        arg = self.nested(0)
        self.expect("as")
        target = _CAST_TYPES.get(self.next.keyword)
        if target is None:
            known = "integer, number, boolean and text"
            raise self.error(
                f"try_cast knows {known}",
                hint="write one of them, as in `try_cast(x as integer)`",
                code="unsupported-syntax",
            )
        self.take()
        span = Span(word.span.start, self.expect(")").span.end)
        return self.apply(f"try_cast {target}", (arg,), span, word.span)

    def timestamp(self) -> Syntax:
        """Read `timestamp '…'`."""
        word, string = self.take(), self.take()
        try:
            value = parse_date_time(string.text)
        except ValueError:
            raise self.error_at(
                string.span,
                f"{string.text!r} is not a time",
                hint="write it like 2026-01-31T12:00:00Z, with Z or an offset such as +01:00",
                code="bad-constant",
            ) from None
        return Literal(value, TIMESTAMP, Span(word.span.start, string.span.end))


_WORDS: dict[str, Callable[[Operands], Syntax]] = {
    "true": Operands.boolean,
    "false": Operands.boolean,
    "null": Operands.null,
    "case": Operands.case,
    "try_cast": Operands.try_cast,
}
