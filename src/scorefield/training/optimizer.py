"""AdamW as one kernel over all parameters: torch.optim without what its first use imports, a second's worth."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scorefield.numerics.threads import ALONE, Workers

BETAS = (0.9, 0.99)
_EPS = 1e-8


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): `torch.optim.AdamW(fused=True)`, bit for bit.

    `torch.optim` loads the compiler on first use, 1.5 s of processor time that a short training does not have.

    Args:
        parameters: to train; of sharded ones (FSDP2) each process steps its own part.
        weight_decay: per unit of the learning rate.

    Example:
        >>> p = torch.ones(2, requires_grad=True)
        >>> p.grad = torch.tensor([1.0, -2.0])
        >>> AdamW([p], weight_decay=0.0).step(0.1)
        >>> p.tolist()
        [0.8999999761581421, 1.100000023841858]
    """

    def __init__(self, parameters: Sequence[Tensor], weight_decay: float) -> None:
        self.parameters, self.weight_decay = list(parameters), weight_decay
        self.state: dict[Tensor, dict[str, Tensor]] = {
            p: {
                "step": torch.zeros((), device=p.device),
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.zeros_like(p),
            }
            for p in self.parameters
        }

    @torch.no_grad()
    def step(self, rate: float, over: Workers = ALONE) -> None:
        """One step along the gradients, at a learning rate; parameters without one stay. `over` is for `Muon`."""
        moved = [p for p in self.parameters if p.grad is not None]
        if not moved:
            return
        states = [self.state[p] for p in moved]
        steps = [s["step"] for s in states]
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            [_local(p) for p in moved],
            [_local(p.grad) for p in moved if p.grad is not None],
            [_local(s["exp_avg"]) for s in states],
            [_local(s["exp_avg_sq"]) for s in states],
            [],
            steps,
            lr=rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=self.weight_decay,
            eps=_EPS,
            amsgrad=False,
            maximize=False,
        )


def _local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor that is sharded; others as they are."""
    part: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return part


@torch.no_grad()
def clip(parameters: Sequence[Tensor], most: float) -> None:
    """Shorten the gradients together to a norm of `most` at most: `torch.nn.utils.clip_grad_norm_`, bit for bit."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    factor = (most / (norm + 1e-6)).clamp(max=1.0)
    if factor.device.type != "cpu" or float(factor) != 1:  # a device is not waited for
        torch._foreach_mul_(gradients, factor)


def clear(parameters: Sequence[Tensor]) -> None:
    """Forget the gradients."""
    for p in parameters:
        p.grad = None
