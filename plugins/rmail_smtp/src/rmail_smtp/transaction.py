"""A mail transaction: MAIL, RCPT, RSET. RFC 5321 3.3, 4.1.1.2, 4.1.1.3, 4.1.1.5."""

from __future__ import annotations

from rmail_kernel.errors import Invalid
from rmail_kernel.model import RecipientOptions
from rmail_smtp import grammar, guesses, parameters, replies
from rmail_smtp.command import Command
from rmail_smtp.replies import Reply
from rmail_smtp.sender import sender_refusal
from rmail_smtp.session import Session, Transaction

# RFC 5321 4.5.3.1.10
_TOO_MANY = Reply(452, "4.5.3", "Too many recipients, send the rest with another MAIL")
_TOO_LATE = Reply(503, "5.5.1", "Bad sequence of commands, the message has begun")
_NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "This address needs MAIL with SMTPUTF8")  # RFC 6531 3.5


async def mail(session: Session, raw_argument: bytes) -> Reply:
    """MAIL FROM:<reverse-path> [parameters]."""
    if session.role.is_submission and not await session.is_authenticated():
        # RFC 6409 4.3
        return replies.AUTH_NEEDED if session.can_log_in else replies.TLS_NEEDED
    if session.transaction is not None:
        return replies.TRANSACTION_OPEN  # RFC 5321 3.3: no nested MAIL
    session.budget.mails += 1
    if session.budget.mails > session.options.max_messages:
        return replies.ENOUGH_MAIL  # RFC 9422 4.1: MAIL commands count, whatever becomes of them
    try:
        path = grammar.reverse_path(raw_argument)
    except Invalid as error:
        return Reply(501, "5.1.7", error.safe)
    transaction = Transaction(path.address)
    wrong = parameters.of_mail(session, transaction, path.raw_parameters)
    if wrong is not None:
        return wrong
    if not path.is_ascii and not transaction.smtputf8:
        return _NEEDS_SMTPUTF8
    refusal = await _overdrawn(session) or await sender_refusal(
        session, path.address, transaction.notes
    )
    if refusal is not None:
        return refusal
    session.transaction = transaction
    return replies.SENDER_OK


async def _overdrawn(session: Session) -> Reply | None:
    """Why the account may not send now."""
    principal = session.info.principal
    if principal is None:
        return None
    verdict = await session.kernel.delivery.may_send_now(principal)
    return None if verdict is None else replies.of_verdict(verdict)


async def rcpt(session: Session, raw_argument: bytes) -> Reply:
    """RCPT TO:<forward-path>."""
    transaction = session.transaction
    if transaction is None:
        return replies.MAIL_FIRST
    if transaction.intake is not None:
        return _TOO_LATE  # RFC 3030 2
    if len(transaction.recipients) >= session.options.max_recipients:
        return _TOO_MANY
    if await guesses.is_guessing(session):
        return replies.TOO_MANY_UNKNOWN
    reply = await _rcpt(session, transaction, raw_argument)
    await guesses.note(session, reply)
    if reply is not replies.RECIPIENT_OK:
        transaction.refused += 1
    return reply


async def _rcpt(session: Session, transaction: Transaction, raw_argument: bytes) -> Reply:
    domains = session.kernel.settings.domains
    try:
        path = grammar.forward_path(raw_argument, domains[0] if domains else session.hostname)
    except Invalid as error:
        return Reply(501, "5.1.3", error.safe)
    assert path.address is not None, "the grammar gives RCPT an address"
    options = parameters.of_rcpt(session, RecipientOptions(path.address), path.raw_parameters)
    if isinstance(options, Reply):
        return options
    if not path.is_ascii and not transaction.smtputf8:
        return _NEEDS_SMTPUTF8
    delivery = session.kernel.delivery
    verdict = await delivery.check_recipient(
        session.info,
        transaction.sender,
        path.address,
        transaction.notes,
        size_bytes=transaction.size_bytes,
    )
    if verdict is not None:
        return replies.of_verdict(verdict)
    transaction.recipients[path.address] = options  # named again: the last wish counts
    return replies.RECIPIENT_OK


async def rset(session: Session, _: bytes) -> Reply:
    """RSET."""
    session.transaction = None
    return replies.OK


COMMANDS = (
    # RFC 5321 4.5.3.1.3 and the parameters: RFC 1870 adds 26, RFC 6531 more, RFC 4954 500.
    Command(b"MAIL", mail, "MAIL FROM:<address> [parameters]", max_line_bytes=2048),
    Command(b"RCPT", rcpt, "RCPT TO:<address>", max_line_bytes=2048),
    Command(b"RSET", rset, "RSET", needs_hello=False, takes_argument=False),
)
