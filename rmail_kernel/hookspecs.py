"""Every hook of rmail, and nothing else: when it fires, what it may return, what None means, what
raising means.

Event hooks (`on_*`) may be plain functions or coroutines and run through the bus (`bus.py`) in
the mode named beside them, each implementation under the deadline named there. `register_*` hooks
are plain functions called once at start-up. An implementation takes any subset of the arguments,
by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rmail_kernel.hooks import Mode, hook
from rmail_kernel.model import (
    Accept,
    Annotate,
    Defer,
    Delivery,
    Discard,
    Principal,
    Reject,
    Submission,
)

if TYPE_CHECKING:
    from rmail_kernel.http.routes import Route
    from rmail_kernel.kernel import Kernel
    from rmail_kernel.model import Address, Relayed, SessionInfo, Stored
    from rmail_kernel.net.listeners import Listener
    from rmail_kernel.tasks import SingletonTask

_VERDICTS = (Accept, Annotate, Reject, Defer)

# --- start-up and shutdown ---


@hook(Mode.COLLECT)
def register_listeners(kernel: Kernel) -> Iterable[Listener] | None:
    """Sockets that this plugin serves. Called in the supervisor (which opens them) and in each
    worker (which accepts).

    Two listeners of one name are refused. None and an empty list mean: none.
    """


@hook(Mode.COLLECT)
def register_routes(kernel: Kernel) -> Iterable[Route] | None:
    """HTTP routes. The HTTP host is started when there is at least one. Two routes of one method
    and path are refused.
    """


@hook(Mode.COLLECT)
def register_tasks(kernel: Kernel) -> Iterable[SingletonTask] | None:
    """Background work that must run in one process only, under a lease that moves when its holder
    dies.
    """


@hook(Mode.COLLECT)
async def on_start(kernel: Kernel) -> None:
    """The kernel is ready and sockets do not accept yet. Raising stops the start with the plugin's
    name.
    """


@hook(Mode.NOTIFY)
async def on_stop(kernel: Kernel) -> None:
    """Sockets are closed and sessions drained. Let go of what on_start took."""


@hook(Mode.NOTIFY)
async def on_reload(kernel: Kernel) -> None:
    """SIGHUP: `kernel.settings` holds the new settings. Keep the old behaviour where a new value
    cannot be taken.
    """


# --- authentication ---


@hook(Mode.FIRST, deadline_s=10.0, answers=(Principal, Reject))
async def on_auth(login: str, secret: str, session: SessionInfo) -> Principal | Reject | None:
    """A login with a plain secret, before the local directory is asked.

    `login` is what the user typed: an address, a bare name, or a name of another system.

    Return a Principal (of an existing local account) to let it in, Reject to refuse it, None to
    leave it to the next and at last to the local directory. Raising or passing the deadline: a
    temporary failure; nobody is let in or locked out.
    """


@hook(Mode.NOTIFY)
async def on_login(principal: Principal, session: SessionInfo) -> None:
    """A login succeeded."""


@hook(Mode.NOTIFY)
async def on_login_failed(login: str, session: SessionInfo) -> None:
    """A login failed (never with the secret)."""


# --- policy, by SMTP stage; Defer when an implementation raises ---


@hook(Mode.POLICY, answers=_VERDICTS)
async def on_connect(session: SessionInfo) -> Accept | Annotate | Reject | Defer | None:
    """A client connected, before the greeting. None: no opinion. An annotation holds for every
    message of the connection.
    """


@hook(Mode.POLICY, answers=_VERDICTS)
async def on_helo(session: SessionInfo, name: str) -> Accept | Annotate | Reject | Defer | None:
    """HELO or EHLO was given with this name, which is untrusted text; `session.is_extended` tells
    which. An annotation holds until the client says another name. None: no opinion.
    """


@hook(Mode.POLICY, answers=_VERDICTS)
async def on_mail_from(
    session: SessionInfo, sender: Address | None
) -> Accept | Annotate | Reject | Defer | None:
    """MAIL FROM was given (None: the null reverse-path)."""


@hook(Mode.POLICY, answers=_VERDICTS)
async def on_rcpt(
    session: SessionInfo, sender: Address | None, recipient: Address
) -> Accept | Annotate | Reject | Defer | None:
    """RCPT TO was given, after it was resolved. An annotation goes into the message, for all of its
    recipients.
    """


@hook(Mode.CHAIN, deadline_s=120.0, answers=(Submission, Reject, Defer, Discard))
async def on_message(submission: Submission) -> Submission | Reject | Defer | Discard | None:
    """The whole message is there, before it is accepted. Return a changed submission to annotate
    it; None: unchanged.
    """


# --- delivery ---


@hook(Mode.FIRST, deadline_s=10.0, answers=(list, tuple, set, frozenset))
async def on_resolve(address: Address) -> Iterable[Address] | None:
    """A local recipient that is not an account: the addresses it stands for. None: not mine. An
    empty list: refuse it.
    """


@hook(Mode.CHAIN, deadline_s=60.0, answers=(Delivery, Reject, Defer, Discard))
async def on_deliver(delivery: Delivery) -> Delivery | Reject | Defer | Discard | None:
    """One message, one local account, before it is stored.

    Return a changed delivery (`with_mailbox`, `with_flags`, `with_header`), Reject, Defer or
    Discard; None: unchanged. May run again for the same message after a crash, so keep side
    effects for `on_store`. Raising or passing the deadline becomes a Defer (4xx): the sender tries
    again and nothing is lost.
    """


@hook(Mode.NOTIFY)
async def on_store(stored: Stored) -> None:
    """The message is durable; nothing can be refused any more.

    Shutdown waits for it; a crash right after the commit may lose the call. What must miss
    nothing follows `kernel.mail.changes` instead.
    """


@hook(Mode.FIRST, deadline_s=60.0, answers=(bool,))
async def on_outbound(
    submission: Submission, recipients: tuple[Address, ...], op_id: str
) -> bool | None:
    """Recipients that are not local. Return True when the message is durably queued for all of
    them; None: not mine.

    `op_id` is the same when the same message comes again after a crash: then it is queued already.
    Nobody takes them: the recipients are refused (550 5.7.1 at RCPT).
    """


@hook(Mode.FIRST, answers=(bool,))
async def on_outbound_check(session: SessionInfo, recipient: Address) -> bool | None:
    """Whether an external recipient would be taken by `on_outbound`, asked at RCPT. None: no
    opinion.
    """


# --- mail to other servers ---


@hook(Mode.FIRST, answers=(list,))
async def on_outbound_route(kernel: Kernel, recipient: Address) -> list[str] | None:
    """Where mail for an external address would go now, in words for `rmail alias test`; a first one
    that begins with "refused:" says that it would not. It may run without `on_start`. None: no
    opinion.
    """


@hook(Mode.NOTIFY)
async def on_relayed(relayed: Relayed) -> None:
    """Another server took the message for a recipient; that is durable. A crash right after it may
    lose the call.
    """


@hook(Mode.NOTIFY)
async def on_bounce(relayed: Relayed) -> None:
    """A recipient of outbound mail failed for good; that is durable, and the sender is told unless
    he did not want to be. A crash right after it may lose the call.
    """
