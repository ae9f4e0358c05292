"""Processes: supervisor, workers, leases and the event hub between them."""
