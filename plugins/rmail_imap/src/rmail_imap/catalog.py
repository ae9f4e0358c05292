"""What one server's IMAP consists of: the shipped tables and what plugins add to them.

Dispatch and CAPABILITY follow from it. A name that is there twice stops the start.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

from rmail_imap.additions import Extension, Feature, FetchItem
from rmail_imap.commands import FEATURES, TABLE, Command
from rmail_imap.config import ImapSettings
from rmail_imap.errors import BadSyntax
from rmail_imap.parse.cursor import Dialect
from rmail_imap.parse.fetch import is_item
from rmail_imap.sasl import MECHANISMS
from rmail_imap.state import State
from rmail_kernel.errors import ConfigError

_NOTHING: Final[frozenset[str]] = frozenset()


class Catalog:
    """Commands, features and FETCH items.

    Attributes:
        commands: by name.
        items: FETCH items of plugins, by name.
        capabilities: what there is to advertise, without what depends on the connection.

    Raises:
        ConfigError: two things have one name.
    """

    def __init__(self, extensions: Iterable[Extension] = ()) -> None:
        self.commands = dict(TABLE)
        self.items: dict[str, FetchItem] = {}
        self._dialects: dict[tuple[frozenset[str], bool, bool], Dialect] = {}
        features = dict(FEATURES)
        for extension in extensions:
            match extension:
                case Command(name):
                    _check(name in self.commands, "command", name)
                    self.commands[name] = extension
                case FetchItem(name):
                    _check(name in self.items or is_item(name), "FETCH item", name)
                    self.items[name] = extension
                case Feature(name):
                    _check(name in features, "capability", name)
                    features[name] = extension.rfc
        found = {*features, *(entry.capability for entry in self.commands.values())}
        found.update(item.capability for item in self.items.values())
        self.capabilities: frozenset[str] = frozenset(found - {""})

    def find(
        self, name: str, *, is_uid: bool, now: State, off: frozenset[str] = _NOTHING
    ) -> Command:
        """The command of that upper-case name.

        Args:
            off: capabilities that are switched off.

        Raises:
            BadSyntax: unknown, switched off, without a UID form, or not allowed now.
        """
        found = self.commands.get(name)
        if found is None or found.capability in off:
            raise BadSyntax("Unknown command")
        if is_uid and not found.uid:
            raise BadSyntax(f"UID {name} does not exist")
        if not found.is_allowed(now):
            raise BadSyntax(f"{name} is not allowed in the state {now.value!r}")
        return found

    def dialect(self, off: frozenset[str], *, is_utf8: bool, is_rev2: bool) -> Dialect:
        """The grammar of a session: the same object for all that speak the same."""
        key = off, is_utf8, is_rev2
        found = self._dialects.get(key)
        if found is None:
            found = Dialect(off, self.items, is_utf8, has_charset=is_rev2 or not is_utf8)
            self._dialects[key] = found
        return found

    def check(self, settings: ImapSettings) -> None:
        """Refuses capabilities to switch off that do not exist.

        Raises:
            ConfigError: with the setting, and a near match if there is one.
        """
        _check_known(self, "imap.disabled_capabilities", settings.disabled_capabilities)
        for client, names in settings.disabled_for_clients.items():
            _check_known(self, f"imap.disabled_for_clients.{client}", names)


def disabled(settings: ImapSettings, client: str | None = None) -> frozenset[str]:
    """The capabilities that are switched off: for all, or for a client of that name."""
    if client is None:
        return frozenset(map(str.upper, settings.disabled_capabilities)) or _NOTHING
    found: set[str] = set()
    for pattern, names in settings.disabled_for_clients.items():
        if fnmatchcase(client.lower(), pattern.lower()):
            found.update(map(str.upper, names))
    return frozenset(found) or _NOTHING


def _check(is_taken: bool, kind: str, name: str) -> None:
    if is_taken:
        raise ConfigError(f"the {kind} {name} is there twice", path="plugins")


def _check_known(catalog: Catalog, path: str, names: Iterable[str]) -> None:
    known = {name.upper() for name in catalog.capabilities}
    known |= {f"AUTH={name}" for name in MECHANISMS}
    for name in names:
        if name.upper() in known:
            continue
        near = difflib.get_close_matches(name.upper(), sorted(known), 1)
        more = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{name!r} is no capability that can be switched off{more}", path=path)
