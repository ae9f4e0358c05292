"""The one place that tells a client what changed in its mailbox: EXPUNGE or VANISHED, EXISTS,
RECENT, FETCH.

RFC 3501 5.2, 7.3, 7.4; RFC 7162 3.2.10. Runs before the tagged line of each command and during
IDLE.
"""

from __future__ import annotations

import structlog

from rmail_imap import write
from rmail_imap.errors import Goodbye
from rmail_imap.flag_words import FlagWriter, announce
from rmail_imap.ordering import AT_ONCE
from rmail_imap.selected import Selected
from rmail_imap.session import Session, highest_modseq
from rmail_kernel.errors import NotFound, RmailError
from rmail_kernel.storage.mail import MailboxView
from rmail_kernel.turns import rest

_log = structlog.get_logger("rmail.imap")


async def drain(session: Session, *, tells_expunge: bool) -> None:
    """Writes what the client was not told yet. News that cannot be had now wait.

    Args:
        tells_expunge: EXPUNGE may be sent now; otherwise it waits, and the numbers stay.

    Raises:
        Goodbye: the mailbox is gone.
    """
    try:
        await _drain(session, tells_expunge=tells_expunge)
    except Goodbye:
        raise
    except RmailError as error:
        _log.warning("imap news wait", session=session.info.id, reason=str(error))


async def _drain(session: Session, *, tells_expunge: bool) -> None:
    if session.annotations is not None:
        for line in await session.annotations.news(is_utf8=session.is_utf8):
            session.write(line)
    selected = session.selected
    if selected is None:
        return
    await take_changes(session, selected)
    if tells_expunge:
        await _tell_expunges(session, selected)
    if selected.told < selected.total:
        await _tell_new(session, selected)
    if selected.news.flags:
        await _tell_flags(session, selected)
    if session.is_qresync and selected.holds_expunges:
        # RFC 7162 3.2: a MODSEQ that was told must not hide an expunge that was not.
        session.write(highest_modseq(selected.told_modseq))
    if session.is_condstore:
        await _note_told(session, selected)


async def _note_told(session: Session, selected: Selected) -> None:
    """Notes what the flags are that the client knows (RFC 7162 3.1.12)."""
    if selected.known is None or selected.known.modseq != selected.modseq:
        view = await session.mail.view(session.account, selected.id)
        selected.known = view if view.modseq == selected.modseq else None


async def take_changes(session: Session, selected: Selected) -> int:
    """Brings the numbers up to date with the store, without telling the client yet.

    Returns:
        The newest MODSEQ of a message that changed, 0 if none did.

    Raises:
        Goodbye: the mailbox is gone.
    """
    mail, account = session.mail, session.account
    if mail.is_unchanged(account, selected.id, selected.modseq):
        return 0
    try:
        changes = await mail.changes(account, selected.id, selected.modseq)
        if changes.upto == selected.modseq:
            return 0
        view = None
        if len(changes.changed) > AT_ONCE:  # others may have as much to take
            await rest()
        if changes.is_truncated:
            view = await mail.view(account, selected.id)
        selected.take(changes, view)
    except NotFound as error:
        raise Goodbye("The selected mailbox was deleted") from error
    tell_keywords(session, selected, changes.keywords)
    return max((row.modseq for row in changes.changed), default=0)


def tell_keywords(session: Session, selected: Selected, keywords: tuple[str, ...]) -> None:
    """A keyword that is new to the mailbox is announced before its first use (RFC 3501 7.2.6)."""
    if keywords != selected.keywords:
        selected.keywords = keywords
        session.write(announce(keywords, is_read_only=selected.is_read_only))


async def believed(session: Session, selected: Selected) -> MailboxView | None:
    """The mailbox as the client will believe it to be once it was told the news; None while it
    changes too fast to say.
    """
    view = await session.mail.view(session.account, selected.id)
    if view.modseq == selected.modseq:
        return view
    newest = await take_changes(session, selected)
    return view if newest <= view.modseq else None


async def _tell_expunges(session: Session, selected: Selected) -> None:
    gone = selected.take_expunges()
    if gone and session.is_qresync:  # RFC 7162 3.2.10
        session.write(b"* VANISHED %b\r\n" % write.number_set(uid for _, uid in reversed(gone)))
        return
    for number, _ in gone:
        session.write(b"* %d EXPUNGE\r\n" % number)
        await session.flush_full()


async def _tell_new(session: Session, selected: Selected) -> None:
    mail = session.mail
    if session.is_rev2:  # RFC 9051 E: there is no \\Recent
        selected.recent = frozenset()
        selected.told = selected.total
        session.write(b"* %d EXISTS\r\n" % selected.total)
        return
    news = selected.uids[selected.told : selected.total]
    is_claimed = selected.is_read_only or all(uid in selected.recent for uid in news)
    if not is_claimed and (await mail.status(session.account, selected.id)).recent:
        selected.recent |= await mail.claim_recent(session.account, selected.id)
    selected.told = selected.total
    # What came since belongs to this session too, but the client does not know of it yet.
    last = selected.uids[selected.total - 1]
    recent = sum(map(last.__ge__, selected.recent))
    session.write(b"* %d EXISTS\r\n* %d RECENT\r\n" % (selected.total, recent))


async def _tell_flags(session: Session, selected: Selected) -> None:
    if len(selected.news.flags) > AT_ONCE:
        await rest()
    flags = FlagWriter(selected.keywords, selected.recent)
    for number, uid, word, modseq in selected.take_flags():
        more = b" MODSEQ (%d)" % modseq if session.is_condstore else b""  # RFC 7162 3.1
        row = (number, uid, flags.render(uid, word), more)
        session.write(b"* %d FETCH (UID %d FLAGS %b%b)\r\n" % row)
        await session.flush_full()
