"""Laws of the trace of a Jacobian: exact against explicit Jacobians, estimates unbiased with honest errors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from scorefield.numerics.divergence import Trace, hutch_plus_plus, hutchinson, jacobian_trace, probe

KINDS = ["rademacher", "gaussian", "sphere"]
DTYPE = torch.float64


class _Gradient(nn.Module):
    """Minus the gradient of a scalar network: a field that is itself a derivative."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(d, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: Tensor) -> Tensor:
        return -torch.func.grad(lambda z: self.energy(z).sum())(x)


def _mlp(d: int) -> nn.Module:
    return nn.Sequential(nn.Linear(d, 9), nn.SiLU(), nn.LayerNorm(9), nn.Linear(9, d))


def _conv() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.GELU(), nn.Conv2d(4, 2, 3, padding=1))


FIELDS = [  # name, field, shape of one sample
    ("mlp", lambda: _mlp(5), (5,)),
    ("one coordinate", lambda: _mlp(1), (1,)),
    ("images", _conv, (2, 4, 3)),
    ("energy", lambda: _Gradient(4), (4,)),
    ("constant", lambda: _Constant(), (3,)),
]


class _Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.value.expand_as(x)


@pytest.fixture(params=FIELDS, ids=[name for name, *_ in FIELDS])
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor]:
    _, make, shape = request.param
    with torch.random.fork_rng():
        torch.manual_seed(0)
        f = make().to(DTYPE)
        return f, torch.randn(6, *shape, dtype=DTYPE)


def _explicit(f: nn.Module, x: Tensor) -> Tensor:
    """The trace from each sample's full Jacobian, differentiable."""
    d = x[0].numel()

    def one(xi: Tensor) -> Tensor:
        field = lambda z: f(z.reshape(1, *x.shape[1:])).reshape(d)  # noqa: E731
        return torch.autograd.functional.jacobian(field, xi.reshape(d), create_graph=True).trace()

    return torch.stack([one(xi) for xi in x])


def _gradients(f: nn.Module, x: Tensor, trace: Tensor, value: Tensor) -> list[Tensor]:
    weight = torch.linspace(0.5, 1.5, len(x), dtype=DTYPE)
    loss = (weight * (trace + value.flatten(1).square().sum(1) / 2)).sum()
    grads = torch.autograd.grad(loss, [x, *f.parameters()], allow_unused=True)
    return [g for g in grads if g is not None]


@pytest.mark.parametrize("chunk", [None, 1, 3, 1000])
def test_trace_and_its_gradients_are_those_of_the_explicit_jacobian(case, chunk):
    f, x = case
    x.requires_grad_()
    value, trace = jacobian_trace(f, x, chunk=chunk)
    assert torch.equal(value, f(x))
    torch.testing.assert_close(trace, _explicit(f, x), rtol=1e-10, atol=1e-12)
    ours, theirs = _gradients(f, x, trace, value), _gradients(f, x, _explicit(f, x), f(x))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("chunk", [None, 2])
def test_no_graph_is_kept_when_none_is_asked_for(case, chunk):
    f, x = case
    with torch.no_grad():
        value, trace = jacobian_trace(f, x, chunk=chunk)
    assert not trace.requires_grad and not value.requires_grad
    torch.testing.assert_close(trace, _explicit(f, x).detach(), rtol=1e-10, atol=1e-12)


def test_backward_reaches_parameters_through_closures_and_inputs_with_a_history(case):
    f, x = case
    scale = torch.tensor(0.7, dtype=DTYPE, requires_grad=True)
    grads = []
    for chunk in (None, 2):
        _, trace = jacobian_trace(lambda z: scale**2 * f(z), x * scale, chunk=chunk)
        grads.append(torch.autograd.grad(trace.sum() + 0 * scale, scale)[0])
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-10, atol=1e-12)


def test_a_chunk_bounds_the_graph_kept_for_training():
    f, x = _mlp(64), torch.zeros(8, 64)
    kept = {chunk: _graph_bytes(jacobian_trace(f, x, chunk=chunk)[1]) for chunk in (None, 4)}
    assert kept[4] < kept[None] / 16


def _graph_bytes(y: Tensor) -> int:
    """The bytes of all tensors that the graph of y has saved."""
    seen, stack, stored = set(), [y.grad_fn], {}
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        saved = [getattr(node, name) for name in dir(node) if name.startswith("_saved_")]
        for t in [*saved, *getattr(node, "saved_tensors", ())]:
            if isinstance(t, Tensor):
                stored[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        stack.extend(child for child, _ in node.next_functions)
    return sum(stored.values())


def test_samples_do_not_see_each_other(case):
    f, x = case
    _, whole = jacobian_trace(f, x)
    for i in range(len(x)):
        torch.testing.assert_close(jacobian_trace(f, x[i : i + 1])[1], whole[i : i + 1], rtol=1e-12, atol=1e-12)


def test_trace_works_inside_function_transforms():
    x = torch.randn(4, 3, dtype=DTYPE, generator=torch.Generator().manual_seed(0))
    grad = torch.func.grad(lambda z: jacobian_trace(lambda w: w**3, z, chunk=2)[1].sum())(x)
    torch.testing.assert_close(grad, 6 * x)


@pytest.mark.parametrize("kind", KINDS)
def test_hutchinson_is_unbiased_with_an_honest_standard_error(case, kind):
    f, x = case
    value, estimates = hutchinson(f, x, probe(kind, 1600, x, seed=1))
    assert torch.equal(value, f(x)) and estimates.shape == (1600, len(x))
    mean, error = Trace.of(estimates)
    exact = jacobian_trace(f, x)[1]
    assert bool(((mean - exact).abs() <= 5 * error + 1e-10).all())


def test_gradient_of_the_estimate_is_unbiased(case):
    f, x = case
    x.requires_grad_()
    exact = _gradients(f, x, jacobian_trace(f, x)[1], f(x))
    value, estimates = hutchinson(f, x, probe("rademacher", 2000, x, seed=3))
    for a, b in zip(_gradients(f, x, estimates.mean(0), value), exact, strict=True):
        assert float((a - b).abs().max()) <= 0.2 * (1 + float(b.abs().max()))


@pytest.mark.parametrize("matvecs", [6, 9])
def test_hutch_plus_plus_is_unbiased(case, matvecs):
    f, x = case
    runs = torch.stack([hutch_plus_plus(f, x, matvecs, seed=s)[1].value for s in range(120)]).detach()
    mean, error = Trace.of(runs)
    assert bool(((mean - jacobian_trace(f, x)[1]).abs() <= 5 * error + 1e-10).all())


def test_hutch_plus_plus_beats_hutchinson_on_a_low_rank_jacobian():
    g = torch.Generator().manual_seed(0)
    u = torch.randn(30, 3, generator=g, dtype=DTYPE)
    A = u @ u.T + 0.01 * torch.eye(30, dtype=DTYPE)
    x = torch.zeros(200, 30, dtype=DTYPE)
    _, plus = hutch_plus_plus(lambda z: z @ A.T, x, 15, seed=0)
    plain = Trace.of(hutchinson(lambda z: z @ A.T, x, probe("rademacher", 15, x, seed=0))[1])
    error = (plus.value - A.trace()).square().mean().sqrt()
    assert error < (plain.value - A.trace()).square().mean().sqrt() / 10
    assert math.isclose(float(error), float(plus.standard_error.square().mean().sqrt()), rel_tol=0.3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1,), (7,), (2, 3, 2)])
@pytest.mark.parametrize("seed", [0, "generator"])
def test_probes_have_unit_second_moment(kind, shape, seed):
    source = torch.Generator().manual_seed(0) if seed == "generator" else seed
    v = probe(kind, 50, torch.zeros(400, *shape, dtype=DTYPE), source).reshape(20000, -1)
    second = v.T @ v / len(v)
    spread = 5 * math.sqrt(2 / len(v))  # variance of v_i v_j is at most 2
    assert float((second - torch.eye(v.shape[1], dtype=DTYPE)).abs().max()) < spread
    assert float(v.mean(0).abs().max()) < spread
    if kind != "gaussian":
        torch.testing.assert_close(v.square().sum(1), torch.full_like(v[:, 0], v.shape[1]))


@pytest.mark.parametrize("kind", KINDS)
def test_probe_j_of_sample_i_depends_on_nothing_else(kind):
    whole = probe(kind, 4, torch.zeros(6, 5), seed=7)
    part = probe(kind, 2, torch.zeros(2, 5), seed=7, first=3)
    assert torch.equal(whole[:2, 3:5], part)
    assert not torch.equal(whole, probe(kind, 4, torch.zeros(6, 5), seed=7, row=1))
    assert not torch.equal(whole[0], whole[1])


X = torch.zeros(3, 2)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: jacobian_trace(lambda z: z, torch.zeros(3)), ValueError, "batch first"),
        (lambda: jacobian_trace(lambda z: z, torch.zeros(3, 2).long()), TypeError, "floating-point"),
        (lambda: jacobian_trace(lambda z: z.sum(1), X), ValueError, "x's shape"),
        (lambda: jacobian_trace(lambda z: z, X, chunk=0), ValueError, "chunk"),
        (lambda: jacobian_trace(lambda z: z, X, chunk=True), ValueError, "chunk"),
        (lambda: hutchinson(lambda z: z, X, torch.zeros(3, 2)), ValueError, "probes"),
        (lambda: hutch_plus_plus(lambda z: z, X, 5, seed=0), ValueError, "matvecs"),
        (lambda: probe("radmacher", 1, X, seed=0), ValueError, "try 'rademacher'"),
        (lambda: probe("gaussian", 0, X, seed=0), ValueError, ">= 1"),
        (lambda: probe("gaussian", 1, X, seed=None), TypeError, "seed"),
        (lambda: Trace.of(torch.zeros(1, 3)), ValueError, "m >= 2"),
    ],
)
def test_errors_speak(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_an_empty_batch_has_an_empty_trace():
    value, trace = jacobian_trace(lambda z: z**2, torch.zeros(0, 2))
    assert value.shape == (0, 2) and trace.shape == (0,)
