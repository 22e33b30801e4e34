"""Points measured on a Dask cluster, of local processes or an existing one.

This process alone writes results. A worker that dies takes no result along: Dask gives its point to
another one, and `Store.add` keeps the first outcome of each point.
"""

import contextlib
import logging
import os
import pkgutil
import signal
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import dask
from distributed import (
    Client,
    Future,
    KilledWorker,
    LocalCluster,
    WorkerPlugin,
    as_completed,
    get_worker,
)
from distributed.comm import get_address_host_port

from cosign import CosignError, processes, scratch
from flows.sweep.measure import Outcome, measure
from flows.sweep.search import Objectives, Search
from flows.sweep.spec import Point
from flows.sweep.store import Store, difference

_CONNECT_S = 10


class _EndTools(WorkerPlugin):
    """Yosys and its like end with the local worker that started them."""

    name = "cosign-end-tools"

    def teardown(self, worker: Any) -> None:
        processes.end_all()


@contextlib.contextmanager
def connected(scheduler: str | None, jobs: int | None) -> Iterator[Client]:
    """A client of the cluster at `scheduler`, or of `jobs` local processes (None: one for each
    CPU). Raises CosignError when nothing answers there, or no worker could do this work."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if scheduler is not None:
        with _client_of(scheduler) as client:
            if not client.nthreads():
                raise CosignError(
                    f"the scheduler at {scheduler} has no workers; start some with "
                    f"`dask worker {scheduler}`."
                )
            _check_workers(client)
            yield client
        return
    count = jobs or len(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(scratch("workers"))
        stack.enter_context(dask.config.set({"temporary-directory": str(place)}))
        with _signals_held():
            cluster = LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
        stack.enter_context(cluster)
        client = stack.enter_context(Client(cluster, set_as_default=False))
        client.register_plugin(_EndTools())
        yield client


def _client_of(scheduler: str) -> Client:
    try:
        get_address_host_port(scheduler)  # a Client of a wrong one takes long to give up
        return Client(scheduler, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise CosignError(
            f"no Dask scheduler answers at {scheduler} ({str(error).rstrip('.')}); start one with "
            "`dask scheduler` or leave out --scheduler."
        ) from error


def _check_workers(client: Client) -> None:
    """Raises CosignError when a worker cannot import what it is about to be sent: Dask would not
    tell, but send it again and again."""
    found = client.run(pkgutil.resolve_name, f"{measure.__module__}:__name__", on_error="return")
    for worker, answer in found.items():
        if isinstance(answer, Exception):
            raise CosignError(
                f"the worker at {worker} has not this cosign ({answer}); install the same version "
                "there."
            )


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Threads and processes that begin within the block never get what stops us; we do behind it.

    To Ctrl-C and its like the workers would answer with tracebacks, and without their tools.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, processes.STOPPING)
    try:
        resource_tracker.ensure_running()  # it lets signals through when it begins
        signal.pthread_sigmask(signal.SIG_BLOCK, processes.STOPPING)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(
    search: Search,
    store: Store,
    client: Client,
    tools: dict[str, Any],
    liberty: tuple[Path, ...],
    objectives: Callable[[Outcome], Objectives | None],
    report: Callable[[Point, Outcome | None, str], None],
) -> None:
    """Measure what `search` asks for until it asks for no more.

    tools : those of this machine; a worker's must be the same
    report : gets each point that is through, with its outcome, or None and why it failed. What
        failed is not kept: the next run tries again.

    Raises CosignError when the cluster is lost, or a worker has other tools.
    """
    flying: dict[Future, Point] = {}
    completed = as_completed(loop=client.loop)

    def fill() -> None:
        room = max(1, sum(client.nthreads().values())) - len(flying)
        for point in search.take(room):
            future = client.submit(_work, point, liberty, pure=False)
            flying[future] = point
            completed.add(future)

    fill()
    for future in completed:
        point = flying.pop(future)
        outcome, reason, worker = _landed(future)
        if outcome is not None:
            if (name := difference(tools, outcome.tools)) is not None:
                raise CosignError(
                    f"the worker at {worker} has another {name} than this machine; install the "
                    "same there."
                )
            store.add(point, outcome, worker)
        search.tell(point, None if outcome is None else objectives(outcome))
        report(point, outcome, reason)
        fill()


def _work(point: Point, liberty: tuple[Path, ...]) -> tuple[Outcome, str]:
    """(outcome, address of the worker)."""
    return measure(point, liberty), get_worker().address


def _landed(future: Future) -> tuple[Outcome | None, str, str]:
    """(outcome, why there is none, worker)."""
    if future.status in ("cancelled", "lost"):
        raise CosignError(
            "the Dask cluster is gone; what was measured is kept, run the same command again."
        )
    try:
        outcome, worker = future.result()
        return outcome, "", worker
    except CosignError as error:
        return None, str(error), ""
    except KilledWorker:
        return None, "its workers died again and again; give them more memory.", ""
