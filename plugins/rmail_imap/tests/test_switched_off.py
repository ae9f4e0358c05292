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
from rmail_imap.extensions import Command, Extension, Feature, FetchItem, State, no_arguments
from rmail_imap.offer import disabled
from rmail_imap.parse.gates import GATES

from rmail_kernel.errors import ConfigError
from rmail_kernel.storage.mail import Fetched
from rmail_kernel.testing import RunningServer

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
    "LITERAL+": "SELECT {5+}\r\nINBOX",
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
EARLY = {"SASL-IR", "STARTTLS", *(name for name in PROBES if name.startswith("AUTH="))}


@pytest.fixture
def rmail_settings() -> dict[str, Any]:
    return {
        "imap": {"disabled_for_clients": {"old *": [*PROBES], "Odd": ["idle"]}},
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
    assert disabled(settings) == {"IDLE"}
    assert disabled(settings, "MAILER 2") == {"MOVE"}
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
    with pytest.raises(ConfigError, match="there twice"):
        Catalog([FetchItem("X-B", _values), FetchItem("X-B", _values)])
