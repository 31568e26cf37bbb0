"""How many threads an attack may use."""

import os


def threads() -> int:
    """Threads that this process may use: OMP_NUM_THREADS, else all cores."""
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(limit) if limit.isdigit() and int(limit) else os.cpu_count() or 1
