"""Muon: steps along orthogonal matrices, of AdamW's size; what is no matrix is AdamW's."""

from __future__ import annotations

import pytest
import torch

from scorefield.numerics.random import normal
from scorefield.numerics.threads import Workers
from scorefield.training.checkpoint import Settings
from scorefield.training.muon import Muon, orthogonal
from scorefield.training.optimizer import AdamW

SHAPES = [(32, 32), (64, 576), (300, 40), (33, 32)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "slack"), [(torch.float64, 0.0), (torch.float32, 1e-3)])
def test_singular_values_are_near_one_and_vectors_stay(
    shape: tuple[int, int], dtype: torch.dtype, slack: float
) -> None:
    """Of a matrix with singular values from 0.02 of its norm on, whatever its scale."""
    u, _, vh = torch.linalg.svd(normal(1, shape, 0, "matrix", dtype=torch.float64)[0], full_matrices=False)
    rank = min(shape)
    wanted = torch.linspace(1.0, 0.3, rank, dtype=torch.float64)
    assert float(wanted.min() / wanted.norm()) > 0.02
    for scale in (1e-6, 1.0, 1e6):
        found = orthogonal((scale * (u * wanted) @ vh)[None].to(dtype))[0].double()
        inside = u.T @ found @ vh.T
        values = inside.diagonal()
        assert float(values.min()) > 0.65 - slack and float(values.max()) < 1.25 + slack
        apart = inside - torch.diag(values)
        assert float(apart.abs().max()) < 1e-12 + slack


def test_zeros_and_rank_one_stay_what_they_are() -> None:
    found = orthogonal(torch.zeros(2, 32, 40))
    assert torch.equal(found, torch.zeros(2, 32, 40))
    a, b = normal(2, (32,), 0, "vectors", dtype=torch.float64)
    one = orthogonal((a[:, None] * b)[None])[0]
    assert torch.allclose(torch.linalg.svdvals(one)[1:], torch.zeros(31, dtype=torch.float64), atol=1e-12)


def test_a_step_has_the_size_of_adamws_and_each_layer_moves_alone() -> None:
    shapes = [(64, 32), (64, 32), (48, 8, 3, 3), (64,), (10, 64), (4, 100)]
    weights = [normal(s[0], s[1:], k, "weights") for k, s in enumerate(shapes)]
    gradients = [normal(s[0], s[1:], k, "gradients") for k, s in enumerate(shapes)]

    def stepped(optimizer: Muon | AdamW) -> list[torch.Tensor]:
        for p, g in zip(optimizer.parameters, gradients, strict=True):
            p.grad = g.clone()
        optimizer.step(1e-2)
        return [p - w for p, w in zip(optimizer.parameters, weights, strict=True)]

    ours = stepped(Muon([w.clone() for w in weights], 0.0))
    theirs = stepped(AdamW([w.clone() for w in weights], 0.0))
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if k < 3:
            assert 0.15 < float(a.square().mean().sqrt()) / 1e-2 < 0.25
            alone = Muon([weights[k].clone()], 0.0)
            alone.parameters[0].grad = gradients[k].clone()
            alone.step(1e-2)
            assert torch.allclose(alone.parameters[0] - weights[k], a, atol=1e-7)
        else:
            assert torch.equal(a, b)


def test_weights_without_a_gradient_stay_and_decay_shrinks_the_others() -> None:
    still, moved = torch.ones(32, 32), torch.ones(32, 32)
    optimizer = Muon([still, moved], weight_decay=0.5)
    moved.grad = torch.zeros(32, 32)
    optimizer.step(0.1)
    assert torch.equal(still, torch.ones(32, 32)) and torch.allclose(moved, torch.full((32, 32), 0.95))


@pytest.mark.parametrize("count", [2, 3, 9])
def test_layers_side_by_side_are_those_one_by_one(count: int) -> None:
    shapes = [(64, 32), (64, 32), (48, 40), (32, 8, 3, 3), (64,)]

    def stepped(over: Workers) -> list[torch.Tensor]:
        weights = [normal(s[0], s[1:], k, "weights") for k, s in enumerate(shapes)]
        optimizer = Muon(weights, 0.01)
        for k in range(2):
            for p in weights:
                p.grad = normal(len(p), p.shape[1:], k, "gradients")
            optimizer.step(1e-2, over)
        return weights

    with Workers(count) as over:
        together = stepped(over)
    for a, b in zip(together, stepped(Workers()), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="is 'adamw' or 'muon', got 'sgd'"):
        Settings(steps=1, optimizer="sgd")
