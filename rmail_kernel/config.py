"""Settings: one `config.json`, each key declared once with type, default, unit and help.

Sections are pydantic models; plugins add theirs. `load` gives the whole tree or a ConfigError
that names the exact path; it
changes nothing on disk. Environment variables `RMAIL_<KEY>` and `RMAIL_<SECTION>__<KEY>` win over
the file. Secrets never print.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from rmail_kernel.errors import ConfigError, Invalid
from rmail_kernel.model import normalise_domain

ENV_PREFIX = "RMAIL_"
S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """Base of every settings section: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True
    )


def unit(name: str) -> dict[str, Any]:
    """The `json_schema_extra` of a field that has a unit ("s", "bytes", "MB")."""
    return {"unit": name}


def _domain(value: str) -> str:
    try:
        return normalise_domain(value)
    except Invalid as error:
        raise ValueError(error.safe) from error


Port = Annotated[int, Field(ge=0, le=65535)]
Domain = Annotated[str, AfterValidator(_domain)]


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
    base_url: str | None = None
    """Public address for links, for example "https://mail.example.com"; null: derived from the
    request.
    """
    trusted_proxies: list[str] = []
    """Networks whose X-Forwarded-For is believed."""
    metrics_allow: list[str] = []
    """Networks besides loopback that may read /metrics."""


class AuthSettings(Section):
    """Passwords."""

    bcrypt_cost: int = Field(12, ge=4, le=31)
    """log2 of the bcrypt rounds for new passwords."""
    scram: bool = False
    """Keep SCRAM-SHA-256 keys beside the hash (easier to attack than bcrypt)."""
    cache_s: float = Field(300.0, ge=0, json_schema_extra=unit("s"))
    """How long a verified credential is remembered in memory; 0: not at all."""


class ExchangeApiSettings(Section):
    """Tokens of the REST API."""

    token_secret: SecretStr | None = None
    """Secret that signs tokens, at least 32 bytes; null: a new one at each start."""
    token_ttl_s: int = Field(3600, ge=1, json_schema_extra=unit("s"))
    """Life of a token."""


class RateLimitSettings(Section):
    """Limits per client address."""

    enabled: bool = True
    """Count connections and failed logins."""
    whitelist: list[str] = ["127.0.0.1", "::1"]
    """Addresses and networks that are never limited."""
    max_auth_failures: int = Field(5, ge=1)
    """Failed logins within lockout_s before an address is locked out."""
    lockout_s: float = Field(900.0, gt=0, json_schema_extra=unit("s"))
    """How long a lockout lasts."""
    connections_per_minute: int = Field(600, ge=1)
    """New connections per minute and address."""


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
    hostname: str = "localhost"
    """Name of this server in greetings, trace headers and certificates."""
    domains: list[Domain] = []
    """Local mail domains; created at start when absent."""
    plugins: list[str] = ["smtp", "imap", "relay", "api", "caldav", "drive", "webmail"]
    """Plugins to load, by entry point name."""
    workers: int | None = Field(None, ge=0)
    """Worker processes; null: one per core, 0: everything in one process."""
    process: ProcessSettings = ProcessSettings()
    storage: StorageSettings = StorageSettings()
    tls: TlsSettings = TlsSettings()
    http: HttpSettings = HttpSettings()
    auth: AuthSettings = AuthSettings()
    exchange_api: ExchangeApiSettings = ExchangeApiSettings()
    rate_limit: RateLimitSettings = RateLimitSettings()
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


def read_file(path: Path) -> dict[str, Any]:
    """The JSON object in a config file.

    Raises:
        ConfigError: missing, unreadable, not strict JSON (with line and column), or a repeated key.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist; `rmail init` makes one") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    try:
        data = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{path} is not valid JSON: line {error.lineno} column {error.colno}: {error.msg}"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold a JSON object")
    return data


def build(
    data: Mapping[str, Any],
    sections: Mapping[str, type[Section]],
    *,
    base: Path = Path(),
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Validates settings.

    Args:
        data: the parsed file.
        sections: settings models of the installed plugins, by section name.
        base: folder that relative paths count from.
        environ: environment variables, default the process's.

    Raises:
        ConfigError: with the exact path, and a near match for an unknown key.
    """
    merged = _overlay(
        json.loads(json.dumps(data)), sections, os.environ if environ is None else environ
    )
    own = {key: value for key, value in merged.items() if key in Settings.model_fields}
    extra = {key: value for key, value in merged.items() if key not in Settings.model_fields}
    settings = _validate(Settings, own, ())
    parts = {
        name: _validate(model, extra.pop(name, {}), (name,)) for name, model in sections.items()
    }
    for key, value in extra.items():
        if not isinstance(value, dict) or _near(key, [*Settings.model_fields, *sections]):
            raise ConfigError(_unknown(key, [*Settings.model_fields, *sections]), path=key)
    settings = settings.model_copy(update={"mail_root": (base / settings.mail_root).resolve()})
    settings._sections = parts
    settings._warnings = [f"section {key!r} belongs to no installed plugin" for key in extra]
    tls = settings.tls
    if (tls.cert_file is None) != (tls.key_file is None):
        raise ConfigError("cert_file and key_file go together", path="tls.cert_file")
    files = {
        name: (base / path).resolve()
        for name in ("cert_file", "key_file")
        if (path := getattr(tls, name))
    }
    secret = settings.exchange_api.token_secret
    if secret is not None and len(secret.get_secret_value()) < 32:
        raise ConfigError("must have at least 32 characters", path="exchange_api.token_secret")
    complete = settings.model_copy(update={"tls": tls.model_copy(update=files)})
    complete._sections, complete._warnings = settings._sections, settings._warnings
    return complete


def _validate(model: type[S], data: object, prefix: tuple[str, ...]) -> S:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _explain(error.errors()[0], model, prefix) from error


def _explain(detail: ErrorDetails, model: type[Section], prefix: tuple[str, ...]) -> ConfigError:
    location = [*prefix, *(str(part) for part in detail["loc"])]
    path = ".".join(location)
    if detail["type"] == "extra_forbidden":
        return ConfigError(
            _unknown(location[-1], _keys_at(model, location[len(prefix) : -1])), path=path
        )
    text = detail["msg"].removeprefix("Value error, ")
    shown = (
        ""
        if isinstance(detail["input"], dict | list) or "secret" in path or "password" in path
        else f", not {detail['input']!r}"
    )
    return ConfigError(text[0].lower() + text[1:] + shown, path=path)


def _keys_at(model: type[BaseModel], location: list[str]) -> list[str]:
    for key in location:
        field = model.model_fields.get(key)
        if field is None or not (
            isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        ):
            return []
        model = field.annotation
    return list(model.model_fields)


def _near(key: str, known: list[str]) -> str | None:
    return next(iter(difflib.get_close_matches(key, known, 1, 0.75)), None)


def _unknown(key: str, known: list[str]) -> str:
    near = _near(key, known)
    return f"unknown setting; did you mean {near!r}?" if near else "unknown setting"


def _overlay(
    data: dict[str, Any], sections: Mapping[str, type[Section]], environ: Mapping[str, str]
) -> dict[str, Any]:
    """Lays `RMAIL_*` variables over the file. A value is JSON where it parses as JSON, text
    otherwise.
    """
    names = {name.lower() for name in Settings.model_fields} | {name.lower() for name in sections}
    for variable, raw in sorted(environ.items()):
        if not variable.startswith(ENV_PREFIX):
            continue
        path = variable.removeprefix(ENV_PREFIX).lower().split("__")
        if path[0] not in names or not all(path):
            continue  # RMAIL_ variables of other programs, and our own private ones
        target = data
        for key in path[:-1]:
            target = target.setdefault(key, {})
            if not isinstance(target, dict):
                raise ConfigError(f"{variable} does not fit the file", path=".".join(path))
        try:
            target[path[-1]] = json.loads(raw)
        except ValueError:
            target[path[-1]] = raw
    return data


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
