"""`rmail fsck`: compares what the store says with what is in its files, and repairs it."""

from __future__ import annotations

from typing import Annotated

import typer

from rmail_kernel.cli.options import DEFAULT_CONFIG, AsJson, Config


def fsck(
    account: Annotated[str | None, typer.Argument(help="Default: all accounts.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be.")] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> int:
    """Check the store; exit code 1 when something is wrong and not repaired."""
    raise NotImplementedError
