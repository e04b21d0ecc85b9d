"""Reading the tokens of a rule one after the other, and saying what is wrong with them."""

from __future__ import annotations

from gateway_lab.errors import RuleError
from gateway_lab.rules.advice import BEYOND, MISSING, OPERATORS, PREFIXES, SYMBOLS
from gateway_lab.rules.syntax import Apply, Syntax
from gateway_lab.rules.tokens import Token, tokenize
from gateway_lab.rules.tree import Span

MAX_NESTING = 20
"""How many parentheses, brackets, function calls, `case`, `not` and signs may stand inside
another, and how many operators of one chain may follow each other (`and`, `or` and `||`, whose
chains are one node, apart)."""

_OPERATOR_MISSING = "strings take single quotes: 'critical'; conditions are joined by `and` or `or`"


class Reader:
    """The tokens of one rule, and how far they are read."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.at, self.nesting = text, tokenize(text), 0, 0

    def expression(self, power: int) -> Syntax:
        """Read operators that bind at least as tightly as `power`."""
        raise NotImplementedError

    @property
    def next(self) -> Token:
        """The token to be read."""
        return self.tokens[self.at]

    def peek(self) -> Token:
        """Return the token behind the next one."""
        return self.tokens[min(self.at + 1, len(self.tokens) - 1)]

    def take(self) -> Token:
        """Read a token."""
        token = self.next
        self.at += 1
        return token

    def accept(self, keyword: str) -> bool:
        """Read a keyword or symbol if it is next."""
        if self.next.keyword == keyword:
            self.at += 1
            return True
        return False

    def expect(self, keyword: str) -> Token:
        """Read a keyword or symbol that must be next."""
        if self.next.keyword != keyword:
            hint = MISSING.get(keyword, "")
            raise self.error(f"`{keyword}` is missing here", hint=hint)
        return self.take()

    def error(self, problem: str, *, hint: str = "", code: str = "rule-syntax") -> RuleError:
        """Make an error at the next token."""
        return self.error_at(self.next.span, problem, hint=hint, code=code)

    def error_at(
        self, span: Span, problem: str, *, hint: str = "", code: str = "rule-syntax"
    ) -> RuleError:
        """Make an error at a place."""
        start = min(span.start, max(len(self.text) - 1, 0))
        return RuleError(problem, code=code, text=self.text, start=start, end=span.end, hint=hint)

    def unexpected(self) -> RuleError:
        """Make an error of the next token, which nothing can do with."""
        token = self.next
        if token.sort == "end":
            return self.error("the rule ends too early", hint="something is missing at the end")
        shown = self.text[token.span.start : token.span.end]
        if token.keyword in BEYOND:
            return self.beyond(token.span, shown, BEYOND[token.keyword])
        if self.at == 0 or "symbol" in {self.tokens[self.at - 1].sort, token.sort}:
            hint = SYMBOLS.get(token.keyword, "something is missing in front of it")
            return self.error(f"`{shown}` cannot stand here", hint=hint)
        return self.no_operator(self.tokens[self.at - 1], token, shown)

    def no_operator(self, before: Token, token: Token, shown: str) -> RuleError:
        """Make the error of a token where an operator belongs."""
        if token.sort == before.sort == "string":
            return self.error("two strings in a row", hint="join texts with `||`")
        if token.keyword in OPERATORS:
            return self.beyond(token.span, shown, OPERATORS[token.keyword])
        if token.sort == "string" and before.keyword in PREFIXES:
            return self.beyond(before.span, before.text, PREFIXES[before.keyword])
        return self.error(f"an operator is missing before `{shown}`", hint=_OPERATOR_MISSING)

    def beyond(self, span: Span, shown: str, hint: str) -> RuleError:
        """Make the error of what others have and this language does without."""
        problem = f"`{shown}` is not in the rule language"
        return self.error_at(span, problem, hint=hint, code="unsupported-syntax")

    # --- building nodes ---

    def apply(self, function: str, args: tuple[Syntax, ...], span: Span, word: Span) -> Apply:
        """Make a node."""
        depth = 1 + max((arg.depth for arg in args if isinstance(arg, Apply)), default=0)
        if depth > 2 * MAX_NESTING:
            raise self.too_deep(word)
        return Apply(function, args, span, word, depth)

    def too_deep(self, span: Span) -> RuleError:
        """Make the error of a rule that nests too deep."""
        return self.error_at(
            span,
            f"the rule nests deeper than {MAX_NESTING} levels",
            hint="split it into several routes, or simplify it",
            code="rule-too-deep",
        )

    def nested(self, power: int) -> Syntax:
        """Read an expression one level deeper."""
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self.too_deep(self.tokens[self.at - 1].span)
        tree = self.expression(power)
        self.nesting -= 1
        return tree
