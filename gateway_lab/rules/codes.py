"""The codes that a `RuleError`, of a rule or a template, may carry, and what each says."""

from __future__ import annotations

RULE_CODES = {
    "rule-syntax": "The rule cannot be read.",
    "rule-too-long": "The rule is longer than a rule may be.",
    "rule-too-deep": "The rule nests deeper than a rule may.",
    "unsupported-syntax": "SQL that is not in the rule language.",
    "unsupported-function": "A function that is not in the rule language.",
    "unknown-name": "No event type of the source declares this field, or there is no such setting.",
    "ambiguous-name": "The field has different types in the event types of the source.",
    "opaque-object": "The event type does not say what is inside this object.",
    "type-mismatch": "An operator or function got values of a type that it does not take.",
    "not-constant": "This argument must be written out as a constant.",
    "bad-constant": "A constant is out of range, or not what the function takes.",
    "bad-regex": "The regular expression is wrong, or uses what the engines do not share.",
    "division-by-zero": "A division by the constant zero is always NULL.",
    "always-null": "A constant expression overflows, or is NULL for another reason.",
    "null-comparison": "A comparison with the literal NULL is never true.",
    "template-syntax": "The braces of the template cannot be read.",
    "template-type": "Only text, integer and boolean have one spelling inside text.",
    "channel-start": "A channel starts with fixed text, so that no message chooses it freely.",
    "body-template": "The body is not JSON, or nests too deep, or holds too many values.",
}
"""Code to one sentence; `config/codes.py` has the paragraphs."""
