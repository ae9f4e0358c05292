"""CAPABILITY, computed from the commands and features that are loaded (RFC 3501 6.1.1, 7.2.1)."""

from __future__ import annotations

from rmail_imap.session import Session
from rmail_imap.state import State


def capabilities(session: Session) -> list[str]:
    """What this session may use now."""
    # RFC 7888 5: never both of them.
    elsewhere = {"STARTTLS", "LITERAL+" if "LITERAL+" in session.off else "LITERAL-"}
    names = ["IMAP4rev1", *sorted(session.offer.capabilities - elsewhere)]
    if session.may_start_tls:
        names.append("STARTTLS")
    if session.state is State.NOT_AUTHENTICATED:
        if session.may_log_in:
            names += [f"AUTH={name}" for name in session.kernel.auth.mechanisms(session.bindings)]
        else:
            names.append("LOGINDISABLED")
    return [name for name in names if name.upper() not in session.off]


def code(session: Session) -> bytes:
    """The CAPABILITY response code (RFC 3501 7.1)."""
    return "CAPABILITY {}".format(" ".join(capabilities(session))).encode()
