"""`rmail run`: serves until it is told to stop."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from rmail_kernel.cli.options import DEFAULT_CONFIG, Config
from rmail_kernel.cli.serving import check_plugins, require_domains, warn
from rmail_kernel.cli.session import load_settings

Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Worker processes; 0: everything in one process; default: per core."),
]


def run(
    config: Config = DEFAULT_CONFIG,
    plugins: Annotated[
        str | None, typer.Option(help="Load these plugins only, like smtp,imap.")
    ] = None,
    workers: Workers = None,
) -> int:
    """Serve until SIGTERM or Ctrl-C; SIGHUP reloads settings and certificates."""
    if plugins is not None:
        names = [name.strip() for name in plugins.split(",") if name.strip()]
        os.environ["RMAIL_PLUGINS"] = json.dumps(names)  # workers and a reload see it, too
    settings = load_settings(config)
    check_plugins(settings)
    require_domains(settings)
    warn(settings)
    from rmail_kernel.process.main import run as serve

    return serve(settings, config, settings.workers if workers is None else workers)
