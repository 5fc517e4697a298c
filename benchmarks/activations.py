"""Bytes that a network keeps for the way back, plainly and with its blocks computed again, and the time of a step."""

from __future__ import annotations

import time
from contextlib import nullcontext

import torch

from scorefield import nets
from scorefield.nets.recomputed import recomputed
from scorefield.numerics.random import normal


def main() -> None:
    torch.set_num_threads(1)
    cases = {
        "UNet 64x64, base 64": (nets.UNet((64, 64), 3, base=64, multipliers=(1, 2, 2), patch=2), (4, 3, 64, 64)),
        "transformer 64x64, depth 8": (nets.PatchTransformer((64, 64), 3, width=256, depth=8, patch=4), (4, 3, 64, 64)),
    }
    for name, (network, shape) in cases.items():
        x = normal(shape[0], shape[1:], 0, "data")
        weights = {p.data_ptr() for p in network.parameters()}
        for again in (False, True):
            kept: dict[int, int] = {}

            def pack(tensor: torch.Tensor, kept: dict[int, int] = kept, weights: set[int] = weights) -> torch.Tensor:
                if tensor.data_ptr() not in weights:
                    kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
                return tensor

            with recomputed(network) if again else nullcontext():
                with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                    answer = network(x, torch.tensor(0.0))
                answer.sum().backward()
                times = []
                for _ in range(3):
                    begun = time.process_time()
                    network(x, torch.tensor(0.0)).sum().backward()
                    times.append(time.process_time() - begun)
            print(f"{name}, {'again' if again else 'plain'}: {sum(kept.values()) / 1e6:.1f} MB, {min(times):.2f} s")


if __name__ == "__main__":
    main()
