"""By what SORT and THREAD compare texts: as SEARCH does (RFC 5255 4.3), however long they are."""

from __future__ import annotations

from rmail_imap.commands import feature
from rmail_kernel.casemap import casemap

MAX_CHARS = 2000
"""Characters of a text that are compared."""

feature("I18NLEVEL=1", "5255 4.3")


def collation_key(text: str) -> str:
    """What to compare instead of `text`."""
    return casemap(text[:MAX_CHARS])
