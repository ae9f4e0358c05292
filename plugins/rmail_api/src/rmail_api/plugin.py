"""The REST API: hook implementations, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmail_api.config import ApiSettings
from rmail_kernel import hookimpl

if TYPE_CHECKING:
    from rmail_kernel.http import Route
    from rmail_kernel.kernel import Kernel


class ApiPlugin:
    """The REST API."""

    name = "api"
    settings = ApiSettings

    @hookimpl
    def register_routes(self, kernel: Kernel) -> list[Route]:
        """All resources of the API."""
        from rmail_api.resources import routes

        return routes(kernel)
