"""Which mechanisms there are, and when they are offered. RFC 4422 3.1, 3.2."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rmail_kernel.auth.sasl.api import Exchange, Logins
from rmail_kernel.auth.sasl.bearer import OauthBearer, Xoauth2
from rmail_kernel.auth.sasl.password import Login, Plain
from rmail_kernel.auth.sasl.scram import Scram
from rmail_kernel.errors import Unsupported
from rmail_kernel.model import SessionInfo

_SIMPLE: dict[str, Callable[[Logins, SessionInfo], Exchange]] = {
    "PLAIN": Plain,
    "LOGIN": Login,
    "OAUTHBEARER": OauthBearer,
    "XOAUTH2": Xoauth2,
}
SCRAM = "SCRAM-SHA-256"
SCRAM_PLUS = "SCRAM-SHA-256-PLUS"


def names(*, has_scram: bool, is_bindable: bool) -> list[str]:
    """The mechanisms that are offered, strongest first among those of one kind.

    Args:
        has_scram: whether keys are kept. is_bindable: whether the channel is known by anything.
    """
    scram = [SCRAM_PLUS, SCRAM] if is_bindable else [SCRAM]
    return [*(scram if has_scram else ()), *_SIMPLE]


def begin(
    name: str,
    logins: Logins,
    session: SessionInfo,
    *,
    has_scram: bool,
    bindings: Mapping[str, bytes] | None,
) -> Exchange:
    """A new exchange.

    Args:
        name: of the mechanism, in any case.

    Raises:
        Unsupported: it is not offered.
    """
    name = name.upper()
    if name not in names(has_scram=has_scram, is_bindable=bindings is not None):
        raise Unsupported("This mechanism is not supported")
    if name in _SIMPLE:
        return _SIMPLE[name](logins, session)
    return Scram(logins, session, bindings, is_bound=name == SCRAM_PLUS)
