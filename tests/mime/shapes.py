"""Messages that the tests of the MIME layer share, built from literal lines."""

from rmail_kernel.mime import Part


def crlf(text: str) -> bytes:
    """`text` with CRLF line ends, its first line end dropped."""
    return text.removeprefix("\n").replace("\n", "\r\n").encode()


def shape(part: Part) -> str:
    """The types of a structure, for instance `multipart/mixed(text/plain image/png)`."""
    name = f"{part.type}/{part.subtype}"
    if not part.children:
        return name
    return f"{name}({' '.join(shape(child) for child in part.children)})"


def body(raw: bytes, part: Part) -> bytes:
    """The raw bytes of the body of `part`."""
    return raw[part.body_start : part.body_end]


def nested_messages(levels: int) -> bytes:
    """A message in a message, `levels` deep."""
    return b"Content-Type: message/rfc822\r\n\r\n" * levels + b"Subject: inmost\r\n\r\nend\r\n"


def nested_multiparts(levels: int) -> bytes:
    """Multiparts in multiparts, `levels` deep, none of them closed."""
    return b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
        for level in range(levels)
    )


def many_parts(count: int) -> bytes:
    """A multipart with `count` empty parts."""
    return b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * count
