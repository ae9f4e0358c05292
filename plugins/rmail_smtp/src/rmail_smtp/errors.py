"""One table: each class of the kernel's error tree and its SMTP reply, found along the MRO."""

from __future__ import annotations

from rmail_kernel import errors
from rmail_kernel.errors import RmailError
from rmail_smtp.replies import Reply

# RFC 5321 4.2.3 (codes), RFC 3463 3 (status), RFC 4954 6 (authentication).
TABLE: dict[type[RmailError], tuple[int, str]] = {
    RmailError: (451, "4.3.0"),
    errors.Invalid: (501, "5.5.2"),
    errors.LimitReached: (452, "4.5.3"),  # RFC 5321 4.2.3, RFC 3463 3.6
    errors.NotFound: (550, "5.1.1"),
    errors.Conflict: (451, "4.3.0"),
    errors.Denied: (550, "5.7.1"),
    errors.AuthFailed: (535, "5.7.8"),
    errors.LockedOut: (454, "4.7.0"),
    errors.QuotaExceeded: (452, "4.2.2"),
    errors.TooLarge: (552, "5.3.4"),
    errors.RateLimited: (421, "4.7.0"),
    errors.ReadOnly: (451, "4.3.0"),
    errors.Temporary: (451, "4.3.0"),
    errors.Unsupported: (504, "5.5.4"),
    errors.Corrupt: (451, "4.3.0"),
    errors.ConfigError: (451, "4.3.5"),
    errors.PluginError: (451, "4.3.0"),
}
_CLOSING = 421


def reply_to(error: RmailError) -> Reply:
    """The reply for an error that rmail raised on purpose."""
    code, status = next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
    return Reply(code, status, error.safe, closes=code == _CLOSING)
