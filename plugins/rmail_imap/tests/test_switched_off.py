"""Capabilities that are switched off, for all or for a client that names itself, and what plugins
add: neither advertised nor taken when off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest
from rmail_imap import command
from rmail_imap.catalog import Catalog
from rmail_imap.commands import TABLE
from rmail_imap.config import ImapSettings
from rmail_imap.dependencies import with_dependents
from rmail_imap.errors import BadSyntax
from rmail_imap.extensions import Command, Extension, Feature, FetchItem, State, no_arguments
from rmail_imap.offer import disabled
from rmail_imap.parse.gates import GATES

from rmail_kernel.errors import ConfigError
from rmail_kernel.storage.mail import Fetched
from rmail_kernel.testing import RunningServer, Transcript

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill

command.load()
PROBES = {
    "APPENDLIMIT": "STATUS INBOX (APPENDLIMIT)",
    "AUTH=LOGIN": "AUTHENTICATE LOGIN",
    "AUTH=OAUTHBEARER": "AUTHENTICATE OAUTHBEARER",
    "AUTH=PLAIN": "AUTHENTICATE PLAIN",
    "AUTH=XOAUTH2": "AUTHENTICATE XOAUTH2",
    "BINARY": "FETCH 1 BINARY[1]",
    "COMPRESS=DEFLATE": "COMPRESS DEFLATE",
    "IMAP4rev2": "ENABLE IMAP4rev2",
    "UNAUTHENTICATE": "UNAUTHENTICATE",
    "UTF8=ACCEPT": "APPEND INBOX UTF8 (~{1+}\r\nx)",
    "CHILDREN": 'LIST "" * RETURN (CHILDREN)',
    "CONDSTORE": "FETCH 1 MODSEQ",
    "CREATE-SPECIAL-USE": "CREATE x (USE (\\Junk))",
    "ENABLE": "ENABLE CONDSTORE",
    "ESEARCH": "SEARCH RETURN (COUNT) ALL",
    "I18NLEVEL=1": "NOSUCH",
    "ID": "ID NIL",
    "IDLE": "IDLE",
    "INPROGRESS": "NOSUCH",
    "LIST-EXTENDED": 'LIST "" (INBOX)',
    "LIST-STATUS": 'LIST "" * RETURN (STATUS (MESSAGES))',
    "LITERAL+": "STATUS {4097+}\r\n" + "x" * 4097 + " (MESSAGES)",
    "LITERAL-": "STATUS {5+}\r\nINBOX (MESSAGES)",
    "MOVE": "MOVE 1 Archive",
    "MULTIAPPEND": "APPEND INBOX {1+}\r\nx {1+}\r\nx",
    "NAMESPACE": "NAMESPACE",
    "PARTIAL": "UID FETCH 1 FLAGS (PARTIAL 1:1)",
    "QRESYNC": "SELECT INBOX (QRESYNC (1 1))",
    "QUOTA": "GETQUOTA INBOX",
    "QUOTA=RES-STORAGE": "STATUS INBOX (DELETED-STORAGE)",
    "REPLACE": "REPLACE 1 INBOX {1+}\r\nx",
    "SASL-IR": "AUTHENTICATE PLAIN AGEAYg==",
    "SAVEDATE": "FETCH 1 SAVEDATE",
    "SEARCH=FUZZY": "SEARCH FUZZY TEXT x",
    "SEARCHRES": "FETCH $ FLAGS",
    "ESORT": "SORT RETURN () (DATE) UTF-8 ALL",
    "SORT": "SORT (DATE) UTF-8 ALL",
    "SORT=DISPLAY": "SORT (DISPLAYTO) UTF-8 ALL",
    "THREAD=ORDEREDSUBJECT": "THREAD ORDEREDSUBJECT UTF-8 ALL",
    "THREAD=REFERENCES": "THREAD REFERENCES UTF-8 ALL",
    "THREAD=REFS": "THREAD REFS UTF-8 ALL",
    "LIST-METADATA": 'LIST "" * RETURN (METADATA (/shared/comment))',
    "METADATA": "GETMETADATA INBOX /shared/comment",
    "OBJECTID": "SEARCH EMAILID x",
    "PREVIEW": "FETCH 1 PREVIEW",
    "QUOTA=RES-MESSAGE": "STATUS INBOX (DELETED)",
    "SPECIAL-USE": 'LIST (SPECIAL-USE) "" *',
    "STARTTLS": "STARTTLS",
    "STATUS=SIZE": "STATUS INBOX (SIZE)",
    "UIDPLUS": "UID EXPUNGE 1",
    "UNSELECT": "UNSELECT",
    "WITHIN": "SEARCH YOUNGER 5",
}
"""A command for each capability that is refused once it is off."""
FREE = {"CHILDREN", "I18NLEVEL=1", "INPROGRESS", "LITERAL-", "QUOTA=RES-MESSAGE"}
"""What brings no word of its own: LIST-EXTENDED has CHILDREN, too, LITERAL+ what LITERAL- has, and
IMAP4rev2 DELETED.
"""
IGNORED = {"IMAP4rev2"}
"""What ENABLE passes over when it is off (RFC 5161 3.1)."""
CHANGES = {"COMPRESS=DEFLATE", "IDLE", "LITERAL+", "UNAUTHENTICATE"}
"""What makes another session of this one."""
EARLY = {"SASL-IR", "STARTTLS", *(name for name in PROBES if name.startswith("AUTH="))}


@pytest.fixture
def rmail_settings() -> dict[str, Any]:
    return {
        "imap": {
            "disabled_for_clients": {
                "old *": [*PROBES],
                "Odd": ["idle"],
                **{f"only {name}": [name] for name in PROBES},
            }
        },
        "rate_limit": {"enabled": False},
    }


def test_every_capability_can_be_switched_off() -> None:
    assert Catalog().offer.capabilities - PROBES.keys() == set()
    gated = {name for words in GATES.values() for name in words.values()}
    assert gated <= Catalog().offer.capabilities


async def test_what_is_off_is_neither_advertised_nor_taken(
    rmail_server: RunningServer, connect: Connect, fill: Fill
) -> None:
    await fill(1)
    client = await connect("INBOX")
    await client.run("""
        C: a ID ("version" "9" "NAME" "Old Mailer")
        S: * ID (*)
        S: a OK *
        C: b CAPABILITY
        S: * CAPABILITY IMAP4rev1
        S: b OK *
    """)
    late = [probe for name, probe in PROBES.items() if name not in EARLY]
    for number, probe in enumerate(late):
        await client.send(f"p{number} {probe}\r\n".encode())
        await client.run(f"S: p{number} BAD *\nC: n{number} NOOP\nS: n{number} OK *")


@pytest.mark.parametrize(
    ("off", "advertised", "most"),
    [
        ([], "LITERAL+", 5000),
        (["LITERAL+"], "LITERAL-", 4096),
        (["LITERAL+", "LITERAL-"], "", 0),
        (["LITERAL-"], "LITERAL+", 5000),
    ],
)
@pytest.mark.parametrize("rmail_settings", [{}])
async def test_literals_may_be_small_only(
    rmail_server: RunningServer, off: list[str], advertised: str, most: int
) -> None:
    # RFC 7888 5, RFC 9051 4.3
    rmail_server.kernel.section("imap", ImapSettings).disabled_capabilities[:] = off
    async with rmail_server.connect("imap") as client:
        greeting = (await client.line()).split()
        assert [name for name in greeting if name.startswith("LITERAL")] == [advertised][
            : len(advertised)
        ]
        await client.run("C: a LOGIN alice secret\nS: a OK *")
        for size in (1, 4096, 4097):
            answer = "NO [CANNOT] *" if size <= most else "BAD [TOOBIG] *"
            await client.send(b"b CREATE {%d+}\r\n" % size + b"/" * size + b"\r\nc NOOP\r\n")
            await client.run(f"S: b {answer}\nS: c OK *")
            answer = "OK [APPENDUID *] *" if size <= most else "BAD [TOOBIG] *"
            raw = b"x" * size
            await client.send(b"d APPEND INBOX {%d+}\r\n" % size + raw + b"\r\nc NOOP\r\n")
            await client.run(f"S: d {answer}\nS: c OK *")
            both = (b" {1+}\r\nx {%d+}\r\n" % size) + raw
            if most:
                await client.send(b"d APPEND INBOX" + both + b"\r\nc NOOP\r\n")
                await client.run(f"S: d {answer}\nS: c OK *")


async def test_a_login_that_is_off_is_refused(rmail_server: RunningServer) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run("""
            S: * OK [CAPABILITY * AUTH=PLAIN *] *
            C: a ID ("name" "old one")
            S: * ID (*)
            S: a OK *
            C: b CAPABILITY
            S: * CAPABILITY IMAP4rev1
            S: b OK *
            C: c AUTHENTICATE PLAIN
            S: c NO *
            C: d AUTHENTICATE PLAIN AGEAYg==
            S: d BAD *
            C: e STARTTLS
            S: e BAD *
            C: f LOGIN alice secret
            S: f OK [CAPABILITY IMAP4rev1] *
            C: g LIST "" Sent
            S: * LIST () "/" "Sent"
            S: g OK *
        """)


async def _advertised(client: Transcript) -> set[str]:
    lines = await client.run("C: c CAPABILITY\nS: * CAPABILITY *\nS: c OK *")
    return set(lines[0].split()[2:])


async def test_what_is_on_is_taken(connect: Connect, fill: Fill) -> None:
    """So the probes do probe."""
    await fill(1)
    client = await connect("INBOX")
    await client.run("C: q ENABLE QRESYNC\nS: * ENABLED QRESYNC\nS: * OK *\nS: q OK *")
    for number, name in enumerate(sorted(PROBES.keys() - EARLY - FREE - CHANGES)):
        await client.run("C: s SELECT INBOX")
        await client.until("s OK *")
        await client.send(f"p{number} {PROBES[name]}\r\n".encode())
        heard = await client.until(f"p{number} *")
        assert not heard[-1].startswith(f"p{number} BAD"), (name, heard)


@pytest.mark.parametrize("name", [name for name in PROBES if name not in EARLY])
async def test_one_that_is_off_takes_along_what_stands_on_it_and_nothing_else(
    connect: Connect, fill: Fill, name: str
) -> None:
    await fill(1)
    client = await connect("INBOX")
    before = await _advertised(client)
    await client.run(f'C: i ID ("name" "only {name}")\nS: * ID (*)\nS: i OK *')
    gone = with_dependents([name.upper()])
    instead = {"LITERAL-"} if name == "LITERAL+" else set()
    left = {one for one in before if one.upper() not in gone}
    assert await _advertised(client) == left | instead
    for number, one in enumerate(one for one in PROBES if one.upper() in gone and one not in FREE):
        await client.send(f"p{number} {PROBES[one]}\r\n".encode())
        heard = await client.until(f"p{number} *")
        answer = "OK" if one in IGNORED and "ENABLE" not in gone else "BAD"
        assert heard[-1].startswith(f"p{number} {answer}"), (one, heard)
        await client.run(f"C: n{number} NOOP\nS: n{number} OK *")


@pytest.mark.parametrize("name", sorted(EARLY))
async def test_one_that_is_off_before_login(rmail_server: RunningServer, name: str) -> None:
    async with rmail_server.connect("imap") as client:
        await client.run("S: * OK *")
        before = await _advertised(client)
        await client.run(f'C: i ID ("name" "only {name}")\nS: * ID (*)\nS: i OK *')
        gone = with_dependents([name.upper()])
        assert await _advertised(client) == {one for one in before if one.upper() not in gone}
        await client.send(f"p {PROBES[name]}\r\n".encode())
        await client.run("S: p NO [CANNOT] *" if name.startswith("AUTH=") else "S: p BAD *")


async def test_response_codes_of_what_is_off_are_not_told(connect: Connect, fill: Fill) -> None:
    await fill(1)
    client = await connect()
    await client.run("""
        C: i ID ("name" "only UIDPLUS")
        S: * ID (*)
        S: i OK *
        C: j ID ("name" "only OBJECTID")
        S: * ID (*)
        S: j OK *
        C: k ID ("name" "only CONDSTORE")
        S: * ID (*)
        S: k OK *
        C: a SELECT INBOX
    """)
    lines = await client.until("a OK *")
    assert not any("MAILBOXID" in line or "HIGHESTMODSEQ" in line for line in lines)
    await client.run("""
        C: b APPEND Sent {3+}
        C: abc
        S: b OK APPEND completed
        C: c COPY 1 Sent
        S: c OK COPY completed
        C: d CREATE Other
        S: d OK CREATE completed
        C: e REPLACE 1 Sent {3+}
        C: abc
        S: * 1 EXPUNGE
        S: e OK REPLACE completed
    """)


async def test_children_are_told_where_they_are_asked_for(connect: Connect) -> None:
    # RFC 5258 4: the option is part of LIST-EXTENDED
    client = await connect()
    await client.run("""
        C: i ID ("name" "only CHILDREN")
        S: * ID (*)
        S: i OK *
        C: a LIST "" INBOX
        S: * LIST () "/" "INBOX"
        S: a OK *
        C: b LIST "" INBOX RETURN (CHILDREN)
        S: * LIST (\\HasNoChildren) "/" "INBOX"
        S: b OK *
    """)


async def test_special_use_brings_its_options_along(connect: Connect) -> None:
    # RFC 6154 2
    client = await connect()
    await client.run("""
        C: i ID ("name" "only LIST-EXTENDED")
        S: * ID (*)
        S: i OK *
        C: a LIST (SPECIAL-USE) "" S*
        S: * LIST (\\Sent) "/" "Sent"
        S: a OK *
        C: b LIST "" Sent RETURN (SPECIAL-USE)
        S: * LIST (\\Sent) "/" "Sent"
        S: b OK *
        C: c LIST (SPECIAL-USE SUBSCRIBED) "" S*
        S: c BAD *
    """)


async def test_a_second_literal_waits_too_where_literal_plus_is_off(connect: Connect) -> None:
    client = await connect()
    await client.run(f"""
        C: i ID ("name" "only LITERAL+")
        S: * ID (*)
        S: i OK *
        C: a APPEND INBOX {{3}}
        S: + *
        C: abc {{4097+}}
        C: {"x" * 4097}
        S: a BAD [TOOBIG] *
        C: b STATUS INBOX (MESSAGES)
        S: * STATUS "INBOX" (MESSAGES 0)
        S: b OK *
    """)


async def test_utf8_literals_are_not_those_of_binary(connect: Connect) -> None:
    # RFC 6855 4 brings a literal8 of its own
    client = await connect()
    await client.run("""
        C: i ID ("name" "only BINARY")
        S: * ID (*)
        S: i OK *
        C: u ENABLE UTF8=ACCEPT
        S: * ENABLED UTF8=ACCEPT
        S: u OK *
        C: a APPEND INBOX UTF8 (~{3+}
        C: abc)
        S: a OK [APPENDUID *] *
        C: b APPEND INBOX ~{3+}
        C: abc
        S: b BAD *
    """)


async def test_a_client_of_another_name_keeps_all(connect: Connect) -> None:
    client = await connect()
    await client.run("""
        C: a ID ("name" "bold x")
        S: * ID (*)
        S: a OK *
        C: b NAMESPACE
        S: * NAMESPACE *
        S: b OK *
        C: c ID ("name" "odd")
        S: * ID (*)
        S: c OK *
        C: d IDLE
        S: d BAD *
        C: e NAMESPACE
        S: * NAMESPACE *
        S: e OK *
    """)


def test_names_are_compared_without_case_and_wildcards_stand_for_anything() -> None:
    settings = ImapSettings(
        disabled_capabilities=["idle"], disabled_for_clients={"Mail*": ["MOVE"], "x": ["ID"]}
    )
    assert disabled(settings) == {"IDLE", "IMAP4REV2"}
    assert disabled(settings, "MAILER 2") == {"MOVE", "IMAP4REV2"}
    assert disabled(settings, "a mailer") == set()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"disabled_capabilities": ["CONSTORE"]}, "disabled_capabilities: .* mean 'CONDSTORE'"),
        ({"disabled_capabilities": ["IMAP4rev1"]}, "'IMAP4rev1' is no capability that can be"),
        ({"disabled_for_clients": {"a": ["AUTH=PLANE"]}}, "clients.a: .* mean 'AUTH=PLAIN'"),
    ],
)
def test_a_capability_that_does_not_exist_stops_the_start(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Catalog().check(ImapSettings(**settings))


def _values(rows: Sequence[Fetched]) -> list[bytes]:
    return [b"1" for _ in rows]


@pytest.mark.parametrize(
    "extension",
    [
        Command("NOOP", no_arguments, TABLE["NOOP"].run, State.ANY),
        FetchItem("FLAGS", _values),
        FetchItem("FAST", _values),
        Feature("UIDPLUS"),
    ],
)
def test_an_extension_takes_no_name_that_is_there(extension: Extension) -> None:
    with pytest.raises(ConfigError, match="there twice"):
        Catalog([extension])


def test_what_is_added_is_advertised_and_can_be_switched_off() -> None:
    catalog = Catalog(
        [
            Command("X-A", no_arguments, TABLE["NOOP"].run, State.ANY, capability="X-ONE"),
            FetchItem("X-B", _values, capability="X-TWO"),
            Feature("X-THREE"),
        ]
    )
    assert catalog.offer.capabilities - Catalog().offer.capabilities == {
        "X-ONE",
        "X-TWO",
        "X-THREE",
    }
    catalog.check(ImapSettings(disabled_capabilities=["X-ONE", "X-TWO", "X-THREE"]))
    mixed = Catalog(
        [Command("X-A", no_arguments, TABLE["NOOP"].run, State.ANY, capability="x-One")]
    )
    mixed.find("X-A", is_uid=False, now=State.AUTHENTICATED)
    off = disabled(ImapSettings(disabled_capabilities=["X-ONE"]))
    with pytest.raises(BadSyntax, match="Unknown command"):
        mixed.find("X-A", is_uid=False, now=State.AUTHENTICATED, off=off)
    with pytest.raises(ConfigError, match="there twice"):
        Catalog([FetchItem("X-B", _values), FetchItem("X-B", _values)])
