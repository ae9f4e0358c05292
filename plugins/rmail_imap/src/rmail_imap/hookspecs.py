"""The hooks of the IMAP plugin for other plugins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rmail_kernel.hooks import Mode, hook

if TYPE_CHECKING:
    from rmail_imap.additions import Extension
    from rmail_kernel.kernel import Kernel


@hook(Mode.COLLECT)
def register_imap_extensions(kernel: Kernel) -> Iterable[Extension] | None:
    """Commands, FETCH items and capabilities (`rmail_imap.extensions`). Called once in each
    process, before the first connection.

    A name that is taken stops the start. None and an empty list mean: none. Mark the
    implementation `@hookimpl(optionalhook=True)` if the plugin is of use without IMAP, too.
    """
