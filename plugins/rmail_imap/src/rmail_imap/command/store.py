"""STORE and UID STORE (RFC 3501 6.4.6)."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from rmail_imap import updates, write
from rmail_imap.command.expunge import writable
from rmail_imap.commands import Reply, command
from rmail_imap.conditional import may_pass
from rmail_imap.errors import BadSyntax
from rmail_imap.fetch_lines import CHUNK, view_lines
from rmail_imap.flag_words import FlagWriter, flag_mask
from rmail_imap.parse.cursor import Cursor
from rmail_imap.parse.fetch import Item
from rmail_imap.parse.flags import store_flags
from rmail_imap.parse.sets import NumberSet, number_set
from rmail_imap.selected import Known, Selected
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.errors import RmailError
from rmail_kernel.storage.ids import ModSeq, Uid
from rmail_kernel.storage.mail import Field, MailboxView, StoreResult

Op = Literal["set", "add", "remove"]
_OPS: Final[dict[bytes, Op]] = {b"+": "add", b"-": "remove"}
_SHORT_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class StoreArgs:
    """STORE set [(UNCHANGEDSINCE modseq)] [+-]FLAGS[.SILENT] flags."""

    messages: NumberSet
    op: Op
    is_silent: bool
    flags: frozenset[str]
    unchanged_since: ModSeq | None = None


def store_args(cursor: Cursor) -> StoreArgs:
    """The arguments of STORE."""
    cursor.space()
    messages = number_set(cursor)
    cursor.space()
    since = _unchanged_since(cursor) if cursor.skip(b"(") else None
    op, is_silent, flags = _change(cursor)
    return StoreArgs(messages, op, is_silent, flags, since)


def _change(cursor: Cursor) -> tuple[Op, bool, frozenset[str]]:
    """What is to become of the flags; whether to be silent of it."""
    raw = cursor.raw[cursor.at :]
    if len(raw) <= _SHORT_BYTES:
        try:
            return _usual(raw)
        except RmailError:
            pass  # it is told of its place in the command
    return _parsed(cursor)


@lru_cache(maxsize=256)
def _usual(raw: bytes) -> tuple[Op, bool, frozenset[str]]:
    """The same; clients set the same flags again and again."""
    return _parsed(Cursor(raw))


def _parsed(cursor: Cursor) -> tuple[Op, bool, frozenset[str]]:
    op = _OPS.get(cursor.peek(), "set")
    if op != "set":
        cursor.at += 1
    name = cursor.word()
    if name not in ("FLAGS", "FLAGS.SILENT"):
        raise BadSyntax("Expected FLAGS")
    cursor.space()
    flags = store_flags(cursor)
    cursor.end()
    return op, name == "FLAGS.SILENT", flags


def _unchanged_since(cursor: Cursor) -> ModSeq:
    cursor.check("STORE", "UNCHANGEDSINCE")
    if cursor.word() != "UNCHANGEDSINCE":
        raise BadSyntax("Unknown modifier of STORE")
    cursor.space()
    modseq = cursor.modseq()
    cursor.expect(b")")
    cursor.space()
    return modseq


@command("STORE", store_args, state=State.SELECTED, uid=True, tells_expunge=False, rfc="3501 6.4.6")
async def store(session: Session, args: StoreArgs) -> Reply | None:
    """Changes flags in one transaction; tells the new flags unless asked not to."""
    if args.unchanged_since is not None:
        session.use_condstore()
    selected = writable(session)
    places = selected.resolve(args.messages)
    uids = selected.uids_at(places)
    if not uids:
        return None
    before = await updates.believed(session, selected)
    result = await session.mail.store_flags(
        session.account,
        selected.id,
        uids,
        args.op,
        args.flags,
        unchanged_since=args.unchanged_since,
    )
    updates.tell_keywords(session, selected, result.keywords)
    if before is not None and not _is_surprise(args, before, result):
        selected.mark_own(result)
    if result.failed and before is not None:
        result = await _spared(session, args, before, result)
        updates.tell_keywords(session, selected, result.keywords)
    if session.is_condstore:
        await _tell_modseqs(session, args, uids, result)
    elif not args.is_silent:
        await _tell_flags(session, args, places, before, result)
    return _modified(selected, args, result) if result.failed else None


async def _spared(
    session: Session, args: StoreArgs, before: MailboxView, result: StoreResult
) -> StoreResult:
    """Does what failed only because another flag had changed (RFC 7162 3.1.3, 3.1.12). Not with
    FLAGS, which names all flags.
    """
    selected = session.mailbox
    uids = [*may_pass(selected, before, result, args.op, args.flags, args.unchanged_since)]
    if not uids:
        return result
    second = await session.mail.store_flags(
        session.account, selected.id, uids, args.op, args.flags, unchanged_since=before.modseq
    )
    if not _is_surprise(args, before, second):
        selected.mark_own(second)
    still = sorted({*result.failed} - {*uids} | {*second.failed})
    changed = sorted([*result.changed, *second.changed], key=lambda row: row.uid)
    return StoreResult(second.modseq, changed, still, second.keywords)


def _modified(selected: Selected, args: StoreArgs, result: StoreResult) -> Reply:
    """Which messages had changed and were left alone (RFC 7162 3.1.3)."""
    rows = selected.numbered(result.failed)
    numbers = [uid if args.messages.is_uid else number for number, uid in rows]
    text = "Some messages have changed and were left as they are"
    return Reply(text, b"MODIFIED " + write.number_set(numbers)) if numbers else Reply(text)


async def _tell_modseqs(
    session: Session, args: StoreArgs, uids: list[Uid], result: StoreResult
) -> None:
    """The flags with MODSEQ; the MODSEQ also when flags are to be kept silent about. Of messages
    left alone both, so that the client need not ask why (RFC 7162 3.1.3).
    """
    selected = session.mailbox
    left_alone = frozenset(result.failed)
    numbers = {uid: number for number, uid in selected.numbered(uids)}
    flags = FlagWriter(result.keywords, selected.recent)
    fetched = session.mail.fetch(session.account, selected.id, uids, Field.NONE)
    async for batch in fetched:
        for row in batch:
            values = [b"UID %d" % row.uid]  # RFC 7162 3.2.4
            if not args.is_silent or row.uid in left_alone:
                values.append(b"FLAGS " + flags.render(row.uid, row.flags))
                selected.forget_news(row.uid, row.modseq)
            values.append(b"MODSEQ (%d)" % row.modseq)
            number = numbers[row.uid]
            session.write(b"* %d FETCH (%b)\r\n" % (number, b" ".join(values)))
        await session.flush_full()


def _is_surprise(args: StoreArgs, before: MailboxView, result: StoreResult) -> bool:
    """Whether a flag is not what the client must now believe it to be, because somebody else
    changed the message at the same moment (RFC 3501 6.4.6).
    """
    mask = flag_mask(args.flags, result.keywords)
    index, last = 0, before.total
    for row in result.changed:  # ascending, as the view
        index = bisect_left(before.uids, row.uid, index, last)
        if index == last or before.uids[index] != row.uid:
            continue  # the client does not know this message
        word = before.flags[index]
        expected = {"set": mask, "add": word | mask, "remove": word & ~mask}[args.op]
        if row.flags != expected:
            return True
    return False


async def _tell_flags(
    session: Session,
    args: StoreArgs,
    places: list[range],
    before: MailboxView | None,
    result: StoreResult,
) -> None:
    """The flags of these messages as they are now; a message that is gone is left out."""
    selected = session.mailbox
    changed: dict[int, int] = {row.uid: row.flags for row in result.changed}
    if before is None or before.keywords != result.keywords:
        before = await session.mail.view(session.account, selected.id)
        changed = {}
    flags = FlagWriter(result.keywords, selected.recent)
    items = (Item.UID, Item.FLAGS) if args.messages.is_uid else (Item.FLAGS,)  # RFC 3501 6.4.8
    for known in selected.known_at(places, before, CHUNK):
        words = [changed.get(uid, word) for uid, word in zip(known.uids, known.words, strict=True)]
        session.write(view_lines(items, Known(known.numbers, known.uids, words), flags))
        await session.flush_full()
