"""What one server offers its clients: names of capabilities, and the grammar they may use.

It knows no commands; the catalog, which does, makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

from rmail_imap.additions import FetchItem
from rmail_imap.config import ImapSettings
from rmail_imap.dependencies import with_dependents
from rmail_imap.parse.cursor import Dialect

NOTHING: Final[frozenset[str]] = frozenset()


class Offer:
    """Capabilities and dialects.

    Args:
        capabilities: what there is to advertise, without what depends on the connection.
        items: FETCH items of plugins, by name.
    """

    def __init__(self, capabilities: frozenset[str], items: Mapping[str, FetchItem]) -> None:
        self.capabilities = capabilities
        self._items = items
        self._dialects: dict[tuple[frozenset[str], bool, bool], Dialect] = {}

    def dialect(self, off: frozenset[str], *, is_utf8: bool, is_rev2: bool) -> Dialect:
        """The grammar of a session: the same object for all that speak the same."""
        key = off, is_utf8, is_rev2
        found = self._dialects.get(key)
        if found is None:
            found = Dialect(off, self._items, is_utf8, has_charset=is_rev2 or not is_utf8)
            self._dialects[key] = found
        return found


def disabled(settings: ImapSettings, client: str | None = None) -> frozenset[str]:
    """The capabilities that are switched off, in upper case: for all, or for a client of that
    name; with those that cannot do without one of them.
    """
    if client is None:
        return with_dependents(map(str.upper, settings.disabled_capabilities)) or NOTHING
    found: set[str] = set()
    for pattern, names in settings.disabled_for_clients.items():
        if fnmatchcase(client.lower(), pattern.lower()):
            found.update(map(str.upper, names))
    return with_dependents(found) or NOTHING
