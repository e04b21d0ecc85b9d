"""`gateway-lab export`: the file that production runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.console import Console
from typer import Option

import gateway_lab as gl
from gateway_lab.cli.options import ConfigFile
from gateway_lab.cli.unread import unread

EXAMPLES = """
`gateway-lab export draft.yaml -o routes.yaml`  refused while a finding is an error

`gateway-lab export draft.yaml -o routes.yaml --capture monday.parquet`
  with the counts per target, which `gateway-lab test routes.yaml` runs again

`gateway-lab export draft.yaml -o routes.prod.yaml --with prod.yaml`  for one stage
"""


def export(
    config: ConfigFile,
    *,
    output: Annotated[
        Path, Option("--output", "-o", help="The file to write; an old one is replaced at once.")
    ],
    overlay: Annotated[
        Path | None, Option("--with", help="Settings, options and bounds of one stage.")
    ] = None,
    capture: Annotated[
        Path | None, Option(help="Traffic to replay; its counts become promises.")
    ] = None,
) -> None:
    """Write the validated file that production runs, with what it promises."""
    traffic = None if capture is None else gl.scan_capture(capture)
    written = gl.export(gl.read_config(config), output, capture=traffic, overlay=overlay)
    promised = written.expectations
    counts = f", promises over {promised.messages:,} messages" if promised else ""
    err = Console(stderr=True, highlight=False, soft_wrap=True)
    err.print(f"{output}: {written.name} {written.digest[:12]}{counts}")
    if traffic is not None and promised and promised.no_source == promised.messages:
        err.print("\n".join(unread(traffic, binds=False)), markup=False)
