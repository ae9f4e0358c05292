"""The grammar of MAIL and RCPT arguments on anything at all."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rmail_smtp import grammar

from rmail_kernel.errors import Invalid
from rmail_kernel.model import Address

_WORDS = st.sampled_from(
    ["FROM:", "<", ">", "@", "a", ".", '"', "\\", " ", ":", ",", "SIZE=1", "é", "\0", "[::1]"]
)


@given(
    st.one_of(
        st.binary(max_size=60), st.lists(_WORDS, max_size=14).map(lambda w: "".join(w).encode())
    )
)
def test_an_argument_is_a_path_or_invalid(raw: bytes) -> None:
    try:
        path = grammar.reverse_path(raw)
    except Invalid:
        return
    if path.address is not None:
        assert Address.parse(str(path.address)) == path.address
    try:
        grammar.parameters(path.raw_parameters)
    except Invalid:
        return


@pytest.mark.parametrize(
    "raw",
    [
        b"FROM:<" + b"@a," * 700 + b">",
        b"FROM:<" + b'"' * 2000,
        b"FROM:<" + b"a." * 1000 + b"@" + b"b." * 1000 + b">",
        b"FROM:<a@b.c>" + b" X=" * 600,
        b'FROM:<"' + b"\\a" * 1000 + b">",
    ],
)
def test_hostile_arguments_take_no_time(raw: bytes) -> None:
    begin = time.process_time()
    with pytest.raises(Invalid):
        grammar.parameters(grammar.reverse_path(raw).raw_parameters)
    assert time.process_time() - begin < 0.5


def test_the_parts_of_an_argument() -> None:
    path = grammar.reverse_path(b'FROM:<@x.test:"a b"@B.test> SIZE=10 body=8BITMIME FLAG')
    assert path.address == Address('"a b"', "b.test")
    given_parameters = grammar.parameters(path.raw_parameters)
    assert given_parameters == {"SIZE": "10", "BODY": "8BITMIME", "FLAG": None}
    assert grammar.reverse_path(b"FROM:<>").address is None
    postmaster = grammar.forward_path(b"to:<PostMaster>", "example.com")
    assert postmaster.address == Address("PostMaster", "example.com")
