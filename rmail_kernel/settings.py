"""What can be set in the kernel: each section a pydantic model, each key declared once with type,
default, unit and help. Plugins declare theirs on the same base. Nothing here reads or writes.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from rmail_kernel.errors import ConfigError, Invalid
from rmail_kernel.model import normalise_domain
from rmail_kernel.name_servers import parse_server

MIN_SECRET_CHARS = 32
S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """Base of every settings section: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


def unit(name: str) -> dict[str, Any]:
    """The `json_schema_extra` of a field that has a unit ("s", "bytes", "MB")."""
    return {"unit": name}


def _domain(value: str) -> str:
    try:
        return normalise_domain(value)
    except Invalid as error:
        raise ValueError(error.safe) from error


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError as error:
        raise ValueError("should be an IP address or network, like 192.0.2.0/24") from error
    return value


def _base_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("should begin with http:// or https://")
    return value.rstrip("/")


def _long_enough(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < MIN_SECRET_CHARS:
        raise ValueError(f"should have at least {MIN_SECRET_CHARS} characters")
    return value


Port = Annotated[int, Field(ge=0, le=65535)]
Domain = Annotated[str, AfterValidator(_domain)]
Network = Annotated[str, AfterValidator(_network)]


class ProcessSettings(Section):
    """Processes and privileges."""

    user: str | None = None
    """System user to become after the sockets are open; null keeps the current one."""
    drain_s: float = Field(30.0, ge=0, json_schema_extra=unit("s"))
    """How long open sessions may go on after SIGTERM."""
    threads: int = Field(8, ge=1, le=256)
    """Threads per worker for blocking work (fsync, password hashes, large parses)."""


class StorageSettings(Section):
    """Which storage driver keeps the data."""

    driver: str = "filesystem"
    """Name of the driver."""
    reserve_mb: int = Field(default=64, ge=0, le=1024)
    """Room in MB that is kept on the disk so that mail can be deleted when it is full; 0: none."""


class TlsSettings(Section):
    """Certificates."""

    enabled: bool = True
    """Offer STARTTLS and the implicit-TLS ports."""
    cert_file: Path | None = None
    """PEM certificate chain; null: a self-signed one is made at the first start."""
    key_file: Path | None = None
    """PEM private key of cert_file."""


class HttpSettings(Section):
    """The HTTP host that plugins mount on."""

    host: str = "0.0.0.0"  # noqa: S104 - a server listens for everyone by default
    """Address to listen on."""
    port: Port | None = 9002
    """Plain HTTP port; null: off, 0: any free one."""
    tls_port: Port | None = 9003
    """HTTPS port; null: off, 0: any free one."""
    base_url: Annotated[str, AfterValidator(_base_url)] | None = None
    """Public address for links, for example "https://mail.example.com"; null: derived from the
    request.
    """
    trusted_proxies: list[Network] = []
    """Networks whose X-Forwarded-For is believed."""
    metrics_allow: list[Network] = []
    """Networks besides loopback that may read /metrics."""


class AuthSettings(Section):
    """Passwords."""

    bcrypt_cost: int = Field(12, ge=4, le=31)
    """log2 of the bcrypt rounds for new passwords."""
    scram: bool = False
    """Offer SCRAM-SHA-256 and keep the keys it needs, which are easier to attack than the hashes of
    bcrypt. An account gets them at its next login with the password; they are forgotten when this
    is off. Not offered while a plugin checks passwords.
    """
    scram_iterations: int = Field(100_000, ge=4096, le=10_000_000)
    """Rounds of PBKDF2 for new SCRAM keys; clients compute them at each login."""
    cache_s: float = Field(300.0, ge=0, json_schema_extra=unit("s"))
    """How long a verified credential is remembered in memory; 0: not at all."""


TOKEN_SECRET_VARIABLE = "RMAIL_TOKEN_SECRET"  # noqa: S105 - a name
"""Where the supervisor leaves its workers a common secret when `token_secret` is null."""


class ExchangeApiSettings(Section):
    """Tokens of the REST API."""

    token_secret: Annotated[SecretStr, AfterValidator(_long_enough)] | None = None
    """Secret that signs tokens, at least 32 characters; null: a new one at each start."""
    token_ttl_s: int = Field(3600, ge=1, json_schema_extra=unit("s"))
    """Life of a token."""


def _name_server(value: str) -> str:
    try:
        parse_server(value)
    except Invalid as error:
        raise ValueError(
            f'{error.safe}; it should be like "192.0.2.1" or "[2001:db8::1]:53"'
        ) from error
    return value


NameServer = Annotated[str, AfterValidator(_name_server)]


class DnsSettings(Section):
    """How names are looked up."""

    servers: list[NameServer] | None = Field(None, min_length=1)
    """Name servers as "address" or "address:port"; null: those of the system."""
    timeout_s: float = Field(10.0, gt=0, le=120, json_schema_extra=unit("s"))
    """How long one question may take, with all tries."""


class RateLimitSettings(Section):
    """Limits per client address."""

    enabled: bool = True
    """Count connections and failed logins."""
    whitelist: list[Network] = ["127.0.0.1", "::1"]
    """Addresses and networks that are never limited."""
    max_auth_failures: int = Field(5, ge=1)
    """Failed logins within lockout_s before an address is locked out."""
    lockout_s: float = Field(900.0, gt=0, json_schema_extra=unit("s"))
    """How long a lockout lasts."""
    connections_per_minute: int = Field(600, ge=1)
    """New connections per minute and address."""
    messages_per_hour: int | None = Field(None, ge=1)
    """Messages that an account may send within an hour, from wherever; null: no limit."""
    messages_per_day: int | None = Field(None, ge=1)
    """Messages that an account may send within 24 hours, from wherever; null: no limit."""


class ProxyProtocolSettings(Section):
    """The PROXY protocol, by which a proxy or load balancer tells who its client is."""

    trusted: list[Network] = []
    """Networks of the proxies. They must begin each connection with a header of version 1 or 2;
    nobody else can send one. Empty: off.
    """
    listeners: list[str] = ["smtp", "submission", "smtps", "imap", "imaps"]
    """Listeners that proxies connect to, by name."""
    header_s: float = Field(10.0, gt=0, json_schema_extra=unit("s"))
    """How long a header may take."""


class LogSettings(Section):
    """Logs on standard error."""

    format: Literal["auto", "json", "console"] = "auto"
    """auto: console on a terminal, JSON elsewhere."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is written."""


class Settings(Section):
    """The whole configuration. Sections of installed plugins are reached by `section`."""

    mail_root: Path = Path("./mailstore")
    """Folder of the store; a relative path counts from the folder of the config file."""
    hostname: Domain = "localhost"
    """Name of this server in greetings, trace headers and certificates."""
    domains: list[Domain] = []
    """Local mail domains; created at start when absent."""
    plugins: list[str] = ["smtp", "imap", "relay", "api"]
    """Plugins to load, by entry point name."""
    workers: int | None = Field(None, ge=0)
    """Worker processes; null: one per core, 0: everything in one process."""
    process: ProcessSettings = ProcessSettings()
    storage: StorageSettings = StorageSettings()
    tls: TlsSettings = TlsSettings()
    http: HttpSettings = HttpSettings()
    auth: AuthSettings = AuthSettings()
    exchange_api: ExchangeApiSettings = ExchangeApiSettings()
    dns: DnsSettings = DnsSettings()
    rate_limit: RateLimitSettings = RateLimitSettings()
    proxy_protocol: ProxyProtocolSettings = ProxyProtocolSettings()
    log: LogSettings = LogSettings()

    _sections: dict[str, Section] = {}
    _warnings: list[str] = []

    @property
    def warnings(self) -> list[str]:
        """Sections that no installed plugin claims."""
        return self._warnings

    def section(self, name: str, model: type[S]) -> S:
        """The settings of a plugin.

        Raises:
            ConfigError: the plugin did not declare this section.
        """
        found = self._sections.get(name)
        if not isinstance(found, model):
            raise ConfigError("no such section", path=name)
        return found

    @property
    def section_models(self) -> dict[str, Section]:
        """All sections, kernel and plugins, by name."""
        own = {
            key: value
            for key in type(self).model_fields
            if isinstance(value := getattr(self, key), Section)
        }
        return own | self._sections
