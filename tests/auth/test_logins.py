"""Logins against the local directory."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from rmail_kernel import auth
from rmail_kernel.auth import service as module
from rmail_kernel.auth.passwords import Passwords, hash_password
from rmail_kernel.auth.service import AuthService
from rmail_kernel.auth.verified import VerifiedCache
from rmail_kernel.errors import AuthFailed, Conflict, Invalid, Temporary
from rmail_kernel.hooks import hookimpl
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Principal, SessionInfo
from rmail_kernel.observe.metrics import LOGINS
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.testing.clock import FakeClock
from tests.auth.conftest import LOCAL, PASSWORD, CountedPasswords
from tests.auth.test_passwords import pbkdf2

ALICE = AccountId("alice@example.com")


async def change(kernel: Kernel, **changes: object) -> None:
    account = await kernel.directory.by_id(ALICE)
    assert account is not None
    await kernel.directory.update(account, **changes)


@pytest.mark.parametrize(
    "login", ["alice@example.com", "ALICE@Example.COM", "alice@example.com.", "alice", "Alice"]
)
async def test_all_forms_of_a_login_reach_the_account(service: AuthService, login: str) -> None:
    principal = await service.authenticate(login, PASSWORD, LOCAL)
    assert principal.account == ALICE
    assert await service.is_current(principal)


@pytest.mark.parametrize(
    ("login", "secret"),
    [
        ("alice@example.com", "wrong"),
        ("alice@example.com", ""),
        ("alice@example.com", PASSWORD + "\0"),
        ("alice@example.com", "p" * 1025),
        ("alice@example.com", "\udcff"),
        ("alice\0@example.com", PASSWORD),
        ("\nalice@example.com", PASSWORD),
        ("\udcff@example.com", PASSWORD),
        ("alice@other.example", PASSWORD),
        ("../alice@example.com", PASSWORD),
        ("nobody@example.com", PASSWORD),
        ("not an address@", PASSWORD),
        ("@", PASSWORD),
        ("", PASSWORD),
        ("a" * 400, PASSWORD),
    ],
)
async def test_everything_wrong_is_the_same_error(
    service: AuthService, login: str, secret: str
) -> None:
    with pytest.raises(AuthFailed) as caught:
        await service.authenticate(login, secret, LOCAL)
    assert type(caught.value) is AuthFailed
    assert caught.value.safe == "Wrong login or password"


async def test_unknown_disabled_and_passwordless_accounts_cost_as_much_as_a_wrong_password(
    kernel: Kernel, root: Path, service: AuthService, passwords: CountedPasswords
) -> None:
    await auth.create_user(root, "off", "example.com", PASSWORD, bcrypt_cost=4)
    await auth.create_user(root, "external", "example.com", PASSWORD, bcrypt_cost=4)
    off, external = [
        await kernel.directory.by_id(AccountId(f"{name}@example.com"))
        for name in ("off", "external")
    ]
    assert off is not None
    assert external is not None
    await kernel.directory.update(off, is_enabled=False)
    await kernel.directory.update(external, password_hash="")
    for login in ("alice", "nobody", "off", "external", "alice@other.example", "no address@"):
        passwords.checked.clear()
        with pytest.raises(AuthFailed):
            await service.authenticate(login, "wrong" if login == "alice" else PASSWORD, LOCAL)
        assert [stored[:7] for stored in passwords.checked] == ["$2b$04$"], login


async def test_a_remembered_login_costs_no_hash(
    service: AuthService, passwords: CountedPasswords, clock: FakeClock, kernel: Kernel
) -> None:
    first = await service.authenticate("alice", PASSWORD, LOCAL)
    assert await service.authenticate("alice@example.com", PASSWORD, LOCAL) == first
    assert len(passwords.checked) == 1
    with pytest.raises(AuthFailed):
        await service.authenticate("alice", "wrong", LOCAL)
    assert len(passwords.checked) == 2
    clock.advance(kernel.settings.auth.cache_s)
    await service.authenticate("alice", PASSWORD, LOCAL)
    assert len(passwords.checked) == 3


@pytest.mark.parametrize("sections", [{"auth": {"bcrypt_cost": 4, "cache_s": 0}}])
async def test_the_cache_can_be_off(service: AuthService, passwords: CountedPasswords) -> None:
    for _ in range(2):
        await service.authenticate("alice", PASSWORD, LOCAL)
    assert len(passwords.checked) == 2


@pytest.mark.parametrize(
    "changes", [{"is_enabled": False}, {"password_hash": hash_password("n", 4)}]
)
async def test_a_remembered_login_ends_with_the_change(
    kernel: Kernel, service: AuthService, changes: dict[str, Any]
) -> None:
    principal = await service.authenticate("alice", PASSWORD, LOCAL)
    await change(kernel, **changes)
    assert not await service.is_current(principal)
    with pytest.raises(AuthFailed):
        await service.authenticate("alice", PASSWORD, LOCAL)


async def test_a_remembered_login_ends_with_the_account(
    kernel: Kernel, root: Path, service: AuthService
) -> None:
    principal = await service.authenticate("alice", PASSWORD, LOCAL)
    await kernel.directory.delete(ALICE)
    with pytest.raises(AuthFailed):
        await service.authenticate("alice", PASSWORD, LOCAL)
    await auth.create_user(root, "alice", "example.com", "another", bcrypt_cost=4)
    assert not await service.is_current(principal)
    with pytest.raises(AuthFailed):
        await service.authenticate("alice", PASSWORD, LOCAL)


async def test_other_changes_reach_a_remembered_login(
    kernel: Kernel, service: AuthService, passwords: CountedPasswords
) -> None:
    await service.authenticate("alice", PASSWORD, LOCAL)
    await change(kernel, is_admin=True)
    assert (await service.authenticate("alice", PASSWORD, LOCAL)).is_admin
    assert len(passwords.checked) == 1


async def test_the_cache_is_bounded_and_keeps_what_is_used(
    kernel: Kernel, root: Path, passwords: CountedPasswords
) -> None:
    cache = VerifiedCache(size=2)
    service = AuthService(kernel, passwords=passwords, cache=cache)
    for name in ("bob", "carol"):
        await auth.create_user(root, name, "example.com", PASSWORD, bcrypt_cost=4)
    for name in ("alice", "bob", "alice", "carol", "alice"):
        await service.authenticate(name, PASSWORD, LOCAL)
        assert len(cache) <= 2
    assert len(passwords.checked) == 3
    await service.authenticate("bob", PASSWORD, LOCAL)
    assert len(passwords.checked) == 4


async def test_identical_logins_at_once_share_one_hash(
    service: AuthService, passwords: CountedPasswords
) -> None:
    found = await asyncio.gather(
        *(service.authenticate("alice", PASSWORD, LOCAL) for _ in range(20))
    )
    assert len({principal.account for principal in found}) == 1
    assert len(passwords.checked) == 1


async def test_a_client_that_leaves_does_not_spoil_the_login_of_another(
    service: AuthService, passwords: CountedPasswords
) -> None:
    leaving = asyncio.create_task(service.authenticate("alice", PASSWORD, LOCAL))
    staying = asyncio.create_task(service.authenticate("alice", PASSWORD, LOCAL))
    while not service._flights:
        await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).account == ALICE
    assert len(passwords.checked) == 1


class HeldPasswords(Passwords):
    """Real hashing that begins when the test lets it."""

    __slots__ = ()
    go = threading.Event()

    def check_bcrypt(self, secret: str, stored: str) -> bool:
        self.go.wait(10)
        return super().check_bcrypt(secret, stored)


async def test_logins_that_wait_for_a_hash_are_bounded(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    HeldPasswords.go.clear()
    service = AuthService(kernel, passwords=HeldPasswords(4))
    waiting = [
        asyncio.create_task(service.authenticate("alice", f"wrong {number}", LOCAL))
        for number in range(3)
    ]
    while service._waiting < 3:
        await asyncio.sleep(0)
    with pytest.raises(Temporary):
        await service.authenticate("alice", PASSWORD, LOCAL)
    HeldPasswords.go.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [AuthFailed] * 3


async def test_a_password_changed_while_its_hash_is_looked_at_is_wrong(kernel: Kernel) -> None:
    HeldPasswords.go.clear()
    service = AuthService(kernel, passwords=HeldPasswords(4))
    login = asyncio.create_task(service.authenticate("alice", PASSWORD, LOCAL))
    while not service._waiting:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    await change(kernel, password_hash=hash_password("new", 4))
    HeldPasswords.go.set()
    with pytest.raises(AuthFailed):
        await login


@pytest.mark.parametrize("sections", [{"auth": {"bcrypt_cost": 5}}])
async def test_an_upgrade_that_meets_a_new_password_gives_way_to_it(kernel: Kernel) -> None:
    HeldPasswords.go.clear()
    service = AuthService(kernel, passwords=HeldPasswords(5))
    login = asyncio.create_task(service.authenticate("alice", PASSWORD, LOCAL))
    while not service._waiting:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    new = hash_password("new", 5)
    await change(kernel, password_hash=new)
    HeldPasswords.go.set()
    with pytest.raises(AuthFailed):
        await login
    account = await kernel.directory.by_id(ALICE)
    assert account is not None
    assert account.password_hash == new


@pytest.mark.parametrize("stored", [pbkdf2(PASSWORD), hash_password(PASSWORD, 4)])
@pytest.mark.parametrize("sections", [{"auth": {"bcrypt_cost": 5}}])
async def test_older_hashes_are_upgraded_at_login_and_end_no_session(
    kernel: Kernel, stored: str
) -> None:
    await change(kernel, password_hash=stored)
    before = await kernel.directory.by_id(ALICE)
    assert before is not None
    service = AuthService(kernel)
    with pytest.raises(AuthFailed):
        await service.authenticate("alice", "wrong", LOCAL)
    assert (await service.authenticate("alice", PASSWORD, LOCAL)).credential_version == (
        before.credential_version
    )
    after = await kernel.directory.by_id(ALICE)
    assert after is not None
    assert after.password_hash.startswith("$2b$05$")
    again = AuthService(kernel)
    await again.authenticate("alice", PASSWORD, LOCAL)
    with pytest.raises(AuthFailed):
        await again.authenticate("alice", "wrong", LOCAL)


class Listener:
    """Hears of logins."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, SessionInfo]] = []

    @hookimpl
    def on_login(self, principal: Principal, session: SessionInfo) -> None:
        self.calls.append((principal, session))

    @hookimpl
    async def on_login_failed(self, login: str, session: SessionInfo) -> None:
        self.calls.append((login, session))


async def test_plugins_hear_of_logins_and_metrics_count_them(
    kernel: Kernel, service: AuthService
) -> None:
    def count(result: str) -> float:
        return float(LOGINS.labels("imap", result)._value.get())

    before = {result: count(result) for result in ("ok", "cached", "failed")}
    heard = Listener()
    kernel.bus.register(heard, "listener")
    principal = await service.authenticate("alice", PASSWORD, LOCAL)
    await service.authenticate("alice", PASSWORD, LOCAL)
    with pytest.raises(AuthFailed):
        await service.authenticate("alice", "wrong", LOCAL)
    assert heard.calls == [(principal, LOCAL), (principal, LOCAL), ("alice", LOCAL)]
    assert {result: count(result) - number for result, number in before.items()} == {
        "ok": 1,
        "cached": 1,
        "failed": 1,
    }


async def test_create_user_makes_store_domain_and_account(tmp_path: Path) -> None:
    root = tmp_path / "a" / "mailstore"
    made = await auth.create_user(
        str(root), "admin", "Example.com", "password", admin=True, quota_mb=5, bcrypt_cost=4
    )
    assert made.is_admin
    stored = json.loads((root / "domains/example.com/users/admin/account.json").read_bytes())
    assert (stored["version"], stored["admin"], stored["quota_mb"]) == (1, True, 5)
    with pytest.raises(Conflict):
        await auth.create_user(root, "admin", "example.com", "password", bcrypt_cost=4)


@pytest.mark.parametrize(
    ("username", "domain", "password", "quota_mb"),
    [
        ("Admin", "example.com", "password", 1),
        ("admin", "exa mple", "password", 1),
        ("admin", "example.com", "", 1),
        ("admin", "example.com", "password", 0),
    ],
)
async def test_create_user_makes_nothing_of_bad_input(
    tmp_path: Path, username: str, domain: str, password: str, quota_mb: int
) -> None:
    with pytest.raises(Invalid):
        await auth.create_user(
            tmp_path / "s", username, domain, password, quota_mb=quota_mb, bcrypt_cost=4
        )
    assert not (tmp_path / "s").exists()
