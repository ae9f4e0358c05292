"""A seeded generator of messages with what makes MIME hard: nesting, messages in messages, encoded
words, RFC 2231 parameters, charsets, odd boundaries, 8-bit text, preambles and missing ends.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator

_SUBJECTS = (
    "plain",
    "=?utf-8?q?Gr=C3=B6=C3=9Fe?= and =?iso-8859-1?b?5PY=?=",
    "=?utf-8?b?5pel5pys6Kqe?=\r\n =?utf-8?q?_folded?=",
    'quoted "and" \\ slashed',
    "",
)
_ADDRESSES = (
    "ann@example.org",
    "Ann <ann@example.org>",
    '"Ann, B. \\"C\\"" <ann@example.org>',
    "=?utf-8?q?J=C3=B6rg?= <jorg@example.org>, bob@example.org",
    "friends: ann@example.org, Bob <bob@example.org>;",
    "undisclosed-recipients:;",
    "Ann (a comment) <ann@example.org>",
    "<ann@example.org>",
)
_TYPES = (
    "text/plain; charset=us-ascii",
    'text/plain; charset="UTF-8"; format=flowed',
    "text/html; charset=iso-8859-1",
    "image/png; name=a.png",
    'application/pdf; name="a \\"b\\" c.pdf"',
    'application/x-thing; a=1; b="two"',
    "TEXT/PLAIN",
)
_DISPOSITIONS = (
    "attachment; filename=report.pdf",
    "inline",
    'attachment; filename="a; b.txt"',
)
_BOUNDARIES = ("b", "=_x.y", "--dashes", "a'b()+,-./:=?", "0" * 70)


def messages(draw: random.Random, count: int) -> Iterator[bytes]:
    """So many messages with CRLF line ends."""
    for _ in range(count):
        yield _message(draw, 3).encode("utf-8")


def _message(draw: random.Random, levels: int) -> str:
    fields = [
        f"From: {draw.choice(_ADDRESSES[:4])}",
        f"To: {draw.choice(_ADDRESSES)}",
        f"Subject: {draw.choice(_SUBJECTS)}",
        f"Message-ID: <{draw.getrandbits(40):x}@example.org>",
        "Date: Thu, 1 Jan 2026 10:00:00 +0100",
    ]
    if draw.random() < 0.4:
        fields.append(f"Cc: {draw.choice(_ADDRESSES)}")
    if draw.random() < 0.3:
        fields.append("In-Reply-To: <a@example.org>")
    draw.shuffle(fields)
    return "\r\n".join([*fields, "MIME-Version: 1.0", _entity(draw, levels)])


def _entity(draw: random.Random, levels: int) -> str:
    """Content fields, an empty line and a body."""
    kind = draw.random()
    if levels and kind < 0.45:
        return _multipart(draw, levels - 1)
    if levels and kind < 0.6:
        return f"Content-Type: message/rfc822\r\n\r\n{_message(draw, levels - 1)}"
    return _leaf(draw)


def _leaf(draw: random.Random) -> str:
    fields = [f"Content-Type: {draw.choice(_TYPES)}"]
    body = "\r\n".join(
        draw.choice(("a line", "grün", "", "From me", "--", "-- ", "a=b"))
        for _ in range(draw.randrange(1, 6))
    )
    encoding = draw.choice(("7bit", "8bit", "base64", "quoted-printable", None))
    if encoding == "base64":
        body = base64.encodebytes(body.encode()).decode().replace("\n", "\r\n")
    if encoding is not None:
        fields.append(f"Content-Transfer-Encoding: {encoding}")
    if draw.random() < 0.3:
        fields.append(f"Content-Disposition: {draw.choice(_DISPOSITIONS)}")
    if draw.random() < 0.2:
        fields.append(f"Content-ID: <{draw.getrandbits(20):x}@x>")
    if draw.random() < 0.2:
        fields.append("Content-Description: a =?utf-8?q?th=C3=AFng?=")
    if draw.random() < 0.2:
        fields.append("Content-Language: en, de")
    return "\r\n".join([*fields, "", body]) + draw.choice(("", "\r\n"))


def _multipart(draw: random.Random, levels: int) -> str:
    boundary = f"{draw.choice(_BOUNDARIES)[:60]}{draw.getrandbits(24):x}"
    subtype = draw.choice(("mixed", "alternative", 'related; type="text/html"'))
    lines = [f'Content-Type: multipart/{subtype}; boundary="{boundary}"', ""]
    if draw.random() < 0.3:
        lines.append("preamble")
    for _ in range(draw.randrange(1, 4)):
        lines += [f"--{boundary}", _entity(draw, levels)]
    lines.append(f"--{boundary}--")
    if draw.random() < 0.3:
        lines.append("epilogue")
    return "\r\n".join(lines) + "\r\n"
