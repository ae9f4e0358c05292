"""The nouns inside delivery: where a message goes and what became of it there. Values only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from rmail_kernel.delivery.api import Outcome, Status
from rmail_kernel.model import Address, Defer, Envelope, RecipientOptions, Reject
from rmail_kernel.storage.ids import AccountId

EVENTS = ("SUCCESS", "FAILURE", "DELAY")  # RFC 3461 4.1


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

    def expanded(self) -> frozenset[Address]:
        """The recipients that lead to several places."""
        counts = Counter(recipient for target in self.targets for recipient in target.recipients)
        return frozenset(recipient for recipient, count in counts.items() if count > 1)

    def onward(self) -> Envelope:
        """The envelope with what was asked for the final addresses, not for those that led there;
        for whoever takes the message on.
        """
        envelope, expanded = self.envelope, self.expanded()
        options = (_options(envelope, target, expanded) for target in self.targets)
        given = tuple(found for found in options if found.notify or found.orcpt)
        return replace(envelope, options=given)


def _options(envelope: Envelope, target: Target, expanded: Collection[Address]) -> RecipientOptions:
    """All that was asked for the recipients that led to a target."""
    found = [envelope.options_of(recipient) for recipient in target.recipients]
    # RFC 3461 5.2.7.3 (c): success was told when they were expanded.
    found = [_without_success(one) if one.recipient in expanded else one for one in found]
    orcpt = found[0].orcpt
    if not orcpt and target.address != target.recipients[0]:
        # RFC 3461 5.2.1: whoever adds ORCPT names the recipient as it came in.
        original = str(target.recipients[0])
        orcpt = f"{'rfc822' if original.isascii() else 'utf-8'};{original}"  # RFC 6533 3
    if len({options.notify for options in found}) == 1:
        notify = found[0].notify
    else:
        wanted = {event for event in EVENTS if any(options.wants(event) for options in found)}
        notify = frozenset(wanted or {"NEVER"})
    return RecipientOptions(target.address, notify, orcpt)


def _without_success(options: RecipientOptions) -> RecipientOptions:
    if not options.notify:
        return options
    return replace(options, notify=options.notify - {"SUCCESS"} or frozenset({"NEVER"}))


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
