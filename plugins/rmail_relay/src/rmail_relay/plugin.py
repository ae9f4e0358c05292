"""Mail to other servers: hook implementations, nothing else."""

from __future__ import annotations

from .config import RelaySettings


class RelayPlugin:
    """The outbound queue and SMTP client."""

    name = "relay"
    settings = RelaySettings
