"""SMTP receiving and submission: hook implementations, nothing else."""

from __future__ import annotations


class SmtpPlugin:
    """SMTP receiving and submission."""

    name = "smtp"
