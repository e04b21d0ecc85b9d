"""`gateway-lab generate`: invented traffic, the same for the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.console import Console
from typer import Argument, Option

import gateway_lab as gl
from gateway_lab.errors import CaptureError

EXAMPLES = """
`gateway-lab generate business -o business.parquet`

`gateway-lab generate payments -n 1000000 --seed 7 -o payments.parquet`
"""


def generate(
    profile: Annotated[str, Argument(help="business, users, payments, metrics, commands, …")],
    *,
    output: Annotated[
        Path, Option("--output", "-o", help="A new .parquet, .ndjson or .ndjson.gz file.")
    ],
    n: Annotated[int, Option("-n", min=0, help="How many messages.")] = 10_000,
    seed: Annotated[int, Option(help="Another seed, other messages.")] = 0,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Write a capture of invented traffic, with all the oddities that real traffic has."""
    if output.exists() and not overwrite:
        hint = "choose another name, or say --overwrite"
        raise CaptureError("this file exists already", where=str(output), hint=hint)
    err = Console(stderr=True, highlight=False)
    with err.status(f"Inventing {n:,} messages …"):
        gl.write_traffic(profile, output, n=n, seed=seed)
    err.print(f"{output}: {n:,} messages, {output.stat().st_size:,} bytes")
