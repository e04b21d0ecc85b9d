"""`gateway-lab schema`: the JSON Schema of a config, for editors."""

from __future__ import annotations

import json

import gateway_lab as gl

EXAMPLES = """
`gateway-lab schema > gateway-lab.schema.json`  then begin a config with

`# yaml-language-server: $schema=gateway-lab.schema.json`
"""


def schema() -> None:
    """Print the JSON Schema of a config; editors complete and check with it."""
    print(json.dumps(gl.json_schema(), indent=2))
