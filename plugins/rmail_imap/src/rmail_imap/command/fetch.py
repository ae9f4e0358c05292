"""FETCH and UID FETCH (RFC 3501 6.4.5). A message that is gone is left out (RFC 2180 4.1.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from rmail_imap import updates, write
from rmail_imap.bodies import PIECE_BYTES, Body, cached_header, needs
from rmail_imap.commands import command, feature
from rmail_imap.flag_words import FlagWriter
from rmail_imap.parse.fetch import BodyItem, FetchArgs, Item, fetch_args
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.errors import Corrupt, NotFound
from rmail_kernel.storage.ids import ModSeq, Uid
from rmail_kernel.storage.mail import Fetched, Field, Flag

feature("SAVEDATE", "8514 4")

_CHUNK: Final = 2000
_ON_VIEW: Final = frozenset({Item.UID, Item.FLAGS})
_FIELDS: Final[dict[Item, Field]] = {
    Item.ENVELOPE: Field.ENVELOPE,
    Item.BODY: Field.BODY,
    Item.BODYSTRUCTURE: Field.BODYSTRUCTURE,
}


@dataclass(slots=True)
class _Row:
    """One message under rendering."""

    number: int
    uid: int
    word: int
    stored: Fetched | None = None

    @property
    def data(self) -> Fetched:
        """What the store gave."""
        assert self.stored is not None
        return self.stored


def _save_date(at: datetime | None) -> bytes:
    return b"NIL" if at is None else write.date_time(at)


_RENDER: Final[dict[Item, Callable[[_Row, FlagWriter], bytes]]] = {
    Item.UID: lambda row, _: b"UID %d" % row.uid,
    Item.FLAGS: lambda row, flags: b"FLAGS " + flags.render(row.uid, row.word),
    Item.INTERNALDATE: lambda row, _: b"INTERNALDATE " + write.date_time(row.data.internal_date),
    Item.SIZE: lambda row, _: b"RFC822.SIZE %d" % row.data.size_bytes,
    Item.ENVELOPE: lambda row, _: b"ENVELOPE " + (row.data.raw_envelope or b"NIL"),
    Item.BODY: lambda row, _: b"BODY " + (row.data.raw_body or b"NIL"),
    Item.BODYSTRUCTURE: lambda row, _: b"BODYSTRUCTURE " + (row.data.raw_bodystructure or b"NIL"),
    Item.MODSEQ: lambda row, _: b"MODSEQ (%d)" % row.data.modseq,
    Item.SAVEDATE: lambda row, _: b"SAVEDATE " + _save_date(row.data.save_date),
}


class _Plan:
    """What one FETCH needs, worked out once."""

    def __init__(self, items: tuple[Item | BodyItem, ...], *, is_read_only: bool) -> None:
        self.simple = [_RENDER[item] for item in items if isinstance(item, Item)]
        self.bodies = [item for item in items if isinstance(item, BodyItem)]
        self.has_flags = Item.FLAGS in items
        self.has_modseq = Item.MODSEQ in items
        self.sets_seen = not is_read_only and any(item.sets_seen for item in self.bodies)
        self.is_on_view = _ON_VIEW.issuperset(items)
        self.is_cached = all(needs(item) is Field.HEADERS for item in self.bodies)
        self.fields = Field.NONE
        for item in items:
            found = _FIELDS.get(item) if isinstance(item, Item) else needs(item)
            self.fields |= found or Field.NONE

    def render(self, row: _Row, flags: FlagWriter) -> bytes:
        """All values but bodies."""
        return b" ".join([render(row, flags) for render in self.simple])


@command("FETCH", fetch_args, state=State.SELECTED, uid=True, tells_expunge=False, rfc="3501 6.4.5")
async def fetch(session: Session, args: FetchArgs) -> None:
    """Sends what was asked for, message by message."""
    selected = session.mailbox
    places = selected.resolve(args.messages)
    if not places:
        return
    if Item.MODSEQ in args.items:
        session.use_condstore()
    if args.changed_since is not None:
        places = await _changed(session, places, args.changed_since)
    plan = _Plan(args.items, is_read_only=selected.is_read_only)
    view = await session.mail.view(session.account, selected.id)
    updates.tell_keywords(session, selected, view.keywords)
    flags = FlagWriter(view.keywords, selected.recent)
    rows = (_Row(*values) for values in selected.words_at(places, view))
    while chunk := list(islice(rows, _CHUNK)):
        if plan.is_on_view:
            for row in chunk:
                session.write(b"* %d FETCH (%b)\r\n" % (row.number, plan.render(row, flags)))
            await session.wire.flush()
            await asyncio.sleep(0)  # others want to run
        else:
            await _from_store(session, plan, flags, chunk)


async def _changed(session: Session, places: list[range], since: ModSeq) -> list[range]:
    """Those of the places whose messages changed after `since` (RFC 7162 3.1.4.1)."""
    selected = session.mailbox
    changes = await session.mail.changes(session.account, selected.id, since)
    wanted = {row.uid for row in changes.changed}
    return [
        range(place, place + 1)
        for span in places
        for place in span
        if selected.uids[place] in wanted
    ]


async def _from_store(session: Session, plan: _Plan, flags: FlagWriter, chunk: list[_Row]) -> None:
    rows = {row.uid: row for row in chunk}
    unreadable: Corrupt | None = None
    fetched = session.mail.fetch(
        session.account, session.mailbox.id, [Uid(row.uid) for row in chunk], plan.fields
    )
    async for batch in fetched:
        told = await _set_seen(session, batch, rows) if plan.sets_seen else frozenset()
        for stored in batch:
            row = rows[stored.uid]
            row.stored = stored
            if plan.has_modseq:  # never newer than the flags beside it
                row.word = stored.flags
        if plan.bodies:
            unreadable = await _write_batch(session, plan, flags, told, rows, batch) or unreadable
            await session.wire.flush()
            continue
        for row in map(rows.__getitem__, (stored.uid for stored in batch)):
            session.write(b"* %d FETCH (%b)\r\n" % (row.number, plan.render(row, flags)))
        await session.wire.flush()
    if unreadable is not None:
        raise unreadable  # after the messages that can be read


async def _write_batch(
    session: Session,
    plan: _Plan,
    flags: FlagWriter,
    told: frozenset[int],
    rows: dict[int, _Row],
    batch: list[Fetched],
) -> Corrupt | None:
    """Messages with bodies, each as it can be read; the error of one that cannot."""
    unreadable = None
    try:
        for stored in batch:
            tells_flags = stored.uid in told
            if plan.is_cached and stored.has_all_headers and not tells_flags:
                session.write(_with_headers(plan, rows[stored.uid], flags))
                continue
            try:
                await _write_bodies(session, plan, rows[stored.uid], flags, tells_flags=tells_flags)
            except NotFound:
                continue  # expunged meanwhile
            except Corrupt as error:
                unreadable = error
    finally:
        for stored in batch:
            if stored.content is not None:
                stored.content.close()
    return unreadable


async def _set_seen(
    session: Session, batch: list[Fetched], rows: dict[int, _Row]
) -> frozenset[int]:
    """Sets \\Seen on the messages of a batch that lack it; which they were."""
    unseen = [stored.uid for stored in batch if not stored.flags & Flag.SEEN]
    if not unseen:
        return frozenset()
    selected = session.mailbox
    result = await session.mail.store_flags(
        session.account, selected.id, unseen, "add", frozenset({"\\Seen"})
    )
    if result.keywords == selected.keywords:  # otherwise it is told again, with the new keywords
        selected.mark_own(result)
    changed = {row.uid: row for row in result.changed}
    for stored in batch:
        if stored.uid in changed:
            stored.flags, stored.modseq = changed[stored.uid].flags, changed[stored.uid].modseq
            rows[stored.uid].word = stored.flags
    return frozenset(row.uid for row in result.changed)


def _with_headers(plan: _Plan, row: _Row, flags: FlagWriter) -> bytes:
    """One message of whose header only cached fields are asked."""
    values = [plan.render(row, flags)] if plan.simple else []
    for item in plan.bodies:
        raw = cached_header(item, row.data)
        values.append(b"%b {%d}\r\n%b" % (item.label, len(raw), raw))
    return b"* %d FETCH (%b)\r\n" % (row.number, b" ".join(values))


async def _write_bodies(
    session: Session, plan: _Plan, row: _Row, flags: FlagWriter, *, tells_flags: bool
) -> None:
    """One message with bodies. RFC 3501 6.4.5: a \\Seen that was set now is told with it."""
    body = Body(session, row.data)
    values = [plan.render(row, flags)] if plan.simple else []
    if tells_flags and not plan.has_flags:
        values.append(_RENDER[Item.FLAGS](row, flags))
    if tells_flags and session.is_condstore and not plan.has_modseq:
        values.append(_RENDER[Item.MODSEQ](row, flags))
    pieces = [b"* %d FETCH (%b" % (row.number, b" ".join(values))]
    separator = b" " if values else b""
    try:
        for item in plan.bodies:
            found = await body.find(item)
            pieces.append(separator + item.label)
            separator = b" "
            if found is None:
                pieces.append(b" NIL")
                continue
            pieces.append(b" {%d}\r\n" % found.size)
            if found.size <= PIECE_BYTES:
                pieces.append(await body.read(found))
                continue
            session.write(b"".join(pieces))
            pieces.clear()
            await body.send(found)
        session.write(b"".join(pieces) + b")\r\n")
        await session.flush_full()
    finally:
        body.close()
