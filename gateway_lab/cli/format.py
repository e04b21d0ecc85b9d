"""`gateway-lab format`: configs in one style."""

from __future__ import annotations

from typing import Annotated

from rich.console import Console
from typer import Exit, Option

import gateway_lab as gl
from gateway_lab.cli.options import ConfigFiles

EXAMPLES = """
`gateway-lab format routes.yaml`

`gateway-lab format --check configs/*.yaml`  changes nothing, exits 1 when it would
"""


def format_(
    configs: ConfigFiles,
    *,
    check: Annotated[bool, Option("--check", help="Only say which files would change.")] = False,
) -> None:
    """Write configs in one style; comments, order and quotes stay, and so does the digest."""
    changed = 0
    err = Console(stderr=True, highlight=False, soft_wrap=True)
    for path in configs:
        config = gl.read_config(path)
        tidy = gl.format_config(config)
        if tidy == path.read_text(encoding="utf-8"):
            continue
        changed += 1
        if not check:
            gl.parse_config(tidy, file=str(path)).write(path)
        err.print(f"{path}: {'would change' if check else 'formatted'}")
    if check and changed:
        raise Exit(1)
