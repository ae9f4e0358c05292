"""SMTP receiving and submission: hook implementations, nothing else."""

from __future__ import annotations

from functools import partial

from rmail_kernel.hooks import hookimpl
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Reject, Submission
from rmail_kernel.net.listeners import Listener
from rmail_smtp import author, submitted
from rmail_smtp.config import SmtpSettings
from rmail_smtp.connection import SmtpConnection
from rmail_smtp.crowd import Crowd
from rmail_smtp.roles import SMTP, SMTPS, SUBMISSION
from rmail_smtp.table import COMMANDS


class SmtpPlugin:
    """SMTP receiving and submission."""

    name = "smtp"
    settings = SmtpSettings

    _kernel: Kernel

    def __init__(self) -> None:
        self._live = Crowd()

    @hookimpl
    def register_listeners(self, kernel: Kernel) -> list[Listener]:
        """One listener for each port that is set; smtps only with TLS."""
        options = kernel.section(self.name, SmtpSettings)
        ports = {
            SMTP: options.port,
            SUBMISSION: options.submission_port,
            SMTPS: options.smtps_port if kernel.settings.tls.enabled else None,
        }
        return [
            Listener(
                role.listener,
                options.host,
                port,
                partial(SmtpConnection, kernel, role, COMMANDS, self._live),
                implicit_tls=role.implicit_tls,
            )
            for role, port in ports.items()
            if port is not None
        ]

    @hookimpl
    async def on_start(self, kernel: Kernel) -> None:
        """Watches for the shutdown."""
        self._kernel = kernel
        kernel.spawn(self._end_sessions(kernel), "smtp drain")

    @hookimpl
    async def on_message(self, submission: Submission) -> Submission | Reject | None:
        """Marks what claims a local author and came without a login; sees to it that users write
        in their own name.
        """
        session = submission.envelope.session
        if session.protocol == SUBMISSION.protocol and session.principal is not None:
            return await submitted.corrected(self._kernel, submission)
        return await author.annotated(self._kernel, submission)

    async def _end_sessions(self, kernel: Kernel) -> None:
        await kernel.draining.wait()
        for session in self._live:
            session.end_if_idle()
