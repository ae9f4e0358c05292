"""The records of the account directory as JSON: account.json, domain.json, aliases.json.

Values only, no files. Reads all versions and the layout of the original product, which had no
version; a newer version is refused, never guessed at. Unknown fields are kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson

from rmail_kernel.errors import Corrupt, Invalid
from rmail_kernel.model import Address, normalise_domain
from rmail_kernel.storage.accounts import Account, Alias, ScramKeys
from rmail_kernel.storage.filesystem import scram_record
from rmail_kernel.storage.ids import AccountId

VERSION = 1
ALIASES_VERSION = 2
"""Of aliases.json; version 1 knew one target for a rule."""
MIN_QUOTA_MB = 1
MAX_QUOTA_MB = 1_048_576
MAX_QUOTA_MESSAGES = 1_000_000_000
MAX_PREFERENCES_BYTES = 65_536
_USER_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?\Z")
_CHANGEABLE: dict[str, type[Any]] = {
    "password_hash": str,
    "is_enabled": bool,
    "is_admin": bool,
    "quota_mb": int,
    "quota_messages": int,
    "preferences": dict,
    "scram": ScramKeys,
}
_MAY_BE_NONE = frozenset({"quota_messages", "scram"})
_ENDS_SESSIONS = ("password_hash", "is_enabled")
T = TypeVar("T")


def is_user_name(name: str) -> bool:
    """Whether `name` may be the folder of an account: nothing else may become part of a path."""
    return _USER_NAME.match(name) is not None


def check_user_name(name: str) -> None:
    """Refuses names that cannot be a new account.

    Raises:
        Invalid: not a-z0-9._-, first or last not alphanumeric, over 64, or two dots in a row
            (no dot-string of RFC 5321 4.1.2, so nobody could write to it).
    """
    if not is_user_name(name) or ".." in name:
        raise Invalid(
            "A user name has 1 to 64 of a-z 0-9 . _ -, begins and ends with a letter or digit"
            " and has no two dots in a row",
            username=name,
        )


def check_quota(quota_mb: int, quota_messages: int | None = None) -> None:
    """Refuses a quota that is out of range.

    Raises:
        Invalid: not within MIN_QUOTA_MB and MAX_QUOTA_MB, or 1 and MAX_QUOTA_MESSAGES.
    """
    if quota_messages is not None and not 1 <= quota_messages <= MAX_QUOTA_MESSAGES:
        raise Invalid(
            f"A quota is 1 to {MAX_QUOTA_MESSAGES} messages", quota_messages=quota_messages
        )
    if not MIN_QUOTA_MB <= quota_mb <= MAX_QUOTA_MB:
        raise Invalid(f"A quota is {MIN_QUOTA_MB} to {MAX_QUOTA_MB} MB", quota_mb=quota_mb)


def changed(account: Account, changes: Mapping[str, object], generation: int) -> Account:
    """The account with fields changed; the credential version rises when sessions must end.

    Args:
        account: what is stored now.
        changes: new values by field name. `credential_version`, when given, keeps the version as
            it is (the caller has seen to it that it is the stored one).
        generation: the store's generation, above every version ever given out.

    Raises:
        Invalid: an unknown field or a value of the wrong type or range.
    """
    values = {name: value for name, value in changes.items() if name != "credential_version"}
    for name, value in values.items():
        if name not in _CHANGEABLE:
            raise Invalid(f"The field {name!r} of an account cannot be changed")
        is_absent = value is None and name in _MAY_BE_NONE
        if type(value) is not _CHANGEABLE[name] and not is_absent:
            raise Invalid(f"Not a value for {name!r}")
    found = replace(account, **values)  # type: ignore[arg-type]  # checked against _CHANGEABLE
    check_quota(found.quota_mb, found.quota_messages)
    _check_preferences(found.preferences)
    if "credential_version" in changes or not any(
        getattr(found, name) != getattr(account, name) for name in _ENDS_SESSIONS
    ):
        return found
    if found.password_hash != account.password_hash and "scram" not in values:
        found = replace(found, scram=None)
    return replace(found, credential_version=max(account.credential_version, generation) + 1)


def parse(raw: bytes, path: object, known: int = VERSION) -> dict[str, Any]:
    """The JSON object of a record file; a bare list is the original's aliases.json.

    Args:
        known: the newest version of this kind of record that is understood.

    Raises:
        Corrupt: not JSON, or of a newer version; the message names the file.
    """
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Corrupt(f"{path} is not valid JSON") from error
    if isinstance(data, list):
        return {"aliases": data}
    if not isinstance(data, dict):
        raise Corrupt(f"{path} does not hold a JSON object")
    version = data.get("version", 1)
    if type(version) is not int or version < 1:
        raise Corrupt(f"{path} has no usable version")
    if version > known:
        raise Corrupt(f"{path} has version {version}, this rmail reads up to {known}")
    return data


def dump(data: Mapping[str, Any]) -> bytes:
    """A record file's bytes."""
    return orjson.dumps(dict(data), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def load_account(data: Mapping[str, Any], name: str, domain: str, path: object) -> Account:
    """The account of an account.json; its folders, not its fields, say whose it is.

    Raises:
        Corrupt: a field has the wrong type; the message names file and field.
    """
    hashed = _field(data, "password_hash", str, _field(data, "password", str, "", path), path)
    return Account(
        id=AccountId(f"{name}@{domain}"),
        address=Address(name, domain),
        password_hash=hashed,
        is_enabled=_field(data, "enabled", bool, True, path),
        is_admin=_field(data, "admin", bool, False, path),
        quota_mb=_field(data, "quota_mb", int, 1024, path),
        quota_messages=_quota_messages(data, path),
        created_at=_created(data, path),
        credential_version=_field(data, "credential_version", int, 1, path),
        preferences=_field(data, "preferences", dict, {}, path),
        scram=scram_record.load(data.get("scram"), hashed),
    )


def _quota_messages(data: Mapping[str, Any], path: object) -> int | None:
    if data.get("quota_messages") is None:
        return None
    return _field(data, "quota_messages", int, 1, path)


def dump_account(account: Account, before: Mapping[str, Any]) -> dict[str, Any]:
    """The account.json of an account; fields of `before` that are unknown here are kept."""
    kept = {key: value for key, value in before.items() if key not in ("password", "scram")}
    if account.scram is not None:
        kept["scram"] = scram_record.dump(account.scram, account.password_hash)
    return {
        **kept,
        "version": VERSION,
        "username": account.address.local,
        "domain": account.address.domain,
        "password_hash": account.password_hash,
        "enabled": account.is_enabled,
        "admin": account.is_admin,
        "quota_mb": account.quota_mb,
        "quota_messages": account.quota_messages,
        "created": account.created_at.isoformat() if account.created_at else None,
        "credential_version": account.credential_version,
        "preferences": account.preferences,
    }


def load_aliases(data: Mapping[str, Any], path: object) -> list[Alias]:
    """The rules of an aliases.json in the order of declaration.

    Raises:
        Corrupt: not a list of pattern and target or targets; the message names the file.
    """
    if "version" not in data and "aliases" not in data:  # the original: pattern -> target
        rows: list[Any] = [{"pattern": key, "target": value} for key, value in data.items()]
    else:
        rows = _field(data, "aliases", list, [], path)
    return [_load_alias(row, path) for row in rows]


def _load_alias(row: object, path: object) -> Alias:
    if isinstance(row, dict) and isinstance(row.get("pattern"), str):
        targets = row.get("targets", [row.get("target")])
        if isinstance(targets, list) and targets and all(isinstance(t, str) for t in targets):
            return Alias.to(row["pattern"], targets)
    raise Corrupt(f"{path}: every alias has a pattern and a target")


def is_old_aliases(data: Mapping[str, Any]) -> bool:
    """Whether an aliases.json is of an older version than the one that is written."""
    return "version" not in data or data["version"] < ALIASES_VERSION


def dump_aliases(aliases: Sequence[Alias], before: Mapping[str, Any]) -> dict[str, Any]:
    """The aliases.json of rules in their order."""
    kept = before if "version" in before else {}
    rows = [dump_alias(alias) for alias in aliases]
    return {**kept, "version": ALIASES_VERSION, "aliases": rows}


def dump_alias(alias: Alias) -> dict[str, Any]:
    """A rule: `target` where there is one, `targets` where there are several."""
    if alias.others:
        return {"pattern": alias.pattern, "targets": list(alias.targets)}
    return {"pattern": alias.pattern, "target": alias.target}


def is_domain_folder(name: str) -> bool:
    """Whether a folder below `domains` is a domain's: named by a lower-case A-label name."""
    try:
        return normalise_domain(name) == name
    except Invalid:
        return False


def _field(data: Mapping[str, Any], key: str, kind: type[T], default: T, path: object) -> T:
    value = data.get(key)
    if value is None:
        return default
    if type(value) is not kind:
        raise Corrupt(f"{path}: {key!r} must be of type {kind.__name__}")
    return value


def _created(data: Mapping[str, Any], path: object) -> datetime | None:
    text = _field(data, "created", str, "", path)
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Corrupt(f"{path}: 'created' must be an ISO 8601 time") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _check_preferences(preferences: Mapping[str, object]) -> None:
    try:
        size_bytes = len(orjson.dumps(preferences))
    except TypeError as error:
        raise Invalid("Preferences must be JSON") from error
    if size_bytes > MAX_PREFERENCES_BYTES:
        raise Invalid(f"Preferences may have {MAX_PREFERENCES_BYTES} bytes")
