"""Alias rules as a built-in plugin: a local part that matches a rule of its domain stands for the
rule's target.

Sees addresses that are no account. Chains of rules are followed, and bounded, by the delivery
service, never here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from rmail_kernel.errors import Invalid
from rmail_kernel.hooks import hookimpl
from rmail_kernel.model import Address
from rmail_kernel.storage.accounts import Alias
from rmail_kernel.storage.patterns import Pattern, compile_pattern

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

_log = structlog.get_logger("rmail.aliases")
_Rule = tuple[Pattern, Address]


class AliasPlugin:
    """Answers `on_resolve` from the directory's rules, in the order in which they apply."""

    name = "aliases"

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._compiled: dict[str, tuple[Sequence[Alias], list[_Rule]]] = {}

    @hookimpl
    async def on_resolve(self, address: Address) -> list[Address] | None:
        """The target of the first rule that matches the whole local part; None: none does."""
        for pattern, target in await self._rules(address.domain):
            if pattern.fullmatch(address.local) is not None:
                return [target]
        return None

    async def _rules(self, domain: str) -> list[_Rule]:
        """Compiled anew only when the directory gives other rules than before."""
        aliases = await self._kernel.directory.aliases(domain)
        if not aliases:
            self._compiled.pop(domain, None)
            return []
        known = self._compiled.get(domain)
        if known is None or (known[0] is not aliases and known[0] != aliases):
            rules = [rule for alias in aliases if (rule := _compile(domain, alias)) is not None]
            known = self._compiled[domain] = (aliases, rules)
        return known[1]


def _compile(domain: str, alias: Alias) -> _Rule | None:
    """A rule that was edited into nonsense is skipped; the others go on."""
    try:
        pattern = compile_pattern(alias.pattern)
        target = alias.target if "@" in alias.target else f"{alias.target}@{domain}"
        return pattern, Address.parse(target)
    except Invalid as error:
        _log.error("alias skipped", domain=domain, pattern=alias.pattern, reason=error.safe)
        return None
