"""What strangers say about authors: a From: that names a local author is marked, never refused,
since lists and forwarders do that honestly; results that pretend to be ours are removed.

RFC 8601 2.7.4 (auth=none) and 5 (forged results), RFC 5322 3.6.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from rmail_kernel.content import Content
from rmail_kernel.errors import Invalid
from rmail_kernel.kernel import Kernel
from rmail_kernel.mime import Group, addresses, fields
from rmail_kernel.model import Submission, normalise_domain

MAX_AUTHORS = 20  # more are not looked at
# A From field may be as long as a header, and addresses take time: to read those of a longer
# header, a thread is taken.
SHORT_BYTES = 1 << 13
_RESULTS = b"authentication-results"
# RFC 8601 2.2: the authserv-id is the first token of the field, comments aside. Possessive, so that
# no input makes it backtrack.
_AUTHSERV_ID = re.compile(rb"[^:]*+:\s*+([^\s;]++)")
_COMMENT_TOKEN = re.compile(rb"\\.|[()]|[^\\()]++|\\", re.DOTALL)


async def annotated(kernel: Kernel, submission: Submission) -> Submission | None:
    """The message with an Authentication-Results field of ours and without forged ones, or None
    where nothing changes.
    """
    session = submission.envelope.session
    if session.protocol != "smtp" or session.principal is not None:
        return None
    hostname = kernel.settings.hostname
    honest = replace(submission, content=_without_forged(submission.content, hostname))
    for domain in await _author_domains(kernel, honest.content.raw_header()):
        if await kernel.directory.has_domain(domain):
            result = f"{hostname}; auth=none header.from={domain}"
            return honest.with_added_header("Authentication-Results", result)
    return honest


def _without_forged(content: Content, hostname: str) -> Content:
    if _RESULTS not in content.raw_header().lower():
        return content  # nearly always
    ours = hostname.lower().encode()

    def is_forged(raw_name: bytes, raw_line: bytes) -> bool:
        if raw_name.lower() != _RESULTS:
            return False
        found = _AUTHSERV_ID.match(_without_comments(raw_line))
        return found is not None and found[1].strip(b'"').lower() == ours

    return content.without_fields(is_forged)


def _without_comments(raw_line: bytes) -> bytes:
    """A field without its comments, which may nest, and with quoted pairs as what they stand for
    (RFC 5322 3.2.1, 3.2.2).
    """
    depth = 0
    kept: list[bytes] = []
    for raw in _COMMENT_TOKEN.findall(raw_line):
        if raw in (b"(", b")"):
            depth = max(0, depth + (1 if raw == b"(" else -1))
        elif not depth:
            kept.append(raw.removeprefix(b"\\"))
    return b"".join(kept)


async def _author_domains(kernel: Kernel, raw_header: bytes) -> list[str]:
    if len(raw_header) <= SHORT_BYTES:
        return _first_domains(raw_header)
    return await kernel.run(_first_domains, raw_header)


def _first_domains(raw_header: bytes) -> list[str]:
    return list(islice(_domains(raw_header), MAX_AUTHORS))


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
