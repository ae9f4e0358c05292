"""The mail store contract: mailboxes and messages of one account, asynchronous, the same for
every driver.

What holds for all drivers: an answered change is durable; UIDs ascend as every reader sees them
and are never reused; one
MODSEQ counter per account never goes back (RFC 7162 3.1); one call is one transaction. Events are
hints, `changes` is the truth.
"""

from __future__ import annotations

import enum
from array import array
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from rmail_kernel.content import Content
from rmail_kernel.mime import MessageKeys
from rmail_kernel.storage.ids import AccountId, MailboxId, ModSeq, Uid
from rmail_kernel.storage.reader import MessageReader
from rmail_kernel.storage.search import SearchNode


class Flag(enum.IntFlag):
    """System flags as bits (RFC 9051 2.3.2). Bits 6 to 62 of a flag word are the keywords of the
    `keywords` table that it came with.
    """

    ANSWERED = 1
    DELETED = 2
    FLAGGED = 4
    SEEN = 8
    DRAFT = 16
    RECENT = 32  # claimed by the first session that selects; RFC 3501 only


SYSTEM_FLAGS: dict[str, Flag] = {
    "\\Answered": Flag.ANSWERED,
    "\\Deleted": Flag.DELETED,
    "\\Flagged": Flag.FLAGGED,
    "\\Seen": Flag.SEEN,
    "\\Draft": Flag.DRAFT,
}
FIRST_KEYWORD_BIT = 6
MAX_KEYWORDS = 57
"""Keywords of one mailbox: what a flag word of 63 bits has room for."""
LETTER_KEYWORDS = 26
"""Of them, those that file names have letters for."""
MAX_ANNOTATIONS = 100
"""Entries of one mailbox, or of the account (RFC 5464)."""
MAX_ANNOTATION_BYTES = 16_384
"""Bytes of the value of one entry."""
MAX_ALL_ANNOTATIONS_BYTES = 16 << 20
"""Bytes of all of them in one account, as they are kept: they do not count for its quota."""
MAX_MAILBOXES = 20_000
"""Mailboxes of an account beyond which none is made."""
MAX_ABSENT_SUBSCRIPTIONS = 1000
"""Subscribed names of an account that no mailbox has; beyond, the oldest is forgotten."""


class Field(enum.Flag):
    """What `fetch` reads for each message beyond uid, modseq, flags, size and dates."""

    NONE = 0
    ENVELOPE = enum.auto()  # ENVELOPE in its wire form
    BODY = enum.auto()  # BODY, not extensible, wire form
    BODYSTRUCTURE = enum.auto()  # wire form
    HEADERS = enum.auto()  # cached header lines
    STRUCTURE = enum.auto()  # encoded Part tree, see rmail_kernel.mime.decode_structure
    CONTENT = enum.auto()  # the message itself, as a MessageReader
    IDS = enum.auto()  # EMAILID and THREADID (RFC 8474 5)
    PREVIEW = enum.auto()  # the first of the text (RFC 8970)
    PREVIEW_LAZY = enum.auto()  # the same if it is at hand, None if it would have to be made
    KEYS = enum.auto()  # what SORT and THREAD compare (RFC 5256)


class Column(enum.Enum):
    """What `columns` tells of messages. Times are whole seconds since the epoch; texts are folded
    by `casemap`, so that they compare (RFC 5256 2, 3; RFC 5957 3).
    """

    MODSEQ = "modseq"
    SIZE = "size_bytes"
    ARRIVAL = "internal_date"
    SENT = "sent_at"
    SUBJECT = "base_subject"
    IS_REPLY = "is_reply"
    MESSAGE_ID = "message_id"  # None without a valid one; not folded
    REFERENCES = "references"  # message ids with "<" between, which none has; not folded
    FROM = "from_mailbox"
    TO = "to_mailbox"
    CC = "cc_mailbox"
    FROM_NAME = "from_name"
    TO_NAME = "to_name"


@dataclass(frozen=True, slots=True)
class Columns:
    """Messages, ascending, and beside them one sequence of values for each column."""

    uids: Sequence[Uid]
    values: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class MailboxStatus:
    """Counters of one mailbox, each O(1). `floor`: changes before it are forgotten (RFC 7162
    3.2.5.1).
    """

    id: MailboxId
    name: str
    special_use: str | None  # "\\Sent", ... (RFC 6154)
    is_subscribed: bool
    uidvalidity: int
    uidnext: Uid
    highestmodseq: ModSeq
    floor: ModSeq
    total: int
    unseen: int
    deleted: int
    recent: int
    size_bytes: int
    objectid: str  # RFC 8474 MAILBOXID


@dataclass(frozen=True, slots=True)
class MailboxView:
    """A shared snapshot of a mailbox: parallel arrays in UID order. Never change them; a newer
    view is a newer object.

    Attributes:
        uids: array of type 'I', ascending; only the first `total` entries belong to this view.
        flags: array of type 'I', or 'Q' where there are more than LETTER_KEYWORDS keywords: Flag
            bits, then keyword bits (bit 6 + index in `keywords`).
        modseq: the account MODSEQ this view stands at.
    """

    mailbox: MailboxId
    uidvalidity: int
    uidnext: Uid
    modseq: ModSeq
    total: int
    uids: array[int]
    flags: array[int]
    keywords: tuple[str, ...]

    def flag_names(self, word: int) -> list[str]:
        """The names of the flags in `word`, system flags first, without \\Recent."""
        names = [name for name, bit in SYSTEM_FLAGS.items() if word & bit]
        for index, keyword in enumerate(self.keywords):
            if word >> (FIRST_KEYWORD_BIT + index) & 1:
                names.append(keyword)
        return names


@dataclass(frozen=True, slots=True)
class Changed:
    """One new or changed message: its flag word is read with the `keywords` of the Changes it came
    in.
    """

    uid: Uid
    flags: int
    modseq: ModSeq


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened in a mailbox after `since`: new or changed messages and expunged UIDs, each
    ascending.

    `is_truncated`: `since` lies below the floor, expunges may be missing; compare with a whole
    view instead.
    """

    since: ModSeq
    upto: ModSeq
    uidnext: Uid
    changed: Sequence[Changed]
    vanished: Sequence[Uid]
    keywords: tuple[str, ...]
    is_truncated: bool = False


@dataclass(frozen=True, slots=True)
class AppendItem:
    """A message to store.

    Attributes:
        op_id: makes a retry return the first result; None when a retry cannot happen.
        replaces: a message that is expunged in the same transaction, for the quota before the new
            one is stored (RFC 8508); one that is gone already is no fault.
        claims_recent: the caller has the mailbox selected: \\Recent of this message is taken for
            it, as `claim_recent` does, unless older messages still wait for somebody to do that.
    """

    mailbox: str
    content: Content
    flags: frozenset[str] = field(default_factory=frozenset)
    internal_date: datetime | None = None  # None: now
    op_id: str | None = None
    create: bool = False  # create the mailbox when it is absent (delivery), instead of NotFound
    replaces: tuple[MailboxId, Uid] | None = None
    claims_recent: bool = False


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a message landed (RFC 4315 APPENDUID). `is_claimed`: \\Recent was taken with it."""

    mailbox: MailboxId
    uidvalidity: int
    uid: Uid
    modseq: ModSeq
    is_claimed: bool = False


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What COPY or MOVE did: parallel lists (RFC 4315 COPYUID), without UIDs that had vanished."""

    mailbox: MailboxId
    uidvalidity: int
    source: Sequence[Uid]
    target: Sequence[Uid]
    modseq: ModSeq


@dataclass(frozen=True, slots=True)
class StoreResult:
    """What a flag change did: `modseq` of the change, or where the mailbox stands when nothing
    changed; `changed` the rows with their new flags, `failed` the UIDs past
    UNCHANGEDSINCE.
    """

    modseq: ModSeq
    changed: Sequence[Changed]
    failed: Sequence[Uid]
    keywords: tuple[str, ...]


@dataclass(slots=True)
class Fetched:
    """One message as `fetch` gives it; fields that were not asked for are None.

    Attributes:
        email_id: the same for messages with the same bytes and INTERNALDATE, so for copies and
            after moves; A-Z a-z 0-9, as `thread_id` (RFC 8474 5.1).
        thread_id: of the message's thread in the account, by its ids (RFC 8474 5.2); never changes.
        preview: at most 200 characters, '' for a message without text (RFC 8970 3).
    """

    uid: Uid
    modseq: ModSeq
    flags: int
    size_bytes: int
    internal_date: datetime
    save_date: datetime | None
    raw_envelope: bytes | None = None
    raw_body: bytes | None = None
    raw_bodystructure: bytes | None = None
    raw_headers: bytes | None = None
    has_all_headers: bool = False  # raw_headers was not cut short
    raw_structure: bytes | None = None
    content: MessageReader | None = None
    email_id: str | None = None
    thread_id: str | None = None
    preview: str | None = None
    keys: MessageKeys | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """What an account uses and may use; None: no limit. `append` and `copy` keep to it."""

    used_bytes: int
    limit_bytes: int | None
    used_messages: int
    limit_messages: int | None = None


class MailStore(Protocol):
    """Mail of all accounts. A mailbox is named by str (its name) or MailboxId; an unknown one
    raises NotFound.

    All methods may raise Temporary (nothing stored, or unknown: retry with the same op_id) and
    NotFound for the account.
    INBOX always exists and compares without case (RFC 9051 5.1).
    """

    async def mailboxes(self, account: AccountId) -> list[MailboxStatus]:
        """All mailboxes with their counters, sorted by name, INBOX first."""

    async def status(self, account: AccountId, mailbox: str | MailboxId) -> MailboxStatus:
        """Counters of one mailbox."""

    async def create(
        self, account: AccountId, name: str, *, special_use: str | None = None
    ) -> MailboxStatus:
        """Makes a mailbox (and its missing parents).

        Raises:
            Conflict: it exists, or another mailbox has this special use. LimitReached: there are
                MAX_MAILBOXES.
            Invalid: a name that cannot be stored (see docs/storage.md).
        """

    async def rename(self, account: AccountId, old: str, new: str) -> None:
        """Renames a mailbox and its children, or only them where no mailbox has the name; INBOX
        moves its messages instead (RFC 9051 6.3.6).

        Raises:
            Conflict: `new` exists. Invalid: a name that cannot be stored.
        """

    async def delete(self, account: AccountId, name: str) -> None:
        """Deletes a mailbox and its messages; children stay (RFC 9051 6.3.5). INBOX: Invalid."""

    async def subscribe(self, account: AccountId, name: str, subscribed: bool) -> None:
        """Sets or clears the subscription of a name; durable on return. It stays when the mailbox
        is deleted or renamed (RFC 9051 6.3.6, 6.3.7). A name without a mailbox that is not
        subscribed: NotFound.
        """

    async def subscriptions(self, account: AccountId) -> list[str]:
        """All subscribed names, sorted, also those that no mailbox has (at most
        MAX_ABSENT_SUBSCRIPTIONS).
        """

    async def append(self, account: AccountId, items: Sequence[AppendItem]) -> list[Appended]:
        """Stores messages, all or none; durable on return.

        Raises:
            QuotaExceeded: no room. NotFound: no such mailbox and not `create`. Invalid: a bad
                flag, or keyword table full.
        """

    async def promise(
        self, account: AccountId, item: AppendItem, told: Callable[[Appended], None]
    ) -> None:
        """Takes a message on its way in: durable on return, in its mailbox soon, at once when
        little comes. What this process reads of the account then has it.

        Args:
            told: called on the loop when the message is in its mailbox; not after a crash, and
                not when the account is removed meanwhile.

        Raises:
            As `append`: nothing was taken.
        """

    async def view(self, account: AccountId, mailbox: str | MailboxId) -> MailboxView:
        """A snapshot that is no older than any change answered before this call, in any process."""

    async def claim_recent(self, account: AccountId, mailbox: MailboxId) -> frozenset[Uid]:
        """Takes \\Recent: these UIDs are recent for this caller and for nobody after (RFC 3501
        2.3.2).
        """

    async def changes(self, account: AccountId, mailbox: MailboxId, since: ModSeq) -> Changes:
        """Everything after `since`. Cheap when nothing happened. A deleted mailbox: NotFound."""

    def is_unchanged(self, account: AccountId, mailbox: MailboxId, since: ModSeq) -> bool:
        """Whether it is known without waiting that nothing happened after `since`, in any process.
        False: ask `changes`. For an account that is known to exist.
        """

    def view_at_hand(self, account: AccountId, mailbox: MailboxId) -> MailboxView | None:
        """What `view` gives, if that is known without waiting; as `is_unchanged`."""

    def read_at_hand(
        self, view: MailboxView, place: tuple[AccountId, Uid, int], start: int, count: int | None
    ) -> bytes | None:
        """Bytes of one message, if they can be had without waiting; None: ask `fetch`.

        Args:
            view: as it was given just now.
            place: whose message, its UID and its flags in the view.
            start: the first byte; past the end there is none.
            count: how many at most, None: all.
        """

    def fetch(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[Uid], fields: Field
    ) -> AsyncIterator[list[Fetched]]:
        """Messages in UID order, in batches; UIDs that do not exist are left out."""

    async def columns(
        self,
        account: AccountId,
        mailbox: MailboxId,
        uids: Sequence[int],
        wanted: Sequence[Column],
    ) -> Columns:
        """Some values of many messages at once, in less time and room than `fetch`; others run
        meanwhile.

        Args:
            uids: ascending; those that do not exist are left out.
            wanted: each once.
        """

    async def store_flags(
        self,
        account: AccountId,
        mailbox: MailboxId,
        uids: Sequence[Uid],
        op: Literal["set", "add", "remove"],
        flags: frozenset[str],
        *,
        unchanged_since: ModSeq | None = None,
    ) -> StoreResult:
        """Changes flags by name, one MODSEQ for the call; messages whose flags stay the same are
        not touched.

        Raises:
            Invalid: a bad flag name, or the keyword table is full.
        """

    async def copy(
        self,
        account: AccountId,
        source: MailboxId,
        uids: Sequence[Uid],
        target: str | MailboxId,
        *,
        op_id: str | None = None,
        needs_all: bool = False,
    ) -> CopyResult:
        """Copies within the account, all or nothing; flags and dates are kept.

        Args:
            needs_all: a message that is gone is no copy of the others, either.

        Raises:
            QuotaExceeded. NotFound: with the field `expunged` for `needs_all`.
        """

    async def move(
        self,
        account: AccountId,
        source: MailboxId,
        uids: Sequence[Uid],
        target: str | MailboxId,
        *,
        op_id: str | None = None,
    ) -> CopyResult:
        """Moves within the account in one transaction (RFC 6851)."""

    async def expunge(
        self,
        account: AccountId,
        mailbox: MailboxId,
        uids: Sequence[Uid] | None,
        *,
        only_deleted: bool = True,
    ) -> tuple[list[Uid], ModSeq]:
        """Removes messages: those of `uids` (None: all) that have \\Deleted, or all of `uids`. The
        UIDs removed, ascending.
        """

    async def annotations(
        self, account: AccountId, mailbox: str | MailboxId | None
    ) -> dict[str, bytes]:
        """All entries of a mailbox, or of the account itself ("server" entries, mailbox None), by
        their names in lower case: `/private/...` and `/shared/...` (RFC 5464 3). A mailbox with
        a special use has it as `/private/specialuse` (RFC 6154 4).
        """

    async def annotate(
        self,
        account: AccountId,
        mailbox: str | MailboxId | None,
        changes: Mapping[str, bytes | None],
    ) -> None:
        """Sets entries, None removes one; all or none, durable on return. No MODSEQ changes. What
        `/private/specialuse` becomes, the special use of the mailbox becomes; it is set by itself.

        Raises:
            Invalid: a bad name, or no use that a mailbox can have (then with the field
                `special_use`). Conflict: another mailbox has that use. TooLarge: a value of more
                than MAX_ANNOTATION_BYTES. QuotaExceeded: more than MAX_ANNOTATIONS, or than
                MAX_ALL_ANNOTATIONS_BYTES.
        """

    async def search(self, account: AccountId, mailbox: MailboxId, query: SearchNode) -> list[Uid]:
        """UIDs that match, ascending."""

    async def quota(self, account: AccountId) -> Quota:
        """What the account uses now, over all of its stores."""
