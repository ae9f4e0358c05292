"""Logins that plugins decide about (`on_auth`)."""

from __future__ import annotations

import pytest

from rmail_kernel.auth.service import AuthService
from rmail_kernel.errors import AuthFailed, Temporary
from rmail_kernel.hooks import hookimpl
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Address, Principal, Reject, SessionInfo
from rmail_kernel.storage.ids import AccountId
from tests.auth.conftest import LOCAL, PASSWORD, CountedPasswords, session


class Authenticator:
    """Answers by login; an exception is raised."""

    def __init__(self, answers: dict[str, Principal | Reject | Exception]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, str]] = []

    @hookimpl
    async def on_auth(
        self, login: str, secret: str, session: SessionInfo
    ) -> Principal | Reject | None:
        self.asked.append((login, secret, session.protocol))
        answer = self.answers.get(login)
        if isinstance(answer, Exception):
            raise answer
        return answer


def principal(name: str) -> Principal:
    """What a plugin says, more than it may: rights come from the directory."""
    return Principal(AccountId(f"{name}@example.com"), Address(name, "example.com"), is_admin=True)


@pytest.fixture
def plugin(kernel: Kernel) -> Authenticator:
    found = Authenticator(
        {
            "emp\\1234": principal("alice"),
            "ghost": principal("ghost"),
            "alice": Reject(),
            "broken": RuntimeError("no connection"),
        }
    )
    kernel.bus.register(found, "authenticator")
    return found


async def test_a_plugin_lets_in_an_account_with_the_directorys_rights(
    service: AuthService, plugin: Authenticator, passwords: CountedPasswords
) -> None:
    found = await service.authenticate("emp\\1234", "badge", LOCAL)
    assert found.account == "alice@example.com"
    assert not found.is_admin
    assert await service.is_current(found)
    assert passwords.checked == []
    await service.authenticate("emp\\1234", "badge", LOCAL)
    assert plugin.asked == [("emp\\1234", "badge", "imap")]


async def test_an_answer_is_remembered_for_its_protocol_and_peer_only(
    service: AuthService, plugin: Authenticator
) -> None:
    for info in (LOCAL, session("127.0.0.1", "http"), session("::1"), LOCAL):
        await service.authenticate("emp\\1234", "badge", info)
    assert len(plugin.asked) == 3


@pytest.mark.parametrize("login", ["ghost", "alice"])
async def test_rejected_and_strange_principals_are_refused(
    service: AuthService, plugin: Authenticator, login: str
) -> None:
    with pytest.raises(AuthFailed):
        await service.authenticate(login, PASSWORD, LOCAL)
    assert len(plugin.asked) == 1


async def test_a_plugin_without_an_answer_leaves_it_to_the_directory(
    service: AuthService, plugin: Authenticator
) -> None:
    assert (await service.authenticate("alice@example.com", PASSWORD, LOCAL)).account == (
        "alice@example.com"
    )
    assert len(plugin.asked) == 1


async def test_a_plugin_never_sees_what_cannot_be_a_login(
    service: AuthService, plugin: Authenticator
) -> None:
    for login, secret in (("a\nb", "x"), ("alice", "x\0"), ("alice", "x" * 1025)):
        with pytest.raises(AuthFailed):
            await service.authenticate(login, secret, LOCAL)
    assert plugin.asked == []


async def test_a_broken_plugin_is_temporary_and_locks_nobody_out(
    kernel: Kernel, service: AuthService, plugin: Authenticator
) -> None:
    peer = session("192.0.2.1")
    for _ in range(kernel.settings.rate_limit.max_auth_failures + 1):
        with pytest.raises(Temporary):
            await service.authenticate("broken", PASSWORD, peer)
    assert await service.authenticate("alice@example.com", PASSWORD, peer)


async def test_a_disabled_account_is_refused_whatever_a_plugin_says(
    kernel: Kernel, service: AuthService, plugin: Authenticator
) -> None:
    account = await kernel.directory.by_id(AccountId("alice@example.com"))
    assert account is not None
    await kernel.directory.update(account, is_enabled=False)
    with pytest.raises(AuthFailed):
        await service.authenticate("emp\\1234", "badge", LOCAL)
