"""Random commands of several sessions against a real server, compared with a simple model: what the
mailboxes hold, and which message each session takes for which number.

RFC 3501 5.2, 7.3, 7.4. RMAIL_IMAP_MODEL_EXAMPLES sets how many runs there are.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rmail_kernel.testing import RunningServer
from rmail_kernel.testing.server import make_settings

EXAMPLES: Final = int(os.environ.get("RMAIL_IMAP_MODEL_EXAMPLES", "15"))
SESSIONS: Final = 3
NAMES: Final = 3
FLAGS: Final = ("\\Seen", "\\Flagged", "\\Deleted", "$Work")
_FETCH: Final = re.compile(r"\* (\d+) FETCH \((?:UID (\d+) )?FLAGS \(([^)]*)\)")
_COUNT: Final = re.compile(r"\* (\d+) (EXISTS|RECENT|EXPUNGE)")
Step = tuple[int, str, int, int]


@dataclass(eq=False)
class Mailbox:
    """What a mailbox really holds."""

    messages: dict[int, frozenset[str]] = field(default_factory=dict)
    uidnext: int = 1

    def add(self, flags: frozenset[str]) -> None:
        self.messages[self.uidnext] = flags
        self.uidnext += 1


@dataclass(eq=False)
class Client:
    """A connection, and what its user believes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    tags: itertools.count[int] = field(default_factory=itertools.count)
    mailbox: Mailbox | None = None
    numbers: list[int] = field(default_factory=list)
    flags: dict[int, frozenset[str]] = field(default_factory=dict)
    last_uid: int = 0

    async def line(self) -> str:
        async with asyncio.timeout(20):
            return (await self.reader.readline()).decode().rstrip("\r\n")

    async def command(self, text: str, literal: str | None = None) -> str:
        """The tagged line; untagged ones are taken into what the user believes. "" after a BYE."""
        tag = f"t{next(self.tags)}"
        more = "" if literal is None else f" {{{len(literal)}+}}\r\n{literal}"
        self.writer.write(f"{tag} {text}{more}\r\n".encode())
        may_expunge = not re.match("(FETCH|STORE|SEARCH) ", text)
        while not (line := await self.line()).startswith(f"{tag} "):
            if line.startswith("* BYE") or not line:
                return ""
            self.hear(line, may_expunge=may_expunge)
        return line.removeprefix(f"{tag} ")

    def hear(self, line: str, *, may_expunge: bool = True) -> None:
        """An untagged response."""
        count, fetched = _COUNT.match(line), _FETCH.match(line)
        if count and count[2] == "EXPUNGE":
            assert may_expunge, line
            uid = self.numbers.pop(int(count[1]) - 1)
            assert self.mailbox is not None
            assert uid not in self.mailbox.messages, f"{line}: {uid} is there"
            self.flags.pop(uid, None)
        elif count and count[2] == "EXISTS":
            self.hear_exists(int(count[1]))
        elif fetched:
            uid = self.numbers[int(fetched[1]) - 1]
            assert fetched[2] in (None, str(uid)), line
            self.flags[uid] = _flags(fetched[3])

    def hear_exists(self, count: int) -> None:
        assert self.mailbox is not None
        fresh = sorted(uid for uid in self.mailbox.messages if uid > self.last_uid)
        fresh = fresh[: count - len(self.numbers)]  # during IDLE more may be on the way
        self.numbers += fresh
        self.last_uid = max([self.last_uid, *fresh])
        assert len(self.numbers) == count

    def check(self) -> None:
        """Everything was told: numbers, and flags as far as they were ever told."""
        assert self.mailbox is not None
        assert self.numbers == sorted(self.mailbox.messages)
        for uid, flags in self.flags.items():
            assert flags == self.mailbox.messages[uid], uid


def _flags(text: str) -> frozenset[str]:
    return frozenset(text.split()) - {"\\Recent"}


class World:
    """All of one run."""

    def __init__(self, server: RunningServer, prefix: str) -> None:
        self._server = server
        self._prefix = prefix
        self.clients: list[Client] = []
        self.mailboxes: dict[str, Mailbox] = {}

    async def run(self, steps: list[Step]) -> None:
        try:
            for _ in range(SESSIONS):
                self.clients.append(await self._connect())
            for name in (self._name(0), self._name(1)):
                await self.clients[0].command(f"CREATE {name}")
                self.mailboxes[name] = Mailbox()
            for which, action, one, other in steps:
                await self._step(which, action, one, other)
            for which in range(SESSIONS):
                await self._step(which, "noop", 0, 0)
                await self._step(which, "fetch", 0, 0)
        finally:
            for client in self.clients:
                client.writer.close()

    async def _connect(self) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.ports["imap"])
        client = Client(reader, writer)
        await client.line()
        assert (await client.command("LOGIN alice secret")).startswith("OK")
        return client

    def _name(self, number: int) -> str:
        return f"{self._prefix}{'abc'[number % NAMES]}"

    async def _step(self, which: int, action: str, one: int, other: int) -> None:
        client = self.clients[which]
        if client.mailbox is not None and client.mailbox not in self.mailboxes.values():
            await client.command("NOOP")
            assert (await client.line()).startswith("* BYE")  # it was deleted: the session ends
            client.writer.close()
            client = self.clients[which] = await self._connect()
        if action in ("append", "create", "delete", "rename", "select"):
            act = {
                "append": self._append,
                "create": self._create,
                "delete": self._delete,
                "rename": self._rename,
                "select": self._select,
            }[action]
            await act(client, self._name(one), self._name(other))
        elif client.mailbox is not None:
            await self._in_mailbox(client, client.mailbox, action, one, other)

    async def _append(self, client: Client, name: str, other: str) -> None:
        flag = FLAGS[len(other) % len(FLAGS)]
        mailbox = self.mailboxes.get(name)
        if mailbox is not None:
            mailbox.add(frozenset({flag}))
        said = await client.command(f"APPEND {name} ({flag})", "Subject: x\r\n\r\nbody\r\n")
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
        client.mailbox = self.mailboxes.get(name)
        client.numbers, client.flags, client.last_uid = [], {}, 0
        said = await client.command(f"SELECT {name}")
        assert said.startswith("NO" if client.mailbox is None else "OK [READ-WRITE]")
        if client.mailbox is not None:
            client.check()

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
            flags = mailbox.messages[uid]
            mailbox.messages[uid] = flags | {flag} if sign == "+" else flags - {flag}
            if silent and uid in client.flags:
                known = client.flags[uid]
                client.flags[uid] = known | {flag} if sign == "+" else known - {flag}
        said = await client.command(f"STORE {numbers} {sign}FLAGS{silent} ({flag})")
        assert said.startswith("OK")

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
        speaker = self.clients[(self.clients.index(client) + 1 + one % 2) % SESSIONS]
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


ACTIONS: Final = (
    "append", "append", "store", "store", "fetch", "copy", "move", "expunge", "uid expunge",
    "select", "select", "noop", "idle", "create", "delete", "rename",
)  # fmt: skip
steps = st.lists(
    st.tuples(
        st.integers(0, SESSIONS - 1), st.sampled_from(ACTIONS), st.integers(0, 7), st.integers(0, 7)
    ),
    min_size=5,
    max_size=40,
)


@pytest.mark.timeout(max(60, EXAMPLES * 4))
def test_sessions_believe_what_the_model_says(tmp_path: Path) -> None:
    options = {"rate_limit": {"enabled": False}, "log": {"level": "error"}}
    server = RunningServer(make_settings(tmp_path / "mailstore", ["imap"], options), {})
    runs = itertools.count()
    with asyncio.Runner() as runner:
        runner.run(server.start())
        try:

            @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
            @given(steps)
            def check(found: list[Step]) -> None:
                start = [(n, "select", n % 2, 0) for n in range(SESSIONS)]
                runner.run(World(server, f"r{next(runs)}").run([*start, *found]))

            check()
        finally:
            runner.run(server.stop())
