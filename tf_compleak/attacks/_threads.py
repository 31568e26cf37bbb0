"""How many threads an attack may use."""

import os


def threads() -> int:
    """Threads that this process may use: OMP_NUM_THREADS, else all cores."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(given) if given.isdigit() and int(given) else os.cpu_count() or 1
