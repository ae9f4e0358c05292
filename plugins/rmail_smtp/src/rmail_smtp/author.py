"""What strangers say about authors: a From: that names a local author, be it in a display name, is
marked, never refused, since lists and forwarders do that honestly; results that pretend to be ours
are removed.

RFC 8601 2.7.4 (auth=none) and 5 (forged results), RFC 5322 3.6.2.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace

from rmail_kernel.content import MAX_HEADER_BYTES, Content
from rmail_kernel.errors import Invalid
from rmail_kernel.kernel import Kernel
from rmail_kernel.mime import Group, addresses, decode_words, fields
from rmail_kernel.model import Submission, normalise_domain

MAX_DOMAINS = 20  # of all authors; a message that names more is marked, whoever they are
# A From field may be as long as a header, and addresses take time: to read those of a longer
# header, a thread is taken.
SHORT_BYTES = 1 << 13
_RESULTS = b"authentication-results"
# RFC 8601 2.2: the authserv-id is the first token of the field, comments aside. Possessive, so that
# no input makes it backtrack.
_AUTHSERV_ID = re.compile(rb"[^:]*+:\s*+([^\s;]++)")
# What a reader may take for an address, wherever it stands.
_AT_DOMAIN = re.compile(r"@\s*+([^\s\"'(),:;<>@\[\]\\]++)")
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
    raw_header = honest.content.raw_header()
    domains = await _author_domains(kernel, raw_header)
    if len(domains) > MAX_DOMAINS or len(raw_header) >= MAX_HEADER_BYTES:
        # There may be more than was looked at.
        return honest.with_added_header("Authentication-Results", f"{hostname}; auth=none")
    for domain in domains:
        if await _is_local(kernel, domain):
            result = f"{hostname}; auth=none header.from={normalise_domain(domain)}"
            return honest.with_added_header("Authentication-Results", result)
    return honest


async def _is_local(kernel: Kernel, domain: str) -> bool:
    try:
        return await kernel.directory.has_domain(normalise_domain(domain))
    except Invalid:
        return False


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
    """Each once, and one more than MAX_DOMAINS at most."""
    found: dict[str, None] = {}
    for domain in _domains(raw_header):
        found[domain.lower()] = None
        if len(found) > MAX_DOMAINS:
            break
    return list(found)


def _domains(raw_header: bytes) -> Iterator[str]:
    """Domains of all authors in every From field that there is, as they are written: the true ones,
    and what may pass for one in a display name, a comment or a field that is broken.
    """
    # Some readers pass NUL over, in a name as well.
    for raw_name, raw_value in fields(raw_header.replace(b"\0", b"")):
        if raw_name.lower() != b"from":
            continue
        for item in addresses(raw_value):
            for mailbox in item.members if isinstance(item, Group) else (item,):
                if mailbox.domain:
                    yield mailbox.domain
        # There are other characters that look like the sign.
        text = unicodedata.normalize("NFKC", decode_words(raw_value))
        for found in _AT_DOMAIN.finditer(text):
            yield found[1]
