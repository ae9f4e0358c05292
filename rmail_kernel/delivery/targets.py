"""The nouns inside delivery: where a message goes and what became of it there. Values only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rmail_kernel.delivery.api import Outcome, Status
from rmail_kernel.model import Address, Defer, Envelope, Reject
from rmail_kernel.storage.ids import AccountId


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one target; `verdict` is there exactly when it was rejected or deferred."""

    status: Status
    verdict: Reject | Defer | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One place where a message goes.

    Args:
        address: the final address, after aliases.
        recipients: as the sender addressed it; several when they lead to the same place.
        account: the local account; None: an external address.
        refusal: known before delivery began (the account vanished since RCPT); nothing is tried.
    """

    address: Address
    recipients: tuple[Address, ...]
    account: AccountId | None = None
    refusal: Reject | None = None

    @property
    def key(self) -> str:
        """Names the target within its message, the same at each attempt."""
        return self.account or self.address.key


@dataclass(frozen=True, slots=True)
class Entry:
    """A message with its targets: what a spool file holds besides the content."""

    id: str
    envelope: Envelope
    targets: tuple[Target, ...]

    def op_id(self, target: Target) -> str:
        """The key under which the store knows a retry from a new message."""
        return f"{self.id}:{target.key}"


_RANK = [Status.STORED, Status.QUEUED, Status.DISCARDED, Status.DEFERRED, Status.REJECTED]


def outcomes(entry: Entry, results: Mapping[str, Result]) -> tuple[Outcome, ...]:
    """The best result of each recipient, in the order of the envelope."""
    best: dict[Address, Result] = {}
    for target in entry.targets:
        result = results[target.key]
        for recipient in target.recipients:
            known = best.get(recipient)
            if known is None or _RANK.index(result.status) < _RANK.index(known.status):
                best[recipient] = result
    return tuple(
        Outcome(recipient, best[recipient].status, best[recipient].verdict)
        for recipient in dict.fromkeys(entry.envelope.recipients)
        if recipient in best
    )


def verdict_of(results: Iterable[Result]) -> Reject | Defer | None:
    """Why nothing at all was accepted; None when something was, or there was nothing to do. A Defer
    wins: a retry may help.
    """
    refusals: list[Reject | Defer] = []
    for result in results:
        if result.verdict is None:
            return None
        refusals.append(result.verdict)
    deferrals = [verdict for verdict in refusals if isinstance(verdict, Defer)]
    return next(iter(deferrals or refusals), None)
