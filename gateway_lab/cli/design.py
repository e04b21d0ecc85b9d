"""`gateway-lab design`: the route designer in a browser, without a notebook."""

from __future__ import annotations

import asyncio
import secrets
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from rich.console import Console
from typer import Option

import gateway_lab as gl
from gateway_lab.cli.lab import has_display
from gateway_lab.cli.options import App, CaptureFile, ConfigFile, handlers_of
from gateway_lab.cli.unread import is_unread, unread

EXAMPLES = """
`gateway-lab design routes.yaml monday.parquet`

`gateway-lab design draft.yaml monday.parquet --base routes.yaml`  counts beside what runs today

`ssh -L 8765:127.0.0.1:8765 HOST`  on your own machine, when it runs on HOST with `--port 8765`
"""


def design(
    config: ConfigFile,
    capture: CaptureFile,
    *,
    app: App = "",
    base: Annotated[
        Path | None, Option(help="What counts are compared with; left out: CONFIG as it is now.")
    ] = None,
    port: Annotated[int, Option(min=0, max=65535, help="0: any that is free.")] = 0,
    browser: Annotated[
        bool | None, Option(help="Left out: where there is a display.", show_default=False)
    ] = None,
) -> None:
    """Design routes by hand and eye in a browser; Ctrl+C stops it.

    Nothing is sent anywhere; CONFIG changes when you press Write, after its difference was shown.
    """
    with suppress(KeyboardInterrupt):
        asyncio.run(_design(config, capture, base, app, port=port, opens=browser))


async def _design(
    config: Path, capture: Path, base: Path | None, app: str, *, port: int, opens: bool | None
) -> None:
    from gateway_lab.lab.page import serve  # noqa: PLC0415 - no other verb needs a server

    handlers, before = handlers_of(app), gl.read_config(base) if base else None
    routes, traffic = gl.read_config(config), gl.scan_capture(capture)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if is_unread(routes, traffic):
        console.print("\n".join(unread(traffic, binds=False)), markup=False)
    # It is made where there is an event loop, for what takes longer goes on behind the panel.
    designer = gl.design(routes, traffic, before, handlers=handlers)

    def ready(address: str) -> None:
        console.print(f"The designer: [bold]{address}[/bold]\nCtrl+C stops it.")
        if has_display() if opens is None else opens:
            webbrowser.open(address)

    try:
        await serve(designer, port, secrets.token_urlsafe(24), ready)
    finally:
        if not designer.draft.is_written:
            console.print(f"The draft was not written to {config}. This makes it again:\n")
            console.print(designer.to_code(), markup=False)
