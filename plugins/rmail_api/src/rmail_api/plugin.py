"""The REST API: hook implementations, nothing else."""

from __future__ import annotations


class ApiPlugin:
    """The REST API."""

    name = "api"
