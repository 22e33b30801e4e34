"""How the benchmarks take time: in CPU seconds of one thread, to which other work does not add."""

import time
from collections.abc import Callable
from typing import Any


def spent(work: Callable[[], Any]) -> float:
    """CPU seconds of one turn."""
    start = time.process_time()
    work()
    return time.process_time() - start


def best(work: Callable[[], Any], turns: int) -> float:
    """CPU seconds of the fastest of several turns: what the work costs with warm caches."""
    return min(spent(work) for _ in range(turns))
