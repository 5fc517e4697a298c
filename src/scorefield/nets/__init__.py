"""Networks: `forward(x (n, *shape), level_feature, condition=None) -> raw` of x's shape.

`level_feature = log(sigma / alpha)`, 0-d or `(n,)`, is all that a network gets of the noise; what raw means is the
target's business (`scorefield.denoiser`). A `ScalarMLP` answers with one number per sample, for `Energy`. Every network
has a `config`, from which files rebuild it.

What may enter: an architecture, with its row in `NETWORKS`; it imports nothing of the library but `_tensor`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from difflib import get_close_matches

from torch import Tensor, nn

from scorefield._files import shown
from scorefield.nets._stored import rebuilt
from scorefield.nets.defaults import network_for
from scorefield.nets.mlp import ResidualMLP, ScalarMLP
from scorefield.nets.transformer import PatchTransformer
from scorefield.nets.unet import UNet, unet_config

__all__ = [
    "NETWORKS",
    "PatchTransformer",
    "ResidualMLP",
    "ScalarMLP",
    "UNet",
    "build",
    "name_of",
    "network_for",
    "rebuilt",
    "restored",
]

NETWORKS: dict[str, type[nn.Module]] = {
    "patch-transformer": PatchTransformer,
    "residual-mlp": ResidualMLP,
    "scalar-mlp": ScalarMLP,
    "unet": UNet,
}
"""Names for files and the command line; library code takes the classes."""


def build(name: str, config: Mapping[str, object]) -> nn.Module:
    """The network of that name in `NETWORKS` with these constructor arguments: the inverse of name_of and .config.

    Raises:
        ValueError: for a name that is not in the table, or arguments that the network does not take.

    Example:
        >>> net = ResidualMLP(3, width=16, depth=1)
        >>> build(name_of(net), net.config).config == net.config
        True
    """
    kind = _kind(name)
    signature = inspect.signature(kind)
    try:
        signature.bind(**config)
    except TypeError as error:
        takes = ", ".join(signature.parameters)
        raise ValueError(f"the configuration does not fit the network {name!r}: {error}; it takes {takes}.") from None
    return kind(**config)


def restored(name: str, config: object, weights: Mapping[str, Tensor]) -> nn.Module:
    """The network of that name with the stored configuration and weights, see `rebuilt`; errors as `build`."""
    kind = _kind(name)
    if kind is UNet and isinstance(config, dict):
        config = unet_config(config)
    return rebuilt(kind, config, weights)


def _kind(name: str) -> type[nn.Module]:
    if not isinstance(name, str) or name not in NETWORKS:
        near = get_close_matches(str(name), NETWORKS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "use one of these."
        raise ValueError(f"no network is called {shown(name)}; there are {', '.join(map(repr, NETWORKS))}: {hint}")
    return NETWORKS[name]


def name_of(network: nn.Module) -> str:
    """The name of a network's class in `NETWORKS`.

    Raises:
        ValueError: for a class that is not in the table.
    """
    for name, kind in NETWORKS.items():
        if type(network) is kind:
            return name
    kinds = ", ".join(kind.__name__ for kind in NETWORKS.values())
    raise ValueError(
        f"{type(network).__name__} has no name in scorefield.nets.NETWORKS, which files need; "
        f"use one of {kinds}, or add it to the table."
    )
