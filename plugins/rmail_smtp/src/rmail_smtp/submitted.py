"""What a user submits: in his own name only, without Bcc, with the author that it must have.

RFC 6409 6.1, 8; RFC 5322 3.6.2 (From, Sender), 3.6.3 (Bcc).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from rmail_kernel.content import MAX_HEADER_BYTES
from rmail_kernel.errors import Invalid
from rmail_kernel.kernel import Kernel
from rmail_kernel.mime import Group, addresses, fields
from rmail_kernel.model import Address, Principal, Reject, Submission

MAX_AUTHORS = 20
_CHECKED = frozenset({b"from", b"sender"})
_HIDDEN = frozenset({b"bcc", b"resent-bcc"})
_HEADER_TOO_LONG = Reject("The header is too long", 552, "5.3.4")
_HAS_NUL = Reject("The header holds a NUL", 550, "5.6.0")
_NOT_YOURS = Reject(
    "From and Sender must be your own addresses, or aliases that lead to you", 550, "5.7.1"
)


async def corrected(kernel: Kernel, submission: Submission) -> Submission | Reject:
    """The message as it may go on, or why it may not.

    Raises:
        Temporary: it could not be found out whose an address is.
    """
    principal = submission.envelope.session.principal
    assert principal is not None, "nobody submits without a login"
    raw_header = submission.content.raw_header()
    if len(raw_header) >= MAX_HEADER_BYTES:
        return _HEADER_TOO_LONG  # what is not read might name others
    if b"\0" in raw_header:
        return _HAS_NUL  # some readers end a field there, and see another author
    # In a thread: fields may be as long as a header, and addresses take time.
    named = await kernel.run(_named, raw_header)
    if named is None or not await _are_own(kernel, principal, named):
        return _NOT_YOURS
    names = {raw_name.lower() for raw_name, _ in fields(raw_header)}
    if names & _HIDDEN:
        content = submission.content.without_fields(lambda name, _: name.lower() in _HIDDEN)
        submission = Submission(submission.envelope, content)
    if b"from" not in names:
        author = submission.envelope.sender or principal.address
        submission = submission.with_added_header("From", str(author))
    return submission


async def _are_own(kernel: Kernel, principal: Principal, named: list[Address]) -> bool:
    for address in dict.fromkeys(named):
        if not await kernel.delivery.may_send_as(principal, address):
            return False
    return True


def _named(raw_header: bytes) -> list[Address] | None:
    """Everybody in From and Sender; None: one of them cannot be told, or they are too many."""
    found: list[Address] = []
    for raw_name, raw_value in fields(raw_header):
        if raw_name.lower() not in _CHECKED:
            continue
        before = len(found)
        try:
            found.extend(islice(_mailboxes(raw_value), MAX_AUTHORS + 1))
        except Invalid:
            return None
        if len(found) == before or len(found) > MAX_AUTHORS:
            return None
    return found


def _mailboxes(raw_value: bytes) -> Iterator[Address]:
    for item in addresses(raw_value):
        for mailbox in item.members if isinstance(item, Group) else (item,):
            yield Address.parse(mailbox.address)
