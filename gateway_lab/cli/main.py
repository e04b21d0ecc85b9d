"""The command `gateway-lab`: its verbs, and what every one of them does about errors.

Exit codes: 0 good; 1 findings, or a failed test or expectation; 2 cannot be read or done.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

from rich.console import Console
from rich.text import Text
from typer import Exit, Option, Typer
from typer.core import TyperGroup

import gateway_lab as gl
from gateway_lab.cli import (
    brokers,
    check,
    design,
    diff,
    example,
    explain,
    export,
    format,
    generate,
    lab,
    record,
    redrive,
    replay,
    run,
    schema,
    test,
)
from gateway_lab.errors import ExpectationError, GatewayLabError

FAILED, UNREADABLE = 1, 2


class Verbs(TyperGroup):
    """Runs a verb; an error that we raise on purpose is shown without a traceback."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """Return the verbs in the order in which one uses them, not that of the alphabet."""
        return list(self.commands)

    def invoke(self, ctx: Any) -> Any:
        """Run the verb that was chosen."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `gateway-lab … | head` is no error
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Exit(0) from None
        except ExpectationError as error:
            tell(str(error))
            raise Exit(FAILED) from None
        except (GatewayLabError, OSError) as error:
            tell(str(error))
            raise Exit(UNREADABLE) from None


def tell(problem: str) -> None:
    """Write what went wrong to standard error."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text("error: ", style="bold red") + Text(problem))


app = Typer(
    name="gateway-lab",
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Start with: `gateway-lab lab`, or `gateway-lab replay data/business.yaml "
    "data/business.parquet`",
)


def print_version(*, asked: bool) -> None:
    """Print the version, when asked, instead of running a verb."""
    if asked:
        print(gl.__version__)
        raise Exit


@app.callback()
def options(
    *,
    _version: Annotated[
        bool,
        Option(
            "--version",
            help="Print the version and exit.",
            is_eager=True,
            callback=lambda asked: print_version(asked=asked),
        ),
    ] = False,
) -> None:
    """Design message routes on captured traffic, and see what each of them does."""


for verb, module, does in (
    ("lab", lab, lab.lab),
    ("design", design, design.design),
    ("generate", generate, generate.generate),
    ("replay", replay, replay.replay),
    ("diff", diff, diff.diff),
    ("explain", explain, explain.explain),
    ("check", check, check.check),
    ("test", test, test.test),
    ("format", format, format.format_),
    ("export", export, export.export),
    ("schema", schema, schema.schema),
    ("run", run, run.run),
    ("record", record, record.record),
    ("redrive", redrive, redrive.redrive),
    ("brokers", brokers, brokers.brokers),
    ("example", example, example.example),
):
    app.command(verb, epilog=module.EXAMPLES)(does)
