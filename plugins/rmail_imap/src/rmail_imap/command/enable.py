"""ENABLE (RFC 5161) of what changes how the server answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rmail_imap.commands import command, feature
from rmail_imap.parse.cursor import Cursor
from rmail_imap.session import Session
from rmail_imap.state import State

feature("IMAP4rev2", "9051")
feature("QRESYNC", "7162 3.2")
feature("UTF8=ACCEPT", "9755 3")


def enable_args(cursor: Cursor) -> tuple[str, ...]:
    """Capability names."""
    cursor.space()
    names = [cursor.atom().decode("ascii").upper()]
    while cursor.skip(b" ") and not cursor.is_at_end:  # a space at the end, which clients send
        names.append(cursor.atom().decode("ascii").upper())
    cursor.end()
    return tuple(names)


def _qresync(session: Session) -> None:
    """VANISHED instead of EXPUNGE, and all of CONDSTORE (RFC 7162 3.2.3)."""
    session.is_qresync = True
    session.use_condstore()


def _utf8(session: Session) -> None:
    session.is_utf8 = session.has_utf8_accept = True


def _rev2(session: Session) -> None:
    """IMAP4rev2, which has UTF-8 in it and no \\Recent (RFC 9051 E)."""
    session.is_rev2 = session.is_utf8 = True
    if session.selected is not None:
        session.selected.recent = frozenset()


@dataclass(frozen=True, slots=True)
class _Switch:
    """What can be enabled: its name in the answer, whether it is on, how it is turned on."""

    name: bytes
    is_on: Callable[[Session], bool]
    turn_on: Callable[[Session], None]


_SWITCHES: Final = {
    switch.name.decode().upper(): switch
    for switch in (
        _Switch(b"CONDSTORE", lambda session: session.is_condstore, Session.use_condstore),
        _Switch(b"QRESYNC", lambda session: session.is_qresync, _qresync),
        _Switch(b"UTF8=ACCEPT", lambda session: session.has_utf8_accept, _utf8),
        _Switch(
            b"METADATA",
            lambda session: session.annotations is not None,
            Session.watch_annotations,
        ),
        _Switch(b"IMAP4rev2", lambda session: session.is_rev2, _rev2),
    )
}


@command("ENABLE", enable_args, state=State.AUTHENTICATED, capability="ENABLE", rfc="5161 3.1")
async def enable(session: Session, names: tuple[str, ...]) -> None:
    """Unknown names, and what is on already, are passed over (RFC 5161 3.1)."""
    known = _SWITCHES.keys() - session.off
    switches = [_SWITCHES[name] for name in dict.fromkeys(names) if name in known]
    fresh = [switch for switch in switches if not switch.is_on(session)]
    session.write(b" ".join([b"* ENABLED", *(switch.name for switch in fresh)]) + b"\r\n")
    for switch in fresh:
        switch.turn_on(session)
