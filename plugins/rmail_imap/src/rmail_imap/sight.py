"""What administrators see and hear of a session: `rmail sessions` and `rmail trace`.

Passwords never pass: nothing is heard before login, and what logs in is masked all the same.
"""

from __future__ import annotations

from typing import Literal

from rmail_imap.errors import Goodbye
from rmail_imap.masking import Mask
from rmail_imap.session import Session
from rmail_kernel.observe.sessions import OpenSession, SessionFacts, Tracer


def seen(session: Session) -> OpenSession:
    """The session as the kernel shows it."""
    sight = _Sight(session)
    return OpenSession(sight.facts, sight.end, sight.trace)


class _Sight:
    """One session, in less room than functions of its own take: there are very many."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def facts(self) -> SessionFacts:
        return _facts(self._session)

    def end(self) -> None:
        self._session.wire.end(Goodbye("An administrator ended the session"))

    def trace(self, tracer: Tracer | None) -> None:
        session = self._session
        session.wire.intake.tracer = None if tracer is None else _masked(session, tracer)


def _facts(session: Session) -> SessionFacts:
    info, wire = session.info, session.wire
    return SessionFacts(
        id=info.id,
        protocol=info.protocol,
        peer=f"{info.peer_host}:{info.peer_port}",
        account=str(info.principal.account) if info.principal else "",
        client=session.client_name,
        mailbox=session.selected.name if session.selected else "",
        tls=info.tls,
        received_bytes=wire.intake.received_bytes,
        sent_bytes=wire.sent_bytes,
    )


def _masked(session: Session, tracer: Tracer) -> Tracer:
    mask = Mask()

    def hear(source: Literal["client", "server"], raw: bytes) -> None:
        shown = mask(raw) if source == "client" else raw
        if shown and session.info.principal is not None:  # an account, not who comes after it
            tracer(source, shown)

    return hear
