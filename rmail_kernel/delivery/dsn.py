"""Delivery status notifications: the message that tells a sender what became of another message.

RFC 3464 (message/delivery-status), RFC 3461 (what the sender asked for), RFC 6522
(multipart/report), RFC 6533 (addresses beyond ASCII), RFC 3834 (automatic mail). It composes only.
There must never be one in answer to the null reverse-path (RFC 5321 4.5.5).
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
from enum import StrEnum

from rmail_kernel import xtext
from rmail_kernel.content import Content
from rmail_kernel.delivery import trace
from rmail_kernel.model import Address, Envelope, Reject, SessionInfo

_MAX_RETURNED_BYTES = 1 << 16
# RFC 3461 4.3: RET=FULL is a wish; a large message is not sent back.
MAX_FULL_BYTES = 1 << 20


class Action(StrEnum):
    """What happened to a recipient (RFC 3464 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"  # to a server that sends no notices itself
    EXPANDED = "expanded"  # to several places; failures among them are told later


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one recipient.

    Attributes:
        recipient: as the envelope has it; its options say what the sender asked for.
        status: RFC 3463 status. diagnostic: the reply behind it, "" none.
        remote: name of the server that said so, "" this one.
        at: of the last attempt. retry_until: for a delay, when it will be given up.
    """

    recipient: Address
    action: Action
    status: str
    diagnostic: str = ""
    remote: str = ""
    at: datetime | None = None
    retry_until: datetime | None = None


def failure(recipient: Address, verdict: Reject) -> Fate:
    """The fate of a recipient that was refused here."""
    diagnostic = f"{verdict.code} {verdict.status} {verdict.text}"
    return Fate(recipient, Action.FAILED, verdict.status, diagnostic)


_SUBJECTS = {
    Action.FAILED: "Undelivered mail returned to sender",
    Action.DELAYED: "Mail delivery is delayed",
    Action.DELIVERED: "Mail was delivered",
    Action.RELAYED: "Mail was passed on",
    Action.EXPANDED: "Mail was passed on",
}
_SENTENCES = {
    Action.FAILED: "Your message could not be delivered to:",
    Action.DELAYED: "Your message is still waiting for these, and will be tried again; there is "
    "nothing that you need to do:",
    Action.DELIVERED: "Your message was delivered to:",
    Action.RELAYED: "Your message was passed on to servers that send no confirmations, for:",
    Action.EXPANDED: "Your message was passed on to all who are behind these; you will hear only "
    "of those whom it does not reach:",
}


def is_wanted(content: Content) -> bool:
    """Whether a message may be answered by a notice (RFC 3834 2: never a reply to a reply)."""
    return trace.inspect(content).auto_submitted != "auto-replied"


def envelope_to(sender: Address, told: Envelope, entry_id: str, now: datetime) -> Envelope:
    """The envelope of a notice: from the null reverse-path (RFC 3464 2).

    Args:
        told: of the message that the notice is about; what it asked of TLS holds for the notice,
            which repeats its header (RFC 8689 5).
    """
    return Envelope(
        None,
        (sender,),
        SessionInfo(f"dsn-{entry_id[:12]}", "internal"),
        now,
        smtputf8=not str(sender).isascii(),
        require_tls=told.require_tls,
    )


def compose(
    envelope: Envelope, content: Content, fates: Sequence[Fate], *, hostname: str, now: datetime
) -> Content:
    """The notice about one message.

    Args:
        envelope: of the message, with a sender. content: its bytes; the header, or with RET=FULL
            and a failure all of it, is returned.
        fates: at least one. hostname: of this server. now: for the Date field.
    """
    report = MIMEMultipart("report", policy=policy.SMTP)
    report.set_param("report-type", "delivery-status")  # RFC 6522 3
    report["From"] = f"Mail Delivery System <MAILER-DAEMON@{hostname}>"
    report["To"] = _one_line(str(envelope.sender))
    report["Subject"] = _SUBJECTS[fates[0].action]
    report["Date"] = format_datetime(now)
    report["Message-ID"] = f"<{uuid.uuid4().hex}@{hostname}>"
    report["Auto-Submitted"] = "auto-replied"  # RFC 3834 5
    report.attach(_explanation(fates, hostname))
    report.attach(_status(envelope, fates, hostname))
    returned = _whole(envelope, content, fates)
    if returned is None:
        report.attach(_header(content))
        return Content.of(report.as_bytes(policy=policy.SMTP))
    marker = uuid.uuid4().hex  # the email package would change the bytes of a message
    report.attach(_place_for(returned, envelope, marker))
    return Content.of(report.as_bytes(policy=policy.SMTP).replace(marker.encode(), returned, 1))


def _explanation(fates: Sequence[Fate], hostname: str) -> MIMEText:
    lines = [f"This is the mail system at {hostname}."]
    for action in dict.fromkeys(fate.action for fate in fates):
        lines += ["", _SENTENCES[action], ""]
        for fate in fates:
            if fate.action is action:
                reason = _printable(fate.diagnostic or fate.status)
                lines.append(f"<{fate.recipient}>: {reason}")
    lines += ["", "What is attached is your message, or its header."]
    text = "\n".join(lines)
    charset = "us-ascii" if text.isascii() else "utf-8"
    return MIMEText(text, "plain", charset, policy=policy.SMTP)


def _status(envelope: Envelope, fates: Sequence[Fate], hostname: str) -> MIMEBase:
    whole = MIMEBase("message", "delivery-status", policy=policy.SMTP)
    message = Message(policy=policy.SMTP)
    if envelope.envid:  # RFC 3464 2.2.1
        message["Original-Envelope-Id"] = _printable(envelope.envid)
    message["Reporting-MTA"] = f"dns; {hostname}"  # RFC 3464 2.2.2
    message["Arrival-Date"] = format_datetime(envelope.received_at)
    blocks: list[Message | str] = [message, *(_block(envelope, fate) for fate in fates)]
    whole.set_payload(blocks)
    return whole


def _block(envelope: Envelope, fate: Fate) -> Message:
    """The fields of one recipient (RFC 3464 2.3)."""
    block = Message(policy=policy.SMTP)
    kind, _, original = envelope.options_of(fate.recipient).orcpt.partition(";")
    if original:
        block["Original-Recipient"] = f"{_printable(kind)}; {_ascii(original)}"
    block["Final-Recipient"] = _recipient(fate.recipient)
    block["Action"] = fate.action.value
    block["Status"] = fate.status
    if fate.remote:
        block["Remote-MTA"] = f"dns; {_printable(fate.remote)}"
    if fate.diagnostic:
        block["Diagnostic-Code"] = f"smtp; {_printable(fate.diagnostic)}"
    if fate.at is not None:
        block["Last-Attempt-Date"] = format_datetime(fate.at)
    if fate.retry_until is not None:
        block["Will-Retry-Until"] = format_datetime(fate.retry_until)
    return block


def _whole(envelope: Envelope, content: Content, fates: Sequence[Fate]) -> bytes | None:
    """The message, when all of it is returned."""
    # RFC 3461 4.3: RET counts for notices of a failure only.
    has_failed = any(fate.action is Action.FAILED for fate in fates)
    is_asked = envelope.ret == "FULL" and has_failed and not envelope.is_binary
    is_asked = is_asked and not envelope.require_tls  # RFC 8689 5: RET=FULL is disregarded
    return content.read() if is_asked and content.size <= MAX_FULL_BYTES else None


def _place_for(raw: bytes, envelope: Envelope, marker: str) -> MIMEBase:
    subtype = "global" if envelope.smtputf8 else "rfc822"  # RFC 6533 4
    whole = MIMEBase("message", subtype, policy=policy.SMTP)
    if not raw.isascii():
        whole["Content-Transfer-Encoding"] = "8bit"
    whole.set_payload(marker)
    return whole


def _header(content: Content) -> MIMEBase:
    header = MIMEBase("text", "rfc822-headers", policy=policy.SMTP)  # RFC 6522 4
    text = content.raw_header()[:_MAX_RETURNED_BYTES].decode("latin-1")
    header.set_payload("".join(c if c.isascii() else "?" for c in text))
    return header


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _printable(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def _ascii(address: str) -> str:
    return address if address.isascii() else xtext.encode_utf8_address(address)


def _recipient(address: Address) -> str:
    text = str(address)
    # RFC 6533 3: utf-8-addr-xtext, fit for an ASCII header.
    return f"rfc822; {text}" if text.isascii() else f"utf-8; {_ascii(text)}"
