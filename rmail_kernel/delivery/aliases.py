"""Alias rules and subaddresses as a built-in plugin: a local part that matches a rule of its domain
stands for the rule's targets, and `user+tag` for the user (RFC 5233 1).

Sees addresses that are no account. Chains of rules are followed, and bounded, by the delivery
service, never here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from rmail_kernel.errors import Invalid
from rmail_kernel.hooks import hookimpl
from rmail_kernel.model import Address
from rmail_kernel.storage.accounts import Alias
from rmail_kernel.storage.patterns import Pattern, compile_pattern, is_catch_all

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

_log = structlog.get_logger("rmail.aliases")
_Rule = tuple[Pattern, tuple[Address, ...]]
_SEPARATOR = "+"


@dataclass(frozen=True, slots=True)
class _Rules:
    """The rules of a domain, compiled: those for some names, and those that catch all others."""

    named: tuple[_Rule, ...] = ()
    catching: tuple[_Rule, ...] = ()


class AliasPlugin:
    """Answers `on_resolve` from the directory's rules, in the order in which they apply."""

    name = "aliases"

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._compiled: dict[str, tuple[Sequence[Alias], _Rules]] = {}

    @hookimpl
    async def on_resolve(self, address: Address) -> list[Address] | None:
        """The targets of the first rule that matches the whole local part. A subaddress comes
        before the rules that catch all: `user+tag` is the user's, or goes where a rule sends the
        user's name. None: nothing fits.
        """
        rules = await self._rules(address.domain)
        name, separator, _ = address.local.partition(_SEPARATOR)
        targets = _first(rules.named, address.local)
        if targets is None and separator and name:
            user = Address(name, address.domain)
            known = await self._kernel.directory.get(user)
            targets = (user,) if known is not None else _first(rules.named, name)
        targets = targets or _first(rules.catching, address.local)
        return None if targets is None else list(targets)

    async def _rules(self, domain: str) -> _Rules:
        """Compiled anew only when the directory gives other rules than before."""
        aliases = await self._kernel.directory.aliases(domain)
        if not aliases:
            self._compiled.pop(domain, None)
            return _NONE
        known = self._compiled.get(domain)
        if known is None or (known[0] is not aliases and known[0] != aliases):
            catching = [alias for alias in aliases if is_catch_all(alias.pattern)]
            named = [alias for alias in aliases if alias not in catching]
            rules = _Rules(_compiled(domain, named), _compiled(domain, catching))
            known = self._compiled[domain] = (aliases, rules)
        return known[1]


_NONE = _Rules()


def _first(rules: Sequence[_Rule], local: str) -> tuple[Address, ...] | None:
    matching = (found for pattern, found in rules if pattern.fullmatch(local) is not None)
    return next(matching, None)


def _compiled(domain: str, aliases: Sequence[Alias]) -> tuple[_Rule, ...]:
    return tuple(rule for alias in aliases if (rule := _compile(domain, alias)) is not None)


def _compile(domain: str, alias: Alias) -> _Rule | None:
    """A rule, or a target of one, that was edited into nonsense is skipped; the others go on."""
    try:
        pattern = compile_pattern(alias.pattern)
    except Invalid as error:
        _log.error("alias skipped", domain=domain, pattern=alias.pattern, reason=error.safe)
        return None
    targets: dict[str, Address] = {}
    for written in alias.targets:
        try:
            found = Address.parse(written if "@" in written else f"{written}@{domain}")
        except Invalid as error:
            _log.error("target skipped", domain=domain, pattern=alias.pattern, reason=error.safe)
        else:
            targets.setdefault(found.key, found)
    return (pattern, tuple(targets.values())) if targets else None
