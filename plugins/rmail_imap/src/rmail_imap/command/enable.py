"""ENABLE (RFC 5161) of what changes how the server answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rmail_imap.commands import command, feature
from rmail_imap.parse.cursor import Cursor
from rmail_imap.session import Session
from rmail_imap.state import State

feature("QRESYNC", "7162 3.2")


def enable_args(cursor: Cursor) -> tuple[str, ...]:
    """Capability names."""
    names: list[str] = []
    while not names or not cursor.is_at_end:
        cursor.space()
        names.append(cursor.atom().decode("ascii").upper())
    return tuple(names)


def _qresync(session: Session) -> None:
    """VANISHED instead of EXPUNGE, and all of CONDSTORE (RFC 7162 3.2.3)."""
    session.is_qresync = True
    session.use_condstore()


_SWITCHES: Final[dict[str, tuple[Callable[[Session], bool], Callable[[Session], None]]]] = {
    "CONDSTORE": (lambda session: session.is_condstore, Session.use_condstore),
    "QRESYNC": (lambda session: session.is_qresync, _qresync),
}
"""What can be enabled: whether it is on, and how it is turned on."""


@command("ENABLE", enable_args, state=State.AUTHENTICATED, capability="ENABLE", rfc="5161 3.1")
async def enable(session: Session, names: tuple[str, ...]) -> None:
    """Unknown names, and what is on already, are passed over (RFC 5161 3.1)."""
    known = _SWITCHES.keys() - session.off
    switches = [name for name in dict.fromkeys(names) if name in known]
    fresh = [name for name in switches if not _SWITCHES[name][0](session)]
    session.write(b" ".join([b"* ENABLED", *(name.encode() for name in fresh)]) + b"\r\n")
    for name in fresh:
        _SWITCHES[name][1](session)
