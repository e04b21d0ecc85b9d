"""`gateway-lab lab`: JupyterLab on the first notebook, ready to run."""

from __future__ import annotations

import importlib.util
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import Annotated

from rich.console import Console
from typer import Argument, BadParameter, Option

from gateway_lab.errors import MissingExtraError

FIRST = Path("notebooks/00_tour.ipynb")
PORTS = range(8888, 8988)
DEFAULTS = Path(__file__).parents[1] / "lab" / "jupyter"

EXAMPLES = """
`gateway-lab lab`  opens the tour

`gateway-lab lab notebooks/03_explain.ipynb`  opens another notebook

`ssh -L 8888:localhost:8888 HOST`  on your own machine, when the lab runs on HOST
"""


def lab(
    notebook: Annotated[
        Path, Argument(help="The notebook to open, below the current folder.")
    ] = FIRST,
    *,
    port: Annotated[int | None, Option(help="Left out: the first free one from 8888.")] = None,
    browser: Annotated[
        bool | None, Option(help="Left out: where there is a display.", show_default=False)
    ] = None,
) -> None:
    """Open JupyterLab on a notebook; without a display, print the address."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise MissingExtraError("jupyterlab", extra="lab")
    check_notebook(notebook)
    token, port = secrets.token_hex(16), port or free_port()
    url = f"http://localhost:{port}/lab/tree/{notebook.as_posix()}?token={token}"
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"JupyterLab: [bold]{url}[/bold]\nCtrl+C twice stops it."
    )
    opens = has_display() if browser is None else browser
    arguments = command(notebook, port=port, browser=opens)
    # The token goes through the environment: other users see command lines.
    changed = {"JUPYTER_TOKEN": token, "JUPYTER_CONFIG_PATH": config_path()}
    os.execve(sys.executable, arguments, os.environ | changed)  # noqa: S606


def check_notebook(notebook: Path) -> None:
    """Refuse what JupyterLab, which shows the current folder, could not open.

    Raises:
        BadParameter: It is not there, or not below the current folder.
    """
    if notebook.is_absolute() or ".." in notebook.parts:
        text = f"{notebook} is not below {Path.cwd()}; start it in the folder of the notebook"
        raise BadParameter(text, param_hint="NOTEBOOK")
    if not notebook.is_file():
        text = f"there is no {notebook} below {Path.cwd()}"
        hint = "start it in the folder of the project, or name a notebook"
        raise BadParameter(f"{text}; {hint}", param_hint="NOTEBOOK")


def config_path() -> str:
    """Return where JupyterLab finds defaults, ours first: it shall not ask whether to read news."""
    given = os.environ.get("JUPYTER_CONFIG_PATH")
    return os.pathsep.join([str(DEFAULTS), *([given] if given else [])])


def command(notebook: Path, *, port: int, browser: bool) -> list[str]:
    """Return the command line of a JupyterLab that asks nobody on the network for anything."""
    arguments = [
        *(sys.executable, "-m", "jupyterlab"),
        "--ServerApp.ip=localhost",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--Application.log_level=WARN",
        f"--LabApp.default_url=/lab/tree/{notebook.as_posix()}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    if not browser:
        arguments.append("--no-browser")
    if os.geteuid() == 0:
        arguments.append("--allow-root")
    return arguments


def has_display() -> bool:
    """Tell whether a browser can be opened on this machine."""
    return sys.platform in {"darwin", "win32"} or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def free_port() -> int:
    """Return the first port of the usual ones that nobody listens on."""
    for port in PORTS:
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise BadParameter(f"none from {PORTS[0]} to {PORTS[-1]} is free", param_hint="--port")
