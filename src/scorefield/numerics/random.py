"""Counter-based random streams: the noise of sample i is a pure function of (seed, purpose, i, row)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as int64: the odd constant of splitmix64 (Steele, Lea, Flood 2014)
_MIX1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX2 = -7723592293110705685  # 0x94D049BB133111EB
_LOW32 = 0xFFFFFFFF


def _mix(h: Tensor) -> Tensor:
    """The finaliser of splitmix64 on int64 bit patterns; shifts are made logical by masks. h is kept."""
    h = (h >> 30).bitwise_and_(0x3FFFFFFFF).bitwise_xor_(h).mul_(_MIX1)
    h = (h >> 27).bitwise_and_(0x1FFFFFFFFF).bitwise_xor_(h).mul_(_MIX2)
    return (h >> 31).bitwise_and_(0x1FFFFFFFF).bitwise_xor_(h)


def _wrap(value: int) -> int:
    """A Python integer as the int64 with the same low 64 bits."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _key(seed: int | Tensor, purpose: str, device: torch.device) -> int | Tensor:
    if isinstance(seed, Tensor):
        own, place = seed.to("cpu", torch.int64).unique(return_inverse=True)
        keys = torch.tensor([_key_of(int(one), purpose) for one in own], dtype=torch.int64)
        return keys[place].to(device)
    return _key_of(seed, purpose)


def _key_of(seed: int, purpose: str) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed must be an int, got {type(seed).__name__}; give one, for example seed=0.")
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _bits(index: Tensor, count: int, seed: int | Tensor, purpose: str, row: int) -> Tensor:
    """`(n, count)` of 64 random bits: a pure function of (seed, purpose, index[i], row, column)."""
    device = index.device
    h = _mix(_mix(index * _GOLDEN + _key(seed, purpose, device)) + _wrap((row + 1) * _GOLDEN))
    column = torch.arange(1, count + 1, device=device) * _GOLDEN
    return _mix(h[:, None] + column)


def _index(n: int, first: int | Tensor, device: torch.device | str) -> Tensor:
    if isinstance(first, Tensor):
        return first.to(device=device, dtype=torch.int64)
    return torch.arange(first, first + n, device=device)


def uniform(
    n: int,
    shape: Sequence[int],
    seed: int | Tensor,
    purpose: str,
    *,
    first: int | Tensor = 0,
    row: int = 0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Uniform numbers in the open interval (0, 1), `(n, *shape)`.

    Sample i is a pure function of (seed, purpose, first + i, row), whatever the batch. float64 has 53 random bits;
    float32 has 23, so that neither end is reached.

    Args:
        seed: one for all, or an int64 tensor `(n,)`, one for each sample.
        first: index of the first sample, or an int64 tensor `(n,)` of sample indices.
        row: which draw of this purpose: the row of a plan, the step of a chain.
    """
    count = math.prod(shape)
    bits = _bits(_index(n, first, device), count, seed, purpose, row)
    kept = 52 if dtype == torch.float64 else 23
    whole = (bits >> (64 - kept)) & ((1 << kept) - 1)
    return ((whole.to(torch.float64) + 0.5) * 2.0**-kept).to(dtype).reshape(n, *shape)


def normal(
    n: int,
    shape: Sequence[int],
    seed: int | Tensor,
    purpose: str,
    *,
    first: int | Tensor = 0,
    row: int = 0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Standard normal numbers, `(n, *shape)`, by Box and Muller (1958) from a counter-based stream.

    Sample i is a pure function of (seed, purpose, first + i, row), whatever the batch; the float32 numbers are the
    float64 ones up to rounding. Arguments as `uniform`.
    """
    count = math.prod(shape)
    bits = _bits(_index(n, first, device), (count + 1) // 2, seed, purpose, row)
    work = torch.float64 if dtype == torch.float64 else torch.float32
    radius = (bits & _LOW32).to(work).add_(0.5).mul_(2.0**-32).log_().mul_(-2).clamp_(min=0).sqrt_()
    angle = bits.bitwise_right_shift_(32).to(work).mul_(math.pi * 2.0**-31)
    z = torch.empty(n, 2 * bits.shape[1], dtype=work, device=bits.device)
    torch.mul(radius, angle.cos(), out=z[:, : bits.shape[1]])
    torch.mul(radius, angle.sin_(), out=z[:, bits.shape[1] :])
    return z[:, :count].to(dtype).reshape(n, *shape)


def noise_like(x: Tensor, seed: int | torch.Generator | None, purpose: str) -> Tensor:
    """Standard normal noise of x's shape, dtype and device from an int seed (counter-based) or a torch.Generator.

    Raises:
        TypeError: when seed is neither.
    """
    if isinstance(seed, torch.Generator):
        return torch.randn(x.shape, generator=seed, dtype=x.dtype, device=x.device)
    if seed is None:
        raise TypeError("noise is drawn here, so a seed is required: give seed=0 (an int) or a torch.Generator.")
    return normal(len(x), x.shape[1:], seed, purpose, dtype=x.dtype, device=x.device)
