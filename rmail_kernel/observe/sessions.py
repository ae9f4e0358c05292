"""The client sessions of one process: who they are, how to end one, how to listen to one, who wants
to know of them.

Holds no protocol; each plugin tells of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

Tracer = Callable[[Literal["client", "server"], bytes], None]
"""Hears what passes: who sent it, and the bytes with secrets masked."""


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """One session as an administrator sees it; `received_bytes` came from the client."""

    id: str
    protocol: str
    peer: str
    account: str = ""
    client: str = ""
    mailbox: str = ""
    tls: str = ""
    received_bytes: int = 0
    sent_bytes: int = 0


@dataclass(eq=False, slots=True)
class OpenSession:
    """A session that can be looked at.

    Args:
        facts: what it is now.
        end: ends it as soon as that does no harm.
        trace: lets a tracer hear it, None: nobody any more. None where there is nothing to hear.
    """

    facts: Callable[[], SessionFacts]
    end: Callable[[], None]
    trace: Callable[[Tracer | None], None] | None = None
    opened_at: float = field(default_factory=time.monotonic)

    @property
    def age_s(self) -> float:
        """How long it is open."""
        return time.monotonic() - self.opened_at


class OpenSessions:
    """Those that are open now."""

    def __init__(self) -> None:
        self._open: dict[str, OpenSession] = {}
        self._watchers: list[Callable[[OpenSession], None]] = []

    def __iter__(self) -> Iterator[OpenSession]:
        return iter(list(self._open.values()))

    def __contains__(self, session: OpenSession) -> bool:
        return session in self._open.values()

    def add(self, session: OpenSession) -> None:
        """A session has begun."""
        self._open[session.facts().id] = session

    def discard(self, session: OpenSession) -> None:
        """It has ended."""
        self._open.pop(session.facts().id, None)
        self._tell(session)

    def changed(self, id_: str) -> None:
        """The session of that id is another account's from now on, or nobody's."""
        if (session := self._open.get(id_)) is not None:
            self._tell(session)

    @contextmanager
    def watched(self, watcher: Callable[[OpenSession], None]) -> Iterator[None]:
        """Within it `watcher` is told at once of each session that has changed or ended."""
        self._watchers.append(watcher)
        try:
            yield
        finally:
            self._watchers.remove(watcher)

    def _tell(self, session: OpenSession) -> None:
        for watcher in self._watchers:
            watcher(session)
