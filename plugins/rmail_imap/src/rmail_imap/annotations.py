"""Tells a client which annotations others have changed, once it gave ENABLE METADATA (RFC 5464 4.1,
4.4.2): names, never values.

Events say where to look, so what is not touched costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Final

from rmail_imap import write
from rmail_kernel.errors import NotFound, RmailError
from rmail_kernel.storage.events import Change, EventBus
from rmail_kernel.storage.ids import AccountId, MailboxId
from rmail_kernel.storage.mail import MailStore

_ALL: Final = -1
_ACCOUNT: Final = 0


class AnnotationWatch:
    """What a client knows of the annotations of its account, each value as its hash.

    Args:
        wake: ends the wait of IDLE.
    """

    __slots__ = ("_account", "_dirty", "_is_begun", "_known", "_listening", "_mail", "_wake")

    def __init__(
        self, mail: MailStore, events: EventBus, account: AccountId, wake: Callable[[], None]
    ) -> None:
        self._mail, self._account, self._wake = mail, account, wake
        self._known: dict[int, dict[str, int]] = {}
        self._dirty = {_ALL}
        self._is_begun = False
        self._listening: AbstractContextManager[None] = events.subscribe(account, self._hear)
        self._listening.__enter__()

    def close(self) -> None:
        """Hears nothing any more."""
        self._listening.__exit__(None, None, None)

    async def news(self, *, is_utf8: bool) -> list[bytes]:
        """The responses for what others changed since the last time; none the first time."""
        if not self._dirty:
            return []
        dirty, self._dirty = self._dirty, set()
        try:
            told = await self._changed(dirty, is_utf8=is_utf8)
        except RmailError:
            self._dirty |= dirty
            raise
        is_first, self._is_begun = not self._is_begun, True
        return [] if is_first else told

    async def _changed(self, dirty: set[int], *, is_utf8: bool) -> list[bytes]:
        names = {int(found.id): found.name for found in await self._mail.mailboxes(self._account)}
        names[_ACCOUNT] = ""
        self._known = {place: self._known[place] for place in self._known.keys() & names.keys()}
        told = []
        for place in names if _ALL in dirty else dirty & names.keys():
            if changed := await self._look(place):
                raw_name = write.mailbox(names[place], is_utf8=is_utf8)
                entries = b" ".join(write.astring(name.encode()) for name in changed)
                told.append(b"* METADATA %b %b\r\n" % (raw_name, entries))
        return told

    async def note_own(self, mailbox: str | None, changes: Mapping[str, bytes | None]) -> None:
        """Takes note of what the client itself has set: it is not told of that."""
        try:
            place = (await self._mail.status(self._account, mailbox)).id if mailbox else _ACCOUNT
        except NotFound:
            return
        known = self._known.setdefault(place, {})
        for name, value in changes.items():
            if value is None:
                known.pop(name, None)
            else:
                known[name] = hash(value)

    async def _look(self, place: int) -> list[str]:
        """The entries of a place that are not as they were, by name."""
        where = MailboxId(place) if place != _ACCOUNT else None
        try:
            found = await self._mail.annotations(self._account, where)
        except NotFound:
            return []
        before, now = self._known.get(place, {}), {name: hash(found[name]) for name in found}
        self._known[place] = now
        return sorted(name for name in before | now if before.get(name) != now.get(name))

    def _hear(self, change: Change) -> None:
        if change.kind == "mail":
            self._dirty.add(change.container or _ALL)
            self._wake()
