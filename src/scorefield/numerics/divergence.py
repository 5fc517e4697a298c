"""The trace of a Jacobian, sample by sample: exact, or estimated with random probes and a standard error.

Everything here takes products `v^T J` (reverse mode), many directions at a time: f itself is evaluated once, outside
of any transform, and only its backward pass is batched. Measured on MLPs and convolutional networks this costs less
than forward mode, with and without a following backward pass.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scorefield._tensor import check_batch
from scorefield.numerics.random import normal, uniform

Field: TypeAlias = Callable[[Tensor], Tensor]
ProbeKind: TypeAlias = Literal["rademacher", "gaussian", "sphere"]


class Trace(NamedTuple):
    """An estimated trace per sample.

    Args:
        value: `(n,)`, unbiased.
        standard_error: `(n,)`, the Monte-Carlo standard error of value; 0 where it is exact.
    """

    value: Tensor
    standard_error: Tensor

    @classmethod
    def of(cls, estimates: Tensor) -> Trace:
        """The mean of independent estimates `(m, n)`, m >= 2, with its standard error.

        Example:
            >>> Trace.of(torch.tensor([[1.0], [3.0]]))
            Trace(value=tensor([2.]), standard_error=tensor([1.]))
        """
        if estimates.ndim != 2 or len(estimates) < 2:
            raise ValueError(
                f"a standard error needs estimates of shape (m, n) with m >= 2, got {tuple(estimates.shape)}; "
                "draw more probes."
            )
        return cls(estimates.mean(0), estimates.std(0) / math.sqrt(len(estimates)))


# ---------------------------------------------------------------------------------------------------------- exact


def jacobian_trace(f: Field, x: Tensor, *, chunk: int | None = None) -> tuple[Tensor, Tensor]:
    """The exact trace `sum_i d f_i / d x_i` at every sample, by d derivatives of f.

    Differentiable in x and in whatever f depends on. Without chunk all d directions go at once, and a recorded graph
    keeps them all. With chunk, only that many are in memory at a time, also while training: the backward pass then
    computes them once more (f must be deterministic, and the trace can be differentiated once).

    Args:
        f: `(n, *shape) -> (n, *shape)`, acting on each sample by itself.
        x: `(n, *shape)`.
        chunk: directions at a time, >= 1; memory is about chunk times that of one backward pass of f.

    Returns:
        `f(x)` `(n, *shape)` and the trace `(n,)`.

    Raises:
        TypeError: when x is no floating-point tensor.
        ValueError: for a wrong chunk, or when f changes the shape.

    Example:
        >>> value, trace = jacobian_trace(lambda x: x**3, torch.tensor([[1.0, 2.0]]))
        >>> trace.tolist()
        [15.0]
    """
    check_batch("x", x)
    if chunk is not None:
        _check_count("chunk", chunk, 1)
    d = x[0].numel() if len(x) else 0
    if chunk is None or chunk >= d or torch._C._functorch.maybe_current_level() is not None:
        y, pull = _pullback(f, x)
        return y, _basis_trace(pull, x, chunk or max(d, 1))
    if not torch.is_grad_enabled():
        y, pull = _pullback(f, x)
        return y, _basis_trace(pull, x, chunk)
    y = _checked(f, x)
    captured = _leaves(y)
    if not (captured or x.requires_grad):
        _, pull = _pullback(f, x)
        return y, _basis_trace(pull, x, chunk)
    return y, _Recomputed.apply(f, chunk, x, *captured)


def _basis_trace(pull: Field, x: Tensor, chunk: int) -> Tensor:
    """The sum over coordinates of `(e_i^T J)_i`."""
    total = x.new_zeros(len(x))
    for part in _parts(pull, x, chunk):
        total = total + part
    return total


def _parts(pull: Field, x: Tensor, chunk: int) -> Iterator[Tensor]:
    """The same sum, chunk coordinates at a time."""
    n, shape = len(x), x.shape[1:]
    d = math.prod(shape)
    for start in range(0, d, chunk):
        index = torch.arange(start, min(start + chunk, d), device=x.device)
        basis = torch.zeros(len(index), d, dtype=x.dtype, device=x.device)
        basis.scatter_(1, index[:, None], 1.0)
        rows = torch.func.vmap(pull)(basis.reshape(-1, 1, *shape).expand(-1, n, *shape))
        yield rows.reshape(len(index), n, d).gather(2, index[:, None, None].expand(-1, n, 1)).sum((0, 2))


class _Recomputed(torch.autograd.Function):
    """The trace without its graph: the backward pass builds the graph of one chunk at a time and drops it."""

    @staticmethod
    def forward(ctx: Any, f: Field, chunk: int, x: Tensor, *captured: Tensor) -> Tensor:
        ctx.f, ctx.chunk = f, chunk
        ctx.save_for_backward(x, *captured)
        return _basis_trace(_pullback(f, x)[1], x, chunk)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        x, *captured = ctx.saved_tensors
        x = x.detach().requires_grad_(ctx.needs_input_grad[2])
        wanted = [t for t in (x, *captured) if t.requires_grad]
        total: list[Tensor | None] = [None] * len(wanted)
        with torch.enable_grad():
            _, pull = _pullback(ctx.f, x)
            for part in _parts(pull, x, ctx.chunk):
                if part.requires_grad:
                    grads = torch.autograd.grad(part, wanted, weight, retain_graph=True, allow_unused=True)
                    total = [a if b is None else b if a is None else a + b for a, b in zip(total, grads, strict=True)]
        answers = iter(total)
        return None, None, *(next(answers) if t.requires_grad else None for t in (x, *captured))


def _leaves(y: Tensor) -> list[Tensor]:
    """The leaf tensors that y was computed from and that want a gradient."""
    found: dict[int, Tensor] = {}
    seen: set[Any] = set()
    stack: list[Any] = [y.grad_fn]
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            if hasattr(node, "variable"):
                found[id(node.variable)] = node.variable
            stack.extend(child for child, _ in node.next_functions)
    return list(found.values())


# ------------------------------------------------------------------------------------------------------ estimated


def hutchinson(f: Field, x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor]:
    """One unbiased estimate `v^T J v` of the trace per probe v (Hutchinson 1989): one derivative of f each.

    Unbiased whenever the probes have `E[v v^T] = I`. Differentiable as `jacobian_trace`.

    Args:
        f: `(n, *shape) -> (n, *shape)`, acting on each sample by itself.
        x: `(n, *shape)`.
        probes: `(m, n, *shape)`, from `probe`.

    Returns:
        `f(x)` `(n, *shape)` and the estimates `(m, n)`; `Trace.of(estimates)` is their mean and standard error.

    Example:
        >>> x = torch.tensor([[1.0, 2.0]])
        >>> value, estimates = hutchinson(lambda x: x**3, x, probe("rademacher", 2, x, seed=0))
        >>> estimates.tolist()  # exact for a diagonal Jacobian
        [[15.0], [15.0]]
    """
    check_batch("x", x)
    if probes.ndim != x.ndim + 1 or probes.shape[1:] != x.shape:
        raise ValueError(
            f"probes must have shape (m, n, *shape) = (m, {', '.join(map(str, x.shape))}), got {tuple(probes.shape)}."
        )
    y, pull = _pullback(f, x)
    return y, (torch.func.vmap(pull)(probes) * probes).flatten(2).sum(2)


def hutch_plus_plus(f: Field, x: Tensor, matvecs: int, seed: int | torch.Generator | None) -> tuple[Tensor, Trace]:
    """The trace by Hutch++ (Meyer, Musco, Musco and Woodruff 2021): exact on a subspace, probed outside it.

    With Q an orthonormal basis of the range of `J^T S`, S of k = matvecs // 3 random signs:
    `tr(Q^T J^T Q) + mean_j g_j^T (I - Q Q^T) J^T (I - Q Q^T) g_j` over k further probes. Far less variance than
    Hutchinson's estimate where few directions carry the trace. Unbiased, and so is its gradient (Q counts as fixed).

    Args:
        f: `(n, *shape) -> (n, *shape)`, acting on each sample by itself.
        x: `(n, *shape)`.
        matvecs: derivatives of f to spend, >= 6; from 3 d on the exact trace (d derivatives) is returned instead.
        seed: an int or a torch.Generator.

    Returns:
        `f(x)` `(n, *shape)` and the trace with its standard error, both `(n,)`.

    Example:
        >>> value, trace = hutch_plus_plus(lambda x: x**3, torch.tensor([[1.0, 2.0]]), matvecs=6, seed=0)
        >>> trace.value.tolist(), trace.standard_error.tolist()
        ([15.0], [0.0])
    """
    check_batch("x", x)
    _check_count("matvecs", matvecs, 6)
    k, n, d = matvecs // 3, len(x), x[0].numel()
    if k >= d:
        y, exact = jacobian_trace(f, x)
        return y, Trace(exact, torch.zeros_like(exact))
    y, pull = _pullback(f, x)

    def rows(v: Tensor) -> Tensor:  # (k, n, d) -> (k, n, d): v^T J
        return torch.func.vmap(pull)(v.reshape(-1, *x.shape)).reshape(-1, n, d)

    sketch, test = probe("rademacher", 2 * k, x, seed, purpose="hutch++").reshape(2, k, n, d)
    Q = torch.linalg.qr(rows(sketch).detach().permute(1, 2, 0)).Q  # (n, d, k)
    basis = Q.permute(2, 0, 1)
    inside = (rows(basis) * basis).sum((0, 2))
    outside = test - torch.einsum("ndk,nek,jne->jnd", Q, Q, test)
    estimates = (rows(outside) * outside).sum(2)
    rest = Trace.of(estimates)
    return y, Trace(inside + rest.value, rest.standard_error)


def probe(
    kind: ProbeKind,
    m: int,
    x: Tensor,
    seed: int | torch.Generator | None,
    *,
    purpose: str = "probe",
    first: int | Tensor = 0,
    row: int = 0,
) -> Tensor:
    """Random directions v with `E[v v^T] = I` for every sample of x, `(m, n, *shape)` in x's dtype and device.

    From an int seed, probe j of sample i is a pure function of (seed, purpose, first + i, row, j): it depends neither
    on the batch nor on how many probes are drawn.

    Args:
        kind: 'rademacher' (signs: the least variance of independent coordinates), 'gaussian', or 'sphere' (uniform on
            the sphere of radius sqrt(d)).
        m: probes per sample, >= 1.
        x: `(n, *shape)`; its values are not used.
        seed: an int or a torch.Generator.
        purpose: name of the random stream.
        first: index of the first sample, or an int64 tensor `(n,)` of indices.
        row: which draw of this purpose, such as the training step.

    Example:
        >>> probe("sphere", 3, torch.zeros(2, 4), seed=0).square().sum(2).round(decimals=4).unique().tolist()
        [4.0]
    """
    check_batch("x", x)
    if kind not in get_args(ProbeKind):
        near = difflib.get_close_matches(str(kind), get_args(ProbeKind), n=1) or [get_args(ProbeKind)[0]]
        raise ValueError(
            f"kind of probe must be one of {', '.join(get_args(ProbeKind))}, got {kind!r}; try {near[0]!r}."
        )
    _check_count("the number of probes m", m, 1)
    if seed is None:
        raise TypeError("probes are drawn here, so a seed is required: give seed=0 (an int) or a torch.Generator.")
    if kind == "rademacher":
        u = _draws(uniform, torch.rand, m, x, seed, purpose, first, row)
        return torch.where(u < 0.5, -1.0, 1.0).to(x.dtype)
    z = _draws(normal, torch.randn, m, x, seed, purpose, first, row)
    if kind == "gaussian":
        return z
    flat = z.flatten(2)
    return (flat * (math.sqrt(flat.shape[2]) / flat.norm(dim=2, keepdim=True))).reshape(z.shape)


def _draws(
    counted: Callable[..., Tensor],
    generated: Callable[..., Tensor],
    m: int,
    x: Tensor,
    seed: int | torch.Generator,
    purpose: str,
    first: int | Tensor,
    row: int,
) -> Tensor:
    like: dict[str, Any] = {"dtype": x.dtype, "device": x.device}
    if isinstance(seed, torch.Generator):
        return generated(m, *x.shape, generator=seed, **like)
    parts = [counted(len(x), x.shape[1:], seed, f"{purpose}/{j}", first=first, row=row, **like) for j in range(m)]
    return torch.stack(parts)


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {value!r}.")


# ------------------------------------------------------------------------------------------------------ pullback


def _checked(f: Field, x: Tensor) -> Tensor:
    y: object = f(x)
    if not isinstance(y, Tensor) or y.shape != x.shape:
        got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"f must answer with a tensor of x's shape {tuple(x.shape)}, got {got}.")
    return y


def _pullback(f: Field, x: Tensor) -> tuple[Tensor, Field]:
    """`f(x)` and `v -> v^T J`, both `(n, *shape)`."""
    y, pull, *_ = torch.func.vjp(lambda z: _checked(f, z), x)
    # inside vjp a graph is recorded, also for what x has no part in
    return y if torch.is_grad_enabled() else y.detach(), lambda v: pull(v)[0]
