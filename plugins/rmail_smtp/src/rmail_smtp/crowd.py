"""The open sessions of one process: who they are, and how many come from one client.

It counts and ends sessions; what too many are is for `greeting` to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from heapq import nsmallest
from typing import Protocol

from rmail_kernel.net.networks import site_of
from rmail_smtp import replies
from rmail_smtp.replies import Reply

_SHARE = 50  # of all sessions, the part that makes room at once


class Endable(Protocol):
    """A session that can be asked to end."""

    @property
    def silent_since(self) -> float | None:
        """When the wait for its client began (time of the loop); None: it does not wait, or a
        message is under way.
        """

    def end_if_idle(self, reason: Reply = replies.DRAINING) -> None:
        """Ends it unless a message is under way."""


class Crowd:
    """All sessions that are open now; a client is an IPv4 address or an IPv6 /64."""

    def __init__(self) -> None:
        self._hosts: dict[Endable, str] = {}
        self._by_site: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._hosts)

    def __iter__(self) -> Iterator[Endable]:
        """A snapshot: sessions may come and go meanwhile."""
        return iter(tuple(self._hosts))

    def add(self, session: Endable, host: str) -> None:
        """A session begins, from the address `host`."""
        site = site_of(host)
        self._hosts[session] = site
        self._by_site[site] += 1

    def discard(self, session: Endable) -> None:
        """A session has ended; nothing happens when it did before."""
        site = self._hosts.pop(session, None)
        if site is None:
            return
        self._by_site[site] -= 1
        if not self._by_site[site]:
            del self._by_site[site]  # addresses that are gone take no memory

    def make_room(self, silent_before: float) -> bool:
        """Ends the sessions whose clients have been silent longest, but since `silent_before` at
        least; False: there are none. Some at once, as all have to be looked at to find them.
        """
        waiting = [
            (since, at, session)
            for at, session in enumerate(self._hosts)
            if (since := session.silent_since) is not None and since <= silent_before
        ]
        for _, _, session in nsmallest(1 + len(self) // _SHARE, waiting):
            session.end_if_idle(replies.MAKE_ROOM)
        return bool(waiting)

    def of_client(self, host: str) -> int:
        """Open sessions of the client at `host`."""
        return self._by_site.get(site_of(host), 0)
