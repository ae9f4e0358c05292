"""A simple model of IMAP: what the mailboxes hold, and which message each session takes for which
number (RFC 3501 5.2, 7.3, 7.4; RFC 7162 3.2). Random steps run against a server and are compared.

Sessions with an odd number enable QRESYNC; they leave and come back with what they know.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

from plugins.rmail_imap.tests.believer import Client, Mailbox, numbers_of

SESSIONS: Final = 4
NAMES: Final = 3
FLAGS: Final = ("\\Seen", "\\Flagged", "\\Deleted", "$Work")
MESSAGE: Final = "Subject: x\r\n\r\nbody\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Step = tuple[int, str, int, int]


@dataclass(eq=False)
class Away:
    """What a session knew of a mailbox when it left."""

    mailbox: Mailbox
    uids: frozenset[int]
    modseq: int
    validity: int


class World:
    """All of one run.

    Args:
        connect: opens the connection of a session, by its number, and takes the greeting.
        login: a login and a password.
        prefix: what the names of the run's mailboxes begin with.
    """

    def __init__(
        self, connect: Callable[[int], Awaitable[Streams]], login: str, prefix: str
    ) -> None:
        self._open, self._login = connect, login
        self._prefix = prefix
        self.clients: list[Client] = []
        self.away: dict[int, Away] = {}
        self.mailboxes: dict[str, Mailbox] = {}

    async def run(self, steps: list[Step]) -> None:
        """Takes the steps; then everybody must know what there is."""
        try:
            for which in range(SESSIONS):
                self.clients.append(await self._connect(which))
            for name in (self._name(0), self._name(1)):
                await self.clients[0].command(f"CREATE {name}")
                self.mailboxes[name] = Mailbox()
            for which, action, one, other in steps:
                await self._step(which, action, one, other)
            for which in range(SESSIONS):
                await self._step(which, "return", 0, 0)
                await self._step(which, "noop", 0, 0)
                await self._step(which, "fetch", 0, 0)
        finally:
            for client in self.clients:
                client.writer.close()

    async def _connect(self, which: int) -> Client:
        reader, writer = await self._open(which)
        client = Client(reader, writer)
        assert (await client.command(f"LOGIN {self._login}")).startswith("OK")
        if which % 2:
            assert (await client.command("ENABLE QRESYNC")).startswith("OK")
            client.is_qresync = True
        return client

    async def _reconnect(self, which: int) -> Client:
        self.clients[which].writer.close()
        client = self.clients[which] = await self._connect(which)
        return client

    def _name(self, number: int) -> str:
        return f"{self._prefix}{'abc'[number % NAMES]}"

    async def _step(self, which: int, action: str, one: int, other: int) -> None:
        client = self.clients[which]
        if client.mailbox is not None and client.mailbox not in self.mailboxes.values():
            await client.command("NOOP")
            assert (await client.line()).startswith("* BYE")  # it was deleted: the session ends
            client = await self._reconnect(which)
        if action in ("append", "create", "delete", "rename", "select", "status"):
            act = {
                "append": self._append,
                "create": self._create,
                "delete": self._delete,
                "rename": self._rename,
                "select": self._select,
                "status": self._status,
            }[action]
            await act(client, self._name(one), self._name(other))
        elif action == "return":
            await self._return(client, which, one)
        elif client.mailbox is None:
            return
        elif action == "leave":
            await self._leave(client, which, client.mailbox, one)
        elif action == "miss":
            await self._miss(client, which, client.mailbox, one, other)
        else:
            await self._in_mailbox(client, client.mailbox, action, one, other)

    # --- mailboxes

    async def _append(self, client: Client, name: str, other: str) -> None:
        flag = FLAGS[len(other) % len(FLAGS)]
        mailbox = self.mailboxes.get(name)
        if mailbox is not None:
            mailbox.add(frozenset({flag}))
        said = await client.command(f"APPEND {name} ({flag})", MESSAGE)
        assert said.startswith("OK" if mailbox is not None else "NO [TRYCREATE]")

    async def _create(self, client: Client, name: str, _: str) -> None:
        said = await client.command(f"CREATE {name}")
        assert said.startswith("NO" if name in self.mailboxes else "OK")
        self.mailboxes.setdefault(name, Mailbox())

    async def _delete(self, client: Client, name: str, _: str) -> None:
        held = self.mailboxes.pop(name, None)
        said = await client.command(f"DELETE {name}")
        assert said.startswith("NO" if held is None else "OK")
        if held is not None and client.mailbox is held:
            client.mailbox = None  # it is no longer selected

    async def _rename(self, client: Client, name: str, other: str) -> None:
        said = await client.command(f"RENAME {name} {other}")
        if name in self.mailboxes and other not in self.mailboxes:
            assert said.startswith("OK")
            self.mailboxes[other] = self.mailboxes.pop(name)
        else:
            assert said.startswith("NO")

    async def _select(self, client: Client, name: str, _: str) -> None:
        client.select(self.mailboxes.get(name))
        client.flags = {}
        said = await client.command(f"SELECT {name}")
        assert said.startswith("NO" if client.mailbox is None else "OK [READ-WRITE]")
        if client.mailbox is not None:
            client.check()

    async def _status(self, client: Client, name: str, _: str) -> None:
        held = self.mailboxes.get(name)
        said = await client.command(f"STATUS {name} (MESSAGES UIDNEXT UNSEEN DELETED)")
        if held is None:
            assert said.startswith("NO")
            return
        unseen = len(held.messages) - held.count("\\Seen")
        numbers = f"MESSAGES {len(held.messages)} UIDNEXT {held.uidnext} UNSEEN {unseen}"
        assert client.status == f'* STATUS "{name}" ({numbers} DELETED {held.count(FLAGS[2])})'

    # --- away and back

    async def _leave(self, client: Client, which: int, mailbox: Mailbox, one: int) -> None:
        """Leaves the mailbox, or the server, and keeps what is known."""
        if client.is_qresync:
            uids = frozenset(client.numbers)
            self.away[which] = Away(mailbox, uids, client.modseq, client.validity)
        if one % 3 == 0:
            client, flags = await self._reconnect(which), client.flags
            client.flags = flags
            return
        if one % 3 == 1:  # CLOSE expunges, and does not tell what
            self._remove(mailbox, [u for u, f in mailbox.messages.items() if "\\Deleted" in f])
        assert (await client.command("CLOSE" if one % 3 == 1 else "UNSELECT")).startswith("OK")
        client.mailbox = None

    async def _miss(
        self, client: Client, which: int, mailbox: Mailbox, one: int, other: int
    ) -> None:
        """Is away while another session changes what is there."""
        await self._leave(client, which, mailbox, one)
        speaker = (which + 1 + other % (SESSIONS - 1)) % SESSIONS
        name = next(name for name, held in self.mailboxes.items() if held is mailbox)
        await self._step(speaker, "select", "abc".index(name[-1]), 0)
        for action in (("expunge",), ("move", "store"), ("append", "replace"))[one % 3]:
            await self._step(speaker, action, one, other)
        await self._return(self.clients[which], which, other)

    async def _return(self, client: Client, which: int, one: int) -> None:
        """Comes back with what was known, and knows everything then (RFC 7162 3.2.5)."""
        away = self.away.pop(which, None)
        name = next((n for n, held in self.mailboxes.items() if away and held is away.mailbox), "")
        if away is None or not name:
            return
        flags = client.flags if client.mailbox is None else {}
        client.select(away.mailbox)
        client.flags = {uid: flags[uid] for uid in away.uids & flags.keys()}
        known = " " + ",".join(map(str, sorted(away.uids))) if one % 2 and away.uids else ""
        said = await client.command(
            f"SELECT {name} (QRESYNC ({away.validity} {away.modseq}{known}))"
        )
        assert said.startswith("OK"), said
        there = away.mailbox.messages.keys()
        # RFC 7162 3.2.5.1: of those that a client does not name it hears nothing but EXISTS.
        told = there & away.uids if known else there
        assert (away.uids - client.earlier) | client.fetched == told
        for uid in client.earlier:
            client.flags.pop(uid, None)
        client.check()

    # --- messages

    async def _in_mailbox(
        self, client: Client, mailbox: Mailbox, action: str, one: int, other: int
    ) -> None:
        if action == "noop":
            assert (await client.command("NOOP")).startswith("OK")
            client.check()
        elif action == "idle":
            await self._idle(client, mailbox, one)
        elif action == "expunge":
            gone = [uid for uid, flags in mailbox.messages.items() if "\\Deleted" in flags]
            self._remove(mailbox, gone)
            assert (await client.command("EXPUNGE")).startswith("OK")
            client.check()
        elif client.numbers:
            await self._with_messages(client, mailbox, action, one, other)

    async def _with_messages(
        self, client: Client, mailbox: Mailbox, action: str, one: int, other: int
    ) -> None:
        first, last = sorted((one % len(client.numbers), other % len(client.numbers)))
        if action == "fetch":
            first, last = 0, len(client.numbers) - 1
        uids = [uid for uid in client.numbers[first : last + 1] if uid in mailbox.messages]
        numbers = f"{first + 1}:{last + 1}"
        target = self._name(one + other)
        if action == "fetch":
            assert (await client.command(f"FETCH {numbers} (UID FLAGS)")).startswith("OK")
        elif action == "store":
            await self._store(client, mailbox, numbers, uids, one, other)
        elif action == "store if":
            await self._store_if(client, mailbox, first, last, one, other)
        elif action == "replace":
            await self._replace(client, mailbox, first, target, other)
        elif action == "uid expunge":
            named = f"{client.numbers[first]}:{client.numbers[last]}"
            self._remove(mailbox, [u for u in uids if "\\Deleted" in mailbox.messages[u]])
            assert (await client.command(f"UID EXPUNGE {named}")).startswith("OK")
            client.check()
        elif action == "copy" or self.mailboxes.get(target) is not mailbox:
            await self._transfer(client, mailbox, numbers, uids, target, action)

    async def _store(
        self, client: Client, mailbox: Mailbox, numbers: str, uids: list[int], one: int, other: int
    ) -> None:
        flag, sign = FLAGS[one % len(FLAGS)], "+-"[other % 2]
        silent = ".SILENT" if other % 3 == 0 else ""
        for uid in uids:
            mailbox.messages[uid] = _changed(mailbox.messages[uid], flag, sign)
            if silent and uid in client.flags:
                client.flags[uid] = _changed(client.flags[uid], flag, sign)
        said = await client.command(f"STORE {numbers} {sign}FLAGS{silent} ({flag})")
        assert said.startswith("OK")

    async def _store_if(
        self, client: Client, mailbox: Mailbox, first: int, last: int, one: int, other: int
    ) -> None:
        """Conditional STORE: nothing that changed since is touched (RFC 7162 3.1.3)."""
        flag, sign = FLAGS[one % len(FLAGS)], "+-"[other % 2]
        if other % 3 == 0:
            assert (await client.command("NOOP")).startswith("OK")  # knows everything now
            last = min(last, len(client.numbers) - 1)
            if not client.is_qresync or first > last:
                return
            assert (await client.command("FETCH 1:* (UID FLAGS MODSEQ)")).startswith("OK")
        since = (client.modseq, 0, client.modseq // 2)[other % 3]
        named = [uid for uid in client.numbers[first : last + 1] if uid in mailbox.messages]
        said = await client.command(
            f"STORE {first + 1}:{last + 1} (UNCHANGEDSINCE {since}) {sign}FLAGS ({flag})"
        )
        modified = re.match(r"OK \[MODIFIED ([\d:,]+)\]", said)
        assert said.startswith("OK"), said
        failed = {client.numbers[n - 1] for n in numbers_of(modified[1])} if modified else set()
        if since == 0 and flag != "$Work":  # RFC 7162 3.1.3: a keyword may be no item yet
            assert failed >= set(named)
        elif other % 3 == 0:
            assert not failed
        for uid in set(named) - failed:
            mailbox.messages[uid] = _changed(mailbox.messages[uid], flag, sign)

    async def _replace(
        self, client: Client, mailbox: Mailbox, place: int, target: str, other: int
    ) -> None:
        """RFC 8508: the new message comes and the old one goes, or neither."""
        flag, uid = FLAGS[other % len(FLAGS)], client.numbers[place]
        into = self.mailboxes.get(target)
        is_possible = uid in mailbox.messages and into is not None
        if is_possible and into is not None:
            into.add(frozenset({flag}))
            self._remove(mailbox, [uid])
        said = await client.command(f"REPLACE {place + 1} {target} ({flag})", MESSAGE)
        assert said.startswith("OK" if is_possible else "NO"), said
        if is_possible:
            client.check()

    async def _transfer(
        self,
        client: Client,
        mailbox: Mailbox,
        numbers: str,
        uids: list[int],
        target: str,
        action: str,
    ) -> None:
        into = self.mailboxes.get(target)
        first, last = map(int, numbers.split(":"))
        if into is not None and action == "copy" and len(uids) <= last - first:
            # Some are gone that the client still counts: no partial copy (RFC 9051 6.4.7).
            said = await client.command(f"COPY {numbers} {target}")
            assert said.startswith("NO [EXPUNGEISSUED]")
            return
        if into is not None:
            for uid in uids:
                into.add(mailbox.messages[uid])
            if action == "move":
                self._remove(mailbox, uids)
        said = await client.command(f"{action.upper()} {numbers} {target}")
        assert said.startswith("NO [TRYCREATE]" if into is None else "OK")
        if into is not None:
            client.check()

    def _remove(self, mailbox: Mailbox, uids: list[int]) -> None:
        for uid in uids:
            del mailbox.messages[uid]

    async def _idle(self, client: Client, mailbox: Mailbox, one: int) -> None:
        """News come during IDLE: what another session appends is there before DONE is sent."""
        client.writer.write(b"idle IDLE\r\n")
        while not (line := await client.line()).startswith("+ "):
            client.hear(line)
        others = [other for other in self.clients if other is not client]
        speaker = others[one % len(others)]
        name = next(name for name, held in self.mailboxes.items() if held is mailbox)
        if speaker.mailbox is None or speaker.mailbox in self.mailboxes.values():
            await self._append(speaker, name, "x")
            while client.last_uid < max(mailbox.messages):
                client.hear(await client.line())
        client.writer.write(b"DONE\r\n")
        while not (line := await client.line()).startswith("idle "):
            client.hear(line)
        assert line.startswith("idle OK")
        client.check()


def _changed(flags: frozenset[str], flag: str, sign: str) -> frozenset[str]:
    return flags | {flag} if sign == "+" else flags - {flag}


ACTIONS: Final = (
    *("append", "append", "store", "store", "store if", "store if", "fetch", "copy", "move"),
    *("expunge", "uid expunge", "replace", "select", "select", "noop", "idle", "status"),
    *("create", "delete", "rename", "leave", "return", "return", "miss", "miss", "miss"),
)
steps: Final = st.lists(
    st.tuples(
        st.integers(0, SESSIONS - 1), st.sampled_from(ACTIONS), st.integers(0, 7), st.integers(0, 7)
    ),
    min_size=5,
    max_size=40,
)
START: Final[list[Step]] = [(number, "select", number // 2, 0) for number in range(SESSIONS)]
"""One session of each kind in each of two mailboxes."""
