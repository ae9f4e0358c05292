"""Marks strangers' messages whose From: names a local author: annotated, never refused, since
lists and forwarders do that honestly.

RFC 8601 2.7.4 (auth=none), RFC 5322 3.6.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from rmail_kernel.errors import Invalid
from rmail_kernel.kernel import Kernel
from rmail_kernel.mime import Group, addresses, fields
from rmail_kernel.model import Submission, normalise_domain

MAX_AUTHORS = 20  # more are not looked at


async def annotated(kernel: Kernel, submission: Submission) -> Submission | None:
    """The message with an Authentication-Results field, or None where there is nothing to say."""
    session = submission.envelope.session
    if session.protocol != "smtp" or session.principal is not None:
        return None
    for domain in islice(_domains(submission.content.raw_header()), MAX_AUTHORS):
        if await kernel.directory.has_domain(domain):
            result = f"{kernel.settings.hostname}; auth=none header.from={domain}"
            return submission.with_added_header("Authentication-Results", result)
    return None


def _domains(raw_header: bytes) -> Iterator[str]:
    """Domains of all authors, in every From field that there is."""
    for raw_name, raw_value in fields(raw_header):
        if raw_name.lower() != b"from":
            continue
        for item in addresses(raw_value):
            for mailbox in item.members if isinstance(item, Group) else (item,):
                try:
                    yield normalise_domain(mailbox.domain)
                except Invalid:
                    continue
