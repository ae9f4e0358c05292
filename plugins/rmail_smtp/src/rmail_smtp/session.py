"""The state of one SMTP session, and what commands may do to it.

It knows no command and no socket; the connection reads and dispatches. RFC 5321 3.3, 4.1.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Address, Annotate, Principal, RecipientOptions, SessionInfo
from rmail_kernel.net.networks import is_within
from rmail_smtp.budget import Budget
from rmail_smtp.config import SmtpSettings
from rmail_smtp.intake import Intake
from rmail_smtp.replies import Reply
from rmail_smtp.roles import Role
from rmail_smtp.wire import Wire


@dataclass(slots=True)
class Transaction:
    """What MAIL and RCPT have said so far.

    Attributes:
        ret, envid, require_tls: see `rmail_kernel.model.Envelope`.
        recipients: those that were accepted, with what was asked for them.
        size_bytes: that the client declared (RFC 1870); 0: it did not.
        refused: recipients that were refused, for the answer to DATA.
        intake: the message, once BDAT has begun it.
        notes: header fields that plugins want in the message.
    """

    sender: Address | None
    smtputf8: bool = False
    is_8bit: bool = False
    is_binary: bool = False
    ret: str = ""
    envid: str = ""
    require_tls: bool = False
    size_bytes: int = 0
    recipients: dict[Address, RecipientOptions] = field(default_factory=dict)
    refused: int = 0
    intake: Intake | None = None
    notes: list[Annotate] = field(default_factory=list)


@dataclass(slots=True)
class Session:
    """One client, from its connection on.

    Attributes:
        wire: the bytes of the connection.
        info: who is at the other end, as hooks and logs see it.
        bindings: what the TLS channel is known by (RFC 5929), if it can be bound.
        budget: how much of our patience is used up.
        transaction: what MAIL began, or None.
        has_said_hello: since the connection or its TLS began.
        is_receiving: between DATA and its answer.
        notes, hello_notes: header fields that plugins want in every message of the connection, and
            of the client under the name that it goes by.
        guesses: unknown recipients that the client has named lately; None: not asked yet.
    """

    kernel: Kernel
    role: Role
    options: SmtpSettings
    wire: Wire
    info: SessionInfo
    bindings: Mapping[str, bytes] | None = None
    budget: Budget = field(default_factory=Budget)
    transaction: Transaction | None = None
    has_said_hello: bool = False
    is_receiving: bool = False
    notes: list[Annotate] = field(default_factory=list)
    hello_notes: list[Annotate] = field(default_factory=list)
    guesses: int | None = None

    @property
    def hostname(self) -> str:
        """What the server calls itself."""
        return self.kernel.settings.hostname

    @property
    def is_limited(self) -> bool:
        """Whether the limits of one client hold for this one."""
        limits = self.kernel.settings.rate_limit
        peer = self.info.peer_host
        return limits.enabled and bool(peer) and not is_within(peer, tuple(limits.whitelist))

    @property
    def can_start_tls(self) -> bool:
        """Whether STARTTLS would be taken (RFC 3207 4.2: once)."""
        return self.kernel.tls is not None and not self.info.tls

    @property
    def can_log_in(self) -> bool:
        """Whether AUTH would be taken: for users only, and in clear text only where there is no
        TLS at all.
        """
        return self.role.is_submission and not self.can_start_tls

    def send(self, reply: Reply) -> None:
        """Says something before the command's final answer."""
        self.wire.reply(reply.encode())

    async def is_authenticated(self) -> bool:
        """Whether there was a login and its account still stands."""
        principal = self.info.principal
        if principal is None:
            return False
        if not await self.kernel.auth.is_current(principal):
            self.info = replace(self.info, principal=None)
            return False
        return True

    def said_hello(self, info: SessionInfo, notes: list[Annotate]) -> None:
        """HELO or EHLO was accepted: a transaction ends (RFC 5321 4.1.4)."""
        self.has_said_hello = True
        self.transaction = None
        self.info = info
        self.hello_notes = notes

    def logged_in(self, principal: Principal) -> None:
        """AUTH succeeded."""
        self.info = replace(self.info, principal=principal)

    def begin_anew(self, info: SessionInfo, bindings: Mapping[str, bytes] | None) -> None:
        """TLS has begun: what the client said before counts no more (RFC 3207 4.2)."""
        self.info = info
        self.bindings = bindings
        self.has_said_hello = False
        self.transaction = None
        self.hello_notes = []
