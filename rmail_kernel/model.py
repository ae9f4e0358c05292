"""The nouns that every part shares: addresses, principals, sessions, envelopes, messages under
delivery.

Values only: frozen, without I/O beyond reading the message's own bytes. RFC 5321 4.1.2
(addresses), RFC 5322.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

import idna

from rmail_kernel.content import Content
from rmail_kernel.errors import Invalid
from rmail_kernel.storage.ids import AccountId

_UTF8 = r"\u0080-\ud7ff\ue000-\U0010ffff"  # RFC 6531 3.3; a lone surrogate is no character
_ATOM = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~\-{_UTF8}]+"
_ALNUM = rf"[A-Za-z0-9{_UTF8}]"
_ATEXT = re.compile(rf"{_ATOM}(?:\.{_ATOM})*\Z")
_QUOTED = re.compile(r'"(?:[^"\\\x00-\x1f\x7f\ud800-\udfff]|\\[\x20-\x7e])*"\Z')
# Control characters and line ends beyond ASCII: no header field can hold them.
_BREAK = re.compile(r"[\x80-\x9f\u2028\u2029]")
_ESCAPED = re.compile(r"\\(.)")
_SPECIAL = re.compile(r'["\\]')
_LABEL = re.compile(rf"{_ALNUM}(?:[A-Za-z0-9\-{_UTF8}]{{0,61}}{_ALNUM})?\Z")
_LITERAL = re.compile(r"\[[\x21-\x5a\x5e-\x7e]{1,255}\]\Z")
MAX_LOCAL_BYTES = 64  # RFC 5321 4.5.3.1.1
MAX_DOMAIN_BYTES = 255  # RFC 5321 4.5.3.1.2


def normalise_domain(domain: str) -> str:
    """The lower-case A-label form of a domain name.

    Raises:
        Invalid: not a domain name (RFC 5321 4.1.2, RFC 5890 for U-labels).
    """
    labels = domain.removesuffix(".")
    if not _is_domain(labels):
        raise Invalid("Not a domain name", domain=domain)
    if labels.isascii():
        return labels.lower()
    try:
        # RFC 5890 2.3.2.1, behind the mapping of UTS 46, as people and programs write names.
        labels = idna.encode(labels, uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError as error:
        raise Invalid("Not a domain name", domain=domain) from error
    if not _is_domain(labels):  # mapping can make a space or a dot of a character
        raise Invalid("Not a domain name", domain=domain)
    return labels


def _is_domain(text: str) -> bool:
    size = len(text.encode("utf-8", "replace"))
    return size <= MAX_DOMAIN_BYTES and all(map(_LABEL.match, text.split(".")))


def _least_quoted(quoted: str) -> str:
    """A quoted local part with no more quoting than it needs: quotes and backslashes are no part
    of the name (RFC 5321 4.1.2).
    """
    plain = _ESCAPED.sub(r"\1", quoted[1:-1])
    return plain if _ATEXT.match(plain) else '"' + _SPECIAL.sub(r"\\\g<0>", plain) + '"'


@dataclass(frozen=True, slots=True)
class Address:
    """One mail address; the domain is a lower-case A-label or an address literal, the local part
    is kept as written, but for needless quotes.
    """

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses `local@domain` (RFC 5321 4.1.2 Mailbox, without source routes).

        Raises:
            Invalid: not an address.
        """
        local, at, domain = text.rpartition("@")
        if not at or not (_ATEXT.match(local) or _QUOTED.match(local)) or _BREAK.search(local):
            raise Invalid("Not a mail address", address=text)
        if len(local.encode("utf-8", "replace")) > MAX_LOCAL_BYTES:
            raise Invalid("The local part is longer than 64 bytes", address=text)
        if local.startswith('"'):
            local = _least_quoted(local)
        if _LITERAL.match(domain):
            return cls(local, domain.lower())
        return cls(local, normalise_domain(domain))

    @property
    def key(self) -> str:
        """The form in which local addresses compare: all lower case."""
        return f"{self.local.lower()}@{self.domain}"

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is acting: an authenticated account."""

    account: AccountId
    address: Address
    is_admin: bool = False
    credential_version: int = 0


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """Where a message or command comes from. `id` runs through every log line of the message's
    way.
    """

    id: str
    protocol: str  # "smtp", "submission", "imap", "http", "internal"
    peer_host: str = ""
    peer_port: int = 0
    local_port: int = 0
    helo: str = ""
    tls: str = ""  # for example "TLSv1.3 TLS_AES_256_GCM_SHA384", empty in clear text
    principal: Principal | None = None
    is_extended: bool = True  # EHLO, not HELO (RFC 3848: ESMTP or SMTP in trace fields)


@dataclass(frozen=True, slots=True)
class RecipientOptions:
    """What a sender asked for one recipient (RFC 3461 4.1, 4.2).

    Attributes:
        recipient: as it stands in the envelope.
        notify: NOTIFY: {"NEVER"}, or some of "SUCCESS", "FAILURE", "DELAY"; empty: not given.
        orcpt: ORCPT as `type;address`, xtext decoded; "" not given.
    """

    recipient: Address
    notify: frozenset[str] = frozenset()
    orcpt: str = ""

    def wants(self, event: str) -> bool:
        """Whether the sender is to hear of "SUCCESS", "FAILURE" or "DELAY". Where nothing was given
        he hears of failures, and of delays where they are told at all (RFC 3461 4.1).
        """
        return event in (self.notify or ("FAILURE", "DELAY"))


@dataclass(frozen=True, slots=True)
class Envelope:
    """The SMTP envelope; `sender` None is the null reverse-path `<>` (RFC 5321 4.5.5).

    Attributes:
        ret: RET of the sender: "FULL", "HDRS", "" not given (RFC 3461 4.3).
        envid: ENVID of the sender, xtext decoded; "" not given (RFC 3461 4.4).
        require_tls: REQUIRETLS was given (RFC 8689).
        options: of recipients for which any were given.
        is_8bit: the body was declared as 8BITMIME or more (RFC 6152 3).
        is_binary: the body was declared as BINARYMIME: lines may have any length, and bare CR, bare
            LF and NUL may be there (RFC 3030 3).
    """

    sender: Address | None
    recipients: tuple[Address, ...]
    session: SessionInfo
    received_at: datetime
    smtputf8: bool = False
    is_8bit: bool = False
    ret: str = ""
    envid: str = ""
    require_tls: bool = False
    options: tuple[RecipientOptions, ...] = ()
    is_binary: bool = False

    def options_of(self, recipient: Address) -> RecipientOptions:
        """What was asked for a recipient; nothing when nothing was given."""
        for found in self.options:
            if found.recipient == recipient:
                return found
        return RecipientOptions(recipient)


@dataclass(frozen=True, slots=True)
class Reject:
    """A policy verdict: permanently no. `code`/`status` are an SMTP 5yz reply and RFC 3463 status,
    others translate.
    """

    text: str = "Refused by policy"
    code: int = 550
    status: str = "5.7.1"


@dataclass(frozen=True, slots=True)
class Defer:
    """A policy verdict: not now. The peer may try again later."""

    text: str = "Try again later"
    code: int = 451
    status: str = "4.7.1"


@dataclass(frozen=True, slots=True)
class Accept:
    """A policy verdict: yes, and no further plugin is asked at this stage. It overrides nothing but
    plugins: unknown users, quotas and rights stay what they are.
    """


@dataclass(frozen=True, slots=True)
class Annotate:
    """A policy verdict: no opinion, but a header field for every message that this leads to. The
    next plugin is asked.
    """

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Accept and drop: the sender hears success, nothing is stored. The reason goes to the log."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """A whole message before it is split by recipient: what `on_message` sees and may return
    changed.
    """

    envelope: Envelope
    content: Content

    def header(self, name: str) -> str:
        """The decoded value of the first header field `name`, or ''."""
        return self.content.header(name)

    def with_header(self, name: str, value: str) -> Submission:
        """A copy in which header field `name` is replaced, or added on top when absent."""
        return replace(self, content=self.content.with_header(name, value))

    def with_added_header(self, name: str, value: str) -> Submission:
        """A copy with a header field added on top, others of that name kept (trace fields)."""
        return replace(self, content=self.content.with_added_header(name, value))


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way to one account: what `on_deliver` sees and may return changed."""

    envelope: Envelope
    recipient: Address  # as the sender addressed it
    account: AccountId  # where it goes
    content: Content
    mailbox: str = "INBOX"
    flags: frozenset[str] = field(
        default_factory=frozenset
    )  # IMAP flags and keywords, e.g. "\\Seen", "$Junk"

    def header(self, name: str) -> str:
        """The decoded value of the first header field `name`, or ''."""
        return self.content.header(name)

    def with_header(self, name: str, value: str) -> Delivery:
        """A copy in which header field `name` is replaced, or added on top when absent."""
        return replace(self, content=self.content.with_header(name, value))

    def with_added_header(self, name: str, value: str) -> Delivery:
        """A copy with a header field added on top, others of that name kept."""
        return replace(self, content=self.content.with_added_header(name, value))

    def with_mailbox(self, mailbox: str) -> Delivery:
        """A copy that goes to another mailbox of the account (created when absent)."""
        return replace(self, mailbox=mailbox)

    def with_flags(self, *flags: str) -> Delivery:
        """A copy with these flags or keywords added."""
        return replace(self, flags=self.flags | frozenset(flags))


@dataclass(frozen=True, slots=True)
class Stored:
    """What `on_store` is told, after the commit: the message is durable under this UID."""

    delivery: Delivery
    mailbox_id: int
    uid: int
    modseq: int


@dataclass(frozen=True, slots=True)
class Relayed:
    """What `on_relayed` and `on_bounce` are told of one recipient of outbound mail.

    Attributes:
        id: of the message in the queue. code, status, text: the reply (RFC 5321 4.2, RFC 3463).
        remote: name of the other server, "" when none was reached. tls: "" in clear text.
    """

    id: str
    envelope: Envelope
    recipient: Address
    code: int
    status: str
    text: str
    remote: str
    tls: str
    at: datetime
