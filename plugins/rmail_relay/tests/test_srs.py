"""Forwarded mail leaves with a sender of ours, and what is sent to that comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from rmail_relay.secret import read_secret
from rmail_relay.srs import VALID_DAYS, Srs, is_rewritten

from rmail_kernel.errors import Corrupt
from rmail_kernel.model import Address
from rmail_kernel.storage.accounts import Alias

from .outside import MESSAGE, Relay

NOW = 1_800_000_000.0
DAY = 86_400.0
CAROL = Address("carol+x", "remote.test")
SRS = Srs(b"k" * 32)


def forwarded(sender: Address = CAROL, srs: Srs = SRS, domain: str = "example.com") -> Address:
    found = srs.forward(sender, domain, NOW)
    assert found is not None
    return found


@pytest.mark.parametrize("days", [0, 1, VALID_DAYS])
def test_an_address_leads_back_for_three_weeks(days: int) -> None:
    assert forwarded().domain == "example.com"
    assert is_rewritten(forwarded())
    assert SRS.reverse(forwarded(), NOW + days * DAY) == CAROL


def test_an_old_address_leads_nowhere() -> None:
    assert SRS.reverse(forwarded(), NOW + (VALID_DAYS + 2) * DAY) is None
    assert SRS.reverse(forwarded(), NOW - 2 * DAY) is None


def test_the_case_may_change_on_the_way() -> None:
    lower = Address(forwarded().local.lower(), "example.com")
    assert SRS.reverse(lower, NOW) == CAROL


def test_nobody_else_makes_such_an_address() -> None:
    real = forwarded().local
    strange = [
        forwarded(srs=Srs(b"o" * 32)).local,
        real.replace("carol", "mallory"),
        real.replace("remote", "other"),
        "SRS0=AAAAAA=AA=remote.test=carol",
        "SRS0=x",
        "SRS1=AAAAAA=other.test==AAAAAA=AA=remote.test=carol",
    ]
    for local in strange:
        assert SRS.reverse(Address(local, "example.com"), NOW) is None
    assert SRS.reverse(CAROL, NOW) is None


def test_a_second_forwarder_points_at_the_first() -> None:
    second, third = Srs(b"2" * 32), Srs(b"3" * 32)
    first = forwarded()
    there = forwarded(first, second, "two.test")
    assert there.local.startswith("SRS1=")
    further = forwarded(there, third, "three.test")
    assert third.reverse(further, NOW) == first
    assert second.reverse(there, NOW) == first
    assert SRS.reverse(first, NOW) == CAROL


def test_what_would_be_too_long_is_not_rewritten() -> None:
    assert SRS.forward(Address("c" * 50, "remote.test"), "example.com", NOW) is None
    assert SRS.forward(Address('"a b"', "remote.test"), "example.com", NOW) is None


def test_the_secret_is_made_once(tmp_path: Path) -> None:
    secret = read_secret(tmp_path)
    assert len(secret) == 32
    assert read_secret(tmp_path) == secret
    (tmp_path / "queue/srs.key").write_bytes(b"short")
    with pytest.raises(Corrupt):
        read_secret(tmp_path)


async def test_an_alias_to_elsewhere_forwards_and_bounces_come_back(relay: Relay) -> None:
    directory = relay.server.kernel.directory
    await directory.add_alias("example.com", Alias("away", "dave@a.test"))
    await directory.add_alias("example.com", Alias(".*", "bob"))
    report = await relay.server.deliver(MESSAGE, "away@example.com", sender=str(CAROL))
    assert report.is_accepted
    (attempt,) = await relay.peers.tried(1)
    sender = attempt.envelope.sender
    assert sender is not None
    assert (sender.domain, is_rewritten(sender)) == ("example.com", True)
    assert attempt.envelope.options_of(Address("dave", "a.test")).orcpt == "rfc822;away@example.com"
    bounce = await relay.server.deliver(MESSAGE, str(sender), sender=None)
    assert bounce.is_accepted
    _, back = await relay.peers.tried(2)
    assert back.envelope.recipients == (CAROL,)
    assert back.envelope.sender is None
    assert await relay.server.messages("bob") == []
    await directory.remove_alias("example.com", ".*")
    refused = await relay.server.deliver(MESSAGE, "SRS0=A=AA=a.test=x@example.com", sender=None)
    assert refused.verdict is not None


async def test_an_alias_leads_here_and_to_several_elsewhere(relay: Relay) -> None:
    targets = ("bob", "dave@a.test", "erin@b.test", "Dave@a.test")
    await relay.server.kernel.directory.add_alias("example.com", Alias.to("all", targets))
    report = await relay.server.deliver(
        MESSAGE, "all@example.com", "bob@example.com", sender=str(CAROL)
    )
    assert report.is_accepted
    attempts = await relay.peers.tried(2)
    assert {str(r) for one in attempts for r in one.envelope.recipients} == {
        "dave@a.test",
        "erin@b.test",
    }
    assert all(is_rewritten(one.envelope.sender) for one in attempts if one.envelope.sender)
    assert len(await relay.server.messages("bob")) == 1


async def test_local_senders_and_notices_keep_their_sender(relay: Relay) -> None:
    await relay.send("dave@a.test")
    await relay.send("erin@b.test", sender=None)
    attempts = await relay.peers.tried(2)
    assert {str(attempt.envelope.sender) for attempt in attempts} == {"alice@example.com", "None"}
