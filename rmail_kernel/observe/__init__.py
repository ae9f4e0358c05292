"""Logs, metrics and health of one process."""
