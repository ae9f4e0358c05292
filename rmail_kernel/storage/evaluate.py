"""The reference evaluation of a search: from cheap to dear, each message only as far as needed.

A condition answers True, False or None ("cannot tell yet"). Flags and UIDs come from the view,
dates, sizes and listed headers from the rows, everything else from the message. RFC 9051 6.4.4.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence, Set
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import date
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import islice
from typing import TypeVar, cast

import msgspec

from rmail_kernel.casemap import casemap
from rmail_kernel.mime import (
    Group,
    addresses,
    decode_structure,
    decode_words,
    fields,
    text_of,
    walk,
)
from rmail_kernel.mime.structure import Part
from rmail_kernel.mime.summary import CACHED_FIELDS
from rmail_kernel.storage.ids import AccountId, MailboxId, Uid
from rmail_kernel.storage.mail import (
    Fetched,
    Field,
    MailboxView,
    MailStore,
)
from rmail_kernel.storage.narrowing import Foreknown, Split, flag_mask, flagged, split
from rmail_kernel.storage.reader import MessageReader
from rmail_kernel.storage.search import (
    All,
    And,
    Arrived,
    Body,
    Dated,
    HasEmailId,
    HasFlag,
    HasThreadId,
    Header,
    ModifiedSince,
    Not,
    Or,
    SearchNode,
    Sized,
    Text,
    UidIn,
    conditions_of,
)
from rmail_kernel.turns import Pace

MAX_PART_BYTES = 8 << 20
"""Bytes of one part, as sent, that are read; a few times as much memory holds their text."""
MAX_HEADER_BYTES = 1 << 20
"""Bytes of one header that are read."""
_BATCH = 500
_FEW = 32
"""Of so many messages, one is looked up sooner than all are looked through."""
_INLINE_BYTES = 1 << 16  # what takes a thread longer to pass on than to read
_INLINE_COMPARED_BYTES = 1 << 19  # the same, for each text that is looked for once
_INLINE_MESSAGES = 4000  # each counted for each condition


ADDRESS_FIELDS = frozenset({b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"})
"""Fields of address lists (RFC 5322 3.6)."""

T = TypeVar("T")


@dataclass(slots=True)
class _Facts:
    """What is known of one message so far."""

    uid: int
    flags: int
    row: Fetched | None = None
    headers: Sequence[tuple[bytes, bytes]] | None = None  # those known; all of them if `is_read`
    texts: Sequence[str] | None = None
    is_read: bool = False
    _folded: Sequence[str] | None = None

    def know_headers(self, headers: Sequence[tuple[bytes, bytes]] | None) -> None:
        """Notes header fields; names are lower-case from here on."""
        self.headers = headers and [(name.lower(), value) for name, value in headers]
        self._folded = None

    def header_texts(self) -> Sequence[str]:
        """The known fields as the condition Text sees them, made once for all conditions."""
        if self._folded is None:
            self._folded = [field_text(name, value) for name, value in self.headers or ()]
        return self._folded


_Condition = Callable[[_Facts], bool | None]


class Threads:
    """Where work is done that takes long.

    Args:
        pool: its threads; None: those of the event loop. Few are best: Python runs one at a time,
            and the loop is one more that waits for its turn.
    """

    def __init__(self, pool: Executor | None = None) -> None:
        self._pool = pool

    async def run(self, size_bytes: int, work: Callable[[], T]) -> T:
        """What `work` gives; in a thread if it has much to read, for others want to run."""
        if size_bytes <= _INLINE_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


@dataclass(frozen=True, slots=True)
class Narrowed:
    """UIDs that match, ascending, and the messages that must be looked at, with their flags."""

    found: list[Uid]
    open: dict[int, int]


async def narrow(
    query: SearchNode, view: MailboxView, foreknown: Foreknown, pool: Executor | None = None
) -> Narrowed:
    """How far a search comes without a look at messages; takes much memory for a while.

    Args:
        foreknown: what the driver can tell of conditions without looking at the messages.
        pool: see Threads.
    """
    # Sets of few messages are made quicker than a thread is asked; those of many stop others.
    messages = view.total * sum(1 for _ in conditions_of(query))
    size = 0 if messages <= _INLINE_MESSAGES else _INLINE_BYTES + 1
    return await Threads(pool).run(size, partial(_divide, query, view, foreknown))


async def search(
    store: MailStore,
    account: AccountId,
    mailbox: MailboxId,
    query: SearchNode,
    view: MailboxView,
    foreknown: Foreknown | None = None,
    *,
    narrowed: Narrowed | None = None,
    pool: Executor | None = None,
) -> list[Uid]:
    """UIDs of `view` that match `query`, ascending.

    Args:
        foreknown, pool: see `narrow`.
        narrowed: what `narrow` gave for this search.
    """
    known: Foreknown = foreknown or {}
    narrowed = narrowed or await narrow(query, view, known, pool)
    if not narrowed.open:
        return narrowed.found
    asked = [*conditions_of(query)]
    work = _Work(Threads(pool), Pace(), _compile(query, view, known), len(asked))
    ids = (
        Field.IDS if any(isinstance(one, HasEmailId | HasThreadId) for one in asked) else Field.NONE
    )
    rounds = Field.HEADERS | ids, Field.STRUCTURE | Field.CONTENT | ids
    words = iter(narrowed.open.items())
    # Few at a time: what was learned of a message takes more memory than the message.
    while open_ := {uid: _Facts(uid, word) for uid, word in islice(words, _BATCH)}:
        for wanted in rounds:
            async with aclosing(_fetched(store, account, mailbox, open_, wanted)) as fetched:
                open_ = await work.round(fetched, open_)
            if not open_:
                break
    return sorted([*narrowed.found, *map(Uid, work.found)])


def _divide(query: SearchNode, view: MailboxView, foreknown: Foreknown) -> Narrowed:
    by_flag = flagged(query, view)
    if by_flag is not None:
        return Narrowed(cast("list[Uid]", by_flag), {})
    first = split(query, view, foreknown)
    found = cast("list[Uid]", _present(first.yes, view))
    if not first.maybe:
        return Narrowed(found, {})
    words = zip(view.uids[: view.total], view.flags, strict=False)
    return Narrowed(found, {uid: word for uid, word in words if uid in first.maybe})


def _present(uids: Set[int], view: MailboxView) -> list[int]:
    """Those that the view has, ascending."""
    if len(uids) * _FEW < view.total:
        places = ((bisect_left(view.uids, uid, 0, view.total), uid) for uid in sorted(uids))
        return [uid for at, uid in places if at < view.total and view.uids[at] == uid]
    return list(filter(uids.__contains__, view.uids[: view.total]))


async def _fetched(
    store: MailStore,
    account: AccountId,
    mailbox: MailboxId,
    open_: dict[int, _Facts],
    wanted: Field,
) -> AsyncGenerator[Fetched, None]:
    async for batch in store.fetch(account, mailbox, [Uid(uid) for uid in open_], wanted):
        try:
            for row in batch:
                yield row
        finally:
            for row in batch:
                if row.content is not None:
                    row.content.close()


@dataclass(frozen=True, slots=True)
class _Work:
    """One search under way.

    Attributes:
        conditions: how many there are in `condition`.
        found: the UIDs that match, so far.
    """

    threads: Threads
    pace: Pace
    condition: _Condition
    conditions: int
    found: set[int] = field(default_factory=set)

    async def round(
        self, fetched: AsyncIterator[Fetched], open_: dict[int, _Facts]
    ) -> dict[int, _Facts]:
        """Learns what was fetched of the messages that are open still; those open afterwards."""
        left: dict[int, _Facts] = {}
        async for row in fetched:
            await self.pace.breathe()
            facts = open_[row.uid]
            size = await _learn(self.threads, facts, row)
            if size * self.conditions > _INLINE_COMPARED_BYTES:
                size = _INLINE_BYTES + 1
            answer = await self.threads.run(size, partial(self.condition, facts))
            facts.texts = None
            if answer:
                self.found.add(row.uid)
            elif answer is None:
                left[row.uid] = facts
        return left


async def _learn(threads: Threads, facts: _Facts, row: Fetched) -> int:
    """Notes what a row tells; how many bytes conditions have to look at."""
    facts.row = row
    if row.raw_headers is not None:
        facts.know_headers(list(fields(row.raw_headers)) if row.has_all_headers else None)
    if row.content is None:
        return len(row.raw_headers or b"")
    try:
        return await _learn_content(threads, facts, row, row.content)
    finally:
        row.content.close()


async def _learn_content(
    threads: Threads, facts: _Facts, row: Fetched, content: MessageReader
) -> int:
    root = decode_structure(row.raw_structure or b"")
    raw_header = await content.read(0, min(root.body_start, MAX_HEADER_BYTES))
    size = len(raw_header)
    facts.know_headers(await threads.run(size, lambda: list(fields(raw_header))))
    texts: list[str] = []
    for part in walk(root):
        if part.type == "text":
            end = min(part.body_end, part.body_start + MAX_PART_BYTES)
            raw = await content.read(part.body_start, end)
            texts.append(await threads.run(len(raw), partial(part_text, raw, part)))
            size += len(raw)
        if part.filename:
            texts.append(casemap(part.filename))
    facts.texts = texts
    facts.is_read = True
    return size


def part_text(raw: bytes, part: Part) -> str:
    """The folded text of a part whose body is `raw`."""
    moved = msgspec.structs.replace(part, header_start=0, body_start=0, body_end=len(raw))
    return casemap(text_of(raw, moved, MAX_PART_BYTES))


def _compile(query: SearchNode, view: MailboxView, foreknown: Foreknown) -> _Condition:
    """The condition as a function; built once per search."""
    known = foreknown.get(query)
    condition = _compile_node(query, view, foreknown)
    return condition if known is None else _known(known, condition)


def _compile_node(query: SearchNode, view: MailboxView, foreknown: Foreknown) -> _Condition:
    match query:
        case All():
            return lambda _: True
        case And(parts):
            return _all([_compile(part, view, foreknown) for part in parts])
        case Or(parts):
            return _any([_compile(part, view, foreknown) for part in parts])
        case Not(part):
            return _negated(_compile(part, view, foreknown))
        case HasFlag(name):
            mask = flag_mask(name, view)
            return lambda facts: bool(facts.flags & mask)
        case UidIn():
            uids = split(query, view, foreknown).yes
            return lambda facts: facts.uid in uids
        case Header(name, text):
            return _header(name.lower().encode("utf-8", "replace"), casemap(text))
        case Body(text):
            return _body(casemap(text))
        case Text(text):
            return _any([_any_header(casemap(text)), _body(casemap(text))])
        case Dated() | Arrived() | Sized() | ModifiedSince() | HasEmailId() | HasThreadId():
            return _of_row(query)


def _known(known: Split, condition: _Condition) -> _Condition:
    """What is known answers first."""

    def check(facts: _Facts) -> bool | None:
        if facts.uid in known.yes:
            return True
        return condition(facts) if facts.uid in known.maybe else False

    return check


def _all(conditions: list[_Condition]) -> _Condition:
    def check(facts: _Facts) -> bool | None:
        answer: bool | None = True
        for condition in conditions:
            one = condition(facts)
            if one is False:
                return False
            if one is None:
                answer = None
        return answer

    return check


def _any(conditions: list[_Condition]) -> _Condition:
    negated = _all([_negated(condition) for condition in conditions])
    return _negated(negated)


def _negated(condition: _Condition) -> _Condition:
    def check(facts: _Facts) -> bool | None:
        answer = condition(facts)
        return None if answer is None else not answer

    return check


def _of_row(
    query: Dated | Arrived | Sized | ModifiedSince | HasEmailId | HasThreadId,
) -> _Condition:
    def check(facts: _Facts) -> bool | None:
        row = facts.row
        if row is None:
            return None
        match query:
            case Sized(op, size):
                return row.size_bytes > size if op == "larger" else row.size_bytes < size
            case ModifiedSince(modseq):
                return row.modseq >= modseq
            case Arrived(op, at):
                arrived_at = row.internal_date.replace(microsecond=0)
                limit = at.replace(microsecond=0)
                return arrived_at <= limit if op == "until" else arrived_at >= limit
            case HasEmailId(email_id):
                return row.email_id == email_id
            case HasThreadId(thread_id):
                return row.thread_id == thread_id
            case Dated():
                return _dated(query, facts, row)

    return check


def _dated(query: Dated, facts: _Facts, row: Fetched) -> bool | None:
    if query.which == "sent":
        if facts.headers is None:
            return False if facts.is_read else None
        value = _date_value(facts.headers)
        day = None if value is None else sent_day(value)
    else:
        moment = row.internal_date if query.which == "internal" else row.save_date
        day = moment.date() if moment else None
    return compares(query, day)


def compares(query: Dated, day: date | None) -> bool:
    """Whether a message of this day matches; one without a date never does."""
    if day is None:
        return False
    if query.op == "before":
        return day < query.day
    return day == query.day if query.op == "on" else day >= query.day


def _date_value(headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    return next((value for name, value in headers if name == b"date"), None)


def sent_day(value: bytes) -> date | None:
    """The day of a Date: field as its sender wrote it, "disregarding time and timezone"."""
    try:
        return parsedate_to_datetime(value.decode("ascii", "replace").strip()).date()
    except (ValueError, IndexError, TypeError, OverflowError):
        return None


def _header(name: bytes, text: str) -> _Condition:
    is_cached = name in CACHED_FIELDS

    def check(facts: _Facts) -> bool | None:
        if facts.headers is None or not (is_cached or facts.is_read):
            return None
        return any(text in value for value in _values(facts.headers, name))

    return check


def _any_header(text: str) -> _Condition:
    def check(facts: _Facts) -> bool | None:
        if any(text in one for one in facts.header_texts()):
            return True
        return False if facts.is_read else None

    return check


def _body(text: str) -> _Condition:
    def check(facts: _Facts) -> bool | None:
        if facts.texts is None:
            return None
        return any(text in part for part in facts.texts)

    return check


def _values(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> Iterator[str]:
    for known, value in headers:
        if known == name:
            yield from value_texts(name, value)


def value_texts(name: bytes, value: bytes) -> Iterator[str]:
    """What the condition Header finds text in, folded: the value of a field of that lower-case name
    and, where comments stand in them, its addresses without.
    """
    yield value_text(value)
    if name in ADDRESS_FIELDS and b"(" in value:
        yield _addresses_text(value)


def _addresses_text(value: bytes) -> str:
    """The addresses of a field without the comments in them: what ENVELOPE tells (RFC 9051 6.4.4
    searches there).
    """
    items = addresses(value[:MAX_HEADER_BYTES])
    boxes = [box for item in items for box in (item.members if isinstance(item, Group) else [item])]
    return casemap(", ".join(box.address for box in boxes))


def field_text(name: bytes, value: bytes) -> str:
    """A whole header field as the condition Text sees it, folded."""
    return casemap(f"{name.decode('latin-1')}: {decode_words(value[:MAX_HEADER_BYTES])}")


def value_text(value: bytes) -> str:
    """The value of a header field as the condition Header sees it, folded."""
    return casemap(decode_words(value[:MAX_HEADER_BYTES]).strip())
