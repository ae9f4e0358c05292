"""POST /messages/send: composes a message, hands it to the delivery service and keeps a copy in
Sent. All recipients are accepted or none.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog
from aiohttp import web

from rmail_api.compose import Draft, Recipients, compose, recipients_of
from rmail_api.config import ApiSettings
from rmail_kernel.content import Content
from rmail_kernel.delivery.api import Outcome, Status
from rmail_kernel.errors import Invalid, RmailError, TooLarge
from rmail_kernel.http import PRINCIPAL, SESSION, Route, json_response, read_json
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Defer, Envelope, Principal, Reject
from rmail_kernel.storage.mail import AppendItem

MAX_KEY = 200
SENT = "\\Sent"
_log = structlog.get_logger("rmail.api")


def routes(kernel: Kernel) -> list[Route]:
    """The submission."""
    return [
        Route(
            "POST",
            "/messages/send",
            partial(send_message, kernel),
            max_body_bytes=kernel.section("api", ApiSettings).max_send_bytes,
            summary="Compose and send a message.",
        )
    ]


async def send_message(kernel: Kernel, request: web.Request) -> web.Response:
    """Sends; when answered, the message is durably accepted for every recipient.

    Raises:
        Invalid: a bad field. TooLarge: the message is over the limit.
    """
    settings = kernel.section("api", ApiSettings)
    principal = request[PRINCIPAL]
    draft = await read_json(request, Draft)
    key = _operation(request, principal)
    recipients = recipients_of(draft, settings.max_recipients)
    message_id = _message_id(kernel, key)
    now = kernel.clock.now()
    content = await kernel.run(compose, draft, principal.address, recipients, message_id, now)
    if content.size > settings.max_message_bytes:
        raise TooLarge(f"The message is larger than {settings.max_message_bytes} bytes")
    envelope = Envelope(
        principal.address,
        recipients.envelope,
        request[SESSION],
        now,
        smtputf8=recipients.is_utf8,
    )
    outcomes = await _refused(kernel, envelope, content.size)
    if not outcomes:
        report = await kernel.delivery.submit(envelope, content, op_id=key)
        if report.is_accepted:
            copy = await _keep_copy(kernel, principal, recipients, content, key)
            answer = {"message_id": message_id, "recipients": _forms(report.outcomes), "sent": copy}
            return json_response(answer)
        outcomes = list(report.outcomes)
    return _refusal(outcomes)


async def _refused(kernel: Kernel, envelope: Envelope, size_bytes: int) -> list[Outcome]:
    """The recipients that would not be accepted, each with the reason."""
    found: list[Outcome] = []
    for recipient in envelope.recipients:
        verdict = await kernel.delivery.check_recipient(
            envelope.session, envelope.sender, recipient, size_bytes=size_bytes
        )
        if verdict is not None:
            status = Status.REJECTED if isinstance(verdict, Reject) else Status.DEFERRED
            found.append(Outcome(recipient, status, verdict))
    return found


def _refusal(outcomes: Sequence[Outcome]) -> web.Response:
    """400 when something must change, 503 when the same request may work later."""
    first = next((one for one in outcomes if isinstance(one.verdict, Reject)), outcomes[0])
    text = first.verdict.text if first.verdict is not None else "Not accepted"
    body = {"error": f"{first.recipient}: {text}", "recipients": _forms(outcomes)}
    if isinstance(first.verdict, Defer):
        return json_response(body, 503, {"Retry-After": "60"})
    return json_response(body, 400)


def _forms(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    found = []
    for one in outcomes:
        form = {"address": str(one.recipient), "status": one.status.value}
        if one.verdict is not None:
            form["reason"] = one.verdict.text
        found.append(form)
    return found


async def _keep_copy(
    kernel: Kernel,
    principal: Principal,
    recipients: Recipients,
    content: Content,
    key: str | None,
) -> dict[str, Any] | None:
    """Files the copy, with Bcc for its author's eyes. The message is under way already, so a
    failure is no failure of the request: it is logged, and the answer has no copy.
    """
    if recipients.bcc:
        listed = ", ".join(str(person.address) for person in recipients.bcc)
        content = content.with_raw_prefix(_bcc_field(listed))
    try:
        name = await _sent_folder(kernel, principal)
        item = AppendItem(
            name,
            content,
            frozenset({"\\Seen"}),
            op_id=None if key is None else f"{key}:sent",
            create=True,
        )
        (stored,) = await kernel.mail.append(principal.account, [item])
    except RmailError as error:
        _log.warning("no copy in Sent", account=principal.account, reason=error.safe)
        return None
    return {"folder": name, "uid": stored.uid}


def _bcc_field(listed: str) -> bytes:
    """A Bcc field, one address a line (RFC 5322 3.6.3)."""
    return b"Bcc: " + listed.replace(", ", ",\r\n ").encode() + b"\r\n"


async def _sent_folder(kernel: Kernel, principal: Principal) -> str:
    found = await kernel.mail.mailboxes(principal.account)
    return next((one.name for one in found if one.special_use == SENT), "Sent")


def _operation(request: web.Request, principal: Principal) -> str | None:
    """What makes a retry of this request the same operation: the client's Idempotency-Key."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 0 < len(key) <= MAX_KEY or not key.isprintable():
        raise Invalid(f"Idempotency-Key: must be 1 to {MAX_KEY} printable characters")
    return f"api:{principal.account}:{key}"


def _message_id(kernel: Kernel, key: str | None) -> str:
    """A new message id, or always the same one for one operation (RFC 5322 3.6.4)."""
    left = secrets.token_hex(16) if key is None else hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"<{left}@{kernel.settings.hostname}>"
