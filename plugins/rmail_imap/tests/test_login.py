"""Greeting, CAPABILITY, LOGIN, AUTHENTICATE, STARTTLS, LOGOUT (RFC 3501 6.1, 6.2)."""

from __future__ import annotations

from base64 import b64encode

import pytest
from rmail_imap.capabilities import capabilities
from rmail_imap.catalog import Catalog
from rmail_imap.command.authenticate import AuthenticateArgs
from rmail_imap.command.login import LoginArgs
from rmail_imap.commands import FEATURES, TABLE
from rmail_imap.config import ImapSettings
from rmail_imap.errors import Refused
from rmail_imap.session import Session
from rmail_imap.value_cache import ValueCache
from rmail_imap.wire import Wire

from rmail_kernel.lanes import Lanes
from rmail_kernel.model import Address, SessionInfo
from rmail_kernel.testing import RunningServer

_ALICE = b64encode(b"\0alice\0secret").decode()


async def test_capabilities_before_and_after_login(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("imap") as client:
        greeting = (await client.run("S: * OK [CAPABILITY *] *"))[0]
        assert " IMAP4rev1 " in greeting
        assert (
            " STARTTLS AUTH=PLAIN AUTH=LOGIN AUTH=OAUTHBEARER AUTH=XOAUTH2]" in greeting
        )  # loopback may log in without TLS
        lines = await client.run("""
            C: a LOGIN alice secret
            S: a OK [CAPABILITY *] *
            C: b CAPABILITY
            S: * CAPABILITY *
            S: b OK *
        """)
        advertised = set(lines[1].split()[2:])
        assert advertised == {"IMAP4rev1"} | (FEATURES.keys() - {"LITERAL-"}) | {
            entry.capability for entry in TABLE.values() if entry.capability
        } - {"STARTTLS"}
        for name in [
            "IDLE",
            "SPECIAL-USE",
            "NAMESPACE",
            "UIDPLUS",
            "MOVE",
            "ID",
            "ENABLE",
            "UNSELECT",
            "LITERAL+",
        ]:
            assert name in advertised


async def test_tls_from_the_first_byte(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("imaps") as client:
        greeting = (await client.run("S: * OK [CAPABILITY *] *"))[0]
        assert "STARTTLS" not in greeting
        assert "AUTH=PLAIN" in greeting
        await client.run("""
            C: a STARTTLS
            S: a BAD *
            C: b LOGIN alice@example.com secret
            S: b OK *
            C: c LOGOUT
            S: * BYE *
            S: c OK *
        """)
        await client.expect_close()


@pytest.mark.parametrize("raw", ["=", "==", "A", "=AAA", "AAA=BBB", "AA A", "AAAA=", "\u00e9"])
async def test_a_response_that_is_no_base64_is_bad(rmail_server: RunningServer, raw: str) -> None:
    # RFC 9051 6.2.2: `=` alone is an initial response, and nothing else
    async with rmail_server.connect("imap") as client:
        await client.run(f"""
            S: * OK *
            C: a AUTHENTICATE PLAIN
            S: +*
            C: {raw}
            S: a BAD Not base64
        """)
        if raw.isascii() and " " not in raw and raw != "=":
            await client.run(f"C: b AUTHENTICATE PLAIN {raw}\nS: b BAD Not base64")
        await client.run("C: c NOOP\nS: c OK *")


async def test_strangers_announce_nothing_in_an_exchange(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run("""
            S: * OK *
            C: a AUTHENTICATE PLAIN
            S: +*
            C: AAAA{5+}
            S: * BYE [TOOBIG] *
        """)
        await client.expect_close()


async def test_an_empty_initial_response_is_one(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run("""
            S: * OK *
            C: a AUTHENTICATE PLAIN =
            S: a BAD Not a login and a password
        """)


async def test_starttls(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run("""
            S: * OK *
            C: a STARTTLS
            S: a OK Begin TLS
        """)
        await client.start_tls()
        lines = await client.run("""
            C: b CAPABILITY
            S: * CAPABILITY *
            S: b OK *
            C: c LOGIN alice secret
            S: c OK *
        """)
        assert "STARTTLS" not in lines[0]


async def test_commands_sent_before_tls_are_dropped(rmail_server: RunningServer) -> None:
    # RFC 3501 11.1, and what an attacker in the middle would do
    async with rmail_server.connect("imap") as client:
        await client.run("S: * OK *")
        await client.send(b"a STARTTLS\r\nb LOGIN mallory secret\r\n")
        await client.run("S: a OK *")
        await client.start_tls()
        await client.run("""
            C: c NOOP
            S: c OK *
        """)


@pytest.mark.parametrize("rmail_settings", [{"tls": {"enabled": False}}])
async def test_without_tls_there_is_no_starttls(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("imap") as client:
        assert "STARTTLS" not in (await client.run("S: * OK [CAPABILITY *] *"))[0]
        await client.run("""
            C: a STARTTLS
            S: a BAD *
        """)
    assert "imaps" not in rmail_server.ports


async def test_passwords_of_strangers_need_tls(rmail_server: RunningServer) -> None:
    def session(**info: str) -> Session:
        origin = SessionInfo("1", "imap", **info)  # type: ignore[arg-type] # text fields only
        return Session(
            rmail_server.kernel,
            ImapSettings(),
            Wire(lambda _: None),
            origin,
            Catalog().offer,
            ValueCache(),
            Lanes(1),
        )

    stranger = session(peer_host="192.0.2.1")
    assert "LOGINDISABLED" in capabilities(stranger)
    assert "STARTTLS" in capabilities(stranger)
    assert not [name for name in capabilities(stranger) if name.startswith("AUTH=")]
    for name, args in (
        ("LOGIN", LoginArgs("alice", "secret")),
        ("AUTHENTICATE", AuthenticateArgs("PLAIN", b"")),
    ):
        with pytest.raises(Refused) as caught:
            await TABLE[name].run(stranger, args)
        assert caught.value.code == b"PRIVACYREQUIRED"
    for private in (
        session(peer_host="192.0.2.1", tls="TLSv1.3"),
        session(peer_host="::1"),
        session(peer_host="127.0.0.9"),
    ):
        assert "LOGINDISABLED" not in capabilities(private)
        assert "AUTH=PLAIN" in capabilities(private)


async def test_authenticate_plain_in_both_forms(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run(f"""
            S: * OK *
            C: a AUTHENTICATE PLAIN
            S: +*
            C: {_ALICE}
            S: a OK *
        """)
    async with rmail_server.connect("imap") as client:
        await client.run(f"""
            S: * OK *
            C: a authenticate plain {_ALICE}
            S: a OK *
        """)


async def test_authenticate_login(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run(f"""
            S: * OK *
            C: a AUTHENTICATE LOGIN
            S: + {b64encode(b"Username:").decode()}
            C: {b64encode(b"alice@example.com").decode()}
            S: + {b64encode(b"Password:").decode()}
            C: {b64encode(b"secret").decode()}
            S: a OK *
        """)


async def test_authenticate_that_fails(rmail_server: RunningServer) -> None:
    other = b64encode(b"bob\0alice\0secret").decode()
    async with rmail_server.connect("imap") as client:
        await client.run(f"""
            S: * OK *
            C: a AUTHENTICATE PLAIN
            S: +*
            C: *
            S: a BAD Cancelled
            C: b AUTHENTICATE PLAIN !!!
            S: b BAD *
            C: c AUTHENTICATE CRAM-MD5
            S: c NO [CANNOT] *
            C: d AUTHENTICATE PLAIN {other}
            S: d NO [AUTHENTICATIONFAILED] *
            C: e AUTHENTICATE PLAIN =
            S: e BAD *
            C: f LIST "" *
            S: f BAD *
        """)


async def test_a_response_of_authenticate_is_limited(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run("""
            S: * OK *
            C: a AUTHENTICATE PLAIN
            S: +*
        """)
        await client.send(b"A" * 10_000 + b"\r\n")
        await client.run("S: a BAD [TOOBIG] *")


async def test_the_third_failed_login_ends_the_connection(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run("""
            S: * OK *
            C: a LOGIN alice wrong
            S: a NO [AUTHENTICATIONFAILED] *
            C: b LOGIN nobody secret
            S: b NO [AUTHENTICATIONFAILED] *
            C: c LOGIN alice {5}
            S: + *
            C: wrong
            S: * BYE Too many failed logins
            S: c NO [AUTHENTICATIONFAILED] *
        """)
        await client.expect_close()


async def test_login_takes_literals_and_quoted_strings(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run("S: * OK *")
        await client.send(b'a LOGIN {5+}\r\nalice "secret"\r\n')
        await client.run("""
            S: a OK *
            C: b LOGIN alice secret
            S: b BAD *
        """)


async def test_a_deleted_account_ends_its_sessions(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run("""
            S: * OK *
            C: a LOGIN bob secret
            S: a OK *
        """)
        directory = rmail_server.kernel.directory
        account = await directory.get(Address("bob", "example.com"))
        assert account is not None
        await directory.delete(account.id)
        await client.run("""
            C: b NOOP
            S: * BYE *
        """)
        await client.expect_close()


async def test_id_and_namespace_and_enable(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run("""
            S: * OK *
            C: a ID NIL
            S: * ID ("name" "rmail" "version" *)
            S: a OK *
            C: b ID ("name" "x" "vendor" NIL)
            S: * ID *
            S: b OK *
            C: c ID ("name")
            S: c BAD *
            C: d NAMESPACE
            S: d BAD *
            C: e LOGIN alice secret
            S: e OK *
            C: f NAMESPACE
            S: * NAMESPACE (("" "/")) NIL NIL
            S: f OK *
            C: g ENABLE CONDSTORE X-UNKNOWN
            S: * ENABLED CONDSTORE
            S: g OK *
            C: h ENABLE X-UNKNOWN
            S: * ENABLED
            S: h OK *
            C: i ENABLE
            S: i BAD *
            C: j ENABLE QRESYNC (x)
            S: j BAD *
        """)
        await client.send(b"k ENABLE QRESYNC \r\n")  # a space at the end, which clients send
        await client.run("""
            S: * ENABLED QRESYNC
            S: k OK *
        """)


async def test_an_id_of_thirty_long_fields_is_taken_before_login(
    rmail_server: RunningServer,
) -> None:
    # RFC 2971 3.3
    fields = " ".join(f'"{"n" * 28}{number:02}" "{"v" * 1024}"' for number in range(30))
    async with rmail_server.connect("imap") as client:
        await client.expect("* OK *")
        await client.send(f"a ID ({fields})\r\n".encode())
        await client.run("""
            S: * ID (*)
            S: a OK *
        """)
        await client.send(b"b ID (" + b'"x" "y" ' * 5000 + b")\r\n")
        await client.expect("b BAD [TOOBIG] *")
        await client.send(b"c LOGIN alice " + b"x" * 9000 + b"\r\n")
        await client.expect("c BAD [TOOBIG] *")
