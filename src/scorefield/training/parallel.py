"""Several processes as one: what the trainer needs of torch.distributed, and nothing where there is one process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from scorefield import _files


def rank() -> int:
    """This process's number, 0 to world - 1."""
    return dist.get_rank() if dist.is_initialized() else 0


def first_process() -> bool:
    """Whether this is the process that speaks: the only one, or torchrun's first, before and after they are joined."""
    return int(os.environ.get("RANK", "0")) == 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def process_group() -> Iterator[torch.device]:
    """Join the processes that torchrun started (gloo on CPUs, nccl on GPUs); yields this process's device.

    Without torchrun: one process, on the GPU if there is one.

    Raises:
        RuntimeError: when another process has ended.
    """
    gpu = torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if gpu else torch.device("cpu")
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield device
        return
    if gpu:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield device
    except RuntimeError as fault:
        if isinstance(fault, dist.DistError) or any(word in str(fault) for word in ("gloo", "NCCL")):
            raise RuntimeError(
                f"process {rank()} of {world()} no longer hears from another process of this training, which has ended "
                "or cannot be reached; what that one said tells why, and --resume goes on from the last checkpoint."
            ) from fault
        raise
    finally:
        dist.destroy_process_group()


def mean_over_processes(values: Sequence[float], device: torch.device) -> list[float]:
    """The mean of each number over the processes: the same answer in all of them."""
    if world() == 1:
        return list(values)
    total = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return (total / world()).tolist()


def wait_for_all() -> None:
    """Go on when every process is here."""
    if world() > 1:
        dist.barrier()


def whole(tensor: Tensor) -> Tensor:
    """A tensor as it is without sharding (FSDP2); every process must ask together."""
    full = getattr(tensor, "full_tensor", None)
    return full() if full is not None else tensor


def sharded_like(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor laid out as another one: moved to its device, and sharded where it is."""
    value = value.to(device=like.device)
    if hasattr(like, "full_tensor"):
        from torch.distributed.tensor import DTensor, distribute_tensor

        if isinstance(like, DTensor):
            return distribute_tensor(value, like.device_mesh, like.placements)
    return value


def parallel(model: nn.Module, sharded: bool) -> nn.Module:
    """The model as the processes train it together: DistributedDataParallel, FSDP2 in place, or itself if alone."""
    if world() == 1:
        return model
    if sharded:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        device = next(model.parameters()).device.type
        # sharded again after every forward pass, also those of held-out losses, which no backward pass follows
        fully_shard(model, mesh=init_device_mesh(device, (world(),)), reshard_after_forward=True)
        return model
    return nn.parallel.DistributedDataParallel(model)


@contextmanager
def gradients_of_part(model: nn.Module, last: bool) -> Iterator[None]:
    """Around a part of a batch: the processes add their gradients up once, with the last part.

    Args:
        model: as `parallel` gave it.
        last: whether it is the last part.
    """
    if isinstance(model, nn.parallel.DistributedDataParallel):
        with nullcontext() if last else model.no_sync():
            yield
        return
    sync = getattr(model, "set_requires_gradient_sync", None)  # of FSDP2
    if sync is not None:
        sync(last)
    yield


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for one writer; the lock ends with the process, however it ends.

    Raises:
        RuntimeError: when another process holds it.
    """
    if rank() != 0:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+b", buffering=0) as file:
        try:
            import fcntl
        except ImportError:  # no advisory locks on this system
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = (file.read() or b"").decode(errors="replace").strip() or "unknown"
            raise RuntimeError(
                f"{folder}: another process (pid {owner}) is training in this folder; wait for it, stop it, or take "
                "another folder."
            ) from None
        with _files.writing(folder / ".lock"):
            file.truncate(0)
            file.write(str(os.getpid()).encode())
            file.flush()
        for part in folder.glob(".*.tmp"):  # of a writer that was killed: nobody else writes here now
            part.unlink(missing_ok=True)
        try:
            yield
        finally:
            file.truncate(0)
