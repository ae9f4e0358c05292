"""Settings of the section `imap`."""

from __future__ import annotations

from pydantic import Field

from rmail_kernel.config import Port, Section, unit


class ImapSettings(Section):
    """IMAP4rev1 and IMAP4rev2 for mail clients."""

    host: str = "0.0.0.0"  # noqa: S104 - a server listens for everyone by default
    """Address to listen on."""
    port: Port | None = 143
    """Port with STARTTLS; null: off, 0: any free one."""
    imaps_port: Port | None = 993
    """Port with TLS from the first byte; null: off, 0: any free one."""
    max_connections: int = Field(20_000, ge=1)
    """Most connections at one time in one worker process."""
    max_message_bytes: int = Field(
        52_428_800, ge=1024, le=0xFFFFFFFF, json_schema_extra=unit("bytes")
    )
    """Largest message that APPEND takes, and that APPENDLIMIT tells (RFC 7889 5: 32 bits)."""
    refuse_8bit_headers: bool = False
    """Refuse messages with 8-bit header fields from clients that did not give ENABLE UTF8=ACCEPT
    (RFC 9755 4). Off: they are taken as they are, so that old mail can be moved here.
    """
    admin_contact: str | None = Field(None, pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$")
    """How users reach the administrator, as a URI such as `mailto:postmaster@example.com`; IMAP
    clients read it as /shared/admin (RFC 5464 3.2.1.1).
    """
    max_append_messages: int = Field(500, ge=1)
    """Most messages in one APPEND."""
    max_command_bytes: int = Field(65_536, ge=1024, json_schema_extra=unit("bytes"))
    """Longest command with its literals, the message of APPEND not counted."""
    max_greeting_bytes: int = Field(8_192, ge=512, le=16_384, json_schema_extra=unit("bytes"))
    """The same before login."""
    max_set_ranges: int = Field(8_192, ge=1)
    """Most ranges in one set of message numbers."""
    max_search_depth: int = Field(32, ge=1, le=200)
    """Deepest nesting of one SEARCH."""
    max_search_keys: int = Field(1024, ge=1)
    """Most conditions in one SEARCH."""
    max_bad_commands: int = Field(20, ge=1)
    """Faulty commands in a row before the connection is closed."""
    max_failed_logins: int = Field(3, ge=1)
    """Failed logins before the connection is closed."""
    login_timeout_s: float = Field(60.0, gt=0, json_schema_extra=unit("s"))
    """Longest silence before login."""
    idle_timeout_s: float = Field(1800.0, gt=0, json_schema_extra=unit("s"))
    """Longest silence after login; RFC 3501 5.4 wants at least 30 minutes."""
    disabled_capabilities: list[str] = Field(default_factory=list)
    """Capabilities that are neither advertised nor taken from clients, for instance IDLE; those
    that cannot do without one of them go with it, as QRESYNC with CONDSTORE.
    """
    disabled_for_clients: dict[str, list[str]] = Field(default_factory=dict)
    """The same for clients that give such a name with ID; `*` in a name stands for anything."""
    keepalive_s: float = Field(120.0, ge=1, json_schema_extra=unit("s"))
    """How long a connection may be dead before the system looks whether its client is there; one
    that does not answer three times, or takes no data for so long, is closed.
    """
    progress_s: float = Field(10.0, gt=0, json_schema_extra=unit("s"))
    """How often a client is told that its command is being worked on (RFC 9585)."""
    sweep_s: float = Field(30.0, gt=0, json_schema_extra=unit("s"))
    """How often IDLE looks for changes whose event was lost."""
