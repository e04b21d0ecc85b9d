"""Findings of the file, its names, rules and templates: severity, title, paragraph."""

from __future__ import annotations

from gateway_lab.findings import Severity

_ERROR, _WARNING = Severity.ERROR, Severity.WARNING

READING = {
    "comment-cut-text": (
        _ERROR,
        "A `#` cut a rule or template short.",
        (
            "In YAML a ` #` outside quotes begins a comment, so `when: title = 'issue #5'` ends after "
            "`'issue`. Quote the whole text: `when: \"title = 'issue #5'\"`. It is a warning where "
            "the text could be whole, as in `channel: orders #5`."
        ),
    ),
    "braces-became-mapping": (
        _ERROR,
        "An unquoted `{…}` is a mapping in YAML.",
        (
            "`channel: {tenant_id}` is a mapping with the key `tenant_id`, not a template. The config "
            "is read as it was surely meant, but other readers of the file will not do so: quote it."
        ),
    ),
    "no-value": (
        _ERROR,
        "Nothing is written behind `when:` or `key:`.",
        (
            "Without `when` a route matches every message, and without `key` the source's key is "
            "kept. A key that stands there without a value looks like one that was forgotten: write "
            "the value, or remove the key."
        ),
    ),
    "unquoted-yes-or-no": (
        _WARNING,
        "An unquoted `yes`, `no`, `on` or `off` stands where a text is meant.",
        (
            "YAML 1.2 reads it as text, older readers as true or false; Norway's country code is the "
            "famous case. Quote it, so that every tool reads the same."
        ),
    ),
}

NAMES = {
    "unknown-broker": (
        _ERROR,
        "A broker alias is not declared.",
        (
            "Sources, targets and dead letters name an alias of `brokers:`. Declare it with its "
            "protocol; its address comes from the environment when the config runs."
        ),
    ),
    "unknown-event": (
        _ERROR,
        "An event type is not declared, or the source does not carry it.",
        (
            "A source, a handler or a route names an event type that `events:` lacks, or a route's "
            "`events:` names one that none of the router's sources carries."
        ),
    ),
    "unknown-source": (
        _ERROR,
        "A router or batch reads a source that does not exist.",
        "Its routes would never see a message. Declare the source or correct the name.",
    ),
    "unknown-target": (
        _ERROR,
        "A route, an `unmatched` or a batch sends to a target that does not exist.",
        "Declare the target or correct the name; `drop` and `dead_letter` may stand alone.",
    ),
    "reserved-name": (
        _ERROR,
        "A thing has a name that means something else.",
        (
            "`drop`, `dead_letter`, `message`, `event` and `settings` are words of the config and of "
            "the rules, and `invalid` is a word of `otherwise:`. Choose another name."
        ),
    ),
    "duplicate-name": (
        _ERROR,
        "Two routes of a router, two tests, or a group and an aggregate have the same name.",
        "A name is the identity of a thing in every report, diff and metric. Rename one.",
    ),
    "source-address": (
        _ERROR,
        "A source does not say where it reads, or says it twice.",
        (
            "A source has either `broker` with one of `channel` and `pattern`, or a list `from` of "
            "such addresses."
        ),
    ),
    "sources-differ": (
        _ERROR,
        "The sources of one router carry different event types.",
        (
            "A rule of the router would mean something else on each of them. Give the sources the "
            "same `event`, or write a router for each."
        ),
    ),
    "empty-targets": (
        _ERROR,
        "A list of targets is empty.",
        "It is not clear whether messages are to be dropped. Name targets, or write `[drop]`.",
    ),
    "mixed-targets": (
        _ERROR,
        "`drop` or `dead_letter` stands beside other targets.",
        "A message cannot be both delivered and dropped by one route. They stand alone.",
    ),
    "repeated-target": (
        _WARNING,
        "A target stands twice in one list.",
        "Within a router a target gets a message once, so the second has no effect. Remove it.",
    ),
    "event-type": (
        _ERROR,
        "An event type uses something outside the supported JSON Schema subset.",
        (
            "Live and offline must judge a body alike, so the keywords are a short list; see the page "
            "on validity. The finding names the keyword and its place."
        ),
    ),
    "setting-type": (
        _ERROR,
        "A setting's value is not of its type.",
        (
            "`string` takes a text, `boolean` true or false, `integer` a whole number within 64 bits, "
            "`number` any finite number. Correct the value or the type."
        ),
    ),
    "unused": (
        Severity.NOTE,
        "Something is declared and never used.",
        (
            "It does no harm, but a target without a route is often a route that was forgotten, and "
            "what is unused is not checked as deeply. Use it or remove it."
        ),
    ),
    "disabled": (
        Severity.NOTE,
        "A route or router is kept in the file but switched off.",
        (
            "`enabled: false` takes it out of every decision; errors inside it are warnings. Remove "
            "it when it is no longer wanted."
        ),
    ),
}

RULES = {
    "rule-syntax": (
        _ERROR,
        "A rule cannot be read.",
        (
            "A rule is one SQL expression, as in a WHERE clause. The finding points at the place; the "
            "page on the rule language lists all that may be written."
        ),
    ),
    "rule-too-long": (
        _ERROR,
        "A rule is longer than 4 KiB.",
        (
            "Long lists of values are better kept as one route each, or as `in (…)` over several "
            "routes: equality routes over one field are decided by one look-up, however many."
        ),
    ),
    "rule-too-deep": (
        _ERROR,
        "A rule nests more than 20 levels deep.",
        "Write `a or b or c` without parentheses: chains of `and` and `or` do not nest.",
    ),
    "unsupported-syntax": (
        _ERROR,
        "SQL that is not in the rule language.",
        (
            "The language holds only what the live engine, the offline engine and DuckDB answer "
            "alike for every value. The hint names the way to write it, where there is one."
        ),
    ),
    "unsupported-function": (
        _ERROR,
        "A function that is not in the rule language.",
        (
            "See the table of functions on the page of the rule language. `now()` and `random()` are "
            "left out on purpose: a replay must give what production gave."
        ),
    ),
    "unknown-name": (
        _ERROR,
        "A rule names a field or setting that does not exist.",
        (
            "Fields come from the event type of the source, `settings.x` from `settings:`, parts of "
            "the message are `message.key`, `.timestamp`, `.received`, `.source`, `.channel` and "
            "`.headers['x']`. A source without an event type has only those of the message."
        ),
    ),
    "ambiguous-name": (
        _ERROR,
        "A field has different types in the event types of the source.",
        (
            "Say `events: […]` on the route, so that the rule reads the event types where the field "
            "has one type."
        ),
    ),
    "opaque-object": (
        _ERROR,
        "The event type does not say what is inside an object.",
        (
            "An object without `properties` can only be tested with `is null` or passed on whole. "
            "Declare the properties that rules read."
        ),
    ),
    "type-mismatch": (
        _ERROR,
        "An operator or function got a type that it does not take.",
        (
            "Nothing is converted silently: `amount = '5'` would be true in one engine and an error "
            "in another. Compare like with like, or convert with `try_cast`."
        ),
    ),
    "not-constant": (
        _ERROR,
        "An argument must be written out as a constant.",
        (
            "Patterns of `like` and of regular expressions, and formats, are compiled once. A setting "
            "counts as a constant."
        ),
    ),
    "bad-constant": (
        _ERROR,
        "A constant is out of range, or not what the function takes.",
        "Integers have 64 bits, numbers are finite, times are RFC 3339 with an offset.",
    ),
    "bad-regex": (
        _ERROR,
        "A regular expression is wrong, or uses what the engines do not share.",
        (
            "Look-around, back-references, `\\b` and inline flags are refused: the engines are linear "
            "in the length of the text, so no pattern can hang them, and these would break that."
        ),
    ),
    "division-by-zero": (
        _ERROR,
        "A division by the constant zero.",
        "It is always NULL, so the condition could never be true. Correct the constant.",
    ),
    "always-null": (
        _ERROR,
        "A constant expression is always NULL.",
        "It overflows, or its result is not finite. A condition that is NULL never matches.",
    ),
    "null-comparison": (
        _ERROR,
        "A comparison with the literal NULL.",
        "`x = null` is NULL, never true. Write `x is null` or `x is not null`.",
    ),
    "template-syntax": (
        _ERROR,
        "A template cannot be read.",
        "An expression stands in `{…}`, a brace itself is written `{{` or `}}`.",
    ),
    "template-type": (
        _ERROR,
        "A value has no one spelling inside text.",
        (
            "Inside longer text only text, integers and booleans may stand; a number has several "
            "spellings, and a list or object none. Convert it first, or let it stand alone in a body."
        ),
    ),
    "body-template": (
        _ERROR,
        "A body template is not JSON, or too large.",
        (
            "A body is a JSON value whose texts are templates, at most 32 levels deep and of at most "
            "1000 values."
        ),
    ),
    "channel-start": (
        _ERROR,
        "A channel does not begin with fixed text.",
        (
            "Values of messages are written by strangers. If one could choose the channel from its "
            "first character on, it could reach any channel of the broker. Put a fixed name in front, "
            "such as `orders.{tenant_id}`; a setting counts as fixed."
        ),
    ),
}
