"""A network from a file that anyone may have written: its sizes are held against its weights before they are made."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from scorefield._files import shown

Network = TypeVar("Network", bound=nn.Module)


def rebuilt(make: Callable[..., Network], config: object, weights: Mapping[str, Tensor]) -> Network:
    """The network of a stored configuration with its stored weights.

    No size can be greater than the number of weights, nor the number of blocks than that of tensors. What these bounds
    let through and might still be large is built without memory first (on the device "meta"), and its shapes compared.

    Args:
        make: a network's class.
        config: its arguments, as they were read.
        weights: its state, as it was read.

    Raises:
        ValueError: for arguments that it does not take, or that do not fit the weights.

    Example:
        >>> from scorefield.nets import ResidualMLP
        >>> net = ResidualMLP(3, width=16, depth=1)
        >>> rebuilt(ResidualMLP, net.config, net.state_dict()).config == net.config
        True
        >>> rebuilt(ResidualMLP, {**net.config, "width": 10**9}, net.state_dict())
        Traceback (most recent call last):
        ValueError: a network with width = 1000000000 does not have 2,915 weights.
    """
    if not isinstance(config, dict):
        raise ValueError(f"a network's configuration is a JSON object, got {shown(config)}.")
    most = sum(value.numel() for value in weights.values())
    for name, value in config.items():
        for number in _numbers(value):
            limit = len(weights) if name in ("depth", "blocks") else most
            if name != "seed" and not abs(number) <= limit:
                raise ValueError(f"a network with {shown(name)[1:-1]} = {shown(value)} does not have {most:,} weights.")
    if not _is_small(config, most):
        with torch.device("meta"):  # it takes a second to load what torch needs for it
            _check_shapes(make(**config), weights)
    network = make(**config)
    _check_shapes(network, weights)
    network.load_state_dict(dict(weights))
    return network


def _is_small(config: Mapping[str, object], most: int) -> bool:
    """Whether no matrix of these sizes is much larger than the weights that there are."""
    sizes = sorted(abs(number) for name, value in config.items() if name != "seed" for number in _numbers(value))
    return math.prod(sizes[-2:]) <= 16 * most


def _check_shapes(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            raise ValueError(
                f"the weights {shown(name)} have the shape {found.get(name, 'none')} and the configuration says "
                f"{wanted.get(name, 'none')}."
            )
        if not weights[name].is_floating_point():
            raise ValueError(f"the weights {shown(name)} are {weights[name].dtype} and should be floats.")


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, (int, float)):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _numbers(part)
