"""The way of mail for an address, as `rmail alias test` shows it: rules, accounts, other servers.

It asks the plugins as a running server does, but starts none of them and delivers nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rmail_kernel import plugins
from rmail_kernel.cli.session import Session
from rmail_kernel.delivery.aliases import AliasPlugin
from rmail_kernel.delivery.resolve import MAX_DEPTH, Resolver
from rmail_kernel.model import Address
from rmail_kernel.net.resolver import Resolver as Dns


@dataclass(frozen=True, slots=True)
class Way:
    """Where mail for an address goes.

    Attributes:
        steps: what each address on the way stands for.
        accounts: local accounts. elsewhere: foreign addresses with the route that mail takes,
            None where no plugin sends mail out.
        refusal: why it would be refused, as code, status and text; None: it would not.
    """

    address: str
    steps: list[tuple[str, list[str]]] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    elsewhere: dict[str, list[str] | None] = field(default_factory=dict)
    refusal: str | None = None

    @property
    def is_refused(self) -> bool:
        """Whether one who sends to the address would be told no, for one destination at least."""
        routes = self.elsewhere.values()
        return self.refusal is not None or any(
            route is None or route[0].startswith("refused:") for route in routes
        )

    def lines(self) -> list[tuple[str, str, str]]:
        """Rows for people."""
        rows = [("alias", one, ", ".join(others)) for one, others in self.steps]
        rows += [("account", account, "the mailbox") for account in self.accounts]
        rows += [
            ("route", address, "nobody sends mail out" if route is None else " ".join(route))
            for address, route in self.elsewhere.items()
        ]
        if self.refusal is not None:
            rows.append(("refused", self.address, self.refusal))
        return rows


async def way_of(session: Session, address: Address) -> Way:
    """The way of mail for an address.

    Raises:
        PluginError: a plugin cannot be loaded. Temporary: one could not say now.
    """
    kernel = session.kernel
    dns = session.settings.dns
    plugins.load(kernel.bus, session.settings.plugins)
    kernel.bus.register(AliasPlugin(kernel), "aliases")
    kernel.resolver = Dns(dns.servers, timeout_s=dns.timeout_s, clock=kernel.clock)
    found = await Resolver(kernel).resolve(address)
    elsewhere = {
        str(external): await kernel.bus.first(
            "on_outbound_route", kernel=kernel, recipient=external
        )
        for external in found.external.values()
    }
    refusal = found.refusal
    told = f"{refusal.code} {refusal.status} {refusal.text}" if refusal is not None else None
    accounts = [str(account.address) for account in found.accounts.values()]
    return Way(str(address), await _steps(session, address), accounts, elsewhere, told)


async def _steps(session: Session, address: Address) -> list[tuple[str, list[str]]]:
    """What addresses stand for, one after the other; bounded as delivery is."""
    steps: list[tuple[str, list[str]]] = []
    level, seen = [address], {address.key}
    for _ in range(MAX_DEPTH):
        following = []
        for one in level:
            if await session.directory.get(one) is not None:
                continue
            if not await session.directory.has_domain(one.domain):
                continue
            targets = list(await session.kernel.bus.first("on_resolve", address=one) or ())
            if targets:
                steps.append((str(one), [str(target) for target in targets]))
            following += [target for target in targets if target.key not in seen]
            seen.update(target.key for target in targets)
        level = following
    return steps
