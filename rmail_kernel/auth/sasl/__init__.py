"""SASL exchanges, the same for every protocol (RFC 4422): bytes in, a challenge or a principal out.

Base64, lines, cancelling and what success looks like are the protocol's own. `rmail_kernel.auth`
offers the mechanisms; protocols decide whether logins are possible at all on their connection.
"""

from rmail_kernel.auth.sasl.api import Challenge, Exchange

__all__ = ["Challenge", "Exchange"]
