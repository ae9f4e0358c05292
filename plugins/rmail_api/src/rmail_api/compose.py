"""Building a message from the fields of a JSON body. The result is 7-bit clean but for the
addresses of RFC 6531; Bcc is never in it.

RFC 5322 3.6, RFC 2045, RFC 2046 5.1, RFC 2183.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime

import msgspec

from rmail_kernel.content import Content
from rmail_kernel.errors import Invalid
from rmail_kernel.http.payload import Body
from rmail_kernel.mime import Mailbox, addresses
from rmail_kernel.model import Address

MAX_SUBJECT = 2000
MAX_NAME = 200
MAX_REFERENCES = 100
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>\Z")  # RFC 5322 3.6.4, and short enough for one line
_TYPE = re.compile(r"([A-Za-z0-9!#$&^_.+-]{1,64})/([A-Za-z0-9!#$&^_.+-]{1,64})\Z")  # RFC 6838 4.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Attachment(Body):
    """A file; `content` is base64 in JSON."""

    filename: str
    content: bytes
    content_type: str = "application/octet-stream"


class Draft(Body):
    """What POST /messages/send takes."""

    to: list[str]
    subject: str = ""
    body: str = ""
    cc: list[str] = msgspec.field(default_factory=list)
    bcc: list[str] = msgspec.field(default_factory=list)
    html: str | None = None
    attachments: list[Attachment] = msgspec.field(default_factory=list)
    in_reply_to: str | None = None
    references: list[str] = msgspec.field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Person:
    """A recipient as given: display name and address."""

    name: str
    address: Address


@dataclass(frozen=True, slots=True)
class Recipients:
    """All recipients by field."""

    to: tuple[Person, ...]
    cc: tuple[Person, ...]
    bcc: tuple[Person, ...]

    @property
    def envelope(self) -> tuple[Address, ...]:
        """Each address once, in order."""
        found: dict[str, Address] = {}
        for person in (*self.to, *self.cc, *self.bcc):
            found.setdefault(person.address.key, person.address)
        return tuple(found.values())

    @property
    def is_utf8(self) -> bool:
        """Whether an address needs SMTPUTF8 (RFC 6531)."""
        return not all(address.local.isascii() for address in self.envelope)


def recipients_of(draft: Draft, limit: int) -> Recipients:
    """Parses the recipients of a draft.

    Raises:
        Invalid: not an address, nobody in `to`, or more than `limit`; it names the field.
    """
    if not draft.to:
        raise Invalid("to: must name at least one recipient")
    if len(draft.to) + len(draft.cc) + len(draft.bcc) > limit:
        raise Invalid(f"to, cc, bcc: are more than {limit} recipients")
    return Recipients(_people("to", draft.to), _people("cc", draft.cc), _people("bcc", draft.bcc))


def compose(
    draft: Draft, sender: Address, recipients: Recipients, message_id: str, now: datetime
) -> Content:
    """The message.

    Args:
        message_id: with its angle brackets.

    Raises:
        Invalid: a field that no message can hold; it names the field.
    """
    is_utf8 = recipients.is_utf8 or not sender.local.isascii()
    message = EmailMessage((SMTPUTF8 if is_utf8 else SMTP).clone(cte_type="7bit"))
    message["From"] = _header_address(Person("", sender))
    message["To"] = [_header_address(person) for person in recipients.to]
    if recipients.cc:
        message["Cc"] = [_header_address(person) for person in recipients.cc]
    message["Subject"] = _text("subject", draft.subject, MAX_SUBJECT)
    _set_text(message, draft)
    for index, attachment in enumerate(draft.attachments):
        _attach(message, attachment, f"attachments[{index}]")
    content = Content.of(message.as_bytes())
    return content.with_raw_prefix(_identification(draft, message_id, now))


def _set_text(message: EmailMessage, draft: Draft) -> None:
    """Plain text, HTML, or both as alternatives (RFC 2046 5.1.4)."""
    if draft.html is None:
        message.set_content(_body("body", draft.body))
    elif not draft.body:
        message.set_content(_body("html", draft.html), subtype="html")
    else:
        message.set_content(_body("body", draft.body))
        message.add_alternative(_body("html", draft.html), subtype="html")


def _identification(draft: Draft, message_id: str, now: datetime) -> bytes:
    """Date and the identification fields (RFC 5322 3.6.4), one id a line: folding would break
    them elsewhere.
    """
    if len(draft.references) > MAX_REFERENCES:
        raise Invalid(f"references: are more than {MAX_REFERENCES}")
    references = [_message_id("references", text) for text in draft.references]
    lines = [f"Date: {format_datetime(now)}", f"Message-ID: {message_id}"]
    if draft.in_reply_to is not None:
        parent = _message_id("in_reply_to", draft.in_reply_to)
        lines.append(f"In-Reply-To: {parent}")
        references = references or [parent]
    if references:
        lines.append("References: " + "\r\n ".join(references))
    return "".join(line + "\r\n" for line in lines).encode("ascii")


def _people(field: str, values: Sequence[str]) -> tuple[Person, ...]:
    return tuple(_person(field, value) for value in values)


def _person(field: str, value: str) -> Person:
    """One `local@domain` or `Name <local@domain>`."""
    found = addresses(_text(field, value, 1000).encode())
    mailbox = found[0] if len(found) == 1 else None
    # The parser heals what it can; a sender must see what they typed, not what it was taken for.
    if not isinstance(mailbox, Mailbox) or mailbox.address not in value:
        raise Invalid(f"{field}: {value[:100]!r} is not a mail address")
    try:
        return Person(mailbox.name or "", Address.parse(mailbox.address))
    except Invalid as error:
        raise Invalid(f"{field}: {value[:100]!r} is not a mail address") from error


def _header_address(person: Person) -> HeaderAddress:
    local = person.address.local
    if local.startswith('"'):
        local = re.sub(r"\\(.)", r"\1", local[1:-1])
    return HeaderAddress(person.name, local, person.address.domain)


def _attach(message: EmailMessage, attachment: Attachment, field: str) -> None:
    found = _TYPE.match(attachment.content_type)
    # RFC 2046 5.1.1, 5.2.1: composite types cannot be base64, which carries all attachments here.
    if found is None or found[1].lower() in ("multipart", "message"):
        raise Invalid(f"{field}.content_type: cannot be the type of an attachment")
    name = _text(f"{field}.filename", attachment.filename, MAX_NAME)
    message.add_attachment(
        attachment.content, maintype=found[1].lower(), subtype=found[2].lower(), filename=name
    )


def _message_id(field: str, text: str) -> str:
    if not _MESSAGE_ID.match(text):
        raise Invalid(f"{field}: {text[:100]!r} is not a message id like <id@host>")
    return text


def _text(field: str, text: str, limit: int) -> str:
    """One line of text for a header field."""
    if len(text) > limit:
        raise Invalid(f"{field}: is longer than {limit} characters")
    if _CONTROL.search(text):
        raise Invalid(f"{field}: holds control characters")
    return text


def _body(field: str, text: str) -> str:
    """Text for a body part: any line ends, no NUL (RFC 5322 2.3)."""
    if "\x00" in text:
        raise Invalid(f"{field}: holds a NUL character")
    return "\n".join(_lines(text))


def _lines(text: str) -> Iterable[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
