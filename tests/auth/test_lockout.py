"""Lockout of addresses, slowing down of accounts, exemptions, `unban`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from structlog.testing import capture_logs

from rmail_kernel.auth.lockout import MAX_DELAY_S, bans, delay_s, peer_key, unban
from rmail_kernel.auth.service import AuthService
from rmail_kernel.errors import AuthFailed, LockedOut, Temporary
from rmail_kernel.kernel import Kernel
from rmail_kernel.storage.filesystem.state import SqliteState
from rmail_kernel.testing.clock import FakeClock
from tests.auth.conftest import PASSWORD, CountedPasswords, session

PEER = "192.0.2.1"


async def fail(
    service: AuthService, login: str = "alice", peer: str = PEER, times: int = 5
) -> None:
    for _ in range(times):
        with pytest.raises(AuthFailed) as caught:
            await service.authenticate(login, "wrong", session(peer))
        assert type(caught.value) is AuthFailed


async def locked_for(service: AuthService, login: str = "alice", peer: str = PEER) -> float:
    with pytest.raises(LockedOut) as caught:
        await service.authenticate(login, PASSWORD, session(peer))
    return caught.value.retry_after_s


async def test_the_fifth_failure_locks_out_for_the_time_in_the_settings(
    service: AuthService, clock: FakeClock, passwords: CountedPasswords
) -> None:
    await fail(service)
    assert await locked_for(service) == pytest.approx(900)
    assert len(passwords.checked) == 5
    clock.advance(899)
    assert await locked_for(service) == pytest.approx(1)
    clock.advance(1)
    await service.authenticate("alice", PASSWORD, session(PEER))


async def test_a_failure_is_logged_with_who_and_over_what(service: AuthService) -> None:
    # RFC 8314 4: the cipher stands in logs of logins
    over_tls = replace(session(PEER), tls="TLSv1.3 TLS_AES_256_GCM_SHA384")
    with capture_logs() as lines, pytest.raises(AuthFailed):
        await service.authenticate("alice", "wrong", over_tls)
    found = [line for line in lines if line["event"] == "login failed"]
    assert [(line["login"], line["peer"], line["tls"]) for line in found] == [
        ("alice", PEER, "TLSv1.3 TLS_AES_256_GCM_SHA384")
    ]


async def test_failures_outside_the_window_do_not_count(
    service: AuthService, clock: FakeClock
) -> None:
    await fail(service, times=4)
    clock.advance(901)
    await fail(service, times=4)
    await service.authenticate("alice", PASSWORD, session(PEER))


async def test_failures_with_many_accounts_lock_the_address_out(service: AuthService) -> None:
    for number in range(5):
        await fail(service, f"user{number}", times=1)
    await locked_for(service)
    await service.authenticate("alice", PASSWORD, session("192.0.2.2"))


async def test_malformed_attempts_count_for_the_address(service: AuthService) -> None:
    await fail(service, "a\0b")
    await locked_for(service)


async def test_a_success_of_ones_own_does_not_wipe_the_failures_of_the_address(
    service: AuthService,
) -> None:
    await fail(service, "bob", times=4)
    await service.authenticate("alice", PASSWORD, session(PEER))
    await fail(service, "bob", times=1)
    await locked_for(service, "bob")


async def test_who_succeeded_before_is_not_locked_out_by_neighbours(
    service: AuthService,
) -> None:
    await service.authenticate("alice", PASSWORD, session(PEER))
    await fail(service, "bob")
    await locked_for(service, "bob")
    await service.authenticate("alice", PASSWORD, session(PEER))


async def test_who_succeeded_before_is_locked_out_by_own_failures(service: AuthService) -> None:
    await service.authenticate("alice", PASSWORD, session(PEER))
    await fail(service)
    await locked_for(service)


async def test_own_success_forgives_own_failures(service: AuthService, kernel: Kernel) -> None:
    for _ in range(3):
        await fail(service, times=1)
        await service.authenticate("alice", PASSWORD, session(PEER))
    assert await bans(kernel.state) == []


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("not an address", "unknown"),
    ],
)
def test_addresses_are_counted_by_what_one_customer_has(host: str, key: str) -> None:
    assert peer_key(host) == key


async def test_an_ipv6_network_is_locked_out_as_one(service: AuthService) -> None:
    for number in range(5):
        await fail(service, peer=f"2001:db8::{number}", times=1)
    await locked_for(service, peer="2001:db8::ffff:1")
    await service.authenticate("alice", PASSWORD, session("2001:db8:0:1::1"))


@pytest.mark.parametrize(
    "sections", [{"rate_limit": {"whitelist": ["127.0.0.1", "198.51.100.0/24", "fd00::/8"]}}]
)
@pytest.mark.parametrize("peer", ["127.0.0.1", "::ffff:127.0.0.1", "198.51.100.77", "fd12::1"])
async def test_whitelisted_peers_are_exempt(
    service: AuthService, peer: str, slept: list[float]
) -> None:
    await fail(service, peer=peer, times=12)
    await service.authenticate("alice", PASSWORD, session(peer))
    assert slept == []


@pytest.mark.parametrize("sections", [{"rate_limit": {"enabled": False}}])
async def test_limits_can_be_off(service: AuthService) -> None:
    await fail(service, times=12)
    await service.authenticate("alice", PASSWORD, session(PEER))


async def test_failures_from_many_addresses_slow_an_account_down_and_lock_nobody_out(
    service: AuthService, slept: list[float], kernel: Kernel
) -> None:
    for number in range(12):
        await fail(service, peer=f"203.0.113.{number}", times=1)
    assert slept == [0.25, 0.5, 1.0, 2.0, 4.0, MAX_DELAY_S]
    slept.clear()
    await service.authenticate("alice", PASSWORD, session(PEER))
    assert slept == [MAX_DELAY_S]
    await service.authenticate("alice", PASSWORD, session(PEER))  # known from here by now
    assert slept == [MAX_DELAY_S]
    assert await bans(kernel.state) == []


def test_the_delay_grows_and_ends() -> None:
    assert [delay_s(failures, 5) for failures in (0, 5, 6, 7, 100, 10**9)] == [
        *(0.0, 0.0, 0.25, 0.5),
        *(MAX_DELAY_S, MAX_DELAY_S),
    ]


async def test_bans_are_listed_and_lifted_by_address(service: AuthService, kernel: Kernel) -> None:
    await fail(service)
    await fail(service, peer="192.0.2.10")
    found = {(ban.ip, ban.login) for ban in await bans(kernel.state)}
    assert found == {
        (ip, login) for ip in (PEER, "192.0.2.10") for login in ("", "alice@example.com")
    }
    assert await unban(kernel.state, PEER) == 2
    await service.authenticate("alice", PASSWORD, session(PEER))
    await locked_for(service, peer="192.0.2.10")
    assert await unban(kernel.state, PEER) == 0


async def test_bans_are_lifted_by_network(service: AuthService, kernel: Kernel) -> None:
    for subject in ("2001:db8::7", "2001:db8::/64"):
        await fail(service, peer="2001:db8::1")
        assert await unban(kernel.state, subject) == 2


@pytest.mark.parametrize("subject", ["Alice@Example.com", "ALICE"])
async def test_bans_are_lifted_by_account(
    service: AuthService, kernel: Kernel, slept: list[float], subject: str
) -> None:
    await service.authenticate("alice", PASSWORD, session(PEER))  # so that only the pair is banned
    await fail(service)
    assert await unban(kernel.state, subject) == 1
    await service.authenticate("alice", PASSWORD, session(PEER))
    for number in range(6):
        await fail(service, peer=f"203.0.113.{number}", times=1)
    assert await unban(kernel.state, subject) == 0
    slept.clear()
    await service.authenticate("alice", PASSWORD, session("203.0.113.77"))
    assert slept == []


async def test_a_burst_cannot_try_more_than_the_limit_and_what_is_under_way(
    service: AuthService, passwords: CountedPasswords
) -> None:
    results = await asyncio.gather(
        *(service.authenticate("alice", f"wrong {number}", session(PEER)) for number in range(40)),
        return_exceptions=True,
    )
    assert all(isinstance(result, AuthFailed) for result in results)
    assert len(passwords.checked) <= 5 + 2 * service._slots._value


async def test_what_is_no_address_can_be_asked_to_be_unbanned(
    service: AuthService, kernel: Kernel
) -> None:
    await fail(service, "emp\\12", peer="a socket")
    assert {ban.ip for ban in await bans(kernel.state)} == {"unknown"}
    assert await unban(kernel.state, "EMP\\12") == 1
    assert await unban(kernel.state, "unknown") == 1
    assert await unban(kernel.state, "nobody@example.com") == 0


async def test_a_state_that_cannot_be_written_keeps_nobody_out_who_is_right(
    service: AuthService, root: Path, kernel: Kernel
) -> None:
    assert isinstance(kernel.state, SqliteState)
    kernel.state._db.set_busy_timeout(10)
    other = apsw.Connection(str(root / "state.db"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Temporary):
        await service.authenticate("alice", "wrong", session(PEER))
    assert await service.authenticate("alice", PASSWORD, session(PEER))
    other.execute("ROLLBACK")
    other.close()
