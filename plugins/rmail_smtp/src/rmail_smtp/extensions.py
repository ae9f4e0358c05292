"""What EHLO offers, as one table: each keyword, when it is offered, and what must then be handled.

RFC 5321 4.1.1.1. Only what works may stand here; a test compares it with the command table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rmail_smtp.session import Session


@dataclass(frozen=True, slots=True)
class Extension:
    """One EHLO keyword.

    Args:
        keyword: upper case. rfc: where it is defined.
        is_offered: whether this session is offered it now.
        value: what follows the keyword.
        verb: the command that it adds, if any.
        parameters: the MAIL and RCPT parameters that it adds.
    """

    keyword: str
    rfc: str
    is_offered: Callable[[Session], bool] = lambda _: True
    value: Callable[[Session], str] = lambda _: ""
    verb: bytes | None = None
    parameters: tuple[str, ...] = ()

    def line(self, session: Session) -> str:
        """The EHLO line."""
        return f"{self.keyword} {self.value(session)}".rstrip()


EXTENSIONS = (
    Extension("PIPELINING", "2920"),
    Extension(
        "SIZE",
        "1870",
        value=lambda session: str(session.options.max_message_bytes),
        parameters=("SIZE",),
    ),
    Extension("8BITMIME", "6152", parameters=("BODY",)),
    Extension("BINARYMIME", "3030"),
    Extension("CHUNKING", "3030", verb=b"BDAT"),
    Extension("SMTPUTF8", "6531", parameters=("SMTPUTF8",)),
    Extension("ENHANCEDSTATUSCODES", "2034"),
    Extension("DSN", "3461", parameters=("RET", "ENVID", "NOTIFY", "ORCPT")),
    # RFC 8689 2: only where TLS is in use.
    Extension(
        "REQUIRETLS", "8689", lambda session: bool(session.info.tls), parameters=("REQUIRETLS",)
    ),
    Extension(
        "LIMITS",
        "9422",
        value=lambda session: (
            f"MAILMAX={session.options.max_messages} RCPTMAX={session.options.max_recipients}"
        ),
    ),
    Extension("STARTTLS", "3207", lambda session: session.can_start_tls, verb=b"STARTTLS"),
    Extension(
        "AUTH",
        "4954",
        lambda session: session.can_log_in,
        lambda session: " ".join(session.kernel.auth.mechanisms(session.bindings)),
        verb=b"AUTH",
        parameters=("AUTH",),
    ),
    Extension("HELP", "5321", verb=b"HELP"),
)
_BY_KEYWORD = {extension.keyword: extension for extension in EXTENSIONS}


def is_offered(session: Session, keyword: str) -> bool:
    """Whether EHLO offers an extension to this session now."""
    return session.info.is_extended and _BY_KEYWORD[keyword].is_offered(session)


def offered(session: Session) -> list[str]:
    """The EHLO lines for a session."""
    return [each.line(session) for each in EXTENSIONS if each.is_offered(session)]
