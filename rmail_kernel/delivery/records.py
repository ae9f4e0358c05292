"""Spool records as JSON: the envelope with its targets, and the progress of an entry.

Entries are written in version 2 and read from version 1 on, which had no options of the sender;
progress as well, version 1 of which did not say who is yet to be told of.
Reading raises Corrupt for anything that was not written here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from rmail_kernel.delivery.api import Status
from rmail_kernel.delivery.targets import Entry, Result, Target
from rmail_kernel.errors import Corrupt
from rmail_kernel.model import (
    Address,
    Defer,
    Envelope,
    Principal,
    RecipientOptions,
    Reject,
    SessionInfo,
)
from rmail_kernel.storage.ids import AccountId

VERSION = 2
PROGRESS_VERSION = 2
_WRONG = (KeyError, TypeError, ValueError, AttributeError)


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of an entry so far.

    Attributes:
        attempts: how often it was tried. done: targets that are final, by key.
        owed: keys of those that the sender may not have been told of.
    """

    attempts: int = 0
    done: Mapping[str, Result] = field(default_factory=dict)
    owed: tuple[str, ...] = ()


def encode_entry(entry: Entry) -> bytes:
    """One line of JSON, with its line end."""
    record = {
        "version": VERSION,
        "id": entry.id,
        **envelope_record(entry.envelope),
        "targets": [_target_record(target) for target in entry.targets],
    }
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def decode_entry(raw: bytes) -> Entry:
    """The entry in one line.

    Raises:
        Corrupt: not an entry of this version.
    """
    try:
        record = json.loads(raw)
        if record["version"] not in range(1, VERSION + 1):
            raise Corrupt("A spool entry of another version", version=record["version"])
        envelope = envelope_of(record)
        return Entry(record["id"], envelope, tuple(map(_target, record["targets"])))
    except _WRONG as error:
        raise Corrupt("An unreadable spool entry", reason=repr(error)) from error


def encode_progress(found: Progress) -> bytes:
    """Progress as JSON."""
    results = {key: [result.status, _verdict_record(result)] for key, result in found.done.items()}
    record = {"version": PROGRESS_VERSION, "attempts": found.attempts, "done": results}
    record |= {"owed": list(found.owed)} if found.owed else {}
    return json.dumps(record, ensure_ascii=False).encode()


def decode_progress(raw: bytes) -> Progress:
    """The progress in a record.

    Raises:
        Corrupt: not a progress record of this version.
    """
    try:
        record = json.loads(raw)
        if record["version"] not in range(1, PROGRESS_VERSION + 1):
            raise Corrupt("A spool record of another version", version=record["version"])
        done = {
            key: Result(Status(status), _verdict(verdict))
            for key, (status, verdict) in record["done"].items()
        }
        owed = tuple(key for key in record.get("owed", ()) if key in done)
        return Progress(int(record["attempts"]), done, owed)
    except _WRONG as error:
        raise Corrupt("An unreadable spool record", reason=repr(error)) from error


def envelope_record(envelope: Envelope) -> dict[str, Any]:
    """An envelope as JSON; options that were not given are left out."""
    record: dict[str, Any] = {
        "sender": _text(envelope.sender),
        "recipients": [str(recipient) for recipient in envelope.recipients],
        "received_at": envelope.received_at.isoformat(),
        "smtputf8": envelope.smtputf8,
        "is_8bit": envelope.is_8bit,
        "session": _session_record(envelope.session),
    }
    given = {
        "ret": envelope.ret,
        "envid": envelope.envid,
        "require_tls": envelope.require_tls,
        "is_binary": envelope.is_binary,
    }
    record |= {name: value for name, value in given.items() if value}
    if envelope.options:
        record["options"] = [
            [str(found.recipient), sorted(found.notify), found.orcpt] for found in envelope.options
        ]
    return record


def envelope_of(record: dict[str, Any]) -> Envelope:
    """The envelope in a record. Raises KeyError, TypeError or ValueError for anything else."""
    return Envelope(
        sender=_address(record["sender"]),
        recipients=tuple(map(known_address, record["recipients"])),
        session=_session(record["session"]),
        received_at=datetime.fromisoformat(record["received_at"]),
        smtputf8=record["smtputf8"],
        is_8bit=record["is_8bit"],
        ret=record.get("ret", ""),
        envid=record.get("envid", ""),
        require_tls=record.get("require_tls", False),
        is_binary=record.get("is_binary", False),
        options=tuple(
            RecipientOptions(known_address(recipient), frozenset(notify), orcpt)
            for recipient, notify, orcpt in record.get("options", ())
        ),
    )


def _text(address: Address | None) -> str | None:
    return None if address is None else str(address)


def known_address(text: str) -> Address:
    """An address that was valid when it was written down."""
    local, _, domain = text.rpartition("@")
    return Address(local, domain)


def _address(text: str | None) -> Address | None:
    return None if text is None else known_address(text)


def _session_record(session: SessionInfo) -> dict[str, Any]:
    record = asdict(session)
    if session.principal is not None:
        record["principal"]["address"] = str(session.principal.address)
    return record


def _session(record: dict[str, Any]) -> SessionInfo:
    principal = record.pop("principal")
    if principal is not None:
        principal = Principal(**{**principal, "address": known_address(principal["address"])})
    return SessionInfo(**record, principal=principal)


def _target_record(target: Target) -> dict[str, Any]:
    return {
        "address": str(target.address),
        "recipients": [str(recipient) for recipient in target.recipients],
        "account": target.account,
        "refusal": None if target.refusal is None else asdict(target.refusal),
    }


def _target(record: dict[str, Any]) -> Target:
    account, refusal = record["account"], record["refusal"]
    return Target(
        known_address(record["address"]),
        tuple(map(known_address, record["recipients"])),
        None if account is None else AccountId(account),
        None if refusal is None else Reject(**refusal),
    )


def _verdict_record(result: Result) -> dict[str, Any] | None:
    return None if result.verdict is None else asdict(result.verdict)


def _verdict(record: dict[str, Any] | None) -> Reject | Defer | None:
    if record is None:
        return None
    return Defer(**record) if record["code"] < 500 else Reject(**record)
