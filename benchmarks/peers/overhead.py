"""The samplers whose cost over the bare network is measured: this library's and the peers'."""

from __future__ import annotations

from overhead import Sampler, ours  # benchmarks/overhead.py
from torch import Tensor, nn

from peers import azula, diffusers, kdiffusion

KINDS = {
    "azula": (azula, ("DDIM", "vAB3", "DDPM")),
    "k-diffusion": (kdiffusion, ("Euler", "DPM++ 2M", "DPM++ 2M SDE")),
    "diffusers": (diffusers, ("Euler", "DPM++ 2M", "UniPC2", "DPM++ 2M SDE")),
}
"""Of each package the simplest, a multistep and a stochastic one."""


def samplers(network: nn.Module) -> dict[str, Sampler]:
    """By 'package: sampler'; a peer's loop has the cheapest denoiser round the network, ours the library's own."""

    def net(x: Tensor, feature: Tensor) -> Tensor:
        answer: Tensor = network(x, feature.float(), None)
        return answer

    made = {f"scorefield: {name}": sampler for name, sampler in ours(network).items()}
    for package, (module, kinds) in KINDS.items():
        made |= {f"{package}: {kind}": module.loop(net, kind) for kind in kinds}
    return made
