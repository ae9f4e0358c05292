"""The error tree: what can go wrong, in the words of no protocol.

`safe` may be shown to a client, `fields` go to the log only. A plugin maps these classes to its
own wire form in one table (its `errors.py`); no protocol code belongs here.
"""

from __future__ import annotations


class RmailError(Exception):
    """Base of every error that rmail raises on purpose.

    Args:
        safe: one sentence that may be sent to a client.
        fields: details for the log (never sent to a client).
    """

    def __init__(self, safe: str = "", **fields: object) -> None:
        super().__init__(safe or self.__class__.__name__)
        self.safe = safe or self.__class__.__name__
        self.fields = fields


class Invalid(RmailError):
    """The request is malformed or a value is out of its range."""


class LimitReached(Invalid):
    """There are as many of these as there may be, whoever asks."""


class NotFound(RmailError):
    """The named account, mailbox, message or object does not exist."""


class Conflict(RmailError):
    """The object exists already, or changed since the caller looked."""


class Denied(RmailError):
    """The principal is known and may not do this."""


class AuthFailed(RmailError):
    """Wrong login or secret, or the account is disabled. One message for all of them."""


class LockedOut(AuthFailed):
    """Too many failures; `retry_after_s` tells how long to wait."""

    def __init__(self, safe: str = "Too many failed logins", *, retry_after_s: float) -> None:
        super().__init__(safe, retry_after_s=retry_after_s)
        self.retry_after_s = retry_after_s


class QuotaExceeded(RmailError):
    """The account has no room for it."""


class TooLarge(RmailError):
    """A limit on one object, line, literal or list was passed."""


class RateLimited(RmailError):
    """Too often; `retry_after_s` tells how long to wait."""

    def __init__(self, safe: str = "Too many requests", *, retry_after_s: float) -> None:
        super().__init__(safe, retry_after_s=retry_after_s)
        self.retry_after_s = retry_after_s


class ReadOnly(RmailError):
    """The mailbox or store does not take changes."""


class Temporary(RmailError):
    """It did not work now; the same request may work later. Nothing is half-done."""


class Unsupported(RmailError):
    """Understood and deliberately not offered."""


class Corrupt(RmailError):
    """Stored data cannot be read; it was kept aside, never dropped."""


class ConfigError(RmailError):
    """A setting is wrong; `path` is its dotted name, for example `smtp.port`."""

    def __init__(self, safe: str, *, path: str = "") -> None:
        super().__init__(f"{path}: {safe}" if path else safe, path=path)
        self.path = path


class PluginError(RmailError):
    """A plugin is missing, fails to import, clashes with another or implements an unknown hook."""

    def __init__(self, safe: str, *, plugin: str) -> None:
        super().__init__(f"plugin {plugin}: {safe}", plugin=plugin)
        self.plugin = plugin
