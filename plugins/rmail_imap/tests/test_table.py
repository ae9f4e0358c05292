"""The table of commands: everything in it can be reached, everything advertised is there."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest
from rmail_imap import command
from rmail_imap.catalog import Catalog
from rmail_imap.commands import FEATURES, TABLE, feature, no_arguments
from rmail_imap.commands import command as register
from rmail_imap.errors import CODES, BadSyntax, Goodbye, Refused, code_of
from rmail_imap.session import Session
from rmail_imap.state import State

from rmail_kernel import errors
from rmail_kernel.errors import RmailError

command.load()

_PROMISED = {
    "CAPABILITY", "LOGIN", "AUTHENTICATE", "STARTTLS", "SELECT", "EXAMINE", "LIST",
    "LSUB", "SUBSCRIBE", "UNSUBSCRIBE", "STATUS", "FETCH", "STORE", "APPEND", "EXPUNGE",
    "COPY", "MOVE", "SEARCH", "IDLE", "ID", "ENABLE", "CHECK", "UNSELECT", "RENAME",
    "CREATE", "DELETE", "NAMESPACE", "NOOP", "LOGOUT", "CLOSE",
}  # fmt: skip


def test_every_promised_command_is_there() -> None:
    assert TABLE.keys() >= _PROMISED


def test_uid_forms() -> None:
    with_uid = {name for name, entry in TABLE.items() if entry.uid}
    assert with_uid >= {"FETCH", "STORE", "COPY", "MOVE", "EXPUNGE", "SEARCH", "SORT", "THREAD"}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_command_cites_its_rfc_and_is_documented(name: str) -> None:
    entry = TABLE[name]
    assert entry.rfc
    assert inspect.getdoc(entry.run)
    assert entry.uid <= (entry.state is State.SELECTED)


def test_only_fetch_store_and_search_hold_back_expunges() -> None:
    # RFC 3501 7.4.1
    assert {n for n, entry in TABLE.items() if not entry.tells_expunge} == {
        "FETCH",
        "STORE",
        "SEARCH",
        "SORT",
        "THREAD",
    }


def test_a_name_is_registered_once() -> None:
    async def run(_: Session, __: None) -> None:
        """Nothing."""

    with pytest.raises(ValueError, match="NOOP"):
        register("NOOP", no_arguments, state=State.ANY, rfc="")(run)
    with pytest.raises(ValueError, match="UIDPLUS"):
        feature("UIDPLUS", "")
    assert FEATURES["UIDPLUS"]


def test_commands_are_found_by_state_and_form() -> None:
    find = Catalog().find
    assert find("NOOP", is_uid=False, now=State.NOT_AUTHENTICATED).name == "NOOP"
    assert find("LIST", is_uid=False, now=State.SELECTED).name == "LIST"
    for name, is_uid, now in (
        ("FOO", False, State.SELECTED),
        ("NOOP", True, State.SELECTED),
        ("FETCH", False, State.AUTHENTICATED),
        ("LOGIN", False, State.AUTHENTICATED),
        ("LIST", False, State.NOT_AUTHENTICATED),
    ):
        with pytest.raises(BadSyntax):
            find(name, is_uid=is_uid, now=now)


def _family(kind: type[RmailError]) -> Iterator[type[RmailError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _family(child)


def test_every_error_has_an_answer() -> None:
    kinds = [kind for kind in _family(RmailError) if kind.__module__ == errors.__name__]
    assert len(kinds) > 10
    for kind in kinds:
        assert any(base in CODES for base in kind.__mro__), kind
    assert code_of(errors.LockedOut(retry_after_s=1)) == b"AUTHENTICATIONFAILED"
    assert code_of(Refused("x", b"TRYCREATE")) == b"TRYCREATE"
    assert code_of(Goodbye("x")) == b""
    assert code_of(RmailError("x")) is None
