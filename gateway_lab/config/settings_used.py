"""Which settings a config's rules and templates use."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway_lab.config.language import language_at, texts
from gateway_lab.config.model import Part
from gateway_lab.config.places import DocumentPath

_SETTING = re.compile(
    r"""'(?:[^']|'')*'|\bsettings\s*\.\s*(?:"(?P<quoted>[^"]*)"|(?P<plain>[A-Za-z_]\w*))"""
)
_EXPRESSION = re.compile(r"""\{\{|\}\}|\{(?:[^{}'"]|'[^']*'|"[^"]*")*\}""")


def settings_used(config: Part) -> Iterator[tuple[DocumentPath, str]]:
    """Yield every use of a setting with the place of its rule or template."""
    document = config.model_dump(mode="json", exclude_unset=True)
    for path, text in texts(document):
        for rule in _rules(path, text):
            for found in _SETTING.finditer(rule):
                if name := found["plain"] or found["quoted"]:
                    yield path, name


def _rules(path: DocumentPath, text: str) -> list[str]:
    match language_at(path):
        case "rule":
            return [text]
        case "template":
            return _EXPRESSION.findall(text)
        case None:
            return []


def rename_setting_in(path: DocumentPath, text: str, name: str, new: str) -> str:
    """Return a rule or template that uses a setting by its new name."""

    def renamed(found: re.Match[str]) -> str:
        if name not in (found["plain"], found["quoted"]):
            return found[0]
        group = "plain" if found["plain"] else "quoted"
        start, end = (index - found.start() for index in found.span(group))
        return found[0][:start] + new + found[0][end:]

    match language_at(path):
        case "rule":
            return _SETTING.sub(renamed, text)
        case "template":
            return _EXPRESSION.sub(lambda rule: _SETTING.sub(renamed, rule[0]), text)
        case None:
            return text
