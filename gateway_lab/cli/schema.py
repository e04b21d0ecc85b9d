"""`gateway-lab schema`: the JSON Schema of a config, for editors, and the AsyncAPI document of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from typer import Option

import gateway_lab as gl

EXAMPLES = """
`gateway-lab schema > gateway-lab.schema.json`  then begin a config with

`# yaml-language-server: $schema=gateway-lab.schema.json`

`gateway-lab schema --asyncapi routes.yaml > asyncapi.json`  what the config receives and sends
"""


def schema(
    *,
    asyncapi: Annotated[
        Path | None,
        Option(metavar="CONFIG", help="Print the AsyncAPI document of a config instead."),
    ] = None,
) -> None:
    """Print the JSON Schema of a config; editors complete and check with it."""
    document = gl.json_schema() if asyncapi is None else gl.asyncapi(gl.read_config(asyncapi))
    print(json.dumps(document, indent=2))
