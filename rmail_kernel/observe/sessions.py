"""The client sessions of one process: who they are, how to end one, how to listen to one.

Holds no protocol; each plugin tells of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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
