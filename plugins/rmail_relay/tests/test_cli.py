"""`rmail queue` beside a running server, and the route that `rmail alias test` shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rmail_kernel.cli import main
from rmail_kernel.storage.queue import JobState
from rmail_kernel.testing import FakeClock

from .outside import Relay

Rmail = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def rmail_clock() -> FakeClock:
    """The server is an hour ahead of the commands, so that what they want at once is due."""
    return FakeClock(datetime.now(UTC) + timedelta(hours=1))


@pytest.fixture
def rmail(relay: Relay, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Rmail:
    """Runs a command on the store of the server; its exit code and what it printed."""
    config = tmp_path / "config.json"
    data: dict[str, Any] = {"mail_root": "mailstore", "plugins": ["relay"]}
    data["relay"] = {"smarthost": {"host": "127.0.0.9", "port": 2600, "tls": "none"}}
    config.write_text(json.dumps(data))

    async def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()  # the log of the server
        code = await asyncio.to_thread(main, [*words, "--config", str(config)])
        found = capsys.readouterr()
        return code, found.out

    return run


@pytest.fixture
async def waiting(relay: Relay) -> list[str]:
    """The ids of two messages that wait."""
    relay.peers.down = {"a.test", "b.test"}
    await relay.send("dave@a.test")
    await relay.send("erin@b.test", "frank@b.test")
    jobs = await relay.settled(lambda jobs: [job.attempts for job in jobs] == [1, 1])
    return [job.id for job in sorted(jobs, key=lambda job: job.lane)]


async def test_list_and_show_tell_what_waits(rmail: Rmail, waiting: list[str]) -> None:
    code, out = await rmail("queue", "list", "--json")
    found = {one["id"]: one for one in json.loads(out)}
    assert (code, sorted(found)) == (0, sorted(waiting))
    one = found[waiting[1]]
    assert one["waiting_for"] == ["erin@b.test", "frank@b.test"]
    assert (one["sender"], one["attempts"]) == ("alice@example.com", 1)
    assert waiting[0] in (await rmail("queue", "list"))[1]
    _, out = await rmail("queue", "show", waiting[1][:8], "--json")
    fates = json.loads(out)["recipients"]
    assert [fate["fate"] for fate in fates] == ["deferred", "deferred"]
    assert "no answer" in (await rmail("queue", "show", waiting[1]))[1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--domain", "b.test"], [1]),
        (["--recipient", "frank@b.test"], [1]),
        (["--sender", "alice@example.com"], [0, 1]),
        (["--sender", "<>"], []),
        (["--state", "held"], []),
        (["--limit", "1"], None),
    ],
)
async def test_list_finds_by(
    rmail: Rmail, waiting: list[str], words: list[str], expected: list[int] | None
) -> None:
    _, out = await rmail("queue", "list", "--json", *words)
    ids = sorted(one["id"] for one in json.loads(out))
    if expected is None:
        assert len(ids) == 1
    else:
        assert ids == sorted(waiting[number] for number in expected)


async def test_held_mail_waits_for_its_release_and_goes_at_once(
    rmail: Rmail, relay: Relay, waiting: list[str]
) -> None:
    assert await rmail("queue", "hold", waiting[0]) == (0, "1 message held\n")
    (held,) = [job for job in await relay.jobs() if job.state is JobState.HELD]
    assert held.id == waiting[0]
    relay.peers.down.clear()
    assert await rmail("queue", "release", "--all") == (0, "1 message released\n")
    await relay.settled(lambda jobs: [job.id for job in jobs] == [waiting[1]])


async def test_what_is_left_as_before_is_told(rmail: Rmail, waiting: list[str]) -> None:
    await rmail("queue", "hold", waiting[0])
    _, out = await rmail("queue", "retry", "--all")
    assert out == (
        "1 message tried now\n1 message left as before: held, see `rmail queue release`\n"
    )


async def test_an_empty_queue_says_so(rmail: Rmail, relay: Relay) -> None:
    assert await rmail("queue", "list") == (0, "nothing waits\n")
    assert await rmail("queue", "list", "--json") == (0, "[]\n")
    assert await rmail("queue", "flush") == (0, "0 messages tried now\n")


async def test_retry_and_flush_try_at_once(rmail: Rmail, relay: Relay, waiting: list[str]) -> None:
    relay.peers.down.clear()
    assert await rmail("queue", "retry", "--domain", "b.test") == (0, "1 message tried now\n")
    await relay.settled(lambda jobs: [job.id for job in jobs] == [waiting[0]])
    assert await rmail("queue", "flush") == (0, "1 message tried now\n")
    await relay.settled(lambda jobs: not jobs)


async def test_cancelled_mail_is_gone_and_nobody_is_told(
    rmail: Rmail, relay: Relay, waiting: list[str]
) -> None:
    assert await rmail("queue", "cancel", waiting[0], waiting[1]) == (0, "2 messages cancelled\n")
    assert await relay.jobs() == []
    assert await relay.server.messages("alice") == []


async def test_status_and_fsck_tell_of_the_queue(rmail: Rmail, waiting: list[str]) -> None:
    await rmail("queue", "hold", waiting[0])
    _, out = await rmail("status", "--json")
    (found,) = json.loads(out)["queue"]
    assert {key: found[key] for key in ("kind", "waiting", "leased", "held")} == {
        "kind": "relay",
        "waiting": 1,
        "leased": 0,
        "held": 1,
    }
    assert found["oldest_s"] >= 0
    _, out = await rmail("status")
    assert "relay: 1 waiting, 0 under way, 1 held, the oldest for" in out
    code, out = await rmail("fsck", "--json")
    assert (code, json.loads(out)["queued"], json.loads(out)["findings"]) == (0, 2, [])


async def test_nothing_is_done_to_all_by_mistake(rmail: Rmail, waiting: list[str]) -> None:
    assert (await rmail("queue", "cancel"))[0] != 0
    assert (await rmail("queue", "hold", "ffffffffffff"))[0] == 1
    assert (await rmail("queue", "cancel", ""))[0] != 0
    assert (await rmail("queue", "cancel", "", waiting[0]))[0] != 0
    assert (await rmail("queue", "show", "none"))[0] == 1
    _, out = await rmail("queue", "list", "--json")
    assert len(json.loads(out)) == len(waiting)


async def test_the_route_of_an_address_is_shown(rmail: Rmail) -> None:
    """Through the hook `on_outbound_route`."""
    code, out = await rmail("alias", "test", "dave@remote.test", "--json")
    assert code == 0
    assert json.loads(out)["elsewhere"] == {"dave@remote.test": ["smarthost", "127.0.0.9:2600"]}
