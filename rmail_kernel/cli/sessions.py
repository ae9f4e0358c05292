"""`rmail sessions`: the client sessions of a running server, over all its processes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from rmail_kernel.cli.options import DEFAULT_CONFIG, AsJson, Config
from rmail_kernel.cli.output import show_json, show_table
from rmail_kernel.cli.session import load_settings
from rmail_kernel.cli.status import server_pid
from rmail_kernel.errors import NotFound
from rmail_kernel.process.control import ask

app = typer.Typer()
_TITLES = ("id", "protocol", "account", "peer", "tls", "client", "mailbox", "age_s", "in", "out")
Who = Annotated[str, typer.Argument(metavar="WHO", help="The id of a session, or an account.")]


@app.callback(invoke_without_command=True)
def sessions(
    context: typer.Context, config: Config = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """List the sessions."""
    if context.invoked_subcommand is not None:
        return
    found = asyncio.run(_collect(running_root(config), {"do": "sessions"}))
    found.sort(key=lambda one: (one["account"], one["age_s"]))
    if as_json:
        show_json(found)
        return
    columns = [*_TITLES[:-2], "received_bytes", "sent_bytes"]
    show_table(_TITLES, [[one[column] for column in columns] for one in found])


@app.command()
def kick(who: Who, config: Config = DEFAULT_CONFIG) -> None:
    """End a session, or all of an account; exit code 1 when there is none."""
    found = asyncio.run(_collect(running_root(config), {"do": "kick", "who": who}))
    if not found:
        raise NotFound(f"no session or account {who!r} is connected; `rmail sessions` shows all")
    for one in found:
        typer.echo(
            f"ended {one['protocol']} session {one['id']} of {one['account'] or one['peer']}"
        )


def running_root(config: Config) -> Path:
    """Where the store of a running server is.

    Raises:
        NotFound: no server runs. ConfigError, PluginError: as `load_settings`.
    """
    root = load_settings(config).mail_root
    if server_pid(root) is None:
        raise NotFound(f"no server runs on {root}; `rmail run` starts it")
    return root


async def _collect(root: Path, question: dict[str, Any]) -> list[dict[str, Any]]:
    return [record async for record in ask(root, question)]
