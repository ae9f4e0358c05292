"""LOGIN (RFC 3501 6.2.3), and what it has in common with AUTHENTICATE."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

from rmail_imap import capabilities
from rmail_imap.commands import Reply, command
from rmail_imap.errors import BadSyntax, Refused
from rmail_imap.parse.cursor import Cursor
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.errors import AuthFailed
from rmail_kernel.model import Principal


@dataclass(frozen=True, slots=True)
class LoginArgs:
    """LOGIN login secret."""

    login: str
    secret: str


def login_args(cursor: Cursor) -> LoginArgs:
    """The arguments of LOGIN."""
    cursor.space()
    login = cursor.astring()
    cursor.space()
    secret = cursor.astring()
    cursor.end()
    try:
        return LoginArgs(login.decode(), secret.decode())
    except UnicodeDecodeError as error:
        raise BadSyntax("A login is not UTF-8") from error


@command("LOGIN", login_args, state=State.NOT_AUTHENTICATED, rfc="3501 6.2.3")
async def login(session: Session, args: LoginArgs) -> Reply:
    """Logs in with a password."""
    check_privacy(session)
    auth = session.kernel.auth
    return await log_in(session, auth.authenticate(args.login, args.secret, session.info))


def check_privacy(session: Session) -> None:
    """Whether a password may be sent (RFC 3501 6.2.3, LOGINDISABLED). Refused: others could read
    it.
    """
    if not session.may_log_in:
        raise Refused("Start TLS first", b"PRIVACYREQUIRED")


async def log_in(session: Session, proof: Awaitable[Principal]) -> Reply:
    """Waits for who it is, and notes it.

    Raises:
        AuthFailed, Temporary: as the auth service says.
    """
    try:
        principal = await proof
    except AuthFailed:
        session.failed_logins += 1
        if session.failed_logins >= session.settings.max_failed_logins:
            session.write(b"* BYE Too many failed logins\r\n")
            session.is_over = True
        raise
    session.logged_in(principal)
    return Reply("Logged in", capabilities.code(session))
