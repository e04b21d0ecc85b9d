"""Makes docs/rule-language.md from the table of operators and functions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from gateway_lab.rules.codes import RULE_CODES
from gateway_lab.rules.functions import FUNCTIONS
from gateway_lab.rules.reader import MAX_NESTING
from gateway_lab.rules.signatures import Function, Signature
from gateway_lab.rules.tokens import MAX_LENGTH

HEAD = f"""\
# The rule language

<!-- Made by `make docs` from gateway_lab/rules/; change that instead. -->

A rule is an SQL expression, as in a `WHERE` clause. `when:` of a route holds one that is TRUE or
not; each `{{…}}` of a template holds one of any type; `aggregates:` of a batch hold SQL aggregates.

```sql
priority = 'critical' or payload.amount > settings.big_order
tenant_id in ('acme', 'globex') and not payload.test
'bug' = any(labels) and message.headers['x-github-event'] = 'issues'
hour(message.timestamp) between 8 and 17
```

The language is small, typed and listed below, and it means the same live and offline: random rules
and events are tried on the Python engine, on the Polars engine and on DuckDB, and all three must
give the same answer. Where plain DuckDB would answer differently, the last column says how; the
SQL that DuckDB judges by has casts and guards there.

## Names

| written | is |
| --- | --- |
| `priority`, `payload.amount` | a field of the event, case-sensitive; NULL where absent or JSON null |
| `"order".total`, `"content-type"` | a segment in double quotes: a word of SQL, or not a plain name |
| `event.message` | a field whose name begins like something below |
| `settings.big_order` | a typed constant of the config |
| `message.key`, `.source`, `.channel` | text; the key is NULL where there is none or it is not UTF-8 |
| `message.timestamp`, `.received` | the producer's or broker's time, and when it was read |
| `message.headers['x-id']` | a header as text: any case of the name, the last of repeated values |

An object without declared `properties` can only be tested with `is null`. With several event types
on a source, a name may be used where its type is the same in all that have it (and is NULL in those
that lack it); else the route says `events: […]`.

## Types and constants

| type | constants | is |
| --- | --- | --- |
| text | `'it''s'` | code points; compared by code point |
| boolean | `true`, `false` | |
| integer | `12`, `-3` | 64 bits |
| number | `1.5`, `2e3` | float64, always finite |
| timestamp | `timestamp '2026-01-31T12:00:00Z'` | µs in UTC; `Z` or an offset must be there |
| list | | of one scalar type, elements may be NULL; index from 1 |
| object | | only `is null`, and passing it on |

Nothing is converted by itself, except integers where they meet numbers: comparing text with an
integer is an error with a place. Text becomes a number only by `try_cast`.

**A rule cannot fail.** Overflow, division by zero, and what is not finite give NULL. NULL spreads as
in SQL: a function of NULL is NULL unless its row says otherwise, and a route matches only on TRUE. A
condition that was NULL is counted as *undecided*, never guessed. The literal NULL is refused:
write `is null`.

A rule has at most {MAX_LENGTH} characters and {MAX_NESTING} levels of nesting. Not in the language:
queries, windows, lambdas, aliases, comments, placeholders, `now()`, `random()`, time zones.

## What binds how

From loose to tight: `or`; `and`; `not`; `is`; `= <> < <= > >=` (these do not chain); `between`,
`in`, `like`; `||`; `+ -`; `* / // %`; unary `-`. It is DuckDB's order, and held to DuckDB's parser;
where DuckDB's own reading may surprise (`a is null in (…)`), parentheses are asked for.
"""

REGEX = """\
## Regular expressions

The dialect is what google-re2 and Rust's regex share, so no pattern can take exponential time:

| written | is |
| --- | --- |
| `\\d` `\\w` `\\s` `\\D` `\\W` `\\S` | classes of ASCII characters, also inside `[…]` |
| `.` | any character but a line break |
| `^` `$` | the beginning and the end of the text, never of a line |
| `* + ? {n} {n,} {n,m}`, lazy with `?` | repetition, at most 1,000 times, nested ones multiplied |
| `( )` `(?: )` `\\|` | groups, alternatives |

Refused: look-around, back-references, `\\b`, inline flags, named groups, POSIX classes. In SQL
text a backslash is a plain character: `regexp_matches(id, '^id-\\d+$')`.
"""


TEMPLATES = """\
## Templates

Channels, keys, headers, texts in a `body` and what a batch collects are templates: fixed text with
`{expressions}` of this language. `{{` and `}}` are braces. In YAML a template that begins with a
brace is quoted: `key: "{tenant_id}"`.

| a template | becomes | where a value is NULL |
| --- | --- | --- |
| `channel` of a target | text that begins with fixed text; a value is `[A-Za-z0-9_-]{1,64}` | a dead letter of the target |
| `key` | text | no key |
| `headers` | text | without this header |
| one expression alone in a `body`, in `rows` or `group_by` | the value, of its own type | JSON null, NULL |
| text around it, there | text | the whole text is JSON null, NULL |

Where text is made, an expression is text, integer or boolean: a number or a time has no one
spelling. The whole event cannot be named; leave `body` out to pass the bytes on.

What a target cannot write is its dead letter, for one of these reasons:

| reason | |
| --- | --- |
| `null-in-channel` | A value of the channel is NULL. |
| `unsafe-channel-value` | A value of the channel is empty, too long, or has a character that it may not. |
| `unsafe-channel` | The channel as a whole is none of the protocol, such as one that is too long. |
| `key-not-carried` | The protocol carries text only, and the key is none. |
| `header-not-carried` | The same of a header, or the protocol does not take its name. |
| `headers-too-many` | More than 64 headers would pass. |
| `headers-too-large` | A header that would pass has more than 8,192 bytes, or all have more than 32,768. |
| `too-many-hops` | The message has passed eight gateways: it goes round. |

"""


def rule_language() -> str:
    """Return the page: a table for each group of functions."""
    lines = [HEAD]
    for group, functions in groupby(FUNCTIONS.values(), key=lambda each: each.group):
        lines += [f"## {group}", "", *_table(list(functions))]
    lines += [REGEX, TEMPLATES + "## What an error may say", "", "| code | |", "| --- | --- |"]
    lines += [f"| [{code}](findings.md#{code}) | {text} |" for code, text in RULE_CODES.items()]
    return "\n".join([*lines, ""])


def _table(functions: list[Function]) -> Iterator[str]:
    yield "| written | takes → gives | meaning | DuckDB |"
    yield "| --- | --- | --- | --- |"
    for each in functions:
        cells = (f"`{each.usage}`", _types(each), each.meaning, each.deviation)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _types(function: Function) -> str:
    if not function.signatures:
        return "boolean, T, … → T"
    shapes: dict[str, list[str]] = {}
    for signature in function.signatures:
        shape, kind = _shape(signature)
        shapes.setdefault(shape, []).append(kind)
    return "; ".join(_with_kinds(shape, kinds) for shape, kinds in shapes.items())


def _shape(signature: Signature) -> tuple[str, str]:
    """Write a signature with T for the type of its first parameter, and that type."""
    if not signature.parameters:
        return f"→ {signature.returns}", ""
    first = signature.parameters[0].type
    kind = str(first.item or first.kind)
    takes = ", ".join(
        str(each.type).replace(kind, "T") + " constant" * bool(each.constant)
        for each in signature.parameters
    )
    gives = "T" if str(signature.returns) == kind else str(signature.returns)
    return f"{takes}{', …' if signature.variadic else ''} → {gives}", kind


def _with_kinds(shape: str, kinds: list[str]) -> str:
    if len(kinds) == 1:
        return shape.replace("T", kinds[0])
    return f"{shape} (T: {', '.join(kinds)})"
