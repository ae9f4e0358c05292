"""Delivery status notifications: the message that tells a sender what failed after acceptance.

RFC 3464 (message/delivery-status), RFC 6522 (multipart/report), RFC 3834 (automatic mail). It
composes only. There must never be one in answer to the null reverse-path (RFC 5321 4.5.5).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime

from rmail_kernel.content import Content
from rmail_kernel.delivery import trace
from rmail_kernel.delivery.targets import Entry
from rmail_kernel.model import Address, Envelope, Reject, SessionInfo

_MAX_RETURNED_BYTES = 1 << 16
_ASCII_LIMIT = 128


@dataclass(frozen=True, slots=True)
class Failure:
    """A recipient, as the sender addressed it, and why it failed for good."""

    recipient: Address
    verdict: Reject


def is_wanted(content: Content) -> bool:
    """Whether a message may be answered by a notice (RFC 3834 2: never a reply to a reply)."""
    return trace.inspect(content).auto_submitted != "auto-replied"


def envelope_to(sender: Address, entry_id: str, now: datetime) -> Envelope:
    """The envelope of a notice: from the null reverse-path (RFC 3464 2)."""
    session = SessionInfo(f"dsn-{entry_id[:12]}", "internal")
    return Envelope(None, (sender,), session, now, smtputf8=not str(sender).isascii())


def compose(
    entry: Entry, content: Content, failures: Sequence[Failure], *, hostname: str, now: datetime
) -> Content:
    """The notice about one message.

    Args:
        entry: the message that failed. content: its bytes; the header is returned to the sender.
        failures: at least one. hostname: of this server. now: for the Date field.
    """
    report = MIMEMultipart("report", policy=policy.SMTP)
    report.set_param("report-type", "delivery-status")  # RFC 6522 3
    report["From"] = f"Mail Delivery System <MAILER-DAEMON@{hostname}>"
    report["To"] = str(entry.envelope.sender)
    report["Subject"] = "Undelivered mail returned to sender"
    report["Date"] = format_datetime(now)
    report["Message-ID"] = f"<{uuid.uuid4().hex}@{hostname}>"
    report["Auto-Submitted"] = "auto-replied"  # RFC 3834 5
    report.attach(_explanation(failures, hostname))
    report.attach(_status(entry, failures, hostname))
    report.attach(_returned(content))
    return Content.of(report.as_bytes(policy=policy.SMTP))


def _explanation(failures: Sequence[Failure], hostname: str) -> MIMEText:
    lines = [
        f"This is the mail system at {hostname}.",
        "",
        "Your message could not be delivered to:",
        "",
    ]
    for failure in failures:
        lines.append(f"<{failure.recipient}>: {_reason(failure.verdict)}")
    lines += ["", "The header of your message is attached."]
    text = "\n".join(lines)
    charset = "us-ascii" if text.isascii() else "utf-8"
    return MIMEText(text, "plain", charset, policy=policy.SMTP)


def _status(entry: Entry, failures: Sequence[Failure], hostname: str) -> MIMEBase:
    whole = MIMEBase("message", "delivery-status", policy=policy.SMTP)
    message = Message(policy=policy.SMTP)
    message["Reporting-MTA"] = f"dns; {hostname}"  # RFC 3464 2.2.2
    message["Arrival-Date"] = format_datetime(entry.envelope.received_at)
    blocks: list[Message | str] = [message]
    for failure in failures:
        block = Message(policy=policy.SMTP)
        block["Final-Recipient"] = _recipient(failure.recipient)  # RFC 3464 2.3.2
        block["Action"] = "failed"
        block["Status"] = failure.verdict.status
        block["Diagnostic-Code"] = f"smtp; {_reason(failure.verdict)}"
        blocks.append(block)
    whole.set_payload(blocks)
    return whole


def _returned(content: Content) -> MIMEBase:
    header = MIMEBase("text", "rfc822-headers", policy=policy.SMTP)  # RFC 6522 4
    text = content.raw_header()[:_MAX_RETURNED_BYTES].decode("latin-1")
    header.set_payload("".join(c if c.isascii() else "?" for c in text))
    return header


def _reason(verdict: Reject) -> str:
    text = "".join(c if " " <= c <= "~" else "?" for c in verdict.text)
    return f"{verdict.code} {verdict.status} {text}"


def _recipient(address: Address) -> str:
    text = str(address)
    if text.isascii():
        return f"rfc822; {text}"
    # RFC 6533 3: utf-8-addr-xtext, fit for an ASCII header.
    escaped = "".join(c if ord(c) < _ASCII_LIMIT else f"\\x{{{ord(c):X}}}" for c in text)
    return f"utf-8; {escaped}"
