"""Accounts and authentication; `create_user` makes an account without a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rmail_kernel.auth.accounts import create_user

__all__ = ["create_user"]


def __getattr__(name: str) -> Any:
    if name != "create_user":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rmail_kernel.auth.accounts import create_user

    return create_user
