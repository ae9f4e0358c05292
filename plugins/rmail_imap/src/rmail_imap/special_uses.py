"""Special uses that a client may give a mailbox, and how others are refused (RFC 6154 3)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from rmail_imap.errors import Refused
from rmail_kernel.errors import RmailError

_VIRTUAL: Final = frozenset({"\\all", "\\flagged"})
"""Uses of mailboxes that collect what lies in others (RFC 6154 2), which none here does."""


def check_uses(uses: Collection[str]) -> None:
    """Refused [USEATTR]: more than one use (in lower case), or one that no mailbox here has."""
    if len(uses) > 1:
        raise Refused("A mailbox has one special use", b"USEATTR")
    if not _VIRTUAL.isdisjoint(uses):
        raise Refused("That use is for mailboxes that show messages of others", b"USEATTR")


def use_refusal(error: RmailError) -> RmailError:
    """The error of the store as clients are told it: with USEATTR, if a use is what is wrong."""
    return Refused(error.safe, b"USEATTR") if "special_use" in error.fields else error
