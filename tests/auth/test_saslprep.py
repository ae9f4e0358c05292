"""SASLprep: the examples of RFC 4013 3 and what it prohibits."""

from __future__ import annotations

import pytest

from rmail_kernel.auth.saslprep import saslprep
from rmail_kernel.errors import Invalid


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("\u0627\u0628", "\u0627\u0628"),
    ],
)
def test_prepared_forms(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize(
    "text", ["\u0007", "\u0627\u0031", "\ue000", "\u00ad", "\u0221", "\u0627a\u0628"]
)
def test_what_cannot_be_prepared(text: str) -> None:
    with pytest.raises(Invalid):
        saslprep(text)
