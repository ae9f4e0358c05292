"""`make bench`: rmail beside Dovecot in one run on one machine; prints figures, tests nothing.

Load goes to loopback only and is bounded: some thousand messages, under a minute.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from pathlib import Path

from benchmarks import servers
from benchmarks.imap_client import Client, message, timed, timed_appends

ROUNDS = 3
APPENDS = 300
READS = 3000
Figures = dict[str, float]


async def measure(port: int, number: int) -> Figures:
    """One round against one server; rates in 1/s."""
    (login, password) = servers.users(range(8, 9))[0]
    one = await timed_appends(port, servers.users(range(1)), APPENDS)
    eight = await timed_appends(port, servers.users(range(8)), APPENDS // 4)
    client = await Client.login(port, login, password)
    await client.command(f"CREATE box{number}".encode())
    await _fill(client, f"box{number}")
    await client.command(f"SELECT box{number}".encode())
    figures = {"append, 1 connection": one, "append, 8 connections": eight}
    for name, command in (
        ("FETCH FLAGS", b"FETCH 1:* (UID FLAGS)"),
        ("FETCH ENVELOPE", b"FETCH 1:* (UID ENVELOPE)"),
        ("FETCH BODY.PEEK[]", b"FETCH 1:* (BODY.PEEK[])"),
        ("STORE +FLAGS", b"STORE 1:* +FLAGS (\\Flagged)"),
    ):
        figures[name] = READS / await timed(client, command, READS)
    await client.close()
    return figures


async def _fill(client: Client, mailbox: str) -> None:
    """READS messages by appending some and copying them, as both servers can."""
    for number in range(100):
        await client.append(mailbox, message(number))
    await client.command(f"SELECT {mailbox}".encode())
    have = 100
    while have < READS:
        take = min(have, READS - have)
        await client.command(f"COPY 1:{take} {mailbox}".encode())
        await client.command(b"NOOP")
        have += take


def main() -> None:
    """Interleaves the rounds and prints medians."""
    found: dict[str, list[Figures]] = {"rmail": [], "dovecot": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with servers.rmail(folder / "rmail") as ours, servers.dovecot(folder / "dovecot") as theirs:
            for number in range(ROUNDS):
                found["rmail"].append(asyncio.run(measure(ours, number)))
                if theirs is not None:
                    found["dovecot"].append(asyncio.run(measure(theirs, number)))
    for metric in found["rmail"][0]:
        rate = statistics.median(figures[metric] for figures in found["rmail"])
        text = f"{metric:24} rmail {rate:9.0f}/s"
        if found["dovecot"]:
            peer = statistics.median(figures[metric] for figures in found["dovecot"])
            text += f"   Dovecot {peer:9.0f}/s   ratio {rate / peer:5.2f}"
        print(text)
    if not found["dovecot"]:
        print("Dovecot is not installed or this is not root: no ratios.")


if __name__ == "__main__":
    main()
