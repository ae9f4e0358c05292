"""STARTTLS (RFC 3501 6.2.1)."""

from __future__ import annotations

from dataclasses import replace

from rmail_imap.commands import Reply, command, no_arguments
from rmail_imap.errors import BadSyntax
from rmail_imap.session import Session
from rmail_imap.state import State


@command(
    "STARTTLS",
    no_arguments,
    state=State.NOT_AUTHENTICATED,
    capability="STARTTLS",
    rfc="3501 6.2.1",
)
async def starttls(session: Session, _: None) -> Reply:
    """Switches to TLS after the tagged OK."""
    tls = session.kernel.tls
    if not session.may_start_tls or tls is None:
        raise BadSyntax("TLS is not to be had here")

    async def switch() -> None:
        session.wire.begin_tls(tls.server)
        await session.wire.secured(session.settings.login_timeout_s)
        session.info = replace(session.info, tls=session.wire.tls_name())
        session.bind()

    return Reply("Begin TLS", after=switch)
