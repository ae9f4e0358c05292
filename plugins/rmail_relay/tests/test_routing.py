"""Where mail goes: rules, mail exchangers, addresses, and when there is nowhere."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import pytest_asyncio
from rmail_relay.config import RelaySettings
from rmail_relay.outcome import Contact, Kind
from rmail_relay.routing.failures import MAX_KEPT, RecentFailures
from rmail_relay.routing.rules import peer_of, rule_for

from rmail_kernel.testing import FakeClock, FakeDns, FakeMx, Hang

from .conftest import MakeTransport, Send

HOST = {"host": "hub.test", "tls": "none"}


@pytest_asyncio.fixture
async def second_mx(rmail_mx: FakeMx) -> Any:
    """Another exchanger, at 127.0.0.2 and the same port."""
    other = FakeMx()
    other.name = "mx2.test"
    await other.start("127.0.0.2", rmail_mx.port)
    yield other
    await other.stop()


def two(dns: FakeDns, *preferences: int) -> None:
    dns.records["two.test", "MX"] = [
        f"{number} mx{place}.two.test." for place, number in enumerate(preferences, start=1)
    ]
    for place in (1, 2):
        dns.records[f"mx{place}.two.test", "A"] = [f"127.0.0.{place}"]


async def test_the_preferred_exchanger_comes_first(
    send: Send, rmail_dns: FakeDns, rmail_mx: FakeMx, second_mx: FakeMx
) -> None:
    two(rmail_dns, 20, 10)
    outcome = (await send("a@two.test"))["a@two.test"]
    assert (outcome.kind, outcome.remote) == (Kind.DELIVERED, "mx2.two.test")
    assert (len(rmail_mx.messages), len(second_mx.messages)) == (0, 1)


@pytest.mark.parametrize("stage", ["", "EHLO", "MAIL"])
async def test_the_next_exchanger_is_tried_when_one_does_not_work(
    send: Send, rmail_dns: FakeDns, rmail_mx: FakeMx, second_mx: FakeMx, stage: str
) -> None:
    two(rmail_dns, 10, 20)
    rmail_mx.replies[stage] = "421 4.3.2 closed"
    outcome = (await send("a@two.test"))["a@two.test"]
    assert (outcome.kind, outcome.remote) == (Kind.DELIVERED, "mx2.two.test")


async def test_a_refusal_by_one_exchanger_is_not_carried_to_the_next(
    send: Send, rmail_dns: FakeDns, rmail_mx: FakeMx, second_mx: FakeMx
) -> None:
    two(rmail_dns, 10, 20)
    rmail_mx.refuse = {"a@two.test": "550 5.1.1 who"}
    assert (await send("a@two.test"))["a@two.test"].kind is Kind.FAILED
    assert second_mx.connections == 0


async def test_equal_exchangers_share_the_load(
    make_transport: MakeTransport, rmail_dns: FakeDns
) -> None:
    two(rmail_dns, 10, 10)
    transport = make_transport()
    first = {(await transport.route("two.test")).hosts[0] for _ in range(60)}
    assert len(first) == 2


async def test_a_host_that_failed_lately_is_tried_last(
    send: Send,
    make_transport: MakeTransport,
    rmail_dns: FakeDns,
    rmail_mx: FakeMx,
    second_mx: FakeMx,
) -> None:
    rmail_dns.records["multi.test", "MX"] = ["10 mx.multi.test."]
    rmail_dns.records["mx.multi.test", "A"] = ["127.0.0.1", "127.0.0.2"]
    transport = make_transport(idle_s=0)
    rmail_mx.replies[""] = "421 4.3.2 closed"
    for _ in range(6):
        outcome = (await send("a@multi.test", transport=transport))["a@multi.test"]
        assert outcome.kind is Kind.DELIVERED
    assert rmail_mx.connections <= 1
    assert second_mx.connections == 6


async def test_without_mx_the_address_of_the_domain_counts(
    send: Send, rmail_dns: FakeDns, rmail_mx: FakeMx
) -> None:
    rmail_dns.records["plain.test", "A"] = ["127.0.0.1"]
    assert (await send("a@plain.test"))["a@plain.test"].kind is Kind.DELIVERED


async def test_with_mx_the_address_of_the_domain_does_not_count(
    send: Send, rmail_dns: FakeDns
) -> None:
    rmail_dns.records["x.test", "A"] = ["127.0.0.1"]
    rmail_dns.records["x.test", "MX"] = ["10 nowhere.x.test."]
    outcome = (await send("a@x.test"))["a@x.test"]
    assert (outcome.kind, outcome.status) == (Kind.FAILED, "5.1.2")


async def test_no_such_domain_is_for_good(send: Send) -> None:
    outcome = (await send("a@absent.test"))["a@absent.test"]
    assert (outcome.kind, outcome.code, outcome.status) == (Kind.FAILED, 550, "5.1.2")


async def test_a_domain_with_nothing_is_for_good(send: Send, rmail_dns: FakeDns) -> None:
    rmail_dns.records["txt.test", "TXT"] = ['"x"']
    outcome = (await send("a@txt.test"))["a@txt.test"]
    assert (outcome.kind, outcome.status) == (Kind.FAILED, "5.1.2")


async def test_a_domain_that_takes_no_mail_says_so(send: Send, rmail_dns: FakeDns) -> None:
    rmail_dns.records["null.test", "MX"] = ["0 ."]
    outcome = (await send("a@null.test"))["a@null.test"]
    assert (outcome.kind, outcome.code, outcome.status) == (Kind.FAILED, 556, "5.1.10")


@pytest.mark.parametrize("name", ["sick.test", "mx.sick.test"])
async def test_dns_in_trouble_lets_mail_wait(send: Send, rmail_dns: FakeDns, name: str) -> None:
    rmail_dns.mx("sick.test", "mx.sick.test")
    rmail_dns.failing.add(name)
    outcome = (await send("a@sick.test"))["a@sick.test"]
    assert (outcome.kind, outcome.status) == (Kind.DEFERRED, "4.4.3")
    assert outcome.contact is Contact.NONE


async def test_one_exchanger_without_an_address_does_not_stop_the_others(
    send: Send, rmail_dns: FakeDns, rmail_mx: FakeMx
) -> None:
    rmail_dns.records["half.test", "MX"] = ["10 gone.half.test.", "20 mx.half.test."]
    rmail_dns.records["mx.half.test", "A"] = ["127.0.0.1"]
    assert (await send("a@half.test"))["a@half.test"].kind is Kind.DELIVERED


async def test_address_literals_are_reached(send: Send, rmail_mx: FakeMx) -> None:
    outcome = (await send("a@[127.0.0.1]"))["a@[127.0.0.1]"]
    assert outcome.kind is Kind.DELIVERED
    assert rmail_mx.messages[0].recipients == ["a@[127.0.0.1]"]


@pytest.mark.parametrize("domain", ["[300.0.0.1]", "[ipv6:zz]", "[x:y]"])
async def test_literals_that_are_no_address_are_refused(send: Send, domain: str) -> None:
    outcome = (await send(f"a@{domain}"))[f"a@{domain}"]
    assert (outcome.kind, outcome.status) == (Kind.FAILED, "5.1.2")


async def test_being_the_best_exchanger_is_a_loop(send: Send, rmail_dns: FakeDns) -> None:
    rmail_dns.records["own.test", "MX"] = ["10 MAIL.example.com.", "20 mx.remote.test."]
    outcome = (await send("a@own.test"))["a@own.test"]
    assert (outcome.kind, outcome.status) == (Kind.FAILED, "5.4.6")


async def test_better_exchangers_than_us_are_tried(
    send: Send, rmail_dns: FakeDns, rmail_mx: FakeMx
) -> None:
    records = ["10 mx.remote.test.", "20 mail.example.com.", "30 worse.test."]
    rmail_dns.records["backup.test", "MX"] = records
    assert (await send("a@backup.test"))["a@backup.test"].kind is Kind.DELIVERED
    rmail_mx.replies["EHLO"] = "421 4.3.2 closed"
    await rmail_mx.stop()
    outcome = (await send("a@backup.test"))["a@backup.test"]
    assert outcome.kind is Kind.DEFERRED
    assert ("worse.test", "A") not in rmail_dns.queries


async def test_an_exchanger_that_greets_with_our_name_is_a_loop(
    send: Send, rmail_dns: FakeDns, rmail_mx: FakeMx, second_mx: FakeMx
) -> None:
    two(rmail_dns, 10, 20)
    rmail_mx.name = "mail.example.com"
    outcome = (await send("a@two.test"))["a@two.test"]
    assert (outcome.kind, outcome.status) == (Kind.FAILED, "5.4.6")
    assert second_mx.connections == 0, "it is worse than we are"


async def test_no_more_addresses_are_tried_than_told(
    send: Send, make_transport: MakeTransport, rmail_dns: FakeDns, rmail_mx: FakeMx
) -> None:
    rmail_dns.records["many.test", "MX"] = [f"{n} mx{n}.many.test." for n in range(50)]
    for number in range(50):
        rmail_dns.records[f"mx{number}.many.test", "A"] = ["127.0.0.1"]
    rmail_mx.replies[""] = "421 4.3.2 closed"
    transport = make_transport(max_addresses=3)
    assert (await send("a@many.test", transport=transport))["a@many.test"].code == 421
    assert rmail_mx.connections == 3


async def test_all_mail_goes_to_the_smarthost(
    send: Send, make_transport: MakeTransport, rmail_mx: FakeMx, rmail_dns: FakeDns
) -> None:
    smarthost = {"host": "127.0.0.1", "port": rmail_mx.port, "tls": "none"}
    transport = make_transport(smarthost=smarthost)
    outcome = (await send("a@absent.test", transport=transport))["a@absent.test"]
    assert outcome.kind is Kind.DELIVERED
    assert rmail_dns.queries == []
    assert transport.destination("absent.test") == f"127.0.0.1:{rmail_mx.port}"
    assert (await transport.route("absent.test")).kind == "smarthost"


async def test_a_smarthost_without_an_address_lets_mail_wait(
    send: Send, make_transport: MakeTransport
) -> None:
    transport = make_transport(smarthost={"host": "absent.test", "tls": "none"})
    outcome = (await send("a@x.test", transport=transport))["a@x.test"]
    assert (outcome.kind, outcome.status) == (Kind.DEFERRED, "4.4.4")


def settings(**relay: Any) -> RelaySettings:
    return RelaySettings.model_validate(relay)


def test_the_exact_rule_wins_then_the_longest_then_the_smarthost() -> None:
    found = settings(
        routes={
            "a.example.org": {"host": "exact.test"},
            "*.example.org": {"host": "below.test"},
            "*.deep.example.org": {"host": "deep.test"},
        },
        smarthost={"host": "hub.test"},
    )

    def host(domain: str) -> str:
        rule = rule_for(found, domain)
        return rule[1].host if rule else ""

    assert host("a.example.org") == "exact.test"
    assert host("b.example.org") == "below.test"
    assert host("x.deep.example.org") == "deep.test"
    assert host("example.org") == "hub.test", "a star stands for something"
    assert host("[127.0.0.1]") == "hub.test"
    assert rule_for(settings(), "example.org") is None


def test_rules_keep_their_passwords_to_themselves() -> None:
    found = settings(smarthost={**HOST, "username": "u", "password": "pss"})
    assert found.smarthost is not None
    assert "pss" not in repr(peer_of(found.smarthost))


@pytest.mark.parametrize(
    "rule",
    [
        {"host": ""},
        {"host": "a b"},
        {"host": "x", "port": 0},
        {"host": "x", "tls": "maybe"},
        {"host": "x", "username": "u"},
        {"host": "x", "username": "u", "password": "p", "tls": "opportunistic"},
    ],
)
def test_rules_that_make_no_sense_are_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"host|port|tls|username|login|password"):
        settings(smarthost=rule)
    with pytest.raises(ValueError, match="routes"):
        settings(routes={"example.org": rule})


@pytest.mark.parametrize("pattern", ["", "*", "*.", "a*.test", "a b"])
def test_patterns_that_name_no_domain_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="routes"):
        settings(routes={pattern: HOST})


def test_failures_are_forgotten_in_time_and_number(rmail_clock: FakeClock) -> None:
    failures = RecentFailures(rmail_clock)
    failures.note("a", 25)
    assert failures.last(["a", "b"], 25, 300) == ["b", "a"]
    assert failures.last(["a", "b"], 26, 300) == ["a", "b"]
    rmail_clock.advance(301)
    assert failures.last(["a", "b"], 25, 300) == ["a", "b"]
    failures.note("a", 25)
    for number in range(MAX_KEPT):
        failures.note(str(number), 25)
    assert failures.last(["a", "b"], 25, 300) == ["a", "b"]


async def test_routes_can_be_asked_for(
    make_transport: MakeTransport, rmail_dns: FakeDns, rmail_mx: FakeMx
) -> None:
    rmail_dns.mx("remote.test", "mx.remote.test")
    transport = make_transport(routes={"*.example.org": HOST})
    found = await transport.route("remote.test")
    assert (found.kind, found.hosts) == ("mx", (f"mx.remote.test:{rmail_mx.port}",))
    assert (await transport.route("a.example.org")).kind == "*.example.org"
    assert "no domain" in (await transport.route("absent.test")).refusal
    assert transport.destination("remote.test") == "remote.test"


async def test_a_silent_host_is_tried_by_one_message_at_a_time(
    send: Send, rmail_mx: FakeMx, make_transport: MakeTransport
) -> None:
    transport = make_transport(timeouts=dict.fromkeys(("connect_s", "greeting_s"), 0.5))
    rmail_mx.replies[""] = Hang()
    await send(transport=transport)
    before = rmail_mx.connections
    found = await asyncio.gather(*(send(transport=transport) for _ in range(5)))
    outcomes = [outcome for one in found for outcome in one.values()]
    assert rmail_mx.connections == before + 1
    assert {(one.kind, one.contact) for one in outcomes} == {(Kind.DEFERRED, Contact.NONE)}
    del rmail_mx.replies[""]
    assert (await send(transport=transport))["bob@remote.test"].kind is Kind.DELIVERED


async def test_of_many_dead_exchangers_few_are_tried(
    send: Send, make_transport: MakeTransport, rmail_dns: FakeDns
) -> None:
    hosts = [f"mx{number}.many.test" for number in range(200)]
    rmail_dns.mx("many.test", *hosts)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    transport = make_transport(mx_port=port)
    outcome = (await send("a@many.test", transport=transport))["a@many.test"]
    assert (outcome.kind, outcome.contact) == (Kind.DEFERRED, Contact.NONE)
    assert len([name for name, kind in rmail_dns.queries if kind == "A"]) <= 6


async def test_of_many_exchangers_that_cannot_be_looked_up_few_are_asked_for(
    send: Send, rmail_dns: FakeDns
) -> None:
    hosts = [f"mx{number}.sick.test" for number in range(50)]
    rmail_dns.mx("sick.test", *hosts)
    rmail_dns.failing |= set(hosts)
    outcome = (await send("a@sick.test"))["a@sick.test"]
    assert (outcome.kind, outcome.status) == (Kind.DEFERRED, "4.4.3")
    assert len({name for name, kind in rmail_dns.queries if kind == "A"}) <= 6


async def test_an_exchanger_may_have_ipv6_only(
    send: Send, make_transport: MakeTransport, rmail_dns: FakeDns
) -> None:
    mx = FakeMx()
    await mx.start("::1")
    try:
        rmail_dns.records["six.test", "MX"] = ["10 mx.six.test."]
        rmail_dns.records["mx.six.test", "AAAA"] = ["::1"]
        transport = make_transport(mx_port=mx.port)
        outcome = (await send("a@six.test", transport=transport))["a@six.test"]
    finally:
        await mx.stop()
    assert outcome.kind is Kind.DELIVERED


@pytest.mark.parametrize("host", ["localhost.", "127.0.0.1.", "mail.own.test."])
async def test_an_exchanger_that_leads_back_here_is_a_loop(
    send: Send, rmail_dns: FakeDns, rmail_mx: FakeMx, host: str
) -> None:
    rmail_dns.records["own.test", "MX"] = [f"10 {host}"]
    rmail_dns.records["mail.own.test", "A"] = ["127.0.0.1"]
    rmail_mx.name = "mail.example.com"
    outcome = (await send("a@own.test"))["a@own.test"]
    assert (outcome.kind, outcome.status) == (Kind.FAILED, "5.4.6")
    assert rmail_mx.messages == []


async def test_a_null_mx_beside_others_is_no_host(
    send: Send, rmail_dns: FakeDns, rmail_mx: FakeMx
) -> None:
    rmail_dns.mx("both.test", "mx.both.test")
    rmail_dns.records["both.test", "MX"].append("0 .")
    assert (await send("a@both.test"))["a@both.test"].kind is Kind.DELIVERED


async def test_an_exchanger_behind_a_loop_of_names_has_no_address(
    send: Send, rmail_dns: FakeDns
) -> None:
    rmail_dns.records["loop.test", "MX"] = ["10 a.loop.test."]
    rmail_dns.records["a.loop.test", "CNAME"] = ["b.loop.test."]
    rmail_dns.records["b.loop.test", "CNAME"] = ["a.loop.test."]
    outcome = (await send("a@loop.test"))["a@loop.test"]
    assert (outcome.kind, outcome.status) == (Kind.DEFERRED, "4.4.3")


async def test_a_domain_whose_hosts_all_take_no_mail_is_for_good(
    send: Send, rmail_dns: FakeDns, rmail_mx: FakeMx, second_mx: FakeMx
) -> None:
    """RFC 7504: 521 as the greeting."""
    two(rmail_dns, 10, 20)
    rmail_mx.replies[""] = second_mx.replies[""] = "521 5.3.2 no mail here"
    outcome = (await send("a@two.test"))["a@two.test"]
    assert (outcome.kind, outcome.code, outcome.status) == (Kind.FAILED, 521, "5.3.2")
    second_mx.replies[""] = "450 4.3.0 later"
    assert (await send("a@two.test"))["a@two.test"].kind is Kind.DEFERRED
    second_mx.replies.clear()
    assert (await send("a@two.test"))["a@two.test"].kind is Kind.DELIVERED
