"""The rules of the settings: which domains go to which server."""

from __future__ import annotations

from rmail_relay.client.peer import Peer, Tls
from rmail_relay.config import RelaySettings, Smarthost


def rule_for(settings: RelaySettings, domain: str) -> tuple[str, Smarthost] | None:
    """The rule for a domain and its name; the exact one, the longest "*." one, the smarthost.

    None: straight to the mail exchangers.
    """
    if domain in settings.routes:
        return domain, settings.routes[domain]
    rest = domain
    while "." in rest:
        _, _, rest = rest.partition(".")
        if (found := settings.routes.get(f"*.{rest}")) is not None:
            return f"*.{rest}", found
    if settings.smarthost is not None:
        return "smarthost", settings.smarthost
    return None


def peer_of(rule: Smarthost) -> Peer:
    """The terms of a rule."""
    return Peer(
        rule.host.lower(),
        rule.port,
        Tls(rule.tls),
        is_verified=rule.verify,
        ca_file=rule.ca_file,
        username=rule.username,
        password="" if rule.password is None else rule.password.get_secret_value(),
    )
