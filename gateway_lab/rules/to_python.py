"""The Python engine: a router, or one value, as the source of one function.

The source holds only the inputs f0, f1, …, temporary names, operators, our own functions and
constants by name; it is checked against a list of what it may hold and runs without builtins.
"""

from __future__ import annotations

import ast
import hashlib
import linecache
import re
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from gateway_lab.rules.dispatch import Run, find_runs
from gateway_lab.rules.python_code import Writer
from gateway_lab.rules.python_truth import condition
from gateway_lab.rules.runtime import RUNTIME
from gateway_lab.rules.tree import Node, Reference, Value

Indexes: TypeAlias = tuple[int, ...]
Decide: TypeAlias = Callable[..., tuple[Indexes, Indexes]]


def compile_router(
    conditions: Sequence[Node | None],
    inputs: Sequence[Reference],
    *,
    match: Literal["first", "all"],
    name: str,
) -> Decide:
    """Make one function of all conditions of a router.

    Args:
        conditions: One a route, in order; None is always true.
        inputs: What the function is called with, in order.
        match: With "first" it stops at the first hit.
        name: The router's name, for tracebacks.

    Returns:
        A function of the inputs' values that gives the indexes of the conditions that are true,
        and of those that were NULL when reached.
    """
    writer = Writer(inputs)
    body = _Router(writer, match).lines(conditions)
    return _compile(body, writer, f"router {name}")


def compile_value(node: Node, inputs: Sequence[Reference], *, name: str) -> Callable[..., Value]:
    """Make a function of the inputs' values that gives the value of one expression."""
    writer = Writer(inputs)
    return _compile([f"return {writer.code(node).text}"], writer, f"value {name}")


class _Router:
    """Writes the statements of a router, one condition or run after the other."""

    def __init__(self, writer: Writer, match: str) -> None:
        self.writer, self.first = writer, match == "first"

    def lines(self, conditions: Sequence[Node | None]) -> list[str]:
        runs = {run.indexes.start: run for run in find_runs(conditions)}
        lines = ["u = ()"] if self.first else ["h = u = ()"]
        index = 0
        while index < len(conditions):
            node = conditions[index]
            if run := runs.get(index):
                lines += self.run(run)
                index = run.indexes.stop
                continue
            if node is None:
                lines += self.hit(self.writer.constant((index,)))
                if self.first:
                    return lines
            else:
                lines += self.condition(index, node)
            index += 1
        empty = self.writer.constant(())
        return [*lines, f"return {empty}, u" if self.first else "return h, u"]

    def hit(self, indexes: str) -> list[str]:
        return [f"return {indexes}, u"] if self.first else [f"h += {indexes}"]

    def condition(self, index: int, node: Node) -> list[str]:
        here = self.writer.constant((index,))
        is_true, is_null = condition(self.writer, node)
        lines = [f"if {is_true}:", *_indent(self.hit(here))]
        return [*lines, f"elif {is_null}:", f"    u += {here}"] if is_null else lines

    def run(self, run: Run) -> list[str]:
        value = self.writer.code(run.reference).text
        table = {key: found[:1] if self.first else found for key, found in run.table.items()}
        look_up = self.writer.constant(table.get)
        everything = self.writer.constant(tuple(run.indexes))
        return [
            f"c = {look_up}({value})",
            "if c is not None:",
            *_indent(self.hit("c")),
            f"elif {value} is None:",
            f"    u += {everything}",
        ]


def _indent(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


# --- from source to function ---


def _compile(body: list[str], writer: Writer, title: str) -> Callable[..., Any]:
    parameters = ", ".join(f"f{index}" for index in range(len(writer.inputs)))
    source = "\n".join([f"def decide({parameters}):", *_indent(body), ""])
    tree = ast.parse(source)
    check_source(tree, frozenset(writer.constants))
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    filename = f"<{title} {digest}>"
    namespace: dict[str, Any] = {"__builtins__": {}, **RUNTIME, **writer.constants}
    exec(compile(tree, filename, "exec"), namespace)  # noqa: S102  # checked just above
    function: Callable[..., Any] = namespace.pop("decide")
    for name in writer.constants.keys() - set(function.__code__.co_names):
        del namespace[name]  # of arguments that were compiled into something else
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    weakref.finalize(function, linecache.cache.pop, filename, None)
    return function


_ALLOWED: tuple[type[ast.AST], ...] = (
    *(ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.If, ast.Assign),
    *(ast.AugAssign, ast.Name, ast.Load, ast.Store, ast.Constant, ast.Tuple, ast.IfExp),
    *(ast.NamedExpr, ast.Call, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.BinOp),
    *(ast.cmpop, ast.boolop, ast.Not, ast.USub, ast.Add, ast.Sub, ast.Mult),
)
_LOCAL = re.compile(r"[ft][0-9]+|[cuh]|decide")


def check_source(tree: ast.AST, constants: frozenset[str]) -> None:
    """Refuse source that holds anything but what the writer may write.

    Raises:
        AssertionError: The writer is wrong; no rule of a user should lead here.
    """
    for node in ast.walk(tree):
        allowed = isinstance(node, _ALLOWED)
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                allowed = bool(_LOCAL.fullmatch(name)) or name in constants or name in RUNTIME
            case ast.Name(id=name) | ast.FunctionDef(name=name) | ast.arg(arg=name):
                allowed = bool(_LOCAL.fullmatch(name))
            case ast.Call(func=func, keywords=keywords):
                allowed = isinstance(func, ast.Name) and not keywords
            case ast.Constant(value=value):
                allowed = value is None or isinstance(value, bool | int | float)
        if not allowed:
            msg = f"{ast.dump(node)} may not stand in compiled source"
            raise AssertionError(msg)
