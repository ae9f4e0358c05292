"""All routes of the API, gathered from the modules of its resources."""

from __future__ import annotations

from rmail_api import (
    aliases,
    autoconfig,
    autodiscover,
    flags,
    folders,
    login,
    message,
    messages,
    password,
    send,
    user,
    users,
)
from rmail_kernel.http import Route
from rmail_kernel.kernel import Kernel

_MODULES = (
    login, folders, messages, message, flags, send, aliases, users, user, password, autoconfig,
    autodiscover,
)  # fmt: skip


def routes(kernel: Kernel) -> list[Route]:
    """The routes in the order of the API reference."""
    return [route for module in _MODULES for route in module.routes(kernel)]
