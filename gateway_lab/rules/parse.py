"""From the text of a rule to an untyped tree: SQL's grammar, cut down to the rule language.

Precedence is DuckDB's, from loose to tight: `or`, `and`, `not`, `is`, comparisons (which do not
chain), `between` / `in` / `like`, `||`, `+ -`, `* / // %`, unary `-`. What is nested is bounded,
so neither this parser nor anything that walks a tree can run out of stack.
"""

from __future__ import annotations

from gateway_lab.rules.operands import Operands
from gateway_lab.rules.reader import MAX_NESTING
from gateway_lab.rules.syntax import Syntax
from gateway_lab.rules.tokens import Token
from gateway_lab.rules.tree import Span


def parse(text: str) -> Syntax:
    """Read a rule.

    Raises:
        RuleError: It is no rule; the codes rule-syntax, rule-too-long, rule-too-deep,
            unsupported-syntax and bad-constant occur.
    """
    parser = _Parser(text)
    if len(parser.tokens) == 1:
        raise parser.error(
            "the rule is empty", hint="leave `when` out for a route that always matches"
        )
    tree = parser.expression(0)
    if parser.next.sort != "end":
        raise parser.unexpected()
    return tree


_OR, _AND, _IS, _COMPARE, _RANGE, _CONCAT, _ADD, _MULTIPLY = 1, 2, 4, 5, 6, 7, 8, 9

_TIGHTEST = 10

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


class _Parser(Operands):
    """Precedence climbing over the tokens of one rule."""

    def expression(self, power: int) -> Syntax:
        """Read operators that bind at least as tightly as `power`."""
        left = self.operand(power)
        chain, last = 0, _TIGHTEST
        while (binding := _INFIX.get(self.next.keyword, -1)) >= max(power, 0):
            chain += 1
            if chain > MAX_NESTING and self.next.keyword not in _FLAT:
                raise self.too_deep(self.next.span)
            if binding > last or binding == last in {_IS, _RANGE}:
                shown = self.next.text
                raise self.error(
                    f"`{shown}` is unclear here",
                    hint="put parentheses around what belongs together",
                )
            left, last = self.infix(left, binding), binding
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
            raise self.error("comparisons do not chain", hint="write `1 < x and x < 3`")
        return self.apply(name, (left, right), _hull(left, right), word.span)

    def any_(self, left: Syntax, word: Token) -> Syntax:
        if word.keyword != "=":
            raise self.error_at(
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
                raise self.error(
                    "`is` takes null, true, false or `distinct from`",
                    hint="write `x is null`, or compare with `=`",
                )
            self.expect("from")
            right = self.expression(_IS + 1)
            negated = not negated
            tree = self.apply("is not distinct from", (left, right), _hull(left, right), word.span)
        return self.apply("not", (tree,), tree.span, word.span) if negated else tree

    def not_range(self, left: Syntax, word: Token) -> Syntax:
        if self.next.keyword not in {"between", "in", "like", "ilike"}:
            raise self.error(
                "`not` here takes in, like, ilike or between", hint="for not equal write `<>`"
            )
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


def _hull(first: Syntax, last: Syntax) -> Span:
    return Span(first.span.start, last.span.end)
