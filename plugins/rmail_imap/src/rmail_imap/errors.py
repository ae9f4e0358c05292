"""Errors on the wire: which response code a tagged NO carries for each error class.

RFC 3501 7.1, RFC 5530. Texts of foreign exceptions never go to a client.
"""

from __future__ import annotations

from typing import Final

from rmail_kernel import errors
from rmail_kernel.errors import Invalid, RmailError


class BadSyntax(Invalid):
    """The command is not IMAP, or not allowed now: answered with BAD (RFC 3501 7.1.3).

    Args:
        safe: what is wrong.
        code: response code, for instance b"TOOBIG".
    """

    def __init__(self, safe: str, code: bytes = b"") -> None:
        super().__init__(safe)
        self.code = code


class Refused(RmailError):
    """A NO whose response code the class of an error does not tell.

    Args:
        safe: why.
        code: response code, for instance b"TRYCREATE"; b"" for none.
    """

    def __init__(self, safe: str, code: bytes = b"") -> None:
        super().__init__(safe)
        self.code = code


class Goodbye(RmailError):
    """The connection ends: answered with an untagged BYE (RFC 3501 7.1.5).

    Args:
        safe: why.
        code: response code, b"" for none.
    """

    def __init__(self, safe: str, code: bytes = b"") -> None:
        super().__init__(safe)
        self.code = code


CODES: Final[dict[type[RmailError], bytes]] = {
    errors.Invalid: b"CANNOT",
    errors.LimitReached: b"LIMIT",  # RFC 5530 3
    errors.NotFound: b"NONEXISTENT",
    errors.Conflict: b"ALREADYEXISTS",
    errors.Denied: b"NOPERM",
    errors.AuthFailed: b"AUTHENTICATIONFAILED",
    errors.QuotaExceeded: b"OVERQUOTA",
    errors.TooLarge: b"TOOBIG",  # RFC 7889 4
    errors.RateLimited: b"LIMIT",
    errors.ReadOnly: b"NOPERM",
    errors.Temporary: b"UNAVAILABLE",
    errors.Unsupported: b"CANNOT",
    errors.Corrupt: b"CORRUPTION",
    errors.ConfigError: b"SERVERBUG",
    errors.PluginError: b"SERVERBUG",
}


def code_of(error: RmailError) -> bytes | None:
    """The response code of an error, found along its MRO; None for a class without an answer."""
    if isinstance(error, BadSyntax | Refused | Goodbye):
        return error.code
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), None)
