"""The resolver: what is there, what is not, and what is not known now, in bounded time."""

from __future__ import annotations

import asyncio

import pytest

from rmail_kernel.errors import Invalid, NotFound, Temporary
from rmail_kernel.name_servers import parse_server
from rmail_kernel.net.resolver import MAX_RECORDS, MailExchange, Resolver
from rmail_kernel.testing import FakeClock, FakeDns


@pytest.fixture
def resolver(rmail_dns: FakeDns, rmail_clock: FakeClock) -> Resolver:
    return Resolver([rmail_dns.server], clock=rmail_clock)


async def test_mail_exchanges_come_as_they_are(resolver: Resolver, rmail_dns: FakeDns) -> None:
    rmail_dns.records["a.test", "MX"] = ["10 MX1.a.test.", "20 mx2.a.test."]
    assert set(await resolver.mx("A.test.")) == {
        MailExchange(10, "mx1.a.test"),
        MailExchange(20, "mx2.a.test"),
    }


async def test_null_mx_is_an_exchange_without_a_name(
    resolver: Resolver, rmail_dns: FakeDns
) -> None:
    rmail_dns.records["a.test", "MX"] = ["0 ."]
    assert await resolver.mx("a.test") == (MailExchange(0, ""),)


async def test_no_such_name_and_no_such_record_differ(
    resolver: Resolver, rmail_dns: FakeDns
) -> None:
    rmail_dns.records["a.test", "A"] = ["192.0.2.1"]
    assert await resolver.mx("a.test") == ()
    with pytest.raises(NotFound):
        await resolver.mx("b.test")


@pytest.mark.parametrize("trouble", ["failing", "silent", "lying"])
async def test_a_server_in_trouble_gives_no_answer_for_now(
    rmail_dns: FakeDns, trouble: str
) -> None:
    resolver = Resolver([rmail_dns.server], timeout_s=1.0)
    rmail_dns.records["a.test", "MX"] = ["10 mx.a.test."]
    getattr(rmail_dns, trouble).add("a.test")
    if trouble == "lying":  # records of another name are none of this one
        assert await resolver.mx("a.test") == ()
        return
    with pytest.raises(Temporary):
        await resolver.mx("a.test")
    getattr(rmail_dns, trouble).clear()
    assert await resolver.mx("a.test"), "trouble is not remembered"


async def test_nobody_listening_is_no_answer_for_now() -> None:
    with pytest.raises(Temporary):
        await Resolver(["127.0.0.1:9"], timeout_s=0.5).mx("a.test")


async def test_equal_questions_are_asked_once(resolver: Resolver, rmail_dns: FakeDns) -> None:
    rmail_dns.records["a.test", "MX"] = ["10 mx.a.test."]
    await asyncio.gather(*(resolver.mx("a.test") for _ in range(50)))
    await resolver.mx("A.TEST")
    assert rmail_dns.queries == [("a.test", "MX")]


async def test_one_who_leaves_does_not_end_the_question_of_others(
    resolver: Resolver, rmail_dns: FakeDns
) -> None:
    rmail_dns.records["a.test", "MX"] = ["10 mx.a.test."]
    first = asyncio.create_task(resolver.mx("a.test"))
    second = asyncio.create_task(resolver.mx("a.test"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == (MailExchange(10, "mx.a.test"),)


@pytest.mark.parametrize("name", ["there.test", "absent.test"])
async def test_answers_are_kept_for_their_time(
    resolver: Resolver, rmail_dns: FakeDns, rmail_clock: FakeClock, name: str
) -> None:
    rmail_dns.records["there.test", "TXT"] = ['"v=spf1" " -all"']

    async def ask() -> int:
        try:
            assert await resolver.txt(name) == (b"v=spf1 -all",)
        except NotFound:
            assert name == "absent.test"
        return len(rmail_dns.queries)

    assert [await ask(), await ask()] == [1, 1]
    rmail_clock.advance(rmail_dns.ttl + 1)
    assert await ask() == 2


async def test_aliases_are_followed_and_their_loops_end(
    resolver: Resolver, rmail_dns: FakeDns
) -> None:
    rmail_dns.records["alias.test", "CNAME"] = ["real.test."]
    rmail_dns.records["real.test", "A"] = ["192.0.2.7"]
    assert await resolver.addresses("alias.test") == ("192.0.2.7",)
    assert (await resolver.lookup("alias.test", "A")).name == "real.test"
    rmail_dns.records["x.test", "CNAME"] = ["y.test."]
    rmail_dns.records["y.test", "CNAME"] = ["x.test."]
    with pytest.raises(Temporary):
        await resolver.addresses("x.test")


async def test_long_chains_of_aliases_end(resolver: Resolver, rmail_dns: FakeDns) -> None:
    for number in range(40):
        rmail_dns.records[f"n{number}.test", "CNAME"] = [f"n{number + 1}.test."]
    rmail_dns.records["n40.test", "A"] = ["192.0.2.7"]
    with pytest.raises(Temporary):
        await resolver.lookup("n0.test", "A")


async def test_huge_answers_are_cut(resolver: Resolver, rmail_dns: FakeDns) -> None:
    rmail_dns.truncated.add("huge.test")
    rmail_dns.records["huge.test", "MX"] = [f"{n} mx{n}.huge.test." for n in range(2000)]
    assert len(await resolver.mx("huge.test")) == MAX_RECORDS
    assert rmail_dns.queries == [("huge.test", "MX")] * 2, "first by UDP, then by TCP"


async def test_both_families_come_in_turns(resolver: Resolver, rmail_dns: FakeDns) -> None:
    rmail_dns.records["h.test", "A"] = ["192.0.2.1", "192.0.2.2"]
    rmail_dns.records["h.test", "AAAA"] = ["2001:db8::1"]
    found = await resolver.addresses("h.test")
    assert found[0] == "2001:db8::1"
    assert set(found[1:]) == {"192.0.2.1", "192.0.2.2"}


async def test_a_host_without_addresses_has_none(resolver: Resolver, rmail_dns: FakeDns) -> None:
    rmail_dns.records["h.test", "TXT"] = ['"x"']
    assert await resolver.addresses("h.test") == ()
    with pytest.raises(NotFound):
        await resolver.addresses("absent.test")


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".test", "a." * 140])
async def test_what_is_no_name_is_not_asked_for(
    resolver: Resolver, rmail_dns: FakeDns, name: str
) -> None:
    with pytest.raises(NotFound):
        await resolver.mx(name)
    assert rmail_dns.queries == []


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("localhost:5353", ("127.0.0.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:db8::1]:54", ("2001:db8::1", 54)),
    ],
)
def test_name_servers_are_addresses(text: str, server: tuple[str, int]) -> None:
    assert parse_server(text) == server


@pytest.mark.parametrize("text", ["", "dns.test", "192.0.2.1:0", "192.0.2.1:x", "192.0.2.1:99999"])
def test_what_is_no_name_server_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_server(text)
