"""What this driver tells a search beforehand: dates, sizes and MODSEQs from columns, text from the
full-text index, listed header fields from their summaries. Everything runs in the pool.
"""

from __future__ import annotations

import asyncio
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Executor
from datetime import date
from functools import partial
from typing import Any, Final

import apsw

from rmail_kernel.casemap import casemap
from rmail_kernel.mime import CACHED_FIELDS
from rmail_kernel.storage.evaluate import (
    ADDRESS_FIELDS,
    Narrowed,
    compares,
    narrow,
    sent_day,
    value_texts,
)
from rmail_kernel.storage.filesystem import schema, unindexed
from rmail_kernel.storage.filesystem.account import OpenAccount
from rmail_kernel.storage.filesystem.fulltext import GRAM
from rmail_kernel.storage.filesystem.moments import FIRST_S, LAST_S
from rmail_kernel.storage.filesystem.remembering import Box, Memory
from rmail_kernel.storage.filesystem.threads import email_of, thread_number
from rmail_kernel.storage.mail import MailboxView
from rmail_kernel.storage.narrowing import NOTHING, Foreknown, Split
from rmail_kernel.storage.search import (
    All,
    Arrived,
    Body,
    Dated,
    HasEmailId,
    HasFlag,
    HasThreadId,
    Header,
    ModifiedSince,
    SearchNode,
    Sized,
    Text,
    UidIn,
    conditions_of,
)

MAX_CONDITIONS: Final = 64
"""Conditions of one query that are looked up; others are found out message by message."""
MAX_MEMBERS: Final = 1 << 20
"""UIDs that the answers of one query may hold, at some 60 bytes each; a few conditions may hold
more, as otherwise every message would be read.
"""
_FEW: Final = 8
NEW: Final = 64
"""Messages that came since a condition was answered, and are looked at rather than all again."""
MAX_KEPT_CHARS: Final = 256
MOST_SEEN: Final = 20_000
MOST_COMPARED: Final = 2000
"""Messages whose flags, or columns, are looked at in no time, for one condition."""
_INLINE: Final = 2000
_CHUNK: Final = 1000
_DENSE: Final = 1.5
_NOWHERE: Final = b"\xff"  # not in ASCII
_DAY_S: Final = 86_400
_OfColumns = Arrived | Dated | ModifiedSince | Sized
_COLUMNS: Final = {"internal": "internal_date", "saved": "save_date"}


def most_conditions(messages: int) -> int:
    """How many conditions are looked up in a mailbox of so many messages: bounded in memory."""
    return min(MAX_CONDITIONS, max(_FEW, MAX_MEMBERS // max(1, messages)))


async def find(
    account: OpenAccount,
    view: MailboxView,
    query: SearchNode,
    memory: Memory,
    pool: Executor,
    turns: asyncio.Semaphore,
) -> tuple[Foreknown, Narrowed]:
    """What can be told of the conditions in `query`, and how far it narrows the search down.

    Args:
        memory: what searches of this process remember.
        pool: its threads do the work.
        turns: the sets of a search in a large mailbox take megabytes: one is done before the next.
    """
    conditions = list(dict.fromkeys(conditions_of(query)))[: most_conditions(view.total)]
    if is_light(view, conditions):
        compared = [one for one in conditions if isinstance(one, _OfColumns)]
        ask = partial(_columns, view.mailbox, compared)
        told = await account.read_large(ask) if compared else {}
        return told, await narrow(query, view, told)
    async with turns:
        known, generation = await _foreknow(account, view, conditions, memory, pool)
        narrowed = await narrow(query, view, known, pool)
    if narrowed.open:  # reading takes long, and nobody's turn
        box = Box(account.index, view.mailbox, view.uidvalidity)
        memory.texts.forget(box, account.index.reaches.get(view.mailbox, 0))
        decided = await unindexed.decide(
            account, view, conditions, known, narrowed.open, box, memory.texts, pool
        )
        if decided:
            known.update(decided)
            async with turns:
                narrowed = await narrow(query, view, known, pool)
    if generation is not None:
        box = Box(generation, view.mailbox, view.uidvalidity)
        for one in filter(_is_kept, conditions):
            if one in known and len(known[one].maybe) <= NEW:
                memory.answers.keep(box, one, view.uidnext, known[one])
    return known, narrowed


def is_light(view: MailboxView, conditions: Sequence[SearchNode]) -> bool:
    """Whether flags, numbers and a few columns tell everything, of so few messages that it takes
    no room: such a search must not wait for those that take long.
    """
    most = min(map(_most, conditions), default=MOST_SEEN)
    return view.total * max(1, len(conditions)) <= most


def _most(condition: SearchNode) -> int:
    if isinstance(condition, All | HasFlag | UidIn):
        return MOST_SEEN
    if isinstance(condition, Dated) and condition.which == "sent":
        return 0
    return MOST_COMPARED if isinstance(condition, _OfColumns) else 0


async def _foreknow(
    account: OpenAccount,
    view: MailboxView,
    conditions: list[SearchNode],
    memory: Memory,
    pool: Executor,
) -> tuple[dict[SearchNode, Split], object | None]:
    """What can be told without a look at the messages, and the index that told it."""
    found = await _answered(account, view, conditions, memory, pool)
    on_text = [one for one in conditions if isinstance(one, (Body, Header, Text))]
    others = [one for one in conditions if isinstance(one, (Arrived, Dated, ModifiedSince, Sized))]
    ids = [one for one in conditions if isinstance(one, HasEmailId | HasThreadId)]
    listed = [one for one in conditions if isinstance(one, (Header, Dated)) and _is_listed(one)]
    # Summaries are quicker than the index for what is shorter than its trigrams.
    to_look_up = [one for one in on_text if one not in listed or len(casemap(one.text)) >= GRAM]
    to_look_up = [one for one in to_look_up if one not in found]
    if to_look_up and view.total:
        found.update(await account.run(account.index.foreknow, view, to_look_up, pool=pool))
    generation = account.index.generation
    if others:
        found.update(await account.read_large(partial(_columns, view.mailbox, others), pool))
    if ids:
        found.update(await account.read_large(partial(_by_id, view.mailbox, ids), pool))
    listed = [one for one in listed if one not in found or found[one].maybe]
    if listed and view.total:
        headers = [one for one in listed if isinstance(one, Header)]
        box = Box(account.index, view.mailbox, view.uidvalidity)
        recalled = unindexed.recall(account, view, headers, found, box, memory.texts, pool)
        found.update(await recalled)
        found.update(await account.read_large(partial(_listed, view, listed, dict(found)), pool))
    return found, generation


async def _answered(
    account: OpenAccount,
    view: MailboxView,
    conditions: list[SearchNode],
    memory: Memory,
    pool: Executor,
) -> dict[SearchNode, Split]:
    """What was answered before; of messages that came since, nothing is known."""
    found: dict[SearchNode, Split] = {}
    box = Box(account.index.generation, view.mailbox, view.uidvalidity)
    for one in filter(_is_kept, conditions) if box.of is not None else ():
        answer = memory.answers.get(box, one)
        if answer is None:
            continue
        new = view.uids[bisect_left(view.uids, answer.upto, 0, view.total) : view.total]
        if len(new) <= NEW:
            is_small = len(answer.yes) <= _INLINE
            known = answer.split() if is_small else await account.run(answer.split, pool=pool)
            found[one] = Split(known.yes, (known.maybe | set(new)) - known.yes)
    return found


def _is_kept(condition: SearchNode) -> bool:
    """Whether the answer to a condition stays the same for a message, and is dear to find."""
    if isinstance(condition, Body | Header | Text):
        return len(condition.text) <= MAX_KEPT_CHARS
    return isinstance(condition, Dated) and condition.which == "sent"


def _by_id(
    mailbox: int, conditions: list[HasEmailId | HasThreadId], db: apsw.Connection
) -> dict[SearchNode, Split]:
    """Messages without a digest may have any id."""
    low = schema.summary_key(mailbox, 0)

    def uids(sql: str, *values: object) -> frozenset[int]:
        found = schema.rows(db, sql, low, low + 0xFFFFFFFF, *values)
        return frozenset(key - low for (key,) in found)

    maybe = uids("SELECT key FROM undigested WHERE key BETWEEN ? AND ?")
    sql = "SELECT key FROM digest WHERE key BETWEEN ? AND ?"
    found: dict[SearchNode, Split] = {}
    for one in conditions:
        if isinstance(one, HasEmailId):
            yes = uids(f"{sql} AND email=?", email_of(one.email_id))
        else:
            yes = uids(f"{sql} AND thread=?", thread_number(one.thread_id))
        found[one] = Split(yes, maybe - yes)
    return found


def _columns(
    mailbox: int, conditions: list[_OfColumns], db: apsw.Connection
) -> dict[SearchNode, Split]:
    found: dict[SearchNode, Split] = {}
    for condition in conditions:
        where = _where(condition)
        if where is not None:
            sql = f"SELECT json_group_array(uid) FROM message WHERE mailbox=? AND {where[0]}"  # noqa: S608 - our own text
            uids = json.loads(schema.value(db, sql, mailbox, *where[1:]))
            found[condition] = Split(frozenset(uids), NOTHING)
    return found


def _where(condition: _OfColumns) -> tuple[Any, ...] | None:
    match condition:
        case Sized(op, size_bytes):
            return f"size_bytes {'>' if op == 'larger' else '<'} ?", size_bytes
        case ModifiedSince(modseq):
            return "modseq >= ?", modseq
        case Arrived(op, at):
            column = f"min(max(internal_date, {FIRST_S}), {LAST_S})"
            return f"{column} {'<=' if op == 'until' else '>='} ?", int(at.timestamp())
        case Dated("sent"):
            return None
        case Dated(which, op, day):
            # As in `moment`, a time outside of the calendar is on its first or last day.
            column = f"min(max({_COLUMNS[which]}, {FIRST_S}), {LAST_S})"
            start = (day - date(1970, 1, 1)).days * _DAY_S
            if op == "on":
                return f"{column} BETWEEN ? AND ?", start, start + _DAY_S - 1
            return f"{column} {'<' if op == 'before' else '>='} ?", start


def _is_listed(condition: Header | Dated) -> bool:
    """Whether summaries have the field that is asked for."""
    if isinstance(condition, Dated):
        return condition.which == "sent"
    return condition.name.isascii() and condition.name.lower().encode() in CACHED_FIELDS


def _listed(
    view: MailboxView,
    conditions: list[Header | Dated],
    known: Foreknown,
    db: apsw.Connection,
) -> dict[SearchNode, Split]:
    found: dict[SearchNode, Split] = {}
    for condition in conditions:
        before = known.get(condition) or Split(NOTHING, frozenset(view.uids[: view.total]))
        told = _from_summaries(db, view.mailbox, condition, before.maybe)
        found[condition] = Split(before.yes | told.yes, told.maybe)
    return found


def _from_summaries(
    db: apsw.Connection, mailbox: int, condition: Header | Dated, asked: Set[int]
) -> Split:
    """Which of the messages asked for match; those without a whole summary may."""
    matches = _of_block(condition)
    low = schema.summary_key(mailbox, 0)
    yes: set[int] = set()
    told: set[int] = set()
    uids = sorted(asked)
    for start in range(0, len(uids), _CHUNK):
        for key, raw in _headers(db, low, uids[start : start + _CHUNK]):
            if key - low in asked:
                told.add(key - low)
                if matches(raw):
                    yes.add(key - low)
    return Split(yes, asked - told)


def _headers(db: apsw.Connection, low: int, uids: list[int]) -> Iterator[schema.Row]:
    """Keys and header lines of some messages; of all between, if these are most of them."""
    sql = "SELECT key, headers FROM summary WHERE has_all_headers"
    if uids[-1] - uids[0] < _DENSE * len(uids):  # in sequence, a row takes two thirds of the time
        among = "key BETWEEN ? AND ?"
        return schema.rows(db, f"{sql} AND {among}", low + uids[0], low + uids[-1])
    among = "key IN (SELECT value FROM json_each(?))"
    return schema.rows(db, f"{sql} AND {among}", json.dumps([low + uid for uid in uids]))


def _of_block(condition: Header | Dated) -> Callable[[bytes], bool]:
    """The condition on the header lines of a summary, of which it decodes only its own field."""
    if isinstance(condition, Dated):
        date_field = _field(b"date")

        def is_then(raw: bytes) -> bool:
            found = date_field.search(raw)
            return found is not None and compares(condition, sent_day(found[1]))

        return is_then
    name, needle = condition.name.lower().encode(), casemap(condition.text)
    field, quickly = _field(name), _quickly(name, needle)

    def has(raw: bytes) -> bool:
        answer = quickly(raw)
        if answer is not None:
            return answer
        return any(
            needle in text
            for found in field.finditer(raw)
            for text in value_texts(name, found[1].removesuffix(b"\r"))
        )

    return has


def _quickly(name: bytes, needle: str) -> Callable[[bytes], bool | None]:
    """Whether a field of header lines has a text, told in a fifth of the time; None: it is not.

    If they are ASCII without encoded words or comments, nothing changes but case, and folds, which
    are at white space: so lines that have not its longest word have not the text, and the first
    line of a field has a word that stands in it.
    """
    if not needle.strip():
        return lambda _: None
    start, has_addresses = b"\n" + name.upper() + b":", name in ADDRESS_FIELDS
    word = max(needle.split(), key=len).encode() if needle.isascii() else _NOWHERE
    is_word = word == needle.encode("utf-8", "surrogatepass")

    def check(raw: bytes) -> bool | None:
        upper = raw.upper()
        if word in upper:
            at = upper.find(start) + len(start) if is_word else 0
            line = upper[at : upper.find(b"\n", at)] if at >= len(start) else b""
            return True if word in line and b"=?" not in line else None
        is_plain = raw.isascii() and b"=?" not in raw and not (has_addresses and b"(" in raw)
        return False if is_plain else None

    return check


def _field(name: bytes) -> re.Pattern[bytes]:
    # A line of a summary is a field or the continuation of one, so this finds what `fields` does.
    return re.compile(rb"^%b[ \t]*+:((?:[^\n]*+\n[ \t])*+[^\n]*+)" % re.escape(name), re.I | re.M)
