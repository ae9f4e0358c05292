"""Who may send to whom, and in whose name."""

from __future__ import annotations

from collections.abc import Callable

from rmail_kernel import Envelope
from rmail_kernel.delivery.recipients import RELAYING_DENIED, TROUBLE
from rmail_kernel.hooks import hookimpl
from rmail_kernel.model import Address, Defer, Principal, Reject
from rmail_kernel.storage.accounts import Alias
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.testing import RunningServer

MakeEnvelope = Callable[..., Envelope]


class Broken:
    """Cannot say."""

    @hookimpl
    async def on_resolve(self) -> None:
        raise OSError("the directory is away")


async def _check(
    server: RunningServer, envelope: Envelope, recipient: str
) -> Reject | Defer | None:
    return await server.kernel.delivery.check_recipient(
        envelope.session, envelope.sender, Address.parse(recipient)
    )


async def test_strangers_do_not_relay_and_users_do(
    server: RunningServer, make_envelope: MakeEnvelope
) -> None:
    assert await _check(server, make_envelope(), "dave@elsewhere.test") == RELAYING_DENIED
    assert await _check(server, make_envelope(user="alice"), "dave@elsewhere.test") is None


async def test_a_forward_to_the_outside_is_open_to_strangers(
    server: RunningServer, make_envelope: MakeEnvelope
) -> None:
    await server.kernel.directory.add_alias("example.com", Alias("away", "dave@elsewhere.test"))
    assert await _check(server, make_envelope(), "away@example.com") is None


async def test_a_plugin_that_cannot_say_defers(
    server: RunningServer, make_envelope: MakeEnvelope
) -> None:
    server.kernel.bus.register(Broken(), "broken")
    assert await _check(server, make_envelope(), "alice@example.com") is None
    assert await _check(server, make_envelope(), "nobody@example.com") == TROUBLE


async def test_a_user_may_send_as_aliases_that_lead_to_him(server: RunningServer) -> None:
    alice = Principal(AccountId("alice@example.com"), Address("alice", "example.com"))
    await server.kernel.directory.add_alias("example.com", Alias("sales-.*", "alice"))
    may = server.kernel.delivery.may_send_as
    assert await may(alice, Address("Alice", "example.com"))
    assert await may(alice, Address("sales-eu", "example.com"))
    assert not await may(alice, Address("bob", "example.com"))
    assert not await may(alice, Address("alice", "elsewhere.test"))
