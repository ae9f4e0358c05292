"""Address lists: the RFC's examples, and what senders write instead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmail_kernel.mime import AddressItem, Group, Mailbox, addresses

Short = tuple[str | None, str, str]


def short(items: tuple[AddressItem, ...]) -> list[Short | tuple[str, list[Short]]]:
    return [
        (item.name, item.local, item.domain)
        if isinstance(item, Mailbox)
        else (item.name, [(member.name, member.local, member.domain) for member in item.members])
        for item in items
    ]


# RFC 5322 A.1 and A.5.
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"John Doe <jdoe@machine.example>", [("John Doe", "jdoe", "machine.example")]),
        (
            b'"Joe Q. Public" <john.q.public@example.com>',
            [("Joe Q. Public", "john.q.public", "example.com")],
        ),
        (
            b"Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
            [
                ("Mary Smith", "mary", "x.test"),
                (None, "jdoe", "example.org"),
                ("Who?", "one", "y.test"),
            ],
        ),
        (
            b'<boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>',
            [(None, "boss", "nil.test"), ('Giant; "Big" Box', "sysservices", "example.net")],
        ),
        (
            b"A Group:Ed Jones <joe@where.test>,joe@where.test,John <jdoe@one.test>;",
            [
                (
                    "A Group",
                    [
                        ("Ed Jones", "joe", "where.test"),
                        (None, "joe", "where.test"),
                        ("John", "jdoe", "one.test"),
                    ],
                )
            ],
        ),
        (b"Undisclosed recipients:;", [("Undisclosed recipients", [])]),
        (
            b"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
            [("Pete", "pete", "silly.test")],
        ),
        (
            b"A Group(Some people)\r\n :Chris Jones <c@(Chris's host.)public.example>,\r\n"
            b" joe@example.org,\r\n John <jdoe@one.test> (my dear friend); (the end of the group)",
            [
                (
                    "A Group",
                    [
                        ("Chris Jones", "c", "public.example"),
                        (None, "joe", "example.org"),
                        ("John", "jdoe", "one.test"),
                    ],
                )
            ],
        ),
        (b"(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;",
         [("Hidden recipients", [])]),
        (b"Joe Q. Public <john . q . public@example.com>",
         [("Joe Q. Public", "john.q.public", "example.com")]),
        (b"Mary Smith\r\n <@node.test:mary@example.net>, , jdoe@test  . example",
         [("Mary Smith", "mary", "example.net"), (None, "jdoe", "test.example")]),
    ],
)  # fmt: skip
def test_rfc_5322_examples(raw: bytes, expected: list[Short]) -> None:
    assert short(addresses(raw)) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", []),
        (b" , ,; ", []),
        (b"root", [(None, "root", "")]),
        (b"<root>", [(None, "root", "")]),
        (b"<>", [(None, "", "")]),
        (b"Mailer Daemon", [("Mailer Daemon", "", "")]),
        (b"joe@example.org (Joe Doe)", [("Joe Doe", "joe", "example.org")]),
        (b"Joe john . q . public@example.org", [("Joe", "john.q.public", "example.org")]),
        (b"Joe joe@example.org", [("Joe", "joe", "example.org")]),
        (b"joe@a.example <joe@b.example>", [("joe@a.example", "joe", "b.example")]),
        (b"joe@[192.0.2.1]", [(None, "joe", "[192.0.2.1]")]),
        (b'"joe doe"@example.org', [(None, "joe doe", "example.org")]),
        (b"<joe@example.org", [(None, "joe", "example.org")]),
        (b"<joe@example.org, b@c", [(None, "joe", "example.org"), (None, "b", "c")]),
        (b"joe@example.org>", [(None, "joe", "example.org")]),
        (b"a:b@c", [("a", [(None, "b", "c")])]),
        (b"=?utf-8?q?G=C3=BCn, x?= <a@b>", [("Gün, x", "a", "b")]),
        (b"=?utf-8?q?G=C3=BCn <a@b>", [("=?utf-8?q?G=C3=BCn", "a", "b")]),
        (b"=?utf-8?q?G=C3=BCn,_x?= <a@b>", [("Gün, x", "a", "b")]),
        (b"=?utf-8?q?G=C3=BCn?=\r\n =?utf-8?q?_x?= <a@b>", [("Gün x", "a", "b")]),
        ("Jürgen <jürgen@exämple.org>".encode(), [("Jürgen", "jürgen", "exämple.org")]),
        (b"J\xfcrgen <a@b>", [("Jürgen", "a", "b")]),
        (b'"unclosed <a@b>', [(None, "unclosed <a@b>", "")]),
        (b"(unclosed a@b", []),
        (b"a@b@c", [(None, "a", "b@c")]),
    ],
)
def test_what_senders_write_is_taken_as_it_was_meant(raw: bytes, expected: list[Short]) -> None:
    assert short(addresses(raw)) == expected


def test_encoded_names_and_routes_stay_available_as_written() -> None:
    (mailbox,) = addresses(b'"=?utf-8?q?=C3=A9?= \\"x\\"" <@a,@b:c@d>')
    assert mailbox == Mailbox('é "x"', "c", "d", b'=?utf-8?q?=C3=A9?= "x"', "@a,@b")
    (group,) = addresses(b"=?utf-8?q?=C3=A9?=:;")
    assert group == Group("é", (), b"=?utf-8?q?=C3=A9?=")


@pytest.mark.parametrize(
    ("mailbox", "expected"),
    [
        (Mailbox(None, "a.b+c", "example.org"), "a.b+c@example.org"),
        (Mailbox(None, 'a "b', "example.org"), '"a \\"b"@example.org'),
        (Mailbox(None, ".a", "example.org"), '".a"@example.org'),
        (Mailbox(None, "jürgen", "example.org"), "jürgen@example.org"),
        (Mailbox(None, "root", ""), "root"),
        (Mailbox(None, "", "example.org"), '""@example.org'),
    ],
)
def test_an_address_is_quoted_where_it_must_be(mailbox: Mailbox, expected: str) -> None:
    assert mailbox.address == expected


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "piece", [b"(", b"<", b'"', b"a:", b". ", b"a ", b"@a,", b"\\", b"[", b"=?a?q?"]
)
def test_hostile_lists_are_read_in_linear_time(piece: bytes) -> None:
    addresses(piece * (300_000 // len(piece)))
    addresses(b"<" + piece * (300_000 // len(piece)) + b">")


PIECES = [
    *(
        b"Anna",
        b" ",
        b"<",
        b">",
        b"@",
        b"a@b.c",
        b",",
        b"\r\n ",
        b'"Q, x"',
        b'"',
        b"(c)",
        b":",
        b";",
    ),
    *(b"=?utf-8?Q?J=C3=B6?=", b"x.y", b"\\", b"<l@d>", b"N <l@d>", b"[1]", b"\t", b"\xc3\xa9"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=10).map(b"".join))
def test_lists_of_simple_addresses_are_read_as_all_others(raw: bytes) -> None:
    assert addresses(raw) == addresses(b"()," + raw)  # no short way with a comment
