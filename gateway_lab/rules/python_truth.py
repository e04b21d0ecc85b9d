"""Conditions as Python tests: whether they are TRUE, with their NULLs looked at last.

`python_code.Writer.code` gives the value of a condition, which may be None. A router asks less:
is it TRUE, and only if not, was it NULL? Since NULL mostly comes from a field without a value,
the second question costs a look at these fields.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway_lab.rules.functions import FUNCTIONS
from gateway_lab.rules.python_code import Code, Writer
from gateway_lab.rules.tree import Call, Node, references


def is_true(writer: Writer, node: Node) -> str:
    """Write a test that holds if a boolean is TRUE; it gives anything falsy for FALSE and NULL."""
    match node:
        case Call("and" | "or" as word, args):
            return f"({f' {word} '.join(is_true(writer, arg) for arg in args)})"
        case Call("not", (arg,)):
            return is_false(writer, arg)
        case Call(function="=" | "in") if (test := _equality(writer, node)) is not None:
            return test
        case Call(function=name) if _is_plain(name):
            return _with_values(writer, node, "{}")
    return writer.code(node).text


def is_false(writer: Writer, node: Node) -> str:
    """Write a test that holds if a boolean is FALSE; it gives anything falsy for TRUE and NULL."""
    match node:
        case Call("and" | "or" as word, args):
            other = " or " if word == "and" else " and "
            return f"({other.join(is_false(writer, arg) for arg in args)})"
        case Call("not", (arg,)):
            return is_true(writer, arg)
        case Call(function=name) if _is_plain(name):
            return _with_values(writer, node, "not {}")
    return f"({writer.code(node).text} is False)"


def is_null(writer: Writer, node: Node) -> str:
    """Write a test that holds if a condition, which is not TRUE, is NULL; empty if it cannot be.

    What is neither TRUE nor FALSE is NULL; nobody needs to ask while no field is None.
    """
    if not writer.code(node).nullable:
        return ""
    absent = [f"{writer.inputs[each]} is None" for each in references(node)]
    if all(FUNCTIONS[name].strict for name in _functions(node)):
        return " or ".join(absent)
    return f"({' or '.join(absent)}) and not {is_false(writer, node)}"


def _functions(node: Node) -> Iterator[str]:
    if isinstance(node, Call):
        yield node.function
        for arg in node.args:
            yield from _functions(arg)


def _is_plain(name: str) -> bool:
    return FUNCTIONS[name].strict and not FUNCTIONS[name].partial


def _equality(writer: Writer, node: Call) -> str | None:
    """Compare without a look at None, which equals nothing; not where both may be None."""
    args = [writer.code(arg) for arg in node.args]
    if args[0].nullable and args[1].nullable:
        return None
    return f"({writer.body(node, [arg.text for arg in args])})"


def _with_values(writer: Writer, node: Call, template: str) -> str:
    """Test a strict function where no argument is None."""
    tests, names = [], []
    for arg in map(writer.code, node.args):
        first, later = writer.held(arg) if arg.nullable else (arg.text, arg.text)
        tests += [f"{first} is not None"] if arg.nullable else []
        names.append(later)
    return f"({' and '.join([*tests, template.format(f'({writer.body(node, names)})')])})"


def condition(writer: Writer, node: Node) -> tuple[str, str]:
    """Write a condition of a router: the test for TRUE, and then the one for NULL.

    Where finding the value may give NULL in itself, both are one evaluation, kept in `c`.
    """
    writer.temporaries = 0
    if any(FUNCTIONS[name].partial for name in _functions(node)):
        code: Code = writer.code(node)
        return (f"(c := {code.text})", "c is None") if code.nullable else (code.text, "")
    return is_true(writer, node), is_null(writer, node)
