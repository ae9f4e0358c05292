"""A server that mail goes to and the terms on which we talk with it.

Values only; equal peers can share connections.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Tls(StrEnum):
    """How the connection is made private."""

    NONE = "none"  # never
    OPPORTUNISTIC = "opportunistic"  # when it can be, with any certificate (RFC 7435)
    STARTTLS = "starttls"  # always, by STARTTLS
    IMPLICIT = "implicit"  # always, from the first byte (RFC 8314 3.3)

    @property
    def is_required(self) -> bool:
        """Whether mail waits when there is none."""
        return self in (Tls.STARTTLS, Tls.IMPLICIT)


@dataclass(frozen=True, slots=True)
class Peer:
    """Where and how.

    Attributes:
        host: its name, which its certificate must have, or its address.
        is_verified: required TLS takes no certificate that cannot be verified.
        ca_file: what certificates are verified against; None: the system's authorities.
        username: to log in with; None: no login.
        is_exchange: found by DNS, so it may turn out to be ourselves.
    """

    host: str
    port: int
    tls: Tls = Tls.OPPORTUNISTIC
    is_verified: bool = True
    ca_file: Path | None = None
    username: str | None = None
    password: str = field(default="", repr=False)
    is_exchange: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
