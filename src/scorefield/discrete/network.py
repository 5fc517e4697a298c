"""A network for sequences of tokens, and the model that it makes of what is known of the noise."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from scorefield.discrete.corruptions import Absorbing, Corruption
from scorefield.discrete.views import posterior
from scorefield.nets._embedding import Embedding, check_sizes
from scorefield.nets._init import conv, initialise, linear, lookup
from scorefield.nets.transformer import Block, places_of, standardised


class TokenTransformer(nn.Module):
    """A transformer `(n, L) int64 -> logits (n, L, K)` over single tokens; 0 before training.

    As `nets.PatchTransformer`, whose blocks it has, after a convolution that shows each token its neighbours.

    Args:
        length: L.
        states: S, what a token can be on its way in.
        size: K, what it can be on its way out.
        width: of a token's features.
        depth: blocks.
        kernel: tokens that the convolution looks at, odd.
        classes: K for int64 conditions `(n,)`, 0..K - 1 and K for none; 0 for a network without.
        seed: of the initialisation; torch's global generator is not touched.

    Example:
        >>> net = TokenTransformer(length=6, states=5, size=4, width=32, depth=1)
        >>> net(torch.zeros(3, 6, dtype=torch.int64), torch.tensor(0.0)).shape
        torch.Size([3, 6, 4])
    """

    places: Tensor

    def __init__(
        self,
        length: int,
        states: int,
        size: int,
        width: int = 128,
        depth: int = 3,
        kernel: int = 5,
        classes: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = {"length": length, "states": states, "size": size, "width": width, "depth": depth, "kernel": kernel}
        check_sizes(**sizes)
        if kernel % 2 == 0:
            raise ValueError(f"a network's kernel must be odd, got {kernel}.")
        self.config: dict[str, object] = {**sizes, "classes": classes, "seed": seed}
        self.length, self.states, self.size, e = length, states, size, min(128, width)
        self.embedding = Embedding(e, classes)
        self.tokens = lookup(states, width)
        self.near = conv(width, width, kernel, axes=1)
        self.blocks = nn.ModuleList(Block(width, e) for _ in range(depth))
        self.modulation, self.outputs = linear(e, 2 * width), linear(width, size)
        self.register_buffer("places", places_of([length], width).to(torch.get_default_dtype()), persistent=False)
        gates = [block.modulation for block in self.blocks if isinstance(block, Block)]
        initialise(self, seed, zero=[self.outputs, self.modulation, *gates])

    @property
    def classes(self) -> int:
        """Of the condition; 0 for none."""
        return self.embedding.classes

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None = None) -> Tensor:
        """Logits of each token, `(n, L, K)`, for a level feature 0-d or `(n,)`."""
        if x.ndim != 2 or x.shape[1] != self.length:
            raise ValueError(f"this network takes tokens of shape (n, {self.length}), got {tuple(x.shape)}.")
        h = self.tokens(x) + self.places
        e = self.embedding(h, level_feature, condition)
        h = h + gelu(self.near(h.mT).mT, approximate="tanh")
        for block in self.blocks:
            h = block(h, e)
        shift, scale = self.modulation(e)[:, None].chunk(2, dim=2)
        return self.outputs(standardised(h) * (1 + scale) + shift)


class TokenDenoiser(nn.Module):
    """A network as a `TokenModel`: `log p(x0_l | x)` from its logits by Bayes' rule (`views.posterior`).

    The network answers for `p(x0_l | the other tokens)`; what a token says of itself, by the known noise, is put in
    exactly: tokens that are seen stay what they are under `Absorbing`, and the answer is right at both ends under
    others. Under `Absorbing` the network is not told the noise, of which the answer does not depend (Ou and others
    2024).

    Args:
        network: `(x, level_feature, condition) -> (n, L, K)`.
        corruption: whose noise it knows.
    """

    def __init__(self, network: nn.Module, corruption: Corruption) -> None:
        super().__init__()
        self.network, self.corruption = network, corruption

    @property
    def classes(self) -> int:
        """Of the condition; 0 for none."""
        return int(getattr(self.network, "classes", 0))

    def forward(self, x: Tensor, total: Tensor, condition: Tensor | None = None) -> Tensor:
        """`log p(x0_l = k | x)`, `(n, L, K)`, for x `(n, L)` at a total of noise 0-d or `(n,)`."""
        dtype = next(self.network.parameters()).dtype
        feature = torch.expm1(total.to(x.device, dtype)).log()  # log of (1 - a) / a, a the share of tokens left
        if isinstance(self.corruption, Absorbing):
            feature = torch.zeros((), dtype=dtype, device=x.device)
        return posterior(self.corruption, self.network(x, feature, condition).to(dtype), x, total)
