"""Names inside GS2 headers and SCRAM messages (RFC 5801 4, RFC 5802 5.1)."""

from __future__ import annotations

import re

from rmail_kernel.errors import Invalid

_ESCAPE = re.compile("=(2C|3D)?")


def decoded_name(text: str) -> str:
    """A saslname without its escapes: "=2C" is a comma, "=3D" an equals sign.

    Raises:
        Invalid: another "=".
    """

    def character(found: re.Match[str]) -> str:
        if found[1] is None:
            raise Invalid("Not a name")
        return "," if found[1] == "2C" else "="

    return _ESCAPE.sub(character, text)
