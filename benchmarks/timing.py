"""How the benchmarks take time."""

import time
from collections.abc import Callable
from typing import Any


def best(work: Callable[[], Any], turns: int) -> float:
    """Seconds of the fastest of several turns: what the work costs when nothing is in its way."""
    taken = []
    for _ in range(turns):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)
