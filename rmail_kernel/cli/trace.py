"""`rmail trace`: what passes between a running server and the clients of one account."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Annotated

import typer

from rmail_kernel.cli.addresses import account_of
from rmail_kernel.cli.options import DEFAULT_CONFIG, Config
from rmail_kernel.cli.session import Session, with_store
from rmail_kernel.cli.sessions import running_root
from rmail_kernel.process.control import MOST_S, ask

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="user@domain.")]
Seconds = Annotated[float, typer.Option(help="It ends after so long.", min=0.1, max=MOST_S)]
Limit = Annotated[int, typer.Option("--bytes", help="It ends after so much text.", min=1)]
Output = Annotated[Path | None, typer.Option(help="A new file; default: the terminal.")]
_MARKS = {"client": "C", "server": "S"}


def trace(
    account: Account,
    seconds: Seconds = 60.0,
    limit: Limit = 10_000_000,
    output: Output = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Write down what the sessions of an account say from now on; passwords are masked."""
    root = running_root(config)
    login = with_store(config, lambda session: _login_of(session, account))
    opened = nullcontext(sys.stdout) if output is None else output.open("x", encoding="utf-8")
    if output is not None:
        output.chmod(0o600)  # it holds mail
    typer.echo(f"what clients of {login} say, for {seconds:g} s; Ctrl-C ends it", err=True)
    with opened as file:
        asyncio.run(_follow(root, login, seconds, limit, file))


async def _login_of(session: Session, text: str) -> str:
    return str((await account_of(session.directory, text)).address)


async def _follow(root: Path, account: str, seconds: float, limit: int, file: IO[str]) -> None:
    written = 0
    try:
        async with asyncio.timeout(seconds):
            async for record in ask(root, {"do": "trace", "account": account}):
                mark = f"{record['session'][:8]} {_MARKS[record['from']]}: "
                lines = record["text"].splitlines()
                text = "".join(f"{mark}{line}\n" for line in lines)[: limit - written]
                file.write(text)
                file.flush()
                written += len(text)
                if written >= limit:
                    return
    except TimeoutError:
        return
