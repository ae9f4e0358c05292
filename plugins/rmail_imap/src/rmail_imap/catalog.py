"""What one server's IMAP consists of: the shipped tables and what plugins add to them.

Dispatch and CAPABILITY follow from it. A name that is there twice stops the start.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from rmail_imap.additions import Extension, Feature, FetchItem
from rmail_imap.commands import FEATURES, TABLE, Command
from rmail_imap.config import ImapSettings
from rmail_imap.errors import BadSyntax
from rmail_imap.offer import NOTHING, Offer
from rmail_imap.parse.fetch import is_item
from rmail_imap.sasl import MECHANISMS
from rmail_imap.state import State
from rmail_kernel.errors import ConfigError


class Catalog:
    """Commands, features and FETCH items.

    Attributes:
        commands: by name.
        offer: all but them.

    Raises:
        ConfigError: two things have one name.
    """

    def __init__(self, extensions: Iterable[Extension] = ()) -> None:
        self.commands = dict(TABLE)
        items: dict[str, FetchItem] = {}
        features = dict(FEATURES)
        for extension in extensions:
            match extension:
                case Command(name):
                    _check(name in self.commands, "command", name)
                    self.commands[name] = extension
                case FetchItem(name):
                    _check(name in items or is_item(name), "FETCH item", name)
                    items[name] = extension
                case Feature(name):
                    _check(name in features, "capability", name)
                    features[name] = extension.rfc
        found = {*features, *(entry.capability for entry in self.commands.values())}
        found.update(item.capability for item in items.values())
        self.offer = Offer(frozenset(found - {""}), items)

    def find(
        self, name: str, *, is_uid: bool, now: State, off: frozenset[str] = NOTHING
    ) -> Command:
        """The command of that upper-case name.

        Args:
            off: capabilities that are switched off.

        Raises:
            BadSyntax: unknown, switched off, without a UID form, or not allowed now.
        """
        found = self.commands.get(name)
        if found is None or found.capability.upper() in off:
            raise BadSyntax("Unknown command")
        if is_uid and not found.uid:
            raise BadSyntax(f"UID {name} does not exist")
        if not found.is_allowed(now):
            raise BadSyntax(f"{name} is not allowed in the state {now.value!r}")
        return found

    def check(self, settings: ImapSettings) -> None:
        """Refuses capabilities to switch off that do not exist.

        Raises:
            ConfigError: with the setting, and a near match if there is one.
        """
        _check_known(self.offer, "imap.disabled_capabilities", settings.disabled_capabilities)
        for client, names in settings.disabled_for_clients.items():
            _check_known(self.offer, f"imap.disabled_for_clients.{client}", names)


def _check(is_taken: bool, kind: str, name: str) -> None:
    if is_taken:
        raise ConfigError(f"the {kind} {name} is there twice", path="plugins")


def _check_known(offer: Offer, path: str, names: Iterable[str]) -> None:
    known = {name.upper() for name in offer.capabilities}
    known |= {f"AUTH={name}" for name in MECHANISMS}
    for name in names:
        if name.upper() in known:
            continue
        near = difflib.get_close_matches(name.upper(), sorted(known), 1)
        more = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{name!r} is no capability that can be switched off{more}", path=path)
