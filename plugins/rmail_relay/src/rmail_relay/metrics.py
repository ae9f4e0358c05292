"""Metrics of outbound mail (Prometheus)."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from rmail_relay.outcome import Kind

RECIPIENTS = Counter(
    "rmail_relay_recipients_total", "Recipients of delivery attempts by outcome", ["outcome"]
)
COUNTERS = {kind: RECIPIENTS.labels(kind.value) for kind in Kind}
CONNECTIONS = Counter(
    "rmail_relay_connections_total",
    'Connections to other servers: "tls", "clear", "reused" or "failed"',
    ["result"],
)
ATTEMPT_SECONDS = Histogram(
    "rmail_relay_attempt_seconds",
    "Time of one delivery attempt",
    buckets=(0.05, 0.2, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0),
)
