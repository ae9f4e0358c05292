"""What a command sees of its connection: who is logged in, what is selected, where to write.

It decides nothing; the connection runs commands, the command modules act.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import monotonic
from typing import Final

from rmail_imap import write
from rmail_imap.annotations import AnnotationWatch
from rmail_imap.config import ImapSettings
from rmail_imap.errors import BadSyntax, Goodbye
from rmail_imap.offer import Offer, disabled
from rmail_imap.parse.cursor import Dialect, Limits
from rmail_imap.selected import Selected
from rmail_imap.state import State
from rmail_imap.value_cache import ValueCache
from rmail_imap.wire import EARLY_INPUT_BYTES, INPUT_BYTES, Wire
from rmail_kernel.kernel import Kernel
from rmail_kernel.lanes import Lanes
from rmail_kernel.model import Principal, SessionInfo
from rmail_kernel.net.networks import is_loopback
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import MailStore
from rmail_kernel.turns import rest

_MAX_UNASKED_BYTES: Final = 4096  # RFC 7888 5
LONGEST_ID_BYTES: Final = 1 << 15
"""30 fields with names of 30 bytes and values of 1024, quoted (RFC 2971 3.3)."""


def highest_modseq(modseq: int) -> bytes:
    """The untagged OK with HIGHESTMODSEQ (RFC 7162 3.1.2.1), which is never 0."""
    return b"* OK [HIGHESTMODSEQ %d] Highest MODSEQ\r\n" % max(1, modseq)


class Session:
    """One client's session.

    Attributes:
        info: where the client comes from, and its principal after login.
        bindings: what the TLS channel is known by (RFC 5929), if it can be bound.
        selected: the selected mailbox, or None.
        annotations: tells what others changed of them, after ENABLE METADATA.
        is_over: LOGOUT was given.
        raw_tag: the tag of the command that runs.
        client_name: what the client calls itself in ID.
        busy_since: when the command that runs began, by `time.monotonic`: the clock of a loop may
            tick in milliseconds, and most commands take less.
        offer: what this server offers.
        values: what is kept of messages for all sessions.
        lanes: where long commands of all sessions wait for their turn.
        off: capabilities that are switched off for this client.
        is_condstore: the client understands MODSEQ (RFC 7162 3.1).
        is_qresync: the client understands VANISHED (RFC 7162 3.2.3).
        is_utf8: names are UTF-8 on the wire (RFC 9755 3).
        has_utf8_accept: because the client gave ENABLE UTF8=ACCEPT.
        is_rev2: the client speaks IMAP4rev2 (RFC 9051), so is_utf8 too.
    """

    def __init__(
        self,
        kernel: Kernel,
        settings: ImapSettings,
        wire: Wire,
        info: SessionInfo,
        offer: Offer,
        values: ValueCache,
        lanes: Lanes,
    ) -> None:
        self.kernel = kernel
        self.settings = settings
        self.wire = wire
        self.info = info
        self.offer = offer
        self.values = values
        self.lanes = lanes
        self.off = disabled(settings)
        self.bindings: Mapping[str, bytes] | None = None
        self.selected: Selected | None = None
        self.annotations: AnnotationWatch | None = None
        self.failed_logins = 0
        self.is_over = False
        self.raw_tag = b""
        self.client_name = ""
        self.busy_since: float | None = None
        self._quiet_since = 0
        self.is_condstore = False
        self.is_qresync = self.is_utf8 = self.is_rev2 = self.has_utf8_accept = False
        self.limits = Limits(
            settings.max_set_ranges, settings.max_search_depth, settings.max_search_keys
        )

    @property
    def state(self) -> State:
        """RFC 3501 3."""
        if self.selected is not None:
            return State.SELECTED
        return State.NOT_AUTHENTICATED if self.info.principal is None else State.AUTHENTICATED

    @property
    def principal(self) -> Principal:
        """Who is logged in; only for commands of the authenticated state."""
        if self.info.principal is None:
            raise BadSyntax("Not logged in")
        return self.info.principal

    @property
    def account(self) -> AccountId:
        """The account of the principal."""
        return self.principal.account

    @property
    def mail(self) -> MailStore:
        """The mail store."""
        return self.kernel.mail

    @property
    def mailbox(self) -> Selected:
        """The selected mailbox; only for commands of the selected state."""
        if self.selected is None:
            raise BadSyntax("No mailbox is selected")
        return self.selected

    @property
    def may_log_in(self) -> bool:
        """Whether a password may be sent: TLS, no TLS to be had, or this machine's loopback."""
        is_private = bool(self.info.tls) or is_loopback(self.info.peer_host)
        return is_private or self.kernel.tls is None

    @property
    def may_start_tls(self) -> bool:
        """Whether STARTTLS can be given now (RFC 3501 6.2.1)."""
        is_early = self.info.principal is None
        return is_early and not self.info.tls and self.kernel.tls is not None

    def bind(self) -> None:
        """Notes what the channel is known by, for mechanisms that bind to it (RFC 5929)."""
        tls, connection = self.kernel.tls, self.wire.channel()
        # Off for a client of some name is not enough: whoever hides the offer could give that name,
        # and a client that says it did not get the offer would be believed (RFC 5802 6).
        is_off = "AUTH=SCRAM-SHA-256-PLUS" in disabled(self.settings)
        if tls is not None and connection is not None and not is_off:
            self.bindings = tls.bindings(connection)

    def logged_in(self, principal: Principal) -> None:
        """Notes who it is; silence may last longer from now on."""
        self.info = replace(self.info, principal=principal)
        self.failed_logins = 0
        self.wire.intake.limit_bytes = INPUT_BYTES + self.settings.max_command_bytes
        self.wire.deadline_at = None
        self.wire.timeout_s = self.settings.idle_timeout_s
        self.kernel.sessions.changed(self.info.id)

    def watch_annotations(self) -> None:
        """Tells from now on which annotations others change (RFC 5464 4.1)."""
        kernel = self.kernel
        self.annotations = AnnotationWatch(kernel.mail, kernel.events, self.account, self.wire.wake)

    def close(self) -> None:
        """Lets go of what outlives commands."""
        if self.annotations is not None:
            self.annotations.close()
            self.annotations = None

    def logged_out(self) -> None:
        """Back to where the connection began; TLS, and what ID said, stays (RFC 8437 3)."""
        self.close()
        self.info = replace(self.info, principal=None)
        self.selected = None
        self.is_condstore = self.is_qresync = self.is_rev2 = False
        self.is_utf8 = self.has_utf8_accept = False
        self.wire.intake.limit_bytes = EARLY_INPUT_BYTES
        self.wire.timeout_s = self.settings.login_timeout_s
        self.wire.expire_in(self.settings.login_timeout_s)
        self.kernel.sessions.changed(self.info.id)

    def begin(self, raw_tag: bytes) -> None:
        """A command runs from now on."""
        self.raw_tag = raw_tag
        self.busy_since = monotonic()
        self._quiet_since = self.wire.written_bytes

    def finish(self) -> float:
        """The command has run; how long it took, in seconds."""
        began_at, self.busy_since = self.busy_since, None
        return 0.0 if began_at is None else monotonic() - began_at

    def tell_progress(self, interval_s: float) -> None:
        """Tells that the command that runs is being worked on (RFC 9585 4). Once it has begun to
        answer nothing may come between, and nothing needs to.
        """
        began_at, wire = self.busy_since, self.wire
        if began_at is None or monotonic() - began_at < interval_s or "INPROGRESS" in self.off:
            return
        if wire.written_bytes == self._quiet_since:
            # A response code ends with the first bracket, also within quotes (RFC 9585 4).
            tag = b"" if b"]" in self.raw_tag else b" (%b NIL NIL)" % write.string(self.raw_tag)
            wire.write(b"* OK [INPROGRESS%b] Still at work\r\n" % tag)
            wire.send()
            self._quiet_since = wire.written_bytes

    def name_client(self, name: str) -> None:
        """Switches off what the settings say of a client of this name (RFC 2971 3.1). What was
        off stays off.
        """
        self.client_name = name[:100]
        self.off |= disabled(self.settings, name)

    @property
    def dialect(self) -> Dialect:
        """What the grammar of this session is."""
        return self.offer.dialect(self.off, is_utf8=self.is_utf8, is_rev2=self.is_rev2)

    def use_condstore(self) -> None:
        """Tells MODSEQ with flags from now on: the client gave a command that asks for it (RFC
        7162 3.1).
        """
        if self.is_condstore:
            return
        self.is_condstore = True
        if self.selected is not None:
            self.write(highest_modseq(self.selected.modseq))

    async def check_current(self) -> None:
        """Ends the session of an account that was disabled, deleted or has another password.

        Raises:
            Goodbye: so it is, or the server is going down.
        """
        if self.kernel.draining.is_set():
            raise Goodbye("The server is shutting down", b"UNAVAILABLE")
        principal = self.info.principal
        if principal is not None and not await self.kernel.auth.is_current(principal):
            raise Goodbye("The account has changed, log in again")

    @property
    def line_limit_bytes(self) -> int:
        """Longest command now."""
        settings = self.settings
        is_early = self.info.principal is None
        return settings.max_greeting_bytes if is_early else settings.max_command_bytes

    def takes_unasked(self, size_bytes: int) -> bool:
        """Whether a literal of that size may come before it was asked for (RFC 7888 5)."""
        if "LITERAL+" not in self.off:
            return True
        return size_bytes <= _MAX_UNASKED_BYTES and "LITERAL-" not in self.off

    def long_line_bytes(self, start: bytes) -> int:
        """Longest line now, for one that starts so: ID may be as long as its fields make it, also
        before login (RFC 2971 3.3).
        """
        words = start.split(b" ", 2)
        is_id = len(words) == 3 and words[1].upper() == b"ID" and "ID" not in self.off
        return max(self.line_limit_bytes, LONGEST_ID_BYTES if is_id else 0)

    def write(self, raw: bytes) -> None:
        """Gathers untagged responses, with their line ends."""
        self.wire.write(raw)

    async def flush_full(self) -> None:
        """Sends what is gathered if it has become much, and lets others run; long answers call it
        between messages.
        """
        if self.wire.is_output_full:
            await self.wire.flush()
            await rest()

    async def ask(self, raw_text: bytes = b"OK") -> None:
        """Sends a continuation request (RFC 3501 7.5)."""
        self.wire.write(b"+ " + raw_text + b"\r\n")
        await self.wire.flush()
