"""The AsyncAPI document of an app: what the gateway does, and users' own brokers beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import StringIO
from typing import Any, Final

from faststream.specification import AsyncAPI, Specification
from ruamel.yaml import YAML

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.gateway.asyncapi.document import asyncapi

_REFERENCE: Final = re.compile(r"#/(channels|components/\w+)/(.*)")
_BESIDE: Final = "faststream."
"""Begins the names of what is not the gateway's: a model may be called as an event type is."""


class GatewaySchema(AsyncAPI):
    """Makes the document that `faststream docs`, the page and `gateway-lab schema` show."""

    def __init__(self, config: Callable[[], GatewayConfig]) -> None:
        """Prepare it.

        Args:
            config: The one that decides at this moment.
        """
        super().__init__()
        self._config = config

    def to_specification(self) -> Specification:
        """Write the document."""
        document = asyncapi(self._config())
        if self.brokers:
            beside = super().to_specification().to_jsonable()
            servers = {name: each["host"] for name, each in beside["servers"].items()}
            _add(document, _renamed(beside, servers))
        return Document(document)


class Document:
    """A document in the form in which FastStream asks for it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    @property
    def title(self) -> str:
        """Return what it is a document of."""
        return str(self._document["info"]["title"])

    def to_json(self) -> str:
        """Write it so that it may stand inside a page, too."""
        return json.dumps(self._document).replace("<", "\\u003c")

    def to_jsonable(self) -> Any:
        """Return it."""
        return self._document

    def to_yaml(self) -> str:
        """Write it for people."""
        written = StringIO()
        YAML().dump(self._document, written)  # in this order
        return written.getvalue()


def _renamed(part: Any, servers: dict[str, str]) -> Any:
    """Lead references to what is named anew, and to our own servers."""
    if isinstance(part, list):
        return [_renamed(each, servers) for each in part]
    if not isinstance(part, dict):
        return part
    if isinstance(to := part.get("$ref"), str):
        if to.startswith("#/servers/"):
            return {"$ref": f"#/servers/{servers[to.removeprefix('#/servers/')]}"}
        return {"$ref": _REFERENCE.sub(rf"#/\1/{_BESIDE}\2", to)}
    return {name: _renamed(each, servers) for name, each in part.items()}


def _add(document: dict[str, Any], beside: dict[str, Any]) -> None:
    """Add what users' brokers do."""
    tables = [(document[part], beside[part]) for part in ("channels", "operations")]
    for part in ("messages", "schemas"):
        ours, theirs = document["components"], beside["components"]
        tables.append((ours[part], theirs.get(part, {})))
    for ours, theirs in tables:
        ours |= {f"{_BESIDE}{name}": each for name, each in theirs.items()}
