"""The arguments of MAIL and RCPT: paths and parameters.

RFC 5321 4.1.1.2, 4.1.1.3, 4.1.2 and appendix C (source routes are dropped), RFC 6531 3.3. It
parses; whether a parameter is known is the caller's question.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rmail_kernel.errors import Invalid
from rmail_kernel.model import Address

_PATH = re.compile(
    r"<(?:@[^\s<>:@,]+(?:,@[^\s<>:@,]+)*:)?"  # A-d-l, to be ignored
    r'(?P<mailbox>(?:"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"|[^\s"<>@]+)?(?:@[^\s<>@]+)?)>'
)
# esmtp-keyword and esmtp-value, RFC 5321 4.1.2; RFC 6531 3.3 lets values be UTF-8.
_PARAMETER = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9-]*)(?:=(?P<value>[^\x00-\x20=\x7f]+))?\Z")


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path with its parameters.

    Args:
        address: None is the null reverse-path.
        is_ascii: whether the address was written in ASCII.
        raw_parameters: what follows it, for `parameters`.
    """

    address: Address | None
    is_ascii: bool
    raw_parameters: str


def reverse_path(raw_argument: bytes) -> Path:
    """The argument of MAIL, `FROM:<path> [parameters]`.

    Raises:
        Invalid: not so.
    """
    mailbox, rest = _split(raw_argument, "FROM:")
    address = Address.parse(mailbox) if mailbox else None
    return Path(address, mailbox.isascii(), rest)


def forward_path(raw_argument: bytes, postmaster_domain: str) -> Path:
    """The argument of RCPT, `TO:<path> [parameters]`.

    Args:
        postmaster_domain: where `<Postmaster>` without a domain belongs (RFC 5321 4.1.1.3).

    Raises:
        Invalid: not so, or the null path.
    """
    mailbox, rest = _split(raw_argument, "TO:")
    if mailbox.lower() == "postmaster":
        mailbox = f"{mailbox}@{postmaster_domain}"
    return Path(Address.parse(mailbox), mailbox.isascii(), rest)


def _split(raw_argument: bytes, keyword: str) -> tuple[str, str]:
    try:
        argument = raw_argument.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid("Not UTF-8") from error
    if argument[: len(keyword)].upper() != keyword:
        raise Invalid(f"Syntax error, {keyword}<address> is missing")
    # RFC 5321 3.3 has no space after the colon; too many clients send one to refuse it.
    rest = argument[len(keyword) :].lstrip(" ")
    path = _PATH.match(rest)
    if path is None:
        raise Invalid("Write the address as <user@example.com>")
    return path["mailbox"], rest[path.end() :]


def parameters(text: str) -> dict[str, str | None]:
    """What follows a path: values by upper-case keyword, None where there is none.

    Raises:
        Invalid: not so.
    """
    if text and not text.startswith(" "):
        raise Invalid("A space must stand before each parameter")
    found: dict[str, str | None] = {}
    for word in filter(None, text.split(" ")):
        parameter = _PARAMETER.match(word)
        if parameter is None:
            raise Invalid("Write parameters as NAME or NAME=value")
        name = parameter["name"].upper()
        if name in found:
            raise Invalid("A parameter stands twice")
        found[name] = parameter["value"]
    return found
