"""The tokenizer and the parsers of arguments: RFC 3501 9."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rmail_imap import command
from rmail_imap.command.store import store_args
from rmail_imap.commands import TABLE
from rmail_imap.errors import BadSyntax, Refused
from rmail_imap.parse.append import Announced, AppendArgs, append_args
from rmail_imap.parse.cursor import Cursor, Limits
from rmail_imap.parse.dates import date_time, search_date
from rmail_imap.parse.fetch import BodyItem, FetchArgs, Item, fetch_args
from rmail_imap.parse.flags import flag_list
from rmail_imap.parse.search import (
    AllOf,
    AnyOf,
    Leaf,
    Negated,
    Numbers,
    Recent,
    search_args,
)
from rmail_imap.parse.sets import STAR, NumberSet, number_set

from rmail_kernel.mime import Section
from rmail_kernel.storage.search import All, Dated, HasFlag, Header, Sized, Text

command.load()


def test_a_quoted_string_has_escapes() -> None:
    assert Cursor(rb'"a \"b\" \\"').string() == rb'a "b" \ '.rstrip()


def test_a_literal_stands_in_line_in_both_forms() -> None:
    for raw in (b"{3}\r\na\r\n x", b"{3+}\r\na\r\n x"):
        cursor = Cursor(raw)
        assert cursor.astring() == b"a\r\n"
        assert cursor.raw[cursor.at :] == b" x"


@pytest.mark.parametrize(
    "raw",
    [b'"a', b'"a\r\n"', b"{5}\r\nabc", b"{1}\r\n\0", b"{99999999999999}\r\n", b"", b"(", b'"\\x"'],
)
def test_a_string_that_is_none_is_a_syntax_error(raw: bytes) -> None:
    with pytest.raises(BadSyntax):
        Cursor(raw).astring()


def test_nil_is_no_string() -> None:
    assert Cursor(b"NIL").nstring() is None
    assert Cursor(b'"NIL"').nstring() == b"NIL"
    assert Cursor(b"nil").astring() == b"nil"


def test_inbox_is_one_name_in_any_case() -> None:
    assert Cursor(b"iNbOx").mailbox() == "INBOX"
    assert Cursor(b'"inbox"').mailbox() == "INBOX"
    assert Cursor(b"inboxes").mailbox() == "inboxes"


def test_a_mailbox_name_is_decoded() -> None:
    assert Cursor(b'"Entw&APw-rfe/"').mailbox() == "Entwürfe"
    with pytest.raises(Refused):
        Cursor(b'"a&b"').mailbox()


def test_numbers_have_32_bits() -> None:
    assert Cursor(b"4294967295").number() == 4294967295
    for raw in (b"4294967296", b"9" * 5000, b"x"):
        with pytest.raises(BadSyntax):
            Cursor(raw).number()


def test_a_set_keeps_ranges_as_written() -> None:
    found = number_set(Cursor(b"2:4,7,9:*,*:3"))
    assert found == NumberSet(((2, 4), (7, 7), (9, STAR), (STAR, 3)))


@pytest.mark.parametrize("raw", [b"0", b"1,,2", b"1:", b":1", b"1:2:3", b"4294967296", b"a", b"1,"])
def test_a_set_that_is_none_is_a_syntax_error(raw: bytes) -> None:
    with pytest.raises(BadSyntax):
        number_set(Cursor(raw))


def test_ranges_of_a_set_are_limited() -> None:
    limits = Limits(set_ranges=3)
    assert len(number_set(Cursor(b"1,2,3", limits=limits)).ranges) == 3
    with pytest.raises(BadSyntax) as caught:
        number_set(Cursor(b"1,2,3,4", limits=limits))
    assert caught.value.code == b"LIMIT"


def test_dates() -> None:
    assert search_date(Cursor(b"1-Feb-1994")) == date(1994, 2, 1)
    assert search_date(Cursor(b'"01-feb-1994"')) == date(1994, 2, 1)
    found = date_time(Cursor(b'" 7-Jul-1996 02:44:25 -0700"'))
    assert found.astimezone(UTC) == datetime(1996, 7, 7, 9, 44, 25, tzinfo=UTC)


@pytest.mark.parametrize(
    "raw", [b"31-Feb-1994", b"1-Foo-1994", b"1994", b"0-Jan-2000", b"1-Jan-0000"]
)
def test_a_date_that_does_not_exist_is_a_syntax_error(raw: bytes) -> None:
    with pytest.raises(BadSyntax):
        search_date(Cursor(raw))


@pytest.mark.parametrize(
    "raw",
    [
        b'"17-Jul-1996 25:44:25 -0700"',
        b'"17-Jul-1996 02:44:25 -9900"',
        b'"17-Jul-1996"',
        b'"31-Dec-9999 23:59:59 -1400"',
        b'"01-Jan-0001 00:00:00 +0100"',
    ],
)
def test_a_time_that_does_not_exist_is_a_syntax_error(raw: bytes) -> None:
    with pytest.raises(BadSyntax):
        date_time(Cursor(raw))


def test_flags_take_their_usual_case_and_recent_is_left_out() -> None:
    assert flag_list(Cursor(b"(\\SEEN \\recent $Junk)")) == {"\\Seen", "$Junk"}
    assert flag_list(Cursor(b"()")) == frozenset()
    with pytest.raises(Refused):
        flag_list(Cursor(b"(\\Seen \\Foo)"))
    for raw in (b"(\\Seen", b"(a  b)", b"(%s)" % (b"k" * 101)):
        with pytest.raises(BadSyntax):
            flag_list(Cursor(raw))


def test_flags_in_one_command_are_limited() -> None:
    with pytest.raises(BadSyntax):
        flag_list(Cursor(b"(" + b"a " * 101 + b"a)"))


def fetched(raw: bytes, *, is_uid: bool = False) -> FetchArgs:
    return fetch_args(Cursor(b" " + raw, is_uid=is_uid))


def test_fetch_macros() -> None:
    assert fetched(b"1 FAST").items == (Item.FLAGS, Item.INTERNALDATE, Item.SIZE)
    assert fetched(b"1 all").items == (*fetched(b"1 FAST").items, Item.ENVELOPE)
    assert fetched(b"1 FULL").items == (*fetched(b"1 ALL").items, Item.BODY)


def test_uid_fetch_always_gives_the_uid() -> None:
    assert fetched(b"1 FLAGS", is_uid=True).items == (Item.UID, Item.FLAGS)
    assert fetched(b"1 (UID FLAGS)", is_uid=True).items == (Item.UID, Item.FLAGS)


def test_fetch_sections() -> None:
    items = fetched(
        b"1 (BODY[] BODY.PEEK[1.2.MIME] BODY[HEADER.FIELDS (From {2}\r\nTo)]<5.10> BODY[3])"
    ).items
    assert items == (
        BodyItem(Section(), b"BODY[]", sets_seen=True),
        BodyItem(Section((1, 2), "MIME"), b"BODY[1.2.MIME]", sets_seen=False),
        BodyItem(
            Section((), "HEADER.FIELDS", (b"From", b"To")),
            b"BODY[HEADER.FIELDS (From To)]<5>",
            sets_seen=True,
            partial=(5, 10),
        ),
        BodyItem(Section((3,)), b"BODY[3]", sets_seen=True),
    )


def test_rfc822_header_and_peek_do_not_set_seen() -> None:
    items = fetched(b"1 (RFC822 RFC822.HEADER RFC822.TEXT RFC822.Peek)").items
    bodies = [(item.label, item.sets_seen) for item in items if isinstance(item, BodyItem)]
    assert bodies == [
        (b"RFC822", True),
        (b"RFC822.HEADER", False),
        (b"RFC822.TEXT", True),
        (b"RFC822", False),
    ]


@pytest.mark.parametrize(
    "raw",
    [
        b"1",
        b"1 ()",
        b"1 (FLAGS",
        b"1 FOO",
        b"1 BODY[MIME]",
        b"1 BODY[0]",
        b"1 BODY[1.]",
        b"1 BODY[HEADER.FIELDS]",
        b"1 BODY[HEADER.FIELDS ()]",
        b"1 BODY[]<0.0>",
        b"1 BODY[]<1>",
        b"1 (FAST)",
        b"1 FLAGS x",
        b"1 BODY[" + b".".join([b"1"] * 101) + b"]",
    ],
)
def test_fetch_of_what_does_not_exist_is_a_syntax_error(raw: bytes) -> None:
    with pytest.raises(BadSyntax):
        fetched(raw)


def test_fetch_items_and_field_names_are_limited() -> None:
    many = b" ".join(b"BODY[%d]" % number for number in range(1, 300))
    names = b" ".join(b"X-%d" % number for number in range(300))
    for raw in (b"1 (%s)" % many, b"1 BODY[HEADER.FIELDS (%s)]" % names):
        with pytest.raises(BadSyntax) as caught:
            fetched(raw)
        assert caught.value.code == b"LIMIT"


def searched(raw: bytes, limits: Limits | None = None) -> object:
    return search_args(Cursor(b" " + raw, limits=limits)).key


def test_search_keys() -> None:
    assert searched(b"ALL") == Leaf(All())
    assert searched(b"UNSEEN") == Negated(Leaf(HasFlag("\\Seen")))
    assert searched(b"keyword $Junk") == Leaf(HasFlag("$Junk"))
    assert searched(b"1:3") == Numbers(NumberSet(((1, 3),)))
    assert searched(b"UID 5") == Numbers(NumberSet(((5, 5),), is_uid=True))
    assert searched(b"SENTSINCE 1-Feb-2020") == Leaf(Dated("sent", "since", date(2020, 2, 1)))
    assert searched(b"LARGER 10") == Leaf(Sized("larger", 10))
    assert searched(b'HEADER List-Id ""') == Leaf(Header("List-Id", ""))
    assert searched(b"FROM joe SEEN") == AllOf(
        (Leaf(Header("From", "joe")), Leaf(HasFlag("\\Seen")))
    )
    assert searched(b"NEW") == AllOf((Recent(), Negated(Leaf(HasFlag("\\Seen")))))
    assert searched(b"NOT (SEEN RECENT)") == Negated(AllOf((Leaf(HasFlag("\\Seen")), Recent())))


def test_search_or_chains_are_one_level() -> None:
    expected = AnyOf((Leaf(Text("a")), Leaf(Text("b")), Leaf(Text("c"))))
    assert searched(b"OR TEXT a OR TEXT b TEXT c") == expected
    long = b"OR TEXT a " * 500 + b"TEXT b"
    assert isinstance(searched(long), AnyOf)


def test_search_charset() -> None:
    assert searched("CHARSET utf-8 TEXT {2}\r\nü".encode()) == Leaf(Text("ü"))
    assert not search_args(Cursor(b" CHARSET KOI8-R TEXT x")).is_charset_known
    with pytest.raises(BadSyntax):
        searched(b"TEXT {1}\r\n\xff")


@pytest.mark.parametrize("raw", [b"", b"FOO", b"OR SEEN", b"NOT", b"(SEEN", b"BEFORE x", b"SEEN)"])
def test_search_that_is_none_is_a_syntax_error(raw: bytes) -> None:
    with pytest.raises(BadSyntax):
        searched(raw)


def test_search_depth_and_keys_are_limited() -> None:
    limits = Limits(search_depth=5, search_keys=5)
    for raw in (b"NOT " * 5 + b"SEEN", b"(" * 5 + b"SEEN" + b")" * 5, b"SEEN " * 6):
        with pytest.raises(BadSyntax) as caught:
            searched(raw, limits)
        assert caught.value.code == b"LIMIT"
    assert searched(b"NOT " * 4 + b"SEEN", limits)


def test_append_is_parsed_up_to_its_message() -> None:
    found = append_args(Cursor(b' x (\\Seen) "17-Jul-1996 02:44:25 -0000" {10+}'))
    at = datetime(1996, 7, 17, 2, 44, 25, tzinfo=UTC)
    assert found == AppendArgs("x", Announced(frozenset({"\\Seen"}), at, 10, is_waiting=False))
    assert append_args(Cursor(b" {1}\r\nx {10}")).message.is_waiting
    assert append_args(Cursor(b" x ~{10}")).message.is_binary
    utf8 = append_args(Cursor(b" x UTF8 (~{10+}")).message
    assert (utf8.is_utf8, utf8.is_binary, utf8.size_bytes) == (True, True, 10)


def test_store_forms() -> None:
    silent = store_args(Cursor(b" 1 -flags.silent (\\Seen a)"))
    assert silent.op == "remove"
    assert silent.is_silent
    assert silent.flags == {"\\Seen", "a"}
    bare = store_args(Cursor(b" 1 FLAGS \\Seen \\Deleted"))
    assert bare.op == "set"
    assert not bare.is_silent
    assert bare.flags == {"\\Seen", "\\Deleted"}


_WORDS = [
    b"1:*", b"(", b")", b" ", b"FLAGS", b"BODY[", b"]", b'"', b"{3}\r\nabc", b"\\Seen", b"NOT ",
    b"OR ", b"HEADER", b"<0.1>", b"\xff", b"&AOk-", b"&", b"1-Jan-2020", b"CHARSET ", b"x", b"%*",
]  # fmt: skip
_BYTES = st.one_of(
    st.binary(max_size=200), st.lists(st.sampled_from(_WORDS), max_size=40).map(b"".join)
)


@given(raw=_BYTES, name=st.sampled_from(sorted(TABLE)), is_uid=st.booleans())
def test_any_bytes_give_arguments_or_a_syntax_error(raw: bytes, name: str, is_uid: bool) -> None:
    parse: Callable[[Cursor], object] = TABLE[name].parse
    cursor = Cursor(b" " + raw, is_uid=is_uid)
    try:
        parse(cursor)
    except (BadSyntax, Refused):
        return
    assert cursor.is_at_end
