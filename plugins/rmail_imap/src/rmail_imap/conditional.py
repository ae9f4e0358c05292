"""Which messages a conditional STORE may change although something about them changed: a message
has one MODSEQ for all of its flags. RFC 7162 3.1.3, 3.1.12. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Literal

from rmail_imap.flag_words import flag_mask
from rmail_imap.selected import Selected
from rmail_kernel.storage.ids import ModSeq, Uid
from rmail_kernel.storage.mail import MailboxView, StoreResult


def may_pass(
    selected: Selected,
    now: MailboxView,
    result: StoreResult,
    op: Literal["set", "add", "remove"],
    flags: Set[str],
    since: ModSeq | None,
) -> Iterator[Uid]:
    """Messages whose flags in question have not changed. No such flag is as the command would have
    it, so that nobody else has done the same; and what the client knows of them is so, too.

    Args:
        now: the mailbox as it is.
        result: what failed.
        since: of UNCHANGEDSINCE. 0 asks for keywords that are not there, whatever happened (RFC
            7162 3.1.3).
    """
    if op == "set" or (not since and (op == "remove" or any(one[0] == "\\" for one in flags))):
        return
    known = selected.known
    words = dict(zip(now.uids[: now.total], now.flags, strict=False))
    told = {} if known is None else dict(zip(known.uids[: known.total], known.flags, strict=False))
    for uid in result.failed:
        if not _is_open(words.get(uid), now.keywords, op, flags):
            continue
        is_told = uid not in selected.news.flags
        if not since or is_told or (known and _is_open(told.get(uid), known.keywords, op, flags)):
            yield uid


def _is_open(
    word: int | None, keywords: tuple[str, ...], op: Literal["add", "remove"], flags: Set[str]
) -> bool:
    """Whether the command would change each of the flags."""
    if word is None:
        return False
    mask = flag_mask(flags, keywords)
    if op == "add":
        return not word & mask
    return mask.bit_count() == len(flags) and word & mask == mask
