"""SMTP receiving and submission for rmail."""
