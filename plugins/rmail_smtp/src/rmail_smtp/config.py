"""Settings of the section `smtp`. Sizes, times and limits carry their unit in the name."""

from __future__ import annotations

from pydantic import Field

from rmail_kernel.config import Port, Section, unit


class SmtpSettings(Section):
    """SMTP receiving and submission."""

    host: str = "0.0.0.0"  # noqa: S104 - a server listens for everyone by default
    """Address to listen on."""
    port: Port | None = 25
    """Port for mail from other servers; null: off, 0: any free one."""
    submission_port: Port | None = 587
    """Port for mail from users, STARTTLS; null: off, 0: any free one."""
    smtps_port: Port | None = 465
    """Port for mail from users, TLS from the first byte; null: off, 0: any free one."""
    max_message_bytes: int = Field(52_428_800, ge=65_536, json_schema_extra=unit("bytes"))
    """Largest message taken (RFC 1870)."""
    max_recipients: int = Field(100, ge=100, le=999_999)
    """Recipients of one message; RFC 5321 4.5.3.1.8 asks for at least 100."""
    max_messages: int = Field(100_000, ge=1, le=999_999)
    """Messages of one connection, those that were refused included (RFC 9422 4.1)."""
    idle_s: float = Field(300.0, gt=0, json_schema_extra=unit("s"))
    """How long to wait for a client's next command, or for the next byte of a message (RFC 5321
    4.5.3.2.7: at least 5 minutes)."""
    min_bytes_per_s: int = Field(64, ge=0, json_schema_extra=unit("bytes/s"))
    """Least average pace of a message on its way in; slower ones may take idle_s, then the session
    is ended. 0: any pace."""
    handshake_s: float = Field(30.0, gt=0, json_schema_extra=unit("s"))
    """How long a TLS handshake behind STARTTLS may take."""
    session_s: float = Field(14_400.0, gt=0, json_schema_extra=unit("s"))
    """Longest life of a connection, however busy."""
    greeting_delay_s: float = Field(0.0, ge=0, le=60, json_schema_extra=unit("s"))
    """Pause before the greeting on the port for other servers; who talks earlier is refused."""
    max_sessions: int = Field(2000, ge=1)
    """Open sessions of one worker process; when there are more, the client that was silent longest
    makes room."""
    min_silence_s: float = Field(1.0, ge=0, json_schema_extra=unit("s"))
    """How long a client without a message under way must have been silent to be sent away for a new
    one, when max_sessions are open."""
    max_sessions_per_address: int = Field(50, ge=1)
    """Open sessions of one client (an IPv4 address or an IPv6 /64) in one worker process;
    rate_limit.whitelist is exempt."""
    max_errors: int = Field(10, ge=1)
    """Refused commands until a session is ended."""
    max_unknown_recipients: int = Field(100, ge=1)
    """Recipients that do not exist which one client may name within a minute, before it is sent
    away for the rest of it; rate_limit.whitelist and users are exempt."""
    max_auth_failures: int = Field(3, ge=1)
    """Failed logins until a session is ended."""
    max_idle_commands: int = Field(1000, ge=100)
    """Commands without an accepted message until a session is ended."""
