"""Laws of networks, over a table of them."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vjp, vmap

from scorefield.nets import (
    NETWORKS,
    PatchTransformer,
    ResidualMLP,
    ScalarMLP,
    UNet,
    build,
    name_of,
    network_for,
    restored,
)
from scorefield.nets._patches import patches, points
from scorefield.numerics.random import normal
from scorefield.tables.network import MaskedMLP

Shape = tuple[int, ...]

CASES: list[tuple[type[nn.Module], dict[str, object], Shape]] = [
    (ResidualMLP, {"dim": 1, "width": 16, "depth": 1}, (1,)),
    (ResidualMLP, {"dim": 5, "width": 24, "depth": 3}, (5,)),
    (ResidualMLP, {"dim": 3, "width": 16, "depth": 2, "classes": 4}, (3,)),
    (ResidualMLP, {"dim": 3, "width": 16, "depth": 2, "condition_dim": 2}, (3,)),
    (ScalarMLP, {"dim": 1, "width": 16, "depth": 1}, (1,)),
    (ScalarMLP, {"dim": 4, "width": 24, "depth": 2, "classes": 3}, (4,)),
    (ScalarMLP, {"dim": 4, "width": 24, "depth": 2, "condition_dim": 1}, (4,)),
    (UNet, {"sizes": [8, 8], "base": 8, "blocks": 1}, (1, 8, 8)),
    (UNet, {"sizes": [14, 10], "channels": 3, "base": 8, "blocks": 1, "patch": 2}, (3, 14, 10)),
    (UNet, {"sizes": [7, 5], "base": 6, "multipliers": [1, 2, 3], "blocks": 1, "patch": 2}, (1, 7, 5)),
    (UNet, {"sizes": [6, 4], "channels": 2, "base": 12, "multipliers": [1], "classes": 3}, (2, 6, 4)),
    (UNet, {"sizes": [2, 2], "base": 8, "attention": False, "condition_dim": 3}, (1, 2, 2)),
    (UNet, {"sizes": [13], "channels": 2, "base": 8, "blocks": 1, "patch": 4}, (2, 13)),
    (UNet, {"sizes": [5, 4, 3], "channels": 2, "base": 8, "blocks": 1, "patch": 2}, (2, 5, 4, 3)),
    (PatchTransformer, {"sizes": [7, 5], "channels": 3, "width": 24, "depth": 2, "patch": 2}, (3, 7, 5)),
    (PatchTransformer, {"sizes": [8, 8], "width": 16, "depth": 1, "patch": 4, "classes": 3}, (1, 8, 8)),
    (PatchTransformer, {"sizes": [13], "width": 16, "depth": 1, "patch": 4, "condition_dim": 3}, (1, 13)),
    (PatchTransformer, {"sizes": [5, 4, 3], "channels": 2, "width": 32, "depth": 1, "patch": 2}, (2, 5, 4, 3)),
]
IDS = [f"{kind.__name__}-{i}" for i, (kind, _, _) in enumerate(CASES)]
every_network = pytest.mark.parametrize(("kind", "config", "shape"), CASES, ids=IDS)
UNITS = {torch.float32: 1e-5, torch.float64: 1e-13}


def trained(kind: type[nn.Module], config: dict[str, object], dtype: torch.dtype = torch.float64) -> nn.Module:
    """The network as if it had been trained: no parameter is 0."""
    net = kind(**config).to(dtype)
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.add_(0.2 * normal(len(p), p.shape[1:], 1, name, dtype=dtype))
    return net


def inputs(shape: Shape, n: int = 4, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """A batch and level features over the whole range of training."""
    return normal(n, shape, 2, "x", dtype=dtype), torch.linspace(-6.5, 4.5, n, dtype=dtype)


def condition(net: nn.Module, n: int, dtype: torch.dtype = torch.float64) -> Tensor | None:
    config: dict[str, int] = net.config
    if config["classes"]:
        return torch.arange(n) % config["classes"]
    return normal(n, (config["condition_dim"],), 3, "c", dtype=dtype) if config["condition_dim"] else None


def nothing(net: nn.Module, n: int) -> Tensor | None:
    """'No condition', spelt out for each sample."""
    config: dict[str, int] = net.config
    if config["classes"]:
        return torch.full((n,), config["classes"])
    return torch.full((n, config["condition_dim"]), math.nan).double() if config["condition_dim"] else None


def close(a: Tensor, b: Tensor, unit: float = 1e-13, scale: float | None = None) -> bool:
    """Equal to `unit` of the larger of 1 and the greatest value: sums of a few hundred terms of that size."""
    size = max(1.0, float(b.detach().abs().max())) if scale is None else scale
    return bool((a - b).abs().max() <= unit * size)


def slope(f: Callable[[float], Tensor], h: float) -> Tensor:
    """`f'(0)` by the five-point rule: error of order h^4."""
    return (f(-2 * h) - 8 * f(-h) + 8 * f(h) - f(2 * h)) / (12 * h)


# ------------------------------------------------------------------------------------------------ values


@every_network
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_answers_have_the_shape_and_dtype_of_x(kind, config, shape, dtype):
    net = trained(kind, config, dtype)
    for n in (1, 3):
        x, level = inputs(shape, n, dtype)
        raw = net(x, level, condition(net, n, dtype))
        assert raw.shape == ((n,) if kind is ScalarMLP else x.shape) and raw.dtype == dtype
        assert bool(raw.isfinite().all())


@every_network
def test_zero_before_training(kind, config, shape):
    net = kind(**config)
    x, level = inputs(shape, dtype=torch.float32)
    assert not net(x, level, condition(net, 4, torch.float32)).any()


@every_network
def test_learns_from_the_first_step(kind, config, shape):
    """The zeros before training are no trap: two steps of gradient descent reach every layer."""
    net = kind(**config).double()
    x, level = inputs(shape, 6)
    truth = inputs(shape, 6)[0].cos()
    c = condition(net, 6)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.005)

    def field(z: Tensor) -> Tensor:
        return grad(lambda q: net(q, level, c).sum())(z) if kind is ScalarMLP else net(z, level, c)

    losses = []
    for _ in range(4):
        loss = ((field(x) - truth) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]
    unused = {"none"} if config.get("condition_dim") else set()
    still = {name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    assert {name.split(".")[-1] for name in still} <= unused | ({"bias"} if kind is ScalarMLP else set()), still


@every_network
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sample_i_does_not_depend_on_the_batch(kind, config, shape, dtype):
    net = trained(kind, config, dtype)
    x, level = inputs(shape, 5, dtype)
    c = condition(net, 5, dtype)
    together = net(x, level, c)
    scale = max(1.0, float(together.detach().abs().max()))
    for i in range(5):
        alone = net(x[i : i + 1], level[i : i + 1], None if c is None else c[i : i + 1])
        assert close(alone[0], together[i], UNITS[dtype], scale)
    one_by_one = vmap(lambda xi, li: net(xi[None], li)[0])(x, level)
    assert close(one_by_one, net(x, level), UNITS[dtype], scale)


@every_network
def test_a_shared_level_is_the_same_as_one_per_sample(kind, config, shape):
    net = trained(kind, config)
    x, _ = inputs(shape)
    c = condition(net, 4)
    for feature in (-6.5, 0.0, 4.5):
        level = torch.tensor(feature, dtype=torch.float64)
        assert close(net(x, level, c), net(x, level.expand(4), c))


@every_network
def test_hears_the_level_and_stays_bounded_outside_its_range(kind, config, shape):
    net = trained(kind, config)
    x, _ = inputs(shape)
    at = [net(x, torch.tensor(v, dtype=torch.float64)) for v in (-3.0, -2.9, 1.0, 30.0, math.inf, -math.inf)]
    assert not close(at[0], at[1], 1e-4) and not close(at[1], at[2], 1e-4)
    assert torch.equal(at[3], at[4]) and all(bool(a.isfinite().all()) for a in at)


@every_network
def test_float32_is_float64_to_its_rounding(kind, config, shape):
    net = trained(kind, config)
    x, level = inputs(shape)
    exact = net(x, level, condition(net, 4))
    x, level, c = x.float(), level.float(), condition(net, 4, torch.float32)
    assert close(copy.deepcopy(net).float()(x, level, c).double(), exact, 1e-4)


# ------------------------------------------------------------------------------------------- conditions


@every_network
def test_no_condition_is_none(kind, config, shape):
    net = trained(kind, config)
    x, level = inputs(shape)
    c = condition(net, 4)
    plain = net(x, level, None)
    if c is None:
        with pytest.raises(ValueError, match="no condition"):
            net(x, level, torch.zeros(4, dtype=torch.int64))
        return
    dropped, given = nothing(net, 4), net(x, level, c)
    assert dropped is not None and close(net(x, level, dropped), plain)
    assert not close(given, plain, 1e-4)
    mixed = net(x, level, torch.cat([c[:2], dropped[2:]]))
    assert close(mixed[:2], given[:2]) and close(mixed[2:], plain[2:])
    loss = mixed.square().sum()
    assert all(bool(g.isfinite().all()) for g in torch.autograd.grad(loss, list(net.parameters())))


@every_network
def test_no_condition_crosses_function_transforms(kind, config, shape):
    net = trained(kind, config)
    x, level = inputs(shape)
    c = condition(net, 4)
    if c is not None:
        by_sample = vmap(lambda xi, li, ci: net(xi[None], li, ci[None])[0])(x, level, c)
        assert close(by_sample, net(x, level, c))


def test_wrong_conditions_are_refused():
    x, level = torch.zeros(3, 2), torch.zeros(())
    classes = ResidualMLP(2, 8, 1, classes=4)
    vector = ResidualMLP(2, 8, 1, condition_dim=2)
    for net, wrong, message in [
        (classes, torch.tensor([0, 1, 5]), "classes 0 to 3"),
        (classes, torch.tensor([0, -1, 2]), "classes 0 to 3"),
        (classes, torch.tensor([0, 1]), "one class per sample"),
        (classes, torch.zeros(3, 1, dtype=torch.int64), "one class per sample"),
        (classes, torch.zeros(3), "int64"),
        (vector, torch.zeros(3), r"shape \(3, 2\)"),
        (vector, torch.zeros(3, 3), r"shape \(3, 2\)"),
        (vector, torch.zeros(3, 2, dtype=torch.int64), "floating-point"),
    ]:
        with pytest.raises(ValueError, match=message):
            net(x, level, wrong)


# ------------------------------------------------------------------------------------------ derivatives


@every_network
def test_forward_and_reverse_derivatives_are_adjoint(kind, config, shape):
    net = trained(kind, config)
    x, level = inputs(shape)
    c = condition(net, 4)
    v = normal(4, shape, 4, "v", dtype=torch.float64)
    raw, push = jvp(lambda z: net(z, level, c), (x,), (v,))
    w = normal(4, raw.shape[1:], 5, "w", dtype=torch.float64)
    back = vjp(lambda z: net(z, level, c), x)[1](w)[0]
    assert close((push * w).sum(), (v * back).sum(), scale=float(push.detach().abs().max()) * 100)
    turned = x.transpose(-1, -2).contiguous().transpose(-1, -2)
    assert close(jvp(lambda z: net(z, level, c), (turned,), (v,))[1], push)


@every_network
def test_derivatives_come_in_batches(kind, config, shape):
    net = trained(kind, config)
    x, level = inputs(shape, 2)
    many = normal(3, (2, *shape), 6, "many", dtype=torch.float64)

    def push(v: Tensor) -> Tensor:
        return jvp(lambda z: net(z, level), (x,), (v,))[1]

    together = vmap(push)(many)
    assert all(close(together[k], push(many[k])) for k in range(3))
    in_level = jvp(lambda t: net(x, t), (level,), (torch.ones_like(level),))[1]
    assert close(in_level, slope(lambda h: net(x, level + h), 5e-4), 1e-7)


@every_network
def test_derivatives_have_derivatives(kind, config, shape):
    """Reverse over reverse is forward over reverse, both in x and in the parameters, as losses with a trace need."""
    net = trained(kind, config)
    x, level = inputs(shape, 2)
    c = condition(net, 2)
    v = normal(2, shape, 7, "v", dtype=torch.float64)

    def loss(z: Tensor) -> Tensor:
        return net(z, level, c).square().sum()

    forward = jvp(grad(loss), (x,), (v,))[1]
    reverse = grad(lambda z: (grad(loss)(z) * v).sum())(x)
    assert close(forward, reverse)

    parameters = {name: p.detach() for name, p in net.named_parameters()}
    direction = {k: normal(len(p), p.shape[1:], 8, k, dtype=torch.float64) for k, p in parameters.items()}

    def pushed(p: dict[str, Tensor]) -> Tensor:
        """A loss with the Jacobian in forward mode, as implicit and sliced matching of a field have it."""
        return jvp(lambda z: functional_call(net, p, (z, level, c)), (x,), (v,))[1].square().sum()

    def curved(p: dict[str, Tensor]) -> Tensor:
        """The same of a gradient: the loss of an energy, three derivatives in all."""
        field = grad(lambda z: functional_call(net, p, (z, level, c)).sum())
        return (jvp(field, (x,), (v,))[1] * v).square().sum()

    for loss_of in (pushed, curved):
        gradient = grad(loss_of)(parameters)
        analytic = sum((gradient[k] * direction[k]).sum() for k in parameters)
        numeric = slope(lambda h, f=loss_of: f({k: p + h * direction[k] for k, p in parameters.items()}), 1e-4)
        assert close(numeric, torch.as_tensor(analytic), 1e-6)


def test_the_scalar_is_smooth_enough_for_an_energy():
    """The Jacobian of its gradient is symmetric, and a loss with its trace (Hyvarinen 2005) reaches every parameter."""
    net = trained(ScalarMLP, {"dim": 3, "width": 16, "depth": 2})
    x, level = inputs((3,), 2)

    def field(z: Tensor) -> Tensor:
        return grad(lambda q: net(q, level).sum())(z)

    jacobian = vmap(lambda v: jvp(field, (x,), (v.expand(2, 3),))[1])(torch.eye(3).double())
    assert close(jacobian, jacobian.permute(2, 1, 0))
    loss = jacobian.diagonal(dim1=0, dim2=2).sum() + field(x).square().sum() / 2
    slopes = torch.autograd.grad(loss, list(net.parameters()))
    assert all(bool(s.isfinite().all()) and bool(s.any()) for s in slopes)


# ------------------------------------------------------------------------------------ files and randomness


@every_network
def test_config_and_state_rebuild_the_network(kind, config, shape):
    net = trained(kind, config)
    name, text = name_of(net), json.dumps(net.config)
    again = build(name, json.loads(text)).double()
    again.load_state_dict(net.state_dict())
    x, level = inputs(shape)
    c = condition(net, 4)
    assert torch.equal(again(x, level, c), net(x, level, c))
    assert torch.equal(copy.deepcopy(net)(x, level, c), net(x, level, c))
    assert again.config == net.config and config.items() <= net.config.items()


@every_network
def test_initialisation_is_a_function_of_the_seed(kind, config, shape):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, again, other = kind(**config), kind(**config), kind(**{**config, "seed": 1})
    assert torch.equal(torch.get_rng_state(), before)
    pairs = list(zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    drawn = [not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True) if a.any()]
    assert drawn and sum(drawn) >= 2


def test_the_table_names_every_network():
    assert {kind for kind, _, _ in CASES} == set(NETWORKS.values())
    with pytest.raises(ValueError, match="did you mean 'residual-mlp'"):
        build("residual_mlp", {"dim": 2})
    with pytest.raises(ValueError, match="it takes dim, width"):
        build("residual-mlp", {"dim": 2, "widht": 3})
    with pytest.raises(ValueError, match="Linear has no name"):
        name_of(nn.Linear(1, 1))


def test_wrong_sizes_and_inputs_are_refused():
    for make, message in [
        (lambda: ResidualMLP(0), "dim must be"),
        (lambda: ResidualMLP(2, depth=-1), "depth must be"),
        (lambda: ResidualMLP(2, classes=2, condition_dim=2), "got both"),
        (lambda: ScalarMLP(2, condition_dim=-1), "condition_dim must be"),
        (lambda: UNet((8, 0)), r"sizes\[1\] must be"),
        (lambda: UNet(8), "one to three whole numbers"),
        (lambda: UNet((2, 2, 2, 2)), "one to three whole numbers"),
        (lambda: UNet((8, 8), multipliers=()), "resolutions must be"),
        (lambda: PatchTransformer((2, 2, 2, 2)), "one to three whole numbers"),
        (lambda: PatchTransformer((8, 8), depth=0), "depth must be"),
        (lambda: PatchTransformer((8, 8), width=16, depth=1)(torch.zeros(2, 8, 8), torch.zeros(2)), r"\(n, 1, 8, 8\)"),
        (lambda: network_for((1, 2, 2, 2, 2)), "reshape the records"),
        (lambda: network_for((4,), size="huge"), "'small', 'medium', 'large'"),
        (lambda: network_for((1, 8, 8), kind="perceptron"), "kind must be 'auto', 'unet', 'transformer'"),
        (lambda: ResidualMLP(2, 8, 1)(torch.zeros(3, 3), torch.zeros(3)), r"\(n, 2\)"),
        (lambda: ResidualMLP(2, 8, 1)(torch.zeros(3, 2), torch.zeros(2)), "level feature"),
        (lambda: ResidualMLP(2, 8, 1)(torch.zeros(3, 2), torch.zeros(3, 1)), "level feature"),
        (lambda: UNet((8, 8), base=8)(torch.zeros(2, 8, 8), torch.zeros(2)), r"\(n, 1, 8, 8\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(TypeError, match="seed must be an int"):
        ResidualMLP(2, seed=0.5)


@pytest.mark.parametrize("sizes", [(7,), (6, 5), (4, 3, 5)])
@pytest.mark.parametrize("patch", [1, 2, 3])
def test_patches_hold_each_point_once(sizes: tuple[int, ...], patch: int) -> None:
    x = torch.arange(3 * 2 * math.prod(sizes), dtype=torch.float32).reshape(3, 2, *sizes)
    cut = patches(x, patch)
    assert cut.shape[1] == 2 * patch ** len(sizes)
    assert cut.shape[2:] == tuple(-(-size // patch) for size in sizes)
    assert torch.equal(points(cut, patch, x.shape[1:]), x)
    if sizes == (6, 5) and patch == 2:  # as torch does
        assert torch.equal(cut, nn.functional.pixel_unshuffle(nn.functional.pad(x, (0, 1)), 2))


def test_networks_of_images_of_earlier_versions_are_the_same() -> None:
    net = UNet((6, 4), base=8, blocks=1)
    old = {name: value for name, value in net.config.items() if name != "sizes"} | {"height": 6, "width": 4}
    assert restored("unet", old, net.state_dict()).config == net.config


# ---------------------------------------------------------------------------------------------- defaults


@pytest.mark.parametrize(
    "shape", [(1,), (2,), (3072,), (1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 30, 22), (4, 2, 6), (1, 64, 64)]
)
@pytest.mark.parametrize(("size", "kind"), [("auto", "auto"), ("small", "auto"), ("small", "transformer")])
def test_every_shape_has_a_default_network(shape, size, kind):
    if len(shape) == 1 and kind != "auto":
        with pytest.raises(ValueError, match="not for rows of numbers"):
            network_for(shape, size=size, kind=kind)
        return
    net = network_for(shape, classes=3, size=size, rows=1000, kind=kind)
    assert isinstance(net, PatchTransformer) == (kind == "transformer")
    x = normal(2, shape, 0, "x")
    with torch.no_grad():
        raw = net(x, torch.zeros(2), torch.tensor([1, 3]))
    assert raw.shape == x.shape and not raw.any()
    assert 0.03e6 < sum(p.numel() for p in net.parameters()) < 8e6
    again = build(name_of(net), net.config)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 64, 64)])
def test_default_networks_for_images_have_a_size_to_train_on_a_cpu(shape):
    assert 0.25e6 < sum(p.numel() for p in network_for(shape).parameters()) < 2e6


def test_bfloat16_inside_gives_finite_answers():
    net = trained(UNet, {"sizes": [8, 8], "base": 8}, torch.float32)
    x, level = inputs((1, 8, 8), dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        raw = net(x, level)
    assert bool(raw.isfinite().all()) and close(raw.float(), net(x, level), 0.1)


# -------------------------------------------------------------------------------------------------- rows with parts

MASKED = [
    {"dim": 3, "sizes": [], "width": 16, "depth": 2},
    {"dim": 2, "sizes": [3, 2], "width": 16, "depth": 1},
    {"dim": 20, "sizes": [4], "width": 24, "depth": 1},
    {"dim": 0, "sizes": [2, 5], "width": 16, "depth": 1},
]


def rows_and_questions(config: dict[str, Any], n: int = 6) -> tuple[Tensor, Tensor]:
    """Noised numbers, and what is given: numbers, codes, queried and hidden, all in one batch."""
    d, sizes = int(config["dim"]), config["sizes"]
    x = normal(n, (d,), 0, "masked x", dtype=torch.float64)
    given = normal(n, (d,), 0, "masked given", dtype=torch.float64)
    place = torch.arange(n * d).reshape(n, d) % 3
    given = torch.where(place == 0, torch.nan, torch.where(place == 1, torch.inf, given))
    codes = [torch.arange(n, dtype=torch.float64)[:, None] % k for k in sizes]
    return x, torch.cat([given, *codes], 1)


@pytest.mark.parametrize("config", MASKED, ids=str)
def test_networks_for_rows(config: dict[str, Any]) -> None:
    x, given = rows_and_questions(config)
    level = torch.tensor(0.3, dtype=torch.float64)
    fresh = MaskedMLP(**config).double()
    assert all(float(v.detach().abs().sum()) == 0 for v in fresh(x, level, given))  # the mixture and the frequencies
    assert MaskedMLP(**fresh.config).config == fresh.config
    net = trained(MaskedMLP, config)
    raw, logits = net(x, level, given)
    assert raw.shape == x.shape and logits.shape == (len(x), sum(config["sizes"]))
    alone = torch.cat([net(x[i : i + 1], level, given[i : i + 1])[0] for i in range(len(x))])
    torch.testing.assert_close(raw, alone, rtol=1e-12, atol=1e-12)
    queried = torch.isnan(given[:, : x.shape[1]])
    moved = net(torch.where(queried, x, x + 1.0), level, given)[0]
    assert torch.equal(moved, raw)  # only what is queried is looked at
    unknown = torch.cat([torch.where(queried, torch.inf, given[:, : x.shape[1]]), given[:, x.shape[1] :]], 1)
    torch.testing.assert_close(net.logits(given), net.logits(unknown))
