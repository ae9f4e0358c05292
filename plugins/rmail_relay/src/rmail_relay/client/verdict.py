"""What a peer's answer, or its silence, means for recipients.

Values only. RFC 5321 4.2 (replies), RFC 3463 (status).
"""

from __future__ import annotations

from dataclasses import dataclass

from rmail_kernel.errors import Temporary
from rmail_relay.client.reply import Reply
from rmail_relay.outcome import Kind

UNREACHED = "4.4.1"
"""The status of a host that takes no connection (RFC 3463 3.5)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The fate of recipients, with the words for it (see `RecipientOutcome`).

    Attributes:
        is_heard: somebody said so; not: that nobody answered.
    """

    kind: Kind
    code: int
    status: str
    text: str
    is_heard: bool = True

    @classmethod
    def of(cls, reply: Reply) -> Verdict:
        """What the peer's last word about a recipient means: 2yz, 4yz or 5yz."""
        kinds = {2: Kind.DELIVERED, 5: Kind.FAILED}
        kind = kinds.get(reply.code // 100, Kind.DEFERRED)
        return cls(kind, reply.code, reply.status, reply.text)


class PeerFailure(Temporary):
    """The connection or its peer is of no use now: lost, silent, garbled, 421, no TLS.

    Attributes:
        code, status: 4yz, as if the peer had said it.
        is_stale: nothing was heard on a connection that had been idle: another may work.
    """

    def __init__(
        self, text: str, *, code: int = 451, status: str = "4.4.2", is_stale: bool = False
    ) -> None:
        super().__init__(text)
        self.code = code
        self.status = status
        self.is_stale = is_stale

    @classmethod
    def of(cls, reply: Reply) -> PeerFailure:
        """The peer refuses to go on, whatever class its code has."""
        if reply.code // 100 == 4:
            return cls(reply.text, code=reply.code, status=reply.status)
        return cls(f"{reply.code} {reply.text}", code=450, status="4.3.0")

    @property
    def verdict(self) -> Verdict:
        """What it means for recipients whose fate was open."""
        return Verdict(Kind.DEFERRED, self.code, self.status, self.safe, is_heard=False)


class Lost(PeerFailure):
    """The peer closed the connection."""


class Silent(PeerFailure):
    """The peer said nothing, or took nothing, in time."""


class Garbled(PeerFailure):
    """The peer does not speak SMTP, or too much of it."""

    def __init__(self, text: str) -> None:
        super().__init__(text, status="4.5.0")


class TlsFailed(PeerFailure):
    """No TLS, or none that is as good as it must be."""

    def __init__(self, text: str, *, status: str = "4.7.5") -> None:
        super().__init__(text, code=454, status=status)


class TakesNoMail(PeerFailure):
    """The peer is no mail server at all: 521 as its greeting (RFC 7504 3)."""

    @property
    def verdict(self) -> Verdict:
        """Final, when every host says so."""
        return Verdict(Kind.FAILED, 521, "5.3.2", self.safe)


class LoopsBack(PeerFailure):
    """The peer is this server itself."""

    def __init__(self, text: str) -> None:
        super().__init__(text, status="4.4.6")
