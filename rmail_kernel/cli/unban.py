"""`rmail unban`: ends a lockout after failed logins."""

from __future__ import annotations

from typing import Annotated

import typer

from rmail_kernel.auth import lockout
from rmail_kernel.cli.options import DEFAULT_CONFIG, Config
from rmail_kernel.cli.session import Session, with_store

_HINT = "; `rmail status` shows who is"


def unban(
    who: Annotated[str, typer.Argument(metavar="WHO", help="An IP address or an account.")],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """End the lockout of an IP address or an account, and forget its failed logins."""

    async def work(session: Session) -> int:
        return await lockout.unban(session.state, who)

    count = with_store(config, work)
    typer.echo(f"{who} may log in again" if count else f"{who} was not locked out{_HINT}")
