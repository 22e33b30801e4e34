"""Training in several processes that `torchrun` started: who is who, and what all agree on.

A program that torchrun did not start is alone: `rank()` 0 of `world()` 1, and everything here
returns what it was given.
"""

import contextlib
import os
from collections.abc import Iterator

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from cosign import CosignError


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Be one of torchrun's processes within the block: NCCL between GPUs, gloo between CPUs.

    Raises CosignError when the machine has fewer GPUs than processes.
    """
    if not started():
        yield
        return
    where = device()
    if where.type == "cuda":
        torch.cuda.set_device(where)
    distributed.init_process_group("nccl" if where.type == "cuda" else "gloo")
    try:
        yield
        distributed.barrier()  # nobody hangs up while another still listens
    finally:
        distributed.destroy_process_group()


def started() -> bool:
    """Whether torchrun started this process; it says so in the environment."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def on_this_machine() -> tuple[int, int]:
    """The process's number on its machine, and how many are there."""
    return int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))


@contextlib.contextmanager
def first() -> Iterator[None]:
    """Rank 0 goes through the block alone, then all others: what it fetches, they find.

    Where it fails they never begin, so that one sentence tells what is wrong.
    """
    if rank() > 0:
        agreed(True)
    yield
    if rank() == 0:
        agreed(True)


def device() -> torch.device:
    """This process's GPU; the CPU on machines without."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number, count = on_this_machine()
    if count > torch.cuda.device_count():
        raise CosignError(
            f"torchrun started {count} processes for {torch.cuda.device_count()} GPUs; give "
            "--nproc-per-node their number."
        )
    return torch.device("cuda", number)


def world() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def data_parallel(network: nn.Module) -> nn.Module:
    """The network with rank 0's weights, its gradients averaged over all processes."""
    return network if world() == 1 else DistributedDataParallel(network)


def total(value: float) -> float:
    """The sum of everyone's `value`, the same bits for all."""
    if world() == 1:
        return value
    tensor = torch.tensor(value, dtype=torch.float64, device=device())
    distributed.all_reduce(tensor)
    return float(tensor)


@torch.no_grad()
def of_first(value: Tensor) -> Tensor:
    """Rank 0's `value`, written over everyone's."""
    if world() > 1:
        dense = value.contiguous()
        distributed.broadcast(dense, 0)
        value.copy_(dense)
    return value


def agreed(value: bool) -> bool:
    """What rank 0 says; nobody goes on before it has."""
    return bool(of_first(torch.tensor(int(value), device=device())))
