"""SCRAM-SHA-256: what is proved, what is kept, and what strangers cannot learn."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rmail_kernel import auth
from rmail_kernel.auth.credentials import credentials
from rmail_kernel.auth.keeper import Keeper
from rmail_kernel.auth.sasl import Challenge
from rmail_kernel.auth.scram_keys import derive, is_proof, server_signature
from rmail_kernel.auth.service import AuthService
from rmail_kernel.errors import AuthFailed, Invalid, LockedOut, Unsupported
from rmail_kernel.hooks import hookimpl
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Principal, SessionInfo
from rmail_kernel.storage.filesystem import scram_record
from rmail_kernel.storage.ids import AccountId
from tests.auth.conftest import LOCAL, PASSWORD, session
from tests.auth.scram_client import ScramClient

ALICE = AccountId("alice@example.com")
BINDING = b"h" * 32
UNIQUE = b"u" * 12
BINDINGS = {"tls-server-end-point": BINDING, "tls-unique": UNIQUE}
END_POINT = "p=tls-server-end-point"


@pytest.fixture
def sections() -> dict[str, Any]:
    return {
        "auth": {"bcrypt_cost": 4, "scram": True, "scram_iterations": 4096},
        "rate_limit": {"max_auth_failures": 2},
    }


async def run(
    service: AuthService,
    client: ScramClient,
    *,
    peer: SessionInfo = LOCAL,
    bindings: Mapping[str, bytes] | None = None,
    name: str = "SCRAM-SHA-256",
) -> Principal:
    exchange = service.exchange(name, peer, bindings)
    challenge = await exchange.step(client.first())
    assert isinstance(challenge, Challenge)
    signature = await exchange.step(client.final(challenge.raw))
    assert isinstance(signature, Challenge)
    assert signature.raw == client.signature
    principal = await exchange.step(b"")
    assert isinstance(principal, Principal)
    return principal


async def salt_of(service: AuthService, login: str) -> tuple[bytes, bytes]:
    challenge = await service.exchange("SCRAM-SHA-256", LOCAL).step(ScramClient(login, "").first())
    assert isinstance(challenge, Challenge)
    _, salt, rounds = challenge.raw.split(b",")
    return salt, rounds


def test_the_example_of_rfc_7677() -> None:
    keys = derive("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    message = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    assert is_proof(keys, proof, message)
    assert not is_proof(keys, proof, message + b" ")
    assert not is_proof(keys, proof[:-1], message)
    signature = base64.b64encode(server_signature(keys, message))
    assert signature == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


async def test_keys_come_with_a_plain_login_and_then_suffice(service: AuthService) -> None:
    with pytest.raises(AuthFailed):
        await run(service, ScramClient("alice", PASSWORD))
    await service.authenticate("alice", PASSWORD, LOCAL)
    assert (await run(service, ScramClient("alice@example.com", PASSWORD))).account == ALICE
    assert (await run(service, ScramClient("Alice", PASSWORD))).account == ALICE


async def test_a_wrong_proof_is_refused_and_counted(service: AuthService) -> None:
    await service.authenticate("alice", PASSWORD, LOCAL)
    peer = session("192.0.2.9")
    for _ in range(2):
        with pytest.raises(AuthFailed):
            await run(service, ScramClient("alice", "wrong"), peer=peer)
    with pytest.raises(LockedOut):
        await run(service, ScramClient("alice", PASSWORD), peer=peer)


async def test_strangers_cannot_tell_who_exists(service: AuthService) -> None:
    await service.authenticate("alice", PASSWORD, LOCAL)
    known, unknown = await salt_of(service, "alice"), await salt_of(service, "nobody")
    assert known == await salt_of(service, "alice")
    assert unknown == await salt_of(service, "nobody")
    assert unknown != await salt_of(service, "nobody2")
    assert len(known[0]) == len(unknown[0])
    assert known[1] == unknown[1]
    with pytest.raises(AuthFailed) as of_unknown:
        await run(service, ScramClient("nobody", PASSWORD))
    with pytest.raises(AuthFailed) as of_known:
        await run(service, ScramClient("alice", "wrong"))
    assert str(of_unknown.value) == str(of_known.value)


async def test_a_new_password_ends_the_old_keys(service: AuthService, kernel: Kernel) -> None:
    await service.authenticate("alice", PASSWORD, LOCAL)
    account = await kernel.directory.by_id(ALICE)
    assert account is not None
    assert account.scram is not None
    kept = credentials("another", kernel.settings.auth)
    changed = await kernel.directory.update(account, password_hash=kept.password_hash)
    assert changed.scram is None
    await kernel.directory.update(changed, password_hash=kept.password_hash, scram=kept.scram)
    with pytest.raises(AuthFailed):
        await run(service, ScramClient("alice", PASSWORD))
    assert (await run(service, ScramClient("alice", "another"))).account == ALICE


def test_keys_beside_a_hash_that_was_changed_by_others_are_worth_nothing() -> None:
    keys = derive(PASSWORD, b"salt", 4096)
    record = scram_record.dump(keys, "hash")
    assert record["version"] == 1
    assert scram_record.load(record, "hash") == keys
    assert scram_record.load(record, "another hash") is None


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"iterations": "4096"}, {"iterations": 1}, {"salt": ""}, {"stored_key": "x"}],
)
def test_keys_that_make_no_sense_count_as_absent(change: dict[str, object]) -> None:
    record = scram_record.dump(derive(PASSWORD, b"salt", 4096), "hash")
    assert scram_record.load(record | change, "hash") is None
    assert scram_record.load("keys", "hash") is None


async def test_a_disabled_account_proves_nothing(service: AuthService, kernel: Kernel) -> None:
    await service.authenticate("alice", PASSWORD, LOCAL)
    account = await kernel.directory.by_id(ALICE)
    assert account is not None
    await kernel.directory.update(account, is_enabled=False)
    with pytest.raises(AuthFailed):
        await run(service, ScramClient("alice", PASSWORD))


async def test_names_with_commas_are_escaped(service: AuthService) -> None:
    with pytest.raises(AuthFailed):
        await run(service, ScramClient("a,b=c", PASSWORD))


class TestBinding:
    async def test_a_bound_exchange(self, service: AuthService) -> None:
        await service.authenticate("alice", PASSWORD, LOCAL)
        client = ScramClient("alice", PASSWORD, flag=END_POINT, binding=BINDING)
        found = await run(service, client, bindings=BINDINGS, name="SCRAM-SHA-256-PLUS")
        assert found.account == ALICE

    async def test_the_client_chooses_the_type(self, service: AuthService) -> None:
        # RFC 5802 6.1
        await service.authenticate("alice", PASSWORD, LOCAL)
        client = ScramClient("alice", PASSWORD, flag="p=tls-unique", binding=UNIQUE)
        assert await run(service, client, bindings=BINDINGS, name="SCRAM-SHA-256-PLUS")
        client = ScramClient("alice", PASSWORD, flag="p=tls-unique", binding=BINDING)
        with pytest.raises(AuthFailed):
            await run(service, client, bindings=BINDINGS, name="SCRAM-SHA-256-PLUS")

    async def test_another_channel_is_refused(self, service: AuthService) -> None:
        await service.authenticate("alice", PASSWORD, LOCAL)
        client = ScramClient("alice", PASSWORD, flag=END_POINT, binding=b"x" * 32)
        with pytest.raises(AuthFailed):
            await run(service, client, bindings=BINDINGS, name="SCRAM-SHA-256-PLUS")

    async def test_who_did_not_hear_of_the_offer_is_refused(self, service: AuthService) -> None:
        await service.authenticate("alice", PASSWORD, LOCAL)
        with pytest.raises(AuthFailed):
            await run(service, ScramClient("alice", PASSWORD, flag="y"), bindings=BINDINGS)
        assert await run(service, ScramClient("alice", PASSWORD, flag="y"))

    @pytest.mark.parametrize(
        ("name", "flag"),
        [
            ("SCRAM-SHA-256", END_POINT),
            ("SCRAM-SHA-256-PLUS", "n"),
            ("SCRAM-SHA-256-PLUS", "p=tls-exporter"),
            ("SCRAM-SHA-256", "p=tls-unique"),
        ],
    )
    async def test_flag_and_mechanism_must_fit(
        self, service: AuthService, name: str, flag: str
    ) -> None:
        with pytest.raises(Invalid):
            await run(service, ScramClient("alice", "x", flag=flag), bindings=BINDINGS, name=name)

    async def test_it_is_offered_where_it_works(self, service: AuthService) -> None:
        assert "SCRAM-SHA-256-PLUS" not in service.mechanisms()
        assert service.mechanisms(BINDINGS)[:2] == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
        with pytest.raises(Unsupported):
            service.exchange("SCRAM-SHA-256-PLUS", LOCAL)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"n,,n=alice",
        b"n,,m=x,n=alice,r=x",
        b"x,,n=alice,r=x",
        b"n,,n=al=ice,r=x",
        b"n,,n=alice,r=\x00",
        b"n,,n=\xff,r=x",
        b"n,,n=alice,r=" + b"x" * 257,
        "n,,n=al\u0007ice,r=x".encode(),
    ],
)
async def test_what_is_no_first_message_is_refused(service: AuthService, raw: bytes) -> None:
    with pytest.raises(Invalid):
        await service.exchange("SCRAM-SHA-256", LOCAL).step(raw)


@pytest.mark.parametrize("raw", [b"", b"c=biws", b"c=biws,r=x,p=!", b"c=biws,r=x,p=a", b"\xff"])
async def test_what_is_no_final_message_is_refused(service: AuthService, raw: bytes) -> None:
    exchange = service.exchange("SCRAM-SHA-256", LOCAL)
    await exchange.step(b"n,,n=alice,r=x")
    with pytest.raises(Invalid):
        await exchange.step(raw)


async def test_nobody_acts_for_another(service: AuthService) -> None:
    with pytest.raises(AuthFailed):
        await service.exchange("SCRAM-SHA-256", LOCAL).step(b"n,a=bob,n=alice,r=x")
    with pytest.raises(AuthFailed):
        await service.exchange("PLAIN", LOCAL).step(f"bob\0alice\0{PASSWORD}".encode())
    with pytest.raises(AuthFailed):
        await service.exchange("PLAIN", LOCAL).step(f"a\nb\0alice\0{PASSWORD}".encode())


@pytest.mark.parametrize("other", ["alice", "alice@example.com", "Alice@EXAMPLE.com"])
async def test_the_same_account_may_be_named_otherwise(service: AuthService, other: str) -> None:
    # RFC 4616 2, RFC 5802 5.1
    found = await service.exchange("PLAIN", LOCAL).step(f"{other}\0alice\0{PASSWORD}".encode())
    assert isinstance(found, Principal)
    first = f"n,a={other},n=alice,r=x".encode()
    assert isinstance(await service.exchange("SCRAM-SHA-256", LOCAL).step(first), Challenge)


async def test_a_forged_nonce_is_refused(service: AuthService) -> None:
    await service.authenticate("alice", PASSWORD, LOCAL)
    client = ScramClient("alice", PASSWORD)
    exchange = service.exchange("SCRAM-SHA-256", LOCAL)
    challenge = await exchange.step(client.first())
    assert isinstance(challenge, Challenge)
    with pytest.raises(AuthFailed):
        await exchange.step(client.final(challenge.raw.replace(b"r=fyko", b"r=fykoX")))


class TestOff:
    @pytest.fixture
    def sections(self) -> dict[str, Any]:
        return {"auth": {"bcrypt_cost": 4, "scram": False}}

    async def test_nothing_is_kept_or_offered(self, service: AuthService, kernel: Kernel) -> None:
        assert service.mechanisms(BINDINGS) == ["PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"]
        with pytest.raises(Unsupported):
            service.exchange("SCRAM-SHA-256", LOCAL)
        await service.authenticate("alice", PASSWORD, LOCAL)
        account = await kernel.directory.by_id(ALICE)
        assert account is not None
        assert account.scram is None

    async def test_keys_of_before_are_forgotten(self, kernel: Kernel, root: Path) -> None:
        await auth.create_user(root, "bob", "example.com", PASSWORD, bcrypt_cost=4)
        for name in (ALICE, AccountId("bob@example.com")):
            account = await kernel.directory.by_id(name)
            assert account is not None
            await kernel.directory.update(account, scram=derive(PASSWORD, b"salt", 4096))
        (task,) = Keeper(kernel).tasks()
        await task.run()
        for name in (ALICE, AccountId("bob@example.com")):
            account = await kernel.directory.by_id(name)
            assert account is not None
            assert account.scram is None

    async def test_a_login_forgets_keys_too(self, service: AuthService, kernel: Kernel) -> None:
        account = await kernel.directory.by_id(ALICE)
        assert account is not None
        await kernel.directory.update(account, scram=derive(PASSWORD, b"salt", 4096))
        await service.authenticate("alice", PASSWORD, LOCAL)
        account = await kernel.directory.by_id(ALICE)
        assert account is not None
        assert account.scram is None


class Ldap:
    @hookimpl
    async def on_auth(self) -> None:
        return None


async def test_a_plugin_that_checks_passwords_is_not_passed_by(
    service: AuthService, kernel: Kernel
) -> None:
    kernel.bus.register(Ldap(), "ldap")
    assert "SCRAM-SHA-256" not in service.mechanisms()


async def test_more_rounds_are_taken_at_the_next_login(
    service: AuthService, kernel: Kernel
) -> None:
    account = await kernel.directory.by_id(ALICE)
    assert account is not None
    await kernel.directory.update(account, scram=derive("old", b"salt", 4096))
    kernel.settings = kernel.settings.model_copy(
        update={"auth": kernel.settings.auth.model_copy(update={"scram_iterations": 5000})}
    )
    await service.authenticate("alice", PASSWORD, LOCAL)
    account = await kernel.directory.by_id(ALICE)
    assert account is not None
    assert account.scram is not None
    assert account.scram.iterations == 5000
