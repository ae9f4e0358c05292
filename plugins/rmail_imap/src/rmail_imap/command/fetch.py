"""FETCH and UID FETCH (RFC 3501 6.4.5). A message that is gone is left out (RFC 2180 4.1.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import structlog

from rmail_imap import updates
from rmail_imap.bodies import PIECE_BYTES, Body
from rmail_imap.commands import command, feature
from rmail_imap.errors import BadSyntax, Refused
from rmail_imap.fetch_lines import CHUNK, KEPT_CHUNK, Plan, plan_of, view_lines
from rmail_imap.flag_words import FlagWriter
from rmail_imap.parse.fetch import BodyItem, FetchArgs, Item, fetch_args
from rmail_imap.parse.returns import Partial
from rmail_imap.ranges import runs, within
from rmail_imap.resync import tell_vanished
from rmail_imap.selected import Known
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_imap.value_cache import Key
from rmail_imap.wire import Disconnected
from rmail_kernel.errors import Corrupt, NotFound, RmailError, Temporary
from rmail_kernel.storage.ids import ModSeq, Uid
from rmail_kernel.storage.mail import Fetched, Flag, MailboxView

_log = structlog.get_logger("rmail.imap")
feature("BINARY", "3516 4")
feature("SAVEDATE", "8514 4")
feature("PARTIAL", "9394 3")
feature("PREVIEW", "8970 3")

_NOTHING: Final = Known((), (), ())


@command("FETCH", fetch_args, state=State.SELECTED, uid=True, tells_expunge=False, rfc="3501 6.4.5")
async def fetch(session: Session, args: FetchArgs) -> None:
    """Sends what was asked for, message by message."""
    selected = session.mailbox
    if args.tells_vanished and not session.is_qresync:
        raise BadSyntax("Enable QRESYNC first")  # RFC 7162 3.2.6
    places = selected.resolve(args.messages)
    if Item.MODSEQ in args.items:
        session.use_condstore()
    if args.partial is not None:
        places = _cut(places, args.partial)
    if args.changed_since is not None:
        places = await _changed(session, args, places, args.changed_since)
    if not places:
        return
    plan = plan_of(args.items, is_read_only=selected.is_read_only)
    view = await _view(session)
    updates.tell_keywords(session, selected, view.keywords)
    flags = FlagWriter(view.keywords, selected.recent)
    chunk = KEPT_CHUNK if plan.lasting else CHUNK
    for known in selected.known_at(places, view, chunk):
        await session.flush_full()
        if plan.view_items:
            session.write(view_lines(plan.view_items, known, flags))
            continue
        if plan.whole is not None and _tell_at_hand(session, plan, plan.whole, view, flags, known):
            continue
        left = _tell_kept(session, plan, flags, known) if plan.lasting else known
        if left.uids:
            await _from_store(session, plan, flags, left)


async def _view(session: Session) -> MailboxView:
    mail, account, mailbox = session.mail, session.account, session.mailbox.id
    return mail.view_at_hand(account, mailbox) or await mail.view(account, mailbox)


def _tell_at_hand(
    session: Session,
    plan: Plan,
    item: BodyItem,
    view: MailboxView,
    flags: FlagWriter,
    known: Known,
) -> bool:
    """Tells a message, or a piece of it, that is there without waiting; whether it was."""
    if len(known.uids) > 1 or (plan.sets_seen and not known.words[0] & Flag.SEEN):
        return False
    start, count = item.partial or (0, None)
    place = session.account, Uid(known.uids[0]), known.words[0]
    raw = session.mail.read_at_hand(view, place, start, count)
    if raw is None:
        return False
    session.write(plan.whole_line(known, flags, raw))
    return True


def _tell_kept(session: Session, plan: Plan, flags: FlagWriter, known: Known) -> Known:
    """Tells the messages of which the view and the values that are kept have all; the others."""
    values = session.values.get(_key(session, plan), known.uids)
    kept = [raw for raw in values if raw is not None]
    if not kept:
        return known
    here, left = (known, _NOTHING) if len(kept) == len(values) else _divided(known, values)
    session.write(plan.lasting_lines(here, flags, kept))
    return left


def _divided(known: Known, values: Sequence[bytes | None]) -> tuple[Known, Known]:
    """The messages that have a value, and those that have none."""
    are_here = [raw is not None for raw in values]
    are_left = [raw is None for raw in values]
    return known.among(are_here), known.among(are_left)


def _key(session: Session, plan: Plan) -> Key:
    selected, principal = session.mailbox, session.principal
    version = principal.credential_version
    return principal.account, version, selected.id, selected.uidvalidity, plan.lasting


def _cut(places: list[range], partial: Partial) -> list[range]:
    """Those of the places that a range counts out (RFC 9394 3.3)."""
    start, stop = partial.bounds(sum(map(len, places)))
    found: list[range] = []
    for span in places:
        piece = span[max(0, start) : max(0, stop)]
        if piece:
            found.append(piece)
        start, stop = start - len(span), stop - len(span)
    return found


async def _changed(
    session: Session, args: FetchArgs, places: list[range], since: ModSeq
) -> list[range]:
    """Those of the places whose messages changed after `since` (RFC 7162 3.1.4.1). What vanished
    is told before them (RFC 7162 3.2.6).
    """
    selected = session.mailbox
    changes = await session.mail.changes(session.account, selected.id, since)
    if args.tells_vanished:
        tell_vanished(session, changes, selected.named_uids(args.messages))
    numbers = [number for number, _ in selected.numbered([row.uid for row in changes.changed])]
    wanted = [(span.start + 1, span.stop) for span in places]
    return [range(first - 1, last) for first, last in runs(within(numbers, wanted))]


async def _from_store(session: Session, plan: Plan, flags: FlagWriter, known: Known) -> None:
    numbers = dict(zip(known.uids, known.numbers, strict=True))
    words = dict(zip(known.uids, known.words, strict=True))
    unreadable: RmailError | None = None
    fetched = session.mail.fetch(
        session.account, session.mailbox.id, cast("Sequence[Uid]", known.uids), plan.fields
    )
    left = len(known.uids)
    async for batch in fetched:
        if not plan.has_modseq:  # flags are never newer than the MODSEQ beside them
            for stored in batch:
                stored.flags = words[stored.uid]
        told = await _set_seen(session, batch) if plan.sets_seen else frozenset()
        batch_numbers = [numbers[stored.uid] for stored in batch]
        if plan.is_ready(batch) and not told:
            session.write(_lines(session, plan, flags, batch_numbers, batch))
            _close(batch)
        else:
            error = await _write_batch(session, plan, flags, told, batch_numbers, batch)
            unreadable = error or unreadable
        left -= len(batch)
        if left:  # the last goes out with the tagged line
            await session.flush_full()
    if unreadable is not None:
        raise unreadable  # after the messages that can be read


def _lines(
    session: Session, plan: Plan, flags: FlagWriter, numbers: list[int], batch: list[Fetched]
) -> bytes:
    """The responses of messages that are ready; what lasts of them is kept."""
    if not plan.lasting:
        return plan.lines(numbers, batch, flags)
    values, are_sure = plan.lasting_values(batch, flags)
    known = Known(numbers, [stored.uid for stored in batch], [stored.flags for stored in batch])
    if are_sure:
        session.values.put(_key(session, plan), known.uids, values)
    return plan.lasting_lines(known, flags, values)


async def _write_batch(
    session: Session,
    plan: Plan,
    flags: FlagWriter,
    told: frozenset[int],
    numbers: Sequence[int],
    batch: list[Fetched],
) -> RmailError | None:
    """Messages with bodies, each as it can be read; the error of one that cannot."""
    unreadable: RmailError | None = None
    try:
        for number, stored in zip(numbers, batch, strict=True):
            more = _told_with_body(session, plan) if stored.uid in told else ()
            values = plan.simple_values(stored, flags, more)
            try:
                await _write_bodies(session, plan, number, stored, values)
            except NotFound:
                continue  # expunged meanwhile
            except (Corrupt, Refused) as error:
                unreadable = error
                if stored.uid in told:  # what the response would have said of it
                    session.mailbox.news.flags[stored.uid] = stored.flags, stored.modseq
    finally:
        _close(batch)
    return unreadable


def _close(batch: list[Fetched]) -> None:
    for stored in batch:
        if stored.content is not None:
            stored.content.close()


def _told_with_body(session: Session, plan: Plan) -> tuple[Item, ...]:
    """RFC 3501 6.4.5: a \\Seen that was set now is told with the body."""
    flags = () if plan.has_flags else (Item.FLAGS,)
    return (*flags, *plan.lacks) if session.is_condstore else flags  # RFC 7162 3.2.4


async def _set_seen(session: Session, batch: list[Fetched]) -> frozenset[int]:
    """Sets \\Seen on the messages of a batch that lack it; which they were. Where that fails, as on
    a full disk, they can be read all the same.
    """
    unseen = [stored.uid for stored in batch if not stored.flags & Flag.SEEN]
    if not unseen:
        return frozenset()
    selected = session.mailbox
    try:
        result = await session.mail.store_flags(
            session.account, selected.id, unseen, "add", frozenset({"\\Seen"})
        )
    except Temporary as error:
        _log.warning("imap seen not set", session=session.info.id, reason=str(error))
        return frozenset()
    if result.keywords == selected.keywords:  # otherwise it is told again, with the new keywords
        selected.mark_own(result)
    changed = {row.uid: row for row in result.changed}
    for stored in batch:
        if stored.uid in changed:
            stored.flags, stored.modseq = changed[stored.uid].flags, changed[stored.uid].modseq
    return frozenset(row.uid for row in result.changed)


async def _write_bodies(
    session: Session, plan: Plan, number: int, stored: Fetched, values: list[bytes]
) -> None:
    """One message: its simple values, then its bodies, no more than a piece of them in memory."""
    body = Body(session, stored)
    response = _Response(session)
    response.add(b"* %d FETCH (%b" % (number, b" ".join(values)))
    separator = b" " if values else b""
    try:
        # RFC 3516 4.3: what cannot be decoded fails before anything is sent of it.
        await body.decode_all(plan.bodies)
        for item in plan.bodies:
            response.add(separator + item.label)
            separator = b" "
            await _write_body(response, body, item)
            await response.send_full()
        response.add(b")\r\n")
        response.end()
        await session.flush_full()
    except RmailError as error:
        if response.is_begun:  # what was announced must come whole or not at all
            session.wire.abort()
            raise Disconnected from error
        raise
    finally:
        body.close()


async def _write_body(response: _Response, body: Body, item: BodyItem) -> None:
    found = await body.find(item)
    if item.form == "size":
        response.add(b" %d" % (found.size if found else 0))
    elif found is None:
        response.add(b" NIL")
    elif found.size <= PIECE_BYTES:
        raw = await body.read(found)
        mark = b"~" if item.form == "decoded" and b"\0" in raw else b""
        response.add(b" %b{%d}\r\n" % (mark, len(raw)))
        response.add(raw)
    else:
        mark = b"~" if item.form == "decoded" and found.may_have_nul else b""  # RFC 3516 4.3
        response.add(b" %b{%d}\r\n" % (mark, found.size))
        response.end()
        await body.send(found)


class _Response:
    """A FETCH response that grows. Up to PIECE_BYTES are kept, so that one that fails can be left
    out.

    Attributes:
        is_begun: some of it was given to the wire.
    """

    __slots__ = ("_pieces", "_session", "_size_bytes", "is_begun")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self.is_begun = False

    def add(self, raw: bytes) -> None:
        """Appends to it."""
        self._pieces.append(raw)
        self._size_bytes += len(raw)

    async def send_full(self) -> None:
        """Sends what there is if it is as much as may be kept; a client may ask for hundreds of
        pieces of one message.
        """
        if self._size_bytes >= PIECE_BYTES:
            self.end()
            await self._session.flush_full()

    def end(self) -> None:
        """Gives the wire what there is."""
        self._session.write(b"".join(self._pieces))
        self._pieces.clear()
        self._size_bytes, self.is_begun = 0, True
