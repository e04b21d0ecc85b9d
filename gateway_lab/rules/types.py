"""From the untyped tree to the typed one: names looked up, types checked, constants folded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from gateway_lab.errors import RuleError, did_you_mean
from gateway_lab.events.event_type import EventType, Kind, ValueType
from gateway_lab.rules import advice
from gateway_lab.rules.constants import check_constant
from gateway_lab.rules.functions import ALIASES, FUNCTIONS
from gateway_lab.rules.names import Names
from gateway_lab.rules.parse import parse
from gateway_lab.rules.signatures import Function, Parameter
from gateway_lab.rules.syntax import Apply, Name, Syntax
from gateway_lab.rules.to_python import compile_value
from gateway_lab.rules.tree import BOOLEAN, INTEGER, NUMBER, Call, Literal, Node, Span


@dataclass(frozen=True, slots=True)
class Scope:
    """What a rule may name.

    Attributes:
        events: The event types that may come; none: only `message.*` is known.
        settings: Name to constant.
        message: Whether `message.*` may be used.
        aggregates: Whether the rule is about many messages: every field inside an aggregate.
    """

    events: Mapping[str, EventType]
    settings: Mapping[str, Literal] = field(default_factory=dict)
    message: bool = True
    aggregates: bool = False


def resolve(text: str, scope: Scope, *, expect: Kind | None = None) -> Node:
    """Read and type a rule: `"priority = 'high'"` to a tree.

    Args:
        text: The rule.
        scope: What it may name.
        expect: The kind that it must give; an integer is made a number where one is expected.

    Raises:
        RuleError: The rule cannot be read or typed, see `codes.py`.
    """
    resolver = _Resolver(text, scope)
    node = resolver.resolve(parse(text))
    if expect is None or node.type.kind is expect:
        return node
    if expect is Kind.NUMBER and node.type == INTEGER:
        return widen(node)
    hint = "compare it with something: `x = 'a'`, `x > 0`" if expect is Kind.BOOLEAN else ""
    raise resolver.error(node.span, "type-mismatch", f"this gives {node.type}, not {expect}", hint)


def widen(node: Node) -> Node:
    """Make a number of an integer."""
    if isinstance(node, Literal) and isinstance(node.value, int):
        return Literal(float(node.value), NUMBER, node.span)
    return Call("try_cast number", (node,), NUMBER, node.span)


class _Resolver:
    """Types one rule."""

    def __init__(self, text: str, scope: Scope) -> None:
        self.text, self.scope = text, scope
        self.names = Names(scope.events, scope.settings, message=scope.message, error=self.error)
        self.aggregate: str | None = None

    def error(self, span: Span, code: str, problem: str, hint: str = "") -> RuleError:
        return RuleError(
            problem, code=code, text=self.text, start=span.start, end=span.end, hint=hint
        )

    def resolve(self, syntax: Syntax) -> Node:
        if isinstance(syntax, Literal):
            return syntax
        if isinstance(syntax, Name):
            return self.outside_aggregate(self.names.find(syntax))
        if header := self.names.header(syntax):
            return self.outside_aggregate(header)
        return self.call(syntax)

    def outside_aggregate(self, node: Node) -> Node:
        if self.scope.aggregates and self.aggregate is None and not isinstance(node, Literal):
            raise self.error(
                node.span,
                "type-mismatch",
                "a field of many messages stands inside an aggregate",
                "write avg(x), sum(x), min(x), max(x) or count(x)",
            )
        return node

    # --- calls ---

    def call(self, syntax: Apply) -> Node:
        function = self.function(syntax)
        args = self.arguments(syntax, function)
        if function.name == "case":
            args, returns = self.case(syntax, args)
        else:
            args, returns = self.match(syntax, function, args)
        node = Call(function.name, args, returns, syntax.span)
        self.refuse_zero(node)
        return self.fold(node) if all(isinstance(arg, Literal) for arg in args) else node

    def function(self, syntax: Apply) -> Function:
        name = ALIASES.get(syntax.function, syntax.function)
        function = FUNCTIONS.get(name)
        written = self.text[syntax.written.start : syntax.written.end]
        if function is None or (syntax.is_call and not function.is_callable):
            raise self.unknown_function(syntax, written)
        if function.is_aggregate and (not self.scope.aggregates or self.aggregate):
            hint = f"it stands inside {self.aggregate}" if self.aggregate else ""
            raise self.error(
                syntax.written,
                "unsupported-function",
                f"the aggregate `{written}` cannot stand here",
                hint or "aggregates are for the `aggregates` of a batch",
            )
        return function

    def unknown_function(self, syntax: Apply, written: str) -> RuleError:
        hint = advice.FUNCTIONS.get(written.lower()) or did_you_mean(written, _CALLABLE)
        problem = f"there is no function `{written}` in the rule language"
        return self.error(syntax.written, "unsupported-function", problem, hint)

    def arguments(self, syntax: Apply, function: Function) -> tuple[Node, ...]:
        if not function.is_aggregate:
            return tuple(self.resolve(arg) for arg in syntax.args)
        self.aggregate = function.name
        args = tuple(self.resolve(arg) for arg in syntax.args)
        self.aggregate = None
        return args

    def match(
        self, syntax: Apply, function: Function, args: tuple[Node, ...]
    ) -> tuple[tuple[Node, ...], ValueType]:
        """Find the signature that takes the arguments, at need with integers made numbers."""
        for widened in (False, True):
            for signature in function.signatures:
                parameters = signature.expand(len(args))
                if parameters is None:
                    continue
                fitted = _fit(args, parameters, widened=widened)
                if fitted is not None:
                    self.check_constants(function, fitted, parameters)
                    return fitted, signature.returns
        raise self.mismatch(syntax, function, args)

    def check_constants(
        self, function: Function, args: Sequence[Node], parameters: Sequence[Parameter]
    ) -> None:
        for arg, parameter in zip(args, parameters, strict=True):
            if not parameter.constant:
                continue
            if not isinstance(arg, Literal):
                raise self.error(
                    arg.span,
                    "not-constant",
                    f"`{function.usage}` takes a constant here",
                    "use a literal or a setting"
                    + ("; or `x = any(list)`, or `x = y or x = z`" * (function.name == "in")),
                )
            if problem := check_constant(parameter.constant, arg.value, args):
                raise self.error(arg.span, problem.code, problem.text, problem.hint)

    def case(self, syntax: Apply, args: tuple[Node, ...]) -> tuple[tuple[Node, ...], ValueType]:
        """Type `case`: conditions and values in turn, the last may be alone."""
        conditions = args[: len(args) - len(args) % 2 : 2]
        for condition in conditions:
            if condition.type != BOOLEAN:
                raise self.error(
                    condition.span, "type-mismatch", f"`when` takes boolean, not {condition.type}"
                )
        values = [i for i in range(len(args)) if i % 2 or i == len(args) - 1]
        types = {args[i].type for i in values}
        if types == {INTEGER, NUMBER}:
            wide = {i: widen(args[i]) for i in values if args[i].type == INTEGER}
            return tuple(wide.get(i, arg) for i, arg in enumerate(args)), NUMBER
        if len(types) > 1:
            shown = " and ".join(sorted(map(str, types)))
            problem = f"the values of `case` are {shown}"
            hint = "give all of them one type, as with try_cast(x as text)"
            raise self.error(syntax.span, "type-mismatch", problem, hint)
        return args, args[values[0]].type

    # --- constants ---

    def refuse_zero(self, node: Call) -> None:
        match node:
            case Call(function="/" | "//" | "%", args=(_, Literal(value=value) as zero)):
                if value == 0:
                    raise self.error(
                        zero.span,
                        "division-by-zero",
                        "a division by zero is always NULL",
                        "to say NULL on purpose, leave out the `else` of a `case`",
                    )

    def fold(self, node: Call) -> Node:
        """Compute a constant expression once, with the Python engine."""
        if FUNCTIONS[node.function].is_aggregate:
            return node
        value = compile_value(node, (), name="constant")()
        if value is None:
            raise self.error(
                node.span,
                "always-null",
                "this constant expression is NULL",
                "it overflows, or a text is not what try_cast takes",
            )
        scalar = cast("str | bool | int | float", value)  # there are no constant lists or objects
        return Literal(scalar, node.type, node.span)

    # --- errors ---

    def mismatch(self, syntax: Apply, function: Function, args: tuple[Node, ...]) -> RuleError:
        if not any(signature.expand(len(args)) for signature in function.signatures):
            count = "1 argument" if len(args) == 1 else f"{len(args)} arguments"
            problem = f"`{function.usage}` does not take {count}"
            hint = advice.ARGUMENTS.get(function.name, f"write {function.usage}")
            return self.error(syntax.span, "type-mismatch", problem, hint)
        opaque = next((arg for arg in args if Kind.OBJECT in {arg.type.kind, arg.type.item}), None)
        if opaque is not None:
            return self.error(
                opaque.span,
                "opaque-object",
                "objects, and lists of them, can only be tested with `is null`",
                "name a field of it; declare its properties in the event type if there are none",
            )
        shown = " and ".join(dict.fromkeys(str(arg.type) for arg in args))
        problem = f"`{function.usage}` does not take {shown}"
        return self.error(syntax.span, "type-mismatch", problem, _mismatch_hint(function, args))


def _fit(
    args: tuple[Node, ...], parameters: Sequence[Parameter], *, widened: bool
) -> tuple[Node, ...] | None:
    fitted = []
    for arg, parameter in zip(args, parameters, strict=True):
        if parameter.takes(arg.type):
            fitted.append(arg)
        elif widened and arg.type == INTEGER and parameter.type == NUMBER:
            fitted.append(widen(arg))
        else:
            return None
    return tuple(fitted)


def _mismatch_hint(function: Function, args: tuple[Node, ...]) -> str:
    kinds = {arg.type.kind for arg in args}
    for names, needed, hint in _HINTS:
        if needed <= kinds and (not names or function.name in names):
            return hint
    if Kind.TEXT in kinds and kinds & {Kind.INTEGER, Kind.NUMBER}:
        return _text_and_number(args)
    return f"it takes {' or '.join(_takes(function))}"


_HINTS: tuple[tuple[set[str], set[Kind], str], ...] = (
    (
        {"and", "or", "not"},
        set(),
        "it takes boolean: compare the rest with something, as in `x = 'a'`",
    ),
    ({"||"}, {Kind.BOOLEAN}, "`||` joins texts; for conditions use `or`"),
    ({"||"}, set(), "`||` joins texts: try_cast(x as text) makes one"),
    ({"+"}, {Kind.TEXT}, "texts are joined with `||`, numbers are written without quotes"),
    ({"+", "-"}, {Kind.TIMESTAMP}, "count in milliseconds: epoch_ms(time)"),
    (set(), {Kind.LIST}, "to find a value in a list, write `x = any(list)`"),
    (set(), {Kind.TEXT, Kind.TIMESTAMP}, "write times like timestamp '2026-01-31T12:00:00Z'"),
    (set(), {Kind.TEXT, Kind.BOOLEAN}, "write true or false without quotes"),
    (set(), {Kind.INTEGER, Kind.BOOLEAN}, "write true or false, not 1 or 0"),
)
"""Functions (none: any), kinds of arguments, and what to say; the first that fits."""


def _takes(function: Function) -> dict[str, None]:
    return dict.fromkeys(
        ", ".join(str(parameter.type) for parameter in signature.parameters)
        for signature in function.signatures
    )


def _text_and_number(args: tuple[Node, ...]) -> str:
    for arg in args:
        if isinstance(arg, Literal) and isinstance(arg.value, str):
            return "numbers are written without quotes"
    kind = "number" if any(arg.type == NUMBER for arg in args) else "integer"
    return f"make a number of the text: try_cast(x as {kind})"


_CALLABLE = [function.name for function in FUNCTIONS.values() if function.is_callable]
