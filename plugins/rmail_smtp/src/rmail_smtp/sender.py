"""Whether a session may use a sender address: users their own, strangers none of ours.

RFC 6409 6.1 (users), RFC 5321 7.1 (forged senders).
"""

from __future__ import annotations

from rmail_kernel.model import Address, Annotate
from rmail_smtp import replies
from rmail_smtp.replies import Reply
from rmail_smtp.session import Session

# An account with this preference takes mail in its name from anywhere (old devices, web forms).
ANYONE_MAY_SEND_AS = "allow_unauthenticated_sender"
_NOT_YOURS = Reply(553, "5.7.1", "This sender is not you, use your address or an alias of it")
_CLAIMS_TO_BE_LOCAL = Reply(550, "5.7.1", "Log in on the submission port to send from here")


async def sender_refusal(
    session: Session, sender: Address | None, notes: list[Annotate]
) -> Reply | None:
    """Why this sender is refused; None: it is not. `on_mail_from` is asked last; `notes` takes the
    annotations.
    """
    # RFC 8098 3: users too send notifications from the null reverse-path.
    if sender is not None:
        refusal = await _own_or_foreign(session, sender)
        if refusal is not None:
            return refusal
    kernel = session.kernel
    verdict = await kernel.bus.policy("on_mail_from", notes, session=session.info, sender=sender)
    return None if verdict is None else replies.of_verdict(verdict)


async def _own_or_foreign(session: Session, sender: Address) -> Reply | None:
    kernel, principal = session.kernel, session.info.principal
    if principal is not None:
        may = await kernel.delivery.may_send_as(principal, sender)
        return None if may else _NOT_YOURS
    if not await kernel.directory.has_domain(sender.domain):
        return None
    account = await kernel.directory.get(sender)
    is_allowed = account is not None and account.preferences.get(ANYONE_MAY_SEND_AS) is True
    return None if is_allowed else _CLAIMS_TO_BE_LOCAL
