"""The `rmail` command. Only what `rmail --help` needs is imported here; the module of a command is
imported when the command is called.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; its exit code: 0 done, 1 failed, 2 wrong use or bad configuration.

    Args:
        arguments: what follows the name of the program; default: those of this process.
    """
    from rmail_kernel.cli import app

    return app.run(list(sys.argv[1:] if arguments is None else arguments))
