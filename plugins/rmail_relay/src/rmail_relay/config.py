"""Settings of the section `relay`. Times carry their unit in the name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from rmail_kernel.config import Port, Section, unit

# Up to 37.5 hours: the sum is 135,000 s.
RETRY_SCHEDULE_S = (300, 900, 1800, 3600, 7200, 14400, 21600, 28800, 28800, 27600)


class Smarthost(Section):
    """A server that takes all outbound mail."""

    host: str = Field(min_length=1)
    """Its name or address."""
    port: Port = 587
    """Its port."""
    username: str | None = None
    """User name to log in with; null: no login."""
    password: SecretStr | None = None
    """Password to log in with."""
    tls: Literal["none", "starttls", "implicit"] = "starttls"
    """How the connection is made private; mail waits when it cannot be."""


class RelaySettings(Section):
    """Mail to other servers."""

    smarthost: Smarthost | None = None
    """Where all outbound mail goes; null: straight to the mail exchangers of each domain."""
    retry_schedule_s: list[Annotated[float, Field(ge=0)]] | None = Field(
        None, min_length=1, max_length=100, json_schema_extra=unit("s")
    )
    """Pauses between attempts; the last one repeats. null: 5, 15, 30 minutes, 1, 2, 4, 6, 8, 8 h,
    7 h 40.
    """
    max_age_s: float = Field(135_000.0, gt=0, json_schema_extra=unit("s"))
    """How long mail is tried before its sender is told that it failed."""
    delay_notice_s: float | None = Field(14_400.0, gt=0, json_schema_extra=unit("s"))
    """When a sender is told, once, that mail still waits; null: never, unless it was asked for."""
    max_parallel: int = Field(40, ge=1, le=1000)
    """Deliveries of one worker process at a time."""
    max_parallel_per_destination: int = Field(5, ge=1, le=100)
    """Deliveries of one worker process to one destination at a time."""
    dns_servers: list[str] | None = None
    """Name servers as "host" or "host:port"; null: those of the system."""
    mx_port: int = Field(25, ge=1, le=65535)
    """Port of mail exchangers."""

    @property
    def pauses_s(self) -> tuple[float, ...]:
        """The pauses between attempts in force."""
        return tuple(self.retry_schedule_s or RETRY_SCHEDULE_S)
