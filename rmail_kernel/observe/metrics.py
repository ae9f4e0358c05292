"""The kernel's own metrics (Prometheus). With PROMETHEUS_MULTIPROC_DIR set before import, all
processes count together.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

HOOK_ERRORS = Counter(
    "rmail_hook_errors_total",
    "Errors and missed deadlines of hook implementations",
    ["hook", "plugin"],
)
HOOK_SECONDS = Histogram(
    "rmail_hook_seconds", "Time of one hook implementation", ["hook", "plugin"]
)
DELIVERIES = Counter("rmail_deliveries_total", "Recipients by outcome", ["outcome"])
LOGINS = Counter("rmail_logins_total", "Logins by protocol and result", ["protocol", "result"])
CONNECTIONS = Gauge(
    "rmail_connections", "Open client connections", ["listener"], multiprocess_mode="livesum"
)
TASK_ERRORS = Counter("rmail_task_errors_total", "Background tasks that raised", ["task"])
LOOP_LAG = Histogram(
    "rmail_loop_lag_seconds",
    "How late the event loop ran a timer",
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2.0),
)
