"""Parts of a batch side by side: the same answers as at once to rounding, and nothing left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from scorefield import levels, plans, train
from scorefield.denoiser import Denoiser
from scorefield.nets import PatchTransformer, ResidualMLP, UNet
from scorefield.numerics.random import normal
from scorefield.numerics.threads import Workers, cut, shares
from scorefield.objectives import EDM
from scorefield.objectives.batch import Draws, Multilevel
from scorefield.records.draws import encoded_draws
from scorefield.training.checkpoint import Settings
from scorefield.training.gradients import Batch, descend, parts_of
from scorefield.training.loop import default_levels
from scorefield.training.precision import Precision

CPU = torch.device("cpu")
NETWORKS = {
    "unet": lambda: UNet((6, 5), base=8, multipliers=(1, 2), blocks=1, classes=3),
    "transformer": lambda: PatchTransformer((6, 5), width=16, depth=1, patch=2, classes=3),
}


@pytest.fixture(params=[2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many threads of torch, for this test."""
    usual = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(usual)


def shaken(network: nn.Module) -> Denoiser:
    """A model whose weights are not 0, in float64."""
    with torch.no_grad():
        for name, p in network.named_parameters():
            p.add_(0.1 * normal(len(p), p.shape[1:], 3, name))
    return Denoiser(network, sigma_max=20.0).double()


def a_batch(n: int) -> Batch:
    x0, noise = (normal(n, (1, 6, 5), seed, "batch", dtype=torch.float64) for seed in (0, 1))
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return Batch(x0, Draws(noise, u, torch.arange(n)), torch.arange(n) % 4)


def found(model: Denoiser, batch: Batch, size: int) -> tuple[Tensor, list[Tensor | None]]:
    """The losses of a batch and the gradients of their mean."""
    objective = Multilevel(default_levels(0.01, 20.0), EDM(1.0))
    with Workers(parts_of(model, size, batch.x0.shape[1:], CPU)) as over:
        losses = descend(model, objective, Precision("float32"), batch, over)
    return losses, [p.grad for p in model.parameters()]


@pytest.mark.parametrize("n", [32, 49, 100])
@pytest.mark.parametrize("kind", NETWORKS)
def test_gradients_in_parts_are_those_at_once(kind: str, n: int, threads: int) -> None:
    batch = a_batch(n)
    assert min(threads, n // 16) > 1
    losses, parts = found(shaken(NETWORKS[kind]()), batch, n)
    torch.set_num_threads(1)
    whole, at_once = found(shaken(NETWORKS[kind]()), batch, n)
    assert torch.allclose(losses, whole, rtol=1e-12)
    for a, b in zip(parts, at_once, strict=True):
        assert a is not None and b is not None
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12 * float(b.abs().max()))


def test_trained_in_parts_and_resumed_bit_for_bit(threads: int, tmp_path: Path) -> None:
    x, classes = normal(64, (1, 6, 5), 0, "data"), torch.arange(64) % 3
    settings = Settings(steps=4, batch=48, checkpoint_every=1e-9)

    def model() -> Denoiser:
        return Denoiser(NETWORKS["unet"](), sigma_max=20.0)

    whole, resumed, once = model(), model(), model()
    list(train(whole, x, condition=classes, settings=settings))
    file = tmp_path / "checkpoint.safetensors"
    for progress in train(model(), x, condition=classes, settings=settings, checkpoint=file):
        if progress.step == 2:
            break
    list(train(resumed, x, condition=classes, settings=settings, checkpoint=file, resume=True))
    torch.set_num_threads(1)
    list(train(once, x, condition=classes, settings=settings))
    for a, b, c in zip(whole.parameters(), resumed.parameters(), once.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.allclose(a, c, atol=1e-4)


def test_other_networks_are_not_cut(threads: int) -> None:
    """A batch norm sees all samples: its gradients must not change with the number of threads."""
    seen = []

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.norm = UNet((6, 5), base=8, multipliers=(1,), blocks=1), nn.BatchNorm2d(1)

        def forward(self, x: Tensor, level: Tensor, condition: Tensor | None = None) -> Tensor:
            seen.append(len(x))
            return self.norm(self.inner(x, level))

    found(Denoiser(Counting(), sigma_max=20.0).double(), a_batch(64), 64)
    assert seen == [64]
    batch = a_batch(64)
    rows = Batch(batch.x0.flatten(1), Draws(batch.draws.noise.flatten(1), *batch.draws[1:]), None)
    found(Denoiser(ResidualMLP(30, width=8, depth=1), sigma_max=20.0).double(), rows, 64)


@pytest.mark.parametrize("n", [1, 17, 40])
def test_draws_in_parts_are_those_at_once(n: int, threads: int) -> None:
    """Each is a function of its number alone, in a plan with noise of its own; a smaller batch changes nothing."""
    model, classes = shaken(NETWORKS["unet"]()).eval(), torch.arange(n) % 3
    plan = plans.ddim(levels.log_uniform(4, 10.0, 0.05), eta=1.0)

    def drawn(batch: int = 1024) -> Tensor:
        like = next(model.parameters())
        parts = encoded_draws(
            model, plan, (1, 6, 5), n, std=1.0, like=like, seed=2, first=5, condition=classes, batch=batch
        )
        return torch.cat(list(parts))

    found, small = drawn(), drawn(18)
    torch.set_num_threads(1)
    once = drawn()
    assert found.shape == (n, 1, 6, 5)
    assert torch.allclose(found, once, rtol=1e-10, atol=1e-10) and torch.allclose(small, once, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("n", "parts"), [(7, 1), (7, 2), (7, 7), (100, 3)])
def test_the_parts_of_a_batch_hold_each_row_once(n: int, parts: int) -> None:
    rows = [torch.arange(n)[part] for part in cut(n, parts)]
    assert torch.equal(torch.cat(rows), torch.arange(n)) and len(rows) == parts
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_as_many_parts_as_threads_of_a_processor_and_none_too_small(threads: int) -> None:
    assert [shares(n, 16, CPU) for n in (0, 31, 32, 10**6)] == [1, 1, 2, threads]
    assert shares(10**6, 16, torch.device("meta")) == 1


def test_few_parts_have_several_threads_of_the_processor_each(threads: int) -> None:
    torch.set_num_threads(2 * threads + 1)
    with Workers(threads) as over:
        assert over(lambda _: torch.get_num_threads(), range(threads)) == [2] * threads
    assert torch.get_num_threads() == 2 * threads + 1


def test_an_error_in_a_part_ends_all_of_them_and_gives_the_threads_back(threads: int) -> None:
    done: list[int] = []

    def work(part: int) -> int:
        assert torch.get_num_threads() == 1
        if part == bad:
            raise ValueError(f"part {part}")
        done.append(part)
        return threading.get_ident()

    for bad in range(threads):
        done.clear()
        with Workers(threads) as over, pytest.raises(ValueError, match=f"part {bad}"):
            over(work, range(threads))
        assert sorted(done) == [part for part in range(threads) if part != bad]
        assert torch.get_num_threads() == threads
    bad = -1
    with Workers(threads) as over:
        who = over(work, range(threads))
    here = threading.get_ident()
    assert who[0] == here and here not in who[1:]
    assert not [t for t in threading.enumerate() if t.name.startswith("scorefield-part")]
