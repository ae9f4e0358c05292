"""Mail to other servers: hook implementations, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rmail_kernel.hooks import hookimpl
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Address, Submission
from rmail_kernel.tasks import SingletonTask
from rmail_relay import tallies
from rmail_relay.attempts import Attempts
from rmail_relay.config import RelaySettings
from rmail_relay.intake import Intake
from rmail_relay.outcome import Transport
from rmail_relay.scheduler import Scheduler
from rmail_relay.secret import read_secret
from rmail_relay.srs import Srs, is_rewritten
from rmail_relay.transport import SmtpTransport


class RelayPlugin:
    """The outbound queue and SMTP client."""

    name = "relay"
    settings = RelaySettings

    _kernel: Kernel
    _srs: Srs | None = None
    _intake: Intake
    _transport: Transport
    _attempts: Attempts

    def __init__(self, transport: Callable[[Kernel], Transport] = SmtpTransport) -> None:
        self._open_transport = transport

    @hookimpl
    async def on_start(self, kernel: Kernel) -> None:
        """Begins to work on the queue."""
        self._kernel = kernel
        srs = Srs(await kernel.run(read_secret, kernel.settings.mail_root))
        self._srs = srs
        self._transport = self._open_transport(kernel)
        self._intake = Intake(kernel, srs, self._transport.destination)
        options = kernel.section(self.name, RelaySettings)
        self._attempts = Attempts(kernel, self._transport, options)
        kernel.spawn(self._attempts.keep_leases(), "relay leases")
        kernel.spawn(Scheduler(kernel, self._attempts).run(), "relay scheduler")

    @hookimpl
    async def on_stop(self) -> None:
        """Lets go of idle connections."""
        await self._transport.close()

    @hookimpl
    async def on_reload(self, kernel: Kernel) -> None:
        """New schedules, limits and routes, for new attempts."""
        self._attempts.settings = kernel.section(self.name, RelaySettings)
        self._transport.reload()

    @hookimpl
    def register_tasks(self, kernel: Kernel) -> list[SingletonTask]:
        """Counting the queue."""
        return [SingletonTask("relay-tallies", partial(tallies.watch, kernel))]

    @hookimpl(tryfirst=True)  # a rule that catches all must not keep them
    async def on_resolve(self, address: Address) -> list[Address] | None:
        """An SRS address leads back to the sender that it stands for."""
        if self._srs is None or not is_rewritten(address):
            return None
        sender = self._srs.reverse(address, self._kernel.clock.time())
        return None if sender is None else [sender]

    @hookimpl
    async def on_outbound_route(self, kernel: Kernel, recipient: Address) -> list[str]:
        """The hosts of the domain, in order of preference."""
        transport = self._open_transport(kernel)
        try:
            route = await transport.route(recipient.domain)
        finally:
            await transport.close()
        return [f"refused: {route.refusal}"] if route.refusal else [route.kind, *route.hosts]

    @hookimpl(trylast=True)
    async def on_outbound_check(self) -> bool:
        """Every foreign address is taken; whether it works shows later."""
        return True

    @hookimpl(trylast=True)
    async def on_outbound(
        self, submission: Submission, recipients: tuple[Address, ...], op_id: str
    ) -> bool:
        """Queues the message, durably."""
        await self._intake.take(submission, recipients, op_id)
        return True
