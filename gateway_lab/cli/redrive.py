"""`gateway-lab redrive`: dead letters, looked at and sent again."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from typer import Option

import gateway_lab as gl
from gateway_lab.cli.options import ConfigFile, Form
from gateway_lab.cli.report import Format

EXAMPLES = """
`gateway-lab redrive routes.yaml --dry-run`  what letters there are, and why; nothing is taken

`gateway-lab redrive routes.yaml`  each to the target that failed

`gateway-lab redrive routes.yaml --where "class = 'unroutable' and target = 'audit'"`

`gateway-lab redrive routes.yaml --replan`  after a rule was mended: its router decides anew
"""

WAIT_S: Final = 10.0


class To(StrEnum):
    """Where letters go that do not go where they failed."""

    SOURCE = "source"


def redrive(
    config: ConfigFile,
    *,
    where: Annotated[
        str | None,
        Option(
            metavar="RULE",
            help="Only these letters: a rule over class, reason, source, router, route, target, "
            "attempts, replays, first, last and `message.*`.",
        ),
    ] = None,
    channel: Annotated[
        str | None,
        Option(
            "--from",
            metavar="ALIAS:CHANNEL",
            help="Where the letters are, if not in the config's dead-letter channels.",
        ),
    ] = None,
    replan: Annotated[
        bool, Option("--replan", help="Let the router that failed to deliver decide anew.")
    ] = False,
    to: Annotated[
        To | None,
        Option(
            help="Write messages back to where they were read: every target gets them again, "
            "under new ids.",
        ),
    ] = None,
    kept: Annotated[
        bool, Option("--kept", help="Move letters that stay to `<channel>.kept`.")
    ] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Show the letters by kind, and take none.")
    ] = False,
    wait: Annotated[
        float, Option(min=0.1, help="Seconds without a further letter until there are no more.")
    ] = WAIT_S,
    form: Form = Format.TABLE,
) -> None:
    """Send dead letters again to where they failed; exit 1 when some failed again or stay."""
    from gateway_lab.cli.redrive_live import redrive_live  # noqa: PLC0415 - not for `--help`

    wish = gl.Wish(
        where=where,
        channel=channel,
        replans=replan,
        to_source=to is To.SOURCE,
        moves_aside=kept,
        is_dry=dry_run,
        wait_s=wait,
    )
    redrive_live(gl.read_config(config), wish, form)
