"""Settings of the section `relay`. Times carry their unit in the name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from rmail_kernel.config import NameServer, Section, unit
from rmail_kernel.errors import Invalid
from rmail_kernel.model import normalise_domain

# Up to 37.5 hours: the sum is 135,000 s.
RETRY_SCHEDULE_S = (300, 900, 1800, 3600, 7200, 14400, 21600, 28800, 28800, 27600)


class Timeouts(Section):
    """How long to wait for a peer: at least what RFC 5321 4.5.3.2 asks for, by default."""

    connect_s: float = Field(30.0, gt=0, json_schema_extra=unit("s"))
    """A connection to one address, and a TLS handshake."""
    greeting_s: float = Field(300.0, gt=0, json_schema_extra=unit("s"))
    """The greeting."""
    command_s: float = Field(300.0, gt=0, json_schema_extra=unit("s"))
    """The answer to EHLO, MAIL, RCPT and other short commands."""
    data_s: float = Field(120.0, gt=0, json_schema_extra=unit("s"))
    """The answer to DATA."""
    block_s: float = Field(180.0, gt=0, json_schema_extra=unit("s"))
    """Room for the next part of a message."""
    final_s: float = Field(600.0, gt=0, json_schema_extra=unit("s"))
    """The answer to a whole message; too short a time makes duplicates."""
    attempt_s: float = Field(3600.0, gt=0, json_schema_extra=unit("s"))
    """One attempt with all its hosts."""


class Smarthost(Section):
    """A server that takes mail for others."""

    host: str = Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9._:\-]+$")
    """Its name or address."""
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    """Its port."""
    username: str | None = None
    """User name to log in with; null: no login."""
    password: SecretStr | None = None
    """Password to log in with."""
    tls: Literal["none", "opportunistic", "starttls", "implicit"] = "starttls"
    """How the connection is made private; with starttls and implicit, mail waits when it cannot be.
    A login needs one of these two, or none: then it is sent in clear text.
    """
    verify: bool = True
    """Take only a certificate for this name by a known authority, where TLS is required."""
    ca_file: Path | None = None
    """PEM file of the authorities to trust; null: those of the system."""

    @model_validator(mode="after")
    def _login_is_complete(self) -> Self:
        if self.username is not None and self.password is None:
            raise ValueError("a username needs a password")
        if self.username is not None and self.tls == "opportunistic":
            raise ValueError("a login needs tls starttls or implicit")
        return self


def _pattern(value: str) -> str:
    domain = value.removeprefix("*.")
    try:
        return value[: len(value) - len(domain)] + normalise_domain(domain)
    except Invalid as error:
        raise ValueError('should be like "example.org" or "*.example.org"') from error


class RelaySettings(Section):
    """Mail to other servers."""

    smarthost: Smarthost | None = None
    """Where all outbound mail goes; null: straight to the mail exchangers of each domain."""
    routes: dict[Annotated[str, AfterValidator(_pattern)], Smarthost] = Field({})
    """Where mail for some domains goes instead: by "example.org" or "*.example.org" (below it)."""
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
    max_parallel: int = Field(400, ge=1, le=5000)
    """Deliveries of one worker process at a time."""
    max_parallel_per_destination: int = Field(100, ge=1, le=1000)
    """Deliveries to one destination at a time, of all worker processes; they share connections."""
    dns_servers: list[NameServer] | None = Field(None, min_length=1)
    """Name servers as "address" or "address:port"; null: those of `dns.servers`."""
    mx_port: int = Field(25, ge=1, le=65535)
    """Port of mail exchangers."""
    max_addresses: int = Field(6, ge=2, le=100)
    """Addresses tried in one attempt (RFC 5321 5.1: at least two)."""
    max_connections_per_host: int = Field(20, ge=1, le=1000)
    """Connections of one worker process to one host at a time."""
    idle_s: float = Field(5.0, ge=0, le=300, json_schema_extra=unit("s"))
    """How long a connection is kept for another message; 0: not at all."""
    max_messages_per_connection: int = Field(100, ge=1)
    """Messages over one connection."""
    host_failure_s: float = Field(300.0, ge=0, json_schema_extra=unit("s"))
    """How long a host that failed is tried after the others."""
    timeouts: Timeouts = Timeouts()

    @property
    def pauses_s(self) -> tuple[float, ...]:
        """The pauses between attempts in force."""
        return tuple(self.retry_schedule_s or RETRY_SCHEDULE_S)
